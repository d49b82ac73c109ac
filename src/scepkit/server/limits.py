"""How many requests are accepted: buckets that all worker processes of a machine share.

The rule of this file: its memory is bounded, whoever asks.  Each bucket is one number, the time at
which it will be empty again, in a table that is made before the processes are forked.  Addresses
whose keyed hashes meet share a bucket, and of two updates in the same microsecond one may be lost:
both are too rare to matter for a limit, and make it cost a microsecond.
"""

from __future__ import annotations

import mmap
from ipaddress import IPv6Address

from scepkit.config import Rate

#: How many buckets there are: half a megabyte of numbers.
_SLOTS = 1 << 16


class Buckets:
    """Token buckets by key."""

    def __init__(self, slots: int = _SLOTS) -> None:
        # Anonymous and shared: processes that are forked from this one see the same numbers.
        self._memory = mmap.mmap(-1, slots * 8)
        self._empty_at = memoryview(self._memory).cast("d")
        self._mask = slots - 1
        if slots & self._mask:
            raise ValueError("the number of slots is a power of two")

    def take(self, key: tuple[str, ...], rate: Rate, burst: int, now: float) -> float:
        """Take one token; returns 0.0, or in how many seconds there will be one.

        :param burst: how many tokens a bucket holds that was not used for a while.
        :param now: of the system's monotonic clock, in seconds.
        """
        # Python's hash of text is keyed, so that nobody can choose whom to meet; forked processes
        # have the same key.
        slot = hash(key) & self._mask
        interval = rate.seconds / rate.count
        empty_at = max(self._empty_at[slot], now)
        wait = empty_at - now - (burst - 1) * interval
        # The clock's resolution is not a reason to refuse.
        if wait > 1e-9:
            return wait
        self._empty_at[slot] = empty_at + interval
        return 0.0


def bucket_of(address: str) -> str:
    """The part of an address that counts: IPv6 addresses of one /64 are one customer's."""
    if ":" not in address:
        return address
    try:
        return IPv6Address(address).packed[:8].hex()
    except ValueError:
        return address
