"""A reload, in two steps over all processes.

A client may get the RA's certificate from one process and send its request to another.  So first
every process learns to decrypt with the new keys, and only then do they announce them.  The rule of
this file: either all processes take up the new settings, or none does.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from scepkit.server.processes import (
    ABANDON,
    COMMIT,
    COMMITTED,
    PREPARE,
    PREPARED,
    READY,
    REFUSED,
    Process,
)
from scepkit.server.settings import Settings

log = logging.getLogger("scepkit.server")

#: How long processes may take for one step, in seconds.
_STEP = 60.0

Outcome = Literal["reloaded", "reload failed, see the log"]


@dataclass(slots=True)
class Reload:
    """The settings of all processes, and a reload that may be under way.

    Attributes:
        settings: what new processes start with.
        number: how many times settings were taken up.
        done: is told how a reload ended.
    """

    settings: Settings
    processes: Sequence[Process]
    done: Callable[[Outcome], None]
    number: int = 0
    _coming: Settings | None = field(default=None)
    _step_ends: float = 0.0

    @property
    def under_way(self) -> bool:
        """Whether a reload was begun and has not ended."""
        return self._coming is not None or any(one.owes for one in self.processes)

    def begin(self, settings: Settings) -> None:
        """Let all processes take up other settings."""
        self._coming = settings
        self._step(PREPARE, PREPARED)

    def heard(self, process: Process, words: bytes) -> None:
        """A process said something."""
        for word in (words[i : i + 1] for i in range(len(words))):
            if word == READY:
                process.ready = True
            elif word == COMMITTED:
                process.serves = self.number
            elif word == REFUSED:
                process.owes = b""
                if self._coming is not None:
                    self._abandon()
                else:
                    # One that followed the others said why it cannot; it is not asked for ever.
                    process.serves = self.number
            elif word == PREPARED and self._coming is None:
                process.tell(COMMIT)
            if word == process.owes:
                process.owes = b""
        self.proceed()

    def proceed(self) -> None:
        """Take the next step, if all have done the last one or have had time enough."""
        late = self._step_ends and time.monotonic() > self._step_ends
        if late and self._coming is not None:
            log.error("a process took too long for the reload")
            self._abandon()
        waiting = any(one.owes for one in self.processes)
        if self._coming is not None and not waiting:
            self.settings, self._coming = self._coming, None
            self.number += 1
            self._step(COMMIT, COMMITTED)
        elif self._step_ends and (not waiting or late):
            self._finish("reloaded")
        if not self._step_ends:
            self._let_follow()

    def _step(self, word: bytes, answer: bytes) -> None:
        self._step_ends = time.monotonic() + _STEP
        for process in self.processes:
            # One that is just starting follows when it is ready.
            if process.ready:
                process.tell(word)
                process.owes = answer
        self.proceed()

    def _let_follow(self) -> None:
        for process in self.processes:
            if process.ready and process.serves != self.number and not process.owes:
                process.owes = COMMITTED
                process.tell(PREPARE)

    def _abandon(self) -> None:
        self._coming = None
        for process in self.processes:
            process.owes = b""
            process.tell(ABANDON)
        self._finish("reload failed, see the log")

    def _finish(self, outcome: Outcome) -> None:
        self._step_ends = 0.0
        for process in self.processes:
            process.owes = b""
        self.done(outcome)
