"""A test CA behind real HTTP.

The rule of this file: it moves bytes and breaks connections as the answer says; everything else is
decided by who answers.  When the context ends, so do all connections and threads.
"""

from __future__ import annotations

import os
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from scepkit.testing.answers import Answer, Answering, Wire

if TYPE_CHECKING:
    import ssl

_LONGEST_BODY = 1024 * 1024
_LINGER_ZERO = struct.pack("ii", 1, 0)
_NO_BODY = b""


class _Server(ThreadingHTTPServer):
    """Knows its open connections, so that it can end them: clients keep them alive."""

    daemon_threads = False
    # A burst of clients must not be refused by the queue of the listening socket.
    request_queue_size = 128

    def __init__(
        self, address: tuple[str, int], ca: Answering, ssl_context: ssl.SSLContext | None
    ) -> None:
        if ":" in address[0]:
            self.address_family = socket.AF_INET6
        super().__init__(address, _Handler)
        self.ca = ca
        self.ssl_context = ssl_context
        self.scheme = "https" if ssl_context else "http"
        self.stopping = threading.Event()
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.ssl_context is None:
            super().finish_request(request, client_address)
            return
        # In the connection's own thread, so that a slow handshake keeps nobody waiting.
        with self.ssl_context.wrap_socket(request, server_side=True) as secured:
            with self._lock:
                self._open.add(secured)
            try:
                super().finish_request(secured, client_address)
            finally:
                with self._lock:
                    self._open.discard(secured)

    def shutdown_request(self, request: Any) -> None:
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients hang up whenever they like."""

    def stop(self) -> None:
        self.stopping.set()
        self.shutdown()
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    server_version = "scepkit-test-ca"
    sys_version = ""
    # Headers and body leave in one packet.
    wbufsize = -1
    disable_nagle_algorithm = True
    timeout = 60

    def do_GET(self) -> None:
        self._respond(_NO_BODY)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if not length.isascii() or not length.isdigit() or int(length) > _LONGEST_BODY:
            self.close_connection = True
            status = 413 if length.isdigit() else 411
            self._send(Answer(b"a Content-Length is needed\n", "text/plain", status))
            return
        self._respond(self.rfile.read(int(length)))

    def do_HEAD(self) -> None:
        self._respond(_NO_BODY)

    do_PUT = do_DELETE = do_OPTIONS = do_POST  # noqa: N815 - the names http.server looks for

    def _respond(self, body: bytes) -> None:
        self._send(self.server.ca.answer(self.command, self.path, body))

    def _send(self, answer: Answer) -> None:
        if answer.wire in {Wire.CLOSED, Wire.RESET}:
            self.close_connection = True
            if answer.wire is Wire.RESET:
                # Without the pleasantries of FIN: the peer sees a reset.
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_ZERO)
                os.close(self.connection.detach())
            return
        body = answer.body
        self.send_response(answer.status)
        if answer.wire is Wire.GZIP:
            from gzip import compress

            body = compress(body)
            self.send_header("Content-Encoding", "gzip")
        if answer.content_type:
            self.send_header("Content-Type", answer.content_type)
        if answer.retry_after:
            self.send_header("Retry-After", answer.retry_after)
        if answer.location:
            host = self.headers.get("Host", "localhost")
            self.send_header(
                "Location", answer.location.format(scheme=self.server.scheme, host=host)
            )
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        self._send_body(body, answer.wire)

    def _send_body(self, body: bytes, wire: Wire) -> None:
        if wire is Wire.TRUNCATED:
            self.close_connection = True
            body = body[: len(body) // 2]
        if wire is not Wire.SLOW:
            self.wfile.write(body)
            return
        for octet in body:
            self.wfile.write(bytes((octet,)))
            self.wfile.flush()
            if self.server.stopping.wait(1.0):
                self.close_connection = True
                return

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: `TestCa.exchanges` has it."""


@contextmanager
def serve(ca: Answering, host: str, port: int, ssl_context: ssl.SSLContext | None) -> Iterator[str]:
    """Serve a test CA while the context lasts; gives its URL."""
    server = _Server((host, port), ca, ssl_context)
    thread = threading.Thread(
        target=server.serve_forever, kwargs={"poll_interval": 0.02}, name="test CA"
    )
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host
        yield f"{server.scheme}://{shown}:{server.server_address[1]}/scep"
    finally:
        server.stop()
        thread.join()
