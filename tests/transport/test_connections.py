"""transport: which connections are kept, shared, replaced and closed."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from scepkit.core.http import (
    HttpRequest,
)
from scepkit.errors import TransportError
from scepkit.transport import HttpOptions, HttpTransport
from tests.servers import Peer, always, answer, echo, once, serve, silent
from tests.transport.asking import failure, get, post


def test_a_connection_is_used_again(transport: HttpTransport) -> None:
    with serve(echo) as server:
        for number in range(5):
            body = b"%d" % number
            assert transport.exchange(post(server.url(), body)).body == body
    assert server.connections == 1


def test_connection_close_is_obeyed(transport: HttpTransport) -> None:
    with serve(always(answer(b"x", "200 OK", "Connection: close"))) as server:
        for _ in range(3):
            assert transport.exchange(get(server.url())).body == b"x"
    assert server.connections == 3


def test_sixteen_threads_get_their_own_answers(transport: HttpTransport) -> None:
    def work(number: int) -> None:
        for turn in range(25):
            body = b"%d/%d" % (number, turn)
            assert transport.exchange(post(server.url(), body)).body == body

    with serve(echo) as server:
        with ThreadPoolExecutor(16) as threads:
            list(threads.map(work, range(16)))
        assert len(server.requests) == 400
        assert server.connections <= 16


def test_no_more_connections_are_open_than_allowed() -> None:
    together = most = 0
    lock = threading.Lock()

    def slow(peer: Peer) -> None:
        nonlocal together, most
        while request := peer.read():
            with lock:
                together += 1
                most = max(most, together)
            time.sleep(0.01)
            with lock:
                together -= 1
            peer.send(answer(request.body))

    with (
        serve(slow) as server,
        HttpTransport(HttpOptions(max_connections=3)) as transport,
        ThreadPoolExecutor(12) as threads,
    ):
        bodies = [b"%d" % number for number in range(36)]
        requests = [post(server.url(), body) for body in bodies]
        assert [response.body for response in threads.map(transport.exchange, requests)] == bodies
    assert most == 3
    assert server.connections == 3


def test_waiting_for_a_connection_ends_at_the_deadline() -> None:
    with (
        serve(silent) as server,
        HttpTransport(HttpOptions(timeout=0.4, max_connections=1)) as transport,
        ThreadPoolExecutor(1) as threads,
    ):
        first = threads.submit(transport.exchange, get(server.url()))
        while not server.connections:
            time.sleep(0.01)
        time.sleep(0.1)
        with pytest.raises(TransportError) as caught:
            transport.exchange(get(server.url()))
        assert isinstance(first.exception(), TransportError)
    assert caught.value.kind == "timeout"


def test_a_connection_closed_while_idle_is_replaced(transport: HttpTransport) -> None:
    with serve(once(answer(b"x"))) as server:
        for _ in range(3):
            assert transport.exchange(post(server.url())).body == b"x"
            time.sleep(0.02)
    assert (server.connections, len(server.requests)) == (3, 3)


def close_on_second_request(peer: Peer) -> None:
    """A server that lets keep-alive connections go just as the next request arrives."""
    if peer.read():
        peer.send(answer(b"x"))
        peer.read()


@pytest.mark.parametrize("make", [get, post])
def test_a_request_lost_with_a_kept_connection_is_sent_again(
    transport: HttpTransport, make: Callable[[str], HttpRequest]
) -> None:
    with serve(close_on_second_request) as server:
        transport.exchange(make(server.url()))
        assert transport.exchange(make(server.url())).body == b"x"
    assert server.connections == 2
    assert len(server.requests) == 3


@pytest.mark.parametrize("make", [get, post])
def test_a_request_lost_with_a_fresh_connection_is_not_sent_again(
    make: Callable[[str], HttpRequest],
) -> None:
    with serve(once(b"")) as server:
        error = failure(make(server.url()))
    assert error.kind == "closed"
    assert "without an answer" in str(error)
    assert len(server.requests) == 1


def test_a_request_is_not_sent_again_when_an_answer_had_begun(transport: HttpTransport) -> None:
    def handle(peer: Peer) -> None:
        if peer.read():
            peer.send(answer(b"x"))
            peer.read()
            peer.send(b"H")

    with serve(handle) as server:
        transport.exchange(post(server.url()))
        with pytest.raises(TransportError) as caught:
            transport.exchange(post(server.url()))
    assert caught.value.kind in {"closed", "protocol"}
    assert len(server.requests) == 2


def test_a_connection_with_unasked_bytes_is_not_used_again(transport: HttpTransport) -> None:
    answered, forged = threading.Event(), threading.Event()

    def handle(peer: Peer) -> None:
        if peer.read():
            peer.send(answer(b"x"))
            assert answered.wait(30)
            peer.send(answer(b"forged"))
            forged.set()
            peer.wait_for_close()

    with serve(handle) as server:
        assert transport.exchange(get(server.url())).body == b"x"
        answered.set()
        assert forged.wait(30)
        assert transport.exchange(get(server.url())).body == b"x"
    assert server.connections == 2


def test_an_old_connection_is_not_used_again(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(echo) as server:
        transport.exchange(post(server.url()))
        monkeypatch.setattr("scepkit.transport.http._LONGEST_IDLE", 0.0)
        transport.exchange(post(server.url()))
    assert server.connections == 2


def test_a_child_process_makes_its_own_connections(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serve(echo) as server:
        transport.exchange(post(server.url()))
        monkeypatch.setattr(os, "getpid", lambda: -1)
        transport.exchange(post(server.url()))
        monkeypatch.undo()
        transport.exchange(post(server.url()))
    assert server.connections == 2


def test_a_failed_exchange_leaves_the_transport_usable(transport: HttpTransport) -> None:
    with serve(once(b"nonsense\r\n\r\n")) as bad, serve(echo) as good:
        for _ in range(3):
            with pytest.raises(TransportError):
                transport.exchange(get(bad.url()))
            assert transport.exchange(post(good.url(), b"y")).body == b"y"
    assert good.connections == 1


def test_close_ends_an_exchange_under_way() -> None:
    with serve(silent) as server, ThreadPoolExecutor(1) as threads:
        transport = HttpTransport()
        waiting = threads.submit(transport.exchange, get(server.url()))
        while not server.connections:
            time.sleep(0.01)
        time.sleep(0.05)
        transport.close()
        error = waiting.exception(20)  # sooner than it would give up
    assert isinstance(error, TransportError)
    assert error.kind == "closed"


def test_a_closed_transport_sends_nothing() -> None:
    with serve(echo) as server:
        transport = HttpTransport()
        transport.exchange(post(server.url()))
        transport.close()
        with pytest.raises(TransportError, match="transport is closed") as caught:
            transport.exchange(post(server.url()))
        transport.close()
    assert caught.value.kind == "closed"
    assert len(server.requests) == 1


def test_idle_connections_are_checked_where_there_is_no_poll_too(
    transport: HttpTransport, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr("select.poll")  # as on Windows
    with serve(echo) as server, serve(once(answer(b"x"))) as closing:
        for _ in range(2):
            transport.exchange(post(server.url()))
            transport.exchange(post(closing.url()))
            time.sleep(0.02)
    assert (server.connections, closing.connections) == (1, 2)
