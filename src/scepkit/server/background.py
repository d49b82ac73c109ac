"""Runs what a server does without being asked, each job in a thread of its own.

The rule of this file: a job that fails or hangs holds up no other one, and is tried again later,
at longer and longer intervals.  That a job is done by one process at a time is the job's business.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from scepkit.errors import KeyUnavailable, StoreUnavailable
from scepkit.server.logs import with_fields

log = logging.getLogger("scepkit.jobs")

#: The longest pause after failures, in seconds.
_LONGEST_PAUSE = 60.0


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do again and again.

    Attributes:
        name: for the log and the metrics.
        seconds: from one pass to the next.
        run: one pass; returns what it did, for the log, or something false when there was nothing.
    """

    name: str
    seconds: float
    run: Callable[[datetime], object]


class JobMetrics(Protocol):
    """Where passes are counted, from any thread."""

    def job(self, name: str, result: str, seconds: float) -> None:
        """Count a pass."""


class Background:
    """Jobs that run until they are stopped."""

    def __init__(self, jobs: Sequence[Job], metrics: JobMetrics) -> None:
        self._metrics = metrics
        self._stopped = threading.Event()
        self._threads = [
            threading.Thread(target=self._repeat, args=(job,), name=job.name, daemon=True)
            for job in jobs
        ]

    def start(self) -> None:
        """Begin."""
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> bool:
        """Let the passes under way end; returns whether they did, in that time."""
        self._stopped.set()
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _repeat(self, job: Job) -> None:
        failures = 0
        while not self._stopped.is_set():
            failures = 0 if self._pass(job) else failures + 1
            pause = min(job.seconds * 2 ** min(failures, 10), max(job.seconds, _LONGEST_PAUSE))
            # Nodes that were started together do not stay together.
            self._stopped.wait(pause * random.uniform(0.9, 1.1))  # noqa: S311  # no secret

    def _pass(self, job: Job) -> bool:
        started = time.perf_counter()
        result, done = "ok", None
        try:
            done = job.run(datetime.now(UTC))
        except (StoreUnavailable, KeyUnavailable) as error:
            result = "unavailable"
            log.warning("job waits: %s", error, extra=with_fields({"job": job.name}))
        except Exception as error:  # the next pass may go better, and the other jobs go on
            result = "error"
            log.error("job failed", exc_info=error, extra=with_fields({"job": job.name}))
        seconds = time.perf_counter() - started
        if done:
            fields = {"job": job.name, "done": str(done), "ms": round(seconds * 1000, 3)}
            log.info("job", extra=with_fields(fields))
        self._metrics.job(job.name, result, seconds)
        return result == "ok"
