"""Who does what only one server process may do at a time, and which processes there are.

A job is held by a lease in a row: whoever dies leaves it to the others when the lease is over.
Leases are compared by the servers' clocks, so these have to agree to within a lease's length; one
that ends later than any could was taken by a clock that was ahead, and holds nobody up.  No promise
hangs on it: two holders at once would do work twice, not wrong.
"""

from __future__ import annotations

from scepkit.store.driver import Tx
from scepkit.store.rows import LONGEST_LEASE, Node, columns

_ACQUIRE = """
    INSERT INTO job (name, holder, lease_until) VALUES (:name, :holder, :until)
    ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, lease_until = excluded.lease_until
    WHERE job.holder = excluded.holder OR job.lease_until <= :now
        OR job.lease_until > :longest
"""


def acquire(tx: Tx, name: str, holder: str, now: int, lease: int) -> bool:
    """Begin or go on with a job for `lease` milliseconds; False when somebody else has it."""
    return bool(
        tx.run(
            _ACQUIRE,
            {
                "name": name,
                "holder": holder,
                "now": now,
                "longest": now + LONGEST_LEASE,
                "until": now + lease,
            },
        )
    )


def release(tx: Tx, name: str, holder: str) -> None:
    """End a job before its lease does."""
    tx.run(
        "DELETE FROM job WHERE name = :name AND holder = :holder",
        {"name": name, "holder": holder},
    )


_HEARTBEAT = """
    INSERT INTO node (name, version, started_at, heartbeat_at, challenge_key)
    VALUES (:name, :version, :started_at, :now, :challenge_key)
    ON CONFLICT (name) DO UPDATE SET
        version = excluded.version, started_at = excluded.started_at,
        heartbeat_at = excluded.heartbeat_at, challenge_key = excluded.challenge_key
"""


def heartbeat(
    tx: Tx, name: str, *, version: str, started_at: int, now: int, challenge_key: str = ""
) -> None:
    """Say that a server process is alive, and which challenge key it has (`Node`)."""
    tx.run(
        _HEARTBEAT,
        {
            "name": name,
            "version": version,
            "started_at": started_at,
            "now": now,
            "challenge_key": challenge_key,
        },
    )


def nodes(tx: Tx) -> list[Node]:
    """All server processes that ever said they are alive, by name."""
    rows = tx.all(f"SELECT {columns(Node)} FROM node ORDER BY name")
    return [Node(*row) for row in rows]


def forget(tx: Tx, heartbeat_before: int) -> int:
    """Forget the processes that were last alive before a moment; returns how many there were."""
    return tx.run("DELETE FROM node WHERE heartbeat_at < :moment", {"moment": heartbeat_before})
