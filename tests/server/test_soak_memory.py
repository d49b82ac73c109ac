"""How `scripts/soak` judges memory: it sees a leak, and none where there is none."""

from __future__ import annotations

from collections.abc import Callable

from tests.server.fleet.memory import SPAN, Memory


def _of(mib: Callable[[int], float]) -> Memory:
    """A run of 60,000 certificates, with a sample for every hundred."""
    return Memory([(issued, mib(issued)) for issued in range(0, 60_000, 100)])


def _grows(memory: Memory) -> tuple[float, float, float]:
    line = memory.line()
    assert line is not None
    return line.over(SPAN)


def test_memory_that_swings_around_a_value_is_flat() -> None:
    slope, low, high = _grows(_of(lambda issued: 60 + issued // 100 % 7 / 10))
    assert low < 0 < high
    assert abs(slope) < 0.5


def test_a_leak_is_seen_through_the_noise() -> None:
    slope, low, high = _grows(_of(lambda issued: 60 + issued / 10_000 + issued // 100 % 7 / 10))
    assert low < slope < high
    assert low > 19
    assert high < 21


def test_caches_that_fill_in_the_first_quarter_do_not_count() -> None:
    _, low, high = _grows(_of(lambda issued: 50 + min(issued, 14_000) / 1000 + issued // 100 % 3))
    assert low < 0.1
    assert high > -0.1


def test_a_short_run_has_no_line() -> None:
    memory = Memory([(issued, 60.0) for issued in range(5)])
    assert memory.line() is None
    assert memory.summary() == {"first": 60.0, "curve": [60.0] * 5, "most": 60.0}
