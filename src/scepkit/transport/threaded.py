"""`ThreadedTransport`: any transport, awaited.

The rules of this file: the event loop never waits, and giving up on an exchange leaves it to end by
itself in its thread, within its own deadline; a thread goes from one job to the next for as long as
there are any, because the way through `run_in_executor` takes twice as long.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Self, TypeVar

from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.errors import InputError

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from scepkit.transport import Transport

T = TypeVar("T")


class ThreadedTransport:
    """Runs the exchanges of a transport in threads of its own, at most `max_threads` at once.

    A cancelled exchange that was still waiting for a thread never starts; one that was under way
    goes on unseen, so its connection stays whole.  Not bound to one event loop.

    :raises InputError: `max_threads` is less than 1.
    """

    def __init__(self, transport: Transport, *, max_threads: int = 16) -> None:
        if max_threads < 1:
            raise InputError(f"max_threads is {max_threads}; expected 1 or more")
        self._transport = transport
        self._threads = _Threads(max_threads)
        self._closed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """As the transport's own `exchange`, awaited."""
        return await self.run(lambda transport: transport.exchange(request))

    async def run(self, work: Callable[[Transport], T]) -> T:
        """What `work` makes of the transport, in one of the threads; for more than an exchange."""
        import asyncio
        from contextvars import copy_context

        outcome: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        # With the context, so that what a log filter finds there is the caller's.
        run = copy_context().run

        def job() -> None:
            if self._closed:
                _tell(outcome, outcome.cancel)
            elif not outcome.cancelled():
                try:
                    result = run(work, self._transport)
                except BaseException as error:
                    _tell(outcome, partial(outcome.set_exception, error))
                else:
                    _tell(outcome, partial(outcome.set_result, result))

        self._threads.add(job)
        return await outcome

    async def aclose(self) -> None:
        """Close the transport, then wait for the threads; exchanges under way fail."""
        import asyncio

        self._closed = True
        self._transport.close()
        await asyncio.to_thread(self._threads.close)


def _tell(outcome: asyncio.Future[T], settle: Callable[[], object]) -> None:
    """Have the event loop of `outcome` settle it, if anybody waits for it still."""

    def tell() -> None:
        if not outcome.done():
            settle()

    with suppress(RuntimeError):  # the loop is closed
        outcome.get_loop().call_soon_threadsafe(tell)


class _Threads:
    """Threads that do jobs: one after the other while there are any, and then they end.

    So none is left waiting when the interpreter ends, or when nobody knows this object any more.
    """

    def __init__(self, most: int) -> None:
        from concurrent.futures import ThreadPoolExecutor
        from queue import SimpleQueue

        self._pool = ThreadPoolExecutor(most, thread_name_prefix="scepkit")
        self._jobs: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._lock = threading.Lock()
        self._under_way = 0  # jobs added and not done
        self._free = 0  # threads that wait, or will, and for which there is no job

    def add(self, job: Callable[[], None]) -> None:
        """Have a job done, which must not raise anything.

        :raises RuntimeError: they are closed.
        """
        with self._lock:
            if self._free:
                self._free -= 1
            else:
                self._pool.submit(self._do_jobs)
            self._under_way += 1
        self._jobs.put(job)

    def _do_jobs(self) -> None:
        while job := self._jobs.get():
            job()
            del job  # or what it knows would live for as long as this thread waits
            with self._lock:
                self._under_way -= 1
                if not self._under_way:
                    for _ in range(self._free):
                        self._jobs.put(None)
                    self._free = 0
                    return
                self._free += 1

    def close(self) -> None:
        """Wait until what is under way has ended."""
        self._pool.shutdown()
