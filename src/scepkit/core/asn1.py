"""The ASN.1 of CMS, X.509 and SCEP, declared once, and the DER reader and writer for it.

Throughout scepkit an element is its bytes, from tag to end.  What nobody looks into is never
decoded, and what a signature covers is never encoded again.

Reading.  A structure is declared as a `Layout`, the tags of its fields in their order, and
`fields` takes an element apart by it.  What somebody sent comes in through `read` or `read_with`,
which put what is not DER through `ber.to_der` and try once more: so BER of every kind is read (Q16,
Q17).

Writing.  `element` puts a tag and a length before what is encoded already; it reads like the
standard.

Rules of this file: the reader takes DER and nothing else (definite and minimal lengths, no bytes
left over, no tag that was not declared); it does not call itself, so that no nesting can hurt it;
it knows of structures only, and what they *mean* is said in `cms`, `envelope` and `messages`.

It is long, and whole: a quarter of it is declarations, and whoever changes what the reader takes
has to look at what the writer makes.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import TypeAlias, TypeVar, TypeVarTuple

from scepkit.core.ber import MAX_ELEMENTS as MAX_BER_ELEMENTS
from scepkit.core.ber import to_der
from scepkit.errors import DecodeError

T = TypeVar("T")
Arguments = TypeVarTuple("Arguments")

BOOLEAN = 0x01
INTEGER = 0x02
BIT_STRING = 0x03
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
SEQUENCE = 0x30
SET = 0x31
#: In a layout, one element whatever its tag.
ANY = 0x100
_OPTIONAL = 0x200

NULL = b"\x05\x00"

#: The tags of a structure's fields: identifier octets, `ANY`, or `optional` of either.
Layout: TypeAlias = tuple[int, ...]


def optional(tag: int) -> int:
    """In a layout, a field that may be absent."""
    return _OPTIONAL | tag


# ------------------------------------------------------------------ CMS (RFC 5652)

CONTENT_INFO = (
    OBJECT_IDENTIFIER,  # contentType
    0xA0,  # content
)
SIGNED_DATA = (
    INTEGER,  # version
    SET,  # digestAlgorithms
    SEQUENCE,  # encapContentInfo
    optional(0xA0),  # certificates
    optional(0xA1),  # crls
    SET,  # signerInfos
)
ENCAPSULATED_CONTENT_INFO = (
    OBJECT_IDENTIFIER,  # eContentType
    optional(0xA0),  # eContent
)
SIGNER_INFO = (
    INTEGER,  # version
    ANY,  # sid: IssuerAndSerialNumber, or [0] with a key identifier
    SEQUENCE,  # digestAlgorithm
    optional(0xA0),  # signedAttrs
    SEQUENCE,  # signatureAlgorithm
    OCTET_STRING,  # signature
    optional(0xA1),  # unsignedAttrs
)
ATTRIBUTE = (
    OBJECT_IDENTIFIER,  # attrType
    SET,  # attrValues
)
ISSUER_AND_SERIAL_NUMBER = (
    ANY,  # issuer
    ANY,  # serialNumber: `integer_value` reads it
)
ENVELOPED_DATA = (
    INTEGER,  # version
    optional(0xA0),  # originatorInfo
    SET,  # recipientInfos
    SEQUENCE,  # encryptedContentInfo
    optional(0xA1),  # unprotectedAttrs
)
ENCRYPTED_CONTENT_INFO = (
    OBJECT_IDENTIFIER,  # contentType
    SEQUENCE,  # contentEncryptionAlgorithm
    optional(0x80),  # encryptedContent
    optional(0xA0),  # the same in chunks, as Go's pkcs7 and writers of BER send it (Q16, Q17)
)
KEY_TRANS_RECIPIENT_INFO = (
    INTEGER,  # version
    ANY,  # rid: IssuerAndSerialNumber, or [0] with a key identifier
    SEQUENCE,  # keyEncryptionAlgorithm
    OCTET_STRING,  # encryptedKey
)
PASSWORD_RECIPIENT_INFO = (
    INTEGER,  # version
    optional(0xA0),  # keyDerivationAlgorithm
    SEQUENCE,  # keyEncryptionAlgorithm
    OCTET_STRING,  # encryptedKey
)
ALGORITHM_IDENTIFIER = (
    OBJECT_IDENTIFIER,  # algorithm
    optional(ANY),  # parameters
)
PBKDF2_PARAMETERS = (  # RFC 8018
    OCTET_STRING,  # salt
    INTEGER,  # iterationCount
    optional(INTEGER),  # keyLength
    optional(SEQUENCE),  # prf
)

# ------------------------------------------------------------------ X.509 (RFC 5280), PKCS#10

CERTIFICATE = (
    SEQUENCE,  # tbsCertificate
    SEQUENCE,  # signatureAlgorithm
    BIT_STRING,  # signature
)
TBS_CERTIFICATE = (
    optional(0xA0),  # version
    ANY,  # serialNumber: `integer_value` reads it
    SEQUENCE,  # signature
    SEQUENCE,  # issuer
    SEQUENCE,  # validity
    SEQUENCE,  # subject
    SEQUENCE,  # subjectPublicKeyInfo
    optional(0x81),  # issuerUniqueID
    optional(0x82),  # subjectUniqueID
    optional(0xA3),  # extensions
)
EXTENSION = (
    OBJECT_IDENTIFIER,  # extnID
    optional(BOOLEAN),  # critical
    OCTET_STRING,  # extnValue
)
SUBJECT_PUBLIC_KEY_INFO = (
    SEQUENCE,  # algorithm
    BIT_STRING,  # subjectPublicKey
)
CERTIFICATION_REQUEST = CERTIFICATE  # both are SIGNED: content, algorithm, signature
CERTIFICATION_REQUEST_INFO = (  # RFC 2986
    INTEGER,  # version
    SEQUENCE,  # subject
    SEQUENCE,  # subjectPKInfo
    optional(0xA0),  # attributes; RFC 2986 requires them, some leave them out
)
ATTRIBUTE_TYPE_AND_VALUE = (
    OBJECT_IDENTIFIER,  # type
    ANY,  # value
)

# ------------------------------------------------------------------ SCEP (RFC 8894)

ISSUER_AND_SUBJECT = (
    ANY,  # issuer
    ANY,  # subject
)

# ------------------------------------------------------------------ reading


#: Of BER that was encrypted: a request has some 60.  A server tries to read what it has decrypted,
#: and the time that takes must not tell that the padding was good (A2): tens of thousands of tiny
#: elements would take milliseconds, random bytes take microseconds.
MAX_ENCRYPTED_ELEMENTS = 120

#: Identifier octets that are whole: neither a mark of BER nor the first of a high tag number.
_TAGS = frozenset(octet for octet in range(1, 0x100) if octet & 0x1F != 0x1F)


class NotDerError(ValueError):
    """The bytes are not DER, or not what was declared; `read_with` makes a `DecodeError` of it."""


def read(
    layout: Layout,
    data: bytes,
    what: str,
    *,
    tag: int = SEQUENCE,
    max_elements: int = MAX_BER_ELEMENTS,
) -> list[bytes]:
    """The fields of a structure that somebody sent, in DER or BER.

    :param tag: that of the structure itself.
    :param max_elements: as of `read_with`.
    :return: as many elements as `layout` has entries; b"" for an absent one.
    :raises DecodeError: `data` is something else; `what` names the thing in the message.
    """
    return read_with(fields, data, what, layout, tag=tag, max_elements=max_elements)


def read_with(
    parse: Callable[[bytes, *Arguments], T],
    data: bytes,
    what: str,
    *arguments: *Arguments,
    tag: int = SEQUENCE,
    max_elements: int = MAX_BER_ELEMENTS,
) -> T:
    """What `parse` makes of an element that somebody sent, in DER or, by way of DER, in BER.

    :param parse: raises `NotDerError` if the element is not what it should be.
    :param arguments: given to `parse` after the element.
    :param tag: that of the element.
    :param max_elements: how many elements of BER are looked at.
    :raises DecodeError: `data` is not that either way; `what` names the thing in the message.
    """
    try:
        return parse(only(data, tag), *arguments)
    except NotDerError:
        pass
    normalised = to_der(data, max_elements=max_elements)
    try:
        return parse(only(normalised, tag), *arguments)
    except NotDerError as exc:
        raise DecodeError(f"this is not a {what}: {exc}") from exc


def only(data: bytes, tag: int = ANY) -> bytes:
    """`data`, if that is exactly one element; where all reading begins.

    :raises NotDerError: it is something else.
    """
    size = len(data)
    if size < 2:
        raise NotDerError("it is cut off")
    if data[0] != tag and not (tag == ANY and data[0] in _TAGS):
        raise NotDerError(_unexpected(data, tag))
    length = data[1]
    if length < 0x80:
        end = 2 + length
    elif length == 0x82 and size > 3 and data[2]:  # as nearly all that comes in as a whole
        end = 4 + (data[2] << 8 | data[3])
    else:
        end = _long_end(data, 0)
    if end != size:
        raise NotDerError("it is cut off, or something follows it")
    return data


def fields(element: bytes, layout: Layout) -> list[bytes]:
    """The elements in a SEQUENCE, one for each entry of `layout`; b"" for an absent one.

    :param element: one that came from `only`, `fields` or `split`.
    :raises NotDerError: there is something else in it.
    """
    found = []
    size, length = len(element), element[1]
    at = 2 if length < 0x80 else length - 0x7E
    try:
        for expected in layout:
            tag = element[at] if at < size else 0
            if tag != expected and (
                tag not in _TAGS if expected & ANY else tag | _OPTIONAL != expected
            ):
                if expected < _OPTIONAL:
                    raise NotDerError(_unexpected(element[at:], expected))
                found.append(b"")
                continue
            # Most lengths are of these three kinds, and there are forty in a message.
            length = element[at + 1]
            if length < 0x80:
                end = at + 2 + length
            elif length == 0x82 and element[at + 2]:
                end = at + 4 + (element[at + 2] << 8 | element[at + 3])
            elif length == 0x81 and element[at + 2] >= 0x80:
                end = at + 3 + element[at + 2]
            else:
                end = _long_end(element, at)
            found.append(element[at:end])
            at = end
    except IndexError:
        raise NotDerError("it is cut off") from None
    if at != size:
        raise NotDerError("it is cut off" if at > size else "something follows its last field")
    return found


#: More elements in one SET OF or SEQUENCE OF are refused.  A message has a handful; a body of some
#: megabytes could have millions, each of which costs thirty times its size in memory.
MAX_ELEMENTS = 1000


def split(element: bytes, tag: int = ANY, *, limit: int = MAX_ELEMENTS) -> list[bytes]:
    """The elements in a SEQUENCE OF or SET OF, in the order they are there.

    :param element: one that came from `only`, `fields` or `split`.
    :param tag: what each of the elements must have.
    :raises NotDerError: there is something else in it.
    :raises DecodeError: there are more than `limit`.
    """
    found: list[bytes] = []
    size, length = len(element), element[1]
    at = 2 if length < 0x80 else length - 0x7E
    try:
        while at < size:
            if element[at] != tag and not (tag == ANY and element[at] in _TAGS):
                raise NotDerError(_unexpected(element[at:], tag))
            length = element[at + 1]
            if length < 0x80:
                end = at + 2 + length
            elif length == 0x82 and element[at + 2]:
                end = at + 4 + (element[at + 2] << 8 | element[at + 3])
            else:
                end = _long_end(element, at)
            if len(found) == limit:
                raise DecodeError(f"the message has more than {limit} elements in one set")
            found.append(element[at:end])
            at = end
    except IndexError:
        raise NotDerError("it is cut off") from None
    if at != size:
        raise NotDerError("it is cut off")
    return found


def attributes(element: bytes) -> list[tuple[str, list[bytes]]]:
    """The Attributes (`ATTRIBUTE`) in a SET OF as (dotted OID, values), in the order of the set.

    :param element: one that came from `only`, `fields` or `split`.
    :raises NotDerError: there is something else in it.
    :raises DecodeError: there are more than `MAX_ELEMENTS`.
    """
    found = _short_attributes(element) if len(element) <= _MAX_SHORT else None
    if found is None:
        pairs = [fields(attribute, ATTRIBUTE) for attribute in split(element, SEQUENCE)]
        found = [(oid_text(oid), split(values)) for oid, values in pairs]
    return found


#: So much cannot hold more than `MAX_ELEMENTS`.
_MAX_SHORT = 4096


def _short_attributes(element: bytes) -> list[tuple[str, list[bytes]]] | None:
    """`attributes` where each has one value and is short, which makes a reply a twentieth faster.

    :return: None for all others, malformed ones among them.
    """
    found = []
    size, length = len(element), element[1]
    at = 2 if length < 0x80 else length - 0x7E
    try:
        while at < size:
            end = at + 2 + element[at + 1]
            values = at + 4 + element[at + 3]
            if (
                element[at] != SEQUENCE
                or element[at + 1] >= 0x80
                or element[at + 2] != OBJECT_IDENTIFIER
                or element[values] != SET
                or element[values + 1] != end - values - 2
                or element[values + 2] not in _TAGS
                or element[values + 3] != end - values - 4
            ):
                return None
            found.append((oid_text(element[at + 2 : values]), [element[values + 2 : end]]))
            at = end
    except IndexError:
        return None
    return found if at == size else None


def within(explicit: bytes, tag: int) -> bytes:
    """The one element inside an EXPLICIT tag.

    :raises NotDerError: there is something else in it.
    """
    return fields(explicit, (tag,))[0]


def _long_end(data: bytes, at: int) -> int:
    """Where the element at `at` ends, whose length has several octets (X.690 section 10.1)."""
    start = at + 2 + (data[at + 1] & 0x7F)
    length = int.from_bytes(data[at + 2 : start], "big")
    # Octets that are missing because the data are cut off make the length too small for its form.
    if length < 0x80 or length >> 8 * (start - at - 3) == 0:
        raise NotDerError("it has a length that is not definite and minimal")
    return start + length


def _unexpected(rest: bytes, expected: int) -> str:
    found = f"0x{rest[0]:02x}" if rest else "nothing"
    wanted = "an element" if expected & ANY else f"the tag 0x{expected:02x}"
    return f"it has {found} where {wanted} is expected"


def elements(container: bytes, what: str, *, tag: int | None = None) -> list[bytes]:
    """What is in a SEQUENCE or SET that somebody sent, in the order it is there.

    :param tag: 0x30 or 0x31 to take only one of the two.
    :raises DecodeError: `container` is something else, or not DER; `what` names it.
    """
    if container[:1] not in ((b"0", b"1") if tag is None else (bytes((tag,)),)):
        raise DecodeError(f"the {what} is not a {_KINDS[tag]}")
    try:
        return split(only(container))
    except NotDerError as exc:
        raise DecodeError(f"the {what} is malformed: {exc}") from exc


_KINDS = {None: "SEQUENCE or SET", SEQUENCE: "SEQUENCE", SET: "SET"}


def content_of(element: bytes) -> bytes:
    """The content octets of an element that was read already."""
    return element[2:] if element[1] < 0x80 else element[2 + (element[1] & 0x7F) :]


def integer_value(element: bytes, what: str) -> int:
    """The number in an INTEGER element, minimal or not (Q30).

    :raises DecodeError: it is not an INTEGER.
    """
    content = content_of(element)
    if element[0] != INTEGER or not content:
        raise DecodeError(f"the {what} is not an INTEGER")
    return int.from_bytes(content, "big", signed=True)


def split_algorithm(algorithm: bytes, what: str) -> tuple[str, bytes]:
    """An AlgorithmIdentifier as (dotted OID, parameters as encoded; b"" when absent).

    :raises DecodeError: it is not an AlgorithmIdentifier.
    """
    try:
        if len(algorithm) > _MAX_KEPT:
            return algorithm_parts(only(algorithm, SEQUENCE))
        return _known_algorithm(algorithm)
    except NotDerError as exc:
        raise DecodeError(f"the {what} is not an AlgorithmIdentifier: {exc}") from exc


#: An OID and NULL fit into it.  Longer ones have parameters such as an IV, and come only once.
_MAX_KEPT = 17


@lru_cache(maxsize=256)
def _known_algorithm(algorithm: bytes) -> tuple[str, bytes]:
    return algorithm_parts(only(algorithm, SEQUENCE))


def algorithm_parts(element: bytes) -> tuple[str, bytes]:
    """An AlgorithmIdentifier, whatever its tag, as (dotted OID, parameters).

    :raises NotDerError: it is something else.
    """
    oid, parameters = fields(element, ALGORITHM_IDENTIFIER)
    return oid_text(oid), parameters


@lru_cache(maxsize=256)
def oid_text(der: bytes) -> str:
    """An OBJECT IDENTIFIER element as dotted text.

    :raises NotDerError: it is malformed, or longer than any that is in use.
    """
    content = content_of(der)
    if not content or content[-1] & 0x80 or len(content) > _MAX_OID_BYTES:
        raise NotDerError("it has an OBJECT IDENTIFIER that is malformed")
    arcs = [0]
    for octet in content:
        if octet == 0x80 and arcs[-1] == 0:
            raise NotDerError("it has an OBJECT IDENTIFIER with a number that is not minimal")
        arcs[-1] = arcs[-1] << 7 | octet & 0x7F
        if octet < 0x80:
            arcs.append(0)
    first = min(arcs[0] // 40, 2)
    return ".".join(map(str, (first, arcs[0] - 40 * first, *arcs[1:-1])))


_MAX_OID_BYTES = 63

# ------------------------------------------------------------------ writing


def element(tag: int, *parts: bytes) -> bytes:
    """One encoded element; its content is `parts`, one after the other."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return b"%c%c%b" % (tag, length, content)
    if length < 0x100:
        return b"%c\x81%c%b" % (tag, length, content)
    if length < 0x10000:
        return b"%c\x82%c%c%b" % (tag, length >> 8, length & 0xFF, content)
    return header(tag, length) + content


def header(tag: int, length: int) -> bytes:
    """Tag and length of an element, for content that is too long to be copied often."""
    if length < 0x80:
        return b"%c%c" % (tag, length)
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return b"%c%c%b" % (tag, 0x80 | len(octets), octets)


def integer(value: int) -> bytes:
    """DER of an INTEGER."""
    bits = value.bit_length() if value >= 0 else (~value).bit_length()
    return element(INTEGER, value.to_bytes(bits // 8 + 1, "big", signed=True))


def signing_time(moment: datetime) -> bytes:
    """A Time (RFC 5652 section 11.3): UTCTime until 2049, then GeneralizedTime."""
    at = moment.astimezone(UTC)
    # Not by strftime: it takes three times as long, and writes years before 1000 as it likes.
    rest = (at.month, at.day, at.hour, at.minute, at.second)
    if 1950 <= at.year < 2050:
        return b"\x17\x0d%02d%02d%02d%02d%02d%02dZ" % (at.year % 100, *rest)
    return b"\x18\x0f%04d%02d%02d%02d%02d%02dZ" % (at.year, *rest)


def issuer_and_serial(issuer: bytes, serial: int) -> bytes:
    """An IssuerAndSerialNumber from a Name in DER and a serial number."""
    return element(SEQUENCE, issuer, integer(serial))


@lru_cache(maxsize=256)
def oid_der(dotted: str) -> bytes:
    """DER of an OBJECT IDENTIFIER.

    :raises ValueError: `dotted` is not one.
    """
    first, second, *others = map(int, dotted.split("."))
    if first > 2 or (first < 2 and second >= 40) or min(first, second, *others) < 0:
        raise ValueError(f"{dotted!r} is not an OBJECT IDENTIFIER")
    return element(OBJECT_IDENTIFIER, *map(_arc, (40 * first + second, *others)))


def _arc(number: int) -> bytes:
    """One number of an OBJECT IDENTIFIER, in base 128 (X.690 section 8.19)."""
    octets = [number & 0x7F]
    while number := number >> 7:
        octets.append(number & 0x7F | 0x80)
    return bytes(reversed(octets))


@lru_cache(maxsize=256)
def algorithm(dotted: str, parameters: bytes = b"") -> bytes:
    """An AlgorithmIdentifier (kept: give it fixed parameters only)."""
    return element(SEQUENCE, oid_der(dotted), parameters)


def attribute(oid: str, value: bytes) -> bytes:
    """An Attribute (`ATTRIBUTE`) with one value, which is encoded."""
    name, size = oid_der(oid), len(value)
    whole = len(name) + 2 + size
    if whole < 0x80:
        return b"0%c%b1%c%b" % (whole, name, size, value)
    return element(SEQUENCE, name, element(SET, value))


def content_info(content_type: str, content: bytes) -> bytes:
    """A ContentInfo around an encoded element."""
    return element(SEQUENCE, oid_der(content_type), element(0xA0, content))
