"""Claiming a request: the first step of every enrolment and renewal.

A request is identified by its op_key (who asks, for what, on whose authority), never by its
transactionID: every way of retrying ends at the row that the first request made (promise P1).
Claiming is one INSERT that a unique constraint guards; whoever loses the race reads the winner's
row.  `accept` does it together with all that has to happen or not happen with it.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Literal

from scepkit.errors import InputError
from scepkit.store import challenges
from scepkit.store.certificates import Reservation, reserving
from scepkit.store.driver import Parameters, Rollback, Statement, Tx
from scepkit.store.operations import by_key, find
from scepkit.store.rows import Challenge, Operation, OperationKind, columns


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A request that was checked and may be worked at, or has to wait for a person.

    Attributes:
        op_key: what identifies the request: a hash over profile, public key, the request's content
            and its authenticator.
        state: "approved" when it is to be issued at once, "pending" when somebody has to decide.
        signer: the signer's certificate, DER; `signer_spki` is the SHA-256 of its public key.
        sans: the subject alternative names, one a line, for searching.
        lease: milliseconds until somebody else may take an approved operation over.
        pending_for: milliseconds until a pending one expires; None: never.
        replay_window: milliseconds after its end in which the same request gets the same answer;
            None: for ever, as for challenges that can be used once.
        challenge_mac: the MAC of the challenge it comes with; spending it is a step of its own.
        reason: why it is held, for the person who decides.
    """

    profile: str
    op_key: bytes
    kind: OperationKind
    state: Literal["approved", "pending"]
    csr: bytes
    signer: bytes
    signer_spki: bytes
    transaction_id: str
    subject: str
    sans: str = ""
    lease: int
    pending_for: int | None = None
    replay_window: int | None
    challenge_mac: bytes | None = None
    renews_ca: int | None = None
    renews_serial: str | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Claimed:
    """The operation is new, and the caller's to work at: it holds the lease."""

    operation_id: int
    epoch: int


@dataclass(frozen=True, slots=True)
class Known:
    """The request was seen before; this is what became of it."""

    operation: Operation


@dataclass(frozen=True, slots=True)
class TransactionIdInUse:
    """The signer uses this transactionID for another request, which is not finished.

    Nothing was claimed.
    """

    operation_id: int


# Of one moment: who finds the challenge spent finds the operation that it was spent for.
_BEFORE = f"""
    SELECT {columns(Challenge, "challenge")}, {columns(Operation, "operation")}
    FROM (SELECT 1) AS one_row
    LEFT JOIN challenge ON challenge.mac = :mac
    LEFT JOIN operation ON operation.id = (
        SELECT id FROM operation WHERE profile = :profile AND op_key = :op_key
        ORDER BY epoch DESC LIMIT 1
    )
"""
_OF_CHALLENGE = len(fields(Challenge))


def before(
    tx: Tx, profile: str, op_key: bytes, challenge_mac: bytes | None
) -> tuple[Operation | None, Challenge | None]:
    """What there is before a request is claimed: what the same one began, and its challenge."""
    ((*row,),) = tx.all(_BEFORE, {"mac": challenge_mac, "profile": profile, "op_key": op_key})
    challenge, operation = row[:_OF_CHALLENGE], row[_OF_CHALLENGE:]
    return (
        None if operation[0] is None else Operation(*operation),
        None if challenge[0] is None else Challenge(*challenge),
    )


# ------------------------------------------------------------------------------------- accepting


@dataclass(frozen=True, slots=True)
class Overtaken:
    """Another request came first: with the same content, or with the same challenge."""


@dataclass(frozen=True, slots=True)
class SerialTaken:
    """Another certificate of the CA has the serial number."""


def accept(
    tx: Tx,
    request: Claim,
    now: int,
    *,
    epoch: int = 0,
    spend: bytes | None = None,
    reservation: Reservation | None = None,
) -> int:
    """Claim a request, spend its challenge and reserve its certificate; the operation's number.

    The reservation is for that operation, whatever it says.  It takes one round trip, and most
    enrolments get by with it.

    :param epoch: the next one after what `before` has found.
    :param spend: the MAC of a challenge that is used up with it.
    :raises Rollback: with `Overtaken`, `TransactionIdInUse` or `SerialTaken`: none of it happened.
    """
    alias = _alias_of(request, now)
    others: list[Statement] = [(_ALIAS_OF_KEY, {**alias, "op_key": request.op_key, "epoch": epoch})]
    if spend is not None:
        others.append(challenges.spending(spend, request.profile, now))
    if reservation is not None:
        others.append(reserving(reservation, request.op_key, epoch, now))
    operation_id, (leads, *changed) = tx.insert_and(_beginning(request, now, epoch), *others)
    if operation_id is None:
        raise Rollback(Overtaken())
    if not leads:
        in_use = _take_alias(tx, {**alias, "operation_id": operation_id})
        if in_use is not None:
            raise Rollback(in_use)
    if reservation is not None and not changed.pop():
        raise Rollback(SerialTaken())
    if not all(changed):
        raise Rollback(Overtaken())
    return operation_id


# -------------------------------------------------------------------------------------- claiming


def claim(tx: Tx, request: Claim, now: int) -> Claimed | Known | TransactionIdInUse:
    """Begin an operation, or find the one that was begun by the same request.

    A request whose operation expired, or ended longer than its replay window ago, begins anew.
    """
    epoch = 0
    while (operation_id := tx.insert(*_beginning(request, now, epoch))) is None:
        operation = by_key(tx, request.profile, request.op_key)
        if operation is not None:
            if not is_over(operation, request.replay_window, now):
                return _known(tx, request, now, operation)
            epoch = operation.epoch + 1
    in_use = _alias(tx, request, now, operation_id)
    if in_use is not None:
        tx.run("DELETE FROM operation WHERE id = :id", {"id": operation_id})
        return in_use
    return Claimed(operation_id, epoch)


def _known(tx: Tx, request: Claim, now: int, operation: Operation) -> Known | TransactionIdInUse:
    return _alias(tx, request, now, operation.id) or Known(operation)


def is_over(operation: Operation, replay_window: int | None, now: int) -> bool:
    """Whether the operation no longer answers for the request that began it."""
    if operation.finished_at is None:
        return False
    if operation.state == "expired":
        return True
    return replay_window is not None and operation.finished_at + replay_window <= now


_INSERT = """
    INSERT INTO operation (
        profile, op_key, epoch, kind, state, transaction_id, subject, sans, challenge_id, renews_ca,
        renews_serial, reason, attempts, lease_until, pending_until, created_at, csr, signer
    ) VALUES (
        :profile, :op_key, :epoch, :kind, :state, :transaction_id, :subject, :sans,
        (SELECT id FROM challenge WHERE mac = :challenge_mac), :renews_ca, :renews_serial, :reason,
        0, :lease_until, :pending_until, :now, :csr, :signer
    )
    ON CONFLICT (profile, op_key, epoch) DO NOTHING
"""


def _beginning(request: Claim, now: int, epoch: int) -> Statement:
    if "\0" in request.subject or "\0" in request.sans or "\0" in request.transaction_id:
        raise InputError("a subject, name or transactionID has a NUL in it")
    lease_until = pending_until = None
    if request.state == "approved":
        lease_until = now + request.lease
    elif request.pending_for is not None:
        pending_until = now + request.pending_for
    return _INSERT, {
        "profile": request.profile,
        "op_key": request.op_key,
        "epoch": epoch,
        "kind": request.kind,
        "state": request.state,
        "transaction_id": request.transaction_id,
        "subject": request.subject,
        "sans": request.sans,
        "challenge_mac": request.challenge_mac,
        "renews_ca": request.renews_ca,
        "renews_serial": request.renews_serial,
        "reason": request.reason,
        "lease_until": lease_until,
        "pending_until": pending_until,
        "now": now,
        "csr": request.csr,
        "signer": request.signer,
    }


def _leading_to(operation: str) -> str:
    """The statement that lets a transactionID lead to an operation, if it leads to no other."""
    return f"""
        INSERT INTO transaction_alias (
            profile, transaction_id, signer_spki, operation_id, first_seen, last_seen, seen
        ) VALUES (:profile, :transaction_id, :signer_spki, {operation}, :now, :now, 1)
        ON CONFLICT (profile, transaction_id, signer_spki) DO UPDATE SET
            last_seen = excluded.last_seen, seen = transaction_alias.seen + 1
        WHERE transaction_alias.operation_id = excluded.operation_id
    """


_ALIAS = _leading_to(":operation_id")
_ALIAS_OF_KEY = _leading_to(
    "(SELECT id FROM operation WHERE profile = :profile AND op_key = :op_key AND epoch = :epoch)"
)

_KEY = "profile = :profile AND transaction_id = :transaction_id AND signer_spki = :signer_spki"

_LOCK_ALIAS = f"""
    UPDATE transaction_alias SET last_seen = :now, seen = seen + 1 WHERE {_KEY}
    RETURNING operation_id
"""

_MOVE_ALIAS = f"UPDATE transaction_alias SET operation_id = :operation_id WHERE {_KEY}"


def _alias(tx: Tx, request: Claim, now: int, operation_id: int) -> TransactionIdInUse | None:
    """Let the transactionID lead to the operation, unless it leads to another unfinished one."""
    parameters = {**_alias_of(request, now), "operation_id": operation_id}
    return None if tx.run(_ALIAS, parameters) else _take_alias(tx, parameters)


def _alias_of(request: Claim, now: int) -> dict[str, int | str | bytes | None]:
    return {
        "profile": request.profile,
        "transaction_id": request.transaction_id,
        "signer_spki": request.signer_spki,
        "now": now,
    }


def _take_alias(tx: Tx, parameters: Parameters) -> TransactionIdInUse | None:
    """Let a transactionID that leads to another operation lead to this one, if that is finished.

    There are clients that make it from the public key, and so use it again when they renew.
    """
    # Locked first and looked at in a statement of its own, which sees what the lock waited for.
    for (other_id,) in tx.all(_LOCK_ALIAS, parameters):
        other = find(tx, other_id)
        if other is not None and other.finished_at is None:
            return TransactionIdInUse(other.id)
    tx.run(_MOVE_ALIAS, parameters)
    return None
