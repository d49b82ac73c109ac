"""The verdict on a fleet and its servers, when all is quiet."""

from __future__ import annotations

import time

from scepkit.store import Store, audit
from tests.server.fleet.clients import Fleet
from tests.server.verdict import broken

#: Seconds for the servers to finish what their dead processes had begun.
_SETTLING = 180.0


def verdict(fleet: Fleet, store: Store) -> dict[str, int]:
    """What may not be, and how often it is: all of it has to be 0.

    At least one node still runs, so that it can finish what is begun.
    """
    deadline = time.monotonic() + _SETTLING
    while store.read(lambda tx: tx.one("SELECT 1 FROM operation WHERE finished_at IS NULL")):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    # A process that seals at the same moment may be quicker, so that ours finds nothing to do.
    while store.snapshot(audit.verify).unsealed and time.monotonic() < deadline:
        store.write(audit.seal)
    return {"failures": len(fleet.failures), **broken(fleet.ledger, store)}
