"""Finding, taking over, deciding and ending operations."""

from __future__ import annotations

import json

from scepkit.store import Store, audit, operations
from scepkit.store.operations import Waiting
from scepkit.store.rows import Operation
from tests.store.enrolling import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    a_claim,
    claimed,
    digest,
    operation,
    pending,
)


def take_over(store: Store, number: int, now: int) -> Operation | None:
    return store.write(lambda tx: operations.take_over(tx, number, now, MINUTE))


def actions(store: Store) -> list[tuple[str, str, str]]:
    """What the audit says: actor, action and object, oldest first."""
    rows = store.read(audit.listing)
    return [(row.actor, row.action, row.object) for row in reversed(rows)]


# ------------------------------------------------------------------------------------- taking over


def test_operation_cannot_be_taken_over_while_its_lease_lasts(store: Store) -> None:
    number = claimed(store, a_claim(lease=MINUTE))
    assert take_over(store, number, NOW + MINUTE - 1) is None
    taken = take_over(store, number, NOW + MINUTE)
    assert taken is not None
    assert (taken.id, taken.lease_until, taken.attempts) == (number, NOW + 2 * MINUTE, 1)
    assert take_over(store, number, NOW + MINUTE) is None


def test_lease_of_a_clock_that_was_ahead_holds_nobody_up(store: Store) -> None:
    number = claimed(store, a_claim(lease=24 * HOUR))
    assert [one.id for one in store.read(lambda tx: operations.abandoned(tx, NOW))] == [number]
    assert store.read(lambda tx: operations.unfinished(tx, NOW)) == 1
    assert take_over(store, number, NOW) is not None
    assert take_over(store, number, NOW) is None
    assert store.read(lambda tx: operations.unfinished(tx, NOW)) == 0


def test_released_operation_can_be_taken_over_at_once(store: Store) -> None:
    number = claimed(store, a_claim(lease=HOUR))
    store.write(lambda tx: operations.release(tx, number, NOW + 1))
    assert take_over(store, number, NOW + 1) is not None


def test_finished_operation_cannot_be_taken_over_or_released(store: Store) -> None:
    number = pending(store)
    store.write(lambda tx: operations.reject(tx, number, actor="alice", fail_info=2, now=NOW))
    store.write(lambda tx: operations.release(tx, number, NOW))
    assert take_over(store, number, NOW + DAY) is None


def test_sweeper_finds_what_nobody_works_at(store: Store) -> None:
    numbers = [claimed(store, a_claim(f"r{n}", lease=n * MINUTE)) for n in (3, 1, 2)]
    waiting = pending(store, "router1")
    found = store.read(lambda tx: operations.abandoned(tx, NOW + 2 * MINUTE))
    assert [one.id for one in found] == [numbers[1], numbers[2]]
    store.write(lambda tx: operations.approve(tx, waiting, actor="alice", now=NOW))
    found = store.read(lambda tx: operations.abandoned(tx, NOW))
    assert [one.id for one in found] == [waiting]
    assert store.read(lambda tx: operations.abandoned(tx, NOW + DAY, limit=2)) != []


# ---------------------------------------------------------------------------------------- deciding


def test_approved_operation_is_free_to_be_worked_at(store: Store) -> None:
    number = pending(store, pending_for=DAY)
    approved = store.write(
        lambda tx: operations.approve(tx, number, actor="alice", reason="known", now=NOW + 5)
    )
    assert approved == operation(store, number)
    assert approved is not None
    assert (approved.state, approved.decided_by, approved.decided_at) == (
        "approved",
        "alice",
        NOW + 5,
    )
    assert (approved.reason, approved.pending_until, approved.finished_at) == ("known", None, None)
    assert take_over(store, number, NOW + 5) is not None
    assert actions(store) == [("alice", "request.approve", f"operation:{number}")]


def test_rejected_operation_is_finished(store: Store) -> None:
    number = pending(store, pending_for=DAY)
    rejected = store.write(
        lambda tx: operations.reject(
            tx, number, actor="alice", fail_info=2, reason="unknown", now=NOW + 5
        )
    )
    assert rejected is not None
    assert (rejected.state, rejected.fail_info, rejected.finished_at) == ("rejected", 2, NOW + 5)
    (row,) = store.read(audit.listing)
    assert (row.actor, row.action, row.node) == ("alice", "request.reject", "node1")
    assert json.loads(row.detail) == {
        "profile": "routers",
        "subject": "CN=router1,O=Acme",
        "transactionID": "tid-router1",
        "reason": "unknown",
    }


def test_only_the_first_decision_counts(store: Store) -> None:
    number = pending(store)
    assert store.write(lambda tx: operations.approve(tx, number, actor="alice", now=NOW))
    assert not store.write(lambda tx: operations.approve(tx, number, actor="bob", now=NOW))
    assert not store.write(
        lambda tx: operations.reject(tx, number, actor="bob", fail_info=2, now=NOW)
    )
    assert [actor for actor, _, _ in actions(store)] == ["alice"]


def test_only_pending_operations_are_decided(store: Store) -> None:
    number = claimed(store, a_claim())
    assert not store.write(lambda tx: operations.approve(tx, number, actor="bob", now=NOW))
    assert not store.write(lambda tx: operations.approve(tx, 99, actor="bob", now=NOW))
    assert actions(store) == []


def test_failed_operation_is_finished(store: Store) -> None:
    number = claimed(store, a_claim())
    failed = store.write(
        lambda tx: operations.fail(
            tx, number, fail_info=0, reason="key too small", actor="server", now=NOW
        )
    )
    assert failed is not None
    assert (failed.state, failed.fail_info, failed.finished_at) == ("failed", 0, NOW)
    assert (failed.lease_until, failed.reason) == (None, "key too small")
    assert not store.write(
        lambda tx: operations.fail(tx, number, fail_info=0, reason="", actor="server", now=NOW)
    )
    assert actions(store) == [("server", "request.fail", f"operation:{number}")]


def test_pending_operations_expire(store: Store) -> None:
    first = pending(store, "r1", pending_for=HOUR)
    pending(store, "r2", pending_for=DAY)
    pending(store, "r3")
    expired = store.write(lambda tx: operations.expire_pending(tx, NOW + HOUR, actor="server"))
    assert [(one.id, one.state, one.finished_at) for one in expired] == [
        (first, "expired", NOW + HOUR)
    ]
    assert expired == [operation(store, first)]
    assert actions(store) == [("server", "request.expire", f"operation:{first}")]
    assert not store.write(lambda tx: operations.expire_pending(tx, NOW + HOUR, actor="server"))


def test_operations_expire_in_portions(store: Store) -> None:
    for n in range(5):
        pending(store, f"r{n}", pending_for=HOUR)
    ended = [
        len(store.write(lambda tx: operations.expire_pending(tx, NOW + DAY, actor="s", limit=2)))
        for _ in range(4)
    ]
    assert ended == [2, 2, 1, 0]


# ----------------------------------------------------------------------------------------- finding


def test_unknown_operation_is_not_found(store: Store) -> None:
    assert store.read(lambda tx: operations.find(tx, 1)) is None
    assert store.read(lambda tx: operations.by_key(tx, "routers", b"x")) is None
    assert store.read(lambda tx: operations.by_alias(tx, "routers", "x", b"x")) is None


def test_queue_is_told_in_two_numbers(store: Store) -> None:
    assert store.read(operations.waiting) == Waiting(0, None)
    pending(store, "r1", now=NOW + 7)
    pending(store, "r2", now=NOW + 8)
    claimed(store, a_claim("r3"))
    assert store.read(operations.waiting) == Waiting(2, NOW + 7)


def test_operations_are_searched_newest_first_in_pages(store: Store) -> None:
    numbers = [pending(store, f"r{n}") for n in range(5)]
    page = store.read(lambda tx: operations.search(tx, limit=3))
    assert [one.id for one in page] == numbers[:1:-1]
    page = store.read(lambda tx: operations.search(tx, before=page[-1].id))
    assert [one.id for one in page] == numbers[1::-1]


def test_operations_are_searched_by_state_profile_and_text(store: Store) -> None:
    router = pending(store, "Router1")
    printer = pending(store, "printer1", profile="printers", transaction_id="50%_off!")
    approved = claimed(store, a_claim("camera1", sans="dns:CAMERA.acme.test\nip:10.0.0.1"))

    def found(**how: object) -> list[int]:
        return [one.id for one in store.read(lambda tx: operations.search(tx, **how))]  # type: ignore[arg-type]

    assert found(state="approved") == [approved]
    assert found(state="pending", profile="printers") == [printer]
    assert found(text="cn=rOUTER") == [router]
    assert found(text="camera.ACME") == [approved]
    assert found(text="50%_off!") == [printer]
    assert found(text="5__") == []
    assert found(text="acme", before=printer) == [router]
    assert found(text="") == [approved, printer, router]
    assert found(state="failed") == []


def test_newest_epoch_is_found_by_key(store: Store) -> None:
    first = pending(store, pending_for=HOUR)
    store.write(lambda tx: operations.expire_pending(tx, NOW + HOUR, actor="server"))
    second = pending(store, now=NOW + HOUR)
    found = store.read(lambda tx: operations.by_key(tx, "routers", digest("op router1")))
    assert found is not None
    assert (found.id, found.epoch, first != second) == (second, 1, True)
