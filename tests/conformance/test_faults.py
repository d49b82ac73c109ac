"""The tester is tested: a server broken in one way is caught by the test that exists for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pytest

from scepkit.conformance.challenges import Static
from scepkit.testing import TestCa
from tests.conformance.fault_table import DECIDING, OUTSIDE, READING, REPLY, WRAPPING, Fault
from tests.conformance.running import checks, results_of, session_for

ALL = [*OUTSIDE, *REPLY, *READING, *DECIDING, *WRAPPING]


@dataclass
class Handed:
    """Challenges that the test CA hands out, each good once."""

    ca: TestCa
    one_time: bool = True

    def get(self, subject: str, sans: Sequence[str]) -> str:
        return self.ca.new_challenge()


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: f"{fault.test}: {fault.what}")
def test_a_broken_server_is_caught_by_the_test_for_its_fault(fault: Fault) -> None:
    ca = fault.make()
    challenges = Handed(ca) if fault.one_time else Static("secret")
    options = {"allow_issue": True, "intrusive": True, **fault.settings}
    with (
        ca.serve() as url,
        session_for(url, challenges=challenges, **options) as session,
    ):
        (result,) = results_of(session, checks(fault.test)).results
    assert result.kind is fault.kind, f"{result.kind}: {result.verdict}"
