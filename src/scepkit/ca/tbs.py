"""A certificate before it is signed: the bytes that a signature will be over.

The rule of this file: it encodes what it is given, the same bytes for the same arguments, so that
they can be made durable first and signed later, by another process if need be.  What it writes is
what `CaIssuer.issue` would sign.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509

from scepkit.core import asn1
from scepkit.core.certificates import public_key_der
from scepkit.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from scepkit.ca.profile import AnyExtension
    from scepkit.ca.template import CertificateTemplate

_VERSION_3 = asn1.element(0xA0, b"\x02\x01\x02")
_SUBJECT_KEY_IDENTIFIER = x509.SubjectKeyIdentifier.oid


def to_be_signed(
    template: CertificateTemplate,
    serial: int,
    dates: tuple[datetime, datetime],
    *,
    issuer: bytes,
    issuer_key: AnyExtension,
    algorithm: bytes,
) -> bytes:
    """The TBSCertificate (RFC 5280 section 4.1) in DER.

    :param dates: notBefore and notAfter (aware).
    :param issuer: the CA's Name in DER.
    :param issuer_key: the authorityKeyIdentifier.
    :param algorithm: AlgorithmIdentifier of the signature that will be made.
    :raises InputError: an extension cannot be encoded.
    """
    own_key = x509.SubjectKeyIdentifier.from_public_key(template.public_key)
    extensions = [encoded_extension(one) for one in (*template.extensions, issuer_key)]
    extensions.append(_encode(x509.Extension(_SUBJECT_KEY_IDENTIFIER, False, own_key)))
    return asn1.element(
        0x30,
        _VERSION_3,
        asn1.integer(serial),
        algorithm,
        issuer,
        asn1.element(0x30, *map(asn1.signing_time, dates)),
        template.subject.public_bytes(),
        public_key_der(template.public_key),
        asn1.element(0xA3, asn1.element(0x30, *extensions)),
    )


def _encode(extension: AnyExtension) -> bytes:
    try:
        content = extension.value.public_bytes()
    except (ValueError, TypeError, NotImplementedError) as exc:
        oid = extension.oid.dotted_string
        raise InputError(f"the extension {oid} cannot be encoded: {exc}") from exc
    flag = b"\x01\x01\xff" if extension.critical else b""
    oid_der = asn1.oid_der(extension.oid.dotted_string)
    return asn1.element(0x30, oid_der, flag, asn1.element(0x04, content))


# Most extensions are the same in every certificate of a profile.
encoded_extension = lru_cache(maxsize=512)(_encode)
