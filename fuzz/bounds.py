"""How much one input may cost: processor time, and memory at its peak.

The rule of this file: processor time and not the clock is measured, as the machine may be busy, and
what is too much once is measured again, as a collection of garbage may have fallen into it.
"""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from scepkit.errors import ScepError

_MEGABYTE = 1024 * 1024
#: An input that costs too much must do so this many times in a row.
_ATTEMPTS = 3
# Linux: forget the peak of resident memory, and where that peak is told.
_CLEAR_REFS = Path("/proc/self/clear_refs")
_FORGET_PEAK = b"5"
_PEAK = b"VmHWM:"


class TooExpensiveError(Exception):
    """An input costs more than its harness allows."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What one input may cost; measured where everything is traced, so generously.

    Attributes:
        milliseconds: of processor time.
        megabytes: by which the process may be larger while it works on the input.
    """

    milliseconds: int = 500
    megabytes: int = 64


@dataclass(frozen=True, slots=True)
class Cost:
    """What one input did cost; `megabytes` is 0.0 where the system does not tell."""

    accepted: bool
    milliseconds: float
    megabytes: float


def run_within(run: Callable[[bytes], None], data: bytes, bounds: Bounds) -> Cost:
    """Run a harness on an input.

    :raises TooExpensiveError: it costs too much.
    :raises Exception: whatever else than a `ScepError` leaves the harness.
    """
    for _ in range(_ATTEMPTS):
        cost = _measure(run, data)
        if cost.milliseconds <= bounds.milliseconds and cost.megabytes <= bounds.megabytes:
            return cost
        gc.collect()
    raise TooExpensiveError(
        f"{len(data)} bytes cost {cost.milliseconds:.0f} ms and {cost.megabytes:.0f} MB, expected "
        f"at most {bounds.milliseconds} ms and {bounds.megabytes} MB"
    )


def _measure(run: Callable[[bytes], None], data: bytes) -> Cost:
    before = _forget_peak()
    began = time.process_time()
    try:
        run(data)
        accepted = True
    except ScepError as error:
        # What is shown to a user must be showable, too.
        str(error), repr(error)
        accepted = False
    spent = (time.process_time() - began) * 1000
    return Cost(accepted, spent, max(0, _peak() - before) / _MEGABYTE)


def _forget_peak() -> int:
    """Let the peak of memory be what is used now; gives that, in bytes."""
    with suppress(OSError):
        _CLEAR_REFS.write_bytes(_FORGET_PEAK)
    return _peak()


def _peak() -> int:
    with suppress(OSError):
        descriptor = os.open("/proc/self/status", os.O_RDONLY)
        try:
            status = os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
        at = status.find(_PEAK)
        if at >= 0:
            return int(status[at + len(_PEAK) :].split(None, 1)[0]) * 1024
    return 0
