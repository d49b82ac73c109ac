"""Buckets that processes share."""

from __future__ import annotations

import os
import signal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.config import Rate
from scepkit.server.limits import Buckets, bucket_of

TEN = Rate(10, 1)


def test_a_full_bucket_has_its_burst_and_then_the_rate() -> None:
    buckets = Buckets()
    taken = [buckets.take(("a",), TEN, 5, 100.0) for _ in range(7)]
    assert taken[:5] == [0.0] * 5
    assert taken[5] == pytest.approx(0.1)
    assert taken[6] == pytest.approx(0.1)  # being refused costs nothing
    assert buckets.take(("a",), TEN, 5, 100.1) == 0.0
    assert buckets.take(("a",), TEN, 5, 100.1) > 0


def test_a_bucket_fills_no_further_than_its_burst() -> None:
    buckets = Buckets()
    buckets.take(("a",), TEN, 2, 0.0)
    allowed = sum(buckets.take(("a",), TEN, 2, 1000.0) == 0.0 for _ in range(10))
    assert allowed == 2


def test_keys_have_buckets_of_their_own() -> None:
    buckets = Buckets()
    assert buckets.take(("a", "x"), TEN, 1, 0.0) == 0.0
    assert buckets.take(("a", "x"), TEN, 1, 0.0) > 0
    assert buckets.take(("a", "y"), TEN, 1, 0.0) == 0.0


@given(st.integers(1, 50), st.integers(1, 20), st.lists(st.floats(0, 0.5), max_size=60))
def test_never_more_than_the_burst_and_the_rate(
    count: int, burst: int, pauses: list[float]
) -> None:
    buckets, now, allowed = Buckets(16), 1000.0, 0
    for pause in pauses:
        now += pause
        allowed += buckets.take(("a",), Rate(count, 1), burst, now) == 0.0
    assert allowed <= burst + count * (now - 1000.0) + 1e-6


def test_the_wait_that_is_told_is_long_enough() -> None:
    buckets, now = Buckets(), 5.0
    for _ in range(50):
        wait = buckets.take(("a",), Rate(3, 60), 2, now)
        if wait:
            assert buckets.take(("a",), Rate(3, 60), 2, now + wait - 0.001) > 0
            now += wait
            assert buckets.take(("a",), Rate(3, 60), 2, now) == 0.0


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_share_a_bucket() -> None:
    buckets = Buckets()
    for _ in range(3):
        pid = os.fork()
        if not pid:
            os._exit(0 if buckets.take(("a",), TEN, 2, 7.0) == 0.0 else 1)
        _, status = os.waitpid(pid, 0)
        assert not os.WIFSIGNALED(status), signal.Signals(os.WTERMSIG(status))
    assert os.waitstatus_to_exitcode(status) == 1


def test_the_table_is_a_power_of_two() -> None:
    with pytest.raises(ValueError, match="power of two"):
        Buckets(1000)


def test_neighbours_in_ipv6_are_one_customer() -> None:
    assert bucket_of("192.0.2.1") == "192.0.2.1"
    assert bucket_of("2001:db8::1") == bucket_of("2001:db8::ffff")
    assert bucket_of("2001:db8::1") != bucket_of("2001:db8:0:1::1")
    assert bucket_of("") == ""
    assert bucket_of("no:address") == "no:address"
