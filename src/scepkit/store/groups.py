"""Group commit: callers who wait for one writer share its work.

While one group is being forced to the disk, the next one gathers.  There is no thread of our own:
the first caller of a group commits it while the others sleep, and wakes them and the first caller
of the next group.  A caller who is alone waits for nobody.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from scepkit.errors import StoreError, StoreUnavailable
from scepkit.store import turns
from scepkit.store.driver import Tx

T = TypeVar("T")

#: Transactions in one group: a bound on how long the first of them waits for the last.
MAX_GROUP = 256


class Job:
    """A transaction somebody waits for; `gate` is shut while the caller sleeps."""

    __slots__ = ("done", "function", "gate", "problem", "value")

    def __init__(self, function: Callable[[Tx], Any]) -> None:
        self.function = function
        self.gate: threading.Lock | None = None
        self.done = False
        self.value: Any = None
        self.problem: BaseException | None = None

    def outcome(self) -> Any:
        """The transaction's result, for its caller."""
        if self.problem is not None:
            raise self.problem
        return self.value


#: Gives the next job of the group, or None when it is complete.
Next = Callable[[], Job | None]


class Groups:
    """The callers who wait, and the one who leads.

    `commit` runs all the jobs it is given in one transaction; what it raises is that none of them
    was committed.  It sets the value or the problem of each.
    """

    def __init__(self, commit: Callable[[Next], None]) -> None:
        self._commit = commit
        self._mutex = threading.Lock()
        self._idle = threading.Condition(self._mutex)
        self._waiting: deque[Job] = deque()
        self._group: list[Job] = []
        self._leader: int | None = None
        self._closed = False

    @property
    def waiting(self) -> int:
        """How many transactions wait for the next group."""
        return len(self._waiting)

    def run(self, function: Callable[[Tx], T]) -> T:
        """Have a transaction committed, with those of others; its result, or what it raised."""
        job = Job(function)
        by_turns = turns.current()
        if by_turns is None:
            self.run_all([job])
        else:
            by_turns.gather(self.run_all, job)
        result: T = job.outcome()
        return result

    def run_all(self, jobs: Sequence[Job]) -> None:
        """Have some transactions committed, with those of others, and set the outcome of each."""
        me = threading.get_ident()
        with self._mutex:
            if self._closed:
                raise StoreError("the store is closed")
            if self._leader == me:
                raise StoreError("a transaction was begun within a transaction")
            self._waiting.extend(jobs)
            leads = self._leader is None
            if leads:
                self._leader = me
            for job in jobs[1:] if leads else jobs:
                job.gate = threading.Lock()
                job.gate.acquire()
        interrupted: BaseException | None = None
        for job in jobs:
            try:
                self._attend(job)
            except BaseException as problem:  # the others have still to be attended to
                interrupted = problem
        if interrupted is not None:
            raise interrupted

    def _attend(self, job: Job) -> None:
        """Wait for a job, and lead if it is its turn to."""
        if job.gate is not None:
            try:
                job.gate.acquire()
            except BaseException:
                # Interrupted, but under way: others may wait for this caller to lead.
                job.gate.acquire()
                if not job.done:
                    self._lead()
                raise
        if not job.done:
            self._lead()

    def _lead(self) -> None:
        """Commit a group, of which the caller's job is the first, and name the next leader."""
        self._leader = threading.get_ident()
        self._group = []
        try:
            self._commit(self._next)
        except BaseException as problem:
            if not self._group:  # it could not even begin: the others need not try in vain
                with self._mutex:  # who comes in between would be forgotten, and wait for ever
                    self._group.extend(self._waiting)
                    self._waiting.clear()
            for job in self._group:
                # Whatever came of it: what it was told by the others of its group is not true.
                if isinstance(problem, Exception):
                    job.problem = problem
                else:
                    job.problem = StoreUnavailable("the transaction was interrupted")
            if not isinstance(problem, Exception):
                raise
        finally:
            self._hand_over(self._group)

    def _next(self) -> Job | None:
        if not self._waiting or len(self._group) >= MAX_GROUP:
            return None
        job = self._waiting.popleft()
        self._group.append(job)
        return job

    def _hand_over(self, jobs: list[Job]) -> None:
        with self._mutex:
            if self._waiting:
                self._leader = 0  # nobody yet, but somebody is called
                following = self._waiting[0].gate
            else:
                self._leader = following = None
                self._idle.notify_all()
        if following is not None:
            following.release()
        for job in jobs:
            job.done = True
            if job.gate is not None:
                job.gate.release()

    def close(self) -> None:
        """Let nobody else in, and wait until everybody is served."""
        with self._mutex:
            self._closed = True
            while self._leader is not None:
                self._idle.wait()
