"""Messages in the HTTP they were captured in: heads, chunks, packing, and what is wrong with it."""

from __future__ import annotations

import gzip
from base64 import b64encode, urlsafe_b64encode
from urllib.parse import quote

import pytest

from scepkit.core.inspect import Inspection, inspect_message, render_text, to_json
from scepkit.core.pem import write_pem
from tests import vectors
from tests.core import exchange

MESSAGE = exchange.encode()
CAPTURES = vectors.FOLDER / "captures"


def post(
    body: bytes = MESSAGE, *headers: str, target: str = "/scep?operation=PKIOperation"
) -> bytes:
    """A captured POST."""
    if not any(one.startswith(("Content-Length", "Transfer-Encoding")) for one in headers):
        headers = (*headers, f"Content-Length: {len(body)}")
    return "\r\n".join([f"POST {target} HTTP/1.1", *headers, "", ""]).encode() + body


def answer(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A captured answer."""
    return "\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]).encode() + body


def chunks(body: bytes, *, last: bytes = b"0\r\n\r\n") -> bytes:
    half = len(body) // 2
    pieces = (body[:half], body[half:])
    return b"".join(b"%x;x=y\r\n%b\r\n" % (len(one), one) for one in pieces) + last


def get(value: str) -> bytes:
    """A captured GET."""
    return f"GET /scep?operation=PKIOperation&message={value} HTTP/1.0\r\n\r\n".encode()


def codes(found: Inspection) -> list[str]:
    return [one.code for one in found.oddities]


# ------------------------------------------------------------------ whole


@pytest.mark.parametrize("name", ["scepclient", "strongswan", "scepserver"])
def test_real_captures_are_read(name: str) -> None:
    request = inspect_message((CAPTURES / f"{name}.request.http").read_bytes())
    reply = inspect_message((CAPTURES / f"{name}.response.http").read_bytes())
    assert request.kind == reply.kind == "pkiMessage"
    assert request.encoding == ("HTTP request", "DER")
    assert reply.encoding == ("HTTP response", "DER")
    assert request.http is not None
    assert reply.http is not None
    assert (request.http.method, request.http.operation) == ("POST", "PKIOperation")
    assert (reply.http.status, reply.http.content_type) == (200, "application/x-pki-message")
    assert request.attributes is not None
    assert reply.attributes is not None
    assert request.attributes.transaction_id == reply.attributes.transaction_id
    assert request.attributes.sender_nonce == reply.attributes.recipient_nonce


def test_the_message_of_several_in_a_capture_is_the_one_of_the_pki_operation() -> None:
    caps = b"GET /scep?operation=GetCACaps HTTP/1.1\r\nHost: x\r\n\r\n"
    found = inspect_message(caps + post() + caps)
    assert found.kind == "pkiMessage"
    assert found.size == len(MESSAGE)


def test_chunks_are_joined() -> None:
    head = ("Transfer-Encoding: chunked", "Content-Type: application/x-pki-message")
    found = inspect_message(answer(chunks(exchange.seal(exchange.REPLIES[0])), *head))
    assert found.kind == "pkiMessage"
    assert found.oddities == ()
    more = answer(chunks(MESSAGE), *head) + answer(MESSAGE, status="500 Oops")
    assert inspect_message(more).http is not None


def test_lines_may_end_in_a_line_feed_alone() -> None:
    found = inspect_message(b"HTTP/1.0 200\nContent-Type: X/Y; a=b\n\n" + MESSAGE)
    assert found.kind == "pkiMessage"
    assert found.http is not None
    assert (found.http.reason, found.http.content_type) == ("", "x/y")


def test_a_packed_body_is_unpacked() -> None:
    packed = gzip.compress(MESSAGE)
    found = inspect_message(answer(packed, "Content-Encoding: gzip"))
    assert found.kind == "pkiMessage"
    assert codes(found) == ["RFC 9110 8.4"]
    found = inspect_message(answer(MESSAGE, "Content-Encoding: gzip"))
    assert found.kind == "pkiMessage"
    assert codes(found) == ["RFC 9110 8.4"] * 2


def test_pem_in_a_body_is_read() -> None:
    found = inspect_message(answer(write_pem("CERTIFICATE", exchange.CA.der)))
    assert (found.kind, found.encoding) == ("Certificate", ("HTTP response", "PEM", "DER"))
    assert found.http is not None
    both = write_pem("CERTIFICATE", exchange.CA.der) * 2
    found = inspect_message(answer(both))
    assert (found.kind, len(found.certificates)) == ("certificates", 2)
    assert found.http is not None


# ------------------------------------------------------------------ the query


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (quote(b64encode(MESSAGE), safe=""), []),
        (b64encode(MESSAGE).decode(), ["Q09"]),
        (b64encode(MESSAGE).decode().replace("+", "%20"), ["Q08"]),
        (urlsafe_b64encode(MESSAGE).decode(), ["Q10"]),
        (quote(b64encode(MESSAGE)[:76], safe="") + "%0A" + quote(b64encode(MESSAGE)[76:], safe=""),
         ["Q02"]),
    ],
    ids=["escaped", "plus", "blank", "url", "lines"],
)  # fmt: skip
def test_how_the_base64_of_a_get_is_written_is_told(value: str, expected: list[str]) -> None:
    for capture in (get(value), f"http://ca.example/scep?message={value}".encode()):
        found = inspect_message(capture)
        assert found.kind == "pkiMessage"
        assert codes(found) == expected


def test_a_query_that_is_no_base64_is_shown_for_what_it_is() -> None:
    found = inspect_message(get("%%%"))
    assert found.kind == "HTTP"
    assert codes(found) == ["RFC 8894 4.1"] * 2


# ------------------------------------------------------------------ what is wrong


def test_a_page_instead_of_a_message_is_shown() -> None:
    page = b"<html><title>Log in</title></html>"
    found = inspect_message(answer(page, "Content-Type: text/html", status="403 Forbidden"))
    assert found.kind == "HTTP"
    assert [one.text for one in found.oddities] == ["there is no message in the body, but 'Log in'"]
    text = render_text(found)
    assert text.startswith("HTTP 403 Forbidden\n  Content-Type  text/html\n")
    shown = to_json(found)["http"]
    assert (shown["status"], shown["method"]) == (403, None)


def test_a_body_that_is_nothing_is_shown() -> None:
    assert inspect_message(answer(b"")).oddities[0].text.endswith("the body is empty")
    assert inspect_message(answer(b"\x00\x01")).oddities[0].text.endswith("in the body")
    assert inspect_message(b"GET / HTTP/1.1\r\nX").kind == "HTTP"


def test_a_chunked_request_is_odd() -> None:
    found = inspect_message(post(chunks(MESSAGE), "Transfer-Encoding: chunked"))
    assert (found.kind, codes(found)) == ("pkiMessage", ["Q33"])


@pytest.mark.parametrize(
    ("capture", "said"),
    [
        (post(MESSAGE + b"x", f"Content-Length: {len(MESSAGE)}"), "1 bytes follow the body"),
        (post(MESSAGE, f"Content-Length: {len(MESSAGE) + 9}"), "Content-Length says"),
        (answer(chunks(MESSAGE, last=b""), "Transfer-Encoding: chunked"), "last chunk is missing"),
    ],
    ids=["more", "less", "cut"],
)
def test_lengths_that_are_wrong_are_told(capture: bytes, said: str) -> None:
    found = inspect_message(capture)
    assert found.kind == "pkiMessage"
    assert said in found.oddities[0].text


def test_the_last_chunk_needs_no_empty_line() -> None:
    capture = answer(chunks(MESSAGE, last=b"0\r\n"), "Transfer-Encoding: chunked")
    assert codes(inspect_message(capture)) == []


def test_a_message_that_is_cut_off_is_shown_with_what_it_came_in() -> None:
    found = inspect_message(post(MESSAGE[:-1]))
    assert (found.kind, found.encoding) == ("HTTP", ("HTTP request",))
    assert "cut off" in found.oddities[0].text


def test_a_long_target_is_shortened_for_people() -> None:
    lines = render_text(inspect_message(get("A" * 400))).splitlines()
    assert len(lines[0]) < 90
    assert lines[0].endswith("...")
    assert "GET /scep?operation=GetCACaps" in render_text(
        inspect_message(b"GET /scep?operation=GetCACaps HTTP/1.1\r\n\r\n")
    )
