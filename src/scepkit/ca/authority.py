"""Signing certificates and CRLs.

The rule of this file: it signs what a template says and adds only what belongs to the issuer (its
name, the key identifiers, dates within its own).  Whether a certificate should exist is decided
before; the serial number and the CRL number are given, because they must be durable before anything
is signed.

    ca = make_ca("CN=Acme Device CA,O=Acme", generate_key("ec:p256"), now=now)
    certificate = ca.issue(template, x509.random_serial_number(), now)
    crl = ca.make_crl([Revocation(certificate.serial_number, now)], number=1, now=now)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scepkit.ca import crl, tbs
from scepkit.ca.checks import MAX_NUMBER_BITS, check_number, check_time
from scepkit.ca.crl import CrlEntries, crl_entries
from scepkit.ca.extensions import KeptExtension
from scepkit.core.algorithms import Digest
from scepkit.core.signed import signature_algorithm, signed, signed_parts
from scepkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from scepkit.ca.crl import Revocation
    from scepkit.ca.extensions import AnyExtension
    from scepkit.ca.template import CertificateTemplate
    from scepkit.core.certificates import PrivateKey

_DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, eq=False)
class CaIssuer:
    """A CA certificate with its key, ready to sign.

    Attributes:
        certificate: the CA's certificate.
        key: its private key: RSA, EC or Ed25519, also a subclass that lives in a token.
        chain: the CA certificates above it, nearest first; empty for a root.
        digest: what it signs with; None chooses by key (SHA-256, for P-384 and P-521 their own).

    :raises InputError: the key is not the certificate's, the certificate is not a CA's, the chain
        does not fit, or the digest is older than SHA-256.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    chain: tuple[x509.Certificate, ...] = ()
    digest: Digest | None = None
    _issuer: _Issuer = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _check_ca(self.certificate, self.key)
        _check_chain((self.certificate, *self.chain))
        # Kept, because `cryptography` reads the certificate again for every one of them.
        ours = _Issuer(
            name=self.certificate.subject,
            name_der=self.certificate.subject.public_bytes(),
            key_identifier=KeptExtension(_authority_key_identifier(self.certificate)),
            first=self.certificate.not_valid_before_utc,
            last=self.certificate.not_valid_after_utc,
            hash=signature_hash(self.key, self.digest),
            digest=_digest(self.key, self.digest),
            algorithm=signature_algorithm(self.key, _digest(self.key, self.digest)),
        )
        object.__setattr__(self, "_issuer", ours)

    @property
    def bundle(self) -> tuple[x509.Certificate, ...]:
        """The CA's certificate and the chain above it."""
        return (self.certificate, *self.chain)

    def validity_of(
        self, template: CertificateTemplate, now: datetime
    ) -> tuple[datetime, datetime]:
        """notBefore and notAfter (aware) of a certificate issued `now`, within the CA's own.

        :raises InputError: `now` is naive or outside the CA's validity.
        """
        check_time(now)
        first, last = self._issuer.first, self._issuer.last
        if not first <= now <= last:
            raise InputError(
                f"the CA certificate is valid from {first:%Y-%m-%d %H:%M} to {last:%Y-%m-%d %H:%M} "
                f"UTC, and it is {now.astimezone(UTC):%Y-%m-%d %H:%M}"
            )
        now = now.replace(microsecond=0)
        return max(now - template.backdate, first), min(now + template.validity, last)

    def issue(self, template: CertificateTemplate, serial: int, now: datetime) -> x509.Certificate:
        """Sign a certificate.

        The same arguments give the same bytes to be signed; with RSA and Ed25519 the same
        certificate, so a crash between storing the serial number and signing can be made good.

        :param serial: a random number of up to 159 bits that this CA has not used yet.
        :raises InputError: the serial number has more than 159 bits or is not positive, or `now`
            is naive or outside the CA's validity.
        """
        ours = self._issuer
        dates = self.validity_of(template, now)
        builder = certificate_builder(template, serial, dates, ours.name, ours.key_identifier)
        return builder.sign(self.key, ours.hash)  # type: ignore[arg-type]  # Digest.hash() is wider

    def to_be_signed(self, template: CertificateTemplate, serial: int, now: datetime) -> bytes:
        """What `issue` with the same arguments would sign: a TBSCertificate in DER.

        To be made durable before it is signed, so that there is no certificate that nobody knows
        of, and so that whoever goes on after a crash signs the same.

        :raises InputError: as `issue`.
        """
        check_number(serial)
        ours = self._issuer
        return tbs.to_be_signed(
            template,
            serial,
            self.validity_of(template, now),
            issuer=ours.name_der,
            issuer_key=ours.key_identifier.der,
            algorithm=ours.algorithm,
        )

    def sign(self, to_be_signed: bytes) -> bytes:
        """Sign what `to_be_signed` gave; returns the certificate in DER.

        Whatever the private key raises is passed on.
        """
        return signed(to_be_signed, self.key, self._issuer.digest)

    def make_crl(
        self,
        revoked: Iterable[Revocation] | CrlEntries,
        number: int,
        now: datetime,
        lifetime: timedelta = 7 * _DAY,
        *,
        backdate: timedelta = timedelta(minutes=10),
    ) -> x509.CertificateRevocationList:
        """Sign a complete CRL (RFC 5280 section 5) with a cRLNumber and the CA's key identifier.

        :param revoked: every revoked certificate that has not expired yet; of many, encoded before
            by `crl_entries`.
        :param number: greater than that of every earlier CRL; at most 159 bits.
        :param lifetime: from `now` to nextUpdate.
        :param backdate: from thisUpdate to `now`, for readers whose clock is behind.
        :raises InputError: a number, date or reason that no CRL can hold, or the CA's certificate
            does not allow it to sign CRLs.
        """
        return x509.load_der_x509_crl(
            self.encoded_crl(revoked, number, now, lifetime, backdate=backdate)
        )

    def encoded_crl(
        self,
        revoked: Iterable[Revocation] | CrlEntries,
        number: int,
        now: datetime,
        lifetime: timedelta = 7 * _DAY,
        *,
        backdate: timedelta = timedelta(minutes=10),
    ) -> bytes:
        """What `make_crl` makes, in DER: for long ones, which are not read again to be checked.

        It takes as much memory as the CRL and once more as much as `revoked`.

        :raises InputError: as `make_crl`.
        """
        check_time(now)
        usage = _key_usage(self.certificate)
        if usage is not None and not usage.crl_sign:
            raise InputError("the CA certificate's keyUsage does not allow it to sign CRLs")
        if number < 0 or number.bit_length() > MAX_NUMBER_BITS:
            raise InputError("a CRL number is between 0 and 2^159")
        if lifetime <= timedelta() or backdate < timedelta():
            raise InputError("a CRL's lifetime must be positive and backdate not negative")
        parts = crl.to_be_signed(
            revoked if isinstance(revoked, CrlEntries) else crl_entries(revoked),
            (now - backdate, now + lifetime),
            issuer=self._issuer.name_der,
            extensions=(self._issuer.key_identifier, extension(x509.CRLNumber(number))),
            algorithm=self._issuer.algorithm,
        )
        return signed_parts(parts, self.key, self._issuer.digest)


@dataclass(frozen=True, slots=True)
class _Issuer:
    name: x509.Name
    name_der: bytes
    key_identifier: KeptExtension
    first: datetime
    last: datetime
    hash: hashes.HashAlgorithm | None
    digest: Digest
    algorithm: bytes


def certificate_builder(
    template: CertificateTemplate,
    serial: int,
    dates: tuple[datetime, datetime],
    issuer: x509.Name,
    issuer_key: AnyExtension,
) -> x509.CertificateBuilder:
    """A certificate that only lacks the signature.

    :raises InputError: the serial number has more than 159 bits or is not positive.
    """
    check_number(serial)
    # The list at once: add_extension copies it each time, which is a third of the work here.
    extensions = [
        *template.extensions,
        issuer_key,
        extension(x509.SubjectKeyIdentifier.from_public_key(template.public_key)),
    ]
    return (
        x509.CertificateBuilder(extensions=extensions)
        .issuer_name(issuer)
        .subject_name(template.subject)
        .public_key(template.public_key)
        .serial_number(serial)
        .not_valid_before(dates[0])
        .not_valid_after(dates[1])
    )


def extension(value: x509.ExtensionType, *, critical: bool = False) -> AnyExtension:
    """An extension with its own OID."""
    return x509.Extension(value.oid, critical, value)


def signature_hash(key: PrivateKey, digest: Digest | None) -> hashes.HashAlgorithm | None:
    """What this key signs certificates with; None for Ed25519.

    :raises InputError: the digest is older than SHA-256, or the key takes none.
    """
    if not isinstance(key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        if digest is not None:
            raise InputError("Ed25519 has its digest built in; leave it out")
        return None
    digest = _digest(key, digest)
    if digest in {Digest.MD5, Digest.SHA1}:
        raise InputError(f"{digest.value} is too old to sign certificates; expected sha256 or more")
    return digest.hash()


def _digest(key: PrivateKey, digest: Digest | None) -> Digest:
    """The same as a `Digest`; Ed25519 ignores it."""
    if digest is None and isinstance(key, ec.EllipticCurvePrivateKey):
        return _CURVE_DIGESTS.get(key.curve.name, Digest.SHA256)
    return digest or Digest.SHA256


_CURVE_DIGESTS = {"secp384r1": Digest.SHA384, "secp521r1": Digest.SHA512}


def _check_ca(certificate: x509.Certificate, key: PrivateKey) -> None:
    if _spki(certificate.public_key()) != _spki(key.public_key()):
        raise InputError("the private key does not belong to the CA certificate")
    constraints = basic_constraints(certificate)
    if constraints is None or not constraints.ca:
        raise InputError("the certificate is not a CA's: basicConstraints does not say CA:TRUE")
    usage = _key_usage(certificate)
    if usage is not None and not usage.key_cert_sign:
        raise InputError("the certificate's keyUsage does not allow it to sign certificates")


def _check_chain(bundle: tuple[x509.Certificate, ...]) -> None:
    for below, above in pairwise(bundle):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as exc:
            raise InputError(
                "the CA chain is not in order: each certificate must be issued by the next"
            ) from exc


def basic_constraints(certificate: x509.Certificate) -> x509.BasicConstraints | None:
    """The certificate's basicConstraints, or None when it has none.

    :raises InputError: its extensions cannot be read.
    """
    return _value_of(certificate, x509.BasicConstraints)


def _key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    return _value_of(certificate, x509.KeyUsage)


def _spki(key: PublicKeyTypes) -> bytes:
    # Compared as bytes, because the public key of a token may be a class of its own.
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


_Value = TypeVar("_Value", bound=x509.ExtensionType)


def _value_of(certificate: x509.Certificate, kind: type[_Value]) -> _Value | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as exc:
        raise InputError(f"the CA certificate's extensions cannot be read: {exc}") from exc


def _authority_key_identifier(certificate: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    """The issuer's own subjectKeyIdentifier, whichever way it was computed."""
    own = _value_of(certificate, x509.SubjectKeyIdentifier)
    if own is not None:
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(
        certificate.public_key()  # type: ignore[arg-type]  # it equals a signing key's
    )
