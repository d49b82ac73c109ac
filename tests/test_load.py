"""What `benchmarks/server` measures with: it must see every answer, and never wait for ever."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from benchmarks.load import Load, Told

_OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def _server(answer: Callable[[bytes], bytes | None]) -> Iterator[str]:
    """One that answers each request's body; with None it closes the connection."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve(connection: socket.socket) -> None:
            with connection, connection.makefile("rb") as lines:
                while lines.readline():
                    while (line := lines.readline()) != b"\r\n":
                        name, _, value = line.partition(b": ")
                        if name == b"Content-Length":
                            length = int(value)
                    answered = answer(lines.read(length))
                    if answered is None:
                        return
                    connection.sendall(answered)

        def accept() -> None:
            while True:
                try:
                    connection, _ = listening.accept()
                except OSError:
                    return
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/scep"
        listening.shutdown(socket.SHUT_RDWR)


def _sent(answer: Callable[[bytes], bytes | None], seconds: float = 30) -> tuple[Told, list[bytes]]:
    bodies = [b"%d" % number for number in range(20)]
    with _server(answer) as url:
        load = Load(url, bodies)
        return load.run(4, seconds), load.replies


_BODIES = [b"<%d>" % number for number in range(20)]


def test_answers_with_a_length_are_kept_in_order() -> None:
    told, replies = _sent(
        lambda body: b"%sContent-Length: %d\r\n\r\n<%s>" % (_OK, len(body) + 2, body)
    )
    assert (told.answered, told.statuses, replies) == (20, {"200": 20}, _BODIES)


def test_answers_in_chunks_are_put_together() -> None:
    told, replies = _sent(
        lambda body: (
            b"%sTransfer-Encoding: chunked\r\n\r\n1\r\n<\r\n%x\r\n%s>\r\n0\r\n\r\n"
            % (_OK, len(body) + 1, body)
        )
    )
    assert (told.statuses, replies) == ({"200": 20}, _BODIES)


def test_a_connection_that_the_server_closes_is_made_anew() -> None:
    told, replies = _sent(lambda body: b"%sConnection: close\r\nContent-Length: 0\r\n\r\n" % _OK)
    assert (told.answered, told.reconnected) == (20, 16)
    assert replies == [b""] * 20


def test_a_connection_that_ends_without_an_answer_is_told() -> None:
    told, replies = _sent(lambda body: None)
    assert (told.statuses, replies) == ({"closed": 20}, [b""] * 20)


def test_answers_that_never_come_are_counted_and_not_waited_for() -> None:
    told, replies = _sent(lambda body: b"", seconds=0.2)
    assert (told.answered, told.statuses, replies) == (0, {}, [b""] * 20)
