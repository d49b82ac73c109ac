"""Working at several requests in one thread, by turns.

A thread that does so has a `Turns`, and what waits or has come to the end of a stage lets the
others go on.  In any other thread these functions do what they say and nothing else, so that the
code between them need not know where it runs.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Turns(Protocol):
    """Those who work in one thread; its methods are called by whoever's turn it is."""

    @property
    def taken(self) -> bool:
        """Whether it is anybody's turn, and not the thread's own."""

    def step(self) -> None:
        """Let the others come as far."""

    def pause(self, seconds: float) -> None:
        """Let the others go on for that long."""

    def elsewhere(self, call: Callable[[], T]) -> T:
        """Run what waits in another thread, and let the others go on meanwhile."""

    def gather(self, do: Callable[[Sequence[Any]], None], item: object) -> None:
        """Let the others come to where they wait too; then `do` gets the items of all."""


class _Here(threading.local):
    turns: Turns | None = None


_here = _Here()


def work_by(turns: Turns) -> None:
    """From now on this thread is worked in by turns."""
    _here.turns = turns


def current() -> Turns | None:
    """The turns of this thread, if the caller has one."""
    turns = _here.turns
    return turns if turns is not None and turns.taken else None


def step() -> None:
    """Let the other requests of this thread come as far: what all do next is done faster in a row.

    Nothing may be locked or open by the caller that another request could need.
    """
    if (turns := current()) is not None:
        turns.step()


def pause(seconds: float) -> None:
    """Wait that long."""
    if (turns := current()) is not None:
        turns.pause(seconds)
    else:
        time.sleep(seconds)


def elsewhere(call: Callable[[], T]) -> T:
    """Run something that waits for others, or takes long: what it returns or raises."""
    turns = current()
    return call() if turns is None else turns.elsewhere(call)
