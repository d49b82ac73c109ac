"""The outbox: what other programs are to be told, kept with the decision that they are told about.

An item is added by the transaction it is about, so that neither is there without the other.  A
worker takes items under a lease and tells; a worker that dies leaves its items to the next one, so
a receiver may hear twice, never not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from scepkit.store import audit
from scepkit.store.driver import Tx
from scepkit.store.rows import OutboxItem, columns

_COLUMNS = columns(OutboxItem)
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode

_ADD = """
    INSERT INTO outbox (kind, attempts, not_before, created_at, last_error, payload)
    VALUES (:kind, 0, :not_before, :now, '', :payload)
"""


def add(
    tx: Tx, kind: str, payload: Mapping[str, object], now: int, *, not_before: int | None = None
) -> None:
    """Have somebody told, not before a moment; `payload` becomes JSON."""
    tx.send(
        _ADD,
        {
            "kind": kind,
            "payload": _ENCODE(payload),
            "now": now,
            "not_before": now if not_before is None else not_before,
        },
    )


# The outer condition is looked at again after waiting for another worker's commit.
_TAKE = f"""
    UPDATE outbox SET not_before = :until, attempts = attempts + 1
    WHERE not_before <= :now AND done_at IS NULL AND dead_at IS NULL AND id IN (
        SELECT id FROM outbox
        WHERE not_before <= :now AND done_at IS NULL AND dead_at IS NULL
        ORDER BY not_before, id LIMIT :limit
    )
    RETURNING {_COLUMNS}
"""


def take(tx: Tx, now: int, *, lease: int, limit: int = 10) -> list[OutboxItem]:
    """Items that are due, the caller's for `lease` milliseconds, the longest waiting first."""
    rows = tx.all(_TAKE, {"now": now, "until": now + lease, "limit": limit})
    return sorted((OutboxItem(*row) for row in rows), key=lambda item: item.id)


def done(tx: Tx, item_id: int, now: int) -> None:
    """The item was told."""
    tx.run(
        "UPDATE outbox SET done_at = :now WHERE id = :id AND done_at IS NULL",
        {"id": item_id, "now": now},
    )


_FAIL = """
    UPDATE outbox SET
        last_error = :error, not_before = coalesce(:retry_at, not_before),
        dead_at = :dead_at
    WHERE id = :id AND done_at IS NULL
"""


def fail(tx: Tx, item_id: int, now: int, *, error: str, retry_at: int | None) -> None:
    """The item could not be told: again at `retry_at`, or never (None) unless somebody wants it."""
    tx.run(
        _FAIL,
        {
            "id": item_id,
            "error": error.replace("\0", " "),
            "retry_at": retry_at,
            "dead_at": now if retry_at is None else None,
        },
    )


State = Literal["waiting", "given-up", "told"]

_IN_STATE: dict[State | None, str] = {
    None: "id < :before",
    "waiting": "done_at IS NULL AND dead_at IS NULL AND id < :before",
    "given-up": "done_at IS NULL AND dead_at IS NOT NULL AND id < :before",
    "told": "done_at IS NOT NULL AND id < :before",
}
_AFTER_ALL = 2**63 - 1


def listing(
    tx: Tx, *, state: State | None = None, before: int | None = None, limit: int = 100
) -> list[OutboxItem]:
    """Items, newest first, perhaps only those in a state.

    The next page is before the last one's `id`.
    """
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM outbox WHERE {_IN_STATE[state]} ORDER BY id DESC LIMIT :limit",
        {"before": _AFTER_ALL if before is None else before, "limit": limit},
    )
    return [OutboxItem(*row) for row in rows]


def by_id(tx: Tx, item_id: int) -> OutboxItem | None:
    """The item with that number."""
    row = tx.one(f"SELECT {_COLUMNS} FROM outbox WHERE id = :id", {"id": item_id})
    return None if row is None else OutboxItem(*row)


_RETRY = f"""
    UPDATE outbox SET dead_at = NULL, not_before = :now WHERE id = :id AND done_at IS NULL
    RETURNING {_COLUMNS}
"""
_RETRY_GIVEN_UP = """
    UPDATE outbox SET dead_at = NULL, not_before = :now
    WHERE done_at IS NULL AND dead_at IS NOT NULL
"""


def retry(tx: Tx, item_id: int, *, actor: str, now: int) -> OutboxItem | None:
    """Have an item told now, also one that was given up; None when there is none to be told."""
    row = tx.one(_RETRY, {"id": item_id, "now": now})
    if row is None:
        return None
    _record_retry(tx, f"notice:{item_id}", 1, actor, now)
    return OutboxItem(*row)


def retry_given_up(tx: Tx, *, actor: str, now: int) -> int:
    """Have all items told now that were given up; returns how many."""
    count = tx.run(_RETRY_GIVEN_UP, {"now": now})
    if count:
        _record_retry(tx, "notices:given-up", count, actor, now)
    return count


def _record_retry(tx: Tx, object_: str, count: int, actor: str, now: int) -> None:
    audit.record(
        tx, now=now, actor=actor, action="notice.retry", object=object_, detail={"count": count}
    )


def prune(tx: Tx, done_before: int) -> int:
    """Delete the items that were told before a moment; returns how many went."""
    return tx.run("DELETE FROM outbox WHERE done_at < :moment", {"moment": done_before})


@dataclass(frozen=True, slots=True)
class Backlog:
    """How many items wait, since when the oldest one does, and how many were given up."""

    waiting: int
    oldest: int | None
    dead: int


_BACKLOG = """
    SELECT count(*), min(created_at),
        (SELECT count(*) FROM outbox WHERE done_at IS NULL AND dead_at IS NOT NULL)
    FROM outbox WHERE done_at IS NULL AND dead_at IS NULL
"""


def backlog(tx: Tx) -> Backlog:
    """The outbox in three numbers."""
    ((waiting, oldest, given_up),) = tx.all(_BACKLOG)
    return Backlog(waiting, oldest, given_up)
