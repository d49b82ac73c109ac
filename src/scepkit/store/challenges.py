"""Challenges: handed out once, spent a counted number of times (promise P2).

Only a MAC of the secret is here.  Spending is one UPDATE with all its conditions; it is part of the
transaction that claims the request, so that a crash or a refusal gives the use back.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from scepkit.store import audit
from scepkit.store.driver import Parameters, Statement, Tx
from scepkit.store.rows import Challenge, columns

_COLUMNS = columns(Challenge)
_SELECT = f"SELECT {_COLUMNS} FROM challenge"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewChallenge:
    """A challenge to hand out.

    Attributes:
        mac: HMAC of the secret; no two challenges have the same.
        bind: who may use it, as JSON of the caller's.
        uses: how many requests it is good for.
        label: for people.
    """

    profile: str
    mac: bytes
    bind: str = "{}"
    uses: int = 1
    expires_at: int
    label: str = ""


_INSERT = """
    INSERT INTO challenge (
        profile, mac, bind, label, uses, uses_left, expires_at, created_at, created_by
    ) VALUES (:profile, :mac, :bind, :label, :uses, :uses, :expires_at, :now, :actor)
"""


def mint(tx: Tx, new: Iterable[NewChallenge], *, actor: str, now: int) -> list[int]:
    """Hand out challenges; returns their numbers."""
    numbers = []
    for one in new:
        parameters: Parameters = {
            "profile": one.profile,
            "mac": one.mac,
            "bind": one.bind,
            "label": one.label,
            "uses": one.uses,
            "expires_at": one.expires_at,
            "now": now,
            "actor": actor,
        }
        number = tx.insert(_INSERT, parameters)
        if number is not None:  # an INSERT without a conflict clause adds its row or fails
            numbers.append(number)
        audit.record(
            tx,
            now=now,
            actor=actor,
            action="challenge.mint",
            object=f"challenge:{number}",
            detail={
                "profile": one.profile,
                "bind": one.bind,
                "uses": one.uses,
                "expires": one.expires_at,
                "label": one.label,
            },
        )
    return numbers


_SPEND = """
    UPDATE challenge SET uses_left = uses_left - 1
    WHERE mac = :mac AND profile = :profile AND uses_left > 0 AND expires_at > :now
        AND revoked_at IS NULL
"""


def spending(mac: bytes, profile: str, now: int) -> Statement:
    """What uses a challenge once: it changes no row when there is none that can be used."""
    return _SPEND, {"mac": mac, "profile": profile, "now": now}


def spend(tx: Tx, mac: bytes, profile: str, now: int) -> bool:
    """Use a challenge once; False when there is none that can be used (`find` says why)."""
    return bool(tx.run(*spending(mac, profile, now)))


def give_back(tx: Tx, challenge_id: int) -> bool:
    """Undo one use, because what it was spent for came to nothing."""
    return bool(
        tx.run(
            "UPDATE challenge SET uses_left = uses_left + 1 WHERE id = :id AND uses_left < uses",
            {"id": challenge_id},
        )
    )


def find(tx: Tx, mac: bytes) -> Challenge | None:
    """The challenge with that MAC, usable or not: to say why it was refused."""
    return _one(tx, f"{_SELECT} WHERE mac = :mac", {"mac": mac})


def by_id(tx: Tx, challenge_id: int) -> Challenge | None:
    """The challenge with that number."""
    return _one(tx, f"{_SELECT} WHERE id = :id", {"id": challenge_id})


def listing(
    tx: Tx,
    *,
    profile: str | None = None,
    usable_at: int | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Challenge]:
    """Challenges, newest first, perhaps only those that can still be used at a moment.

    The next page is before the last one's `id`.
    """
    conditions = {
        "profile = :profile": profile,
        "uses_left > 0 AND revoked_at IS NULL AND expires_at > :usable_at": usable_at,
        "id < :before": before,
    }
    asked = [condition for condition, value in conditions.items() if value is not None]
    rows = tx.all(
        f"{_SELECT} {'WHERE ' if asked else ''}{' AND '.join(asked)} ORDER BY id DESC LIMIT :limit",
        {"profile": profile, "usable_at": usable_at, "before": before, "limit": limit},
    )
    return [Challenge(*row) for row in rows]


_REVOKE = f"""
    UPDATE challenge SET revoked_at = :now WHERE id = :id AND revoked_at IS NULL
    RETURNING {_COLUMNS}
"""


def revoke(tx: Tx, challenge_id: int, *, actor: str, now: int) -> Challenge | None:
    """Let a challenge be used no more; None when it is unknown or was revoked before."""
    revoked = _one(tx, _REVOKE, {"id": challenge_id, "now": now})
    if revoked is not None:
        audit.record(
            tx,
            now=now,
            actor=actor,
            action="challenge.revoke",
            object=f"challenge:{challenge_id}",
            detail={"profile": revoked.profile, "label": revoked.label},
        )
    return revoked


def _one(tx: Tx, sql: str, parameters: Parameters) -> Challenge | None:
    row = tx.one(sql, parameters)
    return None if row is None else Challenge(*row)
