"""The command behind `benchmarks/server`: whole enrolments, over HTTP, on real servers.

A round is: the bare cryptography, then as many enrolments as were asked for, then the bare
cryptography again.  A ratio is (CPU of the server's processes for an enrolment) / (CPU of the
cryptography that an enrolment cannot do without), both of the same round.  The servers take turns,
so that a change of the machine's speed meets all, and are compared round by round.

The rule of this file: what cannot be measured is in the table, with the reason, and holds up
nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from benchmarks import fleet, load, machine, page
from benchmarks.servers import KINDS, Kind, Server, kinds, running

_COLUMNS = (
    *("connections", "enrolments/s", "CPU ms", "floor ms", "ratio", "processors", "p50 ms"),
    *(
        "p99 ms",
        "database CPU ms",
        "load CPU ms",
        "others %",
        "MB",
        "issued",
        "duplicates",
        "faults",
    ),
)
#: Seconds beyond the time of a round until its load generator is stopped from outside.
_GRACE = 60


@dataclass(frozen=True)
class Round:
    """One round; CPU is for an answer, and like latencies in milliseconds.

    Attributes:
        rate: enrolments a second that succeeded.
        cpu, database, load: of the server, of PostgreSQL, of the load generator.
        processors: how many the server kept busy.
        others: percent of all processors that worked for none of these.
        memory: of the server's largest process, in MB.
    """

    rate: float
    cpu: float
    processors: float
    database: float
    floor: float
    p50: float
    p99: float
    load: float
    others: float
    memory: float
    issued: int
    duplicates: int
    faults: Counter[str]


@dataclass
class Row:
    """A line of the table: a server with so many connections at once."""

    kind: Kind
    connections: int
    rounds: list[Round] = field(default_factory=list)
    failed: str = ""

    @property
    def name(self) -> str:
        """For comparisons."""
        return f"{self.kind.name}, {self.connections} connections"


def main() -> None:
    """Print how many enrolments a second servers do, and what each costs."""
    parser = argparse.ArgumentParser(prog="benchmarks/server", description=main.__doc__)
    parser.add_argument("--enrolments", type=int, default=2000, help="in a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument("--connections", type=int, nargs="*", default=[64, 1])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument(
        "--no-held", action="store_true", help="leave out one worker held to one processor"
    )
    parser.add_argument("--only", nargs="*", choices=KINDS, default=KINDS)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="for a round, at most (default 60)"
    )
    parser.add_argument("--folder", type=Path, help="where SQLite's files are to be")
    parser.add_argument("--markdown", type=Path, help="a page whose table is written anew")
    options = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        disk = machine.disk(Path(folder))
    rows = measured(options)
    circumstances = (
        f"Median of {options.rounds} rounds of {options.enrolments} enrolments (lowest to"
        f" highest); load average before: {before:.1f}. To force 4 KiB to the disk took"
        f" {disk.p50:.1f} ms, and {disk.p99:.1f} ms or more once in 100 times."
    )
    told = [
        machine.described(),
        circumstances,
        "\n".join(table(rows)),
        "\n".join(comparisons(rows)),
    ]
    text = "\n\n".join(one for one in told if one)
    print(text)
    if options.markdown:
        page.write(options.markdown, "server", text)


# ------------------------------------------------------------------------------------- measuring


def measured(options: argparse.Namespace) -> list[Row]:
    """All rounds of all servers, in turns."""
    rows = [
        Row(one, connections)
        for one in kinds(options.only, options.workers, not options.no_held)
        for connections in options.connections
    ]
    with ExitStack() as stack:
        servers = {}
        for one in dict.fromkeys(row.kind for row in rows):
            try:
                servers[one] = stack.enter_context(running(one, options.folder))
            except (Exception, pytest.skip.Exception) as problem:
                for row in rows:
                    row.failed = _said(problem) if row.kind == one else row.failed
        for number in range(options.rounds):
            for row in rows:
                if not row.failed:
                    _measure(row, servers[row.kind], options, number)
    return rows


def _measure(row: Row, server: Server, options: argparse.Namespace, number: int) -> None:
    began = time.monotonic()
    try:
        found = one_round(server, options.enrolments, row.connections, number, options.seconds)
    except Exception as problem:  # whatever it is, the other rows are measured
        row.failed = _said(problem)
        print(f"{row.name}: {row.failed}", file=sys.stderr)
        return
    row.rounds.append(found)
    print(
        f"{row.name}, round {number + 1}: {found.rate:.0f} a second, {found.cpu:.2f} ms CPU"
        f" ({time.monotonic() - began:.0f} s)",
        file=sys.stderr,
    )


def _said(problem: BaseException) -> str:
    output = getattr(problem, "stderr", None) or str(problem) or type(problem).__name__
    text = output if isinstance(output, str) else output.decode(errors="replace")
    return text.strip().splitlines()[-1].replace("|", "/")[:200]


def one_round(server: Server, count: int, connections: int, number: int, seconds: float) -> Round:
    """Enrol `count` devices, or as many as there is time for."""
    prefix = f"d{connections}-{number}-"
    made = fleet.enrolments(server.certificate, server.challenges(count), prefix=prefix)
    watched = [server.pid, *([server.database] if server.database else [])]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bodies"
        file.write_bytes(load.packed(one.message for one in made))
        command = [sys.executable, "-m", "benchmarks.load", server.url, str(file)]
        command += ["--connections", str(connections), "--seconds", str(seconds)]
        floor = machine.floor_milliseconds()
        spent = [-machine.cpu_seconds(one) for one in watched]
        done = subprocess.run(
            server.inside(command),
            capture_output=True,
            text=True,
            check=True,
            timeout=seconds + _GRACE,
        )
        spent = [a + machine.cpu_seconds(one) for a, one in zip(spent, watched, strict=True)]
        memory = max(map(machine.megabytes, machine.below(server.pid)))
        floor = (floor + machine.floor_milliseconds()) / 2
        replies = list(load.unpacked(file.with_suffix(".replies").read_bytes()))
    told = load.Told(**json.loads(done.stdout))
    answered = [(one, reply) for one, reply in zip(made, replies, strict=True) if reply]
    read = fleet.read_replies(
        [one for one, _ in answered], [reply for _, reply in answered], server.certificate
    )
    late = Counter({"no answer in time": count - told.answered})
    refused = Counter({f"HTTP {status}": times for status, times in told.statuses.items()})
    del refused["HTTP 200"]
    return _round(told, read, +(read.faults + late + refused), floor, memory, *spent)


def _round(
    told: load.Told,
    read: fleet.Read,
    faults: Counter[str],
    floor: float,
    memory: float,
    cpu: float,
    database: float = 0.0,
) -> Round:
    if not told.answered:
        raise AssertionError(f"nothing was answered in {told.seconds:.0f} s")
    others = told.busy - told.cpu - cpu - database
    return Round(
        rate=read.issued / told.seconds,
        cpu=cpu / told.answered * 1000,
        processors=cpu / told.seconds,
        database=database / told.answered * 1000,
        floor=floor,
        p50=told.p50 * 1000,
        p99=told.p99 * 1000,
        load=told.cpu / told.answered * 1000,
        others=max(0.0, others / (told.seconds * (os.cpu_count() or 1)) * 100),
        memory=memory,
        issued=read.issued,
        duplicates=read.duplicates,
        faults=faults,
    )


# ----------------------------------------------------------------------------------------- telling


def table(rows: list[Row]) -> list[str]:
    """The table: medians of the rounds, and of some the lowest and highest."""
    lines = [_cells("server", *_COLUMNS), _cells("---", *["---:"] * len(_COLUMNS))]
    for row in rows:
        failed = [f"not measured: {row.failed}"] if row.failed else []
        if not row.rounds:
            lines.append(_cells(row.kind.name, str(row.connections), *[""] * 13, *failed))
            continue
        lines.append(_line(row, failed))
    return lines


def _line(row: Row, failed: list[str]) -> str:
    def spread(value: Callable[[Round], float], digits: int) -> str:
        return _spread([value(one) for one in row.rounds], digits)

    def middle(value: Callable[[Round], float], digits: int) -> str:
        return f"{statistics.median(map(value, row.rounds)):.{digits}f}"

    faults: Counter[str] = sum((one.faults for one in row.rounds), Counter())
    said = [f"{times} x {fault}" for fault, times in faults.most_common()] + failed
    return _cells(
        row.kind.name,
        str(row.connections),
        spread(lambda one: one.rate, 0),
        spread(lambda one: one.cpu, 2),
        middle(lambda one: one.floor, 2),
        spread(lambda one: one.cpu / one.floor, 2),
        middle(lambda one: one.processors, 2),
        spread(lambda one: one.p50, 1),
        spread(lambda one: one.p99, 1),
        middle(lambda one: one.database, 2) if row.kind.kind == "postgresql" else "",
        middle(lambda one: one.load, 3),
        middle(lambda one: one.others, 0),
        middle(lambda one: one.memory, 0),
        str(sum(one.issued for one in row.rounds)),
        str(sum(one.duplicates for one in row.rounds)),
        ", ".join(said) or "none",
    )


def comparisons(rows: list[Row]) -> list[str]:
    """Throughput beside throughput of the same round: workers among themselves, and servers."""
    lines = []
    for row in rows:
        for other in rows:
            if row.connections == other.connections and _is_above(row.kind, other.kind):
                pairs = zip(row.rounds, other.rounds, strict=False)
                ratios = [a.rate / b.rate for a, b in pairs if b.rate]
                if ratios:
                    names = f"{row.kind.name} to {other.kind.name}"
                    shown = _spread(ratios, 2)
                    lines.append(f"* {names}, {row.connections} connections: {shown} x")
    return ["Throughput of the same round:", "", *lines] if lines else []


def _is_above(one: Kind, other: Kind) -> bool:
    if one.kind == other.kind:
        return other.workers == 1 and (one.workers > 1 or (other.held and not one.held))
    return other.kind == "scepserver"


def _spread(values: list[float], digits: int) -> str:
    found = sorted(values)
    middle = statistics.median(found)
    return f"{middle:.{digits}f} ({found[0]:.{digits}f} to {found[-1]:.{digits}f})"


def _cells(*texts: str) -> str:
    return f"| {' | '.join(texts)} |"


if __name__ == "__main__":
    main()
