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
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from scepkit.errors import ConfigError, ScepError
from scepkit.server.backend import MakeBackend, ScepBackend, prepare
from scepkit.server.binding import allow_many_files, bound_to, listen
from scepkit.server.counting import Board
from scepkit.server.limits import Buckets
from scepkit.server.logs import set_up, with_fields
from scepkit.server.notifying import notify, reloading, watchdog_seconds
from scepkit.server.settings import Settings, load_settings
from scepkit.server.signalling import Arrived, fork, signals
from scepkit.server.worker import (
    KEPT,
    READY,
    RELOADED,
    Post,
    Shared,
    answer_requests,
    do_jobs,
    report,
)

log = logging.getLogger("scepkit.server")

#: How long to wait before a process that died young is started again, in seconds: doubled each
#: time up to the most, forgotten when it lives for a while.
_FIRST_PAUSE, _LONGEST_PAUSE, _A_WHILE = 0.25, 30.0, 10.0
#: How long processes get beyond their own limit to stop, in seconds.
_GRACE = 5.0
#: How long settings may be tried, in seconds: a database that does not answer is no good one.
_TRIAL = 60.0
#: Settings that a running server cannot take up.
_FIXED = ("server.bind", "server.workers", "server.threads", "server.waiting", "database")


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
    try:
        with contextlib.closing(listen(bind)) as listening:
            supervisor = _Supervisor(config, environ, settings, listening, make_backend, make_ready)
            return supervisor.run()
    finally:
        if bind.path:
            Path(bind.path).unlink(missing_ok=True)


@dataclass(slots=True)
class _Process:
    """A place for a process, and who is in it."""

    name: str
    place: int
    task: Callable[[Shared, Post], None]
    pid: int = 0
    started: float = 0.0
    pause: float = _FIRST_PAUSE
    start_at: float = 0.0
    told: int = -1
    ready: bool = False
    answered_reload: bool = True


@dataclass(slots=True)
class _Supervisor:
    config: Path
    environ: Mapping[str, str]
    settings: Settings
    listening: socket.socket
    make_backend: MakeBackend
    make_ready: Callable[[Settings], None]
    processes: list[_Process] = field(default_factory=list)
    shared: Shared = field(init=False)
    alive: int = -1
    announced: bool = False
    reload_failed: bool = False

    # ------------------------------------------------------------------ the whole life

    def run(self) -> int:
        """Start the processes and keep them until asked to stop."""
        count = self.settings.server.workers or os.cpu_count() or 1
        tried = self._try(self.settings, first=True)
        if tried:
            return tried
        reading, self.alive = os.pipe()
        self.shared = Shared(
            self.config,
            self.environ,
            self.listening,
            Board(count + 1),
            Buckets(),
            self.make_backend,
            reading,
        )
        self.processes = [
            _Process(f"worker-{number + 1}", number, answer_requests) for number in range(count)
        ]
        self.processes.append(_Process("jobs", count, do_jobs))
        # What is there now stays where it is, so that the processes can share its memory.
        gc.collect()
        gc.freeze()
        with signals() as arrived:
            for process in self.processes:
                self._start(process)
            return self._watch(arrived)

    def _watch(self, arrived: Arrived) -> int:
        beat = watchdog_seconds(self.environ)
        while True:
            pipes = [process.told for process in self.processes if process.told >= 0]
            numbers, readable = arrived(self._wait(beat), pipes)
            for pipe in readable:
                self._listen_to(pipe)
            if signal.SIGTERM in numbers or signal.SIGINT in numbers:
                return self._stop(arrived)
            self._reap()
            if signal.SIGHUP in numbers:
                self._reload()
            now = time.monotonic()
            for process in self.processes:
                if not process.pid and process.start_at <= now:
                    self._start(process)
            if beat is not None:
                notify(self.environ, "WATCHDOG=1")

    def _wait(self, beat: float | None) -> float:
        """How long nothing is to be done, in seconds."""
        now = time.monotonic()
        pauses = [one.start_at - now for one in self.processes if not one.pid]
        return max(0.0, min([60.0 if beat is None else beat, *pauses]))

    # ------------------------------------------------------------------ processes

    def _start(self, process: _Process) -> None:
        reading, writing = os.pipe()
        os.set_blocking(reading, False)
        pid = fork()
        if not pid:
            os.close(reading)
            self._become(process, writing)
        os.close(writing)
        process.pid, process.told = pid, reading
        process.started, process.ready, process.answered_reload = time.monotonic(), False, True
        log.info("started", extra=with_fields({"process": process.name, "pid": pid}))

    def _become(self, process: _Process, writing: int) -> None:
        """Be that process; does not return."""
        code = 1
        try:
            os.close(self.alive)
            for other in self.processes:
                if other.told >= 0:
                    os.close(other.told)
            process.task(self.shared, Post(process.name, process.place, self.settings, writing))
            code = 0
        except ScepError as error:
            report(error, f"{process.name} cannot work")
        except BaseException as error:  # a process ends here, whatever happened
            log.critical("%s failed", process.name, exc_info=error)
        finally:
            _end(code)

    def _listen_to(self, pipe: int) -> None:
        process = next(one for one in self.processes if one.told == pipe)
        with contextlib.suppress(BlockingIOError):
            words = os.read(pipe, 100)
            if not words:
                # It has ended, or is about to: SIGCHLD says how.
                os.close(pipe)
                process.told = -1
                return
            if READY in words:
                process.ready = True
                self._announce()
            if RELOADED in words or KEPT in words:
                self.reload_failed |= KEPT in words
                process.answered_reload = True
                self._reload_answered()

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
            if not process.pid:
                continue
            pid, status = os.waitpid(process.pid, os.WNOHANG)
            if not pid:
                continue
            now = time.monotonic()
            if now - process.started >= _A_WHILE:
                process.pause = _FIRST_PAUSE
                process.start_at = now
            else:
                process.start_at = now + process.pause
                process.pause = min(process.pause * 2, _LONGEST_PAUSE)
            process.pid = 0
            self._forget(process)
            fields = {
                "process": process.name,
                "pid": pid,
                "how": _ending(status),
                "again_in_s": round(process.start_at - now, 3),
            }
            log.error("a process ended that should not have", extra=with_fields(fields))

    def _forget(self, process: _Process) -> None:
        if process.told >= 0:
            os.close(process.told)
            process.told = -1
        if not process.answered_reload:
            process.answered_reload = True
            self._reload_answered()

    # ------------------------------------------------------------------ reload

    def _reload(self) -> None:
        notify(self.environ, *reloading())
        log.info("reloading")
        try:
            settings = load_settings(self.config, self.environ)
        except ConfigError as error:
            report(error, "reload failed, the old settings are kept")
            self._reload_done("reload failed, see the log")
            return
        if self._try(settings, first=False):
            self._reload_done("reload failed, see the log")
            return
        for path in _changed(self.settings, settings):
            log.warning("a restart is needed for this", extra=with_fields({"setting": path}))
        self.settings, self.reload_failed = settings, False
        set_up(settings.log)
        for process in self.processes:
            if process.pid:
                process.answered_reload = False
                os.kill(process.pid, signal.SIGHUP)

    def _reload_answered(self) -> None:
        if all(process.answered_reload for process in self.processes):
            failed = self.reload_failed
            self._reload_done("reload failed in part, see the log" if failed else "reloaded")

    def _reload_done(self, status: str) -> None:
        log.info(status)
        notify(self.environ, "READY=1", f"STATUS={status}")

    def _try(self, settings: Settings, *, first: bool) -> int:
        """Try whether the settings can work, in another process; returns its exit code."""
        said = "cannot start" if first else "reload failed, the old settings are kept"
        pid = fork()
        if not pid:
            code = 1
            try:
                if first:
                    self.make_ready(settings)
                self.make_backend(settings).close()
                code = 0
            except ScepError as error:
                report(error, said)
            except BaseException as error:  # the process ends here, whatever happened
                log.critical(said, exc_info=error)
            finally:
                _end(code)
        deadline = time.monotonic() + _TRIAL
        while time.monotonic() < deadline:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        log.error("%s: trying it took longer than %g seconds", said, _TRIAL)
        return 1

    # ------------------------------------------------------------------ stop

    def _stop(self, arrived: Callable[[float, list[int]], tuple[set[int], list[int]]]) -> int:
        log.info("stopping")
        notify(self.environ, "STOPPING=1")
        # Whoever comes now is refused at once, and not when everything is over.
        self.listening.close()
        self._kill(signal.SIGTERM)
        deadline = time.monotonic() + self.settings.server.stop_timeout.total_seconds() + _GRACE
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
                pid, _ = os.waitpid(process.pid, os.WNOHANG)
                if pid:
                    process.pid = 0
        log.info("stopped")
        return 0

    def _kill(self, number: int) -> None:
        for process in self.processes:
            if process.pid:
                os.kill(process.pid, number)


def _changed(old: Settings, new: Settings) -> list[str]:
    """The settings among those a running server cannot take up which are different now."""

    def value(settings: Settings, path: str) -> object:
        found: object = settings
        for part in path.split("."):
            found = getattr(found, part)
        return found

    return [path for path in _FIXED if value(old, path) != value(new, path)]


def _ending(status: int) -> str:
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return f"exit code {code}"
    try:
        return signal.Signals(-code).name
    except ValueError:
        return f"signal {-code}"


def _end(code: int) -> None:
    """End this process, without the supervisor's own business at its exit."""
    logging.shutdown()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(code)
