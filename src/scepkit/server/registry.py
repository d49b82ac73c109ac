"""Looking things up in the database, and taking them out of it, for operators.

The rule of this file: nothing here changes what the server does.  What takes all rows out at once
leaves a row in the audit trail, because then they are somewhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Literal, TypeVar
from urllib.parse import unquote, urlsplit

from scepkit.errors import InputError, StoreUnavailable
from scepkit.server.settings import Settings
from scepkit.store import (
    Store,
    audit,
    cas,
    certificates,
    challenges,
    crls,
    migrations,
    operations,
)
from scepkit.store.driver import Tx
from scepkit.store.rows import (
    AuditRow,
    Ca,
    Certificate,
    CertificateState,
    Crl,
    Operation,
    milliseconds,
)

Row = TypeVar("Row")

_PAGE = 1000


# ------------------------------------------------------------------ the database itself


def database_file(settings: Settings) -> Path | None:
    """The file of an SQLite database; None for one that is elsewhere."""
    parts = urlsplit(settings.database.url)
    if parts.scheme != "sqlite":
        return None
    return settings.directory / unquote(parts.path[1:])


def schema_state(store: Store) -> Literal["empty", "older", "current", "newer"]:
    """What the database has compared with what this version of scepkit works with."""
    version = store.read(lambda tx: migrations.found(tx, store.driver.kind))
    newest = migrations.known()[-1].version
    if not version:
        return "empty"
    if version == newest:
        return "current"
    return "older" if version < newest else "newer"


# ------------------------------------------------------------------ CAs


def label(ca: Ca) -> str:
    """``main`` for the first generation of a CA, ``main~2`` and so on for the others."""
    return ca.name if ca.generation == 1 else f"{ca.name}~{ca.generation}"


def ca_labels(store: Store) -> dict[int, str]:
    """The label of each generation, by its row."""
    return {ca.id: label(ca) for ca in store.read(cas.listing)}


def with_name(labels: Mapping[int, str], name: str) -> frozenset[int]:
    """The generations that a CA's name means: all of it, or the one with that label.

    :raises InputError: there is none.
    """
    exact = frozenset(ca for ca, one in labels.items() if one == name and "~" in one)
    found = exact or frozenset(ca for ca, one in labels.items() if one.partition("~")[0] == name)
    if not found:
        known = ", ".join(sorted(labels.values())) or "none: the server was never started"
        raise InputError(f"there is no CA {name!r}; known are {known}")
    return found


def list_cas(store: Store, name: str | None = None) -> list[Ca]:
    """The generations of one CA or of all, oldest first.

    :raises InputError: there is no CA of that name.
    """
    found = store.read(lambda tx: cas.listing(tx, name))
    if name is not None and not found:
        with_name(ca_labels(store), name)
    return found


def newest_crls(store: Store, name: str | None = None) -> list[tuple[str, Crl]]:
    """The newest CRL of each generation, with its label; generations without one are left out.

    :param name: a CA's name or a generation's label; None for all.
    :raises InputError: there is no such CA.
    """
    labels = ca_labels(store)
    chosen = labels if name is None else with_name(labels, name)
    return store.read(
        lambda tx: [(labels[ca], crl) for ca in sorted(chosen) if (crl := crls.newest(tx, ca))]
    )


# ------------------------------------------------------------------ certificates


def list_certificates(
    store: Store,
    *,
    state: CertificateState | None = None,
    ca: str | None = None,
    profile: str | None = None,
    text: str | None = None,
    before: int | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Certificate]:
    """Certificates, newest first; the next page is before the last one's `id`.

    :param after: the `id` of the newest that is not looked at (`searching.floor`).
    :param ca: of all generations of a CA, or of the one with that label.
    :param text: part of the subject, of an alternative name or of the serial number.
    :raises InputError: there is no such CA.
    """
    chosen: Collection[int | None] = (None,)
    if ca is not None:
        chosen = with_name(ca_labels(store), ca)

    def search(tx: Tx) -> list[Certificate]:
        return [
            row
            for ca_id in chosen
            for row in certificates.search(
                tx,
                state=state,
                ca_id=ca_id,
                profile=profile,
                text=text,
                before=before,
                after=after,
                limit=limit,
            )
        ]

    return sorted(store.read(search), key=lambda row: -row.id)[:limit]


def expiring_certificates(
    store: Store, *, since: datetime, before: datetime, limit: int = 100
) -> list[Certificate]:
    """Certificates that end within a span of time, the first to end first."""
    start, end = milliseconds(since), milliseconds(before)
    return store.read(lambda tx: certificates.expiring(tx, since=start, before=end, limit=limit))


def find_certificate(store: Store, ca: str | None, serial: str) -> Certificate:
    """The certificate with a serial number.

    :param ca: a CA's name or a generation's label; None: any.
    :param serial: in hex; colons, spaces and case do not matter.
    :raises InputError: there is none, or there are several, or no such CA.
    """
    try:
        wanted = f"{int(serial.replace(':', '').replace(' ', ''), 16):x}"
    except ValueError:
        raise InputError(f"{serial[:80]!r} is not a serial number in hex") from None
    labels = ca_labels(store)
    chosen = labels if ca is None else with_name(labels, ca)
    found = store.read(
        lambda tx: [row for one in chosen if (row := certificates.by_serial(tx, one, wanted))]
    )
    if not found:
        raise InputError(
            f"no certificate has the serial number {wanted}",
            hint="scepkit certs list --search TEXT finds certificates by name",
        )
    if len(found) > 1:
        owners = ", ".join(sorted(labels[row.ca_id] for row in found))
        raise InputError(f"several CAs have given out the serial number {wanted}: {owners}")
    return found[0]


# ------------------------------------------------------------------ everything


def export_certificates(
    store: Store, write: Callable[[Certificate], None], *, actor: str, now: datetime
) -> int:
    """Give all certificates of one moment to `write`, oldest first; returns how many there were."""
    return _export(store, certificates.every, write, "certificate.export", actor, now)


def export_requests(
    store: Store, write: Callable[[Operation], None], *, actor: str, now: datetime
) -> int:
    """Give all requests of one moment to `write`, newest first; returns how many there were."""
    return _export(store, _every_request, write, "request.export", actor, now)


def export_audit(
    store: Store, write: Callable[[AuditRow], None], *, actor: str, now: datetime
) -> int:
    """Give all rows of the audit trail to `write`, oldest first; returns how many there were."""
    return _export(store, audit.every, write, "audit.export", actor, now)


def _every_request(tx: Tx) -> Iterator[Operation]:
    before = None
    while rows := operations.search(tx, before=before, limit=_PAGE):
        yield from rows
        before = rows[-1].id


def _export(
    store: Store,
    every: Callable[[Tx], Iterator[Row]],
    write: Callable[[Row], None],
    action: str,
    actor: str,
    now: datetime,
) -> int:
    def walk(tx: Tx) -> int:
        count = 0
        for row in every(tx):
            write(row)
            count += 1
        return count

    _record(store, action, actor, now)
    return walked_once(store, walk)


def walked_once(store: Store, walk: Callable[[Tx], int]) -> int:
    """What `walk` returns, which writes out what it reads and so cannot be repeated.

    :raises StoreUnavailable: the database was lost in the middle, or cannot be used.
    """
    begun = False

    def run(tx: Tx) -> int:
        nonlocal begun
        if begun:
            # A store runs again what a lost connection has cut off; what was written stays.
            raise StoreUnavailable("the database was lost in the middle", hint="do the same again")
        begun = True
        return walk(tx)

    return store.snapshot(run)


def _record(store: Store, action: str, actor: str, now: datetime) -> None:
    at = milliseconds(now)
    store.write(lambda tx: audit.record(tx, now=at, actor=actor, action=action, object="database"))


# ------------------------------------------------------------------ the audit trail


def list_audit(
    store: Store,
    *,
    actor: str | None = None,
    action: str | None = None,
    object: str | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[AuditRow]:
    """Rows of the audit trail, newest first; the next page is before the last one's `seq`.

    :param action: its beginning, such as ``certificate.``.
    """
    return store.read(
        lambda tx: audit.listing(
            tx, actor=actor, action=action, object=object, before=before, limit=limit
        )
    )


def verify_audit(store: Store) -> audit.Verification:
    """Chain the rows that wait for it, then walk along the whole chain."""
    while store.write(audit.seal):
        pass
    return store.snapshot(audit.verify)


# ------------------------------------------------------------------ backups


def back_up(store: Store, path: Path, *, actor: str, now: datetime) -> dict[str, int]:
    """Write all rows of one moment to a new file; returns how many there are in each table.

    :raises InputError: the file exists already, or cannot be written.
    """
    counts = store.backup(path)
    _record(store, "database.backup", actor, now)
    return counts


def bring_back(store: Store, path: Path, *, actor: str, now: datetime) -> dict[str, int]:
    """Fill an empty database from a backup; returns how many rows there are in each table.

    :raises StoreError: the database is not empty, or the file is not a backup.
    :raises InputError: there is no such file.
    """
    counts = store.restore(path)
    _record(store, "database.restore", actor, now)
    return counts


def usable_challenges(store: Store, now: datetime, *, limit: int = 1000) -> int:
    """How many challenges can still be used, counted up to `limit`."""
    at = milliseconds(now)
    return len(store.read(lambda tx: challenges.listing(tx, usable_at=at, limit=limit)))
