"""Operations: how enrolments and renewals are found, taken over, decided and ended.

Each change of state is one UPDATE that names the state it starts from: of several that try at once,
exactly one gets the row back, and the others get None.

    pending ── approve ──▶ approved ── certificates.publish ──▶ issued
       │                       └────── fail ──▶ failed
       ├── reject ──▶ rejected
       └── expire_pending ──▶ expired
"""

from __future__ import annotations

from dataclasses import dataclass

from scepkit.store import audit
from scepkit.store.driver import Parameters, Tx
from scepkit.store.rows import LONGEST_LEASE, Operation, OperationState, columns
from scepkit.store.searching import containing

_COLUMNS = columns(Operation)
_SELECT = f"SELECT {_COLUMNS} FROM operation"


def _one(tx: Tx, sql: str, parameters: Parameters) -> Operation | None:
    row = tx.one(sql, parameters)
    return None if row is None else Operation(*row)


# ------------------------------------------------------------------------------------- finding


def find(tx: Tx, operation_id: int) -> Operation | None:
    """The operation with that number."""
    return _one(tx, f"{_SELECT} WHERE id = :id", {"id": operation_id})


def by_key(tx: Tx, profile: str, op_key: bytes) -> Operation | None:
    """The newest operation that the same request began."""
    return _one(
        tx,
        f"{_SELECT} WHERE profile = :profile AND op_key = :op_key ORDER BY epoch DESC LIMIT 1",
        {"profile": profile, "op_key": op_key},
    )


_BY_ALIAS = f"""
    {_SELECT} WHERE id = (
        SELECT operation_id FROM transaction_alias
        WHERE profile = :profile AND transaction_id = :transaction_id
            AND signer_spki = :signer_spki
    )
"""


def by_alias(tx: Tx, profile: str, transaction_id: str, signer_spki: bytes) -> Operation | None:
    """The operation that a signer's transactionID leads to (CertPoll)."""
    return _one(
        tx,
        _BY_ALIAS,
        {"profile": profile, "transaction_id": transaction_id, "signer_spki": signer_spki},
    )


@dataclass(frozen=True, slots=True)
class Waiting:
    """How many operations wait for a decision, and since when the oldest one does."""

    count: int
    oldest: int | None


def waiting(tx: Tx, profile: str | None = None) -> Waiting:
    """The queue of pending operations in two numbers; of one profile, or of all."""
    query = "SELECT count(*), min(created_at) FROM operation WHERE state = 'pending'"
    if profile is None:
        row = tx.one(query)
    else:
        row = tx.one(f"{query} AND profile = :profile", {"profile": profile})
    return Waiting(*row) if row else Waiting(0, None)


def search(
    tx: Tx,
    *,
    state: OperationState | None = None,
    profile: str | None = None,
    text: str | None = None,
    before: int | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Operation]:
    """Operations, newest first; the next page is before the last one's `id`.

    `text` is part of the subject, of a subject alternative name or of the transactionID, with ASCII
    letters in any case.  The rows are read until a page is full, or down to the one numbered
    `after` (`searching.floor`).
    """
    conditions = {
        "state = :state": state,
        "profile = :profile": profile,
        "id < :before": before,
        "id > :after": after or None,
        "(lower(subject) LIKE :text ESCAPE '!' OR lower(sans) LIKE :text ESCAPE '!'"
        " OR lower(transaction_id) LIKE :text ESCAPE '!')": text,
    }
    asked = [condition for condition, value in conditions.items() if value is not None]
    rows = tx.all(
        f"{_SELECT} {'WHERE ' if asked else ''}{' AND '.join(asked)} ORDER BY id DESC LIMIT :limit",
        {
            "state": state,
            "profile": profile,
            "before": before,
            "after": after,
            "text": None if text is None else containing(text),
            "limit": limit,
        },
    )
    return [Operation(*row) for row in rows]


# ------------------------------------------------------------------------ working at approved ones


#: A lease is over at its time, and also when that is farther away than any lease is long: then it
#: was taken by a clock that was ahead, and nobody may be there to end it.
_OVER = "(lease_until <= :now OR lease_until > :longest)"

_TAKE_OVER = f"""
    UPDATE operation SET lease_until = :until, attempts = attempts + 1
    WHERE id = :id AND state = 'approved' AND {_OVER}
    RETURNING {_COLUMNS}
"""


def take_over(tx: Tx, operation_id: int, now: int, lease: int) -> Operation | None:
    """Take up an approved operation that nobody works at any more; `lease` is in milliseconds.

    None when somebody holds the lease, or when there is nothing left to do.
    """
    return _one(
        tx,
        _TAKE_OVER,
        {"id": operation_id, "now": now, "longest": now + LONGEST_LEASE, "until": now + lease},
    )


def release(tx: Tx, operation_id: int, now: int) -> None:
    """Give an approved operation back before its lease ends, because its key is not there now."""
    tx.run(
        "UPDATE operation SET lease_until = :now WHERE id = :id AND state = 'approved'",
        {"id": operation_id, "now": now},
    )


def abandoned(tx: Tx, now: int, limit: int = 100) -> list[Operation]:
    """Approved operations whose lease is over, for the sweeper; each has to be taken over."""
    rows = tx.all(
        f"{_SELECT} WHERE {_OVER} LIMIT :limit",
        {"now": now, "longest": now + LONGEST_LEASE, "limit": limit},
    )
    return [Operation(*row) for row in rows]


def unfinished(tx: Tx, now: int) -> int:
    """How many approved operations nobody works at: usually because a key is away."""
    row = tx.one(
        f"SELECT count(*) FROM operation WHERE {_OVER}",
        {"now": now, "longest": now + LONGEST_LEASE},
    )
    return 0 if row is None else int(row[0])


_FAIL = f"""
    UPDATE operation SET
        state = 'failed', lease_until = NULL, finished_at = :now, fail_info = :fail_info,
        reason = :reason
    WHERE id = :id AND state = 'approved'
    RETURNING {_COLUMNS}
"""


def fail(
    tx: Tx, operation_id: int, *, fail_info: int, reason: str, actor: str, now: int
) -> Operation | None:
    """End an approved operation that can never be issued."""
    failed = _one(
        tx, _FAIL, {"id": operation_id, "fail_info": fail_info, "reason": reason, "now": now}
    )
    if failed is not None:
        _record(tx, failed, "request.fail", actor, reason, now)
    return failed


# ------------------------------------------------------------------------------------- deciding


_APPROVE = f"""
    UPDATE operation SET
        state = 'approved', lease_until = :now, pending_until = NULL, decided_at = :now,
        decided_by = :actor, reason = :reason
    WHERE id = :id AND state = 'pending'
    RETURNING {_COLUMNS}
"""


def approve(
    tx: Tx, operation_id: int, *, actor: str, reason: str = "", now: int
) -> Operation | None:
    """Let a pending operation be issued: whoever takes it over next does it."""
    approved = _one(
        tx, _APPROVE, {"id": operation_id, "actor": actor, "reason": reason, "now": now}
    )
    if approved is not None:
        _record(tx, approved, "request.approve", actor, reason, now)
    return approved


_REJECT = f"""
    UPDATE operation SET
        state = 'rejected', pending_until = NULL, decided_at = :now, decided_by = :actor,
        finished_at = :now, fail_info = :fail_info, reason = :reason
    WHERE id = :id AND state = 'pending'
    RETURNING {_COLUMNS}
"""


def reject(
    tx: Tx, operation_id: int, *, actor: str, fail_info: int, reason: str = "", now: int
) -> Operation | None:
    """Refuse a pending operation.  Its challenge stays spent (`challenges.give_back`)."""
    rejected = _one(
        tx,
        _REJECT,
        {
            "id": operation_id,
            "actor": actor,
            "fail_info": fail_info,
            "reason": reason,
            "now": now,
        },
    )
    if rejected is not None:
        _record(tx, rejected, "request.reject", actor, reason, now)
    return rejected


_EXPIRE = f"""
    UPDATE operation SET state = 'expired', pending_until = NULL, finished_at = :now
    WHERE state = 'pending' AND id IN (
        SELECT id FROM operation
        WHERE state = 'pending' AND pending_until <= :now ORDER BY id LIMIT :limit
    )
    RETURNING {_COLUMNS}
"""


def expire_pending(tx: Tx, now: int, *, actor: str, limit: int = 500) -> list[Operation]:
    """End the pending operations that nobody decided in time."""
    rows = tx.all(_EXPIRE, {"now": now, "limit": limit})
    expired = [Operation(*row) for row in rows]
    for operation in expired:
        _record(tx, operation, "request.expire", actor, "", now)
    return expired


def _record(tx: Tx, operation: Operation, action: str, actor: str, reason: str, now: int) -> None:
    audit.record(
        tx,
        now=now,
        actor=actor,
        action=action,
        object=f"operation:{operation.id}",
        detail={
            "profile": operation.profile,
            "subject": operation.subject,
            "transactionID": operation.transaction_id,
            "reason": reason,
        },
    )
