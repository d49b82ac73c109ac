"""What a test CA goes by and what it keeps: policy, transactions, and the answer in the making.

The rule of this file: values only; `desk` decides with them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta

from cryptography import x509

from scepkit.ca import (
    AltNameRules,
    CaIssuer,
    CertificateProfile,
    CertificateTemplate,
    KeyRules,
)
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.certificates import CertificateView
from scepkit.core.csr import ParsedCsr
from scepkit.core.messages import CertRep, Failure, MessageData, Protection

#: Copies what devices ask for, as far as that is harmless; 90 days.
LENIENT_PROFILE = CertificateProfile(
    validity=timedelta(days=90),
    keys=KeyRules(ed25519=True),
    allow_empty_subject=True,
    alternative_names=AltNameRules(
        kinds=frozenset({"dns", "ip", "email", "uri", "upn", "dirname", "rid"}), wildcards=True
    ),
    unlisted_names="drop",
)


@dataclass(slots=True)
class Policy:
    """How a test CA treats requests; may be changed at any time.

    Attributes:
        challenge: the challengePassword of first enrolments, or None.
        one_time_challenges: further ones, each good for one enrolment.
        open: ask for no challenge at all.
        pending_polls: a request is PENDING until it was polled so many times; 0 issues at once.
        manual: a request is PENDING until `TestCa.approve` or `TestCa.deny`.
        reject: what first requests and renewals are refused with, or None.
        renewal: accept renewals, by RenewalReq and by PKCSReq alike (Q54).
        profile: what certificates contain.
        ciphers: the content ciphers that are accepted; ``frozenset(Cipher)`` adds single DES,
            which RFC 8894 forbids and older Go clients send (Q37).
        digests: the digests that are accepted.
    """

    challenge: str | None = "secret"
    one_time_challenges: set[str] = field(default_factory=set)
    open: bool = False
    pending_polls: int = 0
    manual: bool = False
    reject: Failure | None = None
    renewal: bool = True
    profile: CertificateProfile = LENIENT_PROFILE
    ciphers: frozenset[Cipher] = frozenset(cipher for cipher in Cipher if not cipher.legacy)
    digests: frozenset[Digest] = frozenset(digest for digest in Digest if not digest.legacy)


@dataclass(slots=True)
class Transaction:
    """A request for a certificate and what became of it.

    Attributes:
        transaction_id: the transactionID it came with first.
        csr: the certificate request.
        certificate: the certificate, once issued.
        failure: the refusal, once refused.
        polls_left: polls until it is decided; None waits for a person.
    """

    transaction_id: str
    csr: ParsedCsr = field(repr=False)
    requester: CertificateView = field(repr=False)
    template: CertificateTemplate = field(repr=False)
    issuer: CaIssuer = field(repr=False)
    polls_left: int | None
    secret: str | None = field(default=None, repr=False)
    resets_left: int = 0
    certificate: x509.Certificate | None = None
    failure: Failure | None = None

    @property
    def pending(self) -> bool:
        """Whether nothing was decided yet."""
        return self.certificate is None and self.failure is None


@dataclass(slots=True)
class Outcome:
    """The answer to one message, and what was found out on the way."""

    reply: CertRep
    protection: Protection
    data: MessageData | None = None
    decrypted: bool = False
    csr: ParsedCsr | None = None
    challenge_matched: bool | None = None
    secret: str | None = field(default=None, repr=False)
    template: CertificateTemplate | None = None
    certificate: x509.Certificate | None = None
    reset: bool = False
