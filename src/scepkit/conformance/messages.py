"""Requests as a test wants them: right but for what it changes.

The rule of this file: a draft that nobody changes is a request that every server has to take.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from scepkit.conformance import cmsparts as parts
from scepkit.conformance.cmsparts import Identity, Sealing, attribute, octets, printable
from scepkit.core import asn1
from scepkit.core.cms import ID_CONTENT_TYPE, ID_DATA, ID_MESSAGE_DIGEST
from scepkit.core.envelope import Password
from scepkit.core.messages import (
    ID_MESSAGE_TYPE,
    ID_SENDER_NONCE,
    ID_SIGNING_TIME,
    ID_TRANSACTION_ID,
)
from scepkit.values import field as value_field
from scepkit.values import frozen

SCEP_NAMES = {
    "messageType": ID_MESSAGE_TYPE,
    "transactionID": ID_TRANSACTION_ID,
    "senderNonce": ID_SENDER_NONCE,
    "signingTime": ID_SIGNING_TIME,
}


@frozen
class Message:
    """A pkiMessage, and what is needed to read its answer.

    Attributes:
        what: it in words, for the record.
        data: the messageData before it was encrypted, with a challenge in it.
    """

    body: bytes = value_field(repr=False)
    what: str
    transaction_id: str
    nonce: bytes
    signer: Identity
    password: Password | None = value_field(default=None, repr=False)
    data: bytes = value_field(default=b"", repr=False)


@dataclass
class Draft:
    """A request before it is encoded.

    Attributes:
        what: it in words.
        content: the pkcsPKIEnvelope (the content of the SignedData), or None.
        attributes: signed attributes by name, encoded; contentType and messageDigest among them.
            Call `digest_again` after changing `content` or `digest`.
        signed: False leaves out the signed attributes.
        certificates: what stands in the SignedData, in DER.
        more_signers: further SignerInfos.
        body_change: applied to the encoded message.
    """

    what: str
    signer: Identity
    content: bytes | None
    transaction_id: str
    nonce: bytes
    message_type: str = "19"
    digest: str = "sha256"
    attributes: dict[str, bytes] = field(default_factory=dict)
    certificates: list[bytes] = field(default_factory=list)
    unsigned: list[bytes] = field(default_factory=list)
    more_signers: list[bytes] = field(default_factory=list)
    signed: bool = True
    break_signature: bool = False
    over: bytes | None = None
    sid: bytes | None = None
    body_change: Callable[[bytes], bytes] | None = None
    password: Password | None = None
    data: bytes = field(default=b"", repr=False)

    def __post_init__(self) -> None:
        self.certificates = self.certificates or [self.signer.der]
        self.attributes = {
            "contentType": attribute(ID_CONTENT_TYPE, asn1.oid_der(ID_DATA)),
            "messageType": attribute(ID_MESSAGE_TYPE, printable(self.message_type)),
            "transactionID": attribute(ID_TRANSACTION_ID, printable(self.transaction_id)),
            "senderNonce": attribute(ID_SENDER_NONCE, octets(self.nonce)),
            **self.attributes,
        }
        self.digest_again()

    def digest_again(self) -> None:
        """Let messageDigest fit the content."""
        value = octets(parts.digest_of(self.digest, self.content or b""))
        self.attributes["messageDigest"] = attribute(ID_MESSAGE_DIGEST, value)

    def put(self, name: str, *values: bytes) -> None:
        """Give a SCEP attribute these encoded values."""
        self.attributes[name] = attribute(SCEP_NAMES[name], *values)

    def build(self) -> Message:
        """Encode it."""
        listed = list(self.attributes.values()) if self.signed else None
        over = self.over
        if over is None and not self.signed:
            over = self.content or b""
        info = parts.signer_info(
            self.signer,
            listed,
            digest=self.digest,
            over=over,
            sid=self.sid,
            unsigned=self.unsigned,
            break_signature=self.break_signature,
        )
        infos = [info, *self.more_signers]
        body = parts.signed_data(self.content, infos, self.certificates, digest=self.digest)
        if self.body_change is not None:
            body = self.body_change(body)
        return Message(
            body, self.what, self.transaction_id, self.nonce, self.signer, self.password, self.data
        )


def new_transaction_id() -> str:
    """A fresh transactionID."""
    return secrets.token_hex(16)


def new_nonce() -> bytes:
    """A fresh senderNonce."""
    return secrets.token_bytes(16)


__all__ = [
    "Draft",
    "Identity",
    "Message",
    "Sealing",
    "new_nonce",
    "new_transaction_id",
]
