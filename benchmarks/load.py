"""A load generator: sends requests made before over connections kept alive, and keeps the answers.

    python -m benchmarks.load URL FILE --connections 64 --seconds 60

One process with one thread, so that on two processors it leaves most of both to the server; what it
costs itself is told.  FILE holds bodies of PKIOperations by POST, each after its length (4 bytes,
big-endian); the answers are written to FILE.replies in the same way and order, an empty one for
what was not answered by 200.  Prints a JSON object (`Told`).

The rule of this file: while the time runs, an answer is looked at no further than to see its end.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import re
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

_HEAD_END = b"\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked\r\n", re.IGNORECASE)
_LAST_CHUNK = b"0\r\n\r\n"
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_SIZE = struct.Struct(">I")
#: Bytes taken at once: an answer with a certificate is a tenth of it.
_PIECE = 32 * 1024
_TICKS = os.sysconf("SC_CLK_TCK")
#: Of the numbers of /proc/stat: idle, and waiting for the disk.  The last two are in others.
_IDLE, _COUNTED = (3, 4), 8
#: Seconds until a server must have taken a connection.
_PATIENCE = 30


@dataclass(frozen=True)
class Told:
    """What came of it.

    Attributes:
        seconds: from the first request to the last answer, or to the end of the time.
        answered: how many requests were.
        statuses: of HTTP; "closed" for a connection that ended before its answer did.
        p50, p99: of the seconds that answers took.
        cpu: seconds of processor time that the load generator used meanwhile.
        busy: seconds that all processors together worked meanwhile, for whomever.
        reconnected: how often a connection was made anew, because the server closed it.
    """

    seconds: float
    answered: int
    statuses: dict[str, int]
    p50: float
    p99: float
    cpu: float
    busy: float
    reconnected: int


class _Connection:
    __slots__ = ("began", "number", "received", "socket")

    def __init__(self, made: socket.socket) -> None:
        self.socket = made
        self.number = -1
        self.began = 0.0
        self.received = b""


class Load:
    """What is sent, and what came back."""

    def __init__(self, url: str, bodies: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._address = (parts.hostname, parts.port)
        head = (
            f"POST {parts.path}?operation=PKIOperation HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/x-pki-message\r\nContent-Length: "
        ).encode()
        self._requests = [b"%s%d\r\n\r\n%s" % (head, len(body), body) for body in bodies]
        self._next = 0
        self._answers = [b""] * len(bodies)
        self._took: list[float] = []
        self._reconnected = 0
        self._poll = select.epoll()
        self._open: dict[int, _Connection] = {}

    def run(self, connections: int, seconds: float) -> Told:
        """Send everything, for so many seconds at most."""
        for _ in range(min(connections, len(self._requests))):
            self._connect()
        gc.collect()
        gc.disable()
        busy, cpu, began = busy_seconds(), time.process_time(), time.perf_counter()
        for one in list(self._open.values()):
            self._send(one, began)
        while self._open and (left := began + seconds - time.perf_counter()) > 0:
            for descriptor, _ in self._poll.poll(left):
                self._receive(self._open[descriptor])
        lasted, cpu = time.perf_counter() - began, time.process_time() - cpu
        busy = busy_seconds() - busy
        gc.enable()
        for one in list(self._open.values()):
            self._close(one)
        self._poll.close()
        took = sorted(self._took) or [0.0]
        return Told(
            seconds=lasted,
            answered=len(self._took),
            statuses=dict(Counter(_status(one) for one in self._answers if one)),
            p50=took[len(took) // 2],
            p99=took[len(took) * 99 // 100],
            cpu=cpu,
            busy=busy,
            reconnected=self._reconnected,
        )

    @property
    def replies(self) -> list[bytes]:
        """The body of each answer with status 200; empty for the others."""
        return [_body(one) if _status(one) == "200" else b"" for one in self._answers]

    def _connect(self) -> _Connection:
        made = socket.create_connection(self._address, _PATIENCE)
        # With a time limit each call would be two.
        made.settimeout(None)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        one = _Connection(made)
        self._open[made.fileno()] = one
        self._poll.register(made, select.EPOLLIN)
        return one

    def _close(self, one: _Connection) -> None:
        del self._open[one.socket.fileno()]
        one.socket.close()

    def _send(self, one: _Connection, now: float) -> None:
        number = self._next
        if number == len(self._requests):
            self._close(one)
            return
        self._next = number + 1
        one.number, one.began = number, now
        one.socket.sendall(self._requests[number])

    def _receive(self, one: _Connection) -> None:
        """Take what is there; when the answer is whole, send the next request."""
        piece = one.socket.recv(_PIECE)
        data = one.received + piece if one.received else piece
        if piece and not _is_whole(data):
            one.received = data
            return
        now = time.perf_counter()
        self._took.append(now - one.began)
        one.received = b""
        self._answers[one.number] = data or b"closed"
        if not piece or _CLOSES.search(data, 0, data.find(_HEAD_END) + 2):
            self._close(one)
            if self._next == len(self._requests):
                return
            one, self._reconnected = self._connect(), self._reconnected + 1
        self._send(one, now)


def busy_seconds() -> float:
    """What all processors together have worked, for whomever."""
    with open("/proc/stat", "rb") as file:  # noqa: PTH123
        numbers = file.readline().split()[1:][:_COUNTED]
    return sum(int(one) for at, one in enumerate(numbers) if at not in _IDLE) / _TICKS


def _is_whole(data: bytes) -> bool:
    end = data.find(_HEAD_END)
    if end < 0:
        return False
    if length := _LENGTH.search(data, 0, end + 2):
        return len(data) >= end + 4 + int(length[1])
    # Go writes answers of more than 2 KiB in chunks.
    return bool(_CHUNKED.search(data, 0, end + 2)) and data.endswith(_LAST_CHUNK)


def _status(answer: bytes) -> str:
    whole = answer.startswith(b"HTTP/1.") and _is_whole(answer)
    return answer[9:12].decode("ascii", "replace") if whole else "closed"


def _body(answer: bytes) -> bytes:
    head, _, rest = answer.partition(_HEAD_END)
    if not _CHUNKED.search(head + b"\r\n"):
        return rest
    chunks = []
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        length = int(size.partition(b";")[0], 16)
        chunks.append(rest[:length])
        rest = rest[length + 2 :] if length else b""
    return b"".join(chunks)


def packed(bodies: Iterable[bytes]) -> bytes:
    """Bodies as a file has them."""
    return b"".join(_SIZE.pack(len(body)) + body for body in bodies)


def unpacked(data: bytes) -> Iterator[bytes]:
    """The bodies of a file."""
    at = 0
    while at < len(data):
        (length,) = _SIZE.unpack_from(data, at)
        yield data[at + 4 : at + 4 + length]
        at += 4 + length


def main() -> None:
    """Send a file of requests to a server."""
    parser = argparse.ArgumentParser(prog="benchmarks.load", description=main.__doc__)
    parser.add_argument("url")
    parser.add_argument("file", type=Path)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--seconds", type=float, default=60.0, help="at most (default 60)")
    options = parser.parse_args()
    load = Load(options.url, list(unpacked(options.file.read_bytes())))
    told = load.run(options.connections, options.seconds)
    options.file.with_suffix(".replies").write_bytes(packed(load.replies))
    print(json.dumps(asdict(told)))


if __name__ == "__main__":
    main()
