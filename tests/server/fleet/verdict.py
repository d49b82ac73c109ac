"""What the database says in the end, beside what the devices say: were the promises kept?"""

from __future__ import annotations

import hashlib
import time

from scepkit.store import Store, audit
from tests.server.fleet.clients import Fleet

#: Seconds for the servers to finish what their dead processes had begun.
_SETTLING = 60.0
_NOT_ENDED = "SELECT count(*) FROM operation WHERE finished_at IS NULL"


def verdict(fleet: Fleet, store: Store) -> dict[str, int]:
    """What may not be, and how often it is: all of it has to be 0.

    At least one node still runs, so that it can finish what is begun.
    """
    deadline = time.monotonic() + _SETTLING
    while _one(store, _NOT_ENDED) and time.monotonic() < deadline:
        time.sleep(0.1)
    audited = store.snapshot(audit.verify)
    while audited.unsealed and time.monotonic() < deadline:
        store.write(audit.seal)
        audited = store.snapshot(audit.verify)
    stored = store.snapshot(
        lambda tx: [
            hashlib.sha256(der).digest()
            for (der,) in tx.stream("SELECT der FROM certificate WHERE der IS NOT NULL")
        ]
    )
    given = [one for some in fleet.given.values() for one in some]
    certificates = _one(store, "SELECT count(*) FROM certificate")
    operations = _one(store, "SELECT count(*) FROM operation")
    paying = _one(store, "SELECT count(challenge_id) FROM operation")
    return {
        "failures": len(fleet.failures),
        "devices with two certificates": sum(len(some) > 1 for some in fleet.given.values()),
        "certificates given to two devices": len(given) - len(set(given)),
        "certificates given that are not in the database": len(set(given) - set(stored)),
        "certificates in the database that nobody has": len(set(stored) - set(given)),
        "certificates stored twice": len(stored) - len(set(stored)),
        "serial numbers reserved and not issued": certificates - len(stored),
        "serial numbers twice": certificates
        - _one(store, "SELECT count(*) FROM (SELECT DISTINCT ca_id, serial FROM certificate) x"),
        "operations not ended": _one(store, _NOT_ENDED),
        "operations without a certificate": operations - certificates,
        "challenges used, more or less than enrolments": fleet.challenges
        - _one(store, "SELECT count(*) FROM challenge WHERE uses_left = 0"),
        "enrolments paid for, more or less than challenges": paying - fleet.challenges,
        "challenges that paid twice": paying
        - _one(store, "SELECT count(DISTINCT challenge_id) FROM operation"),
        "thefts that are not in the audit trail": max(
            0, fleet.counts["thieves"] - _audited(store, "challenge.reuse")
        ),
        "audit rows, more or less than certificates": _audited(store, "certificate.issue")
        - certificates,
        "audit faults": len(audited.faults) + audited.unsealed,
    }


def _audited(store: Store, action: str) -> int:
    return _one(store, "SELECT count(*) FROM audit WHERE action = :action", action=action)


def _one(store: Store, sql: str, **parameters: str) -> int:
    ((number,),) = store.read(lambda tx: tx.all(sql, parameters))
    return int(number)
