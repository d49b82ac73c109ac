"""transport: a request and its answer over a real socket."""

from __future__ import annotations

import gzip
import time
import zlib
from base64 import b64encode
from datetime import UTC, datetime

import pytest

from scepkit.core.http import (
    HttpRequest,
)
from scepkit.errors import InputError
from scepkit.transport import HttpOptions, HttpTransport
from tests.servers import always, answer, once, serve
from tests.transport.asking import MIB, failure_of, get, post


def test_a_response_is_returned_whole(transport: HttpTransport) -> None:
    response = answer(b"\x30\x00", "200 OK", "Content-Type: application/x-pki-message; a=b")
    before = datetime.now(UTC)
    with serve(always(response)) as server:
        got = transport.exchange(get(server.url()))
    assert (got.status, got.body) == (200, b"\x30\x00")
    assert got.content_type == "application/x-pki-message; a=b"
    assert before <= got.received_at <= datetime.now(UTC)
    assert got.retry_after == ""


def test_a_get_says_what_it_must_and_no_more(transport: HttpTransport) -> None:
    with serve(always(answer())) as server:
        transport.exchange(get(server.url("/scep?operation=GetCACaps")))
    [request] = server.requests
    assert (request.method, request.target) == ("GET", "/scep?operation=GetCACaps")
    assert request.version == "HTTP/1.1"
    assert request.headers == {
        "host": server.authority,
        "user-agent": "scepkit/0.1.0",
        "accept": "*/*",
        "accept-encoding": "identity",
    }


def test_a_post_always_has_a_length(transport: HttpTransport) -> None:
    with serve(always(answer())) as server:
        transport.exchange(post(server.url(), b"\x00\r\n\xff" * 100_000))
        transport.exchange(post(server.url(), b""))
    large, empty = server.requests
    assert large.body == b"\x00\r\n\xff" * 100_000
    assert large.headers["content-length"] == "400000"
    assert large.headers["content-type"] == "application/x-pki-message"
    assert "transfer-encoding" not in large.headers
    assert empty.headers["content-length"] == "0"


def test_a_post_without_a_content_type_has_none(transport: HttpTransport) -> None:
    with serve(always(answer())) as server:
        transport.exchange(HttpRequest("POST", server.url(), b"x"))
    assert "content-type" not in server.requests[0].headers


@pytest.mark.parametrize("status", ["404 Not Found", "405", "500 Internal Server Error", "299 x"])
def test_an_http_status_is_no_error_here(transport: HttpTransport, status: str) -> None:
    with serve(always(answer(b"why", status))) as server:
        response = transport.exchange(get(server.url()))
    assert (response.status, response.body) == (int(status[:3]), b"why")


def test_retry_after_is_given_through(transport: HttpTransport) -> None:
    with serve(always(answer(b"", "503 Busy", "Retry-After: 120"))) as server:
        assert transport.exchange(get(server.url())).retry_after == "120"


@pytest.mark.parametrize("head", ["204 No Content", "304 Not Modified"])
def test_a_status_without_a_body_is_complete(transport: HttpTransport, head: str) -> None:
    response = f"HTTP/1.1 {head}\r\nContent-Length: 99\r\n\r\n".encode()
    with serve(always(response)) as server:
        assert transport.exchange(get(server.url())).body == b""
        assert transport.exchange(get(server.url())).body == b""
    assert server.connections == 1


def test_an_empty_body_is_empty(transport: HttpTransport) -> None:
    with serve(always(answer(b""))) as server:
        assert transport.exchange(get(server.url())).body == b""


def test_a_chunked_answer_is_joined(transport: HttpTransport) -> None:
    chunked = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        b"3\r\nabc\r\n5;ext=1\r\ndefgh\r\n0\r\nTrailer: x\r\n\r\n"
    )
    with serve(always(chunked)) as server:
        assert transport.exchange(get(server.url())).body == b"abcdefgh"
        assert transport.exchange(get(server.url())).body == b"abcdefgh"
    assert server.connections == 1


def test_an_interim_100_is_skipped(transport: HttpTransport) -> None:
    with serve(always(b"HTTP/1.1 100 Continue\r\nX: y\r\n\r\n" + answer(b"real"))) as server:
        assert transport.exchange(get(server.url())).body == b"real"


def test_http_1_0_without_a_length_ends_with_the_connection(transport: HttpTransport) -> None:
    with serve(once(b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nAES\n")) as server:
        for _ in range(2):
            response = transport.exchange(get(server.url()))
            assert (response.body, response.content_type) == (b"AES\n", "text/plain")
    assert server.connections == 2


def test_http_1_0_with_keep_alive_is_kept_alive(transport: HttpTransport) -> None:
    response = answer(b"x", "200 OK", "Connection: Keep-Alive", version="HTTP/1.0")
    with serve(always(response)) as server:
        for _ in range(3):
            assert transport.exchange(get(server.url())).body == b"x"
    assert server.connections == 1


def test_a_folded_content_type_is_one_line(transport: HttpTransport) -> None:
    with serve(always(answer(b"x", "200 OK", "Content-Type: text/plain;\r\n charset=x"))) as server:
        assert transport.exchange(get(server.url())).content_type == "text/plain;  charset=x"


@pytest.mark.parametrize(
    "head",
    [
        b"Content-Length: 0000000000000000000000002\r\n",
        b"content-length:2\r\nContent-Length: 5\r\n",
        b"nonsense\r\n: nameless\r\n folded\r\nContent-Length: \t2 \r\n",
        b"TRANSFER-ENCODING: Chunked\r\nContent-Length: 9\r\n",
    ],
)
def test_headers_are_read_as_others_write_them(head: bytes, transport: HttpTransport) -> None:
    body = b"2\r\nok\r\n0\r\n\r\n" if b"ENCODING" in head else b"ok"
    with serve(always(b"HTTP/1.1 200 OK\r\n" + head + b"\r\n" + body)) as server:
        for _ in range(2):
            assert transport.exchange(get(server.url())).body == b"ok"
    assert server.connections == 1


@pytest.mark.parametrize(
    "header", [("X", "a\r\nHost: elsewhere"), ("X\n", "a"), ("X", "a\rb"), ("X", "\N{EURO SIGN}")]
)
def test_a_request_with_a_line_break_never_leaves(
    header: tuple[str, str], transport: HttpTransport
) -> None:
    with serve(always(answer())) as server:
        with pytest.raises(InputError, match="line break"):
            transport.exchange(HttpRequest("GET", server.url(), headers=(header,)))
        assert server.requests == []
        assert transport.exchange(get(server.url())).status == 200


def test_ipv6_is_spoken(transport: HttpTransport) -> None:
    with serve(always(answer(b"six")), host="::1") as server:
        assert transport.exchange(get(server.url())).body == b"six"
    assert server.requests[0].headers["host"] == f"[::1]:{server.port}"


def test_headers_and_basic_auth_are_sent() -> None:
    options = HttpOptions(
        headers={"X-Tenant": "Zürich"}, basic_auth=("jo", "pä:ss"), user_agent="mine/1"
    )
    with serve(always(answer())) as server, HttpTransport(options) as transport:
        transport.exchange(post(server.url()))
    headers = server.requests[0].headers
    assert headers["x-tenant"] == "Zürich"
    assert headers["user-agent"] == "mine/1"
    assert headers["authorization"] == "Basic " + b64encode("jo:pä:ss".encode()).decode()


def test_a_gzip_answer_is_unpacked(transport: HttpTransport) -> None:
    body = b"SCEPStandard\n" * 1000
    for name in ("gzip", "x-gzip", "GZIP"):
        packed = answer(gzip.compress(body), "200 OK", f"Content-Encoding: {name}")
        with serve(always(packed)) as server:
            assert transport.exchange(get(server.url())).body == body


def test_a_gzip_bomb_is_refused() -> None:
    packer = zlib.compressobj(9, wbits=31)
    bomb = b"".join(packer.compress(bytes(MIB)) for _ in range(200)) + packer.flush()
    assert len(bomb) < MIB
    started = time.process_time()
    error = failure_of(always(answer(bomb, "200 OK", "Content-Encoding: gzip")))
    assert time.process_time() - started < 2
    assert error.kind == "too-large"
    assert "unpacks to more" in str(error)


@pytest.mark.parametrize(
    ("body", "coding", "words"),
    [
        (b"not gzip", "gzip", "damaged"),
        (gzip.compress(b"x" * 100, mtime=0)[:-9], "gzip", "damaged"),
        (b"x", "br", "'br'"),
        (b"x", "gzip, gzip", "'gzip, gzip'"),
    ],
)
def test_other_codings_are_refused(body: bytes, coding: str, words: str) -> None:
    error = failure_of(always(answer(body, "200 OK", f"Content-Encoding: {coding}")))
    assert error.kind == "protocol"
    assert words in str(error)


def test_an_empty_or_identity_body_needs_no_unpacking(transport: HttpTransport) -> None:
    for body, coding in ((b"", "gzip"), (b"x", "identity")):
        with serve(always(answer(body, "200 OK", f"Content-Encoding: {coding}"))) as server:
            assert transport.exchange(get(server.url())).body == body
