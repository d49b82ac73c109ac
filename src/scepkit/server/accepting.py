"""Taking connections, so that each worker has about as many open as the others.

All workers hear of a new connection, and whoever is quickest takes it.  That was often one of them
for most: connections that are kept alive then stayed where they were, and the others had nothing
to do.  So a worker with more open connections than another one leaves a new one alone for a
moment.

The rules of this file: a connection that nobody took waits in the system's queue, where it is not
lost with a worker that ends; a worker that has nobody behind it never waits; and one that does not
take what is left to it holds nobody up for long.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import mmap
import select
import socket
from collections.abc import Callable
from functools import partial

log = logging.getLogger("scepkit.server")

#: How long a worker leaves a connection to others before it looks again, in seconds: as short as
#: event loops can.
_MOMENT = 0.001
#: How long it does so at most, and how long it does not do it again then, in seconds.
_PATIENCE, _IMPATIENCE = 0.03, 1.0
#: How long nothing is taken after there was no room for more, in seconds.
_NO_ROOM = 1.0
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

#: How many connections are taken one after the other, before those that are open have their turn.
_AT_ONCE = 16

_ABSENT = -1

Opening = asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]


class OpenConnections:
    """How many each worker has, in memory that processes forked from this one share."""

    def __init__(self, places: int) -> None:
        self.numbers = memoryview(mmap.mmap(-1, 4 * places)).cast("i")
        for place in range(places):
            self.leave(place)

    def tell(self, place: int, number: int) -> None:
        """How many the worker in that place has, which takes more."""
        self.numbers[place] = number

    def leave(self, place: int) -> None:
        """Nobody in that place takes any."""
        self.numbers[place] = _ABSENT

    def is_ahead(self, place: int) -> bool:
        """Whether another worker has fewer; where there are many, an eighth is no difference."""
        least = min((number for number in self.numbers if number != _ABSENT), default=0)
        return self.numbers[place] - least > least // 8


class Door:
    """A listening socket through which one worker takes connections.

    :param make_protocol: makes what a connection is given to; it gets a function to call at the
        connection's end.

    Attributes:
        number: how many it has taken that have not ended, also of those that nobody serves yet.
    """

    def __init__(
        self,
        listening: socket.socket,
        connections: OpenConnections,
        place: int,
        make_protocol: Callable[[Callable[[], None]], asyncio.Protocol],
    ) -> None:
        listening.setblocking(False)
        self._listening = listening
        self._connections = connections
        self._place = place
        self._make_protocol = partial(make_protocol, self._ended)
        self._loop = asyncio.get_running_loop()
        self.number = 0
        self._opening: dict[Opening, socket.socket] = {}
        self._pause: asyncio.TimerHandle | None = None
        # Since when a connection has been left to others, and until when none is; on its clock.
        self._since: float | None = None
        self._impatient_until = 0.0
        self._is_open = False

    def open(self) -> None:
        """Begin to take connections."""
        self._is_open = True
        self._connections.tell(self._place, self.number)
        self._listen()

    def close(self) -> None:
        """Take what waits already, and no more; what is open stays so."""
        if self._is_open:
            while taken := self._accept():
                self._take(taken)
            self._stop_listening()
            self._is_open = False
            self._connections.leave(self._place)

    # ------------------------------------------------------------------ listening, and not

    def _listen(self) -> None:
        self._stop_listening()
        if self._since is not None and not select.select([self._listening], [], [], 0)[0]:
            self._since = None  # somebody took it
        self._loop.add_reader(self._listening, self._knocked)

    def _stop_listening(self) -> None:
        self._loop.remove_reader(self._listening)
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None

    def _wait(self, seconds: float) -> None:
        self._stop_listening()
        self._pause = self._loop.call_later(seconds, self._listen)

    def _knocked(self) -> None:
        now = self._loop.time()
        if now >= self._impatient_until and self._connections.is_ahead(self._place):
            if self._since is None:
                self._since = now
            if now - self._since < _PATIENCE:
                self._wait(_MOMENT)
                return
            self._impatient_until = now + _IMPATIENCE
        self._since = None
        for _ in range(_AT_ONCE):
            taken = self._accept()
            if taken is None:
                break
            self._take(taken)
            if self._connections.is_ahead(self._place):
                break

    # ------------------------------------------------------------------ taking

    def _accept(self) -> socket.socket | None:
        while True:
            try:
                taken, _ = self._listening.accept()
            except ConnectionAbortedError:
                continue  # it is gone, and others may wait behind it
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in _EXHAUSTED:
                    raise
                log.error("cannot take a connection: %s", error.strerror)
                self._wait(_NO_ROOM)
                return None
            return taken

    def _take(self, taken: socket.socket) -> None:
        taken.setblocking(False)
        self.number += 1
        self._connections.tell(self._place, self.number)
        opening = self._loop.connect_accepted_socket(self._make_protocol, taken)
        task = self._loop.create_task(opening)
        self._opening[task] = taken  # the loop itself would forget it
        task.add_done_callback(self._opened)

    def _opened(self, task: Opening) -> None:
        taken = self._opening.pop(task)
        error = None if task.cancelled() else task.exception()
        if error is None:
            return
        if not isinstance(error, OSError):  # else it is gone
            log.error("cannot serve a connection", exc_info=error)
        taken.close()
        self._ended()

    def _ended(self) -> None:
        self.number -= 1
        if self._is_open:
            self._connections.tell(self._place, self.number)
            if self._pause is not None and not self._connections.is_ahead(self._place):
                self._listen()
