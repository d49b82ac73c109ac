"""PEM (RFC 7468): from text to DER blocks and back.

Used where the content of a block is read by our own code or where the label decides what is done
with it.  The rule of this file: it knows labels and base64, not what is inside.
"""

from __future__ import annotations

import binascii

from scepkit.errors import DecodeError
from scepkit.values import field, frozen

_BEGIN = b"-----BEGIN "
_END = b"-----END "
_DASHES = b"-----"


@frozen
class PemBlock:
    """One block of a PEM file.

    Attributes:
        label: the words after BEGIN, such as ``CERTIFICATE``.
        text: the whole block from the first to the last dash, as it was in the file.
        der: the decoded content; b"" when the block has RFC 1421 headers (encrypted keys).
    """

    label: str
    text: bytes = field(repr=False)
    der: bytes = field(repr=False)


def is_pem(data: bytes) -> bool:
    """Whether `data` has a PEM block, perhaps behind other text; it may be UTF-16 with a mark."""
    return _BEGIN in _ascii(data)


def pem_blocks(data: bytes) -> tuple[PemBlock, ...]:
    """Every block of a PEM file; text between the blocks is skipped (RFC 7468 section 2).

    :param data: ASCII, UTF-8, or UTF-16 with a byte order mark (as PowerShell writes it).
    :raises DecodeError: a block has no end, another end than its beginning, or is not base64.
    """
    text = _ascii(data)
    blocks = []
    at = text.find(_BEGIN)
    while at >= 0:
        block, at = _block(text, at)
        blocks.append(block)
        at = text.find(_BEGIN, at)
    return tuple(blocks)


def write_pem(label: str, der: bytes) -> bytes:
    """One PEM block, in lines of 64 characters, with a final line feed."""
    coded = binascii.b2a_base64(der, newline=False)
    lines = [coded[at : at + 64] for at in range(0, len(coded), 64)]
    name = label.encode()
    return b"\n".join([_BEGIN + name + _DASHES, *lines, _END + name + _DASHES, b""])


def _ascii(data: bytes) -> bytes:
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return data.decode("utf-16", "replace").encode("ascii", "replace")
    return data


def _block(text: bytes, begin: int) -> tuple[PemBlock, int]:
    """The block that begins at `begin`, and the offset behind it."""
    start = begin + len(_BEGIN)
    dashes = text.find(_DASHES, start, start + 80)
    label = text[start:dashes] if dashes >= 0 else b""
    if not label or not label.isascii() or not label.decode().isprintable():
        raise DecodeError("a PEM block has a malformed BEGIN line", offset=begin)
    name = label.decode()
    end_line = _END + label + _DASHES
    end = text.find(end_line, dashes)
    if end < 0:
        raise DecodeError(
            f"the PEM block {name} has no END line; the file is cut off or damaged", offset=begin
        )
    content = text[dashes + len(_DASHES) : end]
    if _BEGIN in content:
        raise DecodeError(f"the PEM block {name} has no END line of its own", offset=begin)
    behind = end + len(end_line)
    return PemBlock(name, text[begin:behind], _decoded(content, name, begin)), behind


def _decoded(content: bytes, name: str, offset: int) -> bytes:
    if b":" in content:
        return b""
    try:
        return binascii.a2b_base64(b"".join(content.split()), strict_mode=True)
    except binascii.Error as exc:
        raise DecodeError(f"the PEM block {name} is not base64: {exc}", offset=offset) from exc
