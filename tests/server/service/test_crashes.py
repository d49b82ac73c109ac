"""Promises P1 to P7 under SIGKILL, at every step once; `scripts/crash-test` does it at length."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from scepkit.server import checkpoints
from tests.server.service.crashing import STEPS


@pytest.mark.timeout(600)
def test_killed_at_every_step_nothing_is_lost_and_nothing_is_twice(empty_url: str) -> None:
    # A program of its own: it forks, which a process with threads must not.
    command = [sys.executable, "-m", "tests.server.service.crash_run", "--json"]
    done = subprocess.run(
        [*command, "--kills", "70", "--database", empty_url],
        capture_output=True,
        timeout=580,
        check=False,
    )
    assert done.stdout, done.stderr.decode()
    found = json.loads(done.stdout)
    assert {name: number for name, number in found["broken"].items() if number} == {}, found
    assert found["kills"] >= 70
    wanted = {f"{kind}: {step}" for kind, steps in STEPS.items() for step in steps}
    assert wanted - found["by step"].keys() == set()
    assert done.returncode == 0


def test_no_step_is_left_out() -> None:
    assert {step for steps in STEPS.values() for step in steps} == set(checkpoints.STEPS)
