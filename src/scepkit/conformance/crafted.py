"""Certificates and certificate requests put together field by field, right or wrong.

`cryptography` writes neither SHA-1 nor version 1, and always signs with the key that is inside.

The rule of this file: it writes what it is told.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.conformance import cmsparts
from scepkit.conformance.requesters import Requester, spki_of
from scepkit.core import asn1
from scepkit.core.certificates import PrivateKey
from scepkit.core.csr import ID_CHALLENGE_PASSWORD, ID_EXTENSION_REQUEST
from scepkit.core.names import parse_subject

_RSA_SIGNATURES = {
    "md5": "1.2.840.113549.1.1.4",
    "sha1": "1.2.840.113549.1.1.5",
    "sha256": "1.2.840.113549.1.1.11",
}
_UTF8, _PRINTABLE = 0x0C, 0x13


def signed(body: bytes, key: PrivateKey, digest: str = "sha256", *, broken: bool = False) -> bytes:
    """Something to be signed, its algorithm, and the signature."""
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = asn1.algorithm(_RSA_SIGNATURES[digest], asn1.NULL)
    else:
        algorithm = cmsparts.signature_algorithm(key, digest)
    made = cmsparts.signature(key, body, digest)
    if broken:
        made = made[:-1] + bytes((made[-1] ^ 1,))
    return asn1.element(asn1.SEQUENCE, body, algorithm, asn1.element(0x03, b"\0", made))


# ------------------------------------------------------------------ requests


def request(
    spki: bytes,
    subject: bytes,
    key: PrivateKey,
    *,
    challenge: bytes | None = None,
    extensions: Sequence[bytes] = (),
    digest: str = "sha256",
    broken: bool = False,
) -> bytes:
    """A certificate request.

    :param spki: the key in it; `key` signs.
    :param challenge: the encoded challengePassword.
    :param extensions: encoded Extensions.
    """
    attributes = []
    if challenge is not None:
        attributes.append(cmsparts.attribute(ID_CHALLENGE_PASSWORD, challenge))
    if extensions:
        listed = asn1.element(asn1.SEQUENCE, *extensions)
        attributes.append(cmsparts.attribute(ID_EXTENSION_REQUEST, listed))
    info = asn1.element(
        asn1.SEQUENCE,
        asn1.integer(0),
        subject,
        spki,
        asn1.element(0xA0, *sorted(attributes)),
    )
    return signed(info, key, digest, broken=broken)


def request_with(
    requester: Requester,
    *,
    challenge: bytes | None = None,
    subject: bytes = b"",
    spki: bytes = b"",
    signed_by: PrivateKey | None = None,
    extensions: Sequence[bytes] = (),
    digest: str = "sha256",
    broken: bool = False,
) -> bytes:
    """A requester's request with some of its parts replaced."""
    if challenge is None and requester.challenge is not None:
        challenge = challenge_value(requester.challenge)
    return request(
        spki or spki_of(requester.key),
        subject or parse_subject(requester.subject).public_bytes(),
        signed_by or requester.key,
        challenge=challenge,
        extensions=extensions,
        digest=digest,
        broken=broken,
    )


def challenge_value(text: str) -> bytes:
    """A challengePassword as most clients write it."""
    tag = _PRINTABLE if text.isascii() and text.isalnum() else _UTF8
    return asn1.element(tag, text.encode())


def extension(oid: str, value: bytes, *, critical: bool = False) -> bytes:
    """An encoded Extension."""
    return asn1.element(
        asn1.SEQUENCE,
        asn1.oid_der(oid),
        b"\x01\x01\xff" if critical else b"",
        cmsparts.octets(value),
    )


# ------------------------------------------------------------------ names


def other_strings(name: bytes) -> bytes:
    """A Name with PrintableStrings where it has UTF8Strings, and the other way round."""
    rdns = []
    for rdn in asn1.elements(name, "Name"):
        pairs = []
        for pair in asn1.elements(rdn, "RDN"):
            oid, value = asn1.read(asn1.ATTRIBUTE_TYPE_AND_VALUE, pair, "attribute")
            other = {_UTF8: _PRINTABLE, _PRINTABLE: _UTF8}.get(value[0], value[0])
            changed = asn1.element(other, asn1.content_of(value))
            pairs.append(asn1.element(asn1.SEQUENCE, oid, changed))
        rdns.append(asn1.element(asn1.SET, *pairs))
    return asn1.element(asn1.SEQUENCE, *rdns)


# ------------------------------------------------------------------ certificates


def certificate(
    requester: Requester,
    *,
    version: int = 3,
    serial: int | None = None,
    issuer: bytes = b"",
    digest: str = "sha256",
    extensions: Sequence[bytes] = (),
    begins: timedelta = timedelta(days=-1),
    ends: timedelta = timedelta(days=7),
    signed_by: PrivateKey | None = None,
) -> x509.Certificate:
    """A certificate for a requester's key and name, by default self-signed."""
    key = signed_by or requester.key
    subject = parse_subject(requester.subject).public_bytes()
    now = datetime.now(UTC)
    if isinstance(key, rsa.RSAPrivateKey):
        algorithm = asn1.algorithm(_RSA_SIGNATURES[digest], asn1.NULL)
    else:
        algorithm = cmsparts.signature_algorithm(key, digest)
    listed = asn1.element(0xA3, asn1.element(asn1.SEQUENCE, *extensions)) if extensions else b""
    body = asn1.element(
        asn1.SEQUENCE,
        asn1.element(0xA0, asn1.integer(2)) if version == 3 else b"",
        asn1.integer(secrets.randbits(120) + 1 if serial is None else serial),
        algorithm,
        issuer or subject,
        asn1.element(asn1.SEQUENCE, asn1.signing_time(now + begins), asn1.signing_time(now + ends)),
        subject,
        spki_of(requester.key),
        listed if version == 3 else b"",
    )
    return x509.load_der_x509_certificate(signed(body, key, digest))


def _key_identifier_of_issuer(requester: Requester) -> bytes:
    value = asn1.element(asn1.SEQUENCE, asn1.element(0x80, secrets.token_bytes(20)))
    return extension("2.5.29.35", value, critical=True)


#: digitalSignature alone.
_SIGNS = extension("2.5.29.15", b"\x03\x02\x07\x80", critical=True)

#: Self-signed certificates that devices are known to make.
POOR_CERTIFICATES: dict[str, Callable[[Requester], x509.Certificate]] = {
    "version 1": lambda who: certificate(who, version=1),
    "no extensions": lambda who: certificate(who),
    "signed with SHA-1": lambda who: certificate(who, digest="sha1", extensions=[_SIGNS]),
    "critical authorityKeyIdentifier": lambda who: certificate(
        who, extensions=[_key_identifier_of_issuer(who)]
    ),
    "serial number of 32 bytes": lambda who: certificate(
        who, serial=secrets.randbits(250) | 1 << 250, extensions=[_SIGNS]
    ),
    "expired": lambda who: certificate(
        who, begins=timedelta(days=-9), ends=timedelta(days=-2), extensions=[_SIGNS]
    ),
}
