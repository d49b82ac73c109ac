"""Counters of several processes, added up: each writes its own, any one reads all.

The rule of this file: counting is a few instructions in one thread of a process, because it is done
for every request; what it takes to be seen by others is done once a second.  A process that is
killed loses at most that second, and the one in its place goes on with its numbers.
"""

from __future__ import annotations

import json
import logging
import mmap
import struct
import zlib
from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

log = logging.getLogger(__name__)

Labels = tuple[str, ...]

#: Bytes for the counters of one process: some thousand of them.
_ROOM = 512 * 1024
_HEADER = struct.Struct("<II")


@dataclass(slots=True)
class Histogram:
    """How often a value was how large.

    Attributes:
        counts: for each upper bound how many values were below it and above the one before; the
            last is for values above all.
        total: the sum of the values.
    """

    counts: list[int]
    total: float = 0.0

    def observe(self, value: float, bounds: Sequence[float]) -> None:
        """Count a value; `bounds` are the upper ones, rising."""
        self.counts[bisect_left(bounds, value)] += 1
        self.total += value


@dataclass(slots=True)
class Counts:
    """The counters of one process, by name and labels."""

    counters: dict[tuple[str, Labels], float] = field(default_factory=dict)
    histograms: dict[tuple[str, Labels], Histogram] = field(default_factory=dict)

    def add(self, name: str, labels: Labels, amount: float = 1) -> None:
        """Count something."""
        key = (name, labels)
        self.counters[key] = self.counters.get(key, 0) + amount

    def observe(self, name: str, labels: Labels, value: float, bounds: Sequence[float]) -> None:
        """Count a value; `bounds` are the upper ones, rising."""
        self.histogram(name, labels, bounds).observe(value, bounds)

    def histogram(self, name: str, labels: Labels, bounds: Sequence[float]) -> Histogram:
        """The histogram of that name, which is counted in as long as this process lives."""
        key = (name, labels)
        found = self.histograms.get(key)
        if found is None:
            found = self.histograms[key] = Histogram([0] * (len(bounds) + 1))
        return found

    def include(self, other: Counts) -> None:
        """Add the counters of another process."""
        for (name, labels), amount in other.counters.items():
            self.add(name, labels, amount)
        for key, histogram in other.histograms.items():
            mine = self.histograms.setdefault(key, Histogram([0] * len(histogram.counts)))
            if len(mine.counts) == len(histogram.counts):
                mine.counts = [a + b for a, b in zip(mine.counts, histogram.counts, strict=True)]
                mine.total += histogram.total

    def encoded(self) -> bytes:
        """All of them as bytes."""
        return json.dumps(
            [
                [[name, labels, amount] for (name, labels), amount in self.counters.items()],
                [
                    [name, labels, one.counts, one.total]
                    for (name, labels), one in self.histograms.items()
                ],
            ],
            separators=(",", ":"),
        ).encode()


def decoded(data: bytes) -> Counts:
    """The opposite of `Counts.encoded`."""
    counters, histograms = json.loads(data)
    return Counts(
        {(name, tuple(labels)): amount for name, labels, amount in counters},
        {
            (name, tuple(labels)): Histogram(counts, total)
            for name, labels, counts, total in histograms
        },
    )


class Board:
    """Memory that processes forked from this one share: a place for each one's counters."""

    def __init__(self, places: int) -> None:
        self._memory = mmap.mmap(-1, places * 2 * _ROOM)
        self._places = places

    def write(self, place: int, data: bytes) -> None:
        """Put the counters of a process into its place; what is too long is not written."""
        if len(data) > _ROOM - _HEADER.size:
            log.warning("there are more counters than fit; /metrics is not up to date")
            return
        # Two halves in turn: a reader finds the older one whole while the other is written.
        half = self._half(place, self._newer(place) ^ 1)
        number = self._number(place, self._newer(place)) + 1
        body = number.to_bytes(8, "little") + data
        self._memory[half + _HEADER.size : half + _HEADER.size + len(body)] = body
        _HEADER.pack_into(self._memory, half, len(body), zlib.crc32(body))

    def read(self, place: int) -> bytes | None:
        """The newest whole counters in a place, or None."""
        newer = self._newer(place)
        found = self._body(place, newer) or self._body(place, newer ^ 1)
        return found[8:] if found else None

    def places(self) -> Iterable[int]:
        """All places."""
        return range(self._places)

    def _half(self, place: int, half: int) -> int:
        return (2 * place + half) * _ROOM

    def _body(self, place: int, half: int) -> bytes | None:
        start = self._half(place, half)
        length, checksum = _HEADER.unpack_from(self._memory, start)
        if not 8 <= length <= _ROOM - _HEADER.size:
            return None
        body = self._memory[start + _HEADER.size : start + _HEADER.size + length]
        return body if zlib.crc32(body) == checksum else None

    def _number(self, place: int, half: int) -> int:
        body = self._body(place, half)
        return int.from_bytes(body[:8], "little") if body else 0

    def _newer(self, place: int) -> int:
        return int(self._number(place, 1) > self._number(place, 0))


def added_up(board: Board, mine: Mapping[int, Counts]) -> Counts:
    """The counters of all processes; `mine` are those that this one knows better."""
    total = Counts()
    for place in board.places():
        if place in mine:
            total.include(mine[place])
        elif (data := board.read(place)) is not None:
            total.include(decoded(data))
    return total
