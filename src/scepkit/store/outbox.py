"""The outbox: what other programs are to be told, kept with the decision that they are told about.

An item is added by the transaction it is about, so that neither is there without the other.  A
worker takes items under a lease and tells; a worker that dies leaves its items to the next one, so
a receiver may hear twice, never not at all.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

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
    """The item could not be told: again at `retry_at`, or never (None) unless it is revived."""
    tx.run(
        _FAIL,
        {
            "id": item_id,
            "error": error.replace("\0", " "),
            "retry_at": retry_at,
            "dead_at": now if retry_at is None else None,
        },
    )


def revive(tx: Tx, item_id: int, now: int) -> bool:
    """Try a dead item again."""
    return bool(
        tx.run(
            "UPDATE outbox SET dead_at = NULL, not_before = :now"
            " WHERE id = :id AND dead_at IS NOT NULL AND done_at IS NULL",
            {"id": item_id, "now": now},
        )
    )


def dead(tx: Tx, *, before: int | None = None, limit: int = 100) -> list[OutboxItem]:
    """Items that were given up, newest first; the next page is before the last one's `id`."""
    where = "" if before is None else "AND id < :before"
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM outbox WHERE dead_at IS NOT NULL {where}"
        " ORDER BY id DESC LIMIT :limit",
        {"before": before, "limit": limit},
    )
    return [OutboxItem(*row) for row in rows]


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
        (SELECT count(*) FROM outbox WHERE dead_at IS NOT NULL)
    FROM outbox WHERE done_at IS NULL AND dead_at IS NULL
"""


def backlog(tx: Tx) -> Backlog:
    """The outbox in three numbers."""
    ((waiting, oldest, given_up),) = tx.all(_BACKLOG)
    return Backlog(waiting, oldest, given_up)
