"""What a test CA remembers for assertions.

The rule of this file: plain values, complete enough that a test need not look into the CA; the
challenge is kept, for this is a test, but shown in no repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from cryptography import x509

from scepkit.core.certificates import CertificateView
from scepkit.core.csr import ParsedCsr
from scepkit.core.messages import MessageData, MessageType, PkiStatus, Protection
from scepkit.errors import FailInfo


@dataclass(frozen=True, slots=True)
class HttpExchange:
    """One HTTP request that came.

    Attributes:
        operation: "GetCACaps", "GetCACert", "GetNextCACert", "PKIOperation", or what else was
            asked for.
        method: "GET" or "POST".
        profile: the CA identifier in ``message=``, or None; never the pkiMessage.
        status: the HTTP status of the answer.
    """

    operation: str
    method: str
    profile: str | None
    status: int


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """One pkiMessage that could be read, and how it was answered.

    Attributes:
        message_type: what was asked for; None for a number RFC 8894 does not have.
        transaction_id: the transactionID.
        sender_nonce: the senderNonce.
        signer: the certificate that signed it.
        method: "GET" or "POST".
        data: the messageData; None when it could not be decrypted.
        csr: the certificate request in it; None when there is none.
        challenge: the challengePassword of the request, or None.
        challenge_matched: whether it was right; None when it was not looked at.
        protection: the algorithms of the request, as far as it could be decrypted.
        status: the pkiStatus of the answer.
        fail_info: the failInfo of the answer, or None.
        fail_info_text: the failInfoText of the answer, or "".
        certificate: the certificate that was sent, or None.
        request: the message itself (DER or BER).
        reply: the CertRep (DER or BER).
    """

    message_type: MessageType | None
    transaction_id: str
    sender_nonce: bytes = field(repr=False)
    signer: CertificateView = field(repr=False)
    method: str
    data: MessageData | None
    csr: ParsedCsr | None
    challenge: str | None = field(repr=False)
    challenge_matched: bool | None
    protection: Protection | None
    status: PkiStatus
    fail_info: FailInfo | int | None
    fail_info_text: str
    certificate: x509.Certificate | None
    request: bytes = field(repr=False)
    reply: bytes = field(repr=False)
