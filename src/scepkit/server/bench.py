"""A thread in which requests are worked on by turns, so that each does what the others just did.

Requests that come together are taken up together and go from stage to stage together: what one
stage needs is then in the processor's caches, the interpreter's lock is passed on to nobody, and
what they write is committed in one transaction.  What is not cryptography
is a quarter cheaper so than with a thread for each request (decision 20).

The rules of this file: whoever waits for somebody else (a webhook, a token) lets the others go on,
in a thread elsewhere or until its time has come; nobody new begins while others are under way; and
a request that is alone never waits for company.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from heapq import heappop, heappush
from itertools import count
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from greenlet import getcurrent, greenlet

from scepkit.server.threads import Answers, Threads
from scepkit.store import turns

log = logging.getLogger("scepkit.server")

_T = TypeVar("_T")

#: How many requests are taken up together: more would hold up the first of them for no gain.
TOGETHER = 32


class _Call(NamedTuple):
    future: asyncio.Future[Any]
    function: Callable[[], Any]


class _Next(NamedTuple):
    """Who goes on, with what it gets, or what is raised where it waits."""

    who: greenlet
    value: Any = None
    error: BaseException | None = None


class Bench:
    """One thread for one event loop.

    :param most: while so many requests wait for others, no more are taken up.
    :param waiting: how many more than that may be there.
    :param threads: where what waits is worked on.
    :param failed: called when the thread cannot go on: all would wait for ever.
    """

    def __init__(
        self,
        most: int,
        waiting: int,
        threads: Threads,
        *,
        failed: Callable[[], None] = lambda: None,
    ) -> None:
        self._most = most
        self._elsewhere = threads
        self._failed = failed
        self._answers = Answers(most + waiting)
        self._inbox: SimpleQueue[_Call | _Next | None] = SimpleQueue()
        # All the rest is the thread's own.
        self._calls: deque[_Call] = deque()
        self._ready: deque[_Next] = deque()
        self._idle: list[greenlet] = []
        self._gathered: dict[Callable[[Sequence[Any]], None], list[tuple[Any, greenlet]]] = {}
        self._pauses: list[tuple[float, int, greenlet]] = []
        self._number = count()
        self._away = 0
        self._ended: list[tuple[asyncio.Future[Any], Any, BaseException | None]] = []
        self._closing = False
        self.taken = False
        threading.Thread(target=self._run, name="scepkit-bench", daemon=True).start()

    # ------------------------------------------------------------------ for the event loop

    @property
    def open(self) -> int:
        """How many calls are being worked on or waiting."""
        return self._answers.open

    async def run(self, call: Callable[[], _T]) -> _T:
        """What `call` returns or raises, by turns with others.

        :raises Busy: too many calls are waiting.
        """
        future: asyncio.Future[_T] = self._answers.expect()
        self._inbox.put(_Call(future, call))
        try:
            return await future
        finally:
            del future  # as in `Threads.run`

    def close(self) -> None:
        """Let the thread end when it has done what waits."""
        self._inbox.put(None)

    # ------------------------------------------------------------------ for whoever's turn it is

    def step(self) -> None:
        """Let the others come as far."""
        if self._ready:
            self._ready.append(_Next(getcurrent()))
            self._hub.switch()

    def pause(self, seconds: float) -> None:
        """Let the others go on for that long."""
        until = time.monotonic() + seconds
        heappush(self._pauses, (until, next(self._number), getcurrent()))
        self._wait()

    def elsewhere(self, call: Callable[[], _T]) -> _T:
        """Run a call in another thread, and let the others go on meanwhile."""
        me, inbox = getcurrent(), self._inbox

        def done(result: Any, error: BaseException | None) -> None:
            inbox.put(_Next(me, result, error))

        self._elsewhere.submit(call, done)
        result: _T = self._wait()
        return result

    def _wait(self) -> Any:
        self._away += 1
        try:
            return self._hub.switch()
        finally:
            self._away -= 1

    def gather(self, do: Callable[[Sequence[Any]], None], item: object) -> None:
        """Let the others come to where they wait too; then `do` gets the items of all."""
        self._gathered.setdefault(do, []).append((item, getcurrent()))
        self._hub.switch()

    # ------------------------------------------------------------------ the thread

    def _run(self) -> None:
        self._hub = getcurrent()
        turns.work_by(self)
        try:
            self._work_by_turns()
        except BaseException as error:  # a bug, or no memory; what calls raise does not come here
            log.critical("requests cannot be worked on any more", exc_info=error)
            self._failed()

    def _work_by_turns(self) -> None:
        while True:
            self._receive()
            self._take_up()
            if not self._ready:
                return  # it is closing, and all is done
            while self._ready:
                self._go_on()
                self._do_together()
            if not self._hand_over():
                return

    def _receive(self) -> None:
        """Take what came; wait for it if there is nothing to do."""
        self._end_pauses()
        while not self._inbox.empty() or self._has_to_wait():
            with suppress(Empty):
                came = self._inbox.get(timeout=self._next_pause())
                if came is None:
                    self._closing = True
                elif isinstance(came, _Call):
                    self._calls.append(came)
                else:
                    self._ready.append(came)
            self._end_pauses()

    def _has_to_wait(self) -> bool:
        if self._ready or (self._calls and self._away < self._most):
            return False
        return self._away > 0 or not self._closing

    def _next_pause(self) -> float | None:
        return max(0.0, self._pauses[0][0] - time.monotonic()) if self._pauses else None

    def _end_pauses(self) -> None:
        while self._pauses and self._pauses[0][0] <= time.monotonic():
            self._ready.append(_Next(heappop(self._pauses)[2]))

    def _take_up(self) -> None:
        for _ in range(min(TOGETHER, len(self._calls)) if self._away < self._most else 0):
            if not self._idle:
                greenlet(self._work).switch()  # it waits for its first call
            self._ready.append(_Next(self._idle.pop(), self._calls.popleft()))

    def _go_on(self) -> None:
        """Let everybody who can come to where they wait."""
        ready = self._ready
        self.taken = True
        while ready:
            who, what, error = ready.popleft()
            if error is None:
                who.switch(what)
            else:
                who.throw(type(error), error, error.__traceback__)
            del who, what, error
        self.taken = False

    def _do_together(self) -> None:
        gathered, self._gathered = self._gathered, {}
        for do, who in gathered.items():
            problem: BaseException | None = None
            try:
                do([item for item, _ in who])
            except BaseException as raised:  # it is raised where it is waited for
                problem = raised
            self._ready.extend(_Next(one, error=problem) for _, one in who)
            # An error has this frame in its traceback, and must not be held by it.
            del do, who, problem
        gathered.clear()

    def _hand_over(self) -> bool:
        """Give the answers away; False when nobody wants them any more."""
        if self._ended:
            ended, self._ended = self._ended, []
            try:
                self._answers.give(ended)
            except RuntimeError:
                return False
        return True

    def _work(self) -> None:
        """Work on calls, one after the other: a greenlet that is there already costs nothing."""
        while True:
            self._idle.append(getcurrent())
            call: _Call = self._hub.switch()
            result: Any = None
            error: BaseException | None = None
            try:
                result = call.function()
            except BaseException as raised:  # it is raised where it is awaited
                error = raised
            self._ended.append((call.future, result, error))
            del call, result, error
