"""What a number and a time must be before they are signed."""

from __future__ import annotations

from datetime import UTC, datetime

from scepkit.errors import InputError

#: RFC 5280 section 4.1.2.2: serial numbers are positive and have at most 20 octets.
MAX_NUMBER_BITS = 159
#: What a GeneralizedTime can hold (RFC 5280 section 4.1.2.5.2), as far as Python can.
TIMES = "within the years 1 to 9999, which certificates and CRLs can hold"


def check_number(serial: int) -> None:
    """Refuse what is not a serial number by RFC 5280 section 4.1.2.2.

    :raises InputError: it is not positive, or has more than 159 bits.
    """
    if serial <= 0 or serial.bit_length() > MAX_NUMBER_BITS:
        raise InputError("a serial number is positive and has at most 159 bits")


def check_time(moment: datetime) -> None:
    """Refuse a time without a time zone, or that no certificate and no CRL can hold.

    :raises InputError: `moment` is naive, or in UTC not within the years 1 to 9999.
    """
    if moment.tzinfo is None:
        raise InputError("a time without a time zone was given; expected an aware datetime")
    try:
        moment.astimezone(UTC)
    except OverflowError:
        raise InputError(f"{moment} is in UTC not {TIMES}") from None
