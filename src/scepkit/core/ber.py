"""BER to DER, within limits of depth, size and number of elements.

SCEP messages from BouncyCastle (jscep, Apple-side MDMs, EJBCA) and from `openssl cms -stream` are
BER: indefinite lengths, strings in chunks, sets in any order (Q16, Q17).  The strict reader in
`asn1.py` takes DER only, so what it refuses goes through `to_der` once and is then tried again.

Rules of this file: only the form of an encoding is changed, never a value; what was DER before
comes out byte for byte; whatever is wrong is a `DecodeError` with the offset where it is wrong; the
time is linear in the input whatever the input is (A15).
"""

from __future__ import annotations

from scepkit.errors import DecodeError

__all__ = ["MAX_DEPTH", "MAX_ELEMENTS", "MAX_SIZE", "first_element", "to_der"]

#: A whole pkiMessage with a certificate chain nests 13 levels deep.
MAX_DEPTH = 32
MAX_SIZE = 16 * 1024 * 1024
#: About one second of work; a CRL with 150,000 entries stays below it.
MAX_ELEMENTS = 1_000_000

# The walk calls itself once per level, so a caller cannot ask for more than Python's stack gives.
_DEEPEST = 100

_END_OF_CONTENTS = b"\x00\x00"
_BOOLEAN = 0x01
_BIT_STRING = 0x03
_OCTET_STRING = 0x04
_SEQUENCE = 0x30
_SET = 0x31
_CONSTRUCTED = 0x20
_CLASS = 0xC0
_NUMBER = 0x1F
_INDEFINITE = 0x80

# Always constructed: EXTERNAL, EMBEDDED PDV, SEQUENCE, SET and CHARACTER STRING.
_CONTAINERS = frozenset({0x28, 0x2B, _SEQUENCE, _SET, 0x3D})
# Universal types that BER may cut into chunks: the bit, octet and character strings and the two
# times, which are character strings to X.690.
_STRINGS = frozenset({_BIT_STRING, _OCTET_STRING, 7, 12, *range(18, 29), 30})


def to_der(
    data: bytes,
    *,
    max_depth: int = MAX_DEPTH,
    max_size: int = MAX_SIZE,
    max_elements: int = MAX_ELEMENTS,
) -> bytes:
    """Rewrite one BER element as DER (X.690 sections 8, 10 and 11).

    Lengths become definite and minimal, chunked strings of universal type become one primitive
    string, the elements of a universal SET are sorted by their encoding, and TRUE becomes 0xFF.
    Three things are left as sent:

    * what context tags hold keeps its order and its chunks, because only the reader above knows
      the type behind the tag; signed attributes are such a set, and somebody signed them (Q18);
    * a certificate, CRL or PKCS#10 request whose lengths are those of DER, because its signature
      covers the bytes as sent, also when its issuer did not sort a set;
    * the content of an OCTET STRING, and the value of every other primitive.

    :param data: exactly one element.
    :param max_depth: constructed elements inside each other; more than 100 counts as 100.
    :param max_size: bytes of input.
    :param max_elements: elements of any kind.
    :return: the same element in DER, equal to `data` if that was DER.
    :raises DecodeError: not one well-formed BER element, a tag number above 30, or beyond a limit.
    """
    element, end = _convert(data, max_depth, max_size, max_elements)
    if end != len(data):
        raise DecodeError(
            f"{len(data) - end} bytes follow the ASN.1 element that ends at byte {end}; "
            "expected exactly one element",
            offset=end,
        )
    return element


def first_element(
    data: bytes,
    *,
    max_depth: int = MAX_DEPTH,
    max_size: int = MAX_SIZE,
    max_elements: int = MAX_ELEMENTS,
) -> tuple[bytes, bytes]:
    """Like `to_der`, for an element with something behind it.

    :return: the element in DER, and the bytes behind it as they are.
    :raises DecodeError: as `to_der` does, except for bytes that follow.
    """
    element, end = _convert(data, max_depth, max_size, max_elements)
    return element, data[end:]


def _convert(data: bytes, max_depth: int, max_size: int, max_elements: int) -> tuple[bytes, int]:
    if len(data) > max_size:
        raise DecodeError(
            f"the ASN.1 data are {len(data)} bytes long; at most {max_size} are read",
            offset=max_size,
        )
    return _Walk(data, min(max_depth, _DEEPEST), max_elements).element(0, len(data), 1)


class _Walk:
    """One pass over `data`; every method returns DER and the offset behind what it has read."""

    __slots__ = ("_data", "_elements_left", "_max_depth", "_reshaped")

    def __init__(self, data: bytes, max_depth: int, max_elements: int) -> None:
        self._data = data
        self._max_depth = max_depth
        self._elements_left = max_elements
        # How many elements had a length or a chunked string that is not DER.  A subtree that
        # leaves this number as it was has the form of DER throughout.
        self._reshaped = 0

    def element(self, start: int, limit: int, depth: int) -> tuple[bytes, int]:
        """The element at `start`, which must end at `limit` or before."""
        data = self._data
        self._elements_left -= 1
        if self._elements_left < 0:
            raise DecodeError("the ASN.1 data have too many elements", offset=start)
        if limit - start < 2:
            raise _cut_off(start, limit)
        tag, length = data[start], data[start + 1]
        if tag & _NUMBER == _NUMBER:
            raise DecodeError(
                f"byte {start} begins a tag number above 30, which no SCEP message has",
                offset=start,
            )
        content = start + 2
        if length == _INDEFINITE:
            if not tag & _CONSTRUCTED:
                raise DecodeError(
                    f"the primitive element at byte {start} has no length", offset=start
                )
            return self._constructed(start, content, limit, True, depth)
        if length > _INDEFINITE:
            content, length = self._long_length(start, limit)
        end = content + length
        if end > limit:
            raise _cut_off(start, limit)
        if tag & _CONSTRUCTED:
            return self._constructed(start, content, end, False, depth)
        return self._primitive(start, content, end), end

    def _long_length(self, start: int, limit: int) -> tuple[int, int]:
        """Where the content of the element at `start` begins, and its length."""
        count = self._data[start + 1] & 0x7F
        content = start + 2 + count
        if count == 0x7F:
            raise DecodeError(f"the length at byte {start + 1} is reserved", offset=start + 1)
        if content > limit:
            raise _cut_off(start, limit)
        return content, int.from_bytes(self._data[start + 2 : content], "big")

    def _primitive(self, start: int, content: int, end: int) -> bytes:
        data = self._data
        tag = data[start]
        if tag == 0 or tag | _CONSTRUCTED in _CONTAINERS:
            raise DecodeError(
                f"byte {start} is an end-of-contents mark where none belongs"
                if tag == 0
                else f"the element at byte {start} has the tag 0x{tag:02x}, which must be "
                "constructed",
                offset=start,
            )
        if content - start == 2 and tag != _BOOLEAN:  # a length in one byte is minimal
            return data[start:end]
        header = _header(tag, end - content)
        if content - start != len(header):
            self._reshaped += 1
        value = data[content:end]
        if tag == _BOOLEAN and len(value) == 1 and value != b"\x00":
            value = b"\xff"
        return header + value

    def _constructed(
        self, start: int, content: int, limit: int, indefinite: bool, depth: int
    ) -> tuple[bytes, int]:
        tag = self._data[start]
        if depth > self._max_depth:
            raise DecodeError(
                f"the ASN.1 data nest deeper than {self._max_depth} levels at byte {start}",
                offset=start,
            )
        reshaped = self._reshaped
        elements, end = self._contents(content, limit, indefinite, depth + 1)
        if not tag & _CLASS and tag not in _CONTAINERS:
            self._reshaped += 1
            return _joined(tag & _NUMBER, elements, start), end
        if tag == _SET:
            elements.sort()
        value = b"".join(elements)
        header = _header(tag, len(value))
        if indefinite or content - start != len(header):
            self._reshaped += 1
        if self._reshaped == reshaped and tag == _SEQUENCE and _is_signed(elements):
            return self._data[start:end], end
        return header + value, end

    def _contents(
        self, at: int, limit: int, indefinite: bool, depth: int
    ) -> tuple[list[bytes], int]:
        """The elements up to `limit`, or up to the end-of-contents mark before it."""
        elements: list[bytes] = []
        while indefinite or at < limit:
            if indefinite and self._data[at : min(at + 2, limit)] == _END_OF_CONTENTS:
                return elements, at + 2
            element, at = self.element(at, limit, depth)
            elements.append(element)
        return elements, at


def _header(tag: int, length: int) -> bytes:
    """Identifier and length octets in DER."""
    if length < 0x80:
        return bytes((tag, length))
    count = (length.bit_length() + 7) // 8
    return bytes((tag, 0x80 | count)) + length.to_bytes(count, "big")


def _joined(number: int, chunks: list[bytes], start: int) -> bytes:
    """The primitive string of type `number` whose chunks, all primitive by now, are `chunks`."""
    if number not in _STRINGS:
        raise DecodeError(
            f"the constructed element at byte {start} has the tag number {number}, which must be "
            "primitive",
            offset=start,
        )
    # X.690 8.23.6: the chunks of a character string are octet strings; some encoders repeat the
    # outer tag instead.
    allowed = (_BIT_STRING,) if number == _BIT_STRING else (_OCTET_STRING, number)
    values = []
    for chunk in chunks:
        if chunk[0] not in allowed:
            raise DecodeError(
                f"the chunked string at byte {start} has a chunk with the tag 0x{chunk[0]:02x}",
                offset=start,
            )
        size = chunk[1]
        values.append(chunk[2 if size < 0x80 else 2 + (size & 0x7F) :])
    value = _joined_bits(values, start) if number == _BIT_STRING else b"".join(values)
    return _header(number, len(value)) + value


def _joined_bits(values: list[bytes], start: int) -> bytes:
    """One BIT STRING value; only the last chunk may leave bits unused (X.690 section 8.6.4)."""
    if not all(values) or any(value[0] for value in values[:-1]):
        raise DecodeError(
            f"a chunk of the bit string at byte {start} does not end at a whole byte", offset=start
        )
    unused = values[-1][:1] if values else b"\x00"
    return unused + b"".join(value[1:] for value in values)


def _is_signed(elements: list[bytes]) -> bool:
    """Whether these are the parts of X.509's SIGNED: content, algorithm, signature."""
    return (
        len(elements) == 3
        and elements[0][0] == _SEQUENCE
        and elements[1][0] == _SEQUENCE
        and elements[2][0] == _BIT_STRING
    )


def _cut_off(start: int, limit: int) -> DecodeError:
    return DecodeError(
        f"the element at byte {start} is cut off: what it is part of ends at byte {limit}",
        offset=start,
    )
