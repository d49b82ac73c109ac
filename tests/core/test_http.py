"""core.http: URLs, the GET spelling of a message and its reading, and what pages say."""

from __future__ import annotations

import contextlib
from base64 import b64encode, urlsafe_b64encode
from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core.http import (
    MAX_CRL_RESPONSE,
    MAX_RESPONSE,
    HttpRequest,
    HttpResponse,
    body_excerpt,
    ca_cert_request,
    caps_request,
    decode_get_message,
    decode_profile,
    html_title,
    media_type,
    next_ca_request,
    parse_endpoint,
    parse_query,
    pki_operation_request,
    printable,
    retry_after_seconds,
)
from scepkit.errors import DecodeError, InputError

NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
#: Its base64 has "+", "/" and "=".
MESSAGE = b"\xfb\xef\xbe\xff\xff\xff\x00"
BASE64 = "++++////AA=="


# ------------------------------------------------------------------------------------- requests


def test_the_three_queries_carry_the_profile_only_when_there_is_one() -> None:
    endpoint = parse_endpoint("http://ca.test/scep")
    assert caps_request(endpoint).url == "http://ca.test/scep?operation=GetCACaps"
    assert ca_cert_request(endpoint, "").url == "http://ca.test/scep?operation=GetCACert&message="
    assert (
        next_ca_request(endpoint, "printers").url
        == "http://ca.test/scep?operation=GetNextCACert&message=printers"
    )


def test_queries_may_be_redirected_and_pki_operations_may_not() -> None:
    endpoint = parse_endpoint("http://ca.test/scep")
    assert caps_request(endpoint).follow_redirects
    assert not pki_operation_request(endpoint, MESSAGE, post=True).follow_redirects
    assert not pki_operation_request(endpoint, MESSAGE, post=False).follow_redirects


def test_a_query_of_the_url_stays_in_front() -> None:
    endpoint = parse_endpoint("http://ca.test/scep?realm=7")
    assert caps_request(endpoint).url == "http://ca.test/scep?realm=7&operation=GetCACaps"


@given(st.text(st.characters(codec="utf-8")))
def test_a_profile_cannot_change_the_query(profile: str) -> None:
    request = ca_cert_request(parse_endpoint("http://ca.test/scep"), profile)
    query = urlsplit(request.url).query
    assert parse_qs(query, keep_blank_values=True) == {
        "operation": ["GetCACert"],
        "message": [profile],
    }
    assert decode_profile(parse_query(query)["message"]) == profile


def test_a_message_by_post_is_the_body() -> None:
    request = pki_operation_request(parse_endpoint("http://ca.test/scep"), MESSAGE, post=True)
    assert request == HttpRequest(
        "POST",
        "http://ca.test/scep?operation=PKIOperation",
        MESSAGE,
        "application/x-pki-message",
        MAX_RESPONSE,
    )


def test_a_message_by_get_is_standard_base64_wholly_escaped() -> None:
    request = pki_operation_request(parse_endpoint("http://ca.test/scep"), MESSAGE, post=False)
    assert request.url == (
        "http://ca.test/scep?operation=PKIOperation&message=%2B%2B%2B%2B%2F%2F%2F%2FAA%3D%3D"
    )
    assert (request.method, request.body, request.content_type) == ("GET", b"", "")


def test_a_larger_response_can_be_allowed_for_a_crl() -> None:
    endpoint = parse_endpoint("http://ca.test/scep")
    for post in (True, False):
        request = pki_operation_request(endpoint, MESSAGE, post=post, max_response=MAX_CRL_RESPONSE)
        assert request.max_response == MAX_CRL_RESPONSE


def test_no_repr_shows_a_message() -> None:
    endpoint = parse_endpoint("http://ca.test/scep")
    get = pki_operation_request(endpoint, MESSAGE, post=False)
    post = pki_operation_request(endpoint, b"hunter2", post=True)
    assert repr(get) == (
        "<HttpRequest GET http://ca.test/scep?operation=PKIOperation&message=... body=0 bytes>"
    )
    assert "body=7 bytes" in repr(post)
    assert "hunter2" not in repr(post)


def test_the_repr_of_a_response_is_short() -> None:
    assert repr(HttpResponse(204, b"", NOW)) == "<HttpResponse 204 body=0 bytes>"
    assert repr(HttpResponse(200, b"\x30", NOW, "text/plain")) == (
        "<HttpResponse 200 'text/plain' body=1 bytes>"
    )


# -------------------------------------------------------------------------- reading a GET message


@given(st.binary(min_size=1))
def test_what_our_get_writes_is_read_back(message: bytes) -> None:
    request = pki_operation_request(parse_endpoint("http://ca.test/scep"), message, post=False)
    query = parse_query(urlsplit(request.url).query)
    assert query["operation"] == "PKIOperation"
    assert decode_get_message(query["message"]) == message


@given(
    message=st.binary(min_size=1),
    alphabet=st.sampled_from([b64encode, urlsafe_b64encode]),
    padded=st.booleans(),
    width=st.sampled_from([0, 60, 64, 76]),
    line_end=st.sampled_from(["\n", "\r\n"]),
    safe=st.sampled_from(["", "+/", "+/="]),
    plus_as_blank=st.booleans(),
)
def test_every_spelling_of_base64_is_read(
    message: bytes,
    alphabet: type[bytes],
    padded: bool,
    width: int,
    line_end: str,
    safe: str,
    plus_as_blank: bool,
) -> None:
    text = alphabet(message).decode()
    text = text if padded else text.rstrip("=")
    # Every pkiMessage is a SEQUENCE, so none begins with what a blank could stand for.
    if plus_as_blank and not text.startswith("+"):
        text = text.replace("+", " ")
    if width:
        lines = [text[start : start + width] for start in range(0, len(text), width)]
        text = line_end.join(lines) + line_end
    raw = quote(text, safe=safe)
    assert decode_get_message(raw) == message
    assert decode_get_message(raw.encode()) == message


@pytest.mark.parametrize(
    ("raw", "quirk"),
    [
        (BASE64, "Q09: macOS with + and / as they are"),
        (BASE64.replace("=", "%3D"), "Q09: macOS, only = escaped"),
        (BASE64[:8] + "%0A" + BASE64[8:] + "%0A", "Q02: Cisco IOS with line breaks"),
        ("--__".join(["--", "__AA"]), "Q10: micromdm with the base64url alphabet"),
        (BASE64 + "%20", "a blank after the padding"),
        ("%20" + BASE64, "a blank in front"),
    ],
)
def test_the_spellings_of_known_clients_are_read(raw: str, quirk: str) -> None:
    assert decode_get_message(raw) == MESSAGE, quirk


def test_a_blank_inside_stands_for_a_plus() -> None:
    assert decode_get_message("MA %20") == decode_get_message("MA%2B%2B")


@pytest.mark.parametrize("raw", ["", "%0A", "====", b"", "%20"])
def test_an_empty_message_is_refused(raw: str | bytes) -> None:
    with pytest.raises(DecodeError, match="empty"):
        decode_get_message(raw)


@pytest.mark.parametrize(
    ("raw", "offset"),
    [("MII*", 3), ("MI%zz", 2), ("é", 0), ("MI\udcff", 2), ("MA==MA==", 2), (b"MI\x00", 2)],
)
def test_what_is_not_base64_is_refused_with_its_place(raw: str | bytes, offset: int) -> None:
    with pytest.raises(DecodeError, match="not base64: found the byte") as caught:
        decode_get_message(raw)
    assert caught.value.offset == offset


def test_a_message_cut_short_is_refused() -> None:
    with pytest.raises(DecodeError, match="characters are missing"):
        decode_get_message("MIIBA")


@given(st.text(st.characters(codec="utf-8")) | st.binary())
def test_any_message_value_is_bytes_or_a_decode_error(raw: str | bytes) -> None:
    with contextlib.suppress(DecodeError):
        assert decode_get_message(raw)


# ---------------------------------------------------------------------------------------- queries


def test_a_query_keeps_its_values_raw() -> None:
    assert parse_query("operation=PKIOperation&&message=a+b%2B&%6Dore&x=1=2") == {
        "operation": "PKIOperation",
        "message": "a+b%2B",
        "more": "",
        "x": "1=2",
    }


def test_a_doubled_parameter_is_refused() -> None:
    with pytest.raises(DecodeError, match="more than one 'operation'"):
        parse_query("operation=GetCACert&%6fperation=PKIOperation")


def test_a_profile_may_be_written_like_a_form() -> None:
    assert decode_profile("my+CA%2B%C3%A9") == "my CA+é"


@pytest.mark.parametrize("raw", ["%ff", "\ud800"])
def test_a_received_profile_that_is_not_utf8_is_refused(raw: str) -> None:
    with pytest.raises(DecodeError, match="not UTF-8"):
        decode_profile(raw)


def test_a_given_profile_that_is_not_utf8_is_refused() -> None:
    with pytest.raises(InputError, match="cannot be written as UTF-8"):
        caps_request(parse_endpoint("http://ca.test/scep"), "\udcff")


# ------------------------------------------------------------------------- content types and pages


@pytest.mark.parametrize(
    ("header", "media"),
    [
        ("", ""),
        ("application/x-x509-ca-cert", "application/x-x509-ca-cert"),
        (" Text/HTML ; charset=utf-8", "text/html"),
        (";", ""),
    ],
)
def test_a_media_type_is_lower_case_without_parameters(header: str, media: str) -> None:
    assert media_type(header) == media


@pytest.mark.parametrize(
    ("page", "title"),
    [
        (b"<html><head><title>Hello</title>", "Hello"),
        (
            b"<HTML><TITLE lang=en>\r\n Network Device\t&amp; more </TITLE >",
            "Network Device & more",
        ),
        ("\ufeff<title>Zertifikat für É</title>".encode(), "Zertifikat für É"),
        ("<title>Zwölf</title>".encode("utf-16"), "Zwölf"),
        ("<TITLE>Sch\xf6n</TITLE>".encode("latin-1"), "Sch\ufffdn"),
        (b"<title>\x1b[31mred\x00</title>", "?[31mred?"),
        (b"<title>" + b"a" * 300 + b"</title>", "a" * 197 + "..."),
        (b"<title> </title>", None),
        (b"<title>never closed", None),
        (b"<title", None),
        (b"no page", None),
        (b"", None),
    ],
)
def test_the_title_of_a_page_is_found(page: bytes, title: str | None) -> None:
    assert html_title(page) == title


@pytest.mark.timeout(5)
def test_a_page_made_to_be_slow_is_not() -> None:
    assert html_title(b"<title" * 1_000_000) is None


@pytest.mark.parametrize(
    ("body", "excerpt"),
    [
        (b"<title>Sign in</title><p>please", "Sign in"),
        (b"no such\nprofile\n", "no such profile"),
        ("é".encode() * 150, "é" * 100),
        (b"a" + "é".encode() * 150, "a" + "é" * 99),
        (b"\x30\x82\x01\x00\xff", ""),
        (b"\xff\xd8", ""),
        (b"", ""),
    ],
)
def test_a_body_is_quoted_when_it_is_text(body: bytes, excerpt: str) -> None:
    assert body_excerpt(body) == excerpt


@given(st.binary())
def test_excerpts_are_always_one_safe_line(body: bytes) -> None:
    excerpt = body_excerpt(body)
    assert len(excerpt) <= 200
    assert excerpt.isprintable()


def test_short_text_is_shown_as_it_is() -> None:
    assert printable("abc", 3) == "abc"
    assert printable("abcd", 3) == "..."


# ------------------------------------------------------------------------------------- Retry-After


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("0", 0.0),
        (" 120 ", 120.0),
        ("999999999", 86400.0),
        ("9" * 5000, 86400.0),
        ("Mon, 01 Jun 2026 12:00:30 GMT", 30.0),
        ("Monday, 01-Jun-26 12:00:30 GMT", 30.0),
        ("Mon Jun  1 12:00:30 2026", 30.0),
        ("Mon, 01 Jun 2026 12:00:30 -0000", 30.0),
        ("Mon, 01 Jun 2026 11:00:00 GMT", 0.0),
        ("Tue, 01 Jun 2027 12:00:00 GMT", 86400.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("1.5", None),
        ("²", None),
        ("Mon, 99 Jun 2026 12:00:30 GMT", None),
        ("x" * 101, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: float | None) -> None:
    assert retry_after_seconds(header, NOW) == seconds


@given(st.integers(min_value=0, max_value=86400))
def test_a_retry_date_is_read_back(seconds: int) -> None:
    from email.utils import format_datetime

    header = format_datetime(NOW + timedelta(seconds=seconds), usegmt=True)
    assert retry_after_seconds(header, NOW) == seconds


@given(st.text() | st.text("0123456789 :,+-GMTJanMonx"))
def test_any_retry_after_is_seconds_or_none(header: str) -> None:
    seconds = retry_after_seconds(header, NOW)
    assert seconds is None or 0 <= seconds <= 86400
