"""What the tests put into a store, and the two transactions of an enrolment."""

from __future__ import annotations

import hashlib
from typing import Any

from scepkit.store import (
    Store,
    Tx,
    audit,
    cas,
    certificates,
    challenges,
    claims,
    crls,
    operations,
    outbox,
)
from scepkit.store.certificates import Reservation
from scepkit.store.challenges import NewChallenge
from scepkit.store.claims import Claim, Claimed, Known, Overtaken, TransactionIdInUse
from scepkit.store.rows import Ca, Crl, Operation

NOW = 1_780_000_000_000
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000


def digest(text: str) -> bytes:
    """32 bytes that stand for a hash or a MAC."""
    return hashlib.sha256(text.encode()).digest()


def a_claim(who: str = "router1", **changes: Any) -> Claim:
    """An approved enrolment of a device."""
    values: dict[str, Any] = {
        "profile": "routers",
        "op_key": digest(f"op {who}"),
        "kind": "enrol",
        "state": "approved",
        "csr": f"csr of {who}".encode(),
        "signer": f"signer of {who}".encode(),
        "signer_spki": digest(f"key of {who}"),
        "transaction_id": f"tid-{who}",
        "subject": f"CN={who},O=Acme",
        "sans": f"dns:{who}.acme.test",
        "lease": MINUTE,
        "replay_window": 7 * DAY,
    }
    return Claim(**{**values, **changes})


def claim(store: Store, request: Claim, now: int = NOW) -> Claimed | Known | TransactionIdInUse:
    return store.write(lambda tx: claims.claim(tx, request, now))


def claimed(store: Store, request: Claim, now: int = NOW) -> int:
    """Claim a request that must be new; returns its operation's number."""
    result = claim(store, request, now)
    assert isinstance(result, Claimed), result
    return result.operation_id


def pending(store: Store, who: str = "router1", now: int = NOW, **changes: Any) -> int:
    """A request that waits for a decision; returns its operation's number."""
    return claimed(store, a_claim(who, state="pending", **changes), now)


def a_ca(store: Store, name: str = "main") -> Ca:
    """The active CA of that name."""
    return store.write(
        lambda tx: cas.ensure(
            tx, name=name, key_ref=f"{name}.key", certificate=b"certificate", actor="test", now=NOW
        )
    )


def a_reservation(ca: Ca, serial: str = "1f", **changes: Any) -> Reservation:
    values: dict[str, Any] = {
        "ca_id": ca.id,
        "serial": serial,
        "operation_id": None,
        "profile": "routers",
        "subject": "CN=router1,O=Acme",
        "sans": "dns:router1.acme.test",
        "not_before": NOW,
        "not_after": NOW + 365 * DAY,
        "spki_sha256": digest("key of router1"),
        "frozen": '{"serial":"' + serial + '"}',
    }
    return Reservation(**{**values, **changes})


def a_certificate(store: Store, ca: Ca, serial: str, **changes: Any) -> int:
    """An issued certificate; returns its number."""
    reservation = a_reservation(ca, serial, **changes)
    number = store.write(
        lambda tx: certificates.record(tx, reservation, f"der {serial}".encode(), NOW)
    )
    assert number is not None
    return number


def a_challenge(store: Store, name: str = "secret", **changes: Any) -> int:
    """A challenge that can be used once; its MAC is `digest(name)`."""
    values: dict[str, Any] = {
        "profile": "routers",
        "mac": digest(name),
        "expires_at": NOW + HOUR,
    }
    new = NewChallenge(**{**values, **changes})
    (number,) = store.write(lambda tx: challenges.mint(tx, [new], actor="test", now=NOW))
    return number


def operation(store: Store, operation_id: int) -> Operation:
    found = store.read(lambda tx: operations.find(tx, operation_id))
    assert found is not None
    return found


# ------------------------------------------------------------------- the transactions of a server


def first_transaction(
    store: Store, ca: Ca, who: str, challenge: str, serial: str, now: int = NOW, lease: int = MINUTE
) -> Claimed | Known | None:
    """T1: claim, spend, reserve, record.  None when the challenge was of no use."""
    request = a_claim(
        who,
        lease=lease,
        replay_window=None,
        challenge_mac=digest(challenge),
        op_key=digest(f"{who} {challenge}"),
    )

    reservation = a_reservation(ca, serial, subject=request.subject)

    def begin(tx: Tx) -> Claimed | Overtaken:
        operation_id = claims.accept(
            tx, request, now, spend=digest(challenge), reservation=reservation
        )
        audit.record(
            tx,
            now=now,
            actor="challenge",
            action="request.allow",
            object=f"operation:{operation_id}",
            detail={"subject": request.subject},
        )
        return Claimed(operation_id, 0)

    result = store.write(begin)
    if isinstance(result, Claimed):
        return result
    known = store.read(lambda tx: operations.by_key(tx, request.profile, request.op_key))
    return None if known is None else Known(known)


def second_transaction(store: Store, operation_id: int, der: bytes, now: int = NOW) -> bytes:
    """T2: publish, record, tell.  Returns the certificate that was published, ours or not."""

    def publish(tx: Tx) -> bytes:
        if certificates.publish(tx, operation_id, der, now):
            audit.record(
                tx,
                now=now,
                actor="server",
                action="certificate.issue",
                object=f"operation:{operation_id}",
            )
            outbox.add(tx, "certificate.issued", {"operation": operation_id}, now)
        found = certificates.of_operation(tx, operation_id)
        assert found is not None
        assert found.der is not None
        return found.der

    return store.write(publish)


# Rows that one transaction wrote of which only a part is there.
_BROKEN_PROMISES = """
    SELECT 'used challenge without operation' FROM challenge
        WHERE uses_left = 0 AND NOT EXISTS (
            SELECT 1 FROM operation WHERE challenge_id = challenge.id)
    UNION ALL SELECT 'operation with unused challenge' FROM operation
        JOIN challenge ON challenge.id = challenge_id WHERE uses_left = 1
    UNION ALL SELECT 'operation without reservation' FROM operation
        WHERE NOT EXISTS (SELECT 1 FROM certificate WHERE operation_id = operation.id)
    UNION ALL SELECT 'issued without certificate' FROM operation
        JOIN certificate ON operation_id = operation.id
        WHERE (operation.state = 'issued') <> (certificate.state = 'issued')
    UNION ALL SELECT 'issued without message' WHERE
        (SELECT count(*) FROM operation WHERE state = 'issued') <> (SELECT count(*) FROM outbox)
    UNION ALL SELECT 'operation without audit' FROM operation
        WHERE NOT EXISTS (SELECT 1 FROM audit WHERE action = 'request.allow'
            AND object = 'operation:' || operation.id)
    UNION ALL SELECT 'alias without operation' WHERE
        (SELECT count(*) FROM operation) <> (SELECT count(*) FROM transaction_alias)
"""


def broken_promises(store: Store) -> list[str]:
    """What is half there of the transactions above, in words."""
    return [words for (words,) in store.read(lambda tx: tx.all(_BROKEN_PROMISES))]


def states(tx: Tx) -> dict[str, int]:
    """How many certificates are in each state."""
    return dict(tx.all("SELECT state, count(*) FROM certificate GROUP BY state"))


def put_whole(tx: Tx, crl: Crl) -> bool:
    """Store all pieces of a CRL and publish it."""
    for position in crls.positions(crl):
        crls.put_piece(tx, crl, position)
    return crls.put(tx, crl)
