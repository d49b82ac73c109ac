"""What a conversation asks its driver to do, and what it knows.

The rule of this file: values only.
"""

from __future__ import annotations

from collections.abc import Generator
from datetime import datetime
from typing import TypeAlias, TypeVar

from cryptography import x509

from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.ca_certificates import CaCertificates
from scepkit.core.capabilities import Capabilities, Capability
from scepkit.core.certificates import CertificateView, view_of
from scepkit.core.enrolment import Pending
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import Protection
from scepkit.core.trust import CaOffer
from scepkit.core.url import Endpoint
from scepkit.values import field, frozen, kept

T = TypeVar("T")


@frozen
class Wait:
    """Let `seconds` pass; `poll` is the number of the poll that follows, from 1."""

    seconds: float
    poll: int


@frozen
class VerifyCa:
    """Ask the caller's verifier which of the offered certificates it vouches for."""

    offer: CaOffer


@frozen
class Started:
    """The request is about to leave; `pending` can resume it should the answer get lost."""

    pending: Pending


Step: TypeAlias = HttpRequest | Wait | VerifyCa | Started
Answer: TypeAlias = HttpResponse | datetime | x509.Certificate | None
Flow: TypeAlias = Generator[Step, Answer, T]


@frozen
class Preferences:
    """What the caller wants otherwise than announced; None means "as the CA announces".

    Attributes:
        cipher, digest, key_transport: how requests are protected.
        post: True or False forces POST or GET for PKIOperation.
        accept_legacy_replies: read single DES and MD5 in replies (Q37, Q38); never sent.
        required: capabilities without which nothing is sent (RFC 8894 section 7.5).
        ra_certificates: the only certificates to take as this CA's RA, whatever their extended key
            usage; () when it has no RA.  None: those that look like an RA's (`authenticate`).
    """

    cipher: Cipher | None = None
    digest: Digest | None = None
    key_transport: KeyTransport | None = None
    post: bool | None = None
    accept_legacy_replies: bool = False
    required: frozenset[Capability] = frozenset()
    ra_certificates: tuple[x509.Certificate, ...] | None = None


@frozen
class KnownCa:
    """A CA whose certificates were authenticated and whose capabilities are known."""

    endpoint: Endpoint
    profile: str | None
    certificates: CaCertificates
    capabilities: Capabilities
    preferences: Preferences
    signers: tuple[CertificateView, ...] = field(repr=False)
    recipient: CertificateView = field(repr=False)

    @property
    def issuer_name(self) -> bytes:
        """The name under which the CA issues, as it is written in its certificate (DER)."""
        lead = view_of(self.certificates.ca)
        return lead.subject if self.certificates.issues else lead.issuer

    @kept
    def anchor_sha256(self) -> bytes:
        """SHA-256 of the certificate that was trusted."""
        return Digest.SHA256.of(view_of(self.certificates.anchor).der)

    @kept
    def protection(self) -> Protection:
        """How a request to this CA is protected."""
        wanted = self.preferences
        return Protection(
            wanted.cipher or self.capabilities.strongest_cipher,
            wanted.digest or self.capabilities.preferred_digest,
            wanted.key_transport or KeyTransport.RSA_PKCS1V15,
        )
