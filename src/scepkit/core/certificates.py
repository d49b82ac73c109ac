"""What CMS needs of a certificate, read without judging the rest of it.

`cryptography` refuses some certificates that real devices sign their requests with (Q30: serial
numbers that are not minimal, names with illegal characters).  Their issuer, serial number and key
are all that CMS asks for, so this file reads just those.  It decides nothing about trust.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from scepkit.core import asn1
from scepkit.errors import AlgorithmError, DecodeError

#: Any key object of these kinds works, also a subclass that lives in a token.
PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
)

_SUBJECT_KEY_IDENTIFIER = "2.5.29.14"


@dataclass(frozen=True)
class CertificateView:
    """A certificate as CMS sees it: `issuer`, `subject` and `spki` are DER."""

    der: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    serial_number: int
    subject: bytes = field(repr=False)
    spki: bytes = field(repr=False)
    _extensions: tuple[asn1.TLV, ...] = field(repr=False, compare=False)

    @cached_property
    def _public_key(self) -> PublicKeyTypes:
        # Kept, because OpenSSL prepares an RSA key at its first use, which costs a quarter of a
        # verification; a CA's certificate is used again and again.
        return load_public_key(self.spki)

    def public_key(self) -> PublicKeyTypes:
        """The certificate's public key.

        :raises AlgorithmError: of a kind that is not supported, or malformed.
        """
        return self._public_key

    @cached_property
    def subject_key_identifier(self) -> bytes | None:
        """The key identifier in its extension, or None."""
        for encoded in self._extensions:
            try:
                extension = asn1.read_tlv(asn1.Extension, encoded, "certificate extension")
            except DecodeError:
                continue
            value = extension.value
            # An OCTET STRING within the extension's OCTET STRING, short in practice.
            if extension.id.dotted_string == _SUBJECT_KEY_IDENTIFIER and value[:1] == b"\x04":
                return value[2:]
        return None


def load_public_key(spki: bytes) -> PublicKeyTypes:
    """The key in a SubjectPublicKeyInfo (DER).

    :raises AlgorithmError: of a kind that is not supported, or malformed.
    """
    try:
        return load_der_public_key(spki)
    except (ValueError, UnsupportedAlgorithm) as exc:
        raise AlgorithmError(
            "the public key is malformed or of an unsupported kind; expected RSA or EC",
            algorithm="public key",
        ) from exc


def public_key_der(key: PublicKeyTypes) -> bytes:
    """A public key as SubjectPublicKeyInfo (DER), always in the same encoding.

    Certificates and requests may have it in others: RSA without NULL, compressed points.
    """
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def view(der: bytes) -> CertificateView:
    """Read a certificate (DER).

    :raises DecodeError: it is not one.
    """
    tbs = asn1.read(asn1.Certificate, der, "certificate").tbs
    return CertificateView(
        der=der,
        issuer=asn1.whole(tbs.issuer),
        serial_number=asn1.integer_value(tbs.serial_number, "certificate's serial number"),
        subject=asn1.whole(tbs.subject),
        spki=asn1.whole(tbs.spki),
        _extensions=tuple(tbs.extensions or ()),
    )


@lru_cache(maxsize=512)
def view_of(certificate: x509.Certificate) -> CertificateView:
    """The view of a loaded certificate (kept: getting its DER back is slow)."""
    return view(certificate.public_bytes(Encoding.DER))


def load_certificate(der: bytes) -> x509.Certificate:
    """Load a certificate that must be right in every detail.

    :raises DecodeError: `cryptography` refuses it.
    """
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, Warning) as exc:
        # Warning: about serial numbers that are not positive, wherever warnings are made errors.
        raise DecodeError(f"a certificate cannot be read: {exc}") from exc
