"""What a CRL lists, encoded line by line: a million lines are read once and kept as bytes only.

These bytes are not copied until the CRL is put together.

The rule of this file: it writes the DER of RFC 5280 section 5.1, the same for the same arguments.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import BytesIO
from typing import TYPE_CHECKING

from cryptography import x509

from scepkit.ca.checks import TIMES, check_number, check_time
from scepkit.ca.extensions import encoded_extension
from scepkit.core import asn1
from scepkit.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from scepkit.ca.extensions import AnyExtension

_VERSION_2 = asn1.integer(1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: Seconds.
_DAY = 86_400


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
    return _put_together(
        (one.serial, _time(one.revoked_at), entry_extensions(one.reason, one.invalid_since))
        for one in revoked
    )


def encoded_entries(lines: Iterable[tuple[int, int, bytes]]) -> CrlEntries:
    """The same for a great many: each is a serial number, a time and what is said beside.

    :param lines: the time in seconds since 1970 (UTC), the rest by `entry_extensions`.
    :raises InputError: a serial number or time that no CRL can hold.
    """
    return _put_together(
        (serial, _time_at(*divmod(second, _DAY)), extensions)
        for serial, second, extensions in lines
    )


def _put_together(lines: Iterable[tuple[int, bytes, bytes]]) -> CrlEntries:
    # It gives away its bytes without copying them, which a bytearray does not.
    count, der = 0, BytesIO()
    for serial, time, extensions in lines:
        check_number(serial)
        octets = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
        size = len(octets)
        # All lengths are below 128: 20 octets of a number, 17 of a time, 45 of extensions.
        length = size + 2 + len(time) + len(extensions)
        der.write(b"0%c\x02%c%b%b%b" % (length, size, octets, time, extensions))
        count += 1
    return CrlEntries(count, der.getvalue())


def _time(revoked_at: datetime) -> bytes:
    check_time(revoked_at)
    return asn1.signing_time(revoked_at)


def _time_at(day: int, second: int) -> bytes:
    return b"%b%02d%02d%02dZ" % (_date(day), second // 3600, second // 60 % 60, second % 60)


# Of a million revocations, most are on the same few thousand days.
@lru_cache(maxsize=4096)
def _date(day: int) -> bytes:
    """How a Time begins that is so many days after 1970."""
    try:
        begins = _EPOCH + timedelta(day)
    except OverflowError:
        raise InputError(f"a revocation {day} days after 1970 is not {TIMES}") from None
    return asn1.signing_time(begins).removesuffix(b"000000Z")


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
def entry_extensions(
    reason: x509.ReasonFlags | None, invalid_since: datetime | None = None
) -> bytes:
    """What a line of a CRL says beside serial number and time: crlEntryExtensions in DER, or b"".

    :raises InputError: a time or reason that no CRL can hold.
    """
    if reason is x509.ReasonFlags.remove_from_crl:
        raise InputError("removeFromCRL belongs into delta CRLs; leave the certificate out instead")
    values: list[x509.ExtensionType] = []
    # RFC 5280 section 5.3.1: the reason should be absent rather than unspecified.
    if reason not in {None, x509.ReasonFlags.unspecified}:
        values.append(x509.CRLReason(reason))
    if invalid_since is not None:
        check_time(invalid_since)
        values.append(x509.InvalidityDate(invalid_since))
    if not values:
        return b""
    extensions = [x509.Extension(value.oid, False, value) for value in values]
    return asn1.element(asn1.SEQUENCE, *map(encoded_extension, extensions))
