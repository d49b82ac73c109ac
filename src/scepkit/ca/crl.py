"""What a CRL lists, encoded line by line: a million lines are read once and kept as bytes only.

These bytes are not copied until the CRL is put together.

The rule of this file: it writes the DER of RFC 5280 section 5.1, the same for the same arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from io import BytesIO
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
    return encoded_entries(
        (one.serial, circumstances(one.revoked_at, one.reason, one.invalid_since))
        for one in revoked
    )


def encoded_entries(lines: Iterable[tuple[int, bytes]]) -> CrlEntries:
    """The lines of a CRL from serial numbers and what `circumstances` says of each.

    :raises InputError: a serial number that no CRL can hold.
    """
    # It gives away its bytes without copying them, which a bytearray does not.
    count, der = 0, BytesIO()
    for serial, rest in lines:
        check_number(serial)
        octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
        size = len(octets)
        # All lengths are below 128: 20 octets of a number, 17 of a time, 45 of extensions.
        der.write(b"0%c\x02%c%b%b" % (size + 2 + len(rest), size, octets, rest))
        count += 1
    return CrlEntries(count, der.getvalue())


def circumstances(
    revoked_at: datetime, reason: x509.ReasonFlags | None, invalid_since: datetime | None = None
) -> bytes:
    """What a line of a CRL says of a revocation beside the serial number, in DER.

    :raises InputError: a time or reason that no CRL can hold.
    """
    check_aware(revoked_at)
    return asn1.signing_time(revoked_at) + _entry_extensions(reason, invalid_since)


def to_be_signed(
    entries: CrlEntries,
    dates: tuple[datetime, datetime],
    *,
    issuer: bytes,
    extensions: Sequence[AnyExtension],
    algorithm: bytes,
) -> tuple[bytes, ...]:
    """The TBSCertList (RFC 5280 section 5.1.2) in DER, in parts: put together, they are it.

    :param dates: thisUpdate and nextUpdate (aware).
    :param issuer: the CA's Name in DER.
    :param algorithm: AlgorithmIdentifier of the signature that will be made.
    """
    parts = (
        b"".join((_VERSION_2, algorithm, issuer, *map(asn1.signing_time, dates))),
        asn1.header(asn1.SEQUENCE, len(entries.der)) if entries.count else b"",
        entries.der,
        asn1.element(0xA0, asn1.element(asn1.SEQUENCE, *map(encoded_extension, extensions))),
    )
    return (asn1.header(asn1.SEQUENCE, sum(map(len, parts))), *parts)


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
