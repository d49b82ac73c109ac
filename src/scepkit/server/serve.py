"""The server: a process that supervises others, which answer requests and do the background jobs.

    serve(Path("scepkit.toml"), os.environ)      # returns when it was asked to stop

    SIGTERM, SIGINT   stop, after what is under way; a second time: at once
    SIGHUP            read the configuration, keys and certificates again

The rules of this file: the supervisor has no threads and opens no database, so that it can be
forked at any time; it holds the listening socket, so that no connection is lost with a process
that dies; a configuration is tried in a process of its own before the others are told of it.
"""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scepkit.config import Address
from scepkit.errors import ConfigError
from scepkit.server import processors
from scepkit.server.accepting import OpenConnections
from scepkit.server.backend import MakeBackend, ScepBackend, prepare
from scepkit.server.binding import allow_many_files, bound_to, listen
from scepkit.server.counting import Board
from scepkit.server.limits import Buckets
from scepkit.server.logs import set_up, with_fields
from scepkit.server.notifying import notify, reloading, watchdog_seconds
from scepkit.server.processes import Process, Shared, report, tried
from scepkit.server.reloading import Outcome, Reload
from scepkit.server.settings import Settings, load_settings
from scepkit.server.signalling import Arrived, signals
from scepkit.server.worker import answer_requests, do_jobs

log = logging.getLogger("scepkit.server")

#: How long processes get beyond their own limit to stop, in seconds.
_GRACE = 5.0
#: How long settings may be tried, in seconds: at the start, when a large database may have to be
#: brought to this version, and on a reload, during which systemd's watchdog hears nothing.
_FIRST_TRIAL, _TRIAL = 3600.0, 25.0
_KEPT = "reload failed, the old settings are kept"
#: Settings that a running server cannot take up.
_FIXED = (
    "server.bind",
    "server.workers",
    "server.threads",
    "server.waiting",
    "server.lease",
    "database",
)


def serve(
    config: Path,
    environ: Mapping[str, str],
    *,
    make_backend: MakeBackend = ScepBackend,
    make_ready: Callable[[Settings], None] = prepare,
) -> int:
    """Run the server until it is asked to stop; returns the exit code.

    :param config: ``scepkit.toml``.
    :param environ: variables that stand above it (``SCEPKIT_SERVER__BIND``), the passphrase
        (``SCEPKIT_PASSPHRASE``), and systemd's; need not be the process's own.
    :param make_backend: makes what is behind HTTP, in each process.
    :param make_ready: brings the database to this version, once, before anything else.
    :raises ConfigError: the configuration cannot work.
    """
    settings = load_settings(config, environ)
    set_up(settings.log)
    allow_many_files()
    bind = settings.server.bind

    def trial() -> None:
        make_ready(settings)
        _try_out(make_backend, settings)

    with _listening(bind) as listening:
        if code := tried(trial, _FIRST_TRIAL, "cannot start"):
            return code
        return _Supervisor(config, environ, listening, make_backend).run(settings)


@contextlib.contextmanager
def _listening(bind: Address) -> Iterator[socket.socket]:
    """Listen until the end of the block, and take the file of a Unix socket away then.

    Only the socket that this server made: whoever cannot listen, because another one does, or has
    stopped while the next one begins, leaves that one alone.
    """
    with contextlib.closing(listen(bind)) as listening:
        made = _place(bind)
        try:
            yield listening
        finally:
            if bind.path and _place(bind) == made:
                Path(bind.path).unlink(missing_ok=True)


def _place(bind: Address) -> tuple[int, int, int] | None:
    """Which file a Unix socket has now: a later one may have the number of one that is gone."""
    try:
        found = Path(bind.path).stat() if bind.path else None
    except OSError:
        return None
    return found and (found.st_dev, found.st_ino, found.st_mtime_ns)


def _try_out(make_backend: MakeBackend, settings: Settings) -> None:
    """Put everything together once, and say what may not be meant so."""
    with contextlib.closing(make_backend(settings)) as backend:
        for caution in backend.cautions():
            log.warning("caution", extra=with_fields({"reason": caution}))


@dataclass(slots=True)
class _Supervisor:
    config: Path
    environ: Mapping[str, str]
    listening: socket.socket
    make_backend: MakeBackend
    shared: Shared = field(init=False)
    reload: Reload = field(init=False)
    processes: list[Process] = field(default_factory=list)
    announced: bool = False
    asked_again: bool = False

    # ------------------------------------------------------------------ the whole life

    def run(self, settings: Settings) -> int:
        """Start the processes and keep them until asked to stop."""
        count = processors.workers_for(settings.server.workers)
        self.shared = Shared(
            self.config,
            self.environ,
            self.listening,
            OpenConnections(count + 1),
            Board(count + 1),
            Buckets(),
            self.make_backend,
        )
        self.processes = [
            Process(f"worker-{number + 1}", number, answer_requests) for number in range(count)
        ]
        self.processes.append(Process("jobs", count, do_jobs))
        self.reload = Reload(settings, self.processes, self._reloaded)
        # What is there now stays where it is, so that the processes can share its memory.
        gc.collect()
        gc.freeze()
        with signals() as arrived:
            return self._watch(arrived)

    def _watch(self, arrived: Arrived) -> int:
        beat = watchdog_seconds(self.environ)
        while True:
            now = time.monotonic()
            for process in self.processes:
                if not process.pid and process.start_at <= now:
                    reload = self.reload
                    process.start(self.shared, reload.settings, reload.number, self.processes)
            links = {one.link.fileno(): one for one in self.processes if one.link is not None}
            numbers, readable = arrived(self._wait(beat), list(links))
            for number in readable:
                self.reload.heard(links[number], links[number].heard())
            self._announce()
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                return self._stop(arrived)
            self._reap()
            self.reload.proceed()
            if signal.SIGHUP in numbers or (self.asked_again and not self.reload.under_way):
                self._begin_reload()
            if beat is not None:
                notify(self.environ, "WATCHDOG=1")

    def _wait(self, beat: float | None) -> float:
        """How long nothing is to be done, in seconds."""
        now = time.monotonic()
        pauses = [one.start_at - now for one in self.processes if not one.pid]
        longest = 1.0 if self.reload.under_way else 60.0
        return max(0.0, min([longest if beat is None else min(beat, longest), *pauses]))

    def _announce(self) -> None:
        if self.announced or not all(process.ready for process in self.processes):
            return
        self.announced = True
        address = bound_to(self.listening)
        fields = {"address": address, "workers": len(self.processes) - 1}
        log.info("serving", extra=with_fields(fields))
        notify(self.environ, "READY=1", f"STATUS=serving at {address}", f"MAINPID={os.getpid()}")

    def _reap(self) -> None:
        for process in self.processes:
            pid = process.pid
            if not pid or not (how := process.ended()):
                continue
            self.shared.connections.leave(process.place)
            again = max(0.0, round(process.start_at - time.monotonic(), 3))
            fields = {"process": process.name, "pid": pid, "how": how, "again_in_s": again}
            log.error("a process ended that should not have", extra=with_fields(fields))

    # ------------------------------------------------------------------ reload

    def _begin_reload(self) -> None:
        self.asked_again = self.reload.under_way
        if self.asked_again:
            return
        notify(self.environ, *reloading())
        log.info("reloading")
        try:
            settings = load_settings(self.config, self.environ)
        except ConfigError as error:
            report(error, _KEPT)
            self._reloaded("reload failed, see the log")
            return
        if tried(lambda: _try_out(self.make_backend, settings), _TRIAL, _KEPT):
            self._reloaded("reload failed, see the log")
            return
        for path in _changed(self.reload.settings, settings):
            log.warning("a restart is needed for this", extra=with_fields({"setting": path}))
        self.reload.begin(settings)

    def _reloaded(self, outcome: Outcome) -> None:
        set_up(self.reload.settings.log)
        log.info(outcome)
        notify(self.environ, "READY=1", f"STATUS={outcome}")

    # ------------------------------------------------------------------ stop

    def _stop(self, arrived: Arrived) -> int:
        log.info("stopping")
        notify(self.environ, "STOPPING=1")
        # Whoever comes now is refused at once, and not when everything is over.
        self.listening.close()
        self._kill(signal.SIGTERM)
        patience = self.reload.settings.server.stop_timeout.total_seconds() + _GRACE
        deadline = time.monotonic() + patience
        while running := [process for process in self.processes if process.pid]:
            left = deadline - time.monotonic()
            if left <= 0:
                log.error("killed what did not stop in time")
                self._kill(signal.SIGKILL)
                deadline += _GRACE
                continue
            numbers, _ = arrived(min(left, 1.0), [])
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                self._kill(signal.SIGKILL)
            for process in running:
                process.ended()
        log.info("stopped")
        return 0

    def _kill(self, number: int) -> None:
        for process in self.processes:
            process.kill(number)


def _changed(old: Settings, new: Settings) -> list[str]:
    """The settings among those a running server cannot take up which are different now."""

    def value(settings: Settings, path: str) -> object:
        found: object = settings
        for part in path.split("."):
            found = getattr(found, part)
        return found

    return [path for path in _FIXED if value(old, path) != value(new, path)]
