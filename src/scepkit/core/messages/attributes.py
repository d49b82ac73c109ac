"""The signed attributes of SCEP (RFC 8894 section 3.2.1): writing and reading their values.

Rules of this file: writing is exactly as the RFC has it (PrintableString, OCTET STRING); reading
takes any string type (Q19) and nonces of 1 to 64 bytes (Q23); an attribute with more or less than
one value is refused (A16).
"""

from __future__ import annotations

from functools import lru_cache

from scepkit.core import asn1, cms
from scepkit.core.strings import printable_or_utf8, text_value
from scepkit.errors import DecodeError, InputError

#: RFC 8894 section 3.2.1.5 wants 16 bytes; we read what old clients send (Q23).
NONCE_BYTES = 16
_MAX_NONCE_BYTES = 64
#: Longer transactionIDs are refused: real ones have up to 64 characters, tests go to 255 (T48).
MAX_TRANSACTION_ID = 255

_SCEP = "2.16.840.1.113733.1.9."
ID_MESSAGE_TYPE = _SCEP + "2"
ID_PKI_STATUS = _SCEP + "3"
ID_FAIL_INFO = _SCEP + "4"
ID_SENDER_NONCE = _SCEP + "5"
ID_RECIPIENT_NONCE = _SCEP + "6"
ID_TRANSACTION_ID = _SCEP + "7"
ID_FAIL_INFO_TEXT = "1.3.6.1.5.5.7.24.1"
ID_SIGNING_TIME = "1.2.840.113549.1.9.5"

_PRINTABLE_STRING = 0x13

# ------------------------------------------------------------------ writing


@lru_cache(maxsize=64)
def encode_number(value: int) -> bytes:
    """A messageType, pkiStatus or failInfo."""
    return asn1.element(_PRINTABLE_STRING, str(int(value)).encode("ascii"))


def encode_transaction_id(text: str) -> bytes:
    """A transactionID.

    :raises InputError: it is empty, too long, or not Unicode.
    """
    if not 1 <= len(text) <= MAX_TRANSACTION_ID:
        raise InputError(
            f"the transactionID has {len(text)} characters, expected 1 to {MAX_TRANSACTION_ID}"
        )
    try:
        return printable_or_utf8(text)
    except UnicodeEncodeError:
        raise InputError(f"the transactionID {text!r} cannot be written as UTF-8") from None


def encode_nonce(value: bytes) -> bytes:
    """A senderNonce or recipientNonce.

    :raises InputError: it is empty or longer than any we read.
    """
    if not 1 <= len(value) <= _MAX_NONCE_BYTES:
        raise InputError(
            f"the senderNonce has {len(value)} bytes, expected 1 to {_MAX_NONCE_BYTES}"
        )
    return asn1.element(asn1.OCTET_STRING, value)


# ------------------------------------------------------------------ reading


def read_text(attributes: cms.Attributes, oid: str, name: str) -> str | None:
    """The text of an attribute, or None when it is absent.

    :raises DecodeError: it is not one character string; `name` is what the message calls it.
    """
    value = _single(attributes, oid, name)
    return None if value is None else text_value(value, name)


def read_number(attributes: cms.Attributes, oid: str, name: str) -> str | None:
    """A number as its decimal text, or None when it is absent; some write an INTEGER (Q19).

    :raises DecodeError: it is not one character string or INTEGER.
    """
    value = _single(attributes, oid, name)
    if value is None:
        return None
    if value[0] == asn1.INTEGER and len(asn1.content_of(value)) <= 8:
        return str(asn1.integer_value(value, name))
    return text_value(value, name)


def read_nonce(attributes: cms.Attributes, oid: str, name: str) -> bytes | None:
    """A nonce, or None when it is absent.

    :raises DecodeError: it is not one OCTET STRING, or too long.
    """
    value = _single(attributes, oid, name)
    if value is None:
        return None
    octets = asn1.content_of(value)
    if value[0] != asn1.OCTET_STRING or len(octets) > _MAX_NONCE_BYTES:
        raise DecodeError(f"the {name} is not an OCTET STRING of at most {_MAX_NONCE_BYTES} bytes")
    return octets


def _single(attributes: cms.Attributes, oid: str, name: str) -> bytes | None:
    values = attributes.get(oid)
    if values is None:
        return None
    if len(values) != 1:
        raise DecodeError(f"the {name} attribute has {len(values)} values, expected one")
    return values[0]


def expect_data(message: cms.SignedMessage) -> None:
    """Return if the signed content is data, as that of a pkiMessage is.

    :raises DecodeError: it is of another type.
    """
    if message.content_type != cms.ID_DATA:
        raise DecodeError(
            f"the signed content is of type {cms.content_type_name(message.content_type)}, "
            "expected data (RFC 8894 section 3.2)"
        )
