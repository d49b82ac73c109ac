"""Damage to ASN.1 that a reader meets behind its first look.

`tests.mutations` has the same for Hypothesis; here a `random.Random` decides, which both engines
can give.  The rule of this file: the lengths around what is changed are made right again.
"""

from __future__ import annotations

import random
from collections.abc import Sequence

from tests.ber_writer import ber, header, parse
from tests.mutations import TELLING, Element, elements, replaced

#: Values that are at the edge of something: sizes, signs, forms.
_EDGES: tuple[bytes, ...] = (
    b"",
    b"\x00",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\x00\x80",
    b"\x7f\xff\xff\xff",
    b"\x80\x00\x00\x00",
    b"\xff" * 9,
    b"\x01" + b"\x00" * 40,
    b"\x55\x04\x03",
    b"\x2a\x86\x48\x86\xf7\x0d\x01\x09\x07",
    b"\x88" * 30 + b"\x01",
    "\ud7ff\u202e\0\n".encode(),
    b"99991231235959Z",
    b"000000000000Z",
)
_LONGEST = 1 << 16


def mutate(data: bytes, chance: random.Random) -> bytes:
    """`data` with one to three changes, mostly such that it stays ASN.1."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        known = elements(data)
        if not known or chance.random() < 0.15:
            data = _bytes(data, chance)
        else:
            data = _element(data, known, chance)
    return data[:_LONGEST]


def _bytes(data: bytes, chance: random.Random) -> bytes:
    out = bytearray(data or b"\x30")
    at = chance.randrange(len(out))
    match chance.randrange(6):
        case 0:
            out[at] ^= 1 << chance.randrange(8)
        case 1:
            out[at] = chance.choice(TELLING)
        case 2:
            del out[at : at + chance.randint(1, 40)]
        case 3:
            out[at:at] = chance.randbytes(chance.randint(1, 9))
        case 4:
            out[at:at] = out[at : at + chance.randint(1, 60)]
        case _:
            del out[at:]
    return bytes(out)


def _element(data: bytes, known: Sequence[Element], chance: random.Random) -> bytes:
    one = chance.choice(known)
    encoded, content = data[one.start : one.end], data[one.content : one.end]
    tag = data[one.start]
    match chance.randrange(12):
        case 0:
            return replaced(data, one, b"")
        case 1:
            return replaced(data, one, encoded * chance.choice((2, 2, 3, 50)))
        case 2 | 3:
            other = chance.choice(known)
            return replaced(data, one, data[other.start : other.end])
        case 4 | 5:
            filling = chance.choice((*_EDGES, chance.randbytes(chance.randrange(20))))
            return replaced(data, one, header(tag, len(filling)) + filling)
        case 6:
            changed = chance.choice(TELLING)
            return replaced(data, one, header(changed, len(content)) + content)
        case 7:
            wrapper = (tag | 0x20) if chance.random() < 0.5 else chance.choice(b"\x30\x31\xa0\xa1")
            for _ in range(chance.choice((1, 1, 2, 40))):
                encoded = header(wrapper, len(encoded)) + encoded
            return replaced(data, one, encoded)
        case 8:
            end = bytes(chance.choice((0, 1, 2, 4)))
            return replaced(data, one, bytes([tag | 0x20, 0x80]) + content + end)
        case 9:
            changed_content = _bytes(content, chance)
            return replaced(data, one, header(tag, len(changed_content)) + changed_content)
        case 10:
            claimed = chance.choice((b"\x00", b"\x80", b"\x82\xff\xff", b"\x84\xff\xff\xff\xff"))
            return replaced(data, one, bytes([tag]) + claimed + content)
        case _:
            return replaced(data, one, _as_ber(encoded, chance))


def _as_ber(encoded: bytes, chance: random.Random) -> bytes:
    """The same element in another encoding, if it can be read at all."""
    try:
        return ber(parse(encoded), chance)
    except (AssertionError, IndexError, ValueError, RecursionError):
        return encoded
