"""The seven SCEP messages: values in, bytes out, and back (RFC 8894 sections 3.1 to 3.3).

A requester uses `encode_request` and `open_reply`.  A CA uses `read_request`, `decrypt_request`
and `seal_reply`: reading and decrypting are two steps, because a request that cannot be decrypted
still has a transactionID and a nonce that its FAILURE must carry.

Rules of this file:

* Writing is exactly as the RFC has it: PrintableString, 16-byte nonces, DER.  Reading takes any
  string type (Q19) and nonces of 1 to 64 bytes (Q23).
* Every reply is checked: signed by one of the given certificates, and messageType, transactionID
  and recipientNonce those of the request (RFC 8894 section 3.2.1.5; jscep skips the last two for
  queries).
* An attribute counts only when it is signed, there once, and has one value (A16).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from enum import IntEnum
from typing import TypeAlias, assert_never

from scepkit.core import asn1, cms, envelope
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import CertificateView, view
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.strings import printable_or_utf8, text_value
from scepkit.errors import (
    DecodeError,
    FailInfo,
    InputError,
    ProtocolError,
    ReplyMismatchError,
    SignatureError,
)
from scepkit.values import field, frozen

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


class MessageType(IntEnum):
    """messageType (RFC 8894 section 3.2.1.2)."""

    CERT_REP = 3
    RENEWAL_REQ = 17
    PKCS_REQ = 19
    CERT_POLL = 20
    GET_CERT = 21
    GET_CRL = 22

    @property
    def rfc_name(self) -> str:
        """The name in RFC 8894, such as ``PKCSReq``."""
        return _MESSAGE_TYPE_NAMES[self]


_MESSAGE_TYPE_NAMES = {
    MessageType.CERT_REP: "CertRep",
    MessageType.RENEWAL_REQ: "RenewalReq",
    MessageType.PKCS_REQ: "PKCSReq",
    MessageType.CERT_POLL: "CertPoll",
    MessageType.GET_CERT: "GetCert",
    MessageType.GET_CRL: "GetCRL",
}
_MESSAGE_TYPES = {str(int(one)): one for one in MessageType}


class PkiStatus(IntEnum):
    """pkiStatus (RFC 8894 section 3.2.1.3)."""

    SUCCESS = 0
    FAILURE = 2
    PENDING = 3


_STATUSES = {str(int(one)): one for one in PkiStatus}


# ------------------------------------------------------------------ messageData


@frozen
class PkcsReq:
    """A certificate request in PKCS#10 DER (RFC 8894 section 3.3.1)."""

    csr: bytes = field(repr=False)


@frozen
class RenewalReq:
    """A PKCS#10 request (DER) authenticated by an existing certificate (section 3.3.1)."""

    csr: bytes = field(repr=False)


@frozen
class CertPoll:
    """Whose request to ask about: both are Names in DER (RFC 8894 section 3.3.3)."""

    issuer: bytes = field(repr=False)
    subject: bytes = field(repr=False)


@frozen
class GetCert:
    """Which certificate is wanted: issuer is a Name in DER (RFC 8894 section 3.3.4)."""

    issuer: bytes = field(repr=False)
    serial_number: int


@frozen
class GetCrl:
    """For which certificate the CRL is wanted: issuer is a Name in DER (section 3.3.4)."""

    issuer: bytes = field(repr=False)
    serial_number: int


MessageData: TypeAlias = PkcsReq | RenewalReq | CertPoll | GetCert | GetCrl

_TYPE_OF: dict[type, MessageType] = {
    PkcsReq: MessageType.PKCS_REQ,
    RenewalReq: MessageType.RENEWAL_REQ,
    CertPoll: MessageType.CERT_POLL,
    GetCert: MessageType.GET_CERT,
    GetCrl: MessageType.GET_CRL,
}


def encode_data(data: MessageData) -> bytes:
    """The messageData as DER."""
    match data:
        case PkcsReq(csr) | RenewalReq(csr):
            return csr
        case CertPoll(issuer, subject):
            return asn1.element(asn1.SEQUENCE, issuer, subject)
        case GetCert(issuer, serial) | GetCrl(issuer, serial):
            return asn1.issuer_and_serial(issuer, serial)
        case _:
            assert_never(data)


def decode_data(message_type: MessageType, content: bytes) -> MessageData:
    """The messageData of a request.

    What a PKCSReq or RenewalReq holds is not looked at: `csr.read_csr` reads it.

    :raises DecodeError: it is not what the messageType says (RFC 8894 section 3.2).
    """
    match message_type:
        case MessageType.PKCS_REQ | MessageType.RENEWAL_REQ:
            return (PkcsReq if message_type is MessageType.PKCS_REQ else RenewalReq)(content)
        case MessageType.CERT_POLL:
            what = "IssuerAndSubject (CertPoll)"
            issuer, subject = asn1.read(asn1.ISSUER_AND_SUBJECT, content, what)
            if issuer[0] != asn1.SEQUENCE or subject[0] != asn1.SEQUENCE:
                raise DecodeError("the IssuerAndSubject of the CertPoll does not hold two Names")
            return CertPoll(issuer, subject)
        case MessageType.GET_CERT | MessageType.GET_CRL:
            what = f"IssuerAndSerialNumber ({message_type.rfc_name})"
            issuer, serial = asn1.read(asn1.ISSUER_AND_SERIAL_NUMBER, content, what)
            if issuer[0] != asn1.SEQUENCE:
                raise DecodeError(f"the issuer in the {message_type.rfc_name} is not a Name")
            kind = GetCert if message_type is MessageType.GET_CERT else GetCrl
            return kind(issuer, asn1.integer_value(serial, "serial number"))
        case MessageType.CERT_REP:
            raise DecodeError("a CertRep is not a request")
        case _:
            assert_never(message_type)


# ------------------------------------------------------------------ replies as values


@frozen
class Success:
    """SUCCESS: certificates and CRLs in DER, in the order they came (section 3.3.2.1)."""

    certificates: tuple[bytes, ...] = field(default=(), repr=False)
    crls: tuple[bytes, ...] = field(default=(), repr=False)


@frozen
class Failure:
    """FAILURE (RFC 8894 section 3.3.2.2).

    `fail_info` is a plain int when the CA uses a number of its own (Dogtag has 5 to 12), and None
    when it gave none.
    """

    fail_info: FailInfo | int | None
    fail_info_text: str = ""


@frozen
class StillPending:
    """PENDING (RFC 8894 section 3.3.2.3)."""


CertRep: TypeAlias = Success | Failure | StillPending


@frozen
class Protection:
    """How a message is protected.  A None key transport means: by password."""

    cipher: Cipher = Cipher.AES128_CBC
    digest: Digest = Digest.SHA256
    key_transport: KeyTransport | None = KeyTransport.RSA_PKCS1V15


# ------------------------------------------------------------------ requester's side


def new_transaction_id() -> str:
    """A fresh transactionID: 32 hexadecimal digits (RFC 8894 section 3.2.1.1)."""
    return secrets.token_hex(16)


def new_nonce() -> bytes:
    """A fresh senderNonce (RFC 8894 section 3.2.1.5)."""
    return secrets.token_bytes(NONCE_BYTES)


def encode_request(
    data: MessageData,
    *,
    transaction_id: str,
    sender_nonce: bytes,
    signer: cms.Signer,
    recipient: CertificateView | Password,
    protection: Protection,
    signing_time: datetime,
) -> bytes:
    """Make a pkiMessage (DER) that asks for something.

    :param recipient: the CA's or RA's RSA certificate, or the challengePassword when its key
        cannot encrypt (RFC 8894 section 3.1).
    :param transaction_id: 1 to 255 characters, a PrintableString if the CA is to like it.
    :param sender_nonce: 1 to 64 bytes; RFC 8894 section 3.2.1.5 wants 16.
    :param signing_time: aware; sent because some CAs look at it (Q44).
    :raises InputError: an argument cannot be sent, or the recipient's key cannot encrypt.
    :raises AlgorithmError: a forbidden algorithm, or a key that cannot sign SCEP messages.
    """
    if not 1 <= len(sender_nonce) <= _MAX_NONCE_BYTES:
        raise InputError(
            f"the senderNonce has {len(sender_nonce)} bytes, expected 1 to {_MAX_NONCE_BYTES}"
        )
    content = envelope.encrypt(
        encode_data(data),
        recipient,
        protection.cipher,
        protection.key_transport or KeyTransport.RSA_PKCS1V15,
    )
    attributes = [
        (ID_MESSAGE_TYPE, _number(_TYPE_OF[type(data)])),
        (ID_TRANSACTION_ID, _transaction_id(transaction_id)),
        (ID_SENDER_NONCE, asn1.element(asn1.OCTET_STRING, sender_nonce)),
        (ID_SIGNING_TIME, asn1.signing_time(signing_time)),
    ]
    return cms.sign(content, attributes, signer, protection.digest)


_STRANGER_HINT = (
    "replies may be signed by the certificates of the CA and its RA that GetCACert offers "
    "(`scepkit ca` shows which count); an RA that does not say it is one is named in "
    "ra_certificates (--ra-cert)"
)


def open_reply(
    body: bytes,
    *,
    transaction_id: str,
    sender_nonce: bytes,
    signers: Sequence[CertificateView],
    decrypt_with: DecryptionKey | Password | None,
    allow_legacy: bool = False,
) -> CertRep:
    """Read, verify and decrypt a CertRep.

    :param signers: the authenticated certificates that may sign for the CA; none other counts.
    :param decrypt_with: our key, or the challengePassword when our key cannot decrypt.
    :param allow_legacy: read single DES and MD5 too (Q37, Q38).
    :raises DecodeError: it is not a well-formed CertRep.
    :raises SignatureError: it is not signed by one of `signers`.
    :raises ReplyMismatchError: it is the answer to something else.
    :raises DecryptError: its content is not for us.
    :raises AlgorithmError: it uses an algorithm that is refused.
    """
    message = cms.read_signed(body, "CertRep (SignedData)")
    verified = cms.verify(message, signers, allow_legacy=allow_legacy, stranger_hint=_STRANGER_HINT)
    _expect_data(message)
    attributes = verified.attributes
    found_type = _number_text(attributes, ID_MESSAGE_TYPE, "messageType")
    _expect("messageType", str(int(MessageType.CERT_REP)), found_type)
    found_id = _text(attributes, ID_TRANSACTION_ID, "transactionID")
    _expect("transactionID", transaction_id, found_id)
    nonce = _nonce(attributes, ID_RECIPIENT_NONCE, "recipientNonce")
    if nonce is None or not hmac.compare_digest(nonce, sender_nonce):
        raise _mismatch("recipientNonce", sender_nonce.hex(), nonce.hex() if nonce else None)
    status_text = _number_text(attributes, ID_PKI_STATUS, "pkiStatus")
    match _STATUSES.get(status_text or ""):
        case PkiStatus.PENDING:
            return StillPending()
        case PkiStatus.FAILURE:
            return _failure(attributes)
        case PkiStatus.SUCCESS:
            return _success(verified.content, decrypt_with, allow_legacy)
        case None:
            found = "no pkiStatus" if status_text is None else f"pkiStatus {status_text[:20]!r}"
            raise DecodeError(f"the CertRep has {found}, expected 0, 2 or 3")
        case never:
            assert_never(never)


def _success(
    content: bytes | None, decrypt_with: DecryptionKey | Password | None, allow_legacy: bool
) -> Success:
    if not content:
        raise DecodeError("the CertRep says SUCCESS but holds no pkcsPKIEnvelope")
    enveloped = envelope.read_envelope(content, allow_legacy=allow_legacy)
    if decrypt_with is None:
        raise DecodeError("the CertRep is encrypted and there is no key to decrypt it with")
    bundle = cms.read_bundle(envelope.decrypt(enveloped, decrypt_with).content)
    return Success(certificates=bundle.certificates, crls=bundle.crls)


def _failure(attributes: cms.Attributes) -> Failure:
    number = _number_text(attributes, ID_FAIL_INFO, "failInfo")
    try:
        text = _text(attributes, ID_FAIL_INFO_TEXT, "failInfoText") or ""
    except DecodeError:
        text = ""  # it is for people only, and must not hide the failure
    if number is None:
        return Failure(fail_info=None, fail_info_text=text)
    if not (number.isascii() and number.isdigit() and len(number) <= 4):
        raise DecodeError(f"the CertRep has failInfo {number[:20]!r}, expected a number")
    value = int(number)
    known = {int(one): one for one in FailInfo}
    return Failure(fail_info=known.get(value, value), fail_info_text=text)


def _expect(name: str, expected: str, found: str | None) -> None:
    if found != expected:
        raise _mismatch(name, expected, found)


def _expect_data(message: cms.SignedMessage) -> None:
    if message.content_type != cms.ID_DATA:
        raise DecodeError(
            f"the signed content is of type {cms.content_type_name(message.content_type)}, "
            "expected data (RFC 8894 section 3.2)"
        )


def _mismatch(name: str, expected: str, found: str | None) -> ReplyMismatchError:
    what = f"no {name}" if found is None else f"{name} {found[:80]!r}"
    return ReplyMismatchError(
        f"the reply does not belong to this request: it has {what}, expected {expected!r}",
        field=name,
        expected=expected,
        found=found,
    )


# ------------------------------------------------------------------ the CA's side


@frozen
class Request:
    """A request whose signature was verified with the certificate it came with.

    Nothing is said about who that is: a self-signed certificate proves only that the sender has
    its key.  `message_type` is None when the number is not one of a request; `message_type_text`
    keeps what was sent.
    """

    message_type: MessageType | None
    message_type_text: str
    transaction_id: str
    sender_nonce: bytes = field(repr=False)
    signer: CertificateView
    certificates: tuple[bytes, ...] = field(repr=False)
    digest: Digest
    content: bytes | None = field(repr=False)


@frozen
class DecryptedRequest:
    """What a request asks for, and how it was protected."""

    data: MessageData
    protection: Protection


def read_request(body: bytes) -> Request:
    """Read a pkiMessage that asks for something, and verify its signature.

    :raises DecodeError: it is not one, or lacks an attribute an answer needs.
    :raises SignatureError: the signature is broken, or its certificate is not in the message.
    :raises AlgorithmError: the digest is MD5 or unknown.
    """
    message = cms.read_signed(body, "pkiMessage (SignedData)")
    info = cms.only_signer(message)
    signer = _request_signer(message, info)
    verified = cms.verify(message, [signer])
    attributes = verified.attributes
    _expect_data(message)
    type_text = _number_text(attributes, ID_MESSAGE_TYPE, "messageType")
    transaction_id = _text(attributes, ID_TRANSACTION_ID, "transactionID")
    nonce = _nonce(attributes, ID_SENDER_NONCE, "senderNonce")
    if type_text is None or not transaction_id or not nonce:
        missing = [
            name
            for name, value in (
                ("messageType", type_text),
                ("transactionID", transaction_id),
                ("senderNonce", nonce),
            )
            if not value
        ]
        raise DecodeError(f"the pkiMessage has no {' and no '.join(missing)}")
    if len(transaction_id) > MAX_TRANSACTION_ID:
        raise DecodeError(
            f"the transactionID has {len(transaction_id)} characters, expected at most "
            f"{MAX_TRANSACTION_ID}"
        )
    known = _MESSAGE_TYPES.get(type_text)
    return Request(
        message_type=None if known is MessageType.CERT_REP else known,
        message_type_text=type_text[:32],
        transaction_id=transaction_id,
        sender_nonce=nonce,
        signer=signer,
        certificates=message.certificates,
        digest=verified.digest,
        content=verified.content,
    )


def _request_signer(message: cms.SignedMessage, info: cms.SignerInfo) -> CertificateView:
    for der in message.certificates:
        try:
            candidate = view(der)
        except DecodeError:
            continue
        if candidate.is_named_by(info.sid):
            return candidate
    raise SignatureError("the certificate that made the signature is not in the message")


def decrypt_request(request: Request, with_: DecryptionKey | Password) -> DecryptedRequest:
    """Decrypt what a request asks for.

    :raises ProtocolError: the messageType is not one of a request.
    :raises DecodeError: there is no content, or it is not what the messageType says.
    :raises DecryptError: it is not for this key, or it is damaged.
    :raises AlgorithmError: it is encrypted with single DES, or something unknown.
    """
    if request.message_type is None:
        raise ProtocolError(
            f"messageType {request.message_type_text!r} is not a request RFC 8894 knows"
        )
    if not request.content:
        raise DecodeError("the pkiMessage holds no pkcsPKIEnvelope")
    decrypted = envelope.decrypt(envelope.read_envelope(request.content), with_)
    return DecryptedRequest(
        data=decode_data(request.message_type, decrypted.content),
        protection=Protection(decrypted.cipher, request.digest, decrypted.key_transport),
    )


def seal_reply(
    reply: CertRep,
    request: Request,
    *,
    signer: cms.Signer,
    protection: Protection,
    signing_time: datetime,
    recipient: CertificateView | Password | None = None,
) -> bytes:
    """Make the CertRep (DER) that answers a request.

    :param protection: normally that of the request, so that the requester can read the answer.
    :param recipient: by default the certificate that signed the request (RFC 8894 section 2.3);
        the challengePassword when its key cannot encrypt.
    """
    attributes = [
        (ID_MESSAGE_TYPE, _number(MessageType.CERT_REP)),
        (ID_TRANSACTION_ID, _transaction_id(request.transaction_id)),
        (ID_SENDER_NONCE, asn1.element(asn1.OCTET_STRING, new_nonce())),
        (ID_RECIPIENT_NONCE, asn1.element(asn1.OCTET_STRING, request.sender_nonce)),
        (ID_SIGNING_TIME, asn1.signing_time(signing_time)),
    ]
    content = None
    match reply:
        case Success(certificates, crls):
            attributes.append((ID_PKI_STATUS, _number(PkiStatus.SUCCESS)))
            content = envelope.encrypt(
                cms.certs_only(certificates, crls),
                recipient or request.signer,
                protection.cipher,
                protection.key_transport or KeyTransport.RSA_PKCS1V15,
            )
        case Failure(fail_info, text):
            attributes.append((ID_PKI_STATUS, _number(PkiStatus.FAILURE)))
            reason = FailInfo.BAD_REQUEST if fail_info is None else fail_info
            attributes.append((ID_FAIL_INFO, _number(reason)))
            if text:
                utf8 = text.encode("utf-8", "replace")
                attributes.append((ID_FAIL_INFO_TEXT, asn1.element(0x0C, utf8)))
        case StillPending():
            attributes.append((ID_PKI_STATUS, _number(PkiStatus.PENDING)))
        case _:
            assert_never(reply)
    return cms.sign(content, attributes, signer, protection.digest)


# ------------------------------------------------------------------ attribute values


def _number(value: int) -> bytes:
    return asn1.element(0x13, str(int(value)).encode("ascii"))


def _transaction_id(text: str) -> bytes:
    if not 1 <= len(text) <= MAX_TRANSACTION_ID:
        raise InputError(
            f"the transactionID has {len(text)} characters, expected 1 to {MAX_TRANSACTION_ID}"
        )
    try:
        return printable_or_utf8(text)
    except UnicodeEncodeError:
        raise InputError(f"the transactionID {text!r} cannot be written as UTF-8") from None


def _single(attributes: cms.Attributes, oid: str, name: str) -> bytes | None:
    values = attributes.get(oid)
    if values is None:
        return None
    if len(values) != 1:
        raise DecodeError(f"the {name} attribute has {len(values)} values, expected one")
    return values[0]


def _text(attributes: cms.Attributes, oid: str, name: str) -> str | None:
    value = _single(attributes, oid, name)
    return None if value is None else text_value(value, name)


def _number_text(attributes: cms.Attributes, oid: str, name: str) -> str | None:
    """A number as its decimal text; some write it as an INTEGER (Q19)."""
    value = _single(attributes, oid, name)
    if value is not None and value[0] == asn1.INTEGER and len(asn1.content_of(value)) <= 8:
        return str(asn1.integer_value(value, name))
    return _text(attributes, oid, name)


def _nonce(attributes: cms.Attributes, oid: str, name: str) -> bytes | None:
    value = _single(attributes, oid, name)
    if value is None:
        return None
    nonce = asn1.content_of(value)
    if value[0] != asn1.OCTET_STRING or len(nonce) > _MAX_NONCE_BYTES:
        raise DecodeError(f"the {name} is not an OCTET STRING of at most {_MAX_NONCE_BYTES} bytes")
    return nonce
