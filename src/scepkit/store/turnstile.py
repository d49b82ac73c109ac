"""Where the processes that write to one SQLite file wait for one another.

SQLite's own waiting is asking again, ever more rarely, while the process that has just written asks
again at once: under load one process writes and the others starve.  Here, whoever wants to write
first takes a lock that is no more than a place at the head of the queue, keeps it until it has
SQLite's, and gives it up then.  So whoever has just written comes after the one who waits.

The lock is a courtesy: nothing depends on it but the order.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # not a POSIX system: everybody asks again and again
    fcntl = None  # type: ignore[assignment]

#: Seconds between two tries to get to the head of the queue.
_AGAIN = 0.001


class Turnstile:
    """The head of the queue, as a lock on a file that is beside the database."""

    def __init__(self, path: Path) -> None:
        self._descriptor: int | None = None
        with suppress(OSError):
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def enter(self, deadline: float) -> None:
        """Wait for the head of the queue, until a moment of `time.monotonic` at most."""
        if self._descriptor is None or fcntl is None:
            return
        while True:
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            if time.monotonic() >= deadline:
                return
            time.sleep(_AGAIN)

    def leave(self) -> None:
        """Let the next one come to the head of the queue."""
        if self._descriptor is not None and fcntl is not None:
            with suppress(OSError):
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Give the file back; it stays where it is, because others may have it open."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
