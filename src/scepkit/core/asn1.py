"""The ASN.1 of SCEP and CMS, declared once; the only importer of ``cryptography.hazmat.asn1``.

The rule of this file: structures only, and the few functions that read and write them.  What a
structure *means* is said in `cms`, `messages` and `csr`.

Reading: `read(cls, data, what)` takes DER at full speed, and when that fails puts the input through
`ber.to_der` and tries once more, so that BER of every kind is read (Q16, Q17).  Writing is DER, put
together by `element`: that is three times as fast as building the structures, and reads like the
standard.

What is ANY in the standards is a `TLV` here; `whole(tlv)` gives its bytes.  A field that can hold
anything *and* be absent cannot be declared, so AlgorithmIdentifiers are TLVs too and are split by
`split_algorithm`.  Sets that are IMPLICIT ``[n]`` are lists: their order is kept as it was sent.
"""

# No `from __future__ import annotations`: hazmat.asn1 evaluates the annotations below.

from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated, TypeVar

from cryptography.hazmat.asn1 import (
    TLV as TLV,
)
from cryptography.hazmat.asn1 import (
    BitString,
    Explicit,
    Implicit,
    Null,
    SetOf,
    decode_der,
    encode_der,
    sequence,
)
from cryptography.x509.oid import ObjectIdentifier

from scepkit.core.ber import to_der
from scepkit.errors import DecodeError

T = TypeVar("T")

# ------------------------------------------------------------------ CMS (RFC 5652)


@sequence
class ContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[TLV, Explicit(0)]


@sequence
class EncapsulatedContentInfo:
    content_type: ObjectIdentifier
    content: Annotated[bytes | None, Explicit(0)]


@sequence
class Attribute:
    type: ObjectIdentifier
    values: SetOf[TLV]


@sequence
class IssuerAndSerialNumber:
    # The serial number is a TLV because devices send non-minimal INTEGERs (Q30).
    issuer: TLV
    serial_number: TLV


@sequence
class SignerInfo:
    version: int
    sid: IssuerAndSerialNumber | Annotated[bytes, Implicit(0)]
    digest_algorithm: TLV
    signed_attrs: Annotated[list[Attribute] | None, Implicit(0)]
    signature_algorithm: TLV
    signature: bytes
    unsigned_attrs: Annotated[list[TLV] | None, Implicit(1)]


@sequence
class SignedData:
    version: int
    digest_algorithms: SetOf[TLV]
    encap_content_info: EncapsulatedContentInfo
    certificates: Annotated[list[TLV] | None, Implicit(0)]
    crls: Annotated[list[TLV] | None, Implicit(1)]
    signer_infos: SetOf[SignerInfo]


@sequence
class OriginatorInfo:
    certificates: Annotated[list[TLV] | None, Implicit(0)]
    crls: Annotated[list[TLV] | None, Implicit(1)]


@sequence
class EncryptedContentInfo:
    content_type: ObjectIdentifier
    algorithm: TLV
    # One field in the standard; Go's pkcs7 and every BER writer send it constructed (Q16, Q17).
    content: Annotated[bytes | None, Implicit(0)]
    chunks: Annotated[list[bytes] | None, Implicit(0)]


@sequence
class EnvelopedData:
    version: int
    originator_info: Annotated[OriginatorInfo | None, Implicit(0)]
    recipient_infos: SetOf[TLV]
    encrypted_content_info: EncryptedContentInfo
    unprotected_attrs: Annotated[list[TLV] | None, Implicit(1)]


@sequence
class KeyTransRecipientInfo:
    version: int
    rid: IssuerAndSerialNumber | Annotated[bytes, Implicit(0)]
    algorithm: TLV
    encrypted_key: bytes


@sequence
class KeyDerivation:
    algorithm: ObjectIdentifier
    parameters: TLV


@sequence
class PasswordRecipientInfo:
    # In an EnvelopedData its tag is [3] IMPLICIT: see `retag`.
    version: int
    key_derivation: Annotated[KeyDerivation | None, Implicit(0)]
    key_encryption: TLV
    encrypted_key: bytes


@sequence
class HmacPrf:
    algorithm: ObjectIdentifier
    parameters: Null | None


@sequence
class Pbkdf2Parameters:
    salt: bytes
    iterations: int
    key_length: int | None
    prf: HmacPrf | None


# ------------------------------------------------------------------ X.509 (RFC 5280)


@sequence
class Extension:
    id: ObjectIdentifier
    critical: bool | None
    value: bytes


@sequence
class TbsCertificate:
    version: Annotated[int | None, Explicit(0)]
    serial_number: TLV
    signature: TLV
    issuer: TLV
    validity: TLV
    subject: TLV
    spki: TLV
    issuer_unique_id: Annotated[BitString | None, Implicit(1)]
    subject_unique_id: Annotated[BitString | None, Implicit(2)]
    # TLVs, not Extensions: most readers of a certificate want none of them.
    extensions: Annotated[list[TLV] | None, Explicit(3)]


@sequence
class Certificate:
    tbs: TbsCertificate
    signature_algorithm: TLV
    signature: BitString


# ------------------------------------------------------------------ SCEP (RFC 8894)


@sequence
class IssuerAndSubject:
    """messageData of CertPoll (RFC 8894 section 3.3.3)."""

    issuer: TLV
    subject: TLV


# ------------------------------------------------------------------ functions


def read(cls: type[T], data: bytes, what: str) -> T:
    """Decode DER, or BER by way of DER.

    :raises DecodeError: `data` is not a `cls`; `what` names the thing in the message.
    """
    try:
        return decode_der(cls, data)
    except ValueError:
        pass
    normalised = to_der(data)
    try:
        return decode_der(cls, normalised)
    except ValueError as exc:
        raise DecodeError(f"this is not a {what}: {_first_line(exc)}") from exc


def read_tlv(cls: type[T], tlv: TLV, what: str) -> T:
    """Decode what an already read TLV holds: DER, or BER within an element that was DER.

    :raises DecodeError: it is not a `cls`.
    """
    try:
        parsed: T = tlv.parse(cls)
    except ValueError:
        return read(cls, encode_der(tlv), what)
    return parsed


def _first_line(exc: ValueError) -> str:
    return str(exc).split("\n", 1)[0]


def write(value: object) -> bytes:
    """Encode a structure of this file as DER."""
    return encode_der(value)


def tlv(der: bytes) -> TLV:
    """The TLV object of one encoded element."""
    return decode_der(TLV, der)


def whole(element: TLV) -> bytes:
    """The element with its tag and length, as bytes."""
    return encode_der(element)


def content_of(element: TLV) -> bytes:
    """The element's content octets (several times as fast as its ``data``)."""
    der = encode_der(element)
    return der[2:] if der[1] < 0x80 else der[2 + (der[1] & 0x7F) :]


def tag_of(element: TLV) -> int:
    """The identifier octet (SCEP needs no high tag numbers; those give 0x1F)."""
    return element.tag_bytes[0]


def retag(element: TLV, tag: int) -> bytes:
    """The element with another identifier octet: how IMPLICIT tags are put on and taken off."""
    encoded = encode_der(element)
    return bytes((tag,)) + encoded[1:]


def element(tag: int, *parts: bytes) -> bytes:
    """One encoded element; its content is `parts`, one after the other."""
    content = b"".join(parts)
    length = len(content)
    if length < 0x80:
        return bytes((tag, length)) + content
    if length < 0x100:
        return bytes((tag, 0x81, length)) + content
    if length < 0x10000:
        return bytes((tag, 0x82, length >> 8, length & 0xFF)) + content
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def integer(value: int) -> bytes:
    """DER of an INTEGER."""
    bits = value.bit_length() if value >= 0 else (~value).bit_length()
    return element(0x02, value.to_bytes(bits // 8 + 1, "big", signed=True))


def integer_value(tlv_: TLV, what: str) -> int:
    """The number in an INTEGER element, minimal or not.

    :raises DecodeError: it is not an INTEGER.
    """
    content = content_of(tlv_)
    if tlv_.tag_bytes != b"\x02" or not content:
        raise DecodeError(f"the {what} is not an INTEGER")
    return int.from_bytes(content, "big", signed=True)


def signing_time(moment: datetime) -> bytes:
    """A Time (RFC 5652 section 11.3): UTCTime until 2049, then GeneralizedTime."""
    moment = moment.astimezone(UTC).replace(microsecond=0)
    if 1950 <= moment.year < 2050:
        return element(0x17, moment.strftime("%y%m%d%H%M%SZ").encode("ascii"))
    return element(0x18, f"{moment.year:04}{moment.strftime('%m%d%H%M%SZ')}".encode("ascii"))


def issuer_and_serial(issuer: bytes, serial: int) -> bytes:
    """An IssuerAndSerialNumber from a Name in DER and a serial number."""
    return element(0x30, issuer, integer(serial))


@lru_cache(maxsize=256)
def oid_der(dotted: str) -> bytes:
    """DER of an OBJECT IDENTIFIER."""
    return encode_der(ObjectIdentifier(dotted))


@lru_cache(maxsize=256)
def _oid_text(der: bytes) -> str:
    return decode_der(ObjectIdentifier, der).dotted_string


def split_algorithm(algorithm: TLV, what: str) -> tuple[str, bytes]:
    """An AlgorithmIdentifier as (dotted OID, parameters as encoded; b"" when absent).

    :raises DecodeError: it is not an AlgorithmIdentifier.
    """
    data = content_of(algorithm)
    if algorithm.tag_bytes != b"0" or len(data) < 3 or data[0] != 0x06 or data[1] > 0x7F:
        raise DecodeError(f"the {what} is not an AlgorithmIdentifier")
    end = 2 + data[1]
    try:
        return _oid_text(data[:end]), data[end:]
    except ValueError as exc:
        raise DecodeError(f"the {what} has a malformed OBJECT IDENTIFIER") from exc


@lru_cache(maxsize=256)
def algorithm(dotted: str, parameters: bytes = b"") -> bytes:
    """An AlgorithmIdentifier (kept: give it fixed parameters only)."""
    return element(0x30, oid_der(dotted), parameters)


def content_info(content_type: str, content: bytes) -> bytes:
    """A ContentInfo around an encoded element."""
    return element(0x30, oid_der(content_type), element(0xA0, content))


NULL = b"\x05\x00"


# ------------------------------------------------------------------ PKCS#10 (RFC 2986) and names


@sequence
class CertificationRequestInfo:
    version: int
    subject: TLV
    spki: TLV
    # Not optional in RFC 2986, and yet left out by some.
    attributes: Annotated[list[TLV] | None, Implicit(0)]


@sequence
class CertificationRequest:
    info: TLV
    signature_algorithm: TLV
    signature: BitString


@sequence
class RequestAttribute:
    # `values` is a SET OF; as a TLV its order does not matter (the signature covers it as it is).
    type: ObjectIdentifier
    values: TLV


@sequence
class AttributeTypeAndValue:
    type: ObjectIdentifier
    value: TLV


@sequence
class _Elements:
    items: Annotated[list[TLV], Implicit(0)]


_KINDS = {None: "SEQUENCE or SET", 0x30: "SEQUENCE", 0x31: "SET"}


def elements(container: TLV, what: str, *, tag: int | None = None) -> list[TLV]:
    """What is in a SEQUENCE or SET, in the order it is there.

    :param tag: 0x30 or 0x31 to take only one of the two.
    :raises DecodeError: `container` is something else, or its content is not DER; `what` names it.
    """
    if container.tag_bytes not in ((b"0", b"1") if tag is None else (bytes((tag,)),)):
        raise DecodeError(f"the {what} is not a {_KINDS[tag]}")
    try:
        return decode_der(_Elements, element(0x30, retag(container, 0xA0))).items
    except ValueError as exc:
        raise DecodeError(f"the {what} is malformed: {_first_line(exc)}") from exc
