"""The fixtures, and what the package says of itself."""

from __future__ import annotations

import asyncio
import doctest

import pytest

import scepkit
import scepkit.testing.ca
import scepkit.testing.faults
from scepkit.testing import TestCa
from tests.testing.driving import csr_for, issued

pytest_plugins = ["scepkit.testing.pytest_plugin"]


def test_the_fixtures_give_a_ca_and_its_url(scep_ca: TestCa, scep_url: str) -> None:
    trust = scepkit.Fingerprint(scep_ca.fingerprint)
    csr, key = csr_for(scep_ca)
    with scepkit.Client(scep_url, trust=trust) as client:
        issued(client.enrol(csr, key))
    assert scep_ca.messages[-1].challenge_matched


def test_an_asyncio_client_needs_no_socket() -> None:
    ca = TestCa(key="ec:p256")

    async def run() -> scepkit.EnrolmentResult:
        client = scepkit.AsyncClient(
            "http://ca.test/scep",
            trust=scepkit.PinnedCertificate(ca.root),
            transport=ca.async_transport(),
        )
        csr, key = csr_for(ca)
        async with client:
            return await client.enrol(csr, key)

    issued(asyncio.run(run()))


@pytest.mark.parametrize(
    "module",
    [scepkit.testing, scepkit.testing.ca, scepkit.testing.faults],
    ids=lambda m: m.__name__,
)
def test_the_examples_in_docstrings_work(module: object) -> None:
    result = doctest.testmod(module)  # type: ignore[arg-type]
    assert result.attempted > 0
    assert result.failed == 0
