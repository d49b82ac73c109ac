"""A server of a transcript: `scepkit serve` as a process of its own, steered by words.

In a transcript the line ``ca config=DIR/scepkit.toml`` starts it and sets $URL; ``ca-now stop``,
``ca-now reload`` and ``ca-now settle`` (wait until it has taken up what commands did) steer it.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import ExitStack, closing
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

_SERVING = re.compile(r"serving address=(\S+)")
#: Seconds for anything that a server does.
PATIENCE = 30.0
#: Seconds between two looks at what is waited for.
_PAUSE = 0.1
#: The CAs that a process serves, as /metrics has them.
_SERVED = re.compile(r'scep_ca_certificate_not_after_seconds\{ca="([^"]+)",status="([^"]+)"\}')


class RunningServer:
    """A server that runs.

    Attributes:
        url: where, without a path.
        lines: what it has logged.
    """

    def __init__(
        self, config: Path, *, workers: int = 1, environment: Mapping[str, str] | None = None
    ) -> None:
        self.lines: list[str] = []
        self._database = config.parent / "scepkit.db"
        self._arrived: queue.Queue[str | None] = queue.Queue()
        clean = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("SCEPKIT_", "COV_", "COVERAGE_"))
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "scepkit", "serve", "--config", str(config),
             "--bind", "127.0.0.1:0", "--workers", str(workers)],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**clean, **(environment or {})},
            start_new_session=True,
        )  # fmt: skip
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            self.url = f"http://{self.wait_for(_SERVING)[1]}"
        except BaseException:
            self.stop()
            raise

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._arrived.put(line)
        self._arrived.put(None)

    def wait_for(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Read the log until a line matches."""
        deadline = time.monotonic() + PATIENCE
        while True:
            line = self._arrived.get(timeout=max(0.0, deadline - time.monotonic()))
            assert line is not None, f"the server ended:\n{''.join(self.lines)}"
            self.lines.append(line)
            if match := pattern.search(line):
                return match

    def reload(self) -> None:
        """Let it read its configuration again."""
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(re.compile(r"INFO (reloaded|reload failed)"))

    def settle(self) -> None:
        """Let its CAs and their CRLs become what the database says, and each notice be tried."""
        deadline = time.monotonic() + PATIENCE
        while not self._is_settled():
            assert time.monotonic() < deadline, "the server does not take up what was done"
            time.sleep(_PAUSE)

    def _is_settled(self) -> bool:
        with closing(sqlite3.connect(self._database)) as connection:
            rows = connection.execute(
                "SELECT name, generation, status, status <> 'staged' AND (crl_dirty_at IS NOT NULL"
                " OR id NOT IN (SELECT ca_id FROM crl)) FROM ca"
            ).fetchall()
            untried = connection.execute(
                "SELECT count(*) FROM outbox WHERE done_at IS NULL AND last_error = ''"
            ).fetchone()[0]
        with closing(HTTPConnection(urlsplit(self.url).netloc, timeout=PATIENCE)) as asking:
            asking.request("GET", "/metrics")
            served = _SERVED.findall(asking.getresponse().read().decode())
        known = [
            (name if generation == 1 else f"{name}~{generation}", status)
            for name, generation, status, _ in rows
        ]
        return sorted(served) == sorted(known) and not any(due for *_, due in rows) and not untried

    def stop(self) -> int:
        """Let it end, and everything it started."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        finally:
            self._reader.join(PATIENCE)
            assert self.process.stderr is not None
            self.process.stderr.close()


class Conversation:
    """The servers of one transcript."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.server: RunningServer | None = None

    def start(self, words: dict[str, str]) -> dict[str, str]:
        """Start a server."""
        self.server = RunningServer(
            self._directory / words.pop("config"), workers=int(words.pop("workers", "1"))
        )
        self._stack.callback(self.server.stop)
        assert not words
        return {"URL": self.server.url}

    def change(self, words: dict[str, str]) -> None:
        """Do something to the server that runs."""
        assert self.server is not None, "there is no server"
        for name in words:
            match name:
                case "stop":
                    assert self.server.stop() == 0
                case "reload":
                    self.server.reload()
                case "settle":
                    self.server.settle()
                case _:
                    raise AssertionError(f"no such switch: {name}")
