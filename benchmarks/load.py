"""A load generator: sends requests made before over connections kept alive, and keeps the answers.

    python -m benchmarks.load URL FILE --connections 64

One process with one thread, so that on two processors it leaves most of both to the server.  FILE
holds bodies of PKIOperations by POST, each after its length (4 bytes, big-endian); the answers are
written to FILE.replies in the same way and order, an empty one for what was not answered by 200.
Prints a JSON object.
"""

from __future__ import annotations

import argparse
import json
import re
import select
import socket
import struct
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
_SIZE = struct.Struct(">I")


@dataclass(slots=True)
class _Connection:
    socket: socket.socket
    number: int = -1
    began: float = 0.0
    received: bytearray = field(default_factory=bytearray)


class Load:
    """What is sent, and what came back."""

    def __init__(self, url: str, bodies: Sequence[bytes]) -> None:
        parts = urlsplit(url)
        assert parts.hostname
        assert parts.port
        self._address = (parts.hostname, parts.port)
        self._head = (
            f"POST {parts.path}?operation=PKIOperation HTTP/1.1\r\nHost: {parts.netloc}\r\n"
            "Content-Type: application/x-pki-message\r\nContent-Length: "
        ).encode()
        self._bodies = bodies
        self._next = 0
        self.replies = [b""] * len(bodies)
        self.seconds: list[float] = []
        self.statuses: Counter[str] = Counter()

    def run(self, connections: int) -> float:
        """Send everything; the seconds it took."""
        poll = select.epoll()
        open_ones = {}
        for _ in range(min(connections, len(self._bodies))):
            one = _Connection(self._connected())
            open_ones[one.socket.fileno()] = one
            poll.register(one.socket, select.EPOLLIN)
        began = time.perf_counter()
        for one in open_ones.values():
            self._send(one)
        while open_ones:
            for descriptor, _ in poll.poll():
                if not self._receive(open_ones[descriptor]):
                    open_ones.pop(descriptor).socket.close()
        return time.perf_counter() - began

    def _connected(self) -> socket.socket:
        made = socket.create_connection(self._address, 30)
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return made

    def _send(self, one: _Connection) -> bool:
        if self._next == len(self._bodies):
            return False
        one.number, self._next = self._next, self._next + 1
        body = self._bodies[one.number]
        one.received.clear()
        one.began = time.perf_counter()
        one.socket.sendall(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
        return True

    def _receive(self, one: _Connection) -> bool:
        """Take what is there; False when there is nothing more to do on this connection."""
        piece = one.socket.recv(65536)
        one.received += piece
        end = one.received.find(b"\r\n\r\n")
        length = _LENGTH.search(one.received, 0, end + 2) if end > 0 else None
        if piece and (length is None or len(one.received) < end + 4 + int(length[1])):
            return True
        self.seconds.append(time.perf_counter() - one.began)
        status = bytes(one.received[9:12]).decode("ascii", "replace")
        self.statuses[status if piece else "closed"] += 1
        if status == "200":
            self.replies[one.number] = bytes(one.received[end + 4 :])
        return bool(piece) and self._send(one)


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
    options = parser.parse_args()
    load = Load(options.url, list(unpacked(options.file.read_bytes())))
    seconds = load.run(options.connections)
    options.file.with_suffix(".replies").write_bytes(packed(load.replies))
    each = sorted(load.seconds)
    print(
        json.dumps(
            {
                "seconds": seconds,
                "statuses": load.statuses,
                "p50": each[len(each) // 2],
                "p99": each[len(each) * 99 // 100],
            }
        )
    )


if __name__ == "__main__":
    main()
