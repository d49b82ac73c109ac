"""The audit: rows that are chained, so that changing, adding or taking away one shows."""

from __future__ import annotations

import hashlib
import json

import pytest

from scepkit.store import Rollback, Store, Tx, audit
from scepkit.store.audit import Fault, Head, Verification
from tests.store.enrolling import NOW


def record(store: Store, *actions: str, actor: str = "alice") -> None:
    for action in actions:
        store.write(
            lambda tx, action=action: audit.record(  # type: ignore[misc]
                tx,
                now=NOW,
                actor=actor,
                action=action,
                object="operation:1",
                detail={"subject": "CN=\u6771\u4eac \U0001f702\0\ud800"},
            )
        )


def seal(store: Store, limit: int = 1000) -> int:
    return store.write(lambda tx: audit.seal(tx, limit))


def verify(store: Store) -> Verification:
    return store.snapshot(audit.verify)


def sealed(store: Store, rows: int = 5) -> None:
    record(store, *(f"action.{n}" for n in range(1, rows + 1)))
    assert seal(store) == rows


def tamper(store: Store, sql: str) -> tuple[Fault, ...]:
    """Change the table by hand; returns what the verification finds."""
    assert store.write(lambda tx: tx.run(sql)) >= 1
    return verify(store).faults


def test_row_says_who_did_what_where_and_when(store: Store) -> None:
    record(store, "request.approve")
    (row,) = store.read(audit.listing)
    assert (row.at, row.node, row.actor, row.action) == (NOW, "node1", "alice", "request.approve")
    assert json.loads(row.detail) == {"subject": "CN=\u6771\u4eac \U0001f702\0\ud800"}
    assert (row.position, row.prev_hash, row.hash) == (None, None, None)


def test_row_of_an_undone_transaction_is_not_there(store: Store) -> None:
    def undo(tx: Tx) -> None:
        audit.record(tx, now=NOW, actor="a", action="b", object="c")
        raise Rollback(None)

    store.write(undo)
    assert store.read(audit.listing) == []


def test_rows_are_listed_newest_first_in_pages(store: Store) -> None:
    record(store, "ca.stage", "request.approve", "request.reject")
    record(store, "request.approve", actor="bob")
    newest = store.read(lambda tx: audit.listing(tx, limit=2))
    assert [(row.actor, row.action) for row in newest] == [
        ("bob", "request.approve"),
        ("alice", "request.reject"),
    ]
    older = store.read(lambda tx: audit.listing(tx, before=newest[-1].seq))
    assert [row.action for row in older] == ["request.approve", "ca.stage"]
    assert len(store.read(lambda tx: audit.listing(tx, action="request."))) == 3
    assert len(store.read(lambda tx: audit.listing(tx, actor="bob"))) == 1
    assert len(store.read(lambda tx: audit.listing(tx, object="operation:1"))) == 4
    assert store.read(lambda tx: audit.listing(tx, object="operation:2")) == []


def test_empty_audit_is_sound(store: Store) -> None:
    assert seal(store) == 0
    assert verify(store) == Verification(0, 0, None, ())


def test_sealed_rows_are_chained(store: Store) -> None:
    record(store, "a", "b")
    assert verify(store) == Verification(0, 2, None, ())
    assert seal(store) == 2
    record(store, "c")
    first, second, third = store.snapshot(lambda tx: list(audit.every(tx)))
    assert (first.position, second.position, third.position) == (1, 2, None)
    assert (first.prev_hash, second.prev_hash) == (bytes(32), first.hash)
    found = verify(store)
    assert (found.sealed, found.unsealed, found.faults) == (2, 1, ())
    assert found.head == audit.Head(2, second.hash or b"")


def test_link_can_be_computed_by_anybody(store: Store) -> None:
    sealed(store, 1)
    (row,) = store.read(audit.listing)
    fields = [1, row.seq, row.at, row.node, row.actor, row.action, row.object, row.detail]
    text = json.dumps(fields, separators=(",", ":"))
    assert row.hash == hashlib.sha256(bytes(32) + text.encode()).digest()


def test_rows_are_sealed_in_portions(store: Store) -> None:
    record(store, "a", "b", "c", "d", "e")
    assert [seal(store, 2) for _ in range(4)] == [2, 2, 1, 0]
    assert verify(store).sealed == 5
    assert verify(store).faults == ()


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "at + 1"),
        ("node", "'node2'"),
        ("actor", "'mallory'"),
        ("action", "'action.9'"),
        ("object", "'another'"),
        ("detail", "'{}'"),
        ("hash", "prev_hash"),
    ],
)
def test_changed_row_is_named(store: Store, column: str, value: str) -> None:
    sealed(store)
    change = f"UPDATE audit SET {column} = {value} WHERE position = 3"  # noqa: S608
    faults = tamper(store, change)
    assert faults[0] == Fault(3, 3, "was changed after it was sealed")


def test_each_changed_row_is_named_and_no_other(store: Store) -> None:
    sealed(store)
    faults = tamper(store, "UPDATE audit SET actor = 'mallory' WHERE position IN (1, 3, 5)")
    assert [fault.seq for fault in faults] == [1, 3, 5]


def test_row_with_a_link_made_for_it_does_not_fit_the_next_one(store: Store) -> None:
    sealed(store)
    rows = store.snapshot(lambda tx: list(audit.every(tx)))
    row = rows[2]
    fields = (3, row.seq, row.at, row.node, "mallory", row.action, row.object, row.detail)
    text = json.dumps(fields, separators=(",", ":"))
    forged = hashlib.sha256((row.prev_hash or b"") + text.encode()).digest()
    store.write(
        lambda tx: tx.run(
            "UPDATE audit SET actor = 'mallory', hash = :hash WHERE position = 3", {"hash": forged}
        )
    )
    assert verify(store).faults == (Fault(4, 4, "is not chained to the row before it"),)


def test_missing_row_is_named(store: Store) -> None:
    sealed(store)
    faults = tamper(store, "DELETE FROM audit WHERE position = 3")
    assert faults == (Fault(3, None, "is missing"),)


def test_missing_rows_are_named_together(store: Store) -> None:
    sealed(store)
    faults = tamper(store, "DELETE FROM audit WHERE position IN (2, 3)")
    assert faults == (Fault(2, None, "is missing, and all up to position 3"),)


def test_rows_cut_off_at_the_end_are_missed(store: Store) -> None:
    sealed(store)
    faults = tamper(store, "DELETE FROM audit WHERE position >= 4")
    assert faults == (Fault(4, None, "is missing, and all up to position 5"),)


def test_rows_cut_off_at_the_start_are_missed(store: Store) -> None:
    sealed(store)
    faults = tamper(store, "DELETE FROM audit WHERE position = 1")
    assert faults == (Fault(1, None, "is missing"),)


def test_rows_put_out_of_the_chain_are_missed(store: Store) -> None:
    sealed(store)
    faults = tamper(
        store, "UPDATE audit SET position = NULL, prev_hash = NULL, hash = NULL WHERE position = 2"
    )
    assert faults == (Fault(2, None, "is missing"),)


def test_exchanged_rows_are_named(store: Store) -> None:
    sealed(store)
    store.write(lambda tx: tx.run("UPDATE audit SET position = 99 WHERE position = 2"))
    store.write(lambda tx: tx.run("UPDATE audit SET position = 2 WHERE position = 3"))
    faults = tamper(store, "UPDATE audit SET position = 3 WHERE position = 99")
    assert {fault.position for fault in faults} >= {2, 3}


def test_missing_or_changed_record_of_the_last_link_is_a_fault(store: Store) -> None:
    sealed(store)
    faults = tamper(store, "UPDATE audit_head SET position = 4")
    assert faults == (Fault(5, None, "is not the last link that was recorded"),)
    faults = tamper(store, "DELETE FROM audit_head")
    assert faults == (Fault(5, None, "is sealed, but the record of the last link is missing"),)


def aged(store: Store, days: int = 6) -> None:
    """A row a day, sealed."""
    for day in range(days):
        store.write(
            lambda tx, day=day: audit.record(  # type: ignore[misc]
                tx, now=NOW + day, actor="alice", action=f"action.{day}", object="operation:1"
            )
        )
    seal(store)


def prune(store: Store, before: int, limit: int = 2) -> Head | None:
    last = store.read(lambda tx: audit.oldest(tx, before))
    if last is not None:
        store.write(lambda tx: audit.tell_pruned(tx, last, {}, actor="bob", now=NOW + 9))
        while store.write(lambda tx: audit.prune(tx, last, limit)):
            assert verify(store).faults == ()
    return last


def test_chain_is_whole_at_each_step_of_pruning_and_after_it(store: Store) -> None:
    aged(store)
    assert prune(store, NOW) is None
    assert prune(store, NOW + 3) is not None
    found = verify(store)
    assert (found.sealed, found.unsealed, found.pruned and found.pruned.position) == (3, 1, 3)
    assert seal(store) == 1
    assert [row.action for row in store.read(audit.listing)] == [
        "audit.prune", "action.5", "action.4", "action.3"
    ]  # fmt: skip
    # Again, also of the row that told of it; and of all there is.
    assert prune(store, NOW + 10) is not None
    seal(store)
    found = verify(store)
    assert (found.sealed, found.faults, found.pruned and found.pruned.position) == (1, (), 7)


def test_a_row_that_is_younger_keeps_those_behind_it(store: Store) -> None:
    aged(store)
    store.write(lambda tx: tx.run("UPDATE audit SET at = at + 5 WHERE seq = 2"))
    last = store.read(lambda tx: audit.oldest(tx, NOW + 5))
    assert last is not None
    assert last.position == 1


def test_another_link_than_the_one_that_was_told_of_is_a_fault(store: Store) -> None:
    aged(store)
    prune(store, NOW + 3)
    seal(store)
    other = "(SELECT hash FROM audit WHERE position = 5)"
    faults = tamper(store, f"UPDATE audit_pruned SET hash = {other}")  # noqa: S608
    assert [fault.position for fault in faults] == [3, 4]


@pytest.mark.parametrize(
    "change", ["object = 'x'", "detail = '{'", "detail = '[]'", "detail = '{}'"]
)
def test_a_changed_row_about_pruning_is_a_fault_and_tells_nothing(
    store: Store, change: str
) -> None:
    aged(store)
    prune(store, NOW + 3)
    seal(store)
    faults = tamper(store, f"UPDATE audit SET {change} WHERE action = 'audit.prune'")  # noqa: S608
    assert [(fault.position, fault.seq) for fault in faults] == [(3, None), (7, 7)]


def test_rows_that_are_cut_off_at_the_beginning_without_a_word_are_missed(store: Store) -> None:
    aged(store)
    last = store.read(lambda tx: audit.oldest(tx, NOW + 3))
    assert last is not None
    store.write(lambda tx: audit.prune(tx, last))
    (fault,) = verify(store).faults
    assert (fault.position, fault.seq) == (3, None)
    assert "no row says that they were pruned" in fault.problem
    assert tamper(store, "DELETE FROM audit_pruned")[0] == Fault(
        1, None, "is missing, and all up to position 3"
    )


def test_faults_are_counted_to_a_hundred(store: Store) -> None:
    sealed(store, 150)
    faults = tamper(store, "UPDATE audit SET actor = 'mallory'")
    assert len(faults) == audit.MAX_FAULTS


def test_chain_goes_on_after_a_fault(store: Store) -> None:
    sealed(store)
    tamper(store, "UPDATE audit SET actor = 'mallory' WHERE position = 3")
    record(store, "more")
    assert seal(store) == 1
    assert [fault.position for fault in verify(store).faults] == [3]
