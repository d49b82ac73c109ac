"""Whether a process keeps growing: its memory over the time, and a straight line through it.

The line is that of least squares through the medians of `PARTS` equal parts of the run after its
first quarter, in which caches fill; its interval is Student's, with 95 %.  Two points would say
whatever the moment wants.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

#: The part of a run after which caches are full.
WARM = 0.25
PARTS = 12
#: Student's t for 95 %, for as many degrees of freedom as the parts leave.
_T = 2.228
#: Certificates over which a worker's growth is judged.
SPAN = 200_000


@dataclass(frozen=True)
class Line:
    """MiB for each certificate: the slope, and the ends of its interval."""

    slope: float
    low: float
    high: float

    def over(self, certificates: int) -> tuple[float, float, float]:
        """What it comes to for so many certificates, in MiB."""
        return self.slope * certificates, self.low * certificates, self.high * certificates


@dataclass
class Memory:
    """Resident sizes of a process, in MiB, each with how many certificates there were by then."""

    samples: list[tuple[int, float]] = field(default_factory=list)

    def _parts(self, number: int, since: float = 0.0) -> list[list[tuple[int, float]]]:
        """Equal parts of the run, those without a sample left out."""
        end = self.samples[-1][0]
        begin = end * since
        width = max(1.0, (end - begin) / number)
        parts: list[list[tuple[int, float]]] = [[] for _ in range(number)]
        for issued, mib in self.samples:
            if issued >= begin:
                parts[min(number - 1, int((issued - begin) / width))].append((issued, mib))
        return [part for part in parts if part]

    def line(self) -> Line | None:
        """The line through the medians; None when the run was too short for that."""
        parts = self._parts(PARTS, WARM)
        if len(parts) < PARTS:
            return None
        xs = [statistics.median(issued for issued, _ in part) for part in parts]
        ys = [statistics.median(mib for _, mib in part) for part in parts]
        slope, start = statistics.linear_regression(xs, ys)
        middle = statistics.fmean(xs)
        spread = sum((x - middle) ** 2 for x in xs)
        off = sum((y - start - slope * x) ** 2 for x, y in zip(xs, ys, strict=True))
        error = _T * (off / (PARTS - 2) / spread) ** 0.5
        return Line(slope, slope - error, slope + error)

    @property
    def most(self) -> float:
        """The most there was."""
        return max(mib for _, mib in self.samples)

    def summary(self) -> dict[str, Any]:
        """Medians of ten parts of the run, the most, and the growth over `SPAN` certificates."""
        found: dict[str, Any] = {
            "first": round(self.samples[0][1], 1),
            "curve": [round(statistics.median(m for _, m in part), 1) for part in self._parts(10)],
            "most": round(self.most, 1),
        }
        if line := self.line():
            slope, low, high = line.over(SPAN)
            found[f"grows in {SPAN} certificates by"] = round(slope, 2)
            found["with 95 % between"] = [round(low, 2), round(high, 2)]
        return found


def resident(pid: int) -> float | None:
    """The resident size of a process in MiB, or None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/status").read_text()
    except OSError:
        return None
    for line in text.splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return None
