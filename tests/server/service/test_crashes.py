"""Promises P1 to P6 under SIGKILL, at every step once; `scripts/crash-test` does it at length."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.server.service.crashing import MUST_BE_NOTHING, STEPS


@pytest.mark.timeout(300)
def test_killed_at_every_step_nothing_is_lost_and_nothing_is_twice(empty_url: str) -> None:
    # A program of its own: it forks, which a process with threads must not.
    command = [sys.executable, "-m", "tests.server.service.crashing", "--json"]
    done = subprocess.run(
        [*command, "--kills", "60", "--database", empty_url],
        capture_output=True,
        timeout=280,
        check=False,
    )
    assert done.stdout, done.stderr.decode()
    verdict = json.loads(done.stdout)
    assert {name: verdict[name] for name in MUST_BE_NOTHING if verdict[name]} == {}
    assert verdict["kills"] >= 60
    wanted = {f"{kind}: {step}" for kind, steps in STEPS.items() for step in steps}
    assert wanted - verdict["by step"].keys() == set()
    assert done.returncode == 0
