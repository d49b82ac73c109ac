"""Processes that are killed: what they began is done or not done, and what they finished stays."""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, TypeVar, cast

import pytest

from scepkit.store import (
    Store,
    Tx,
    audit,
    cas,
    certificates,
    challenges,
    open_store,
    operations,
    outbox,
)
from scepkit.store.challenges import NewChallenge
from scepkit.store.claims import Claimed
from scepkit.store.driver import Statement
from scepkit.store.rows import Ca
from tests.store.enrolling import (
    HOUR,
    MINUTE,
    NOW,
    a_ca,
    a_challenge,
    broken_promises,
    digest,
    first_transaction,
    operation,
    second_transaction,
    states,
)
from tests.store.processes import begun, pipe

T = TypeVar("T")

#: Processes that are killed at random, and devices that each could enrol before.
KILLS, DEVICES = 8, 300

#: Statements in T1 and T2 together, and a few more than there are.
STATEMENTS = range(1, 14)


class DyingTx:
    """A transaction whose process dies at a statement."""

    def __init__(self, tx: Tx, left: list[int]) -> None:
        self._tx = tx
        self._left = left

    def __getattr__(self, name: str) -> Any:
        if name != "node":
            self._left[0] -= 1
            if not self._left[0]:
                os.kill(os.getpid(), signal.SIGKILL)
        return getattr(self._tx, name)

    def together(self, *statements: Statement) -> list[int]:
        return [self.run(*one) for one in statements]

    def insert_and(self, first: Statement, *others: Statement) -> tuple[int | None, list[int]]:
        return self.insert(*first), self.together(*others)


class DyingStore:
    """A store whose process dies at the nth statement from now."""

    def __init__(self, store: Store, statements: int) -> None:
        self._store = store
        self._left = [statements]

    def write(self, function: Callable[[Tx], T]) -> T:
        return self._store.write(lambda tx: function(cast("Tx", DyingTx(tx, self._left))))


def main_ca(store: Store) -> Ca:
    ca = store.read(lambda tx: cas.active(tx, "main"))
    assert ca is not None
    return ca


def enrol_and_die(url: str, statements: int) -> None:
    with open_store(url) as store:
        dying = cast("Store", DyingStore(store, statements))
        claimed = first_transaction(dying, main_ca(store), "router1", "secret", "1f")
        assert isinstance(claimed, Claimed)
        second_transaction(dying, claimed.operation_id, b"der")


def enrol_for_ever(url: str, connection: Connection, first: int) -> None:
    """Enrol one device after the other, and say which certificates are published."""
    with open_store(url) as store:
        ca = main_ca(store)
        for n in range(first, first + DEVICES):
            claimed = first_transaction(store, ca, f"r{n}", f"c{n}", f"{n + 1:x}")
            assert isinstance(claimed, Claimed)
            second_transaction(store, claimed.operation_id, f"der {n}".encode())
            connection.send(f"{n + 1:x}")


@pytest.mark.parametrize("statements", STATEMENTS)
def test_enrolment_killed_at_any_statement_is_finished_by_a_retry(
    url: str, store: Store, statements: int
) -> None:
    ca = a_ca(store)
    a_challenge(store)
    process = begun(enrol_and_die, url, statements)
    process.join(30)
    assert process.exitcode in (-signal.SIGKILL, 0)
    assert broken_promises(store) == []

    # The client retries; whoever answers takes over what the dead process left.
    later = NOW + 2 * MINUTE
    result = first_transaction(store, ca, "router1", "secret", "2e", later)
    assert result is not None
    number = result.operation_id if isinstance(result, Claimed) else result.operation.id
    if operation(store, number).state == "approved":
        if not isinstance(result, Claimed):
            assert store.write(lambda tx: operations.take_over(tx, number, later, HOUR))
        second_transaction(store, number, b"der")
    assert broken_promises(store) == []
    assert store.read(states) == {"issued": 1}
    assert store.read(outbox.backlog).waiting == 1
    challenge = store.read(lambda tx: challenges.find(tx, digest("secret")))
    assert challenge is not None
    assert challenge.uses_left == 0
    actions = [row.action for row in store.read(audit.listing)]
    assert actions[:2] == ["certificate.issue", "request.allow"]
    assert actions.count("request.allow") == 1


def test_processes_killed_at_any_moment_lose_nothing_they_finished(url: str, store: Store) -> None:
    a_ca(store)
    new = [
        NewChallenge(profile="routers", mac=digest(f"c{n}"), expires_at=NOW + HOUR)
        for n in range(KILLS * DEVICES)
    ]
    store.write(lambda tx: challenges.mint(tx, new, actor="test", now=NOW))
    published: set[str] = set()
    for kill in range(KILLS):
        ours, theirs = pipe()
        process = begun(enrol_for_ever, url, theirs, kill * DEVICES)
        theirs.close()
        assert ours.poll(30)
        time.sleep(random.random() * 0.05)
        process.kill()
        process.join()
        with suppress(EOFError):
            while True:
                published.add(ours.recv())
        ours.close()
        assert broken_promises(store) == []
    stored = store.snapshot(lambda tx: {one.serial: one.state for one in certificates.every(tx)})
    assert len(published) >= KILLS
    assert {serial for serial in published if stored.get(serial) != "issued"} == set()
    # What was published and not yet told is one for each process at most.
    assert list(stored.values()).count("issued") <= len(published) + KILLS
    while store.write(audit.seal):
        pass
    assert store.snapshot(audit.verify).faults == ()
