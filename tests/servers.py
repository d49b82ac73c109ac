"""Small servers on loopback that do exactly what a test says, right or wrong.

    with serve(always(answer(b"hello"))) as server:
        ...  # http://127.0.0.1:PORT/ is server.url("/"), what it was asked is in server.requests

A handler is called once for each connection, in a thread of its own, and gets a `Peer`.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class Request:
    """What a client sent; header names in lower case."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Peer:
    """The server's end of a connection."""

    socket: socket.socket
    server: Server
    number: int
    _buffer: bytes = b""

    def read(self) -> Request | None:
        """The next request, noted in `server.requests`; None when the client has closed."""
        while b"\r\n\r\n" not in self._buffer:
            if not self._more():
                return None
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        while len(self._buffer) < length:
            if not self._more():
                return None
        body, self._buffer = self._buffer[:length], self._buffer[length:]
        method, target, version = first.split(" ")
        request = Request(method, target, version, headers, body)
        self.server.requests.append(request)
        return request

    def _more(self) -> bool:
        received = self.socket.recv(65536)
        self._buffer += received
        return bool(received)

    def send(self, data: bytes) -> None:
        """Send `data`, all of it."""
        self.socket.sendall(data)

    def wait_for_close(self) -> None:
        """Say nothing until the client closes or the test ends."""
        while self._more():
            pass


Handler = Callable[[Peer], None]


@dataclass
class Server:
    """A running server, and what it has seen."""

    host: str
    port: int
    scheme: str
    requests: list[Request] = field(default_factory=list)
    #: How many connections were accepted.
    connections: int = 0

    @property
    def authority(self) -> str:
        """``host:port``."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def url(self, path: str = "/scep", host: str | None = None) -> str:
        """The URL of `path`, under another name for this machine if `host` is given."""
        return f"{self.scheme}://{f'{host}:{self.port}' if host else self.authority}{path}"


@contextlib.contextmanager
def serve(
    handler: Handler, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> Iterator[Server]:
    """Run a server for the length of a ``with``."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, 0), family=family, backlog=64)
    server = Server(host, listener.getsockname()[1], "https" if tls else "http")
    lock = threading.Lock()
    stopping = threading.Event()
    sockets: list[socket.socket] = []
    threads: list[threading.Thread] = []
    failures: list[Exception] = []

    def enrolled(connected: socket.socket) -> socket.socket:
        with lock:
            sockets.append(connected)
            if stopping.is_set():
                connected.close()
        return connected

    def attend(connected: socket.socket, number: int) -> None:
        # A client that goes away is what many of the tests are about.
        with contextlib.suppress(OSError):
            if tls is not None:
                connected = enrolled(
                    tls.wrap_socket(connected, server_side=True, do_handshake_on_connect=False)
                )
            with connected:
                if isinstance(connected, ssl.SSLSocket):
                    connected.do_handshake()
                try:
                    handler(Peer(connected, server, number))
                except OSError:
                    raise
                except Exception as error:
                    failures.append(error)

    def accept() -> None:
        while True:
            try:
                connected, _ = listener.accept()
            except OSError:
                return
            enrolled(connected)
            server.connections += 1
            thread = threading.Thread(target=attend, args=(connected, server.connections))
            threads.append(thread)
            thread.start()

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield server
    finally:
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        with lock:
            stopping.set()
            for connected in sockets:
                with contextlib.suppress(OSError):
                    socket.socket.shutdown(connected, socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
    if failures:
        raise failures[0]


def answer(
    body: bytes = b"ok", status: str = "200 OK", *headers: str, version: str = "HTTP/1.1"
) -> bytes:
    """A response with a right Content-Length."""
    lines = [f"{version} {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "\r\n"]).encode("latin-1") + body


def always(response: bytes) -> Handler:
    """A handler that gives every request the same answer, over a connection that stays open."""

    def handle(peer: Peer) -> None:
        while peer.read():
            peer.send(response)

    return handle


def once(response: bytes) -> Handler:
    """A handler that gives one answer and closes the connection."""

    def handle(peer: Peer) -> None:
        if peer.read():
            peer.send(response)

    return handle


def echo(peer: Peer) -> None:
    """Answers every request with its own body, over a connection that stays open."""
    while request := peer.read():
        peer.send(answer(request.body))


def silent(peer: Peer) -> None:
    """Accepts, and never says a word."""
    peer.wait_for_close()


@dataclass
class ForwardProxy:
    """A handler that is a forward proxy: answers http itself, opens tunnels for https.

    Attributes:
        credentials: the Proxy-Authorization it demands, or "".
        refusal: the status with which it refuses tunnels, or "".
    """

    credentials: str = ""
    refusal: str = ""

    def __call__(self, peer: Peer) -> None:
        while request := peer.read():
            if self.credentials != request.headers.get("proxy-authorization", ""):
                peer.send(answer(b"", "407 Proxy Authentication Required"))
            elif request.method != "CONNECT":
                peer.send(answer(b"by proxy"))
            elif self.refusal:
                peer.send(answer(b"", self.refusal))
            else:
                host, _, port = request.target.rpartition(":")
                self._tunnel(peer, host, int(port))
                return

    def _tunnel(self, peer: Peer, host: str, port: int) -> None:
        # The name is the client's business; everything here is on this machine.
        with socket.create_connection(("127.0.0.1", port)) as onward:
            peer.send(b"HTTP/1.1 200 Connection established\r\n\r\n")
            back = threading.Thread(target=_copy, args=(onward, peer.socket))
            back.start()
            _copy(peer.socket, onward)
            back.join()


def _copy(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_RDWR)


def tls_server(certificate: Path, key: Path, *, client_ca: Path | None = None) -> ssl.SSLContext:
    """TLS for `serve`; with `client_ca` it demands a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    if client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(client_ca)
    return context
