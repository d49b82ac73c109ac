"""The processes of a server, as their supervisor sees them, and what they say to each other.

The rule of this file: what a process says is one byte, and what the supervisor says to it as well;
when either end is gone the other one notices, because no third process holds it.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from scepkit.errors import (
    ConfigError,
    ConfigErrors,
    KeyUnavailable,
    ScepError,
    StoreUnavailable,
)
from scepkit.server.accepting import OpenConnections
from scepkit.server.backend import MakeBackend
from scepkit.server.counting import Board
from scepkit.server.limits import Buckets
from scepkit.server.logs import with_fields
from scepkit.server.settings import Settings
from scepkit.server.signalling import fork

log = logging.getLogger("scepkit.server")

#: What the supervisor says: read the settings and be ready for them; take them up; forget them.
PREPARE, COMMIT, ABANDON = b"p", b"c", b"a"
#: What a process answers: it does its work; it could be ready, or not; it has taken them up.
READY, PREPARED, REFUSED, COMMITTED = b"r", b"P", b"R", b"C"

#: How long to wait before a process that died young is started again, in seconds: doubled each
#: time up to the most, forgotten when it lives for a while.
_FIRST_PAUSE, _LONGEST_PAUSE, _A_WHILE = 0.25, 30.0, 10.0


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What all processes of a server have from their supervisor.

    Attributes:
        config, environ: where settings are read from, again on a reload.
        listening: the socket that all of them accept connections from.
        connections: how many each worker has open.
    """

    config: Path
    environ: Mapping[str, str]
    listening: socket.socket
    connections: OpenConnections
    board: Board
    buckets: Buckets
    make_backend: MakeBackend


@dataclass(frozen=True, slots=True, eq=False)
class Post:
    """A process's place among the others.

    Attributes:
        name: for the log.
        place: of its counters on the board.
        settings: what it starts with.
        link: to the supervisor; at its end when the supervisor is gone.
    """

    name: str
    place: int
    settings: Settings
    link: socket.socket

    def say(self, word: bytes) -> None:
        """Tell the supervisor something; it may be gone."""
        with contextlib.suppress(OSError):
            self.link.send(word)


Task = Callable[[Shared, Post], None]


@dataclass(slots=True, eq=False)
class Process:
    """A place for a process, and who is in it.

    Attributes:
        pid: 0 while there is none.
        start_at: when the next one is started, on the monotonic clock.
        link: to the process, or None.
        ready: it does its work.
        serves: the number of the settings that it has.
        owes: which answer it owes during a reload, or b"".
    """

    name: str
    place: int
    task: Task
    pid: int = 0
    start_at: float = 0.0
    link: socket.socket | None = field(default=None, repr=False)
    ready: bool = False
    serves: int = 0
    owes: bytes = b""
    _started: float = 0.0
    _pause: float = _FIRST_PAUSE

    def start(self, shared: Shared, settings: Settings, number: int, others: list[Process]) -> None:
        """Start a process with these settings, or put it off while there is no room for it.

        :param others: whose links are not the new one's business.
        """
        try:
            ours, theirs = socket.socketpair()
        except OSError as error:
            self._put_off(error)
            return
        ours.setblocking(False)
        try:
            pid = fork()
        except OSError as error:
            ours.close()
            theirs.close()
            self._put_off(error)
            return
        if not pid:
            ours.close()
            for other in others:
                if other.link is not None:
                    other.link.close()
            self._become(shared, Post(self.name, self.place, settings, theirs))
        theirs.close()
        self.pid, self.link, self.serves = pid, ours, number
        self._started, self.ready, self.owes = time.monotonic(), False, b""
        log.info("started", extra=with_fields({"process": self.name, "pid": pid}))

    def _put_off(self, error: OSError) -> None:
        self._wait_longer(time.monotonic())
        fields = {"process": self.name, "reason": error.strerror or str(error)}
        log.error("cannot be started now", extra=with_fields(fields))

    def _wait_longer(self, now: float) -> None:
        self.start_at = now + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE)

    def _become(self, shared: Shared, post: Post) -> NoReturn:
        code = 1
        try:
            self.task(shared, post)
            code = 0
        except ScepError as error:
            report(error, f"{self.name} cannot work")
        except BaseException as error:  # a process ends here, whatever happened
            log.critical("%s failed", self.name, exc_info=error)
        finally:
            end(code)

    def tell(self, word: bytes) -> None:
        """Say something to the process; it may be gone, which SIGCHLD tells."""
        if self.link is not None:
            with contextlib.suppress(OSError):
                self.link.send(word)

    def heard(self) -> bytes:
        """What the process said since."""
        if self.link is None:
            return b""
        try:
            words = self.link.recv(100)
        except BlockingIOError:
            return b""
        except OSError:
            words = b""
        if not words:
            # It has ended, or is about to: SIGCHLD says how.
            self._forget_link()
        return words

    def ended(self) -> str:
        """How the process ended, or "" when it did not."""
        pid, status = os.waitpid(self.pid, os.WNOHANG)
        if not pid:
            return ""
        now = time.monotonic()
        if now - self._started >= _A_WHILE:
            self._pause, self.start_at = _FIRST_PAUSE, now
        else:
            self._wait_longer(now)
        self.pid, self.ready, self.owes = 0, False, b""
        self._forget_link()
        return _how(status)

    def kill(self, number: int) -> None:
        """Send a signal to the process, if there is one."""
        if self.pid:
            os.kill(self.pid, number)

    def _forget_link(self) -> None:
        if self.link is not None:
            self.link.close()
            self.link = None


def report(error: ScepError, event: str) -> None:
    """Log why something cannot work: a line for each reason."""
    for one in error.errors if isinstance(error, ConfigErrors) else (error,):
        fields = {"reason": str(one)} | ({"hint": one.hint} if one.hint else {})
        log.error(event, extra=with_fields(fields))


def tried(act: Callable[[], None], seconds: float, event: str) -> int:
    """Let a process of its own try something; if it cannot be done, that logs why.

    :returns: the exit code: 0 when it can be done, else as the commands have it.
    """
    try:
        pid = fork()
    except OSError as error:
        log.error(event, extra=with_fields({"reason": error.strerror or str(error)}))
        return 1
    if not pid:
        code = 1
        try:
            act()
            code = 0
        except ScepError as error:
            report(error, event)
            code = _code_of(error)
        except BaseException as error:  # the process ends here, whatever happened
            log.critical(event, exc_info=error)
        finally:
            end(code)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.WEXITSTATUS(status) if os.WIFEXITED(status) else 1
        time.sleep(0.01)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    log.error("%s: trying it took longer than %g seconds", event, seconds)
    return 1


def _code_of(error: ScepError) -> int:
    """2 for what is wrong with the configuration, 5 for what is away and may come back."""
    if isinstance(error, ConfigError):
        return 2
    return 5 if isinstance(error, (StoreUnavailable, KeyUnavailable)) else 1


def end(code: int) -> NoReturn:
    """End this process, without the supervisor's own business at its exit."""
    logging.shutdown()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)


def _how(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"
