"""The internet of the documentation: a forward proxy behind which every host is a test CA.

The pages speak of http://ca.example.test/scep and of other hosts, and are run as they are written:
the environment names this proxy, so that the real transport goes through it.  For https it opens
no tunnel but is itself the TLS server at the other end.
"""

from __future__ import annotations

import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import urlsplit

from scepkit.testing.answers import Answer

#: Hosts of the pages end in this; whatever else is asked for does not exist.
DOMAIN = ".example.test"


class Answerer(Protocol):
    """What is behind the hosts."""

    def answer(self, method: str, target: str, body: bytes, /) -> Answer:
        """Answer a request for a URL."""


class Network(ThreadingHTTPServer):
    """The proxy.

    Attributes:
        hosts: the hosts that were asked, in order; with the proxy's user where there was one.
        authorizations: the Authorization headers that came.
    """

    daemon_threads = False

    def __init__(self, ca: Callable[[], Answerer], tls: ssl.SSLContext) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.ca = ca
        self.tls = tls
        self.hosts: list[str] = []
        self.authorizations: list[str] = []
        self._open: set[Any] = set()
        self._lock = threading.Lock()

    @property
    def authority(self) -> str:
        """``host:port``."""
        return f"127.0.0.1:{self.server_address[1]}"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up whenever they like."""

    def opened(self, connection: Any) -> None:
        """Remember a connection, to end it with the network."""
        with self._lock:
            self._open.add(connection)

    def closed(self, connection: Any) -> None:
        """Forget it."""
        with self._lock:
            self._open.discard(connection)

    def stop(self) -> None:
        """End everything."""
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(2)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Network
    protocol_version = "HTTP/1.1"
    wbufsize = -1
    timeout = 60
    secured: ssl.SSLSocket | None = None

    def setup(self) -> None:
        super().setup()
        self.server.opened(self.connection)

    def finish(self) -> None:
        self.server.closed(self.connection)
        with suppress(OSError):
            super().finish()
        if self.secured is not None:
            self.secured.close()

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers["Content-Length"])))

    def do_CONNECT(self) -> None:
        self._seen(self.path.rpartition(":")[0])
        self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        self.wfile.flush()
        self.server.closed(self.connection)
        self.secured = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.connection = self.secured
        self.server.opened(self.connection)
        self.rfile = self.connection.makefile("rb")
        self.wfile = self.connection.makefile("wb")
        self.close_connection = False

    def _answer(self, body: bytes) -> None:
        if self.secured is None:
            self._seen(urlsplit(self.path).hostname or "")
        if "Authorization" in self.headers:
            self.server.authorizations.append(self.headers["Authorization"])
        if self.server.hosts[-1].endswith(DOMAIN):
            answer = self.server.ca().answer(self.command, self.path, body)
            self._send(answer.status, answer.body, answer.content_type, answer.retry_after)
        else:
            self._send(502, b"there is no such host", "text/plain", "")

    def _seen(self, host: str) -> None:
        self.server.hosts.append(host)

    def _send(self, status: int, body: bytes, content_type: str, retry_after: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        if retry_after:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@contextmanager
def network(ca: Callable[[], Answerer], tls: ssl.SSLContext) -> Iterator[Network]:
    """Run the proxy while the context lasts.

    :param ca: gives the CA that answers at the moment.
    :param tls: shows the certificate of the hosts.
    """
    server = Network(ca, tls)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join()
