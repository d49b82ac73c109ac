"""Background jobs: repeated, apart from each other, stopped."""

from __future__ import annotations

import logging
import threading
import time
from datetime import datetime
from itertools import pairwise

import pytest

from scepkit.errors import StoreUnavailable
from scepkit.server.background import Background, Job


class Passes:
    """Passes by job and result."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str]] = []

    def job(self, name: str, result: str, seconds: float) -> None:
        self.seen.append((name, result))

    def count(self, name: str, result: str = "ok") -> int:
        return self.seen.count((name, result))


def until(condition: object, seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_jobs_are_repeated_and_stopped() -> None:
    passes = Passes()
    background = Background([Job("a", 0.01, lambda now: None)], passes)
    background.start()
    until(lambda: passes.count("a") >= 5)
    assert background.stop(20)
    done = passes.count("a")
    time.sleep(0.1)
    assert passes.count("a") == done


def test_a_job_that_hangs_or_fails_holds_up_no_other() -> None:
    passes, hung, failed = Passes(), threading.Event(), list[float]()

    def fail(now: datetime) -> None:
        failed.append(time.monotonic())
        raise RuntimeError("broken")

    jobs = [
        Job("hangs", 0.01, lambda now: hung.wait(60)),
        Job("fails", 0.01, fail),
        Job("runs", 0.01, lambda now: None),
    ]
    background = Background(jobs, passes)
    background.start()
    until(lambda: passes.count("runs") >= 20 and passes.count("fails", "error") >= 4)
    assert not background.stop(0.05)
    hung.set()
    assert background.stop(20)
    # After a failure it is tried later and later.
    for number, (one, following) in enumerate(pairwise(failed)):
        assert following - one > 0.8 * 0.01 * 2 ** (number + 1)


def test_a_job_that_waits_for_the_database_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    passes = Passes()

    def unavailable(now: datetime) -> None:
        raise StoreUnavailable("down")

    background = Background([Job("a", 0.01, unavailable)], passes)
    with caplog.at_level(logging.INFO, "scepkit.jobs"):
        background.start()
        until(lambda: passes.count("a", "unavailable") >= 2)
        background.stop(20)
    assert {record.levelname for record in caplog.records} == {"WARNING"}


def test_what_was_done_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    passes = Passes()
    work = iter([0, 3, 0])
    background = Background([Job("sweep", 0.01, lambda now: next(work, 0))], passes)
    with caplog.at_level(logging.INFO, "scepkit.jobs"):
        background.start()
        until(lambda: passes.count("sweep") >= 4)
        background.stop(20)
    (line,) = caplog.records
    assert getattr(line, "fields", {})["done"] == "3"
