"""What an authoriser says about a request, and what a request is to it.

The rule of this file: unions, so that no caller can take "unknown" for "yes".
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeAlias

from cryptography import x509

from scepkit.ca.template import CertificateTemplate
from scepkit.core.certificates import CertificateView, public_key_der
from scepkit.core.csr import ParsedCsr
from scepkit.core.messages import MessageType
from scepkit.errors import FailInfo
from scepkit.store.rows import Certificate, Challenge, Operation


@dataclass(frozen=True, slots=True)
class EnrolRequest:
    """A PKCSReq or RenewalReq whose signatures were checked.

    Attributes:
        profile: the profile it was sent to.
        message_type: PKCS_REQ or RENEWAL_REQ.
        csr: the request; its own signature is good.
        template: the certificate that it would get; the profile allows it.
        signer: whoever signed the message.
        transaction_id: chosen by the client.
        now: when it came.
    """

    profile: str
    message_type: MessageType
    csr: ParsedCsr = field(repr=False)
    template: CertificateTemplate
    signer: CertificateView
    transaction_id: str
    now: datetime

    @property
    def signed_by_own_key(self) -> bool:
        """Whether the message is signed with the key that is to be certified (G1)."""
        return same_key(self.signer, self.csr)


def same_key(signer: CertificateView, csr: ParsedCsr) -> bool:
    """Whether a certificate and a request have the same key, whatever its encoding."""
    if signer.spki == csr.spki_der:
        return True
    return public_key_der(signer.public_key()) == public_key_der(csr.public_key)


@dataclass(frozen=True, slots=True)
class Renews:
    """The certificate that is renewed: its row and itself."""

    row: Certificate
    certificate: x509.Certificate = field(repr=False)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the database knows that a request refers to.

    Attributes:
        operation: what the same request has begun before, if that still counts.
        epoch: how often it was begun before, if that counts no more.
        challenge: the challenge that the request has, usable or not.
        mac: the MAC of the challenge in the request, or None when it has none.
        renews: the certificate that signed the message, when this server issued it.
    """

    operation: Operation | None = None
    challenge: Challenge | None = None
    mac: bytes | None = None
    renews: Renews | None = None
    epoch: int = 0


# ------------------------------------------------------------------ of one authoriser


@dataclass(frozen=True, slots=True)
class Yes:
    """The authoriser allows it."""


@dataclass(frozen=True, slots=True)
class No:
    """The authoriser refuses it, for a reason that is for the audit only."""

    reason: str


@dataclass(frozen=True, slots=True)
class NoAnswer:
    """The authoriser could not be asked, or made no sense; this never allows anything."""

    reason: str


Answer: TypeAlias = Yes | No | NoAnswer


# ------------------------------------------------------------------ of the gate


@dataclass(frozen=True, slots=True)
class Allow:
    """Issue at once.

    Attributes:
        by: which authoriser, for the audit.
        challenge: to be spent in the transaction that claims the request.
        renews: must still be good in that transaction.
    """

    by: str
    challenge: Challenge | None = None
    mac: bytes | None = field(default=None, repr=False)
    renews: Renews | None = None


@dataclass(frozen=True, slots=True)
class Hold:
    """A person decides.  `reason` is for that person; the rest as in `Allow`."""

    reason: str
    by: str = "manual"
    challenge: Challenge | None = None
    mac: bytes | None = field(default=None, repr=False)
    renews: Renews | None = None


@dataclass(frozen=True, slots=True)
class Deny:
    """Refuse.

    Attributes:
        reason: for log and audit.
        text: for the client; says nothing that helps a guesser.
        action: for the audit.
    """

    reason: str
    text: str
    fail_info: FailInfo = FailInfo.BAD_REQUEST
    action: str = "request.deny"


Decision: TypeAlias = Allow | Hold | Deny
