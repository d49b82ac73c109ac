"""The requester's side: asking, and opening the answer (RFC 8894 section 3).

The rule of this file: every reply is checked.  It is signed by one of the given certificates, and
its messageType, transactionID and recipientNonce are those of the request (RFC 8894 section
3.2.1.5; jscep skips the last two for queries).
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import assert_never

from scepkit.core import asn1, cms, envelope
from scepkit.core.algorithms import KeyTransport
from scepkit.core.certificates import CertificateView
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.messages.attributes import (
    ID_FAIL_INFO,
    ID_FAIL_INFO_TEXT,
    ID_MESSAGE_TYPE,
    ID_PKI_STATUS,
    ID_RECIPIENT_NONCE,
    ID_SENDER_NONCE,
    ID_SIGNING_TIME,
    ID_TRANSACTION_ID,
    NONCE_BYTES,
    encode_nonce,
    encode_number,
    encode_transaction_id,
    expect_data,
    read_nonce,
    read_number,
    read_text,
)
from scepkit.core.messages.values import (
    STATUSES,
    CertRep,
    Failure,
    MessageData,
    MessageType,
    PkiStatus,
    Protection,
    StillPending,
    Success,
    encode_data,
    message_type_of,
)
from scepkit.errors import DecodeError, FailInfo, ReplyMismatchError


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
    attributes = [
        (ID_MESSAGE_TYPE, encode_number(message_type_of(data))),
        (ID_TRANSACTION_ID, encode_transaction_id(transaction_id)),
        (ID_SENDER_NONCE, encode_nonce(sender_nonce)),
        (ID_SIGNING_TIME, asn1.signing_time(signing_time)),
    ]
    content = envelope.encrypt(
        encode_data(data),
        recipient,
        protection.cipher,
        protection.key_transport or KeyTransport.RSA_PKCS1V15,
    )
    return cms.sign(content, attributes, signer, protection.digest)


_CERT_REP = str(int(MessageType.CERT_REP))
_STRANGER_HINT = (
    "replies may be signed by the certificates of the CA and its RA that GetCACert offers "
    "(`scepkit ca` shows which count); an RA that does not say it is one is named in "
    "ra_certificates (--ra-cert), and after a rollover Client.refresh() fetches the new ones"
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
    expect_data(message)
    attributes = verified.attributes
    found_type = read_number(attributes, ID_MESSAGE_TYPE, "messageType")
    _expect("messageType", _CERT_REP, found_type)
    found_id = read_text(attributes, ID_TRANSACTION_ID, "transactionID")
    _expect("transactionID", transaction_id, found_id)
    found_nonce = read_nonce(attributes, ID_RECIPIENT_NONCE, "recipientNonce")
    if found_nonce is None or not hmac.compare_digest(found_nonce, sender_nonce):
        found = found_nonce.hex() if found_nonce else None
        raise _mismatch("recipientNonce", sender_nonce.hex(), found)
    status_text = read_number(attributes, ID_PKI_STATUS, "pkiStatus")
    match STATUSES.get(status_text or ""):
        case PkiStatus.SUCCESS:
            return _success(verified.content, decrypt_with, allow_legacy)
        case PkiStatus.FAILURE:
            return _failure(attributes)
        case PkiStatus.PENDING:
            return StillPending()
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
    bundle = cms.read_bundle(envelope.decrypt_sequence(enveloped, decrypt_with).content)
    return Success(bundle.certificates, bundle.crls)


def _failure(attributes: cms.Attributes) -> Failure:
    number = read_number(attributes, ID_FAIL_INFO, "failInfo")
    try:
        text = read_text(attributes, ID_FAIL_INFO_TEXT, "failInfoText") or ""
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


def _mismatch(name: str, expected: str, found: str | None) -> ReplyMismatchError:
    what = f"no {name}" if found is None else f"{name} {found[:80]!r}"
    return ReplyMismatchError(
        f"the reply does not belong to this request: it has {what}, expected {expected!r}",
        field=name,
        expected=expected,
        found=found,
    )
