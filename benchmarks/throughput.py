"""The command behind `benchmarks/server`: whole enrolments, over HTTP, on real servers.

A round is: the bare cryptography, then as many enrolments as were asked for, then the bare
cryptography again.  A ratio is (CPU of the server's processes for an enrolment) / (CPU of the
cryptography that an enrolment cannot do without), both of the same round.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from benchmarks import fleet, load
from tests.interop.micromdm import scepserver
from tests.store.postgres_server import PostgresServer

#: Between these, a page has the table.
_BEGIN, _END = "<!-- benchmarks/server -->", "<!-- end -->"
_COLUMNS = (
    *("connections", "enrolments/s", "CPU ms", "floor ms", "ratio", "p50 ms", "p99 ms"),
    *("largest process MB", "issued", "duplicates", "faults"),
)
_SERVING = re.compile(r"serving address=(\S+)")
_TICKS = os.sysconf("SC_CLK_TCK")
_FREE = '\n[profile.default.rate_limit]\nper_address = "1000000/s"\naddress_burst = 1000000\n'


@dataclass(frozen=True)
class Server:
    """A server that runs: `inside` is how a command gets where it is reached."""

    name: str
    pid: int
    url: str
    certificate: x509.Certificate
    challenges: Callable[[int], list[str]]
    inside: Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Round:
    """One round: enrolments a second, CPU and latencies in milliseconds, memory in MB."""

    rate: float
    cpu: float
    floor: float
    p50: float
    p99: float
    memory: float
    issued: int
    duplicates: int
    faults: str


def main() -> None:
    """Print how many enrolments a second a server does, and what each costs it."""
    parser = argparse.ArgumentParser(prog="benchmarks/server", description=main.__doc__)
    parser.add_argument("--enrolments", type=int, default=2000, help="in a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument("--connections", type=int, nargs="*", default=[64, 1])
    parser.add_argument("--workers", type=int, nargs="*", default=[1, 2])
    parser.add_argument("--only", choices=["sqlite", "postgresql", "scepserver"])
    parser.add_argument("--markdown", type=Path, help="a page whose table is written anew")
    options = parser.parse_args()
    lines = [_cells("server", *_COLUMNS), _cells("---", *["---:"] * len(_COLUMNS))]
    before = os.getloadavg()[0]
    print("\n".join(lines))
    for kind in [options.only] if options.only else ["sqlite", "postgresql", "scepserver"]:
        for workers in options.workers if kind != "scepserver" else [0]:
            with running(kind, workers) as server:
                for connections in options.connections:
                    rounds = [
                        one_round(server, options.enrolments, connections, number)
                        for number in range(options.rounds)
                    ]
                    lines.append(row(server.name, connections, rounds))
                    print(lines[-1], flush=True)
    if options.markdown:
        told = (
            f"{machine()}\n\nMedian of {options.rounds} rounds of {options.enrolments} enrolments"
        )
        told += f" (lowest to highest); load average before: {before:.1f}.\n"
        write_page(options.markdown, "\n".join([told, *lines]))


def _cells(*texts: str) -> str:
    return f"| {' | '.join(texts)} |"


def row(name: str, connections: int, rounds: list[Round]) -> str:
    """A line of the table: medians, and the lowest and highest."""

    def spread(value: Callable[[Round], float], digits: int) -> str:
        found = sorted(map(value, rounds))
        middle = statistics.median(found)
        return f"{middle:.{digits}f} ({found[0]:.{digits}f} to {found[-1]:.{digits}f})"

    faults = ", ".join(sorted({one.faults for one in rounds if one.faults})) or "none"
    return _cells(
        name,
        str(connections),
        spread(lambda one: one.rate, 0),
        spread(lambda one: one.cpu, 2),
        spread(lambda one: one.floor, 2),
        spread(lambda one: one.cpu / one.floor, 2),
        spread(lambda one: one.p50, 1),
        spread(lambda one: one.p99, 1),
        spread(lambda one: one.memory, 0),
        str(sum(one.issued for one in rounds)),
        str(sum(one.duplicates for one in rounds)),
        faults,
    )


def machine() -> str:
    """What the figures were taken on, and with."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    return (
        f"{model[1] if model else platform.machine()}, {os.cpu_count()} processors,"
        f" Linux {platform.release()}; Python {platform.python_version()},"
        f" cryptography {version('cryptography')}, SQLite {sqlite3.sqlite_version}."
    )


def write_page(page: Path, text: str) -> None:
    """Put a text between the marks of a page."""
    before, _, rest = page.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n\n{_END}{after}")


def one_round(server: Server, count: int, connections: int, number: int) -> Round:
    """Enrol `count` devices."""
    prefix = f"d{connections}-{number}-"
    made = fleet.enrolments(server.certificate, server.challenges(count), prefix=prefix)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "bodies"
        file.write_bytes(load.packed(one.message for one in made))
        command = [sys.executable, "-m", "benchmarks.load", server.url, str(file)]
        command += ["--connections", str(connections)]
        floor = floor_milliseconds()
        before = cpu_seconds(server.pid)
        done = subprocess.run(server.inside(command), capture_output=True, text=True, check=True)
        spent = cpu_seconds(server.pid) - before
        memory = max(map(megabytes, below(server.pid)))
        floor = (floor + floor_milliseconds()) / 2
        replies = list(load.unpacked(file.with_suffix(".replies").read_bytes()))
    told = json.loads(done.stdout)
    read = fleet.read_replies(made, replies, server.certificate)
    return Round(
        rate=count / told["seconds"],
        cpu=spent / count * 1000,
        floor=floor,
        p50=told["p50"] * 1000,
        p99=told["p99"] * 1000,
        memory=memory,
        issued=read.issued,
        duplicates=read.duplicates,
        faults=", ".join(f"{times} x {fault}" for fault, times in read.faults.items()),
    )


def floor_milliseconds(repeats: int = 300) -> float:
    """CPU of what it cannot do without: 3 private operations, 2 verifications, 1 encryption.

    The verifications are with a key that was not used before: that of the request.
    """
    key = rsa.generate_private_key(65537, 2048)
    pkcs1, sha256, data = padding.PKCS1v15(), hashes.SHA256(), bytes(300)
    spki = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(data, pkcs1, sha256)
    encrypted = key.public_key().encrypt(bytes(16), pkcs1)

    def once() -> float:
        began = time.thread_time()
        public = load_der_public_key(spki)
        assert isinstance(public, rsa.RSAPublicKey)
        public.verify(signature, data, pkcs1, sha256)
        key.decrypt(encrypted, pkcs1)
        public.verify(signature, data, pkcs1, sha256)
        key.sign(data, pkcs1, sha256)
        public.encrypt(bytes(16), pkcs1)
        key.sign(data, pkcs1, sha256)
        return time.thread_time() - began

    return statistics.median(once() for _ in range(repeats)) * 1000


def cpu_seconds(pid: int) -> float:
    """CPU that a process and those below it have used."""
    total = 0.0
    for one in below(pid):
        fields = Path(f"/proc/{one}/stat").read_text().rsplit(")", 1)[1].split()
        total += (int(fields[11]) + int(fields[12])) / _TICKS
    return total


def megabytes(pid: int) -> float:
    """What a process has in memory (RSS)."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def below(pid: int) -> list[int]:
    """A process, its children, theirs, ..."""
    found = [pid]
    for one in found:
        children = Path(f"/proc/{one}/task/{one}/children").read_text().split()
        found += map(int, children)
    return found


@contextmanager
def running(kind: str, workers: int) -> Iterator[Server]:
    """A server with an RSA-2048 CA, with nothing in it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if kind == "scepserver":
            with scepserver(folder) as peer:
                yield Server(
                    "scepserver (Debian)",
                    peer.namespace.pid,
                    peer.url,
                    peer.ca_certificate,
                    lambda count: ["an interop challenge"] * count,
                    lambda command: peer.namespace.command(*command),
                )
            return
        if kind == "sqlite":
            with ours(folder, f"scepkit, SQLite, {workers}", [], workers) as server:
                yield server
            return
        postgres = PostgresServer(fsync=True)
        try:
            url = ["--database", postgres.url("postgres")]
            with ours(folder, f"scepkit, PostgreSQL, {workers}", url, workers) as server:
                yield server
        finally:
            postgres.remove()


@contextmanager
def ours(folder: Path, name: str, options: list[str], workers: int) -> Iterator[Server]:
    """scepkit's server: challenges once only, its policy, audit trail and durability as always."""
    (folder / "passphrase").write_text("benchmark")
    scepkit = [sys.executable, "-m", "scepkit"]
    home = folder / "ca"
    subprocess.run(
        [*scepkit, "init", str(home), "--passphrase-file", str(folder / "passphrase"), *options],
        check=True,
        capture_output=True,
    )
    config = home / "scepkit.toml"
    config.write_text(config.read_text() + _FREE)

    def challenges(count: int) -> list[str]:
        made: list[str] = []
        while len(made) < count:
            command = [*scepkit, "challenge", "new", "--config", str(config), "--quiet"]
            command += ["--count", str(min(10_000, count - len(made)))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            made += done.stdout.split()
        return made

    log = folder / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*scepkit, "serve", "--config", str(config), "--bind", "127.0.0.1:0",
             "--workers", str(workers)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Server(
            name,
            process.pid,
            f"http://{_address(log)}/scep",
            x509.load_pem_x509_certificate((home / "keys" / "main.pem").read_bytes()),
            challenges,
            list,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(30)


def _address(log: Path) -> str:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if found := _SERVING.search(log.read_text()):
            return found[1]
        time.sleep(0.05)
    sys.exit(f"the server did not start:\n{log.read_text()}")


if __name__ == "__main__":
    main()
