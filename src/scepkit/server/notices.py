"""What operators do about notices that a web service did not take (``auth.notify``)."""

from __future__ import annotations

from datetime import datetime

from scepkit.errors import InputError
from scepkit.store import Store, outbox
from scepkit.store.outbox import State
from scepkit.store.rows import OutboxItem, milliseconds

__all__ = ["list_notices", "retry_given_up", "retry_notice"]


def list_notices(
    store: Store, *, state: State | None = None, before: int | None = None, limit: int = 100
) -> list[OutboxItem]:
    """Notices, newest first; the next page is before the last one's `id`."""
    return store.read(lambda tx: outbox.listing(tx, state=state, before=before, limit=limit))


def retry_notice(store: Store, number: int, *, actor: str, now: datetime) -> OutboxItem:
    """Have a notice given now, by the running server; also one that was given up.

    :raises InputError: there is none of that number, or it was given before.
    """
    at = milliseconds(now)
    retried = store.write(lambda tx: outbox.retry(tx, number, actor=actor, now=at))
    if retried is not None:
        return retried
    if store.read(lambda tx: outbox.by_id(tx, number)) is None:
        raise InputError(
            f"there is no notice {number}",
            hint="scepkit notices list shows those there are; what was given is forgotten in time",
        )
    raise InputError(f"the notice {number} was given before")


def retry_given_up(store: Store, *, actor: str, now: datetime) -> int:
    """Have all notices given now that were given up; returns how many."""
    at = milliseconds(now)
    return store.write(lambda tx: outbox.retry_given_up(tx, actor=actor, now=at))
