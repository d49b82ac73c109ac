"""What HTTP costs the server: CPU of a worker for each request, with use cases that do nothing.

    python -m benchmarks.serving [--requests 8000]

Requests are PKIOperations by POST with 3,000 bytes, answers have 2,200; each is logged as JSON and
counted as a real one is.  What the kernel does for the connection is in the figures.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import statistics
import time
from dataclasses import dataclass, field
from typing import Any

from scepkit.server import logs
from scepkit.server.replies import Reply
from tests.server import serving

_BODY, _ANSWER = os.urandom(3000), os.urandom(2200)
_STAGES = {"read": 0.11, "open": 1.13, "authorise": 0.2, "claim": 0.9, "sign": 1.0, "seal": 1.0}
_FREE = {"rate_limit": {"per_address": "1000000/s", "address_burst": 1_000_000}}
_ROUNDS = 5


@dataclass
class Told:
    """A record as the use cases give it."""

    message_type: str = "PKCSReq"
    status: str = "SUCCESS"
    fail_info: str = ""
    stage: str = "seal"
    reason: str = ""
    replay: str = ""
    timings: dict[str, float] = field(default_factory=lambda: dict(_STAGES))

    def fields(self) -> dict[str, object]:
        """What is logged."""
        return {
            "profile": "default",
            "address": "127.0.0.1",
            "method": "POST",
            "messageType": "PKCSReq",
            "transactionID": "5c647f7b8f0c3e8aef0c18e945c31282",
            "signerKey": "71f2c2d7f16b5c94",
            "cipher": "aes128-cbc",
            "digest": "sha256",
            "pkiStatus": "SUCCESS",
            "stage": "seal",
            "by": "challenge",
            "serial": "22f3786ef7ea2ce87a038e180123f1552132a96d",
            "subject": "CN=router1,O=Acme",
            "operation": 1,
            "ms": {stage: round(spent, 3) for stage, spent in self.timings.items()},
        }


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(prog="benchmarks.serving", description=main.__doc__)
    parser.add_argument("--requests", type=int, default=8000, help="in each round (default 8000)")
    options = parser.parse_args()
    reading, writing = os.pipe()
    server = os.fork()
    if not server:
        serve(writing)
    port = int(os.read(reading, 10))
    try:
        for title, width, kept in (
            ("16 connections, kept", 16, True),
            ("16 connections, one request each", 16, False),
            ("1 connection, kept", 1, True),
        ):
            ask(port, 200, width, kept)
            spent = [measured(server, port, options.requests, width, kept) for _ in range(_ROUNDS)]
            print(
                f"{title:<34} {min(spent):5.0f} us best, {statistics.median(spent):5.0f} us median"
            )
    finally:
        os.kill(server, signal.SIGKILL)
        os.waitpid(server, 0)


def serve(writing: int) -> None:
    """Be the server, for ever."""
    record: Any = Told()
    reply = Reply(200, _ANSWER, serving.PKI_MESSAGE, record=record)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        settings = serving.settings_for().log
        logs.set_up(type(settings)(format="json", level="info"), nowhere)
        with serving.running(
            serving.Script(pki=lambda *_: reply), profile={"default": _FREE, "routers": _FREE}
        ) as running:
            os.write(writing, str(running.port).encode())
            time.sleep(3600)


def measured(server: int, port: int, requests: int, width: int, kept: bool) -> float:
    """CPU of the server for each request, in microseconds."""
    before = cpu_seconds(server)
    ask(port, requests, width, kept)
    return (cpu_seconds(server) - before) / requests * 1e6


def cpu_seconds(pid: int) -> float:
    """CPU that a process has used."""
    with open(f"/proc/{pid}/stat") as file:  # noqa: PTH123
        user, system = file.read().rsplit(")", 1)[1].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


def ask(port: int, requests: int, width: int, kept: bool) -> None:
    """Send requests over so many connections at once."""
    close = b"" if kept else b"Connection: close\r\n"
    request = (
        b"POST /scep/default?operation=PKIOperation HTTP/1.1\r\nHost: ca.test\r\n"
        b"Content-Type: application/x-pki-message\r\nContent-Length: 3000\r\n%s\r\n" % close
    ) + _BODY
    connections: list[socket.socket | None] = [None] * width
    for _ in range(requests // width):
        for at in range(width):
            connection = connections[at]
            if connection is None:
                connection = connections[at] = socket.create_connection(("127.0.0.1", port))
            connection.sendall(request)
        for at, connection in enumerate(connections):
            assert connection is not None
            answer = b""
            while not answer.endswith(_ANSWER):
                answer += connection.recv(65536)
            if not kept:
                connection.close()
                connections[at] = None
    for connection in connections:
        if connection is not None:
            connection.close()


if __name__ == "__main__":
    main()
