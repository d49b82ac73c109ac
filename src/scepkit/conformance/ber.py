"""DER written again as BER: every constructed element with an indefinite length.

The rule of this file: what is signed stays as it is.  A signature is over DER, so the signed
attributes are not touched.
"""

from __future__ import annotations

_CONTENT = 0xA0
_CHUNK = 100


def indefinite(der: bytes) -> bytes:
    """A message with indefinite lengths, and its content in chunks.

    Certificates and signed attributes, which are signed as they are, are left alone.
    """
    return _convert(der, 0)


#: At this depth of a SignedData stand certificates and SignerInfos, and the content's [0].
_DEEPEST = 4


def _convert(element: bytes, depth: int) -> bytes:
    tag, content = element[0], _content(element)
    if tag == 0x04 and len(content) > _CHUNK:
        pieces = [content[at : at + _CHUNK] for at in range(0, len(content), _CHUNK)]
        return b"\x24\x80" + b"".join(_header(0x04, len(one)) + one for one in pieces) + b"\0\0"
    if not tag & 0x20 or (depth >= _DEEPEST and tag != _CONTENT):
        return element
    return (
        bytes((tag, 0x80))
        + b"".join(_convert(one, depth + 1) for one in _children(content))
        + b"\0\0"
    )


def _content(element: bytes) -> bytes:
    if element[1] < 0x80:
        return element[2:]
    return element[2 + (element[1] & 0x7F) :]


def _children(content: bytes) -> list[bytes]:
    found = []
    at = 0
    while at < len(content):
        length, size = content[at + 1], 2
        if length >= 0x80:
            size = 2 + (length & 0x7F)
            length = int.from_bytes(content[at + 2 : at + size], "big")
        found.append(content[at : at + size + length])
        at += size + length
    return found


def _header(tag: int, length: int) -> bytes:
    if length < 0x80:
        return bytes((tag, length))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets
