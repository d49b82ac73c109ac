"""The processors that a server may use, and which worker has which.

A worker that stays on one processor answers more: its threads take turns with the interpreter's
lock, and what one of them leaves in that processor's cache is there for the next (figures in
docs/decisions.md 15).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from contextlib import suppress


def usable() -> list[int]:
    """The numbers of the processors that this process may use."""
    if sys.platform == "linux":
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def workers_for(setting: int) -> int:
    """How many workers `server.workers` means; 0 is one for each processor."""
    return setting or len(usable())


def processor_of(place: int, workers: int, processors: Sequence[int]) -> int | None:
    """The processor that a worker keeps to, or None where it may use any.

    :param place: of the worker, from 0.

    With fewer workers than processors each may go where there is room: on a large machine nobody
    else's load can then hold one of few workers up, nor do two servers meet on the first processor.
    """
    if workers < len(processors) or len(processors) < 2:
        return None
    return processors[place % len(processors)]


def settle(place: int, workers: int) -> None:
    """Keep this process, a worker, to its processor, if it has one."""
    found = processor_of(place, workers, usable())
    if found is not None and sys.platform == "linux":
        with suppress(OSError):  # it may be forbidden, as to many a service; it is only for speed
            os.sched_setaffinity(0, {found})
