"""Were the promises kept?  What the database says, beside what devices say they were given."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from cryptography import x509

from scepkit.store import Store, audit


@dataclass
class Ledger:
    """What the devices say.

    Attributes:
        asked: the names of the certificates that devices wanted.
        given: SHA-256 of what they were given for each of these names; one is as it should be.
        challenges: how many one-time challenges were used.
        thefts: how many times a used one was tried by somebody else and refused.
    """

    asked: set[str] = field(default_factory=set)
    given: dict[str, set[bytes]] = field(default_factory=dict)
    challenges: int = 0
    thefts: int = 0

    def give(self, who: str, der: bytes) -> None:
        """Note a certificate that was given, perhaps once more."""
        self.given.setdefault(who, set()).add(hashlib.sha256(der).digest())


def broken(ledger: Ledger, store: Store) -> dict[str, int]:
    """What may not be, and how often it is: all of it has to be 0.

    To be asked when all operations are finished and the audit trail is sealed.
    """
    audited = store.snapshot(audit.verify)
    certificates = _one(store, "SELECT count(*) FROM certificate")
    paying = _one(store, "SELECT count(challenge_id) FROM operation")
    return {
        **_compared(ledger.asked, ledger.given, _stored(store)),
        "serial numbers reserved and not issued": _one(
            store, "SELECT count(*) FROM certificate WHERE der IS NULL"
        ),
        "serial numbers twice": certificates
        - _one(store, "SELECT count(*) FROM (SELECT DISTINCT ca_id, serial FROM certificate) x"),
        "serial numbers that are not those of their rows": _misnumbered(store),
        "operations not ended": _one(
            store, "SELECT count(*) FROM operation WHERE finished_at IS NULL"
        ),
        "operations, more or less than certificates": _one(store, "SELECT count(*) FROM operation")
        - certificates,
        "challenges used, more or less than enrolments": ledger.challenges
        - _one(store, "SELECT count(*) FROM challenge WHERE uses_left = 0"),
        "enrolments paid for, more or less than challenges": paying - ledger.challenges,
        "challenges that paid twice": paying
        - _one(store, "SELECT count(DISTINCT challenge_id) FROM operation"),
        "refused thefts that are not in the audit trail": max(
            0, ledger.thefts - _audited(store, "challenge.reuse")
        ),
        "audit rows, more or less than certificates": _audited(store, "certificate.issue")
        - certificates,
        "audit faults": len(audited.faults) + audited.unsealed,
    }


def _compared(
    asked: Collection[str], given: Mapping[str, set[bytes]], stored: Collection[bytes]
) -> dict[str, int]:
    everything = [one for some in given.values() for one in some]
    known = set(stored)
    return {
        "devices without a certificate": sum(who not in given for who in asked),
        "devices with two certificates": sum(len(some) > 1 for some in given.values()),
        "certificates given to two devices": len(everything) - len(set(everything)),
        "certificates given that are not in the database": len(set(everything) - known),
        "certificates in the database that nobody has": len(known - set(everything)),
        "certificates stored twice": len(stored) - len(known),
    }


def _stored(store: Store) -> list[bytes]:
    return store.snapshot(
        lambda tx: [
            hashlib.sha256(der).digest()
            for (der,) in tx.stream("SELECT der FROM certificate WHERE der IS NOT NULL")
        ]
    )


def _misnumbered(store: Store) -> int:
    rows = "SELECT serial, der FROM certificate WHERE der IS NOT NULL"
    wrong = store.snapshot(
        lambda tx: [
            serial
            for serial, der in tx.stream(rows)
            if f"{x509.load_der_x509_certificate(der).serial_number:x}" != serial
        ]
    )
    return len(wrong)


def _audited(store: Store, action: str) -> int:
    return _one(store, "SELECT count(*) FROM audit WHERE action = :action", action=action)


def _one(store: Store, sql: str, **parameters: str) -> int:
    ((number,),) = store.read(lambda tx: tx.all(sql, parameters))
    return int(number)
