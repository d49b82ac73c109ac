"""Counters of several processes, and the page for Prometheus."""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.server import counting
from scepkit.server.counting import Board, Counts, added_up, decoded
from scepkit.server.metrics import Gauge, Metrics

BOUNDS = (0.1, 1.0)


def test_values_are_counted_below_their_bounds() -> None:
    counts = Counts()
    for value in (0.05, 0.1, 0.5, 1.0, 7.0):
        counts.observe("s", ("x",), value, BOUNDS)
    found = counts.histograms["s", ("x",)]
    assert found.counts == [2, 2, 1]
    assert found.total == pytest.approx(8.65)


def test_counts_survive_being_written() -> None:
    counts = Counts()
    counts.add("a", ("x", 'quote " and \n'), 2)
    counts.observe("s", (), 0.5, BOUNDS)
    again = decoded(counts.encoded())
    assert again == counts


def test_counts_are_added_up() -> None:
    board = Board(3)
    mine, other = Counts(), Counts()
    mine.add("a", ("x",))
    other.add("a", ("x",), 2)
    other.add("a", ("y",), 5)
    for counts in (mine, other):
        counts.observe("s", (), 0.5, BOUNDS)
    board.write(1, other.encoded())
    total = added_up(board, {0: mine})
    assert total.counters == {("a", ("x",)): 3, ("a", ("y",)): 5}
    assert total.histograms["s", ()].counts == [0, 2, 0]


def test_a_board_gives_what_was_written_last() -> None:
    board = Board(2)
    assert board.read(0) is None
    for number in range(10):
        board.write(0, b"%d" % number)
        assert board.read(0) == b"%d" % number
    assert board.read(1) is None


def test_half_a_write_is_not_read() -> None:
    board = Board(1)
    board.write(0, b"one")
    board.write(0, b"two")
    newer = board._newer(0)
    start = board._half(0, newer)
    board._memory[start + 17] ^= 0xFF
    assert board.read(0) == b"one"


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_processes_share_a_board() -> None:
    board = Board(2)
    pid = os.fork()
    if not pid:
        board.write(1, b"from the child")
        os._exit(0)
    os.waitpid(pid, 0)
    assert board.read(1) == b"from the child"


def test_what_does_not_fit_is_not_written_and_said(caplog: pytest.LogCaptureFixture) -> None:
    board = Board(1)
    board.write(0, b"small")
    with caplog.at_level(logging.WARNING, counting.__name__):
        board.write(0, bytes(1 << 20))
    assert board.read(0) == b"small"
    assert "more counters than fit" in caplog.text


def test_a_process_goes_on_with_the_numbers_of_the_one_before() -> None:
    board = Board(1)
    first = Metrics(board, 0)
    first.http(200)
    first.publish()
    second = Metrics(board, 0)
    second.http(200)
    assert b'scep_http_responses_total{status="200"} 2.0' in second.page([])


@given(st.text())
def test_labels_of_any_text_are_escaped(text: str) -> None:
    text = text.encode("utf-8", "replace").decode()
    page = Metrics(Board(1), 0).page([Gauge("scep_x", "A number.", 1.5, {"ca": text})]).decode()
    lines = [line for line in page.split("\n") if line and not line.startswith("#")]
    assert len(lines) == 1
    assert lines[0].endswith(" 1.5")


def test_a_histogram_adds_up_on_the_page() -> None:
    metrics = Metrics(Board(1), 0)
    for seconds in (0.0001, 0.003, 99.0):
        metrics.seconds("sign", seconds)
    page = metrics.page([]).decode()
    assert 'scep_request_seconds_bucket{le="0.0005",stage="sign"} 1.0' in page
    assert 'scep_request_seconds_bucket{le="0.005",stage="sign"} 2.0' in page
    assert 'scep_request_seconds_bucket{le="+Inf",stage="sign"} 3.0' in page
    assert 'scep_request_seconds_count{stage="sign"} 3.0' in page
