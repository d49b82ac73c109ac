"""Calls in threads, as the event loop sees them."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import Callable

import pytest

from scepkit.server.bench import Bench
from scepkit.server.threads import Threads


def _threads() -> Threads | Bench:
    return Threads(1, 1)


def _bench() -> Threads | Bench:
    return Bench(1, 1, Threads(1, 1))


@pytest.mark.parametrize("make", [_threads, _bench])
def test_an_error_is_forgotten_when_it_was_handled(make: Callable[[], Threads | Bench]) -> None:
    """And not when the garbage collector comes, which sees nothing of what libraries hold."""

    class Gone(Exception):
        pass

    def fail() -> None:
        raise Gone

    async def asked() -> weakref.ref[Gone]:
        threads = make()
        try:
            await threads.run(fail)
        except Gone as error:
            return weakref.ref(error)
        finally:
            threads.close()
        raise AssertionError

    gc.disable()
    try:
        error = asyncio.run(asked())
        deadline = time.monotonic() + 20
        while error() is not None:  # the thread that raised it lets go of it a moment later
            assert time.monotonic() < deadline, gc.get_referrers(error())
            time.sleep(0.01)
    finally:
        gc.enable()
