"""transport: a connection fed with arbitrary bytes gives a response or a TransportError."""

from __future__ import annotations

import socket

from hypothesis import given, settings
from hypothesis import strategies as st

from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.url import split_url
from scepkit.errors import TransportError
from scepkit.transport.connection import Connection
from scepkit.transport.wire import Deadline, Wire

URL = "http://ca.test/scep"
LIMIT = 2000

PIECES = st.sampled_from(
    [
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.0 200 OK\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n",
        b"Content-Length: 5\r\n",
        b"Content-Length: 99999999999999999999\r\n",
        b"Content-Length: -1\r\n",
        b"Content-Length: 1_0\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Encoding: gzip\r\n",
        b"Connection: close\r\n",
        b"Content-Type: text/plain\r\n",
        b"Location: http://\xff[\r\n",
        b" folded\r\n",
        b": no name\r\n",
        b"no colon\r\n",
        b"\r\n",
        b"\n",
        b"5\r\nhello\r\n",
        b"ffffffffffffffffffff\r\n",
        b"-5\r\n",
        b"0\r\n\r\n",
        b"\x1f\x8b\x08\x00",
        b"hello",
        b"x" * 3000,
    ]
)
ANSWERS = st.lists(PIECES | st.binary(max_size=20), max_size=12).map(b"".join) | st.binary()


def outcome(answer: bytes, *, gone: bool = False) -> HttpResponse | TransportError:
    """What comes of `answer`; `gone` means that the server takes no request any more."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(answer)
        theirs.shutdown(socket.SHUT_RDWR if gone else socket.SHUT_WR)
        deadline = Deadline(5, URL)
        connection = Connection(Wire(ours, deadline), "key", split_url(URL), None)
        try:
            got = connection.ask(HttpRequest("GET", URL, max_response=LIMIT), "/scep", [], deadline)
        except TransportError as error:
            return error
        finally:
            connection.close()
    assert got is not None
    return got[0]


@settings(max_examples=300)
@given(ANSWERS)
def test_any_bytes_are_a_response_or_a_transport_error(answer: bytes) -> None:
    result = outcome(answer)
    if isinstance(result, TransportError):
        assert str(result).isprintable()
        assert result.kind != "timeout"
    else:
        assert len(result.body) <= LIMIT
        assert "\n" not in result.content_type


@given(st.binary(max_size=LIMIT), st.lists(st.integers(1, 500)), st.booleans())
def test_a_body_comes_through_however_it_is_framed(
    body: bytes, sizes: list[int], by_length: bool
) -> None:
    if by_length:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    else:
        chunks, rest = [], body
        for size in [*sizes, LIMIT]:
            if rest:
                chunks.append(b"%x\r\n%b\r\n" % (len(rest[:size]), rest[:size]))
                rest = rest[size:]
        head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        answer = head + b"".join(chunks) + b"0\r\n\r\n"
    result = outcome(answer)
    assert isinstance(result, HttpResponse)
    assert result.body == body


def test_an_answer_that_came_before_the_request_could_leave_is_read() -> None:
    result = outcome(b"HTTP/1.1 413 Content Too Large\r\n\r\nno", gone=True)
    assert isinstance(result, HttpResponse)
    assert (result.status, result.body) == (413, b"no")
