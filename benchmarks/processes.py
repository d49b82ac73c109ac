"""Whole processes: how long a command takes from its start to its end, and how much processor time.

Every command is run once a round, in turns, so that a change of the machine's speed meets all.
What is given are medians; the processor time is that of the process and of those it waited for.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

_SLOWING = {"PYTHONDONTWRITEBYTECODE", "PYTHONPROFILEIMPORTTIME", "COVERAGE_PROCESS_START"}


def _nothing() -> None:
    """No preparation."""


@dataclass(frozen=True)
class Command:
    """A command to measure; `prepare` runs before each start and is not measured."""

    name: str
    argv: Sequence[str]
    prepare: Callable[[], None] = _nothing


@dataclass
class Samples:
    """What was measured of one command, in milliseconds."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


class CommandFailedError(Exception):
    """A command to be measured did not succeed."""


def run_once(command: Command) -> tuple[float, float]:
    """Run a command; wall and processor time in milliseconds.

    :raises CommandFailedError: it ended with an error; its output is in the text.
    """
    command.prepare()
    # As installed: the modules are compiled once, not at each start.
    environment = {name: os.environ[name] for name in os.environ if name not in _SLOWING}
    start = time.perf_counter()
    process = subprocess.Popen(
        command.argv,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    assert process.stdout is not None
    with process.stdout as stream:
        output = stream.read()
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - start
    # Popen must not wait for a process that is gone.
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise CommandFailedError(f"{command.name}: {output.decode('utf-8', 'replace').strip()}")
    return wall * 1000, (usage.ru_utime + usage.ru_stime) * 1000


def measure(commands: Sequence[Command], rounds: int) -> dict[str, Samples]:
    """Run every command `rounds` times, in turns, after one time that does not count."""
    samples = {command.name: Samples() for command in commands}
    for number in range(rounds + 1):
        for command in commands:
            wall, cpu = run_once(command)
            if number:
                samples[command.name].wall.append(wall)
                samples[command.name].cpu.append(cpu)
    return samples


def table(samples: dict[str, Samples], unit: str, title: str) -> str:
    """The medians as text, with the ratio of the wall time to that of the command `unit`."""
    one = statistics.median(samples[unit].wall)
    lines = [title, "", f"{'':<46}{'wall ms':>9}{'CPU ms':>9}{'ratio':>8}"]
    for name, found in samples.items():
        wall, cpu = statistics.median(found.wall), statistics.median(found.cpu)
        lines.append(f"{name:<46}{wall:>9.1f}{cpu:>9.1f}{wall / one:>8.2f}")
    return "\n".join(lines)
