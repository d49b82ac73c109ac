"""What came of fuzzing: executions, edges, lines; and the few inputs that are kept.

The rule of this file: numbers are libFuzzer's and coverage.py's own, nothing is estimated.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any, TypeAlias

from fuzz.harnesses import Harness
from scepkit.errors import ScepError

#: The inputs in the repository; beside what `Harness.seeds` makes.
CORPUS = Path(__file__).parent / "corpus"
#: Where the inputs of long runs are, and what was found.
WORK = Path(".fuzz")
#: Of the inputs in the repository, for each harness.
MOST_KEPT = 11_000

Tracer: TypeAlias = Callable[..., Any]
#: File, line before, line.
Step: TypeAlias = tuple[str, int, int]
_PACKAGE = f"{os.sep}scepkit{os.sep}"

_EXECUTIONS = re.compile(r"^stat::number_of_executed_units:\s*(\d+)", re.MULTILINE)
_PROGRESS = re.compile(r"^#(\d+)\t.*?\bcov: (\d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one run of a harness did.

    Attributes:
        executions: of inputs; edges: of scepkit's code that were met.
        findings: files with inputs that break the invariant.
    """

    name: str
    executions: int
    edges: int
    seconds: float
    findings: tuple[Path, ...]


def read_log(name: str, log: str, seconds: float, findings: Iterable[Path]) -> Outcome:
    """The outcome of a run, from what libFuzzer printed."""
    progress = _PROGRESS.findall(log)
    final = _EXECUTIONS.search(log)
    executions = int(final[1]) if final else max((int(number) for number, _ in progress), default=0)
    edges = max((int(edges) for _, edges in progress), default=0)
    return Outcome(name, executions, edges, seconds, tuple(findings))


def inputs(name: str, *folders: Path) -> list[bytes]:
    """The kept inputs of a harness, and those of the given folders."""
    found = []
    for folder in (CORPUS / name, *folders):
        if folder.is_dir():
            found += [path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()]
    return found


def lines_met(name: str, folder: Path) -> tuple[int, int]:
    """How many lines of `Harness.measured` the inputs run, and how many there are.

    To be called in a process of its own, that has imported nothing of them yet.
    """
    import coverage

    meter = coverage.Coverage(data_file=None, source_pkgs=["scepkit"], config_file=False)
    meter.start()
    from fuzz.harnesses import harness

    found = harness(name)
    for one in (*found.seeds(), *inputs(name, folder)):
        try:
            found.run(one)
        except ScepError:
            continue
    meter.stop()
    met = total = 0
    for module in found.measured:
        _, statements, _, missing, _ = meter.analysis2(importlib.import_module(module))
        total += len(statements)
        met += len(statements) - len(missing)
    return met, total


def keep(name: str, folder: Path) -> int:
    """Keep those inputs of a folder that run what smaller ones and the seeds do not; gives bytes.

    To be called in a process of its own: it traces every line.
    """
    from fuzz.harnesses import harness

    found = harness(name)
    met: set[Step] = set()
    for seed in found.seeds():
        met |= steps(found, seed)
    data = sorted(set(inputs(name, folder)), key=lambda one: (len(one), one))
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    for old in kept.iterdir():
        old.unlink()
    total = 0
    for one in data:
        new = steps(found, one) - met
        if new and total + len(one) <= MOST_KEPT:
            met |= new
            total += len(one)
            (kept / hashlib.sha256(one).hexdigest()[:16]).write_bytes(one)
    return total


def steps(found: Harness, data: bytes) -> set[Step]:
    """The steps from line to line in scepkit that an input makes."""
    made: set[Step] = set()
    last: dict[int, int] = {}

    def in_function(frame: FrameType, event: str, _: object) -> Tracer | None:
        if event == "line":
            name = frame.f_code.co_filename
            made.add((name, last.get(id(frame), 0), frame.f_lineno))
            last[id(frame)] = frame.f_lineno
        return in_function

    def anywhere(frame: FrameType, event: str, _: object) -> Tracer | None:
        last[id(frame)] = 0
        return in_function if _PACKAGE in frame.f_code.co_filename else None

    before = sys.gettrace()
    sys.settrace(anywhere)
    try:
        found.run(data)
    except ScepError:
        pass
    finally:
        sys.settrace(before)
    return made


def table(rows: Iterable[tuple[str, ...]]) -> str:
    """Columns of text, the first to the left and the others to the right."""
    listed = list(rows)
    widths = [max(len(row[at]) for row in listed) for at in range(len(listed[0]))]
    lines = []
    for row in listed:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
