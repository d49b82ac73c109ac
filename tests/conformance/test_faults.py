"""The tester is tested: a server broken in one way is caught by the test that exists for it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from scepkit.ca import CertificateProfile
from scepkit.conformance.challenges import Static
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class
from scepkit.conformance.telling import asked, told_by_types
from scepkit.conformance.themes.timing import contents_under, times_of
from scepkit.conformance.verdicts import Kind, Verdict
from scepkit.testing import Policy, TestCa
from scepkit.testing.desk import Desk
from tests.conformance.broken import ca_with
from tests.conformance.fault import Fault
from tests.conformance.fault_table import DECIDING, READING, REPLY, WRAPPING
from tests.conformance.late_faults import LATE
from tests.conformance.outside_faults import OUTSIDE
from tests.conformance.running import checks, results_of, session_for, told
from tests.conformance.telling_faults import (
    LATER,
    ONE_LATE,
    TELLING,
    Discreet,
    Punctual,
)

#: On a busy machine hundreds of requests take their time.
pytestmark = pytest.mark.timeout(180)

ALL = [*OUTSIDE, *REPLY, *READING, *DECIDING, *WRAPPING, *LATE, *TELLING, *LATER]


@dataclass
class Handed:
    """Challenges that the test CA hands out, each good once."""

    ca: TestCa
    one_time: bool = True

    def get(self, subject: str, sans: Sequence[str]) -> str:
        return self.ca.new_challenge()


def with_operator(fault: Fault, ca: TestCa) -> dict[str, Any]:
    """The settings of a fault; "the CA's" stands for what the CA's operator can do."""
    operator = {"approve": ca.approve, "revoke": lambda serial: ca.revoke(int(serial, 16))}
    return {
        name: operator[name] if value == "the CA's" else value
        for name, value in fault.settings.items()
    }


@pytest.mark.parametrize("fault", ALL, ids=lambda fault: f"{fault.test}: {fault.what}")
def test_a_broken_server_is_caught_by_the_test_for_its_fault(fault: Fault) -> None:
    ca = fault.make()
    challenges = Handed(ca) if fault.one_time else Static("secret")
    options = {"allow_issue": True, "intrusive": True, **with_operator(fault, ca)}
    with (
        ca.serve() as url,
        session_for(url, challenges=challenges, **options) as session,
    ):
        (result,) = results_of(session, checks(fault.test)).results
    assert result.kind is fault.kind, f"{result.kind}: {result.verdict}"
    assert result.verdict.text.startswith(fault.says)


#: What a test CA does and a server should not: names in a renewal are not compared, all causes of
#: a refusal are told, and challenges are for anybody.  Its times are nobody's business (T73): on a
#: busy machine nothing certain can be said of them.
_OF_TEST_CAS = {"T57", "T72", "T73", "T83"}


def test_a_server_without_faults_has_none() -> None:
    ca = ca_with()
    ca.stage_next_ca()
    wanted = [check for check in checks() if check.id not in _OF_TEST_CAS]
    with (
        ca.serve() as url,
        session_for(
            url, challenges=Handed(ca), allow_issue=True, intrusive=True, samples=20,
            revoke=lambda serial: ca.revoke(int(serial, 16)),
        ) as session,
    ):  # fmt: skip
        report = results_of(session, wanted)
    assert not told(report.results)


def test_a_server_that_lets_people_decide_has_no_fault() -> None:
    ca = ca_with(policy=Policy(manual=True))
    with (
        ca.serve() as url,
        session_for(
            url, challenges=Static("secret"), allow_issue=True, approve=ca.approve, deny=ca.deny
        ) as session,
    ):
        report = results_of(session, checks("T8*", "T9*", "T52", "T53", "T20"))
    assert {one.check.id for one in report.results if one.kind is Kind.PASS} >= {"T86", "T91"}
    assert not told(one for one in report.results if one.check.id != "T83")


@pytest.mark.parametrize("manual", [False, True])
def test_a_server_that_answers_all_contents_alike_tells_nothing(manual: bool) -> None:
    ca = ca_with(desk=Discreet, policy=Policy(manual=manual, profile=CertificateProfile()))
    with (
        ca.serve() as url,
        session_for(url, challenges=Static("secret"), allow_issue=True) as session,
    ):
        session.discover()
        assert told_by_types(Probe(session, seconds=60)) is None


@pytest.mark.parametrize("fault", TELLING, ids=lambda fault: fault.what)
def test_answers_that_tell_are_shown_side_by_side_for_their_messagetypes_only(fault: Fault) -> None:
    ca = fault.make()
    with (
        ca.serve() as url,
        session_for(url, challenges=Static("secret"), allow_issue=True) as session,
    ):
        session.discover()
        verdict = told_by_types(Probe(session, seconds=60))
    assert verdict is not None
    named = verdict.text.partition(":")[0].split(", ")
    lines = [line.partition(": ")[0] for line in verdict.details]
    assert sorted(lines) == sorted(named * 2), verdict


def times_under(what: str, desk: type[Desk]) -> Verdict:
    """The verdict on the times of one messageType's answers."""
    ca = ca_with(desk=desk)
    with (
        ca.serve() as url,
        session_for(url, challenges=Static("secret"), allow_issue=True, samples=20) as session,
    ):
        session.discover()
        probe = Probe(session, seconds=120)
        (one,) = (one for one in asked(probe) if one.what == what)
        return times_of(probe, {what: contents_under(probe, one)})


@pytest.mark.parametrize("what", ONE_LATE)
def test_a_server_that_is_late_under_one_messagetype_is_caught_by_its_times(what: str) -> None:
    verdict = times_under(what, ONE_LATE[what])
    assert verdict.kind is Kind.FAIL
    assert verdict.text.startswith(f"{what}: ")


def test_a_server_that_answers_in_time_is_not() -> None:
    assert times_under("CertPoll (20)", Punctual).kind is not Kind.FAIL


def test_every_test_that_counts_has_a_fault_that_it_catches() -> None:
    counts = {check.id for check in checks() if check.cls in (Class.MUST, Class.SECURITY)}
    assert counts <= {fault.test for fault in ALL}
    assert len(ALL) >= 120


def test_refusals_of_a_server_that_renews_nothing_prove_nothing() -> None:
    ca = ca_with(policy=Policy(renewal=False, profile=CertificateProfile()))
    with (
        ca.serve() as url,
        session_for(url, challenges=Static("secret"), allow_issue=True) as session,
    ):
        report = results_of(session, checks("T82", "T83", "T84"))
    assert {one.kind for one in report.results} == {Kind.INCONCLUSIVE}
