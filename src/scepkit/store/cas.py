"""CAs and their generations: staged, active, retired.

A name has one active generation and at most one staged one, by constraint.  What a retired
generation issued is still found, and its CRLs go on.
"""

from __future__ import annotations

from typing import Literal

from scepkit.store import audit
from scepkit.store.driver import Parameters, Tx
from scepkit.store.rows import Ca, columns

_COLUMNS = columns(Ca)
_SELECT = f"SELECT {_COLUMNS} FROM ca"

_INSERT = f"""
    INSERT INTO ca (
        name, generation, status, key_ref, next_crl_number, revocations, created_at, certificate,
        chain
    ) VALUES (
        :name,
        coalesce(:generation, (SELECT coalesce(max(generation), 0) + 1 FROM ca WHERE name = :name)),
        :status, :key_ref, 1, 0, :now, :certificate, :chain
    )
    ON CONFLICT DO NOTHING
    RETURNING {_COLUMNS}
"""


def add(
    tx: Tx,
    *,
    name: str,
    status: Literal["staged", "active"],
    key_ref: str,
    certificate: bytes,
    chain: bytes = b"",
    actor: str,
    now: int,
    generation: int | None = None,
) -> Ca | None:
    """Add a generation, the next one if not told which.

    None when the name has that generation, or one with that status, already.
    """
    added = _one(
        tx,
        _INSERT,
        {
            "name": name,
            "generation": generation,
            "status": status,
            "key_ref": key_ref,
            "certificate": certificate,
            "chain": chain,
            "now": now,
        },
    )
    if added is not None:
        _record(tx, added, f"ca.{status}", actor, now)
    return added


def ensure(
    tx: Tx,
    *,
    name: str,
    key_ref: str,
    certificate: bytes,
    chain: bytes = b"",
    actor: str,
    now: int,
) -> Ca:
    """The first generation, made active if there is none yet; many servers may ask at once."""
    first = _one(tx, f"{_SELECT} WHERE name = :name AND generation = 1", {"name": name})
    while first is None:
        first = add(
            tx,
            name=name,
            status="active",
            key_ref=key_ref,
            certificate=certificate,
            chain=chain,
            actor=actor,
            now=now,
            generation=1,
        ) or _one(tx, f"{_SELECT} WHERE name = :name AND generation = 1", {"name": name})
    return first


# ------------------------------------------------------------------------------------- rollover


_STATUS = f"""
    UPDATE ca SET status = :to WHERE id = :id AND status = :from
    RETURNING {_COLUMNS}
"""

# Whoever changes the staged generation's fate waits here for others who do.
_LOCK_STAGED = """
    UPDATE ca SET status = 'staged' WHERE id = :id AND status = 'staged'
    RETURNING name
"""

_RETIRE_ACTIVE = "UPDATE ca SET status = 'retired' WHERE name = :name AND status = 'active'"


def activate(tx: Tx, ca_id: int, *, actor: str, now: int) -> Ca | None:
    """Let the staged generation issue from now on, and retire the active one.

    None when it is not staged.
    """
    locked = tx.one(_LOCK_STAGED, {"id": ca_id})
    if locked is None:
        return None
    tx.run(_RETIRE_ACTIVE, {"name": locked[0]})
    activated = _one(tx, _STATUS, {"id": ca_id, "from": "staged", "to": "active"})
    if activated is not None:
        _record(tx, activated, "ca.activate", actor, now)
    return activated


def retire(tx: Tx, ca_id: int, *, actor: str, now: int) -> Ca | None:
    """Call a rollover off: the staged generation will not be used.  None when it is not staged."""
    retired = _one(tx, _STATUS, {"id": ca_id, "from": "staged", "to": "retired"})
    if retired is not None:
        _record(tx, retired, "ca.retire", actor, now)
    return retired


# -------------------------------------------------------------------------------------- finding


def find(tx: Tx, ca_id: int) -> Ca | None:
    """The generation with that number."""
    return _one(tx, f"{_SELECT} WHERE id = :id", {"id": ca_id})


def active(tx: Tx, name: str) -> Ca | None:
    """The generation that issues."""
    return _one(tx, f"{_SELECT} WHERE name = :name AND status = 'active'", {"name": name})


def staged(tx: Tx, name: str) -> Ca | None:
    """The generation that will issue next."""
    return _one(tx, f"{_SELECT} WHERE name = :name AND status = 'staged'", {"name": name})


def listing(tx: Tx, name: str | None = None) -> list[Ca]:
    """All generations of one CA or of all, by name and age."""
    where = "" if name is None else "WHERE name = :name"
    rows = tx.all(f"{_SELECT} {where} ORDER BY name, generation", {"name": name})
    return [Ca(*row) for row in rows]


def _one(tx: Tx, sql: str, parameters: Parameters) -> Ca | None:
    row = tx.one(sql, parameters)
    return None if row is None else Ca(*row)


def _record(tx: Tx, ca: Ca, action: str, actor: str, now: int) -> None:
    audit.record(
        tx,
        now=now,
        actor=actor,
        action=action,
        object=f"ca:{ca.name}/{ca.generation}",
        detail={"key": ca.key_ref},
    )
