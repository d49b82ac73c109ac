"""Making CRLs: when one is due, and how.

A number is taken, durably; the revocations of one moment are read; the CRL is signed outside of any
transaction, stored in pieces and then published, if nobody published a better one meanwhile
(`store.crls`).

The rule of this file: wherever it is killed, the next pass makes the CRL, and no number is used
twice (promise P4).
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from cryptography import x509

from scepkit.ca import CrlEntries, encoded_entries, entry_extensions
from scepkit.errors import InputError, KeyUnavailable, StoreError, StoreUnavailable
from scepkit.server.case import milliseconds_of
from scepkit.server.checkpoints import checkpoint
from scepkit.server.deployment import Deployment
from scepkit.server.roles import Authority, Generation
from scepkit.store import Store, audit, cas, certificates, crls
from scepkit.store.driver import Tx
from scepkit.store.rows import Crl, Revoked, milliseconds

if TYPE_CHECKING:
    from collections.abc import Iterable

    from scepkit.ca import CaIssuer

log = logging.getLogger("scepkit.server")

#: CRLs that are kept for each generation.
KEPT = 20
#: How long one process may take for a CRL before others try, in milliseconds.
_LEASE = 60_000
#: By how much the clocks of nodes may differ, in milliseconds; CRLs are valid for longer before.
_CLOCKS_DIFFER = 5 * 60_000
_REASONS = {
    1: x509.ReasonFlags.key_compromise,
    2: x509.ReasonFlags.ca_compromise,
    3: x509.ReasonFlags.affiliation_changed,
    4: x509.ReasonFlags.superseded,
    5: x509.ReasonFlags.cessation_of_operation,
    6: x509.ReasonFlags.certificate_hold,
    9: x509.ReasonFlags.privilege_withdrawn,
    10: x509.ReasonFlags.aa_compromise,
}


def make_due_crls(
    store: Store, deployment: Deployment, now: datetime, *, actor: str = "scepkit"
) -> list[str]:
    """Make the CRLs that are due, of every generation whose key is here.

    One is due when there is none, when something was revoked since, `crl_overlap` before the newest
    one ends, and when that one is of the future: a clock was wrong, and nobody takes it until then.

    :returns: the labels of the generations that have a new one.
    :raises StoreError: one of the CAs may not sign CRLs; the others' were made.
    """
    made, fault = [], None
    for authority in deployment.authorities.values():
        for generation in authority.generations:
            try:
                if _is_due(store, authority, generation, now) and _make_alone(
                    store, authority, generation, now, actor
                ):
                    made.append(generation.label)
            except StoreUnavailable:
                raise
            except StoreError as error:
                fault = error
    if fault is not None:
        raise fault
    return made


def _is_due(store: Store, authority: Authority, generation: Generation, now: datetime) -> bool:
    if generation.issuer is None or generation.status == "staged":
        return False
    certificate = generation.certificate
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return False

    def look(tx: Tx) -> bool:
        row = cas.find(tx, generation.ca_id)
        newest = crls.newest_without_der(tx, generation.ca_id)
        if row is None:
            return False
        if newest is None or row.crl_dirty_at is not None:
            return True
        at = milliseconds(now)
        ends = newest.next_update <= at + milliseconds_of(authority.crl_overlap)
        return ends or newest.this_update > at + _CLOCKS_DIFFER

    return store.read(look)


def _make_alone(
    store: Store, authority: Authority, generation: Generation, now: datetime, actor: str
) -> bool:
    name = f"crl:{generation.ca_id}"
    with store.job_lock(name, now=milliseconds(now), lease=_LEASE) as mine:
        if not mine or not _is_due(store, authority, generation, now):
            return False
        try:
            return make_crl(store, authority, generation, now, actor=actor) is not None
        except KeyUnavailable as error:
            log.warning("%s", error)
            return False


def make_crl(
    store: Store, authority: Authority, generation: Generation, now: datetime, *, actor: str
) -> Crl | None:
    """Make and publish a CRL now; None when somebody published a better one meanwhile.

    :raises KeyUnavailable: the key of the CA cannot be used now.
    :raises StoreError: the CA may not sign CRLs.
    """
    if generation.issuer is None:
        raise KeyUnavailable(f"the key of the CA {generation.label} is not here")
    ca_id = generation.ca_id
    number = store.write(lambda tx: crls.next_number(tx, ca_id))
    checkpoint("crl.numbered")
    row, entries = _signed(store, authority, generation, generation.issuer, number, now)
    checkpoint("crl.signed")
    _prune_pieces(store, row)  # first, because there may be no room for more
    published = False
    try:
        published = _published(store, generation, row, entries, actor)
    finally:
        if not published:
            _discard(store, row)
    checkpoint("crl.published")
    _prune_pieces(store, row)
    return row if published else None


def _published(store: Store, generation: Generation, row: Crl, entries: int, actor: str) -> bool:
    """Store a CRL and publish it; False when somebody published a better one meanwhile."""
    for position in crls.positions(row):
        _store_piece(store, row, position)
    checkpoint("crl.stored")

    def publish(tx: Tx) -> bool:
        if not crls.put(tx, row):
            return False
        checkpoint("crl.put")
        crls.prune(tx, row.ca_id, keep=KEPT)
        audit.record(
            tx,
            now=row.this_update,
            actor=actor,
            action="crl.publish",
            object=f"ca:{generation.name}/{generation.number}",
            detail={"number": row.number, "entries": entries},
        )
        checkpoint("crl.end")
        return True

    return store.write(publish)


def _store_piece(store: Store, crl: Crl, position: int) -> None:
    def put(tx: Tx) -> None:
        crls.put_piece(tx, crl, position)
        checkpoint("crl.piece")

    store.write(put)


def _prune_pieces(store: Store, crl: Crl) -> None:
    while store.write(lambda tx: crls.prune_pieces(tx, crl.ca_id, crl.number)):
        pass


def _discard(store: Store, crl: Crl) -> None:
    """Remove the pieces of a CRL that is not published, if the database takes it now."""
    with suppress(StoreUnavailable):
        while store.write(lambda tx: crls.discard(tx, crl.ca_id, crl.number)):
            pass


def _signed(
    store: Store,
    authority: Authority,
    generation: Generation,
    issuer: CaIssuer,
    number: int,
    now: datetime,
) -> tuple[Crl, int]:
    """A CRL to be published, and how many entries it has."""
    lifetime = authority.crl_lifetime
    # RFC 5280 section 3.3: an entry stays until one CRL after the certificate's end has it.
    from_ = milliseconds(now - lifetime)
    covers, revoked = store.snapshot(lambda tx: _revocations(tx, generation.ca_id, from_))
    checkpoint("crl.read")
    try:
        der = issuer.encoded_crl(revoked, number, now, lifetime)
    except InputError as error:
        raise StoreError(f"the CA {generation.label} cannot make a CRL: {error}") from error
    except Exception as error:  # a token may raise anything
        raise KeyUnavailable(
            f"the key of the CA {generation.label} cannot sign a CRL now: {error!r}"
        ) from error
    row = Crl(
        ca_id=generation.ca_id,
        number=number,
        this_update=milliseconds(now),
        next_update=milliseconds((now + lifetime).replace(microsecond=0)),
        covers=covers,
        der=der,
    )
    return row, revoked.count


def _revocations(tx: Tx, ca_id: int, from_: int) -> tuple[int, CrlEntries]:
    row = cas.find(tx, ca_id)
    entries = certificates.revoked(tx, ca_id, not_after_from=from_)
    # Encoded as they are read: a million of them are in memory as 40 MB of DER, and only once.
    return (0 if row is None else row.revocations), encoded_entries(_lines(entries))


def _lines(rows: Iterable[Revoked]) -> Iterable[tuple[int, int, bytes]]:
    for serial, revoked_at, reason in rows:
        yield int(serial, 16), revoked_at // 1000, _extensions(reason)


@cache
def _extensions(reason: int) -> bytes:
    return entry_extensions(_REASONS.get(reason))
