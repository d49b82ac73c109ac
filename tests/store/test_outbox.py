"""The outbox: told at least once, by one worker at a time."""

from __future__ import annotations

from typing import Any

from scepkit.store import Rollback, Store, Tx, audit, outbox
from scepkit.store.outbox import Backlog
from scepkit.store.rows import OutboxItem
from tests.store.enrolling import DAY, MINUTE, NOW


def add(store: Store, kind: str = "certificate.issued", **when: int) -> None:
    store.write(lambda tx: outbox.add(tx, kind, {"operation": 7}, NOW, **when))


def take(store: Store, now: int = NOW, limit: int = 10) -> list[OutboxItem]:
    return store.write(lambda tx: outbox.take(tx, now, lease=MINUTE, limit=limit))


def test_item_is_taken_by_one_worker(store: Store) -> None:
    add(store)
    (item,) = take(store)
    assert (item.kind, item.payload, item.attempts) == (
        "certificate.issued",
        '{"operation":7}',
        1,
    )
    assert take(store) == []


def test_item_of_an_undone_transaction_is_not_there(store: Store) -> None:
    def undo(tx: Tx) -> None:
        outbox.add(tx, "certificate.issued", {}, NOW)
        raise Rollback(None)

    store.write(undo)
    assert take(store) == []


def test_item_of_a_worker_that_died_is_taken_again(store: Store) -> None:
    add(store)
    (item,) = take(store)
    assert take(store, NOW + MINUTE - 1) == []
    (again,) = take(store, NOW + MINUTE)
    assert (again.id, again.attempts) == (item.id, 2)


def test_told_item_is_not_taken_again(store: Store) -> None:
    add(store)
    (item,) = take(store)
    store.write(lambda tx: outbox.done(tx, item.id, NOW))
    assert take(store, NOW + DAY) == []


def test_failed_item_is_taken_again_at_its_time(store: Store) -> None:
    add(store)
    (item,) = take(store)
    retry_at = NOW + 5 * MINUTE
    store.write(lambda tx: outbox.fail(tx, item.id, NOW, error="503\0", retry_at=retry_at))
    assert take(store, retry_at - 1) == []
    (again,) = take(store, retry_at)
    assert (again.attempts, again.last_error) == (2, "503 ")


def give_up(store: Store, item: OutboxItem) -> None:
    store.write(lambda tx: outbox.fail(tx, item.id, NOW, error="410", retry_at=None))


def test_item_given_up_is_told_when_somebody_wants_it(store: Store) -> None:
    add(store)
    (item,) = take(store)
    give_up(store, item)
    assert take(store, NOW + DAY) == []
    retried = store.write(lambda tx: outbox.retry(tx, item.id, actor="alice", now=NOW + DAY))
    assert retried is not None
    assert (retried.id, retried.last_error, retried.dead_at) == (item.id, "410", None)
    (again,) = take(store, NOW + DAY)
    assert again.id == item.id


def test_waiting_item_is_told_now_when_somebody_wants_it(store: Store) -> None:
    add(store, not_before=NOW + DAY)
    (item,) = store.read(outbox.listing)
    assert store.write(lambda tx: outbox.retry(tx, item.id, actor="alice", now=NOW))
    assert len(take(store)) == 1


def test_told_item_is_not_told_again(store: Store) -> None:
    add(store)
    (item,) = take(store)
    store.write(lambda tx: outbox.done(tx, item.id, NOW))
    assert store.write(lambda tx: outbox.retry(tx, item.id, actor="alice", now=NOW)) is None
    assert store.write(lambda tx: outbox.retry_given_up(tx, actor="alice", now=NOW)) == 0


def test_all_that_was_given_up_is_told_again(store: Store) -> None:
    for _ in range(3):
        add(store)
    first, second, _ = take(store)
    give_up(store, first)
    give_up(store, second)
    assert store.write(lambda tx: outbox.retry_given_up(tx, actor="alice", now=NOW)) == 2
    assert [item.id for item in take(store)] == [first.id, second.id]


def test_retry_is_in_the_audit_trail(store: Store) -> None:
    add(store)
    (item,) = take(store)
    store.write(lambda tx: outbox.retry(tx, item.id, actor="alice", now=NOW))
    (row,) = store.read(audit.listing)
    assert (row.actor, row.action, row.object) == ("alice", "notice.retry", f"notice:{item.id}")


def test_items_are_listed_by_state_newest_first(store: Store) -> None:
    for _ in range(4):
        add(store)
    told, lost, *waiting = take(store)
    store.write(lambda tx: outbox.done(tx, told.id, NOW))
    give_up(store, lost)

    def listed(**options: Any) -> list[int]:
        return [item.id for item in store.read(lambda tx: outbox.listing(tx, **options))]

    assert listed() == [waiting[1].id, waiting[0].id, lost.id, told.id]
    assert listed(before=waiting[0].id, limit=1) == [lost.id]
    assert listed(state="waiting") == [waiting[1].id, waiting[0].id]
    assert listed(state="given-up") == [lost.id]
    assert listed(state="told") == [told.id]


def test_item_is_not_taken_before_its_time(store: Store) -> None:
    add(store, not_before=NOW + MINUTE)
    assert take(store) == []
    assert len(take(store, NOW + MINUTE)) == 1


def test_longest_waiting_items_are_taken_first(store: Store) -> None:
    for minutes in (3, 1, 2):
        add(store, f"after.{minutes}", not_before=NOW + minutes * MINUTE)
    kinds = [item.kind for item in take(store, NOW + DAY, limit=2)]
    assert sorted(kinds) == ["after.1", "after.2"]


def test_backlog_is_told_in_three_numbers(store: Store) -> None:
    assert store.read(outbox.backlog) == Backlog(0, None, 0)
    for _ in range(3):
        add(store)
    first, second, _third = take(store)
    store.write(lambda tx: outbox.done(tx, first.id, NOW))
    store.write(lambda tx: outbox.fail(tx, second.id, NOW, error="", retry_at=None))
    assert store.read(outbox.backlog) == Backlog(1, NOW, 1)


def test_told_items_are_pruned(store: Store) -> None:
    add(store)
    add(store)
    first, _second = take(store)
    store.write(lambda tx: outbox.done(tx, first.id, NOW))
    assert store.write(lambda tx: outbox.prune(tx, NOW)) == 0
    assert store.write(lambda tx: outbox.prune(tx, NOW + 1)) == 1
    assert store.read(outbox.backlog).waiting == 1
