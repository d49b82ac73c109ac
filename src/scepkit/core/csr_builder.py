"""What a requester makes: certification requests (PKCS#10), and the certificate to sign with.

The rules of this file: what it builds, `cryptography` reads; the challenge password is in no error.

Requests are encoded here and not by ``x509.CertificateSigningRequestBuilder``, which cannot write
a challengePassword as PrintableString and does not sign with SHA-1.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.core import asn1
from scepkit.core.algorithms import Digest
from scepkit.core.certificates import PrivateKey, keep_view
from scepkit.core.csr import ID_CHALLENGE_PASSWORD, ID_EXTENSION_REQUEST, ParsedCsr
from scepkit.core.names import parse_eku, parse_san, parse_subject
from scepkit.core.signed import VERSION_1, signature_algorithm, signed, spki_der
from scepkit.core.strings import printable_or_utf8
from scepkit.errors import InputError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

#: An extension as `cryptography` holds it, or its value and whether it is critical.
RequestedExtension: TypeAlias = (
    "x509.Extension[x509.ExtensionType] | tuple[x509.ExtensionType, bool]"
)

_RENEWED = frozenset(
    (x509.SubjectAlternativeName.oid, x509.KeyUsage.oid, x509.ExtendedKeyUsage.oid)
)

# ------------------------------------------------------------------ requests


def build_csr(
    key: PrivateKey,
    subject: str | x509.Name,
    *,
    challenge: str | None = None,
    san: Sequence[str | x509.GeneralName] = (),
    eku: Sequence[str | x509.ObjectIdentifier] = (),
    key_usage: x509.KeyUsage | None = None,
    extensions: Sequence[RequestedExtension] = (),
    digest: Digest = Digest.SHA256,
) -> x509.CertificateSigningRequest:
    """Make and sign a certification request (RFC 8894 section 3.3.1).

    :param key: RSA, EC or Ed25519; an object of your own that is a subclass of `cryptography`'s
        ``RSAPrivateKey`` or ``EllipticCurvePrivateKey`` (a key in a token) needs only ``sign`` and
        ``public_key``.
    :param subject: a name, or text as `names.parse_subject` reads it ("" for the empty name).
    :param challenge: the challengePassword, written as PrintableString where its characters allow
        and as UTF8String elsewhere (RFC 2985 section 5.4.1).  None leaves it out; "" is sent as an
        empty one, which some servers want to see in renewals.
    :param san: alternative names, or texts as `names.parse_san` reads them.  The extension is
        critical if the subject is empty (RFC 5280 section 4.2.1.6).
    :param eku: extended key usages as OIDs or texts as `names.parse_eku` reads them.
    :param key_usage: requested key usage (critical); None requests none.
    :param extensions: further extensions, in their order.
    :param digest: the digest of the signature; Ed25519 has its own.
    :raises InputError: an argument cannot be encoded, or an extension is there twice.
    """
    name = parse_subject(subject) if isinstance(subject, str) else subject
    wanted = _standard_extensions(name, san, eku, key_usage)
    wanted += [_pair(extension) for extension in extensions]
    attributes = []
    if challenge is not None:
        attributes.append(asn1.attribute(ID_CHALLENGE_PASSWORD, _challenge_der(challenge)))
    if wanted:
        attributes.append(asn1.attribute(ID_EXTENSION_REQUEST, _extensions_der(wanted)))
    try:
        info = asn1.element(
            0x30,
            VERSION_1,
            name.public_bytes(),
            spki_der(key),
            asn1.element(0xA0, *sorted(attributes)),
        )
    except ValueError as exc:
        raise InputError(f"the subject cannot be encoded: {exc}") from exc
    der = signed(info, key, digest)
    try:
        return x509.load_der_x509_csr(der)
    except ValueError as exc:
        raise InputError(
            "the subject cannot be encoded: one of its values has characters that its string type "
            "does not allow"
        ) from exc


def _standard_extensions(
    name: x509.Name,
    san: Sequence[str | x509.GeneralName],
    eku: Sequence[str | x509.ObjectIdentifier],
    key_usage: x509.KeyUsage | None,
) -> list[tuple[x509.ExtensionType, bool]]:
    for what, values in (("san", san), ("eku", eku)):
        if isinstance(values, str):
            raise InputError(f"{what} is a sequence of values, not one text: write [{values!r}]")
    extensions: list[tuple[x509.ExtensionType, bool]] = []
    if san:
        names = [parse_san(value) if isinstance(value, str) else value for value in san]
        extensions.append((x509.SubjectAlternativeName(names), not name.rdns))
    if key_usage is not None:
        extensions.append((key_usage, True))
    if eku:
        purposes = [parse_eku(value) if isinstance(value, str) else value for value in eku]
        extensions.append((x509.ExtendedKeyUsage(purposes), False))
    return extensions


def _pair(extension: RequestedExtension) -> tuple[x509.ExtensionType, bool]:
    if isinstance(extension, x509.Extension):
        return extension.value, extension.critical
    return extension


def _extensions_der(extensions: list[tuple[x509.ExtensionType, bool]]) -> bytes:
    seen = set()
    encoded = []
    for value, critical in extensions:
        oid = value.oid.dotted_string
        if oid in seen:
            raise InputError(f"the extension {oid} is requested twice")
        seen.add(oid)
        try:
            content = value.public_bytes()
        except (ValueError, TypeError, NotImplementedError) as exc:
            raise InputError(f"the extension {oid} cannot be encoded: {exc}") from exc
        flag = b"\x01\x01\xff" if critical else b""
        encoded.append(asn1.element(0x30, asn1.oid_der(oid), flag, asn1.element(0x04, content)))
    return asn1.element(0x30, *encoded)


def _challenge_der(challenge: str) -> bytes:
    try:
        return printable_or_utf8(challenge)
    except UnicodeEncodeError:
        # Not chained: that exception holds the password.
        raise InputError("the challenge password is not valid Unicode") from None


def renewal_csr(
    certificate: x509.Certificate,
    key: PrivateKey,
    *,
    challenge: str | None = None,
    digest: Digest = Digest.SHA256,
) -> x509.CertificateSigningRequest:
    """Make the request that renews a certificate (RFC 8894 section 2.5).

    It asks for the certificate's subject, alternative names, key usage and extended key usage.

    :param key: the new key (or the old one, which RFC 8894 section 2.5 allows).
    :param challenge: as in `build_csr`; a renewal should have none (RFC 8894 section 2.4).
    :raises InputError: the certificate's extensions are malformed.
    """
    try:
        present = list(certificate.extensions)
        subject = certificate.subject
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType, Warning) as exc:
        raise InputError(f"the certificate to renew is malformed: {exc}") from exc
    kept = [extension for extension in present if extension.oid in _RENEWED]
    return build_csr(key, subject, challenge=challenge, extensions=kept, digest=digest)


# ------------------------------------------------------------------ the certificate to sign with

_SHORT = timedelta(days=7)
_BACKDATED = timedelta(days=1)
_VERSION_3 = asn1.element(0xA0, b"\x02\x01\x02")
_SIGN_AND_ENCIPHER = b"\x03\x02\x05\xa0"
_SIGN = b"\x03\x02\x07\x80"


def self_signed_certificate(
    csr: x509.CertificateSigningRequest | ParsedCsr,
    key: PrivateKey,
    *,
    now: datetime,
    digest: Digest = Digest.SHA256,
    lifetime: timedelta = _SHORT,
) -> x509.Certificate:
    """Make the certificate that a first enrolment is signed with (RFC 8894 section 2.3).

    Same subject (byte for byte) and key as the request; keyUsage digitalSignature, and for RSA also
    keyEncipherment; random serial number; valid from one day before `now`, because device clocks
    are wrong, until `now` + `lifetime`.

    :param csr: a `ParsedCsr` may have a subject that `cryptography` refuses; the certificate then
        has it with right string types.
    :param now: the present, with a time zone.
    :raises InputError: the key is not the request's, the subject of a `ParsedCsr` is None, or `now`
        has no time zone.
    """
    if now.tzinfo is None:
        raise InputError("now has no time zone; use datetime.now(UTC)")
    subject, spki, public_key = _subject_and_key(csr)
    if spki != spki_der(key) and public_key != key.public_key():
        raise InputError("the private key does not belong to the certification request")
    usage = _SIGN_AND_ENCIPHER if isinstance(key, rsa.RSAPrivateKey) else _SIGN
    extension = asn1.element(
        0x30, asn1.oid_der("2.5.29.15"), b"\x01\x01\xff", asn1.element(0x04, usage)
    )
    content = asn1.element(
        0x30,
        _VERSION_3,
        asn1.integer(x509.random_serial_number()),
        signature_algorithm(key, digest),
        subject,
        asn1.element(0x30, asn1.signing_time(now - _BACKDATED), asn1.signing_time(now + lifetime)),
        subject,
        spki,
        asn1.element(0xA3, asn1.element(0x30, extension)),
    )
    der = signed(content, key, digest)
    certificate = x509.load_der_x509_certificate(der)
    keep_view(certificate, der)
    return certificate


def _subject_and_key(
    csr: x509.CertificateSigningRequest | ParsedCsr,
) -> tuple[bytes, bytes, PublicKeyTypes]:
    if isinstance(csr, ParsedCsr):
        if csr.subject is None:
            raise InputError("the subject of the certification request cannot be in a certificate")
        return csr.subject.public_bytes(), csr.spki_der, csr.public_key
    _, subject, spki, _ = asn1.read(
        asn1.CERTIFICATION_REQUEST_INFO, csr.tbs_certrequest_bytes, "certification request"
    )
    return subject, spki, csr.public_key()
