"""Serial numbers: as RFC 5280 wants them, and those of one time beside one another."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from scepkit.server.issuing import serial_number

# Until 2191: after 2106, the time no longer has 32 bits.
_MOMENTS = st.integers(10**9, 7 * 10**9).map(lambda seconds: datetime.fromtimestamp(seconds, UTC))


@given(_MOMENTS)
def test_serial_number_is_positive_and_has_20_octets(now: datetime) -> None:
    """RFC 5280 section 4.1.2.2, and as long as any other: they are compared as text."""
    assert serial_number(now).bit_length() == 159


@given(_MOMENTS)
def test_no_serial_number_is_drawn_twice(now: datetime) -> None:
    assert len({serial_number(now) for _ in range(100)}) == 100


@given(_MOMENTS, st.integers(1, 10**8))
def test_later_serial_number_is_higher(now: datetime, seconds: int) -> None:
    assert serial_number(now + timedelta(seconds=seconds)) > serial_number(now)


@given(_MOMENTS)
def test_all_but_the_time_is_random(now: datetime) -> None:
    """64 bits are what the CA/Browser Forum asks for; here each of 124 is 0 and is 1."""
    drawn = [serial_number(now) for _ in range(200)]
    for bit in range(124):
        assert {number >> bit & 1 for number in drawn} == {0, 1}
