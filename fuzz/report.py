"""What came of fuzzing: executions, edges, lines; and the few inputs that are kept.

The rule of this file: numbers are libFuzzer's and coverage.py's own, nothing is estimated.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

#: The inputs in the repository; beside what `Harness.seeds` makes.
CORPUS = Path(__file__).parent / "corpus"
#: Where the inputs of long runs are, and what was found.
WORK = Path(".fuzz")
#: Of the inputs in the repository, for each harness.
MOST_KEPT = 11_000

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
    from scepkit.errors import ScepError

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
    """Keep the smallest inputs of a folder that was merged by libFuzzer; gives their bytes."""
    kept = CORPUS / name
    kept.mkdir(parents=True, exist_ok=True)
    for old in kept.iterdir():
        old.unlink()
    total = 0
    for path in sorted(folder.iterdir(), key=lambda one: (one.stat().st_size, one.name)):
        size = path.stat().st_size
        if total + size > MOST_KEPT:
            break
        (kept / path.name[:16]).write_bytes(path.read_bytes())
        total += size
    return total


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
