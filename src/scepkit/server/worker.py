"""What the processes of a server do: workers answer requests, one more does the background jobs.

The rules of this file: a process that is asked to stop finishes what is under way; one whose
supervisor is gone stops as well; a reload that fails leaves everything as it was, and says why.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from scepkit.errors import ConfigErrors, ScepError
from scepkit.server.app import create_app
from scepkit.server.backend import LOOK_SECONDS, Backend, MakeBackend
from scepkit.server.background import Background, Job
from scepkit.server.counting import Board
from scepkit.server.front import Front, site_of
from scepkit.server.journal import RequestJournal
from scepkit.server.limits import Buckets
from scepkit.server.listening import Listener, make_listener
from scepkit.server.logs import set_up, with_fields
from scepkit.server.metrics import Metrics
from scepkit.server.monitoring import Monitor
from scepkit.server.settings import Settings, load_settings
from scepkit.server.signalling import accept_reloads
from scepkit.server.threads import Threads

log = logging.getLogger("scepkit.server")

#: What a process tells its supervisor.
READY, RELOADED, KEPT = b"r", b"l", b"k"
#: How often a process lets the others see its counters, in seconds.
_PUBLISH_SECONDS = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Shared:
    """What all processes of a server have from their supervisor.

    Attributes:
        config, environ: where settings are read from, again on a reload.
        listening: the socket that all of them accept connections from.
        alive: the reading end of a pipe that is closed when the supervisor is gone.
    """

    config: Path
    environ: Mapping[str, str]
    listening: socket.socket
    board: Board
    buckets: Buckets
    make_backend: MakeBackend
    alive: int


@dataclass(frozen=True, slots=True, eq=False)
class Post:
    """A process's place among the others.

    Attributes:
        name: for the log.
        place: of its counters on the board.
        settings: what it starts with.
        tell: the writing end of a pipe to the supervisor.
    """

    name: str
    place: int
    settings: Settings
    tell: int

    def say(self, word: bytes) -> None:
        """Tell the supervisor something; it may be gone."""
        with contextlib.suppress(OSError):
            os.write(self.tell, word)


def report(error: ScepError, event: str) -> None:
    """Log why something cannot work: a line for each reason."""
    for one in error.errors if isinstance(error, ConfigErrors) else (error,):
        fields = {"reason": str(one)} | ({"hint": one.hint} if one.hint else {})
        log.error(event, extra=with_fields(fields))


def reload_backend(shared: Shared, backend: Backend) -> Settings | None:
    """Read the settings again and take them up; None when they cannot work."""
    try:
        settings = load_settings(shared.config, shared.environ)
        backend.reload(settings)
    except ScepError as error:
        report(error, "reload failed, the old settings are kept")
        return None
    set_up(settings.log)
    return settings


# ------------------------------------------------------------------ requests


def answer_requests(shared: Shared, post: Post) -> None:
    """Be a worker until asked to stop."""
    backend = shared.make_backend(post.settings)
    try:
        asyncio.run(_Worker(shared, post, backend).run())
    finally:
        backend.close()


class _Worker:
    def __init__(self, shared: Shared, post: Post, backend: Backend) -> None:
        self._shared, self._post, self._backend = shared, post, backend
        server = post.settings.server
        site = site_of(post.settings, backend.service)
        self._metrics = Metrics(shared.board, post.place)
        self._front = Front(
            site,
            threads=Threads(server.threads, server.waiting),
            buckets=shared.buckets,
            journal=RequestJournal(self._metrics),
        )
        self._chores = Threads(1, 8, name="chores")
        monitor = Monitor(self._front, self._metrics, backend.health)
        self._listener: Listener = make_listener(
            create_app(self._front, monitor),
            max_body=server.max_body,
            request_seconds=server.request_timeout.total_seconds(),
            stop_seconds=server.stop_timeout.total_seconds(),
        )

    async def run(self) -> None:
        """Answer requests until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        reloads = asyncio.Event()
        loop.add_signal_handler(signal.SIGHUP, reloads.set)
        accept_reloads()
        loop.add_reader(self._shared.alive, self._orphaned)
        tasks = [
            asyncio.create_task(self._reload_when(reloads)),
            asyncio.create_task(self._look()),
            asyncio.create_task(self._publish()),
            asyncio.create_task(self._say_ready()),
        ]
        await self._listener.serve(sockets=[self._shared.listening])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._metrics.publish()
        self._front.threads.close()

    def _stop(self) -> None:
        self._listener.should_exit = True

    def _orphaned(self) -> None:
        asyncio.get_running_loop().remove_reader(self._shared.alive)
        log.error(
            "the supervising process is gone", extra=with_fields({"process": self._post.name})
        )
        self._stop()

    async def _say_ready(self) -> None:
        while not self._listener.started:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(0.01)
        self._post.say(READY)

    async def _reload_when(self, asked: asyncio.Event) -> None:
        while True:
            await asked.wait()
            asked.clear()
            settings = await self._chores.run(lambda: reload_backend(self._shared, self._backend))
            if settings is None:
                self._post.say(KEPT)
                continue
            self._front.site = site_of(settings, self._backend.service)
            self._listener.set_limits(
                max_body=settings.server.max_body,
                request_seconds=settings.server.request_timeout.total_seconds(),
            )
            self._post.say(RELOADED)

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            try:
                await self._chores.run(self._backend.look)
            except ScepError as error:
                log.warning("cannot look for changes: %s", error)
            except Exception as error:  # the next look may go better
                log.error("cannot look for changes", exc_info=error)

    async def _publish(self) -> None:
        # Not in a thread: the counters are the event loop's.
        while True:
            await asyncio.sleep(_PUBLISH_SECONDS)
            self._metrics.publish()


# ------------------------------------------------------------------ jobs


def do_jobs(shared: Shared, post: Post) -> None:
    """Do the background jobs until asked to stop."""
    backend = shared.make_backend(post.settings)
    shared.listening.close()
    metrics = Metrics(shared.board, post.place)
    chores = (
        Job("look", LOOK_SECONDS, lambda now: backend.look()),
        Job("publish", _PUBLISH_SECONDS, lambda now: metrics.publish()),
    )
    background = Background((*backend.jobs, *chores), metrics)
    wanted: set[int] = set()
    woken = threading.Event()

    def on_signal(number: int, frame: object) -> None:
        wanted.add(number)
        woken.set()

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, on_signal)
    accept_reloads()
    threading.Thread(
        target=_watch, args=(shared.alive, lambda: on_signal(signal.SIGTERM, None)), daemon=True
    ).start()
    background.start()
    post.say(READY)
    while signal.SIGTERM not in wanted:
        woken.wait()
        woken.clear()
        if signal.SIGHUP in wanted:
            wanted.discard(signal.SIGHUP)
            done = reload_backend(shared, backend) is not None
            post.say(RELOADED if done else KEPT)
    # What does not end in time is taken up by another process, when its lease is over.
    if background.stop(post.settings.server.stop_timeout.total_seconds()):
        backend.close()
    metrics.publish()


def _watch(alive: int, gone: Callable[[], None]) -> None:
    """Wait until the supervisor is gone."""
    with contextlib.suppress(OSError):
        os.read(alive, 1)
    gone()
