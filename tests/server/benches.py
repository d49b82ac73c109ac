"""Calls that come to a bench together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from scepkit.server.bench import Bench
from scepkit.server.threads import Threads

#: Seconds after which something that should happen never will.
PATIENCE = 60


@contextmanager
def a_bench(most: int = 64, waiting: int = 64) -> Iterator[Bench]:
    threads = Threads(2, 8)
    bench = Bench(most, waiting, threads)
    try:
        yield bench
    finally:
        bench.close()
        threads.close()


def all_of(bench: Bench, *calls: Callable[[], Any]) -> list[Any]:
    """What came of calls that were made together: results, and errors in their place."""

    async def run() -> list[Any]:
        # Until all are there the thread has something else to do.
        begun, held = threading.Event(), threading.Event()

        def hold() -> None:
            begun.set()
            assert held.wait(PATIENCE)

        first = asyncio.ensure_future(bench.run(hold))
        assert await asyncio.to_thread(begun.wait, PATIENCE)
        others = [asyncio.ensure_future(bench.run(call)) for call in calls]
        await asyncio.sleep(0)
        held.set()
        await first
        done = asyncio.gather(*others, return_exceptions=True)
        return list(await asyncio.wait_for(done, PATIENCE))

    return asyncio.run(run())
