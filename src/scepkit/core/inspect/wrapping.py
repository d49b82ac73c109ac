"""From what a person has at hand (a file, a line of a log) to the ASN.1 in it.

The rule of this file: what a message is wrapped in is not odd, only worth a word; what is no
message at all ends in a `DecodeError` that says what it is instead.
"""

from __future__ import annotations

import re
from dataclasses import replace

from scepkit.core import http, pem
from scepkit.core.ber import first_element
from scepkit.core.inspect import http_dump
from scepkit.core.inspect.http_dump import HttpMessage
from scepkit.core.inspect.values import HttpInfo, Oddity
from scepkit.errors import DecodeError
from scepkit.values import field, frozen

_SEQUENCE = b"\x30"
_MESSAGE_PARAMETER = re.compile(rb"[?&]message=([^&\s\"']+)")


@frozen
class Unwrapped:
    """The binary form of what was given.

    Attributes:
        data: b"" when there is nothing but HTTP.
        wrapping: ``HTTP request`` or ``HTTP response``, ``PEM``, ``base64``, or nothing.
        certificates: all of them, when it was a PEM file of several; `data` is then the first.
    """

    data: bytes = field(repr=False)
    wrapping: tuple[str, ...] = ()
    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    oddities: tuple[Oddity, ...] = ()
    http: HttpInfo | None = None


def unwrap(data: bytes) -> Unwrapped:
    """Take off PEM, or base64 as in a PKIOperation by GET; a whole request URL will do.

    HTTP as it was captured is taken off as well, heads and chunks.

    :raises DecodeError: there is nothing in it that could be ASN.1.
    """
    if data.startswith(_SEQUENCE):
        return Unwrapped(data)
    if http_dump.is_dump(data):
        return _from_http(http_dump.read_dump(data))
    if pem.is_pem(data):
        return _from_pem(data)
    text = data.strip()
    if not text:
        raise DecodeError("there is nothing to inspect: the input is empty")
    if text.startswith(b"<"):
        title = http.html_title(data) or ""
        raise DecodeError(
            f"this is a web page{f' titled {title!r}' if title else ''}, not a message", title=title
        )
    odd: list[Oddity] = []
    parameter = _MESSAGE_PARAMETER.search(text)
    if parameter:
        binary = http_dump.message_in_query(parameter[1], odd)
    else:
        binary = _from_base64(text)
    if not binary.startswith(_SEQUENCE):
        raise DecodeError(
            "this is no SCEP message: expected ASN.1 (DER or BER), PEM or base64",
            offset=0,
        )
    return Unwrapped(binary, ("base64",), oddities=tuple(odd))


def _from_http(message: HttpMessage) -> Unwrapped:
    info, odd = message.info, list(message.oddities)
    wrapping: tuple[str, ...] = ("HTTP request" if info.method else "HTTP response",)
    body = message.body
    parameter = _MESSAGE_PARAMETER.search(info.target.encode("latin-1"))
    if info.operation == "PKIOperation" and not body and parameter:
        body = http_dump.message_in_query(parameter[1], odd)
        wrapping = (*wrapping, "base64")
    if body[:1] != _SEQUENCE and pem.is_pem(body):
        inner = _from_pem(body)
        return replace(inner, wrapping=(*wrapping, *inner.wrapping), http=info)
    if body[:1] != _SEQUENCE:
        odd.append(Oddity("RFC 8894 4.1", _instead(body)))
        body = b""
    return Unwrapped(body, wrapping, oddities=tuple(odd), http=info)


def _instead(body: bytes) -> str:
    if not body:
        return "there is no message: the body is empty"
    excerpt = http.body_excerpt(body)
    what = f", but {excerpt!r}" if excerpt else ""
    return f"there is no message in the body{what}"


def _from_base64(text: bytes) -> bytes:
    try:
        return http.decode_get_message(text)
    except DecodeError:
        return b""


def _from_pem(data: bytes) -> Unwrapped:
    blocks = pem.pem_blocks(data)
    readable = [block for block in blocks if "PRIVATE KEY" not in block.label and block.der]
    if not readable:
        labels = ", ".join(sorted({block.label for block in blocks}))
        raise DecodeError(f"this PEM file holds no message, but: {labels}")
    first = readable[0]
    if len(readable) == 1:
        return Unwrapped(first.der, ("PEM",))
    if all(block.label.endswith("CERTIFICATE") for block in readable):
        return Unwrapped(first.der, ("PEM",), tuple(block.der for block in readable))
    unseen = Oddity(
        "RFC 7468 2",
        f"the PEM file has {len(readable)} blocks; only the first, {first.label}, is shown",
    )
    return Unwrapped(first.der, ("PEM",), oddities=(unseen,))


def to_der_element(data: bytes, what: str, odd: list[Oddity]) -> tuple[bytes, str]:
    """The element at the beginning of `data` in DER, and which of DER and BER it was.

    :param what: what the oddities found call it.
    :raises DecodeError: `data` is not ASN.1.
    """
    der, rest = first_element(data)
    if rest:
        odd.append(
            Oddity("RFC 8894 4.3", f"{len(rest)} bytes follow the {what}, which belong to nothing")
        )
    if der == data[: len(data) - len(rest)]:
        return der, "DER"
    form = "its outer length is indefinite" if data[1] == 0x80 else "lengths, chunks or set order"
    odd.append(Oddity("Q16", f"the {what} is BER, not DER ({form})"))
    return der, "BER"
