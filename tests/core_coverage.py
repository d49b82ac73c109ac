"""A pytest plugin for a whole run: the protocol core must be covered, every line and branch.

`scripts/test` switches it on (with `--cov`) when it is called without arguments; it reads what
pytest-cov has written when the tests are done.
"""

from __future__ import annotations

import io

import coverage
import pytest

#: In percent of lines and branches together.
REQUIRED = 100.0

_REPORT = pytest.StashKey[str]()


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    config = session.config
    # With failed tests the coverage says little, and their report should be the last to be read.
    whole = session.exitstatus == pytest.ExitCode.OK and not config.getoption("collectonly")
    if hasattr(config, "workerinput") or not whole:
        return
    measured = coverage.Coverage()
    measured.load()
    report = io.StringIO()
    covered = measured.report(
        include=["*/scepkit/core/*", "*/scepkit/errors.py"], file=report, show_missing=True
    )
    if covered < REQUIRED:
        config.stash[_REPORT] = report.getvalue()
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    report = config.stash.get(_REPORT, None)
    if report is not None:
        terminalreporter.section("the protocol core is not covered", red=True)
        terminalreporter.write(report)
