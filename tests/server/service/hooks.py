"""A web service that answers as it is told, and keeps what it was asked."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from scepkit.server.webhook import Webhook
from scepkit.transport import HttpOptions, HttpTransport

KEY = b"the key of the webhook"


@dataclass
class Receiver:
    """What came in, and what goes out: (status, body), or a function that does as it likes."""

    url: str = ""
    answers: list[tuple[int, bytes]] = field(default_factory=list)
    otherwise: tuple[int, bytes] = (200, b'{"allow": true}')
    asked: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    before: Callable[[], object] = lambda: None
    transports: list[HttpTransport] = field(default_factory=list)

    def webhook(self, *, timeout: float = 5.0, **options: Any) -> Webhook:
        """A client of this."""
        return Webhook(self.url, self.transport(timeout=timeout), timeout=timeout, **options)

    def transport(self, *, timeout: float = 5.0, **options: Any) -> HttpTransport:
        """Closed with the receiver."""
        chosen = HttpOptions(timeout=timeout, connect_timeout=timeout, proxy="direct", **options)
        self.transports.append(HttpTransport(chosen))
        return self.transports[-1]


@contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver on a port of its own."""
    receiver = Receiver()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.before()
            receiver.bodies.append(body)
            receiver.asked.append(json.loads(body))
            receiver.headers.append(dict(self.headers))
            status, answer = receiver.answers.pop(0) if receiver.answers else receiver.otherwise
            self.send_response(status)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    try:
        yield receiver
    finally:
        for transport in receiver.transports:
            transport.close()
        server.shutdown()
        thread.join()
        server.server_close()
