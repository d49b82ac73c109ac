"""A certificate before it is signed: the bytes that a signature will be over.

The rule of this file: it encodes what it is given, the same bytes for the same arguments, so that
they can be made durable first and signed later, by another process if need be.  What it writes is
what `CaIssuer.issue` would sign.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from scepkit.ca.extensions import encoded_extension
from scepkit.core import asn1

if TYPE_CHECKING:
    from datetime import datetime

    from scepkit.ca.template import CertificateTemplate

_VERSION_3 = asn1.element(0xA0, b"\x02\x01\x02")
_SUBJECT_KEY_IDENTIFIER = asn1.oid_der("2.5.29.14")


def to_be_signed(
    template: CertificateTemplate,
    serial: int,
    dates: tuple[datetime, datetime],
    *,
    issuer: bytes,
    issuer_key: bytes,
    algorithm: bytes,
) -> bytes:
    """The TBSCertificate (RFC 5280 section 4.1) in DER.

    :param dates: notBefore and notAfter (aware).
    :param issuer: the CA's Name in DER.
    :param issuer_key: the authorityKeyIdentifier, a whole Extension in DER.
    :param algorithm: AlgorithmIdentifier of the signature that will be made.
    :raises InputError: an extension cannot be encoded.
    """
    return asn1.element(
        0x30,
        _VERSION_3,
        asn1.integer(serial),
        algorithm,
        issuer,
        asn1.element(0x30, asn1.signing_time(dates[0]), asn1.signing_time(dates[1])),
        template.subject_der,
        template.spki,
        asn1.element(
            0xA3,
            asn1.element(
                0x30,
                *map(encoded_extension, template.extensions),
                issuer_key,
                _key_identifier(template.spki),
            ),
        ),
    )


def _key_identifier(spki: bytes) -> bytes:
    """The subjectKeyIdentifier: the SHA-1 of the key's bits (RFC 5280 section 4.2.1.2)."""
    _, bits = asn1.fields(spki, asn1.SUBJECT_PUBLIC_KEY_INFO)
    digest = hashlib.sha1(asn1.content_of(bits)[1:], usedforsecurity=False).digest()
    octets = asn1.element(0x04, asn1.element(0x04, digest))
    return asn1.element(0x30, _SUBJECT_KEY_IDENTIFIER, octets)
