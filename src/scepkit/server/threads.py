"""The threads in which requests are worked on.

The rule of this file: what waits is counted, and what would wait too long is refused at once, so
that overload slows the server down and does not stop it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")

_Task = tuple["asyncio.Future[Any]", Callable[[], Any]]


class Busy(Exception):
    """So much is waiting already that there is no point in waiting too."""


class Threads:
    """A fixed number of threads for one event loop.

    This is `concurrent.futures` without what is not needed here, which costs half of the time that
    handing over takes.
    """

    def __init__(self, threads: int, waiting: int, *, name: str = "scepkit") -> None:
        self._most = threads + waiting
        self._open = 0
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def open(self) -> int:
        """How many calls are being worked on or waiting."""
        return self._open

    async def run(self, call: Callable[[], _T]) -> _T:
        """What `call` returns or raises, in a thread.

        :raises Busy: too many calls are waiting.
        """
        if self._open >= self._most:
            raise Busy
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        future: asyncio.Future[_T] = self._loop.create_future()
        self._open += 1
        self._queue.put((future, call))
        try:
            return await future
        finally:
            # What it raises holds this frame, and must not hold itself by it: it would keep the
            # memory of a broken database connection until the garbage collector came.
            del future

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            future, call = task
            result: Any = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:  # it is raised where it is awaited
                error = raised
            # The loop is there: only `run` puts tasks into the queue.
            try:
                self._loop.call_soon_threadsafe(self._done, future, result, error)  # type: ignore[union-attr]
            except RuntimeError:
                return  # the loop was closed: nobody is waiting any more
            del task, future, call, result, error

    def _done(
        self, future: asyncio.Future[Any], result: object, error: BaseException | None
    ) -> None:
        self._open -= 1
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)

    def close(self) -> None:
        """Let the threads end when they have done what waits."""
        for _ in self._threads:
            self._queue.put(None)
