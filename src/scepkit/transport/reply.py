"""An HTTP/1.1 response, read from a connection (RFC 9112).

The rules of this file: what is not a response is one of two errors, and the caller says what that
means; a line has a largest length, a head a largest number of lines, and a body is never longer
than the caller wants; headers that make no sense are passed over.
"""

from __future__ import annotations

from io import BufferedReader
from typing import NamedTuple

_LONGEST_LINE = 65536
_MOST_HEADERS = 100
#: Digits of a length; a longer number is longer than any body.
_MOST_DIGITS = 18
_HEX = frozenset(b"0123456789abcdefABCDEF")
_WITHOUT_BODY = frozenset({204, 304})


class NotHttpError(Exception):
    """What came is no HTTP response; the text is what was found instead.

    Attributes:
        begins: that is how the answer begins.
    """

    def __init__(self, found: str, *, begins: bool = False) -> None:
        super().__init__(found)
        self.begins = begins


class CutOffError(Exception):
    """The connection ended, or a chunk of the body is broken, before the response was whole."""


class TooLargeError(Exception):
    """The body is longer than the caller wants; the text says how that was seen."""


class Head(NamedTuple):
    """The first part of a response.

    Attributes:
        status: the three digits.
        headers: by their names in small letters; of several with one name, the first.
        is_chunked: the body comes in chunks.
        length: how long the body is; None when it ends with the connection, or comes in chunks.
        keeps_alive: another request may be sent over this connection.
    """

    status: int
    headers: dict[str, str]
    is_chunked: bool
    length: int | None
    keeps_alive: bool

    def header(self, name: str) -> str:
        """The value of a header on one line, "" for none; `name` is in small letters."""
        value = self.headers.get(name, "")
        return value if value.isprintable() else " ".join(value.splitlines())


def read_head(stream: BufferedReader) -> Head:
    """Read the head of the final response; those of 100 (Continue) before it are passed over.

    :raises NotHttpError: it is none.
    :raises CutOffError: nothing came.
    """
    while True:
        lines = _lines_that_came(stream) or _lines_one_by_one(stream)
        is_1_0, status = _status(lines[0])
        headers = _headers(lines)
        if status != 100:
            is_chunked = headers.get("transfer-encoding", "").lower() == "chunked"
            length = None if is_chunked else _length(headers)
            if status in _WITHOUT_BODY:
                is_chunked, length = False, 0
            ends = is_chunked or length is not None
            return Head(status, headers, is_chunked, length, ends and _stays(headers, is_1_0))


def _length(headers: dict[str, str]) -> int | None:
    text = headers.get("content-length", "")
    if not (text.isascii() and text.isdigit()):
        return None
    if len(text) > _MOST_DIGITS:
        text = text.lstrip("0") or "0"
    return int(text) if len(text) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _stays(headers: dict[str, str], is_1_0: bool) -> bool:
    """Whether the server leaves a connection open after a response whose end can be seen."""
    connection = headers.get("connection", "").lower()
    if not is_1_0:
        return "close" not in connection
    named = headers.get("proxy-connection", "").lower()
    return "keep-alive" in connection or "keep-alive" in named or "keep-alive" in headers


def _lines_that_came(stream: BufferedReader) -> list[bytes]:
    """The lines of a head that came in one piece, as nearly all do; none when it did not."""
    came = stream.peek()
    head, end, _ = came.partition(b"\n\r\n")
    if not end or b"\n\n" in head:
        return []
    stream.read(len(head) + len(end))
    return head.split(b"\n")


def _lines_one_by_one(stream: BufferedReader) -> list[bytes]:
    line = _line(stream)
    if not line:
        raise CutOffError
    _status(line)  # or lines would be read of something that is no head
    lines = []
    while line not in _BLANK:
        lines.append(line)
        if len(lines) > _MOST_HEADERS + 1:
            break  # `_headers` refuses them
        line = _line(stream)
    return lines


_BLANK = frozenset({b"\r\n", b"\n", b""})


def _status(line: bytes) -> tuple[bool, int]:
    version, status, *_ = [*line.split(None, 2), b"", b""]
    is_status = len(status) == 3 and status.isdigit() and status >= b"100"
    if not (version.startswith(b"HTTP/1.") and is_status):
        raise NotHttpError(line.decode("latin-1"), begins=True)
    return version == b"HTTP/1.0", int(status)


def _headers(lines: list[bytes]) -> dict[str, str]:
    """The headers in the lines of a head after its first."""
    if len(lines) > _MOST_HEADERS + 1:
        raise NotHttpError(f"it has more than {_MOST_HEADERS} headers")
    found: dict[str, str] = {}
    name = ""
    for line in lines[1:]:
        text = line.decode("latin-1").rstrip("\r\n")
        if text.startswith((" ", "\t")):  # it goes on with the header before it
            if name:
                found[name] += "\n" + text
            continue
        given, colon, value = text.partition(":")
        name = given.strip().lower() if colon else ""
        if name in found:
            name = ""
        if name:
            found[name] = value.strip(" \t")
    return found


def read_body(stream: BufferedReader, head: Head, limit: int) -> bytes:
    """Read the body of a response whose head was read.

    :raises CutOffError: it is not whole.
    :raises NotHttpError: a line between its chunks is too long.
    :raises TooLargeError: it is longer than `limit` bytes.
    """
    if head.is_chunked:
        return _join_chunks(stream, limit)
    length = head.length
    if length is None:
        # The end is where the connection ends; it is for the stream to stop before that.
        body = stream.read()
        if len(body) > limit:
            raise TooLargeError(f"sent more than {limit} bytes")
        return body
    if length > limit:
        raise TooLargeError(f"announces {length} bytes")
    return _exactly(stream, length)


def _join_chunks(stream: BufferedReader, limit: int) -> bytes:
    body = bytearray()
    while size := _chunk_size(stream):
        if len(body) + size > limit:
            raise TooLargeError(f"sent more than {limit} bytes")
        body += _exactly(stream, size)
        _exactly(stream, 2)  # the line's end after the chunk
    while _line(stream) not in _BLANK:
        pass  # trailers
    return bytes(body)


def _chunk_size(stream: BufferedReader) -> int:
    digits = _line(stream).partition(b";")[0].strip()
    if not digits or not _HEX.issuperset(digits):
        raise CutOffError
    return int(digits, 16)


def _exactly(stream: BufferedReader, count: int) -> bytes:
    data = stream.read(count)
    if len(data) < count:
        raise CutOffError
    return data


def _line(stream: BufferedReader) -> bytes:
    line = stream.readline(_LONGEST_LINE + 1)
    if len(line) > _LONGEST_LINE:
        raise NotHttpError(f"it has a line of more than {_LONGEST_LINE} bytes")
    return line
