"""Who enrols, and how certificates are shown.

The rule of this file: a requester has no certificate but what it makes itself.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.conformance.cmsparts import Identity
from scepkit.core.certificates import PrivateKey, public_key_der
from scepkit.core.csr_builder import build_csr, self_signed_certificate
from scepkit.core.names import format_subject
from scepkit.core.trust import fingerprint
from scepkit.values import field, frozen


@frozen
class Requester:
    """Somebody who enrols: a key, a name, and a challenge or None."""

    key: PrivateKey = field(repr=False)
    subject: str
    challenge: str | None = field(default=None, repr=False)
    sans: tuple[str, ...] = ()

    def csr(self, **options: Any) -> bytes:
        """A certificate request (DER); `options` are those of `build_csr`."""
        wanted: dict[str, Any] = {"challenge": self.challenge, "san": self.sans, **options}
        subject = wanted.pop("subject", self.subject)
        return build_csr(self.key, subject, **wanted).public_bytes(Encoding.DER)

    def identity(self, lifetime: timedelta = timedelta(days=7)) -> Identity:
        """The self-signed certificate that a first request is signed with."""
        csr = build_csr(self.key, self.subject)
        made = self_signed_certificate(csr, self.key, now=datetime.now(UTC), lifetime=lifetime)
        return Identity(made, self.key)


def spki_of(key: PrivateKey) -> bytes:
    """The public key of a private one, as SubjectPublicKeyInfo."""
    return public_key_der(key.public_key())


def spki_in(certificate: x509.Certificate) -> bytes:
    """The key in a certificate, as SubjectPublicKeyInfo; b"" when it cannot be read."""
    try:
        return public_key_der(certificate.public_key())
    except (ValueError, UnsupportedAlgorithm):
        return b""


def shown_certificate(certificate: x509.Certificate) -> str:
    """A certificate in a few words."""
    return f"{format_subject(certificate.subject)!r} (sha256:{fingerprint(certificate)[:16]}...)"
