"""HTTP as it was captured: one message after another, heads and bodies, down to the pkiMessage.

What `curl -i` writes, what a proxy logs, or what Wireshark saves of a stream.  The rule of this
file: nothing raises; what is wrong with the HTTP around a message is part of what was found.
"""

from __future__ import annotations

import re
import zlib

from scepkit.core import http
from scepkit.core.inspect.values import HttpInfo, Oddity
from scepkit.errors import DecodeError
from scepkit.values import field, frozen

_REQUEST_LINE = re.compile(rb"([A-Z]{3,8}) (\S+)(?: HTTP/(\d\.\d))?\r?\n")
_STATUS_LINE = re.compile(rb"HTTP/(\d(?:\.\d)?) (\d{3})(?: ([^\r\n]*))?\r?\n")
_HEAD_END = re.compile(rb"\r?\n\r?\n")
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,8})[^\r\n]*\r?\n")
#: Messages in one capture that are looked at, and bytes that a body may unpack to.
_MOST_MESSAGES = 1000
_LARGEST_BODY = 64 * 1024 * 1024
_GZIP_OR_ZLIB = 47  # zlib's wbits: 15 for the window, 32 to find out which of the two it is

_WORDS_THAT_BEGIN = (b"GET ", b"POST ", b"HTTP/", b"HEAD ", b"PUT ")


@frozen
class HttpMessage:
    """One message of a capture: its head as `HttpInfo`, and its body, unpacked."""

    info: HttpInfo
    body: bytes = field(repr=False)
    oddities: tuple[Oddity, ...] = ()


def is_dump(data: bytes) -> bool:
    """Whether `data` begins as an HTTP request or response does."""
    return data.startswith(_WORDS_THAT_BEGIN) and bool(
        _REQUEST_LINE.match(data) or _STATUS_LINE.match(data)
    )


def read_dump(data: bytes) -> HttpMessage:
    """The message of a capture that carries a pkiMessage; without one, the last with a body."""
    found: list[HttpMessage] = []
    at = 0
    while len(found) < _MOST_MESSAGES and is_dump(data[at : at + 8192]):
        message, at = _message(data, at)
        found.append(message)
    return max(enumerate(found), key=lambda each: (_weight(each[1]), each[0]))[1]


def _weight(message: HttpMessage) -> int:
    info = message.info
    if info.operation == "PKIOperation" or info.content_type == http.PKI_MESSAGE_TYPE:
        return 2
    return 1 if message.body else 0


def _message(data: bytes, start: int) -> tuple[HttpMessage, int]:
    ending = _HEAD_END.search(data, start)
    head_end, body_start = (ending.start(), ending.end()) if ending else (len(data), len(data))
    lines = data[start:head_end].decode("latin-1").splitlines()
    headers: dict[str, str] = {}
    for line in lines[1:]:
        name, _, value = line.partition(":")
        headers.setdefault(name.strip().lower(), value.strip())
    odd: list[Oddity] = []
    body, end = _body(data, body_start, headers, odd, request=not lines[0].startswith("HTTP/"))
    return HttpMessage(_info(lines[0], headers), _unpacked(body, headers, odd), tuple(odd)), end


def _info(first: str, headers: dict[str, str]) -> HttpInfo:
    status = _STATUS_LINE.match(f"{first}\n".encode("latin-1"))
    if status is not None:
        return HttpInfo(
            status=int(status[2]),
            reason=(status[3] or b"").decode("latin-1"),
            content_type=http.media_type(headers.get("content-type", "")),
            headers=tuple(headers.items()),
        )
    method, _, rest = first.partition(" ")
    target = rest.partition(" ")[0]
    operation = re.search(r"[?&]operation=([^&]*)", target)
    return HttpInfo(
        method=method,
        target=target,
        operation=operation[1] if operation else None,
        content_type=http.media_type(headers.get("content-type", "")),
        headers=tuple(headers.items()),
    )


# ------------------------------------------------------------------ bodies


def _body(
    data: bytes, start: int, headers: dict[str, str], odd: list[Oddity], *, request: bool
) -> tuple[bytes, int]:
    """The body that begins at `start`, and where the next message begins."""
    if "chunked" in headers.get("transfer-encoding", "").lower():
        if request:
            odd.append(Oddity("Q33", "the request is chunked, which IIS and NDES do not take"))
        return _chunked(data, start, odd)
    length = headers.get("content-length", "")
    if not (length.isascii() and length.isdigit()):
        if request:
            return b"", start
        return data[start:], len(data)  # up to the end of the connection
    size = int(length[:12])
    body = data[start : start + size]
    if len(body) < size:
        odd.append(
            Oddity("RFC 9112 8", f"the body has {len(body)} bytes, Content-Length says {size}")
        )
    end = start + size
    if end < len(data) and not is_dump(data[end : end + 8192]):
        more = len(data) - end
        odd.append(Oddity("RFC 9112 8", f"{more} bytes follow the body of Content-Length {size}"))
    return body, min(end, len(data))


def _chunked(data: bytes, at: int, odd: list[Oddity]) -> tuple[bytes, int]:
    pieces: list[bytes] = []
    while (size := _CHUNK_SIZE.match(data, at)) is not None:
        length = int(size[1], 16)
        at = size.end()
        if length == 0:
            ending = re.compile(rb"\r?\n").match(data, at)
            return b"".join(pieces), ending.end() if ending else at
        pieces.append(data[at : at + length])
        at += length
        ending = re.compile(rb"\r?\n").match(data, at)
        at = ending.end() if ending else at
    odd.append(Oddity("RFC 9112 8", "the chunked body is cut off: its last chunk is missing"))
    return b"".join(pieces), len(data)


def _unpacked(body: bytes, headers: dict[str, str], odd: list[Oddity]) -> bytes:
    coding = headers.get("content-encoding", "").lower()
    if coding not in {"gzip", "deflate"}:
        return body
    odd.append(
        Oddity("RFC 9110 8.4", f"the body is packed with {coding}; not every client unpacks it")
    )
    unpacker = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        return unpacker.decompress(body, _LARGEST_BODY)
    except zlib.error:
        odd.append(Oddity("RFC 9110 8.4", f"the body is not {coding}, although its head says so"))
        return body


# ------------------------------------------------------------------ the query of a GET


def message_in_query(raw: bytes, odd: list[Oddity]) -> bytes:
    """The pkiMessage in a raw ``message=`` value; how it is written goes to `odd`.

    :returns: b"" when there is none.
    """
    try:
        found = http.decode_get_message(raw)
    except DecodeError as exc:
        odd.append(Oddity("RFC 8894 4.1", str(exc)))
        return b""
    lowered = raw.lower()
    if any(mark in lowered for mark in (b"%0a", b"%0d", b"\n", b"\r")):
        odd.append(Oddity("Q02", "the base64 has line breaks"))
    if b"+" in raw:
        odd.append(
            Oddity("Q09", 'a "+" is not escaped as %2B; most web servers make a blank of it')
        )
    if b"%20" in raw or b" " in raw.strip():
        odd.append(Oddity("Q08", 'there are blanks in the base64 where "+" was'))
    if b"-" in raw or b"_" in raw:
        odd.append(Oddity("Q10", "the base64 has the alphabet for URLs, with - and _"))
    return found
