"""Whether two kinds of answers take different times: a rank test, with its limits.

For two kinds, A = P(an answer of one kind takes longer than one of the other), estimated over all
pairs of samples (the statistic of Mann and Whitney, divided by the number of pairs).  Without any
difference A is 1/2, with a standard deviation of sqrt((n + m + 1) / (12 n m)).  A difference counts
when A is further from 1/2 than chance explains at 1 in 1000, over all pairs of kinds together
(Bonferroni).

The rule of this file: it computes; what a difference means is said in `themes.timing`.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from itertools import combinations
from math import sqrt
from statistics import NormalDist, quantiles

from scepkit.values import frozen

#: How often chance alone may look like a difference, over all pairs.
SIGNIFICANCE = 0.001


@frozen
class Difference:
    """Two kinds of answers, and how well they can be told apart.

    Attributes:
        slower, quicker: the kinds.
        probability: A, from 0.5 (not at all) to 1 (always).
        score: how many standard deviations A is from 1/2.
        milliseconds: between the medians.
    """

    slower: str
    quicker: str
    probability: float
    score: float
    milliseconds: float


def compare(samples: Mapping[str, Sequence[float]]) -> list[Difference]:
    """Every pair of kinds, the plainest difference first.

    :param samples: seconds, by kind; at least two of each.
    """
    found = [_pair(one, other, samples) for one, other in combinations(samples, 2)]
    return sorted(found, key=lambda pair: -pair.score)


def _pair(one: str, other: str, samples: Mapping[str, Sequence[float]]) -> Difference:
    first, second = sorted(samples[one]), sorted(samples[other])
    count, total = 0.0, len(first) * len(second)
    for value in first:
        below = bisect_left(second, value)
        count += below + (bisect_right(second, value) - below) / 2
    probability = count / total
    deviation = sqrt((len(first) + len(second) + 1) / (12 * total))
    medians = _median(first) - _median(second)
    slower, quicker = (one, other) if probability >= 0.5 else (other, one)
    return Difference(
        slower,
        quicker,
        max(probability, 1 - probability),
        abs(probability - 0.5) / deviation,
        abs(medians) * 1000,
    )


def threshold(kinds: int) -> float:
    """From which score on a difference between two of so many kinds counts."""
    pairs = kinds * (kinds - 1) / 2
    return NormalDist().inv_cdf(1 - SIGNIFICANCE / (2 * max(pairs, 1)))


def least_visible(kinds: int, samples: int) -> float:
    """The least A that so many samples of each kind show."""
    deviation = sqrt((2 * samples + 1) / (12 * samples * samples))
    return min(1.0, 0.5 + threshold(kinds) * deviation)


def spread(values: Sequence[float]) -> float:
    """Between the quartiles, in milliseconds."""
    lower, _, upper = quantiles(values, n=4)
    return (upper - lower) * 1000


def _median(ordered: Sequence[float]) -> float:
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
