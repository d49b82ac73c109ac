"""Signals as something to wait for, and processes that are forked in between.

The rule of this file: a signal is handled between two steps of the supervisor and never in the
midst of one, and one that is meant for a child never reaches its parent.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
from collections.abc import Callable, Iterator, Sequence

#: Waits so many seconds for signals, or for some files to be readable; gives both.
Arrived = Callable[[float, Sequence[int]], tuple[set[int], list[int]]]

SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGCHLD)


@contextlib.contextmanager
def signals() -> Iterator[Arrived]:
    """Receive `SIGNALS` when they are waited for, until the end of the block."""
    reading, writing = socket.socketpair()
    reading.setblocking(False)
    writing.setblocking(False)
    before = {number: signal.signal(number, lambda number, frame: None) for number in SIGNALS}
    woken_before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    woken = reading.fileno()

    def arrived(seconds: float, files: Sequence[int]) -> tuple[set[int], list[int]]:
        readable, _, _ = select.select([woken, *files], [], [], seconds)
        numbers: set[int] = set()
        if woken in readable:
            readable.remove(woken)
            with contextlib.suppress(BlockingIOError):
                numbers = set(reading.recv(1000))
        return numbers, readable

    try:
        yield arrived
    finally:
        signal.set_wakeup_fd(woken_before)
        for number, handler in before.items():
            signal.signal(number, handler)
        reading.close()
        writing.close()


def fork() -> int:
    """Fork; the child has the system's own reactions to signals, but for those of a terminal.

    Ctrl-C, and a terminal that is closed, send a signal to all processes in it; the supervisor says
    to the others what it means.

    :raises OSError: there is no room for another process now.
    """
    signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    try:
        pid = os.fork()
        if not pid:
            # Until here, a signal to the child would have been written into the parent's socket.
            signal.set_wakeup_fd(-1)
            for number in SIGNALS:
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGHUP, signal.SIG_IGN)
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, SIGNALS)
    return pid
