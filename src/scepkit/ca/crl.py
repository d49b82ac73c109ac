"""What a CRL lists, encoded line by line: a million lines are read once and kept as bytes only.

The rule of this file: it writes the DER of RFC 5280 section 5.1, the same for the same arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509

from scepkit.ca.checks import check_aware, check_number
from scepkit.ca.extensions import encoded_extension
from scepkit.core import asn1
from scepkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from scepkit.ca.extensions import AnyExtension

_VERSION_2 = asn1.integer(1)


@dataclass(frozen=True, slots=True)
class Revocation:
    """One line of a CRL.

    Attributes:
        serial: the certificate's serial number.
        revoked_at: when (aware).
        reason: why; None says nothing, which RFC 5280 prefers to "unspecified".
        invalid_since: when the key was known or feared lost (aware), if that was earlier.
    """

    serial: int
    revoked_at: datetime
    reason: x509.ReasonFlags | None = None
    invalid_since: datetime | None = None


@dataclass(frozen=True, slots=True)
class CrlEntries:
    """The lines of a CRL: how many there are, and each in DER."""

    count: int
    der: bytes = field(repr=False)


def crl_entries(revoked: Iterable[Revocation]) -> CrlEntries:
    """Encode the lines of a CRL.

    :raises InputError: a serial number, time or reason that no CRL can hold.
    """
    count, der = 0, bytearray()
    for entry in revoked:
        der += _entry(entry)
        count += 1
    return CrlEntries(count, bytes(der))


def to_be_signed(
    entries: CrlEntries,
    dates: tuple[datetime, datetime],
    *,
    issuer: bytes,
    extensions: Sequence[AnyExtension],
    algorithm: bytes,
) -> bytes:
    """The TBSCertList (RFC 5280 section 5.1.2) in DER.

    :param dates: thisUpdate and nextUpdate (aware).
    :param issuer: the CA's Name in DER.
    :param algorithm: AlgorithmIdentifier of the signature that will be made.
    """
    return asn1.element(
        asn1.SEQUENCE,
        _VERSION_2,
        algorithm,
        issuer,
        *map(asn1.signing_time, dates),
        asn1.element(asn1.SEQUENCE, entries.der) if entries.count else b"",
        asn1.element(0xA0, asn1.element(asn1.SEQUENCE, *map(encoded_extension, extensions))),
    )


def _entry(entry: Revocation) -> bytes:
    check_number(entry.serial)
    check_aware(entry.revoked_at)
    return asn1.element(
        asn1.SEQUENCE,
        asn1.integer(entry.serial),
        asn1.signing_time(entry.revoked_at),
        _entry_extensions(entry.reason, entry.invalid_since),
    )


@lru_cache(maxsize=64)
def _entry_extensions(reason: x509.ReasonFlags | None, invalid_since: datetime | None) -> bytes:
    if reason is x509.ReasonFlags.remove_from_crl:
        raise InputError("removeFromCRL belongs into delta CRLs; leave the certificate out instead")
    values: list[x509.ExtensionType] = []
    # RFC 5280 section 5.3.1: the reason should be absent rather than unspecified.
    if reason not in {None, x509.ReasonFlags.unspecified}:
        values.append(x509.CRLReason(reason))
    if invalid_since is not None:
        check_aware(invalid_since)
        values.append(x509.InvalidityDate(invalid_since))
    if not values:
        return b""
    extensions = [x509.Extension(value.oid, False, value) for value in values]
    return asn1.element(asn1.SEQUENCE, *map(encoded_extension, extensions))
