"""Other processes, for tests of what several of them do with one database.

A function that runs in one is at the top of its module and gets what can be pickled.
"""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Callable, Iterable
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from multiprocessing.queues import Queue
from typing import Any, cast

#: Seconds for all of them together.
TIMEOUT = 50.0

# A store must not be carried into a process by fork.
_CONTEXT = multiprocessing.get_context("spawn")


def at_once(work: Callable[..., Any], arguments: Iterable[tuple[Any, ...]]) -> list[Any]:
    """Run `work` in one process for each tuple of arguments, begun together.

    Returns what they return, in the order of the arguments; raises what one of them raises.
    """
    given = list(arguments)
    barrier = _CONTEXT.Barrier(len(given))
    results: Queue[Any] = _CONTEXT.Queue()
    processes = [
        _CONTEXT.Process(target=_run, args=(number, work, one, barrier, results), daemon=True)
        for number, one in enumerate(given)
    ]
    for process in processes:
        process.start()
    try:
        found = dict(results.get(timeout=TIMEOUT) for _ in given)
    finally:
        for process in processes:
            process.join(5)
            process.kill()
    for result in found.values():
        if isinstance(result, BaseException):
            raise result
    return [found[number] for number in range(len(given))]


def _run(
    number: int, work: Callable[..., Any], arguments: tuple[Any, ...], barrier: Any, results: Any
) -> None:
    try:
        barrier.wait(TIMEOUT)
        results.put((number, work(*arguments)))
    except BaseException as problem:
        results.put((number, problem))


def begun(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """A process that runs `work` until somebody kills it."""
    process = _CONTEXT.Process(target=work, args=arguments, daemon=True)
    process.start()
    return process


def pipe() -> tuple[Connection, Connection]:
    """A connection to read from here and one to write to from another process."""
    return _CONTEXT.Pipe(duplex=False)


def event() -> threading.Event:
    """An event that another process can set."""
    return cast("threading.Event", _CONTEXT.Event())
