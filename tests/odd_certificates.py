"""Certificates that `cryptography` does not write: old digests, version 1, and altered bytes."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import asn1
from tests import pki

_SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
_MD5_WITH_RSA = bytes.fromhex("06092a864886f70d010104")
_SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")


def with_sha1(subject: pki.Identity, issuer: pki.Identity | None = None) -> pki.Identity:
    """The same certificate, signed with SHA-1 by an RSA issuer (itself when there is none)."""
    return _signed_anew(subject, issuer or subject, _SHA1_WITH_RSA, hashes.SHA1())


def with_md5(subject: pki.Identity, issuer: pki.Identity | None = None) -> pki.Identity:
    """The same certificate, signed with MD5 by an RSA issuer (itself when there is none)."""
    return _signed_anew(subject, issuer or subject, _MD5_WITH_RSA, hashes.MD5())


def version1(subject: pki.Identity, issuer: pki.Identity | None = None) -> pki.Identity:
    """The same certificate without version and extensions."""
    tbs = _tbs(subject)
    tbs.version = tbs.extensions = None
    return _signed(subject, asn1.write(tbs), issuer or subject)


def with_extension(
    subject: pki.Identity, oid: str, value: bytes, issuer: pki.Identity | None = None
) -> pki.Identity:
    """The same certificate with one more extension, whose value may be malformed."""
    tbs = _tbs(subject)
    extra = asn1.Extension(id=asn1.oid(oid), critical=None, value=value)
    tbs.extensions = [*(tbs.extensions or []), asn1.tlv(asn1.write(extra))]
    return _signed(subject, asn1.write(tbs), issuer or subject)


def with_serial(subject: pki.Identity, encoded: bytes, issuer: pki.Identity | None = None) -> bytes:
    """DER of the same certificate with another serial number (an encoded INTEGER)."""
    tbs = _tbs(subject)
    tbs.serial_number = asn1.tlv(encoded)
    return _der(asn1.write(tbs), issuer or subject)


def with_key(subject: pki.Identity, spki: bytes, issuer: pki.Identity) -> x509.Certificate:
    """The same certificate for another public key (an encoded SubjectPublicKeyInfo)."""
    tbs = _tbs(subject)
    tbs.spki = asn1.tlv(spki)
    return x509.load_der_x509_certificate(_der(asn1.write(tbs), issuer))


def with_validity(subject: pki.Identity, validity: bytes, issuer: pki.Identity) -> pki.Identity:
    """The same certificate with another (encoded) validity."""
    tbs = _tbs(subject)
    tbs.validity = asn1.tlv(validity)
    return _signed(subject, asn1.write(tbs), issuer)


def _tbs(subject: pki.Identity) -> asn1.TbsCertificate:
    return asn1.read(asn1.Certificate, subject.der, "certificate").tbs


def _signed_anew(
    subject: pki.Identity, issuer: pki.Identity, algorithm: bytes, digest: hashes.HashAlgorithm
) -> pki.Identity:
    tbs = asn1.write(_tbs(subject)).replace(_SHA256_WITH_RSA, algorithm)
    return _signed(subject, tbs, issuer, algorithm, digest)


def _signed(
    subject: pki.Identity,
    tbs: bytes,
    issuer: pki.Identity,
    algorithm: bytes = _SHA256_WITH_RSA,
    digest: hashes.HashAlgorithm | None = None,
) -> pki.Identity:
    der = _der(tbs, issuer, algorithm, digest)
    return pki.Identity(x509.load_der_x509_certificate(der), subject.key)


def _der(
    tbs: bytes,
    issuer: pki.Identity,
    algorithm: bytes = _SHA256_WITH_RSA,
    digest: hashes.HashAlgorithm | None = None,
) -> bytes:
    assert isinstance(issuer.key, rsa.RSAPrivateKey)
    signature = issuer.key.sign(tbs, padding.PKCS1v15(), digest or hashes.SHA256())
    identifier = asn1.element(0x30, algorithm + asn1.NULL)
    return asn1.element(0x30, tbs + identifier + asn1.element(0x03, b"\x00" + signature))


def der(certificate: x509.Certificate) -> bytes:
    """The certificate as DER."""
    return certificate.public_bytes(Encoding.DER)
