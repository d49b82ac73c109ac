"""Names as devices send them, read as far as they can be.

The rule of this file: a name that could be issued becomes an object, whatever is odd about its
encoding; everything else becomes None, never a warning of `cryptography` (its limits are checked
here first).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.x509.oid import NameOID

from scepkit.core import asn1
from scepkit.core.strings import is_printable, text_value
from scepkit.errors import DecodeError

COUNTRIES = (NameOID.COUNTRY_NAME, NameOID.JURISDICTION_COUNTRY_NAME)
#: 64 characters in X.520; `cryptography` counts bytes of UTF-8.
COMMON_NAME_BYTES = 64

_COMMON_NAME, _COUNTRY, _JURISDICTION = (
    asn1.oid_der(oid.dotted_string) for oid in (NameOID.COMMON_NAME, *COUNTRIES)
)
_COUNTRIES = (_COUNTRY, _JURISDICTION)
# What may follow an OID and a tag: the length octet.
_LENGTHS = (
    (_COMMON_NAME, frozenset(bytes((n,)) for n in range(1, COMMON_NAME_BYTES + 1))),
    (_COUNTRY, frozenset((b"\x02",))),
)
# From and to how many bytes a value may be long.
_SIZES = {_COMMON_NAME: (1, COMMON_NAME_BYTES), _COUNTRY: (2, 2), _JURISDICTION: (2, 2)}
_ANY_SIZE = (1, 0x7F)
# UTF8String, PrintableString, IA5String: valid ones have as many bytes in UTF-8.
_PLAIN_STRINGS = (b"\x0c", b"\x13", b"\x16")
_ATTRIBUTE = "attribute of a name"
_UTF8_STRING = 0x0C
_PRINTABLE_STRING = 0x13
_IA5_STRING = 0x16


def read_name(der: bytes) -> x509.Name | None:
    """A Name that somebody sent, as an object.

    Where a string holds what its type does not allow (certmonger writes ``_`` into a
    PrintableString), that string is a UTF8String in the object, so the name can be issued; equal
    names stay equal by RFC 5280 section 7.1.

    :param der: a Name in DER.
    :return: None when no valid name has these values: a common name of more than 64 bytes, a
        country that is not two characters, something that is not a string.
    """
    found = read_encoded(der)
    return None if found is None else found[0]


def read_encoded(der: bytes) -> tuple[x509.Name, bytes] | None:
    """What `read_name` makes of a Name, and its DER: that which was sent, if it could be kept."""
    if _lengths_are_plain(der):
        try:
            return x509.Name.from_bytes(der), der
        except (ValueError, TypeError):
            pass
    repaired = _repaired(der)
    return None if repaired is None else (repaired, repaired.public_bytes())


def plain_name(der: bytes) -> tuple[tuple[str, str], ...] | None:
    """The dotted OIDs and values in a Name, if it is one that `read_name` takes as it is.

    That is so where each part has one short attribute, and that is of one of the usual string types
    and right in it, as nearly everywhere.  Taking it apart costs a fifth of making an object.

    :param der: a SEQUENCE as `asn1` takes it out of a structure.
    :return: None for all others, also for what is no Name.
    """
    found = []
    try:
        size = len(der)
        at = 2 if der[1] < 0x80 else der[1] - 0x7E
        while at < size:
            end = at + 2 + der[at + 1]
            value = at + 6 + der[at + 5]
            oid, text = der[at + 4 : value], der[value + 2 : end].decode()
            least, most = _SIZES.get(oid, _ANY_SIZE)
            if (
                der[at] != asn1.SET
                or der[at + 1] >= 0x80
                or der[at + 2] != asn1.SEQUENCE
                or der[at + 3] != end - at - 4
                or der[at + 4] != asn1.OBJECT_IDENTIFIER
                or der[value + 1] != end - value - 2
                or not least <= end - value - 2 <= most
                or not _is_right(der[value], text)
            ):
                return None
            found.append((asn1.oid_text(oid), text))
            at = end
    except (IndexError, UnicodeDecodeError, asn1.NotDerError):
        return None
    return tuple(found) if at == size else None


def _is_right(tag: int, text: str) -> bool:
    """Whether a string type may hold a text; False for the unusual ones."""
    if tag == _PRINTABLE_STRING:
        return is_printable(text)
    return tag == _UTF8_STRING or (tag == _IA5_STRING and text.isascii())


def same_name(issued: bytes, requested: bytes) -> bool:
    """Whether two Names (DER) are the same name, be it in different string types."""
    if issued == requested:
        return True
    # The same name in other string types is the same name: Go's servers encode it anew.
    name = read_name(issued)
    return name is not None and name == read_name(requested)


def _lengths_are_plain(der: bytes) -> bool:
    """Whether no attribute can have a length that `cryptography` warns about; False means maybe.

    It looks for the OIDs alone, which is some 30 microseconds faster than taking the name apart;
    the same bytes inside a value only make it say False.
    """
    if _JURISDICTION in der:
        return False
    for oid, lengths in _LENGTHS:
        at = der.find(oid)
        while at >= 0:
            header = der[at + len(oid) : at + len(oid) + 2]
            if header[:1] not in _PLAIN_STRINGS or header[1:] not in lengths:
                return False
            at = der.find(oid, at + 1)
    return True


def _repaired(der: bytes) -> x509.Name | None:
    """The name with every string made a valid one, or None."""
    try:
        rdns = [
            [_type_and_value(one) for one in asn1.elements(rdn, "part of a name", tag=asn1.SET)]
            for rdn in asn1.elements(der, "name", tag=asn1.SEQUENCE)
        ]
        if not all(rdns) or not all(_issuable(*a) for rdn in rdns for a in rdn):
            return None
        return x509.Name.from_bytes(encode_rdns([[_as_utf8(*a) for a in rdn] for rdn in rdns]))
    except (ValueError, TypeError, DecodeError):
        return None


def _type_and_value(attribute: bytes) -> tuple[bytes, bytes]:
    oid, value = asn1.read(asn1.ATTRIBUTE_TYPE_AND_VALUE, attribute, _ATTRIBUTE)
    return oid, value


def _issuable(oid: bytes, value: bytes) -> bool:
    """Whether `cryptography` makes an object of it; for wrong lengths it would emit a warning."""
    size = len(text_value(value, _ATTRIBUTE).encode())
    if oid == _COMMON_NAME:
        return 1 <= size <= COMMON_NAME_BYTES
    return oid not in _COUNTRIES or size == 2


def _as_utf8(oid: bytes, value: bytes) -> tuple[bytes, bytes]:
    """The attribute, with a UTF8String for its value if its own string type cannot hold it."""
    try:
        x509.Name.from_bytes(encode_rdns([[(oid, value)]]))
    except (ValueError, TypeError):
        return oid, asn1.element(_UTF8_STRING, text_value(value, _ATTRIBUTE).encode())
    return oid, value


def encode_rdns(rdns: list[list[tuple[bytes, bytes]]]) -> bytes:
    """A Name in DER from the types and values of its parts, which are encoded."""
    sets = []
    for rdn in rdns:
        attributes = sorted(asn1.element(asn1.SEQUENCE, oid, value) for oid, value in rdn)
        sets.append(asn1.element(asn1.SET, *attributes))
    return asn1.element(asn1.SEQUENCE, *sets)
