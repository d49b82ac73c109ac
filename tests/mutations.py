"""What can happen to an encoded message on its way, as Hypothesis strategies.

Two kinds of damage.  Bytes are flipped, cut off, put in or doubled wherever it hits; then mostly a
length is wrong.  Or whole elements are removed, doubled, swapped, emptied, wrapped or given another
tag, with every length around them made right again, so that the damage gets past the first reader.

    @mutations.examples(200)
    @given(data=mutations.of(message))
    def test_...(data: bytes) -> None: ...

    @given(data=mutations.of_any([request, reply]))     # draws which one, too

Positions are drawn without regard to the length of what is damaged: a signature or a ciphertext
that came out a byte longer does not change what a saved example means.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from tests.ber_writer import header

#: Octets that mean something to a reader of BER: tags, and lengths at the edges.
TELLING = bytes.fromhex("000102030405060c0c1316173031307f80818284a0a1a2a3bfff")
#: Larger than any message here; a position is taken modulo the length.
_ANYWHERE = st.integers(0, 0xFFFF)
_OCTET_STRING, _BIT_STRING = 0x04, 0x03


@dataclass(frozen=True)
class Element:
    """Where one element of a message is; `around` are those that it is in, the outermost first."""

    start: int
    content: int
    end: int
    around: tuple[Element, ...]


@functools.lru_cache(maxsize=512)
def elements(data: bytes) -> tuple[Element, ...]:
    """Every element of something in DER, also of what is in its OCTET and BIT STRINGs."""
    found: list[Element] = []
    _collect(data, 0, len(data), (), found)
    return tuple(found)


def _collect(
    data: bytes, at: int, end: int, around: tuple[Element, ...], found: list[Element]
) -> bool:
    """Collect the elements between two positions; False when there is something else."""
    while at < end:
        if at + 2 > end:
            return False
        length, content = data[at + 1], at + 2
        if length & 0x80:
            content += length & 0x7F
            length = int.from_bytes(data[at + 2 : content], "big")
        if content + length > end or len(around) > 40:
            return False
        element = Element(at, content, content + length, around)
        found.append(element)
        inside: list[Element] = []
        first = content + (data[at] == _BIT_STRING)
        may_hold = data[at] & 0x20 or data[at] in (_OCTET_STRING, _BIT_STRING)
        if may_hold and _collect(data, first, element.end, (*around, element), inside):
            found.extend(inside)
        at = element.end
    return True


def replaced(data: bytes, element: Element, by: bytes) -> bytes:
    """`data` with something else in an element's place, and the lengths around it made right."""
    start, end = element.start, element.end
    for outer in reversed(element.around):
        content = data[outer.content : start] + by + data[end : outer.end]
        by = header(data[outer.start], len(content)) + content
        start, end = outer.start, outer.end
    return data[:start] + by + data[end:]


# ------------------------------------------------------------------ bytes


@st.composite
def _bytes_changed(draw: st.DrawFn, data: bytes) -> bytes:
    out = bytearray(data) or bytearray(1)
    at = draw(_ANYWHERE) % len(out)
    match draw(st.integers(0, 6)):
        case 0:
            out[at] ^= 1 << draw(st.integers(0, 7))
        case 1:
            out[at] = draw(st.sampled_from(TELLING))
        case 2:
            out[at] = draw(st.integers(0, 255))
        case 3:
            del out[at : at + draw(st.integers(1, 40))]
        case 4:
            out[at:at] = draw(st.binary(min_size=1, max_size=9))
        case 5:
            out[at:at] = out[at : at + draw(st.integers(1, 60))]
        case _:
            del out[at:]
    return bytes(out)


# ------------------------------------------------------------------ elements


@st.composite
def _element_changed(draw: st.DrawFn, data: bytes) -> bytes:
    known = elements(data)
    if not known:
        return draw(_bytes_changed(data))
    one = known[draw(_ANYWHERE) % len(known)]
    encoded, content = data[one.start : one.end], data[one.content : one.end]
    tag = data[one.start]
    match draw(st.integers(0, 9)):
        case 0:  # removed
            return replaced(data, one, b"")
        case 1:  # there twice
            return replaced(data, one, encoded + encoded)
        case 2:  # swapped with the one behind it
            return _swapped(data, one, known)
        case 3:  # another element of the same message in its place
            other = known[draw(_ANYWHERE) % len(known)]
            return replaced(data, one, data[other.start : other.end])
        case 4:  # empty
            return replaced(data, one, header(tag, 0))
        case 5:  # other content
            filling = draw(st.binary(max_size=20))
            return replaced(data, one, header(tag, len(filling)) + filling)
        case 6:  # another tag
            changed = draw(st.sampled_from(TELLING))
            return replaced(data, one, header(changed, len(content)) + content)
        case 7:  # inside further ones
            return replaced(data, one, _wrapped(encoded, tag, draw(st.integers(1, 40))))
        case 8:  # of indefinite length, with or without its end
            end = bytes(draw(st.sampled_from([0, 1, 2, 4])))
            return replaced(data, one, bytes([tag, 0x80]) + content + end)
        case _:  # of another length than it has, and those around it of the right one
            claimed = draw(st.sampled_from(_LENGTHS))
            return replaced(data, one, bytes([tag]) + claimed + content)


_LENGTHS = [
    bytes.fromhex(text)
    for text in ("00", "01", "7f", "80", "8100", "8180", "820001", "82ffff", "8400000001")
] + [b"\x84\xff\xff\xff\xff", b"\x88" + 8 * b"\xff", b"\xff" + 8 * b"\x01"]


def _swapped(data: bytes, one: Element, known: Sequence[Element]) -> bytes:
    behind = next((item for item in known if item.start == one.end), None)
    if behind is None or behind.around != one.around:
        return replaced(data, one, b"")
    both = Element(one.start, one.content, behind.end, one.around)
    pair = data[behind.start : behind.end] + data[one.start : one.end]
    return replaced(data, both, pair)


def _wrapped(encoded: bytes, tag: int, times: int) -> bytes:
    for _ in range(times):
        encoded = header(tag | 0x20, len(encoded)) + encoded
    return encoded


# ------------------------------------------------------------------ for tests

#: How many times the usual number of examples is tried: for a long run, now and then.
_THOROUGHNESS = int(os.environ.get("SCEPKIT_TEST_THOROUGHNESS", "1"))


def examples(number: int) -> settings:
    """So many examples, however slow the machine is."""
    return settings(
        max_examples=number * _THOROUGHNESS,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


@st.composite
def of(draw: st.DrawFn, data: bytes) -> bytes:
    """`data`, damaged in one to three places."""
    out = data
    for _ in range(draw(st.integers(1, 3))):
        out = draw(_element_changed(out) if draw(st.booleans()) else _bytes_changed(out))
    return out


def of_any(several: Sequence[bytes]) -> st.SearchStrategy[bytes]:
    """One of several, damaged."""
    return st.sampled_from(list(several)).flatmap(of)
