"""The audit: who decided what, in rows that are chained so that changing one shows.

Rows are added by the transactions that decide (promise P7) and get their place in the chain a
moment later from `seal`, so that transactions on several machines need not wait for one another.
Each link is SHA-256 over the previous link and the row; a row's place is its position.  Whoever can
write the whole table can also make a whole new chain: note a `Head` somewhere else to see that.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scepkit.store.driver import Row, Tx
from scepkit.store.rows import AuditRow, columns
from scepkit.store.searching import after_all

_COLUMNS = columns(AuditRow)

# Escapes all that is not ASCII, and with it all that a database would refuse.
_ENCODE = json.JSONEncoder(separators=(",", ":")).encode

#: What the first row is chained to.
START = bytes(32)

#: Faults after which looking on tells nothing new.
MAX_FAULTS = 100


_INSERT = """
    INSERT INTO audit (at, node, actor, action, object, detail)
    VALUES (:at, :node, :actor, :action, :object, :detail)
"""


def record(
    tx: Tx,
    *,
    now: int,
    actor: str,
    action: str,
    object: str,
    detail: Mapping[str, object] | None = None,
) -> None:
    """Add a row.  `detail` becomes JSON; no secret may be in it."""
    tx.send(
        _INSERT,
        {
            "at": now,
            "node": tx.node,
            "actor": actor,
            "action": action,
            "object": object,
            "detail": _ENCODE(detail) if detail else "{}",
        },
    )


# -------------------------------------------------------------------------------------- reading


def listing(
    tx: Tx,
    *,
    actor: str | None = None,
    action: str | None = None,
    object: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[AuditRow]:
    """Rows, newest first; the next page is before the last one's `seq`.

    `action` is its beginning, such as ``certificate.``.
    """
    conditions = {
        "actor = :actor": actor,
        "action >= :action AND action <= :end": action,
        "object = :object": object,
        "seq < :before": before,
    }
    asked = [condition for condition, value in conditions.items() if value is not None]
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM audit"
        f" {'WHERE ' if asked else ''}{' AND '.join(asked)} ORDER BY seq DESC LIMIT :limit",
        {
            "actor": actor,
            "action": action,
            "end": after_all(action or ""),
            "object": object,
            "before": before,
            "limit": limit,
        },
    )
    return [AuditRow(*row) for row in rows]


def every(tx: Tx) -> Iterator[AuditRow]:
    """All rows, for an export.  Only in `Store.snapshot`."""
    for row in tx.stream(f"SELECT {_COLUMNS} FROM audit ORDER BY seq"):
        yield AuditRow(*row)


# -------------------------------------------------------------------------------------- sealing


@dataclass(frozen=True, slots=True)
class Head:
    """The last link of the chain."""

    position: int
    hash: bytes


def head(tx: Tx) -> Head | None:
    """The last link, or None when nothing was sealed yet."""
    row = tx.one("SELECT position, hash FROM audit_head WHERE id = 1")
    return None if row is None else Head(*row)


# A place in the chain is given out here once: whoever comes second changes no row.
_MOVE_HEAD = """
    INSERT INTO audit_head (id, position, hash) VALUES (1, :position, :hash)
    ON CONFLICT (id) DO UPDATE SET position = excluded.position, hash = excluded.hash
    WHERE audit_head.position = :from AND audit_head.hash = :prev_hash
"""

_SEAL = """
    UPDATE audit SET position = :position, prev_hash = :prev_hash, hash = :hash
    WHERE seq = :seq AND position IS NULL
"""


def seal(tx: Tx, limit: int = 1000) -> int:
    """Chain the rows that are not chained yet; returns how many were, 0 when there were none.

    When somebody else seals at the same moment, their work counts and this call does nothing.
    """
    # In this order: rows that are read after the head are sealed by nobody while it is the head.
    last = head(tx) or Head(0, START)
    rows = tx.all(
        f"SELECT {_COLUMNS} FROM audit WHERE position IS NULL ORDER BY seq LIMIT :limit",
        {"limit": limit},
    )
    links = []
    link = last
    for row in rows:
        prev_hash = link.hash
        link = Head(link.position + 1, _hash(prev_hash, link.position + 1, row))
        links.append(
            {"seq": row[0], "position": link.position, "prev_hash": prev_hash, "hash": link.hash}
        )
    if not links or not tx.run(
        _MOVE_HEAD,
        {
            "position": link.position,
            "hash": link.hash,
            "from": last.position,
            "prev_hash": last.hash,
        },
    ):
        return 0
    tx.run_many(_SEAL, links)
    return len(links)


def _hash(prev_hash: bytes, position: int, row: Row) -> bytes:
    """The link of a row: over position, seq, at, node, actor, action, object and detail."""
    return hashlib.sha256(prev_hash + _ENCODE((position, *row[:7])).encode()).digest()


# ----------------------------------------------------------------------------------- verification


@dataclass(frozen=True, slots=True)
class Fault:
    """A place where the chain is broken; `seq` is the row's, or None for a row that is missing."""

    position: int
    seq: int | None
    problem: str


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found: `sealed` rows in the chain, `unsealed` ones that wait for their place.

    `pruned` is the link to which the first of them is chained, or None when it is the very first.
    """

    sealed: int
    unsealed: int
    head: Head | None
    faults: tuple[Fault, ...]
    pruned: Head | None = None


_SEALED = f"SELECT {_COLUMNS} FROM audit WHERE position IS NOT NULL ORDER BY position"


def verify(tx: Tx) -> Verification:
    """Walk along the whole chain.  Only in `Store.snapshot`."""
    start = pruned(tx)
    faults = [] if start is None or _is_told(tx, start) else [Fault(start.position, None, _UNTOLD)]
    link = start or Head(0, START)
    count = 0
    for row in tx.stream(_SEALED):
        seq, (position, prev_hash, found) = row[0], row[7:]
        if position != link.position + 1:
            faults.append(Fault(link.position + 1, None, _missing(link.position + 1, position - 1)))
        elif prev_hash != link.hash:
            faults.append(Fault(position, seq, "is not chained to the row before it"))
        if found != _hash(prev_hash, position, row):
            faults.append(Fault(position, seq, "was changed after it was sealed"))
        link = Head(position, found)
        count += 1
        if len(faults) >= MAX_FAULTS:
            break
    end = head(tx)
    if len(faults) < MAX_FAULTS and (end or Head(0, START)) != link:
        faults.append(_fault_at_end(link, end))
    ((unsealed,),) = tx.all("SELECT count(*) FROM audit WHERE position IS NULL")
    return Verification(count, unsealed, end, tuple(faults), start)


def _missing(first: int, last: int) -> str:
    return "is missing" if first == last else f"is missing, and all up to position {last}"


def _fault_at_end(link: Head, end: Head | None) -> Fault:
    if end is None:
        return Fault(link.position, None, "is sealed, but the record of the last link is missing")
    if end.position > link.position:
        return Fault(link.position + 1, None, _missing(link.position + 1, end.position))
    return Fault(link.position, None, "is not the last link that was recorded")


# -------------------------------------------------------------------------------------- pruning

#: The action of the row that says that others were pruned.
PRUNE = "audit.prune"

_UNTOLD = "is missing, and all before it, and no row says that they were pruned"


def pruned(tx: Tx) -> Head | None:
    """The last link of those that were pruned, or None when none were."""
    row = tx.one("SELECT position, hash FROM audit_pruned WHERE id = 1")
    return None if row is None else Head(*row)


def oldest(tx: Tx, before: int) -> Head | None:
    """The last link of the rows that begin the chain and are all older; None when there are none.

    :param before: a moment.
    """
    first_kept = "SELECT min(position) FROM audit WHERE position IS NOT NULL AND at >= :before"
    row = tx.one(
        "SELECT position, hash FROM audit WHERE position IS NOT NULL"
        f" AND position < coalesce(({first_kept}), :never) ORDER BY position DESC LIMIT 1",
        {"before": before, "never": _NEVER},
    )
    return None if row is None else Head(*row)


_NEVER = 2**62


def up_to(tx: Tx, position: int) -> Iterator[AuditRow]:
    """The rows of the chain up to a position, oldest first.  Only in `Store.snapshot`."""
    sql = f"SELECT {_COLUMNS} FROM audit WHERE position <= :position ORDER BY position"
    for row in tx.stream(sql, {"position": position}):
        yield AuditRow(*row)


def tell_pruned(tx: Tx, last: Head, detail: Mapping[str, object], *, actor: str, now: int) -> None:
    """Say that the rows up to a link are going to be pruned; `prune` does it."""
    told = {**detail, "hash": last.hash.hex()}
    record(tx, now=now, actor=actor, action=PRUNE, object=f"audit:{last.position}", detail=told)


_KEEP_LINK = """
    INSERT INTO audit_pruned (id, position, hash)
    SELECT 1, position, hash FROM audit WHERE position = :position
    ON CONFLICT (id) DO UPDATE SET position = excluded.position, hash = excluded.hash
"""


def prune(tx: Tx, last: Head, limit: int = 10_000) -> int:
    """Remove the oldest rows up to a link, at most `limit`; returns how many, 0 when it is done."""
    found = tx.one(
        "SELECT max(position) FROM ("
        "SELECT position FROM audit WHERE position <= :last ORDER BY position LIMIT :limit) oldest",
        {"last": last.position, "limit": limit},
    )
    if found is None or found[0] is None:
        return 0
    tx.run(_KEEP_LINK, {"position": found[0]})
    return tx.run("DELETE FROM audit WHERE position <= :position", {"position": found[0]})


def _is_told(tx: Tx, last: Head) -> bool:
    """Whether a row that is left says that all up to this link were to be pruned."""
    rows = tx.all(
        "SELECT object, detail FROM audit WHERE action = :action ORDER BY seq DESC",
        {"action": PRUNE},
    )
    for of, detail in rows:
        try:
            position, told = int(of.removeprefix("audit:")), json.loads(detail)["hash"]
        except (ValueError, KeyError, TypeError):
            continue  # somebody has changed that row, and the chain says so
        # One that was killed in the middle has said how far it would have gone.
        if position > last.position:
            return True
        if position == last.position:
            return bool(told == last.hash.hex())
    return False
