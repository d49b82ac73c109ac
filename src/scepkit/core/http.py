"""What SCEP says over HTTP: requests, responses and the spelling of the query (RFC 8894 4.1).

Values only; `scepkit.transport` moves them.  The rule of this file: every request is built from a
checked `Endpoint`, and nothing here shows a pkiMessage or a query value in a repr or an error
(`shown_url` is the form of a URL that people may see).
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from typing import Literal
from urllib.parse import quote, unquote, unquote_to_bytes

from scepkit.core.url import Endpoint as Endpoint
from scepkit.core.url import parse_endpoint as parse_endpoint
from scepkit.core.url import shown_url as shown_url
from scepkit.errors import DecodeError, InputError
from scepkit.values import frozen

#: Largest response body accepted by default, in bytes.
MAX_RESPONSE = 1024 * 1024
#: Largest response body for a CRL, in bytes: the CRL of a big CA has hundreds of thousands of rows.
MAX_CRL_RESPONSE = 64 * 1024 * 1024

PKI_MESSAGE_TYPE = "application/x-pki-message"
CA_CERT_TYPE = "application/x-x509-ca-cert"
CA_RA_CERT_TYPE = "application/x-x509-ca-ra-cert"
NEXT_CA_CERT_TYPE = "application/x-x509-next-ca-cert"

_LONGEST_WAIT = 86400.0
_EXCERPT_LENGTH = 200
_PAGE_PREFIX = 64 * 1024


@frozen
class HttpRequest:
    """One HTTP request, ready to be sent.

    Attributes:
        method: "GET" or "POST".
        url: absolute http or https URL, percent-encoded; may contain a whole pkiMessage.
        body: the bytes to send; b"" for GET.
        content_type: the Content-Type of `body`, or "".
        max_response: a longer response body is an error, in bytes.
        follow_redirects: whether a redirect may be followed (never for PKIOperation).
        headers: further headers of this request alone, as names and values without line breaks.
    """

    method: Literal["GET", "POST"]
    url: str
    body: bytes = b""
    content_type: str = ""
    max_response: int = MAX_RESPONSE
    follow_redirects: bool = False
    headers: tuple[tuple[str, str], ...] = ()

    def __repr__(self) -> str:
        return f"<HttpRequest {self.method} {shown_url(self.url)} body={len(self.body)} bytes>"


@frozen
class HttpResponse:
    """What a server answered, whatever its status.

    Attributes:
        status: the HTTP status code.
        body: the whole body, without any transfer or content coding.
        received_at: when it had arrived (aware, UTC).
        content_type: the Content-Type header as received, or "".
        retry_after: the Retry-After header as received, or "".
    """

    status: int
    body: bytes
    received_at: datetime
    content_type: str = ""
    retry_after: str = ""

    def __repr__(self) -> str:
        kind = f" {self.content_type!r}" if self.content_type else ""
        return f"<HttpResponse {self.status}{kind} body={len(self.body)} bytes>"


def caps_request(endpoint: Endpoint, profile: str | None = None) -> HttpRequest:
    """GetCACaps (RFC 8894 section 3.5.1).

    `profile` is the CA identifier sent as ``message=``; None leaves the parameter out, "" sends it
    empty (Q15: NDES wants it, with any value).

    :raises InputError: `profile` holds lone surrogates, so it has no UTF-8 form.
    """
    return _query_request(endpoint, "GetCACaps", profile)


def ca_cert_request(endpoint: Endpoint, profile: str | None = None) -> HttpRequest:
    """GetCACert (RFC 8894 section 4.2); `profile` as in `caps_request`."""
    return _query_request(endpoint, "GetCACert", profile)


def next_ca_request(endpoint: Endpoint, profile: str | None = None) -> HttpRequest:
    """GetNextCACert (RFC 8894 section 4.7); `profile` as in `caps_request`."""
    return _query_request(endpoint, "GetNextCACert", profile)


def _query_request(endpoint: Endpoint, operation: str, profile: str | None) -> HttpRequest:
    url = _with_operation(endpoint, operation)
    if profile is not None:
        # jscep leaves it unescaped, which lets a profile change the query.
        try:
            url = f"{url}&message={quote(profile, safe='')}"
        except UnicodeEncodeError:
            raise InputError(f"the profile {profile!r} cannot be written as UTF-8") from None
    return HttpRequest("GET", url, follow_redirects=True)


def pki_operation_request(
    endpoint: Endpoint, message: bytes, *, post: bool, max_response: int = MAX_RESPONSE
) -> HttpRequest:
    """PKIOperation with a DER pkiMessage, by POST or by GET (RFC 8894 sections 4.1 and 4.3).

    GET carries the message as standard base64, wholly percent-escaped (R90).  There is no profile
    here: ``message=`` is the pkiMessage itself.
    """
    url = _with_operation(endpoint, "PKIOperation")
    if post:
        return HttpRequest("POST", url, message, PKI_MESSAGE_TYPE, max_response)
    text = b64encode(message).decode("ascii")
    # quote() would take three times as long for the only three characters there can be.
    text = text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")
    return HttpRequest("GET", f"{url}&message={text}", max_response=max_response)


def _with_operation(endpoint: Endpoint, operation: str) -> str:
    return f"{endpoint.url}{'&' if endpoint.query else '?'}operation={operation}"


def parse_query(raw_query: str) -> dict[str, str]:
    """The parameters of a query, names decoded and values still percent-encoded.

    For servers: give the *raw* query (without "?"), because a framework's decoding turns the
    unescaped "+" of many clients into a blank (Q08, Q09).  Pass ``message`` on to
    `decode_get_message` or `decode_profile`.

    :raises DecodeError: a parameter occurs twice: whoever stands between might read the other.
    """
    found: dict[str, str] = {}
    for pair in raw_query.split("&"):
        if not pair:
            continue
        name, _, value = pair.partition("=")
        name = unquote(name)
        if name in found:
            raise DecodeError(
                f"the query has more than one {printable(name, 32)!r}; expected each parameter once"
            )
        found[name] = value
    return found


def decode_profile(raw_value: str) -> str:
    """The profile in a raw ``message=`` value of GetCACaps, GetCACert or GetNextCACert.

    "+" is read as a blank, as forms write it; our own requests escape both.

    :raises DecodeError: it is not UTF-8.
    """
    try:
        return unquote_to_bytes(raw_value.replace("+", " ")).decode()
    except UnicodeError:
        raise DecodeError("the message parameter is not UTF-8") from None


_NOT_BASE64 = re.compile(rb"[^A-Za-z0-9+/]")
_TO_STANDARD = bytes.maketrans(b"-_ ", b"+/+")


def decode_get_message(raw_query_value: str | bytes) -> bytes:
    """The pkiMessage in the raw ``message=`` value of a PKIOperation by GET.

    Reads what clients really send: escaped or not, with line breaks (Q02), "+" that came through
    as a blank (Q08, Q09), the base64url alphabet (Q10), missing padding.

    :raises DecodeError: it is empty, or not base64 even so; `offset` counts in the unescaped text.
    """
    if isinstance(raw_query_value, str):
        raw_query_value = raw_query_value.encode(errors="replace")
    text = unquote_to_bytes(raw_query_value).translate(None, b"\r\n\t").lstrip(b" ")
    # A blank after the padding is no "+", so padding and blanks go before blanks are translated.
    if b"=" in text:
        text = text.rstrip(b" ").rstrip(b"=")
    text = text.translate(_TO_STANDARD)
    if not text:
        raise DecodeError("the message parameter is empty; expected a pkiMessage in base64")
    wrong = _NOT_BASE64.search(text)
    if wrong is not None:
        raise DecodeError(
            f"the message parameter is not base64: found the byte 0x{wrong[0][0]:02x}",
            offset=wrong.start(),
        )
    if len(text) % 4 == 1:
        raise DecodeError(
            "the message parameter is not base64: its length shows that characters are missing",
            offset=len(text),
        )
    return b64decode(text + b"=" * (-len(text) % 4))


def media_type(content_type: str) -> str:
    """The media type of a Content-Type header, in lower case and without parameters."""
    return content_type.partition(";")[0].strip().lower()


def html_title(body: bytes) -> str | None:
    """The title of an HTML page, on one line, or None when this is no page with a title.

    NDES and login portals answer with pages where a certificate was asked for.
    """
    page = _text(body).encode()
    # No regular expression: "<title<title<title..." would make one quadratic.
    lowered = page.lower()
    opening = lowered.find(b"<title")
    start = lowered.find(b">", opening) + 1 if opening >= 0 else 0
    end = lowered.find(b"</title", start) if start else -1
    if end < 0:
        return None
    from html import unescape

    return printable(unescape(page[start:end].decode()), _EXCERPT_LENGTH) or None


def body_excerpt(body: bytes) -> str:
    """What a body says to a person: its HTML title, else the start of its text, else ""."""
    title = html_title(body)
    if title is not None:
        return title
    text = _text(body[:_EXCERPT_LENGTH])
    if "\x00" in text or "\ufffd" in text[:-1]:
        return ""
    return printable(text.rstrip("\ufffd"), _EXCERPT_LENGTH)


def _text(body: bytes) -> str:
    start = body[:_PAGE_PREFIX]
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        return start.decode("utf-16", errors="replace")
    return start.removeprefix(b"\xef\xbb\xbf").decode("utf-8", errors="replace")


def printable(text: str, limit: int) -> str:
    """A peer's `text` made safe to show: one line, no control characters, at most `limit` long."""
    line = " ".join(text.split())[: limit + 1]
    if not line.isprintable():
        line = "".join(char if char.isprintable() else "?" for char in line)
    return line if len(line) <= limit else line[: limit - 3] + "..."


def retry_after_seconds(text: str, now: datetime) -> float | None:
    """How long a Retry-After header asks to wait, in seconds from 0 to a day.

    Reads seconds and HTTP dates (RFC 9110 section 10.2.3); `now` is aware.  None when the header
    is missing or unreadable.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        return min(float(text[:300]), _LONGEST_WAIT)
    if not text or len(text) > 100:
        return None
    from email.utils import parsedate_to_datetime

    try:
        when = parsedate_to_datetime(text)
        if when.tzinfo is None:
            when = when.replace(tzinfo=UTC)
        seconds = (when - now).total_seconds()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(seconds, 0.0), _LONGEST_WAIT)
