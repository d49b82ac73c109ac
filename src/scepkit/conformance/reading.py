"""Replies taken apart, whatever is wrong with them.

`core.messages.open_reply` is for a client: it refuses the first thing that is wrong.  A tester
wants to see everything, so here each part is read by itself.

The rule of this file: nothing is believed.  `Reply.verified_by` says whose signature it is, and
only the tests decide what that means.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from cryptography import x509

from scepkit.core import asn1, cms, envelope
from scepkit.core.certificates import CertificateView, load_readable, view_of
from scepkit.core.envelope import DecryptionKey, EnvelopedData, Password
from scepkit.core.messages import (
    ID_FAIL_INFO,
    ID_FAIL_INFO_TEXT,
    ID_MESSAGE_TYPE,
    ID_PKI_STATUS,
    ID_RECIPIENT_NONCE,
    ID_SENDER_NONCE,
    ID_TRANSACTION_ID,
)
from scepkit.core.strings import text_value
from scepkit.errors import DecodeError, ScepError
from scepkit.values import field, frozen

FAIL_INFOS = {0: "badAlg", 1: "badMessageCheck", 2: "badRequest", 3: "badTime", 4: "badCertId"}


@frozen(eq=False)
class Reply:
    """A SignedData that should be a CertRep.

    Attributes:
        body: it as it came.
        message: it read, not verified.
    """

    body: bytes = field(repr=False)
    message: cms.SignedMessage

    @cached_property
    def attributes(self) -> dict[str, list[bytes]]:
        """The signed attributes of the first signer; of two with one OID, the first."""
        found: dict[str, list[bytes]] = {}
        for signer in self.message.signers[:1]:
            for oid, values in signer.attributes:
                found.setdefault(oid, values)
        return found

    def value(self, oid: str) -> bytes | None:
        """The first value of an attribute, encoded."""
        values = self.attributes.get(oid)
        return values[0] if values else None

    def text(self, oid: str) -> str | None:
        """A string attribute, whatever its type."""
        value = self.value(oid)
        if value is None:
            return None
        try:
            if value[0] == asn1.INTEGER:
                return str(asn1.integer_value(value, "attribute"))
            return text_value(value, "attribute")
        except DecodeError:
            return None

    def octets(self, oid: str) -> bytes | None:
        """The octets of a nonce."""
        value = self.value(oid)
        return None if value is None else asn1.content_of(value)

    @property
    def message_type(self) -> str | None:
        """messageType."""
        return self.text(ID_MESSAGE_TYPE)

    @property
    def transaction_id(self) -> str | None:
        """transactionID."""
        return self.text(ID_TRANSACTION_ID)

    @property
    def status(self) -> str | None:
        """pkiStatus."""
        return self.text(ID_PKI_STATUS)

    @property
    def fail_info(self) -> int | None:
        """failInfo, if it is a number."""
        text = self.text(ID_FAIL_INFO)
        return int(text) if text is not None and text.isascii() and text.isdigit() else None

    @property
    def fail_info_text(self) -> str:
        """failInfoText."""
        return self.text(ID_FAIL_INFO_TEXT) or ""

    @property
    def sender_nonce(self) -> bytes | None:
        """senderNonce."""
        return self.octets(ID_SENDER_NONCE)

    @property
    def recipient_nonce(self) -> bytes | None:
        """recipientNonce."""
        return self.octets(ID_RECIPIENT_NONCE)

    @cached_property
    def enveloped(self) -> EnvelopedData | None:
        """The pkcsPKIEnvelope, or None when there is none that can be read."""
        if not self.message.content:
            return None
        try:
            return envelope.read_enveloped(self.message.content)
        except ScepError:
            return None

    def decrypted(self, with_: DecryptionKey | Password) -> envelope.Decrypted:
        """What is in the envelope, in whatever cipher.

        :raises ScepError: it is not for this key, or not an envelope.
        """
        if not self.message.content:
            raise DecodeError("the reply holds no pkcsPKIEnvelope")
        read = envelope.read_envelope(self.message.content, allow_legacy=True)
        return envelope.decrypt(read, with_)

    def verified_by(self, candidates: Sequence[x509.Certificate]) -> x509.Certificate:
        """Which of the candidates signed it.

        :raises ScepError: none of them did, or what is signed is not this.
        """
        views: list[CertificateView] = [view_of(one) for one in candidates]
        verified = cms.verify(self.message, views, allow_legacy=True)
        return candidates[views.index(verified.signer)]


def read_reply(body: bytes) -> Reply | None:
    """The reply in an HTTP body, or None when it is no SignedData with a signer."""
    try:
        message = cms.read_signed(body, "CertRep (SignedData)")
    except (ScepError, ValueError):
        return None
    return Reply(body, message) if message.signers else None


@frozen
class Issued:
    """What a SUCCESS holds."""

    certificates: tuple[x509.Certificate, ...]
    encoded: tuple[bytes, ...] = field(repr=False)
    crls: tuple[bytes, ...] = field(repr=False)
    content: bytes = field(repr=False)


def read_issued(content: bytes) -> Issued:
    """The certificates in the decrypted content of a SUCCESS.

    :raises ScepError: it is not a degenerate SignedData.
    """
    bundle = cms.read_bundle(content)
    certificates, _ = load_readable(bundle.certificates)
    return Issued(certificates, bundle.certificates, bundle.crls, content)
