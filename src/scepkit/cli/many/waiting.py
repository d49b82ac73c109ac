"""The rows of `scepkit enrol-many` that are pending, and when to ask for them again.

The rule of this file: a row is asked about for as long as ``--wait`` says, from its first PENDING
in this run; and it is in here or in the hands of a thread, never both.
"""

from __future__ import annotations

import heapq
from itertools import count
from time import monotonic
from typing import NamedTuple

from scepkit.cli.many.rows import Row
from scepkit.core.enrolment import Pending, PollPolicy


class Job(NamedTuple):
    """A row to be asked for; by a poll, if the CA has said PENDING.

    Attributes:
        row: the row.
        pending: the CA's last word, or None when it was not asked in this run.
        since: when it first said so, by the monotonic clock.
        polls: how often it was asked since.
    """

    row: Row
    pending: Pending | None = None
    since: float = 0.0
    polls: int = 0


class Waiting:
    """Jobs in the order in which they are due; its callers hold a lock.

    Args:
        policy: when to ask again, and for how long.
    """

    def __init__(self, policy: PollPolicy) -> None:
        self._policy = policy
        self._order = count()  # so that two jobs are never compared
        self._heap: list[tuple[float, int, Job]] = []

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, job: Job, pending: Pending) -> bool:
        """Take in a job that the CA has not decided about; False when its time is over."""
        now = monotonic()
        since = now if job.pending is None else job.since
        polls = 0 if job.pending is None else job.polls
        seconds = self._policy.next_wait(polls, pending.retry_after, now - since)
        if seconds is None:
            return False
        again = Job(job.row, pending, since, polls + 1)
        heapq.heappush(self._heap, (now + seconds, next(self._order), again))
        return True

    def seconds(self) -> float | None:
        """Until the next job is due, perhaps less than 0; None when there is none."""
        return self._heap[0][0] - monotonic() if self._heap else None

    def take(self) -> Job:
        """The job that is due next."""
        return heapq.heappop(self._heap)[2]
