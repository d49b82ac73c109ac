"""A CA as it is run: a folder with its files, and `scepkit serve` on one or more nodes.

The rule of this file: everything is a process of its own, so that it can be killed like one.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import deque
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from scepkit.core.certificates import CertificateView, view_of
from scepkit.keys import pem, private_key_pem
from scepkit.server import admin
from scepkit.server.backend import open_database
from scepkit.server.settings import Settings, load_settings
from scepkit.store import Store
from tests import pki

#: Seconds for anything that a server does, on a slow and busy machine.
PATIENCE = 60.0

_YEAR = timedelta(days=365)
_STARTED = re.compile(r" started process=(\S+) pid=(\d+)")
_SERVING = re.compile(r"serving address=[^ ]*?:(\d+)\b")
_BAD = re.compile(r" (CRITICAL|ERROR) |Traceback|Error:|Warning:")

CONFIG = """
[server]
workers = {workers}
lease = "{lease}"
[database]
url = "{database}"
[secrets]
challenge_key = "{key}"
[ca.main]
key = "ca.key.pem"
certificate = "ca.pem"
[[ra.main.decrypt]]
key = "ra.key.pem"
certificate = "ra.pem"
[profile.default]
ra = "main"
[profile.default.auth]
challenge = {{ ttl = "30d" }}
renewal = {{ window = "3650d" }}
"""


@dataclass
class Site:
    """An RSA CA behind an RSA RA; requests need a one-time challenge or a certificate.

    Attributes:
        directory: where its files are, and the database if it is SQLite.
        database: the URL.
        lease: how long an operation waits when the process that had it died.
    """

    directory: Path
    database: str = "sqlite:///scepkit.db"
    workers: int = 2
    lease: str = "1s"
    ca: pki.Identity = field(init=False)
    ra: pki.Identity = field(init=False)
    settings: Settings = field(init=False)

    def __post_init__(self) -> None:
        today = datetime.now(UTC).replace(microsecond=0)
        since, until = today - timedelta(days=30), today + 3 * _YEAR
        self.ca = pki.root("rsa2048-a", not_before=since, not_after=until)
        self.ra = pki.ra(self.ca, "rsa2048-b", not_before=since, not_after=until)
        for name, identity in (("ca", self.ca), ("ra", self.ra)):
            (self.directory / f"{name}.pem").write_bytes(pem(identity.certificate))
            (self.directory / f"{name}.key.pem").write_bytes(private_key_pem(identity.key))
        self.config.write_text(
            CONFIG.format(
                workers=self.workers, lease=self.lease, database=self.database, key="k" * 32
            )
        )
        self.settings = load_settings(self.config, {})

    @property
    def config(self) -> Path:
        return self.directory / "scepkit.toml"

    def opened(self) -> Store:
        """The database, for whoever is no node."""
        return open_database(self.settings)

    def mint(self, store: Store, count: int) -> list[str]:
        """One-time challenges."""
        made = admin.mint_challenges(
            store, self.settings, "default", count=count, actor="test", now=datetime.now(UTC)
        )
        return [one.secret for one in made]

    # What a device has to know (`Surroundings`).

    @property
    def now(self) -> datetime:
        return datetime.now(UTC)

    @property
    def recipient(self) -> CertificateView:
        return view_of(self.ra.certificate)

    @property
    def issuer(self) -> bytes:
        return self.ca.certificate.subject.public_bytes()


class Node:
    """A machine of a site: `scepkit serve` with all its processes.

    Attributes:
        port: the one it was given first, which it keeps.
        pids: its processes by name, as far as its log was read.
        problems: the last lines of its log that somebody should look at.
    """

    def __init__(self, site: Site, name: str = "node1") -> None:
        self.site = site
        self.name = name
        self.port = 0
        self.pids: dict[str, int] = {}
        self.problems: deque[str] = deque(maxlen=1000)
        self.starts = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._log_path = site.directory / f"{name}.log"
        self._position = 0

    def start(self) -> Node:
        """Start it, and wait until it serves."""
        known = ("SCEPKIT_", "COV_", "COVERAGE_")
        clean = {name: value for name, value in os.environ.items() if not name.startswith(known)}
        bind = f"127.0.0.1:{self.port}"
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "scepkit", "serve", "--config", str(self.site.config),
                 "--bind", bind],
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log,
                env={**clean, "SCEPKIT_SERVER__NODE": self.name}, start_new_session=True,
            )  # fmt: skip
        self.starts += 1
        found = self.said(_SERVING)
        self.port = int(found[1])
        return self

    def said(self, pattern: re.Pattern[str], seconds: float = PATIENCE) -> re.Match[str]:
        """The next line of the log that matches, as soon as it is there."""
        deadline = time.monotonic() + seconds
        while True:
            for line in self.read_log():
                if match := pattern.search(line):
                    return match
            ended = self.process is not None and self.process.poll() is not None
            text = self._log_path.read_text()[-5000:]
            assert not ended, f"the server ended:\n{text}"
            assert time.monotonic() < deadline, f"{pattern.pattern!r} was not said in\n{text}"
            time.sleep(0.02)

    def read_log(self) -> list[str]:
        """The lines that have come since; who was started is kept, and what is amiss."""
        with self._lock:
            with self._log_path.open("rb") as log:
                log.seek(self._position)
                data = log.read()
            whole = data[: data.rfind(b"\n") + 1]
            self._position += len(whole)
            lines = whole.decode(errors="replace").splitlines()
            for line in lines:
                if match := _STARTED.search(line):
                    self.pids[match[1]] = int(match[2])
                if _BAD.search(line):
                    self.problems.append(line)
            return lines

    def kill(self) -> None:
        """SIGKILL for everything at once, as when a machine loses its power."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE)

    def kill_process(self, name: str) -> bool:
        """SIGKILL for one process; whether it was there."""
        self.read_log()
        try:
            os.kill(self.pids[name], signal.SIGKILL)
        except (KeyError, ProcessLookupError):
            return False
        return True

    def stop(self) -> int:
        """Let it end in order; returns its exit code."""
        assert self.process is not None
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        finally:
            self.read_log()
