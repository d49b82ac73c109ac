"""The signed attributes of a pkiMessage, and what is odd in them (RFC 8894 section 3.2.1).

The rule of this file: the same as for all of `inspect`, nothing raises.  The strict reader of the
same attributes is in `messages`; here every value is shown as it is.
"""

from __future__ import annotations

from collections.abc import Iterator

from scepkit.core import asn1, cms, messages
from scepkit.core.asn1 import content_of
from scepkit.core.cms import ID_CONTENT_TYPE, ID_MESSAGE_DIGEST
from scepkit.core.inspect.values import Code, Oddity, ScepAttributes
from scepkit.core.messages import (
    ID_FAIL_INFO,
    ID_FAIL_INFO_TEXT,
    ID_MESSAGE_TYPE,
    ID_PKI_STATUS,
    ID_RECIPIENT_NONCE,
    ID_SENDER_NONCE,
    ID_SIGNING_TIME,
    ID_TRANSACTION_ID,
    MessageType,
    PkiStatus,
)
from scepkit.core.strings import is_printable, text_value
from scepkit.errors import DecodeError, FailInfo

_INTEGER, _OCTET_STRING, _UTF8, _PRINTABLE = 0x02, 0x04, 0x0C, 0x13
_TYPES = {
    0x01: "BOOLEAN",
    _INTEGER: "INTEGER",
    0x03: "BIT STRING",
    _OCTET_STRING: "OCTET STRING",
    0x05: "NULL",
    _UTF8: "UTF8String",
    0x12: "NumericString",
    _PRINTABLE: "PrintableString",
    0x14: "T61String",
    0x16: "IA5String",
    0x1A: "VisibleString",
    0x1C: "UniversalString",
    0x1E: "BMPString",
    0x30: "SEQUENCE",
}

_NAMES = {
    ID_MESSAGE_TYPE: "messageType",
    ID_PKI_STATUS: "pkiStatus",
    ID_FAIL_INFO: "failInfo",
    ID_SENDER_NONCE: "senderNonce",
    ID_RECIPIENT_NONCE: "recipientNonce",
    ID_TRANSACTION_ID: "transactionID",
    ID_FAIL_INFO_TEXT: "failInfoText",
    ID_SIGNING_TIME: "signingTime",
    ID_CONTENT_TYPE: "contentType",
    ID_MESSAGE_DIGEST: "messageDigest",
}
SCEP_ATTRIBUTES = frozenset(_NAMES) - {ID_SIGNING_TIME, ID_CONTENT_TYPE, ID_MESSAGE_DIGEST}

_EVERY_MESSAGE = (
    ID_CONTENT_TYPE,
    ID_MESSAGE_DIGEST,
    ID_MESSAGE_TYPE,
    ID_TRANSACTION_ID,
    ID_SENDER_NONCE,
)
_ONLY_IN_REPLIES = (ID_PKI_STATUS, ID_FAIL_INFO, ID_RECIPIENT_NONCE, ID_FAIL_INFO_TEXT)


def names_scep(info: cms.SignerInfo) -> bool:
    """Whether a SignerInfo has any attribute of SCEP, signed or not."""
    signed = {oid for oid, _ in info.attributes}
    return not SCEP_ATTRIBUTES.isdisjoint(signed | set(_unsigned(info)))


def _unsigned(info: cms.SignerInfo) -> Iterator[str]:
    for one in asn1.split(info.unsigned_attrs) if info.unsigned_attrs else ():
        try:
            oid, _ = asn1.fields(one, asn1.ATTRIBUTE)
            yield asn1.oid_text(oid)
        except asn1.NotDerError:
            continue


def read_attributes(info: cms.SignerInfo, odd: list[Oddity]) -> ScepAttributes:
    """The attributes of the message that `info` signs; of doubled ones, the first."""
    reader = _Reader(info, odd)
    reader.check_form(info)
    message_type = reader.code(
        ID_MESSAGE_TYPE, {int(one): one.rfc_name for one in MessageType}, "RFC 8894 3.2.1.2"
    )
    found = ScepAttributes(
        message_type=message_type,
        transaction_id=reader.transaction_id(),
        sender_nonce=reader.nonce(ID_SENDER_NONCE),
        recipient_nonce=reader.nonce(ID_RECIPIENT_NONCE),
        pki_status=reader.code(
            ID_PKI_STATUS, {int(one): one.name for one in PkiStatus}, "RFC 8894 3.2.1.3"
        ),
        fail_info=reader.code(
            ID_FAIL_INFO, {int(one): one.rfc_name for one in FailInfo}, "RFC 8894 3.2.1.4"
        ),
        fail_info_text=reader.text(ID_FAIL_INFO_TEXT, _UTF8),
        signing_time=reader.signing_time(),
        others=tuple(oid for oid in reader.values if oid not in _NAMES),
    )
    reader.check_presence(found)
    return found


class _Reader:
    """The values of the signed attributes by OID, and the list that the oddities go to."""

    def __init__(self, info: cms.SignerInfo, odd: list[Oddity]) -> None:
        self.odd = odd
        self.values: dict[str, list[bytes]] = {}
        self.doubled: list[str] = []
        for oid, values in info.attributes:
            if oid in self.values:
                self.doubled.append(oid)
            self.values.setdefault(oid, []).extend(values)

    def note(self, code: str, text: str) -> None:
        self.odd.append(Oddity(code, text))

    # -------------------------------------------------------------- the set as a whole

    def check_form(self, info: cms.SignerInfo) -> None:
        if not info.attributes:
            self.note("A17", "the signature covers no signed attributes")
        encoded = asn1.split(info.signed_attrs) if info.signed_attrs else []
        if encoded != sorted(encoded):
            self.note("Q18", "the signed attributes are not in DER order")
        for oid in self.doubled:
            self.note("A16", f"the signed attribute {_NAMES.get(oid, oid)} is there twice")
        for oid, values in self.values.items():
            if len(values) != 1 and oid not in self.doubled:
                self.note(
                    "A16", f"the {_NAMES.get(oid, oid)} has {len(values)} values, expected one"
                )
        for oid in _unsigned(info):
            if oid in SCEP_ATTRIBUTES:
                self.note("A16", f"the {_NAMES[oid]} is among the unsigned attributes")

    def check_presence(self, found: ScepAttributes) -> None:
        reply = found.message_type is not None and found.message_type.number == MessageType.CERT_REP
        required = list(_EVERY_MESSAGE)
        if reply:
            required += [ID_PKI_STATUS, ID_RECIPIENT_NONCE]
        status = found.pki_status.number if found.pki_status else None
        if status == PkiStatus.FAILURE:
            required.append(ID_FAIL_INFO)
        for oid in required:
            if oid not in self.values:
                self.note(
                    "RFC 8894 3.2.1", f"there is no {_NAMES[oid]} among the signed attributes"
                )
        if not reply and found.message_type is not None:
            for oid in _ONLY_IN_REPLIES:
                if oid in self.values:
                    self.note("RFC 8894 3.2.1", f"a request has no {_NAMES[oid]}, this one does")
        if status in (PkiStatus.SUCCESS, PkiStatus.PENDING) and found.fail_info is not None:
            self.note(
                "RFC 8894 3.2.1.4", "there is a failInfo although the pkiStatus is not FAILURE"
            )
        nonces = {found.sender_nonce, found.recipient_nonce}
        if len(nonces) == 1 and None not in nonces:
            self.note("Q39", "the senderNonce is the recipientNonce sent back, not a fresh one")

    # -------------------------------------------------------------- single values

    def first(self, oid: str) -> bytes | None:
        """The first value (DER), or None when there is none."""
        values = self.values.get(oid)
        return values[0] if values else None

    def text(self, oid: str, expected: int = _PRINTABLE) -> str | None:
        """A character string of any type, or an INTEGER as decimal text."""
        value = self.first(oid)
        if value is None:
            return None
        name = _NAMES[oid]
        if value[0] != expected:
            found = _TYPES.get(value[0], f"of the type 0x{value[0]:02x}")
            self.note("Q19", f"the {name} is {found}, expected {_TYPES[expected]}")
        if value[0] == _INTEGER:
            return str(int.from_bytes(content_of(value)[:32], "big", signed=True))
        try:
            return text_value(value, name)
        except DecodeError:
            return None

    def code(self, oid: str, names: dict[int, str], section: str) -> Code | None:
        text = self.text(oid)
        if text is None:
            return None
        number = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None
        if number is not None and text == str(number) and number in names:
            return Code(names[number], number)
        self.note(
            section, f"the {_NAMES[oid]} {text[:40]!r} is not one RFC 8894 knows{_hint(oid, text)}"
        )
        return Code(text, number)

    def transaction_id(self) -> str | None:
        text = self.text(ID_TRANSACTION_ID)
        if text is not None and not is_printable(text):
            self.note(
                "RFC 8894 3.2.1.1",
                "the transactionID has characters that a PrintableString may not have",
            )
        if text == "" or (text and len(text) > messages.MAX_TRANSACTION_ID):
            self.note(
                "A18",
                f"the transactionID has {len(text)} characters, expected 1 to "
                f"{messages.MAX_TRANSACTION_ID}",
            )
        return text

    def nonce(self, oid: str) -> bytes | None:
        value = self.first(oid)
        if value is None:
            return None
        name, nonce = _NAMES[oid], content_of(value)
        if value[0] != _OCTET_STRING:
            found = _TYPES.get(value[0], f"of the type 0x{value[0]:02x}")
            self.note("Q19", f"the {name} is {found}, expected OCTET STRING")
        if len(nonce) != messages.NONCE_BYTES:
            self.note("Q23", f"the {name} has {len(nonce)} bytes, expected {messages.NONCE_BYTES}")
        return nonce

    def signing_time(self) -> str | None:
        value = self.first(ID_SIGNING_TIME)
        return None if value is None else time_text(value)


def time_text(value: bytes) -> str:
    """A Time as ISO 8601 when it is one in DER, else its bytes as text."""
    from datetime import datetime

    text = content_of(value).decode("latin-1")
    for tag, form in ((0x17, "%y%m%d%H%M%SZ"), (0x18, "%Y%m%d%H%M%SZ")):
        if value[0] == tag:
            try:
                moment = datetime.strptime(text, form)  # noqa: DTZ007 - both forms are UTC
            except ValueError:
                break
            return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
    return text


def _hint(oid: str, text: str) -> str:
    if oid == ID_MESSAGE_TYPE and text == "18":
        return "; it was UpdateReq in drafts of 2014 to 2017 (A6)"
    if oid == ID_FAIL_INFO and text in {str(number) for number in range(5, 13)}:
        return "; Dogtag uses 5 to 12 (Q41)"
    return ""
