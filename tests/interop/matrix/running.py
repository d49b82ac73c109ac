"""Tries everything that one client can ask one server."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Protocol

from tests.interop.matrix.cells import (
    ALIASES,
    KEYS,
    SUITES,
    USUAL,
    USUAL_OPERATIONS,
    Found,
    Operation,
    Trial,
    Verdict,
)

_POLLS = {Operation.POLL, Operation.DES_POLL}
#: What is tried with every suite and key; for the others these play no part.
_OVER_SUITES = {
    Operation.ENROL,
    Operation.RENEW,
    Operation.POLL,
    Operation.GET_CERT,
    Operation.GET_CRL,
}


class Pair(Protocol):
    """A client and a server."""

    @property
    def name(self) -> str:
        """Which section of the page this is."""
        ...

    @property
    def extras(self) -> Sequence[Operation]:
        """Rows that only this pair has."""
        ...

    @property
    def made(self) -> Mapping[int, Trial]:
        """The trial of each certificate that came, by serial number."""
        ...

    def foregone(self, trial: Trial) -> Verdict | None:
        """What is known without trying, because one of the two does not have it at all."""
        ...

    def attempt(self, trial: Trial) -> Verdict:
        """Try anything but a poll."""
        ...

    def polls(self, trials: Sequence[Trial]) -> Mapping[Trial, Verdict]:
        """Try these polls: ask, let somebody decide, ask again."""
        ...


def run(pair: Pair) -> Found:
    """Everything that the page says about a pair."""
    found: dict[Trial, Verdict | None] = {
        trial: pair.foregone(trial) for trial in _trials((*USUAL_OPERATIONS, *pair.extras))
    }
    waiting = [trial for trial, verdict in found.items() if verdict is None]
    polls = [trial for trial in waiting if trial.operation in _POLLS]
    if polls:
        found.update(pair.polls(polls))
    for trial in waiting:
        if trial.operation not in _POLLS:
            found[trial] = pair.attempt(trial)
    return {trial: verdict for trial, verdict in found.items() if verdict is not None}


def _trials(operations: Sequence[Operation]) -> Iterator[Trial]:
    for operation in operations:
        keys = KEYS if operation in _OVER_SUITES or operation in ALIASES else KEYS[:1]
        suites = SUITES if operation in _OVER_SUITES else (USUAL,)
        yield from (Trial(operation, *choice) for choice in product(keys, suites))
