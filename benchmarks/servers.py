"""The servers that are measured: ours with each of its databases, and Debian's scepserver.

Each is new, with an RSA-2048 CA and nothing issued.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tests.interop import micromdm
from tests.store.postgres_server import PostgresServer

KINDS = ("sqlite", "postgresql", "scepserver")
_SCEPKIT = (sys.executable, "-m", "scepkit")
#: Of util-linux, as nsenter is.
_HELD = ("taskset", "--cpu-list", "0")
_SERVING = re.compile(r"serving address=(\S+)")
_FREE = '\n[profile.default.rate_limit]\nper_address = "1000000/s"\naddress_burst = 1000000\n'
#: Seconds until a server must have started, or must have ended.
_PATIENCE = 60


@dataclass(frozen=True)
class Server:
    """A server that runs.

    Attributes:
        pid: of its first process; the others are below it.
        database: the first process of a database of its own, or 0.
        inside: how a command gets where it is reached.
    """

    pid: int
    database: int
    url: str
    certificate: x509.Certificate
    challenges: Callable[[int], list[str]]
    inside: Callable[[list[str]], list[str]]


@dataclass(frozen=True)
class Kind:
    """A server that can be started; `held` to one processor with all that it does."""

    kind: str
    workers: int = 0
    held: bool = False

    @property
    def name(self) -> str:
        """How it is called in tables."""
        if self.kind == "scepserver":
            return "scepserver (Debian)"
        database = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[self.kind]
        held = " on one processor" if self.held else ""
        return f"scepkit, {database}, {self.workers}{held}"


def kinds(named: Sequence[str], workers: Sequence[int], held: bool) -> list[Kind]:
    """Each server that is named, ours with each number of workers.

    :param held: also ours with one worker on one processor: what others are multiples of.
    """
    found = []
    for one in named:
        if one == "scepserver":
            found.append(Kind(one))
            continue
        found += [Kind(one, 1, held=True)] if held else []
        found += [Kind(one, number) for number in workers]
    return found


@contextmanager
def running(one: Kind, place: Path | None) -> Iterator[Server]:
    """A server with an RSA-2048 CA, with nothing in it.

    :param place: where its folder is made; PostgreSQL has its own.
    """
    with tempfile.TemporaryDirectory(prefix="scepkit-bench-", dir=place) as made:
        folder = Path(made)
        match one.kind:
            case "scepserver":
                with micromdm.scepserver(folder) as peer:
                    yield Server(
                        peer.namespace.pid,
                        0,
                        peer.url,
                        peer.ca_certificate,
                        lambda count: [micromdm.CHALLENGE] * count,
                        lambda command: peer.namespace.command(*command),
                    )
            case "sqlite":
                with serving(initialised(folder), one.workers, held=one.held) as server:
                    yield server
            case _:
                postgres = PostgresServer(fsync=True)
                try:
                    config = initialised(folder, "--database", postgres.url("postgres"))
                    with serving(config, one.workers, postgres.pid, held=one.held) as server:
                        yield server
                finally:
                    postgres.remove()


def initialised(folder: Path, *options: str) -> Path:
    """Make a CA as `scepkit init` does; its configuration."""
    (folder / "passphrase").write_text("benchmark")
    command = [*_SCEPKIT, "init", str(folder / "ca")]
    command += ["--passphrase-file", str(folder / "passphrase"), *options]
    subprocess.run(command, check=True, capture_output=True)
    config = folder / "ca" / "scepkit.toml"
    config.write_text(config.read_text() + _FREE)
    return config


@contextmanager
def serving(
    config: Path, workers: int, database: int = 0, *, held: bool = False
) -> Iterator[Server]:
    """scepkit's server: challenges once only, its policy, audit trail and durability as always."""

    def challenges(count: int) -> list[str]:
        made: list[str] = []
        while len(made) < count:
            command = [*_SCEPKIT, "challenge", "new", "--config", str(config), "--quiet"]
            command += ["--count", str(min(10_000, count - len(made)))]
            done = subprocess.run(command, check=True, capture_output=True, text=True)
            made += done.stdout.split()
        return made

    log = config.with_name("log")
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*(_HELD if held else ()), *_SCEPKIT, "serve", "--config", str(config),
             "--bind", "127.0.0.1:0", "--workers", str(workers)],
            stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        )  # fmt: skip
    try:
        yield Server(
            process.pid,
            database,
            f"http://{_address(log, process)}/scep",
            x509.load_pem_x509_certificate((config.parent / "keys" / "main.pem").read_bytes()),
            challenges,
            list,
        )
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _address(log: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        if found := _SERVING.search(log.read_text()):
            return found[1]
        time.sleep(0.05)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")
