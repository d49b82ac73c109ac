"""`scepkit check` against Debian's scepserver: what it finds is what the manual shows."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scepkit.conformance.challenges import Static
from scepkit.conformance.report.text import WORDS
from scepkit.conformance.runner import Report
from tests.conformance.running import checks, results_of, session_for
from tests.interop.micromdm import CHALLENGE, scepserver

pytestmark = [pytest.mark.interop, pytest.mark.timeout(180)]

PAGE = Path(__file__).parent.parent.parent / "docs" / "check" / "micromdm-scepserver.md"
#: How many requests at once go wrong is another number each time.
_BY_CHANCE = {"T103", "T104"}


def run_it(folder: Path) -> Report:
    wanted = [
        check for check in checks() if check.cls.value in "MSOQ" and check.id not in _BY_CHANCE
    ]
    with scepserver(folder) as server:

        def inside() -> Report:
            with session_for(
                server.url,
                trust=server.ca_certificate,
                challenges=Static(CHALLENGE),
                allow_issue=True,
                intrusive=True,
            ) as session:
                return results_of(session, wanted)

        return server.namespace.run(inside)


def test_the_page_shows_what_the_tester_finds(tmp_path: Path) -> None:
    report = run_it(tmp_path)
    shown = {
        number: word
        for word, number in re.findall(
            r"^    (pass|FAIL|warn|skip|\?) +(T\d+) ", PAGE.read_text(), re.M
        )
        if number not in _BY_CHANCE
    }
    assert {one.check.id: WORDS[one.kind] for one in report.results} == shown
    found = {one.check.id: one.verdict.text for one in report.results}
    assert "single DES" in found["T25"]
    assert "sha1" in found["T26"]
    assert "copy of the client's" in found["T22"]
    assert "HTTP 500" in found["T87"]
    assert report.exit_code == 10
