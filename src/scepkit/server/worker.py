"""What the processes of a server do: workers answer requests, one more does the background jobs.

The rules of this file: a process that is asked to stop finishes what is under way; one whose
supervisor is gone stops as well; a reload that fails leaves everything as it was, and says why.
"""

from __future__ import annotations

import asyncio
import logging
import signal
from functools import partial

from scepkit.errors import ScepError
from scepkit.server import processors
from scepkit.server.app import create_app
from scepkit.server.backend import LOOK_SECONDS, Backend
from scepkit.server.background import Background, Job
from scepkit.server.bench import Bench
from scepkit.server.front import Front, site_of
from scepkit.server.journal import RequestJournal
from scepkit.server.listening import Listener, limits_of, make_listener
from scepkit.server.logs import set_up, with_fields
from scepkit.server.metrics import Metrics
from scepkit.server.monitoring import Monitor
from scepkit.server.processes import (
    COMMIT,
    COMMITTED,
    PREPARE,
    PREPARED,
    READY,
    REFUSED,
    Post,
    Shared,
    end,
    report,
)
from scepkit.server.settings import Settings, load_settings
from scepkit.server.signalling import signals
from scepkit.server.threads import Threads

log = logging.getLogger("scepkit.server")

#: How often a process lets the others see its counters, in seconds.
_PUBLISH_SECONDS = 1.0
#: The longest a process sleeps when nothing happens, in seconds.
_SLEEP = 3600.0


class _Follower:
    """Does what the supervisor says about a reload."""

    def __init__(self, shared: Shared, backend: Backend) -> None:
        self._shared, self._backend = shared, backend
        self._coming: Settings | None = None

    def obey(self, word: bytes) -> tuple[bytes, Settings | None]:
        """Take one step: what to answer, and settings that are now in force."""
        if word == PREPARE:
            try:
                settings = load_settings(self._shared.config, self._shared.environ)
                self._backend.prepare(settings)
            except ScepError as error:
                report(error, "reload failed, the old settings are kept")
                return REFUSED, None
            self._coming = settings
            return PREPARED, None
        coming, self._coming = self._coming, None
        if word == COMMIT and coming is not None:
            self._backend.commit()
            set_up(coming.log)
            return COMMITTED, coming
        self._backend.abandon()
        return b"", None


# ------------------------------------------------------------------ requests


def answer_requests(shared: Shared, post: Post) -> None:
    """Be a worker until asked to stop."""
    processors.settle(post.place, processors.workers_for(post.settings.server.workers))
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
        threads = Threads(server.threads, server.waiting)
        self._front = Front(
            site,
            threads=threads,
            # Without its thread a worker is of no use, and another one is started in its place.
            bench=Bench(server.threads, server.waiting, threads, failed=partial(end, 1)),
            buckets=shared.buckets,
            journal=RequestJournal(self._metrics),
        )
        self._chores = Threads(1, 8, name="chores")
        self._heard: asyncio.Queue[bytes] = asyncio.Queue()
        monitor = Monitor(self._front, self._metrics, backend.health)
        self._listener: Listener = make_listener(
            create_app(self._front, monitor),
            shared.connections,
            post.place,
            limits_of(post.settings),
        )

    async def run(self) -> None:
        """Answer requests until told to stop."""
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, self._stop)
        self._post.link.setblocking(False)
        loop.add_reader(self._post.link, self._hear)
        tasks = [
            asyncio.create_task(self._obey()),
            asyncio.create_task(self._look()),
            asyncio.create_task(self._publish()),
            asyncio.create_task(self._say_ready()),
        ]
        await self._listener.serve(sockets=[self._shared.listening])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._metrics.publish()
        self._front.bench.close()
        self._front.threads.close()

    def _stop(self) -> None:
        self._listener.should_exit = True

    def _hear(self) -> None:
        try:
            words = self._post.link.recv(100)
        except BlockingIOError:
            return
        except OSError:
            words = b""
        if not words:
            asyncio.get_running_loop().remove_reader(self._post.link)
            log.error("the supervisor is gone", extra=with_fields({"process": self._post.name}))
            self._stop()
        for at in range(len(words)):
            self._heard.put_nowait(words[at : at + 1])

    async def _say_ready(self) -> None:
        while not self._listener.started:  # noqa: ASYNC110  # uvicorn tells nobody
            await asyncio.sleep(0.01)
        self._post.say(READY)

    async def _obey(self) -> None:
        follower = _Follower(self._shared, self._backend)
        while True:
            word = await self._heard.get()
            answer, settings = await self._chores.run(partial(follower.obey, word))
            if settings is not None:
                self._front.site = site_of(settings, self._backend.service)
                self._listener.set_limits(limits_of(settings))
            if answer:
                self._post.say(answer)

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
    follower = _Follower(shared, backend)
    settings = post.settings
    with signals() as arrived:
        background.start()
        post.say(READY)
        while True:
            numbers, readable = arrived(_SLEEP, [post.link.fileno()])
            words = post.link.recv(100) if readable else b""
            if signal.SIGTERM in numbers or (readable and not words):
                break
            for at in range(len(words)):
                answer, taken_up = follower.obey(words[at : at + 1])
                settings = taken_up or settings
                if answer:
                    post.say(answer)
    # What does not end in time is taken up by another process, when its lease is over.
    if background.stop(settings.server.stop_timeout.total_seconds()):
        backend.close()
    metrics.publish()
