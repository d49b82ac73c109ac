"""The threads in which what waits is worked on.

The rule of this file: what waits is counted, and what would wait too long is refused at once, so
that overload slows the server down and does not stop it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

_T = TypeVar("_T")

#: Gets what a call returned, or what it raised.
Done = Callable[[Any, BaseException | None], None]

_Task = tuple[Callable[[], Any], Done]


class Busy(Exception):
    """So much is waiting already that there is no point in waiting too."""


class Answers:
    """The calls of one event loop that are under way, and how it gets to know of their end.

    :param most: how many there may be at once.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._loop: asyncio.AbstractEventLoop | None = None
        self.open = 0

    def expect(self) -> asyncio.Future[Any]:
        """One call more.

        :raises Busy: too many calls are waiting.
        """
        if self.open >= self._most:
            raise Busy
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
        self.open += 1
        return self._loop.create_future()

    def give(self, ended: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
        """Tell the loop what became of calls; from any thread.

        :raises RuntimeError: the loop was closed: nobody is waiting any more.
        """
        assert self._loop is not None  # noqa: S101 - there are futures of it
        self._loop.call_soon_threadsafe(self._set, ended)

    def _set(self, ended: list[tuple[asyncio.Future[Any], Any, BaseException | None]]) -> None:
        for future, result, error in ended:
            self.open -= 1
            if future.cancelled():
                continue
            if isinstance(error, StopIteration):  # no future takes one, and the others wait
                future.set_exception(RuntimeError(f"what was called raised {error!r}"))
            elif error is not None:
                future.set_exception(error)
            else:
                future.set_result(result)


class Threads:
    """A fixed number of threads for one event loop.

    This is `concurrent.futures` without what is not needed here, which costs half of the time that
    handing over takes.
    """

    def __init__(self, threads: int, waiting: int, *, name: str = "scepkit") -> None:
        self._answers = Answers(threads + waiting)
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def open(self) -> int:
        """How many calls are being worked on or waiting."""
        return self._answers.open

    async def run(self, call: Callable[[], _T]) -> _T:
        """What `call` returns or raises, in a thread.

        :raises Busy: too many calls are waiting.
        """
        future: asyncio.Future[_T] = self._answers.expect()
        self.submit(call, partial(self._ended, future))
        try:
            return await future
        finally:
            # What it raises holds this frame, and must not hold itself by it: it would keep the
            # memory of a broken database connection until the garbage collector came.
            del future

    def _ended(self, future: asyncio.Future[Any], result: Any, error: BaseException | None) -> None:
        self._answers.give([(future, result, error)])

    def submit(self, call: Callable[[], Any], done: Done) -> None:
        """Work on a call without counting it; `done` is called in its thread."""
        self._queue.put((call, done))

    def _run(self) -> None:
        while (task := self._queue.get()) is not None:
            call, done = task
            result: Any = None
            error: BaseException | None = None
            try:
                result = call()
            except BaseException as raised:  # it is raised where it is waited for
                error = raised
            try:
                done(result, error)
            except RuntimeError:
                return  # the loop was closed
            del task, call, done, result, error

    def close(self) -> None:
        """Let the threads end when they have done what waits."""
        for _ in self._threads:
            self._queue.put(None)
