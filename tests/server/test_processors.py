"""Which worker keeps to which processor."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from scepkit.server.processors import processor_of, usable, workers_for
from tests.server.test_serve import serving


def test_a_worker_for_each_processor_keeps_to_its_own() -> None:
    assert [processor_of(place, 2, [4, 7]) for place in range(2)] == [4, 7]


def test_more_workers_than_processors_share_them_evenly() -> None:
    assert [processor_of(place, 4, [0, 1]) for place in range(4)] == [0, 1, 0, 1]


def test_fewer_workers_than_processors_go_where_there_is_room() -> None:
    assert [processor_of(place, 2, [0, 1, 2]) for place in range(2)] == [None, None]


def test_one_processor_needs_no_choice() -> None:
    assert processor_of(0, 1, [3]) is None


def test_no_number_of_workers_is_one_for_each_processor_that_may_be_used() -> None:
    assert workers_for(0) == len(usable())
    assert workers_for(3) == 3


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process's processors")
def test_the_workers_of_a_server_keep_to_their_processors(tmp_path: Path) -> None:
    processors = sorted(os.sched_getaffinity(0))
    if not 2 <= len(processors) <= 8:
        pytest.skip(f"this machine has {len(processors)} processors, the test is for 2 to 8")
    with serving(tmp_path, SCEPKIT_SERVER__WORKERS=str(len(processors))) as server:
        server.said(" serving ")
        pids = [server.pids(f"worker-{number + 1}")[0] for number in range(len(processors))]
        assert [os.sched_getaffinity(pid) for pid in pids] == [{one} for one in processors]
        assert os.sched_getaffinity(server.pids("jobs")[0]) == set(processors)
        assert server.stop() == 0
