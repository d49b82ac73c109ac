"""transport: nothing waits without a deadline, nothing is read without a limit."""

from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from scepkit.errors import TransportError
from scepkit.transport import HttpOptions, HttpTransport
from tests.servers import Handler, Peer, always, answer, once, serve, silent
from tests.transport.asking import MIB, failure, failure_of, get, post, query

#: Seconds after which a limit of less than one has not held, however busy the machine is.
SOON = 20


def test_a_port_where_nothing_listens_is_refused() -> None:
    with serve(silent) as server:
        pass
    error = failure(get(server.url()))
    assert error.kind == "refused"
    assert f"nothing listens at {server.authority}" in str(error)


def test_an_unknown_host_is_a_dns_error() -> None:
    error = failure(get("http://no-such-host.invalid/scep"))
    assert error.kind == "dns"
    assert "no-such-host.invalid" in str(error)
    assert "name service" in error.hint


def test_a_resolver_that_does_not_answer_hits_the_timeout(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = socket.getaddrinfo
    answered = threading.Event()

    def slow(*arguments: Any, **options: Any) -> Any:
        if not options.get("flags"):
            answered.wait(60)
        return ask(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    started = time.monotonic()
    error = failure(get("http://slow.invalid/scep"), HttpOptions(timeout=0.3))
    answered.set()
    assert time.monotonic() - started < SOON
    assert error.kind == "timeout"
    assert "looking up slow.invalid" in str(error)


def test_an_address_that_cannot_be_reached_is_told_from_a_refusal() -> None:
    # A link-local address without its zone: the kernel itself says no.
    error = failure(get("http://[fe80::1]:9/scep"))
    assert error.kind == "refused"
    assert "[fe80::1]:9 cannot be reached" in str(error)
    assert "network of this machine" in error.hint


def test_a_silent_server_hits_the_timeout() -> None:
    started = time.monotonic()
    error = failure_of(silent, HttpOptions(timeout=1))
    assert 0.95 < time.monotonic() - started < SOON
    assert error.kind == "timeout"
    assert "waiting for the first byte" in str(error)
    assert "limit 1 s" in str(error)
    assert "--timeout" in error.hint


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n"])
def test_a_slow_drip_hits_the_deadline_of_the_exchange(start: bytes) -> None:
    def drip(peer: Peer) -> None:
        peer.read()
        peer.send(start)
        while True:
            peer.send(b"H")
            time.sleep(0.05)

    started = time.monotonic()
    error = failure_of(drip, HttpOptions(timeout=1))
    assert time.monotonic() - started < SOON
    assert error.kind == "timeout"
    assert "reading the answer" in str(error)


def test_redirects_share_one_deadline() -> None:
    def slow(peer: Peer) -> None:
        while peer.read():
            time.sleep(0.25)
            peer.send(answer(b"", "302 Found", "Location: /again"))

    started = time.monotonic()
    with serve(slow) as server:
        error = failure(query(server.url()), HttpOptions(timeout=0.6))
    assert time.monotonic() - started < SOON
    assert error.kind == "timeout"


def test_a_server_that_does_not_read_hits_the_deadline() -> None:
    def deaf(peer: Peer) -> None:
        stop.wait(60)

    stop = threading.Event()
    with serve(deaf) as server:
        error = failure(post(server.url(), b"x" * 64 * MIB), HttpOptions(timeout=1))
        stop.set()
    assert error.kind == "timeout"
    assert "sending the request" in str(error)


def test_the_connect_timeout_counts_apart() -> None:
    # A listener whose backlog is full answers no further SYN.
    import socket

    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener:
        port = listener.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            started = time.monotonic()
            error = failure(
                get(f"http://127.0.0.1:{port}/"), HttpOptions(timeout=60, connect_timeout=0.4)
            )
    assert time.monotonic() - started < SOON
    assert error.kind == "timeout"
    assert "connecting to 127.0.0.1" in str(error)
    assert "limit 0.4 s" in str(error)


def flood(header: bytes, piece: bytes) -> tuple[Handler, list[int]]:
    """A server that sends `piece` up to 50 MB, and the list that gets how much it could send."""
    sent: list[int] = []

    def handle(peer: Peer) -> None:
        peer.read()
        peer.send(header)
        total = 0
        try:
            while total < 50 * MIB:
                peer.send(piece)
                total += len(piece)
        finally:
            sent.append(total)

    return handle, sent


@pytest.mark.parametrize(
    ("header", "piece"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 52428800\r\n\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 65536),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"10000\r\n" + b"x" * 65536 + b"\r\n",
        ),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n" * 8192),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffff\r\n", b"x" * 65536),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 8192),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 2048),
    ],
    ids=["length", "until-close", "chunks", "tiny", "huge-chunk", "trailers", "100s"],
)
def test_fifty_megabytes_are_refused_and_not_read(header: bytes, piece: bytes) -> None:
    handler, sent = flood(header, piece)
    error = failure_of(handler)
    assert error.kind == "too-large"
    assert sent[0] < 25 * MIB  # what the buffers of both kernels hold


def test_a_body_of_exactly_the_limit_is_allowed(transport: HttpTransport) -> None:
    body = b"x" * 1000
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3e8\r\n" + body
    for response in (answer(body), chunked + b"\r\n0\r\n\r\n"):
        with serve(always(response)) as server:
            request = get(server.url(), max_response=1000)
            assert transport.exchange(request).body == body
            with pytest.raises(TransportError) as caught:
                transport.exchange(get(server.url(), max_response=999))
        assert caught.value.kind == "too-large"
        assert "999" in str(caught.value)


def test_a_request_can_allow_more(transport: HttpTransport) -> None:
    with serve(always(answer(b"x" * 3 * MIB))) as server:
        response = transport.exchange(get(server.url(), max_response=4 * MIB))
    assert len(response.body) == 3 * MIB


@pytest.mark.parametrize(
    "header",
    [b"X: y\r\n" * 200, b"X: " + b"y" * 100_000 + b"\r\n", b"Y" * 70_000],
    ids=["many", "long", "no-end"],
)
def test_a_header_bomb_is_refused(header: bytes) -> None:
    error = failure_of(once(b"HTTP/1.1 200 OK\r\n" + header + b"\r\n"))
    assert error.kind == "protocol"
