"""The CA's side: reading a request, decrypting it, and sealing the answer (RFC 8894 section 3).

Reading and decrypting are two steps, because a request that cannot be decrypted still has a
transactionID and a nonce that its FAILURE must carry.

The rule of this file: a signature on a request proves that the sender has the key of the
certificate in it, and nothing else.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.core import asn1, cms, envelope
from scepkit.core.algorithms import Digest, KeyTransport
from scepkit.core.certificates import CertificateView, view
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
    MAX_TRANSACTION_ID,
    encode_nonce,
    encode_number,
    encode_transaction_id,
    expect_data,
    read_nonce,
    read_number,
    read_text,
)
from scepkit.core.messages.requester import new_nonce
from scepkit.core.messages.values import (
    MESSAGE_TYPES,
    CertRep,
    Failure,
    MessageData,
    MessageType,
    PkiStatus,
    Protection,
    StillPending,
    Success,
    decode_data,
)
from scepkit.errors import AlgorithmError, DecodeError, FailInfo, ProtocolError, SignatureError
from scepkit.values import field, frozen

#: How an RSA key ends whose exponent is 65537: those of all devices.
_USUAL_EXPONENT = b"\x02\x03\x01\x00\x01"
#: In bits.  With as many as the modulus has, a signature of 3072 bits takes 24 ms to verify.
_LONGEST_EXPONENT = 32


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


def read_request(body: bytes, *, allow_legacy: bool = False) -> Request:
    """Read a pkiMessage that asks for something, and verify its signature.

    :param allow_legacy: read MD5 too, for whoever looks at `Request.digest` to refuse it by badAlg.
    :raises DecodeError: it is not one, or lacks an attribute an answer needs.
    :raises SignatureError: the signature is broken, or its certificate is not in the message.
    :raises AlgorithmError: the digest is unknown, or MD5 while `allow_legacy` is off, or the
        signer's key is made to keep us busy: RSA with an exponent of more than 32 bits.
    """
    message = cms.read_signed(body, "pkiMessage (SignedData)")
    info = cms.only_signer(message)
    signer = _request_signer(message, info)
    verified = cms.verify(message, [signer], allow_legacy=allow_legacy)
    attributes = verified.attributes
    expect_data(message)
    type_text = read_number(attributes, ID_MESSAGE_TYPE, "messageType")
    found_id = read_text(attributes, ID_TRANSACTION_ID, "transactionID")
    sender_nonce = read_nonce(attributes, ID_SENDER_NONCE, "senderNonce")
    if type_text is None or not found_id or not sender_nonce:
        missing = [
            name
            for name, value in (
                ("messageType", type_text),
                ("transactionID", found_id),
                ("senderNonce", sender_nonce),
            )
            if not value
        ]
        raise DecodeError(f"the pkiMessage has no {' and no '.join(missing)}")
    if len(found_id) > MAX_TRANSACTION_ID:
        raise DecodeError(
            f"the transactionID has {len(found_id)} characters, expected at most "
            f"{MAX_TRANSACTION_ID}"
        )
    known = MESSAGE_TYPES.get(type_text)
    return Request(
        None if known is MessageType.CERT_REP else known,
        type_text[:32],
        found_id,
        sender_nonce,
        signer,
        message.certificates,
        verified.digest,
        verified.content,
    )


def _expect_quick(signer: CertificateView) -> None:
    """Verify nothing with a key whose owner chose how long that takes: anybody may send one."""
    if signer.spki.endswith(_USUAL_EXPONENT):
        return
    key = signer.public_key()
    if isinstance(key, rsa.RSAPublicKey):
        bits = key.public_numbers().e.bit_length()
        if bits > _LONGEST_EXPONENT:
            raise AlgorithmError(
                f"the exponent of the signer's RSA key has {bits} bits, expected at most "
                f"{_LONGEST_EXPONENT}; the usual one is 65537",
                algorithm="RSA",
            )


def _request_signer(message: cms.SignedMessage, info: cms.SignerInfo) -> CertificateView:
    for der in message.certificates:
        try:
            candidate = view(der)
        except DecodeError:
            continue
        if candidate.is_named_by(info.sid):
            _expect_quick(candidate)
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
    decrypted = envelope.decrypt_sequence(envelope.read_envelope(request.content), with_)
    return DecryptedRequest(
        decode_data(request.message_type, decrypted.content),
        Protection(decrypted.cipher, request.digest, decrypted.key_transport),
    )


def seal_reply(
    reply: CertRep,
    request: Request,
    *,
    signer: cms.Signer,
    protection: Protection,
    signing_time: datetime,
    recipient: CertificateView | Password | None = None,
    empty_content: bool = False,
) -> bytes:
    """Make the CertRep (DER) that answers a request.

    :param protection: normally that of the request, so that the requester can read the answer.
    :param recipient: by default the certificate that signed the request (RFC 8894 section 2.3);
        the challengePassword when its key cannot encrypt.
    :param empty_content: write an empty content where there is none, instead of leaving it out
        (RFC 8894 section 3): what verifies with OpenSSL's PKCS7_verify, as certmonger does, refuses
        a SignedData without content (Q45).
    """
    attributes = [
        (ID_MESSAGE_TYPE, encode_number(MessageType.CERT_REP)),
        (ID_TRANSACTION_ID, encode_transaction_id(request.transaction_id)),
        (ID_SENDER_NONCE, encode_nonce(new_nonce())),
        (ID_RECIPIENT_NONCE, encode_nonce(request.sender_nonce)),
        (ID_SIGNING_TIME, asn1.signing_time(signing_time)),
    ]
    content = b"" if empty_content else None
    match reply:
        case Success(certificates, crls):
            attributes.append((ID_PKI_STATUS, encode_number(PkiStatus.SUCCESS)))
            content = envelope.encrypt(
                cms.certs_only(certificates, crls),
                recipient or request.signer,
                protection.cipher,
                protection.key_transport or KeyTransport.RSA_PKCS1V15,
            )
        case Failure(fail_info, text):
            attributes.append((ID_PKI_STATUS, encode_number(PkiStatus.FAILURE)))
            reason = FailInfo.BAD_REQUEST if fail_info is None else fail_info
            attributes.append((ID_FAIL_INFO, encode_number(reason)))
            if text:
                utf8 = text.encode("utf-8", "replace")
                attributes.append((ID_FAIL_INFO_TEXT, asn1.element(0x0C, utf8)))
        case StillPending():
            attributes.append((ID_PKI_STATUS, encode_number(PkiStatus.PENDING)))
        case _:
            assert_never(reply)
    return cms.sign(content, attributes, signer, protection.digest)
