"""A connected socket with a deadline and a budget.

A socket only knows a timeout for each single read, which a server that sends a byte now and then
never reaches.  The rule of this file: every wait on the socket ends at the deadline of the
exchange, and no more bytes are read than the exchange may cost, headers and chunk sizes included.
"""

from __future__ import annotations

import select
import socket
from contextlib import suppress
from io import BufferedReader, RawIOBase
from time import monotonic
from typing import TYPE_CHECKING

from scepkit.errors import TransportError

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

_BUFFER = 16 * 1024


class Deadline:
    """The time at which an exchange gives up."""

    __slots__ = ("expires", "seconds", "url")

    def __init__(self, seconds: float, url: str, *, latest: float | None = None) -> None:
        expires = monotonic() + seconds
        self.expires = expires if latest is None else min(expires, latest)
        self.seconds = seconds
        self.url = url

    def left(self, doing: str) -> float:
        """The seconds left.

        :raises TransportError: there are none; `doing` says what was under way.
        """
        left = self.expires - monotonic()
        if left <= 0:
            raise self.passed(doing)
        return left

    def passed(self, doing: str) -> TransportError:
        """The error for a deadline that passed while `doing`."""
        return TransportError(
            f"timed out while {doing} (limit {self.seconds:g} s)",
            url=self.url,
            kind="timeout",
            hint="if the server is only slow, allow more with timeout (--timeout)",
        )


def reason_text(error: BaseException | None) -> str:
    """The operating system's words, without the number."""
    return str(getattr(error, "strerror", None) or error).lower()


class Wire:
    """A socket for one exchange after the other: sends, reads through a buffer, and is closed.

    Closing it here only notes that the connection has no future: the response may still have to be
    read.  `shut` is what ends it.
    """

    __slots__ = ("_socket", "_unsent", "budget", "deadline", "ended", "received")

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self.ended = False
        self.begin(deadline, 0)

    def begin(self, deadline: Deadline, budget: int) -> None:
        """Start another exchange, which may read `budget` bytes until `deadline`."""
        self.deadline = deadline
        self.budget = budget
        self.received = 0
        self._unsent = b""

    def sendall(self, data: bytes) -> None:
        """Take `data` to be sent; it leaves when the answer is waited for."""
        self._unsent += data

    def _flush(self) -> None:
        # Not the socket's own sendall: over TLS that starts the timeout again for each record.
        rest = memoryview(self._unsent)
        self._unsent = b""
        while rest:
            self._socket.settimeout(self.deadline.left("sending the request"))
            try:
                rest = rest[self._socket.send(rest) :]
            except TimeoutError:
                raise self.deadline.passed("sending the request") from None
            except ConnectionError:
                return  # why the server hung up may be there to be read

    def makefile(self) -> BufferedReader:
        """What a response is read from."""
        return BufferedReader(_Reader(self), _BUFFER)

    def read_into(self, buffer: WriteableBuffer) -> int:
        """Read what is there, at most as much as `buffer` holds; 0 is the end."""
        if self._unsent:
            self._flush()
        if self.received > self.budget:
            raise TransportError(
                f"the server sent more than {self.received} bytes, headers included; the answer "
                "is refused",
                url=self.deadline.url,
                kind="too-large",
            )
        self._socket.settimeout(self.deadline.left(self._waiting()))
        try:
            count = self._socket.recv_into(buffer)
        except TimeoutError:
            raise self.deadline.passed(self._waiting()) from None
        self.received += count
        return count

    def _waiting(self) -> str:
        if self.received:
            return f"reading the answer, {self.received} bytes of which had come"
        return "waiting for the first byte of the answer"

    def close(self) -> None:
        """Note that no further exchange goes over this connection."""
        self.ended = True

    def is_quiet(self) -> bool:
        """Whether an idle connection still is one: not closed by the peer, nothing unasked for."""
        return not self.ended and not _readable(self._socket)

    def interrupt(self) -> None:
        """Make another thread's wait on this connection end now."""
        self.ended = True
        with suppress(OSError):  # the peer was quicker
            # Not SSLSocket.shutdown: it takes the TLS object away from under that thread.
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)

    def shut(self) -> None:
        """Close the socket."""
        self.ended = True
        self._socket.close()


def _readable(connected: socket.socket) -> bool:
    if hasattr(select, "poll"):
        poll = select.poll()
        poll.register(connected, select.POLLIN)
        return bool(poll.poll(0))
    return bool(select.select([connected], [], [], 0)[0])


class _Reader(RawIOBase):
    def __init__(self, wire: Wire) -> None:
        self._wire = wire

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: WriteableBuffer) -> int:
        return self._wire.read_into(buffer)
