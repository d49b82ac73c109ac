"""What CMS needs of a certificate, read without judging the rest of it.

`cryptography` refuses some certificates that real devices sign their requests with (Q30: serial
numbers that are not minimal, names with illegal characters).  Their issuer, serial number and key
are all that CMS asks for, so this file reads just those.  It decides nothing about trust.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
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
from scepkit.values import field, frozen, kept

# `cryptography` has warnings for whoever makes certificates: a serial number that is not positive,
# a name that is empty or long.  Those who only receive one of those can do nothing about it.
warnings.filterwarnings("ignore", category=UserWarning, module=r"scepkit\.")

#: How CMS names a certificate: issuer (DER) and serial number, or a key identifier.
Identifier: TypeAlias = tuple[bytes, int] | bytes
#: The identifier octet of the latter in a SignerIdentifier or RecipientIdentifier.
KEY_IDENTIFIER = 0x80

#: Any key object of these kinds works, also a subclass that lives in a token.
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey

#: Everything `cryptography` raises over a certificate it cannot make sense of, mostly when an
#: attribute is looked at.  `Warning` is one where warnings are errors (serial numbers below 1).
UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
    AlgorithmError,
    DecodeError,
    Warning,
)

_SUBJECT_KEY_IDENTIFIER = "2.5.29.14"


@frozen
class CertificateView:
    """A certificate as CMS sees it: `issuer`, `subject` and `spki` are DER.

    `inner_algorithm` is what the signed part says of the signature (an AlgorithmIdentifier).
    """

    der: bytes = field(repr=False)
    issuer: bytes = field(repr=False)
    serial_number: int
    subject: bytes = field(repr=False)
    spki: bytes = field(repr=False)
    inner_algorithm: bytes = field(repr=False, compare=False)
    _name_and_number: bytes = field(repr=False, compare=False)
    _extensions: bytes = field(repr=False, compare=False)

    def public_key(self) -> PublicKeyTypes:
        """The certificate's public key.

        :raises AlgorithmError: of a kind that is not supported, or malformed.
        """
        # Kept, because OpenSSL prepares an RSA key at its first use, which costs a quarter of a
        # verification; a CA's certificate is used again and again.
        return self._public_key

    @kept
    def _public_key(self) -> PublicKeyTypes:
        return load_public_key(self.spki)

    @kept
    def subject_key_identifier(self) -> bytes | None:
        """The key identifier in its extension, or None."""
        for extension in _split_extensions(self._extensions):
            try:
                oid, _, value = asn1.read(asn1.EXTENSION, extension, "certificate extension")
            except DecodeError:
                continue
            if oid == asn1.oid_der(_SUBJECT_KEY_IDENTIFIER):
                # An OCTET STRING within the extension's OCTET STRING, both short in practice.
                return value[4:] if value[2:3] == b"\x04" else None
        return None

    @kept
    def issuer_and_serial(self) -> bytes:
        """How CMS names it: an IssuerAndSerialNumber (DER)."""
        return asn1.issuer_and_serial(self.issuer, self.serial_number)

    def is_named_by(self, identifier: bytes) -> bool:
        """Whether CMS means this certificate by a SignerIdentifier or RecipientIdentifier (DER).

        :raises DecodeError: it is neither a name with a serial number nor a key identifier.
        """
        if (
            identifier[0] == asn1.SEQUENCE
            and asn1.content_of(identifier) == self._name_and_number  # byte for byte, as usual
        ):
            return True
        found = read_identifier(identifier)
        if isinstance(found, bytes):
            return found == self.subject_key_identifier
        return found == (self.issuer, self.serial_number)


def read_identifier(der: bytes) -> Identifier:
    """Read a SignerIdentifier or RecipientIdentifier (RFC 5652 sections 5.3 and 6.2.1).

    :raises DecodeError: it is something else.
    """
    if der[0] == KEY_IDENTIFIER:
        return asn1.content_of(der)
    issuer, serial = asn1.read(asn1.ISSUER_AND_SERIAL_NUMBER, der, "IssuerAndSerialNumber")
    return issuer, asn1.integer_value(serial, "serial number of an IssuerAndSerialNumber")


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
    _, serial, algorithm, issuer, _, subject, spki, _, _, extensions = asn1.read_with(
        _tbs_fields, der, "certificate"
    )
    number = asn1.integer_value(serial, "certificate's serial number")
    return CertificateView(
        der, issuer, number, subject, spki, algorithm, issuer + serial, extensions
    )


def _tbs_fields(der: bytes) -> list[bytes]:
    tbs, _, _ = asn1.fields(der, asn1.CERTIFICATE)
    return asn1.fields(tbs, asn1.TBS_CERTIFICATE)


def _split_extensions(explicit: bytes) -> list[bytes]:
    """The extensions in the [3] of a certificate; none when it is absent or malformed."""
    if not explicit:
        return []
    try:
        return asn1.split(asn1.within(explicit, asn1.SEQUENCE))
    except asn1.NotDerError:
        return []


def view_of(certificate: x509.Certificate) -> CertificateView:
    """The view of a loaded certificate (kept: getting its DER back is slow)."""
    kept = _views.get(certificate)
    return kept or keep_view(certificate, certificate.public_bytes(Encoding.DER))


def keep_view(certificate: x509.Certificate, der: bytes) -> CertificateView:
    """What `view_of` shall give for a certificate that was loaded from these bytes.

    :raises DecodeError: they are not a certificate.
    """
    made = view(der)
    if len(_views) >= _MOST_VIEWS:
        _views.clear()  # whoever uses one often has it again soon
    _views[certificate] = made
    return made


_MOST_VIEWS = 512
_views: dict[x509.Certificate, CertificateView] = {}


def load_certificate(der: bytes) -> x509.Certificate:
    """Load a certificate that must be right in every detail.

    :raises DecodeError: `cryptography` refuses it.
    """
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion, Warning) as exc:
        # Warning: about serial numbers that are not positive, wherever warnings are made errors.
        raise DecodeError(f"a certificate cannot be read: {exc}") from exc


def load_readable(
    encoded: Sequence[bytes],
) -> tuple[tuple[x509.Certificate, ...], DecodeError | None]:
    """The certificates that can be read, and what is wrong with the last one that cannot."""
    loaded = []
    fault = None
    for der in encoded:
        try:
            certificate = load_certificate(der)
            keep_view(certificate, der)
            loaded.append(certificate)
        except DecodeError as error:
            fault = error
    return tuple(loaded), fault
