"""`ThreadedTransport`: any transport, awaited.

The rule of this file: the event loop never waits, and giving up on an exchange leaves it to end by
itself in its thread, within its own deadline.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TypeVar

from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.errors import InputError

if TYPE_CHECKING:
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
        from concurrent.futures import ThreadPoolExecutor

        if max_threads < 1:
            raise InputError(f"max_threads is {max_threads}; expected 1 or more")
        self._transport = transport
        self._threads = ThreadPoolExecutor(max_threads, thread_name_prefix="scepkit")

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

        # With the context, so that what a log filter finds there is the caller's.
        run = copy_context().run
        return await asyncio.get_running_loop().run_in_executor(
            self._threads, run, work, self._transport
        )

    async def aclose(self) -> None:
        """Close the transport, then wait for the threads; exchanges under way fail."""
        import asyncio

        self._transport.close()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
