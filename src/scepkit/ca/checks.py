"""What a number and a time must be before they are signed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from scepkit.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

#: RFC 5280 section 4.1.2.2: serial numbers are positive and have at most 20 octets.
MAX_NUMBER_BITS = 159


def check_number(serial: int) -> None:
    """Refuse what is not a serial number by RFC 5280 section 4.1.2.2.

    :raises InputError: it is not positive, or has more than 159 bits.
    """
    if serial <= 0 or serial.bit_length() > MAX_NUMBER_BITS:
        raise InputError("a serial number is positive and has at most 159 bits")


def check_aware(now: datetime) -> None:
    """Refuse a time without a time zone.

    :raises InputError: `now` is naive.
    """
    if now.tzinfo is None:
        raise InputError("a time without a time zone was given; expected an aware datetime")
