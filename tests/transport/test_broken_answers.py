"""transport: whatever a server sends is an answer or an error."""

from __future__ import annotations

import time

import pytest

from scepkit.transport import HttpOptions, HttpTransport
from tests.servers import Peer, always, once, serve
from tests.transport.asking import failure_of, get


def test_a_body_shorter_than_announced_is_an_error() -> None:
    error = failure_of(once(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"))
    assert error.kind == "closed"
    assert "ended too early" in str(error)


def test_a_body_shorter_than_announced_on_an_open_connection_times_out() -> None:
    def handle(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort")
        peer.wait_for_close()

    assert failure_of(handle, HttpOptions(timeout=0.3)).kind == "timeout"


def test_a_body_longer_than_announced_is_cut(transport: HttpTransport) -> None:
    with serve(once(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokEXTRA")) as server:
        assert transport.exchange(get(server.url())).body == b"ok"
        assert transport.exchange(get(server.url())).body == b"ok"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1_0\r\nab\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    ],
)
def test_broken_chunks_are_an_error(response: bytes) -> None:
    assert failure_of(once(response)).kind == "closed"


@pytest.mark.parametrize(
    "response",
    [
        b"SSH-2.0-OpenSSH_9.6\r\n",
        b"\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"\x00" * 20,
    ],
)
def test_what_is_not_http_is_said_so(response: bytes) -> None:
    error = failure_of(once(response))
    assert error.kind == "protocol"
    assert "not HTTP" in str(error)
    assert str(error).isprintable()


def test_a_reset_connection_is_an_error() -> None:
    import socket
    import struct

    def reset(peer: Peer) -> None:
        peer.read()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nab")
        time.sleep(0.05)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()

    error = failure_of(reset)
    assert error.kind == "closed"


def test_an_interim_status_as_the_last_word_is_an_error() -> None:
    error = failure_of(always(b"HTTP/1.1 103 Early Hints\r\n\r\n"))
    assert error.kind == "protocol"
    assert "103" in str(error)


@pytest.mark.parametrize("line", [b"\r\r\n", b" \r\n", b": x\r\n", b"\xff\r\n"])
@pytest.mark.parametrize("pieces", [1, 2])
def test_lines_that_are_no_headers_are_passed_over(line: bytes, pieces: int) -> None:
    head = b"HTTP/1.1 200 OK\r\n" + line + b"Content-Length: 2\r\n\r\nok"
    middle = 3 if pieces == 2 else len(head)

    def handle(peer: Peer) -> None:
        peer.read()
        peer.send(head[:middle])
        peer.send(head[middle:])

    with serve(handle) as server, HttpTransport() as transport:
        assert transport.exchange(get(server.url())).body == b"ok"
