"""Our own server under its own tester: no failure in any of its modes."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from scepkit.conformance.answers import Answer
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Need
from scepkit.conformance.telling import told_by_types
from scepkit.conformance.verdicts import Kind
from tests.conformance.own_server import Minted, own_server
from tests.conformance.running import checks, results_of, session_for, told

pytestmark = pytest.mark.timeout(180)

MODES = {"CA": (), "RA": ("--ra",), "EC behind an RA": ("--key-type", "ec:p256")}
#: What a plain set-up gives no cause to test: a waiting request, a staged CA, AES-GCM, a bundle.
_NO_CAUSE = {"T15", "T76", "T86", "T91", "T94"}
_SLOW = {"T99", "T103", "T104", "T97"}


@pytest.mark.parametrize("mode", MODES)
def test_our_server_has_no_fault(mode: str, tmp_path: Path) -> None:
    wanted = [
        check
        for check in checks()
        if check.theme != "timing" and (mode == "CA" or check.id not in _SLOW)
    ]
    with own_server(tmp_path, *MODES[mode]) as server:
        expired = server.operator.mint(age=timedelta(hours=2))
        with session_for(
            server.url,
            trust=server.ca,
            challenges=Minted(server.operator, bound=True),
            bound_challenges=True,
            expired_challenge=expired,
            revoke=server.operator.revoke,
            allow_issue=True,
            intrusive=True,
        ) as session:
            report = results_of(session, wanted)
            assert told_by_types(Probe(session, seconds=60)) is None
    assert not told(report.results)
    assert report.exit_code == 0
    skipped = {one.check.id for one in report.results if one.kind is Kind.SKIPPED}
    assert skipped == _NO_CAUSE | ({"T09"} if mode == "CA" else set())


def test_times_of_our_server_tell_nothing(tmp_path: Path) -> None:
    with (
        own_server(tmp_path) as server,
        session_for(
            server.url,
            trust=server.ca,
            challenges=Minted(server.operator),
            allow_issue=True,
            intrusive=True,
            samples=20,
        ) as session,
    ):
        report = results_of(session, checks("T72", "T73"))
    # On a busy machine they may be inconclusive; only a difference is a fault.
    assert not report.count(Kind.FAIL), told(report.results)


def test_requests_wait_for_a_person_at_our_server(tmp_path: Path) -> None:
    manual = (("# manual = true", "manual = true"), ("challenge = {", "# challenge = {"))
    with (
        own_server(tmp_path, changes=manual) as server,
        session_for(
            server.url,
            trust=server.ca,
            approve=server.operator.approve,
            deny=server.operator.deny,
            allow_issue=True,
        ) as session,
    ):
        report = results_of(session, checks("T20", "T52", "T8[6-9]", "T90", "T91"))
        first = session.shared["baseline"]
        assert isinstance(first, Answer)
        assert first.pending
        assert told_by_types(Probe(session, seconds=60)) is None
    assert not told(report.results)
    passed = {one.check.id for one in report.results if one.kind is Kind.PASS}
    assert passed == {"T20", "T52", "T86", "T87", "T88", "T89", "T91"}


def test_our_next_ca_issues_before_it_takes_over(tmp_path: Path) -> None:
    with own_server(tmp_path) as server:
        config = str(tmp_path / "ca" / "scepkit.toml")
        subprocess.run(
            [sys.executable, "-m", "scepkit", "ca", "rollover", "stage", "--config", config],
            check=True, stdin=subprocess.DEVNULL, capture_output=True, timeout=60,
        )  # fmt: skip
        server.reload()
        with session_for(
            server.url,
            trust=server.ca,
            challenges=Minted(server.operator),
            allow_issue=True,
        ) as session:
            report = results_of(session, checks("T15", "T94"))
    assert not told(report.results)
    assert report.count(Kind.PASS) == 2, told(report.results)


def test_nothing_is_issued_without_leave(tmp_path: Path) -> None:
    with (
        own_server(tmp_path) as server,
        session_for(server.url, trust=server.ca, challenges=Minted(server.operator)) as session,
    ):
        report = results_of(session, checks())
        assert not session.issued
        assert server.operator.office.store.read(
            lambda tx: tx.all("SELECT count(*) FROM certificate", {})
        ) == [(0,)]
    ran = {one.check for one in report.results if one.kind is not Kind.SKIPPED}
    assert ran
    assert not any(Need.ISSUE in check.needs or Need.INTRUSIVE in check.needs for check in ran)
