"""Taking the oldest rows out of the audit trail, for `scepkit audit prune`.

The rule of this file: nothing is removed that was not written out before, nothing of a chain that
is broken, and the trail itself says what was removed, by whom, up to which link.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial

from scepkit.errors import InputError, StoreError
from scepkit.server.registry import verify_audit, walked_once
from scepkit.store import Store, audit
from scepkit.store.driver import Tx
from scepkit.store.rows import AuditRow, milliseconds


def last_before(store: Store, moment: datetime) -> audit.Head | None:
    """The link up to which all rows are older than a moment; None when there are none.

    :param moment: aware.
    :raises InputError: the chain is broken.
    :raises StoreError: the database cannot be used.
    """
    if (found := verify_audit(store)).faults:
        raise InputError(
            f"the audit trail is broken at position {found.faults[0].position}, and pruning it "
            "would remove what shows that",
            hint="scepkit audit verify says more; scepkit audit export keeps all of it",
        )
    return store.read(lambda tx: audit.oldest(tx, milliseconds(moment)))


def write_out(store: Store, last: audit.Head, write: Callable[[AuditRow], None]) -> int:
    """Give the rows up to a link to `write`, oldest first; returns how many there were.

    :raises StoreError: they are not all there any more, or the database was lost in the middle.
    """

    def walk(tx: Tx) -> int:
        count, link = 0, None
        for row in audit.up_to(tx, last.position):
            write(row)
            count, link = count + 1, row.hash
        if link != last.hash:
            raise StoreError("somebody else prunes the audit trail", hint="do the same again")
        return count

    return walked_once(store, walk)


def remove(
    store: Store, last: audit.Head, *, rows: int, file: str, actor: str, now: datetime
) -> None:
    """Remove the rows up to a link, which were written to `file`.

    Should this be stopped, the chain is whole; the same command goes on.

    :raises StoreError: the database cannot be used.
    """
    detail = {"rows": rows, "file": file}
    at = milliseconds(now)
    store.write(lambda tx: audit.tell_pruned(tx, last, detail, actor=actor, now=at))
    while store.write(partial(audit.prune, last=last)):
        pass
