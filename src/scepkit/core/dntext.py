r"""The grammar of distinguished names as text: RFC 4514's with commas, OpenSSL's with slashes.

The rule of this file: it splits and unescapes, and knows no attribute.  Both functions return the
parts in the order they are written; each part is a list because ``+`` joins several attributes.
"""

from __future__ import annotations

import re

from scepkit.errors import InputError
from scepkit.values import frozen

_HEX_PAIR = re.compile(r"[0-9A-Fa-f]{2}")
# RFC 4514 section 2.4; blanks, # and = may be escaped anywhere (section 3).
_ESCAPABLE = frozenset(' #=,+"\\<>;/')
#: A value without its attribute; nothing in it has a meaning for the grammar.
_BARE = re.compile(r'[^=,+;"\\<>#/]+')

#: Most characters of a name that an error repeats: enough to find it again.
_SHOWN = 100


def shown(text: str) -> str:
    """A text that was typed, quoted for an error and not longer than a person wants to read."""
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "...")


@frozen
class Piece:
    """One ``type=value``.

    Attributes:
        text: as it was written, for messages.
        type: the part before the first ``=``.
        value: unescaped text, or bytes if it was written as ``#`` and hexadecimal digits.
    """

    text: str
    type: str
    value: str | bytes


def split_commas(text: str) -> list[list[Piece]]:
    r"""Split ``CN=a+L=b,O=c`` (RFC 4514, with the blanks and quotes of RFC 1779).

    :raises InputError: a piece has no ``=``, a quote has no end, an escape is not one.
    """
    if not text.strip(" "):
        return []
    if _BARE.fullmatch(text):
        raise InputError(
            f"the subject {shown(text)} is not of the form NAME=value",
            hint=f"write {shown('CN=' + text.strip(' '))} if that is the common name",
        )
    return [[_rfc4514_piece(p) for p in part] for part in _split(text, ",", quotes=True)]


def split_slashes(text: str) -> list[list[Piece]]:
    r"""Split ``/O=c/L=b+CN=a`` (``openssl req -subj``).

    :raises InputError: a piece has no ``=``, or the text ends in a backslash.
    """
    if text == "/":
        return []
    return [[_slash_piece(p) for p in part] for part in _split(text[1:], "/", quotes=False)]


def _split(text: str, separator: str, *, quotes: bool) -> list[list[str]]:
    """Split at the separator and at ``+``, but not where they are escaped or quoted."""
    parts: list[list[str]] = [[]]
    start = at = 0
    quoted = False
    while at < len(text):
        char = text[at]
        if char == "\\":
            at += 1
        elif quotes and char == '"':
            quoted = not quoted
        elif not quoted and char in (separator, "+"):
            parts[-1].append(text[start:at])
            start = at + 1
            if char == separator:
                parts.append([])
        elif quotes and not quoted and char == ";":
            raise InputError(
                f"the subject {shown(text)} has a ';'; separate its parts by commas, or write "
                "'\\;' for "
                "a semicolon in a value"
            )
        at += 1
    if quoted:
        raise InputError(f"the subject {shown(text)} has a double quote without a second one")
    parts[-1].append(text[start:])
    return parts


def _type_and_value(piece: str, separator: str) -> tuple[str, str]:
    type_, equals, value = piece.partition("=")
    if not equals or not type_.strip(" "):
        where = (
            f"{shown(piece.strip(' '))} is"
            if piece.strip(" ")
            else "there is an empty piece that is"
        )
        raise InputError(
            f"in the subject, {where} not of the form NAME=value",
            hint=f"a '{separator}' or '+' that belongs to a value is written '\\{separator}' or "
            "'\\+'",
        )
    return type_.strip(" "), value


def _slash_piece(piece: str) -> Piece:
    type_, raw = _type_and_value(piece, "/")
    value = []
    chars = iter(raw)
    for char in chars:
        if char == "\\":
            char = next(chars, "")
            if not char:
                raise InputError(f"in the subject, {shown(piece)} ends in a backslash")
        value.append(char)
    return Piece(piece, type_, "".join(value))


def _rfc4514_piece(piece: str) -> Piece:
    type_, raw = _type_and_value(piece, ",")
    text = piece.strip(" ")
    raw = raw.lstrip(" ")
    if raw.startswith("#"):
        return Piece(text, type_, _hex_string(raw.rstrip(" "), text))
    if raw.startswith('"'):
        return Piece(text, type_, _unescape(_unquote(raw, text), text))
    if '"' in raw.replace('\\"', ""):
        raise InputError(
            f"in the subject, {shown(text)} has a double quote inside its value; write '\\\"' for "
            "it"
        )
    return Piece(text, type_, _unescape(_without_trailing_blanks(raw), text))


def _hex_string(raw: str, text: str) -> bytes:
    try:
        return bytes.fromhex(raw[1:])
    except ValueError as exc:
        raise InputError(
            f"in the subject, {shown(text)} has a '#' without hexadecimal digits; write '\\#' for "
            "a "
            "value that begins with '#'"
        ) from exc


def _unquote(raw: str, text: str) -> str:
    """What is between the quotes."""
    end = 1
    while raw[end : end + 1] not in ('"', ""):
        end += 2 if raw[end] == "\\" else 1
    if end >= len(raw):
        raise InputError(f"in the subject, {shown(text)} has a double quote without a second one")
    if raw[end + 1 :].strip(" "):
        raise InputError(f"in the subject, {shown(text)} goes on behind its second double quote")
    return raw[1:end]


def _without_trailing_blanks(raw: str) -> str:
    """Without the blanks at the end, except one that is escaped."""
    bare = raw.rstrip(" ")
    backslashes = len(bare) - len(bare.rstrip("\\"))
    return bare + " " if backslashes % 2 and len(bare) < len(raw) else bare


def _unescape(raw: str, text: str) -> str:
    """Resolve the escapes of RFC 4514 section 3; digits are bytes of UTF-8."""
    if "\\" not in raw:
        return raw
    value = bytearray()
    at = 0
    while at < len(raw):
        char = raw[at]
        if char != "\\":
            value += char.encode("utf-8", "surrogatepass")
            at += 1
        elif _HEX_PAIR.match(raw, at + 1):
            value.append(int(raw[at + 1 : at + 3], 16))
            at += 3
        elif raw[at + 1 : at + 2] in _ESCAPABLE:
            value += raw[at + 1].encode()
            at += 2
        else:
            raise InputError(
                f"in the subject, {shown(text)} has a backslash before {raw[at + 1 : at + 2]!r}; "
                "write "
                "'\\\\' for a backslash"
            )
    try:
        return value.decode()
    except UnicodeDecodeError as exc:
        raise InputError(f"in the subject, {shown(text)} has escapes that are not UTF-8") from exc
