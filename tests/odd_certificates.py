"""Certificates that `cryptography` does not write: old digests, version 1, malformed parts.

Each function takes a certificate of `pki` and gives the same one with a part replaced, signed anew
by an RSA issuer (by itself when none is given).
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests import pki

_SHA256_WITH_RSA = bytes.fromhex("06092a864886f70d01010b")
_MD5_WITH_RSA = bytes.fromhex("06092a864886f70d010104")
_SHA1_WITH_RSA = bytes.fromhex("06092a864886f70d010105")

#: Where the parts of a version 3 TBSCertificate are.
VERSION, SERIAL, ALGORITHM, ISSUER, VALIDITY, SUBJECT, SPKI, EXTENSIONS = range(8)


def element(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    content = b"".join(parts)
    if len(content) < 0x80:
        return bytes((tag, len(content))) + content
    octets = len(content).to_bytes(4, "big").lstrip(b"\x00")
    return bytes((tag, 0x80 | len(octets))) + octets + content


def children(encoded: bytes) -> list[bytes]:
    """The elements within a DER element."""
    at, end = _header(encoded, 0)
    found = []
    while at < end:
        _, behind = _header(encoded, at)
        found.append(encoded[at:behind])
        at = behind
    return found


def _header(data: bytes, at: int) -> tuple[int, int]:
    length, start = data[at + 1], at + 2
    if length & 0x80:
        start += length & 0x7F
        length = int.from_bytes(data[at + 2 : start], "big")
    return start, start + length


#: The SubjectPublicKeyInfo of a key of a kind that nobody knows.
UNKNOWN_KEY = element(0x30, element(0x30, bytes.fromhex("06032a0304")), b"\x03\x02\x00\x00")


def spki(key: PublicKeyTypes) -> bytes:
    """The SubjectPublicKeyInfo of a key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def with_sha1(subject: pki.Identity, issuer: pki.Identity | None = None) -> pki.Identity:
    """Signed with SHA-1."""
    return _rebuilt(subject, issuer, {}, _SHA1_WITH_RSA, hashes.SHA1())


def with_md5(subject: pki.Identity, issuer: pki.Identity | None = None) -> pki.Identity:
    """Signed with MD5."""
    return _rebuilt(subject, issuer, {}, _MD5_WITH_RSA, hashes.MD5())


def version1(subject: pki.Identity, issuer: pki.Identity | None = None) -> pki.Identity:
    """Without version and extensions."""
    return _rebuilt(subject, issuer, {VERSION: b"", EXTENSIONS: b""})


def with_part(
    subject: pki.Identity, part: int, encoded: bytes, issuer: pki.Identity | None = None
) -> pki.Identity:
    """With another element in one place of the TBSCertificate."""
    return _rebuilt(subject, issuer, {part: encoded})


def with_serial(
    subject: pki.Identity, serial: int, issuer: pki.Identity | None = None
) -> pki.Identity:
    """With another serial number; the signature is the old one without an issuer."""
    encoded = element(0x02, serial.to_bytes(8, "big", signed=True).lstrip(b"\x00"))
    if issuer is None:
        der = der_with_part(subject, SERIAL, encoded)
        return pki.Identity(x509.load_der_x509_certificate(der), subject.key)
    return _rebuilt(subject, issuer, {SERIAL: encoded})


def with_algorithm(subject: pki.Identity, oid: bytes, issuer: pki.Identity) -> pki.Identity:
    """With another name (an encoded OBJECT IDENTIFIER) for the algorithm of its signature."""
    return _rebuilt(subject, issuer, {}, oid)


def with_ecdsa_sha1(subject: pki.Identity, issuer: pki.Identity) -> pki.Identity:
    """Signed with ECDSA and SHA-1 by an EC issuer."""
    (tbs, *_) = children(subject.der)
    identifier = element(0x30, bytes.fromhex("06072a8648ce3d0401"))
    parts = children(tbs)
    parts[ALGORITHM] = identifier
    content = element(0x30, *parts)
    assert isinstance(issuer.key, ec.EllipticCurvePrivateKey)
    signature = issuer.key.sign(content, ec.ECDSA(hashes.SHA1()))
    der = element(0x30, content, identifier, element(0x03, b"\x00", signature))
    return pki.Identity(x509.load_der_x509_certificate(der), subject.key)


def extensions(subject: pki.Identity) -> bytes:
    """The Extensions of a certificate, encoded."""
    (tbs, *_) = children(subject.der)
    (found,) = children(children(tbs)[EXTENSIONS])
    return found


def with_extension(
    subject: pki.Identity, extension: bytes, issuer: pki.Identity | None = None
) -> pki.Identity:
    """With one more (encoded) extension."""
    added = element(0xA3, element(0x30, *children(extensions(subject)), extension))
    return _rebuilt(subject, issuer, {EXTENSIONS: added})


def der_with_part(subject: pki.Identity, part: int, encoded: bytes) -> bytes:
    """`with_part` for what `cryptography` may not load; the signature is the old one."""
    tbs, algorithm, signature = children(subject.der)
    parts = children(tbs)
    parts[part] = encoded
    return element(0x30, element(0x30, *parts), algorithm, signature)


def _rebuilt(
    subject: pki.Identity,
    issuer: pki.Identity | None,
    replaced: dict[int, bytes],
    algorithm: bytes = _SHA256_WITH_RSA,
    digest: hashes.HashAlgorithm | None = None,
) -> pki.Identity:
    signer = issuer or subject
    (tbs, *_) = children(subject.der)
    identifier = element(0x30, algorithm, b"\x05\x00")
    parts = children(tbs)
    parts[ALGORITHM] = identifier
    for part, encoded in replaced.items():
        parts[part] = encoded
    content = element(0x30, *parts)
    key = signer.key
    assert isinstance(key, rsa.RSAPrivateKey)
    signature = key.sign(content, padding.PKCS1v15(), digest or hashes.SHA256())
    der = element(0x30, content, identifier, element(0x03, b"\x00", signature))
    return pki.Identity(x509.load_der_x509_certificate(der), subject.key)
