"""The command behind `benchmarks/profile`: where the processor time of a worker goes.

A server with one worker that is held to one processor enrols for 64 connections, and perf looks a
thousand times a second at what its processes are doing.  The floor is measured in the same round.
"""

from __future__ import annotations

import argparse
import re
import shutil
import signal
import subprocess
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from operator import itemgetter
from pathlib import Path

from benchmarks import machine, page
from benchmarks.servers import Kind, running
from benchmarks.throughput import Round, one_round

_CONNECTIONS = 64
_SHARE = re.compile(r"^ *([0-9.]+)% +(\S.*?) *$", re.MULTILINE)
_INTERPRETER = "Python's interpreter"
#: What a file of code belongs to, by the begin of its name.
_OWNERS = {
    "_rust": "OpenSSL and Rust, in `cryptography`: the floor, digests, AES",
    "python": _INTERPRETER,
    "libpython": _INTERPRETER,
    "[": "the kernel: sockets, files, forcing the log to the disk",
    "libc.": "the C library: mostly memory",
    "libsqlite3": "SQLite",
    "_sqlite3": "SQLite",
    "libpq": "PostgreSQL's client",
    "_psycopg": "PostgreSQL's client",
    "pq.": "PostgreSQL's client",
}
_REST = "the rest: HMAC and SHA-256 of Python's own OpenSSL, greenlet, the HTTP parser, JSON"


def main() -> None:
    """Print where the processor time of a worker goes."""
    parser = argparse.ArgumentParser(prog="benchmarks/profile", description=main.__doc__)
    parser.add_argument("--enrolments", type=int, default=4000, help="(default 4000)")
    parser.add_argument("--folder", type=Path, help="where SQLite's files are to be")
    parser.add_argument("--markdown", type=Path, help="a page whose tables are written anew")
    options = parser.parse_args()
    if shutil.which("perf") is None:
        raise SystemExit("there is no perf: install it (on Debian: linux-perf)")
    told = [machine.described()]
    for one in (Kind("sqlite", 1, held=True), Kind("postgresql", 1, held=True)):
        found, shares = profiled(one, options.enrolments, options.folder)
        told.append(f"**{one.name}**, {options.enrolments} enrolments:\n\n{table(found, shares)}")
    text = "\n\n".join(told)
    print(text)
    if options.markdown:
        page.write(options.markdown, "profile", text)


def profiled(one: Kind, enrolments: int, place: Path | None) -> tuple[Round, dict[str, float]]:
    """What a round took, and of 100 samples how many were whose."""
    with tempfile.TemporaryDirectory() as folder, running(one, place) as server:
        one_round(server, 200, _CONNECTIONS, 0, 60)
        file = Path(folder) / "samples"
        with _watched(machine.below(server.pid), file):
            found = one_round(server, enrolments, _CONNECTIONS, 1, 60)
        command = ["perf", "report", "--stdio", "--sort", "dso", "--input", str(file)]
        report = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    shares: dict[str, float] = defaultdict(float)
    for share, name in _SHARE.findall(report):
        shares[_owner(name)] += float(share)
    return found, shares


@contextmanager
def _watched(pids: list[int], file: Path) -> Iterator[None]:
    """Have perf look at these processes, which do nothing before and after what is measured."""
    command = ["perf", "record", "--quiet", "--event", "cpu-clock", "--freq", "1000"]
    command += ["--pid", ",".join(map(str, pids)), "--output", str(file)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as perf:
        try:
            yield
        finally:
            perf.send_signal(signal.SIGINT)
            _, problem = perf.communicate()
    if not file.exists():
        raise SystemExit(f"perf did not watch: {problem.strip()}")


def _owner(name: str) -> str:
    return next((owner for begin, owner in _OWNERS.items() if name.startswith(begin)), _REST)


def table(found: Round, shares: dict[str, float]) -> str:
    """What each part takes for an enrolment, and what would be left without the interpreter."""
    total = sum(shares.values())
    lines = ["| | % | ms | × the floor |", "|---|---:|---:|---:|"]
    for owner, share in sorted(shares.items(), key=itemgetter(1), reverse=True):
        took = found.cpu * share / total
        lines.append(f"| {owner} | {share:.0f} | {took:.2f} | {took / found.floor:.2f} |")
    lines.append(f"| together | 100 | {found.cpu:.2f} | {found.cpu / found.floor:.2f} |")
    left = found.cpu * (1 - shares[_INTERPRETER] / total)
    lines.append(f"| without the interpreter | | {left:.2f} | {left / found.floor:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
