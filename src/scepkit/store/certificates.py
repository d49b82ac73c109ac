"""Certificates: reserved before they are signed, published once, revoked, found.

A serial number is committed before anything is signed with it (promise P3) and is unique for its CA
by constraint (promise P4).  Of several processes that signed the same reservation, one publishes;
the others throw theirs away and answer with the published one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from scepkit.errors import InputError, StoreError
from scepkit.store import audit
from scepkit.store.driver import Parameters, Statement, Tx
from scepkit.store.rows import Certificate, CertificateState, Revoked, columns
from scepkit.store.searching import containing

_COLUMNS = columns(Certificate)
_SELECT = f"SELECT {_COLUMNS} FROM certificate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """What is fixed about a certificate before it is signed.

    Attributes:
        serial: lower-case hex without leading zeros.
        operation_id: the operation it is for; None for the server's own certificates.
        sans: the subject alternative names, one a line, for searching.
        frozen: all that is needed to sign the same again, as JSON of the caller's; it is
            kept until the certificate is published, and then it is empty.
    """

    ca_id: int
    serial: str
    operation_id: int | None
    profile: str
    subject: str
    sans: str = ""
    not_before: int
    not_after: int
    spki_sha256: bytes
    frozen: str = "{}"


_INSERT = """
    INSERT INTO certificate (
        ca_id, serial, operation_id, state, profile, subject, sans, not_before, not_after,
        created_at, issued_at, spki_sha256, sha256, frozen, der
    ) VALUES (
        :ca_id, :serial, :operation_id, :state, :profile, :subject, :sans, :not_before, :not_after,
        :now, :issued_at, :spki_sha256, :sha256, :frozen, :der
    )
    ON CONFLICT DO NOTHING
"""

# For the operation that is begun in the same round trip: its number is not known here yet.
_RESERVE = """
    INSERT INTO certificate (
        ca_id, serial, operation_id, state, profile, subject, sans, not_before, not_after,
        created_at, spki_sha256, frozen
    ) VALUES (
        :ca_id, :serial,
        (SELECT id FROM operation WHERE profile = :profile AND op_key = :op_key AND epoch = :epoch),
        'reserved', :profile, :subject, :sans, :not_before, :not_after, :now, :spki_sha256, :frozen
    )
    ON CONFLICT DO NOTHING
"""


def reserving(reservation: Reservation, op_key: bytes, epoch: int, now: int) -> Statement:
    """What reserves for the operation of a request: no row when the serial number is taken."""
    return _RESERVE, {
        "ca_id": reservation.ca_id,
        "serial": reservation.serial,
        "op_key": op_key,
        "epoch": epoch,
        "profile": reservation.profile,
        "subject": _text(reservation.subject),
        "sans": _text(reservation.sans),
        "not_before": reservation.not_before,
        "not_after": reservation.not_after,
        "now": now,
        "spki_sha256": reservation.spki_sha256,
        "frozen": reservation.frozen,
    }


def reserve(tx: Tx, reservation: Reservation, now: int) -> Reservation | None:
    """Fix a serial number and what will be signed with it, before it is signed.

    An operation that has a reservation already keeps it: that one is returned.  None when another
    certificate has the serial number: draw another.
    """
    if _insert(tx, reservation, now, der=None) is not None:
        return reservation
    if reservation.operation_id is None:
        return None
    earlier = of_operation(tx, reservation.operation_id)
    return None if earlier is None else reservation_of(earlier)


def reservation_of(row: Certificate) -> Reservation:
    """What was reserved for a certificate."""
    return Reservation(
        ca_id=row.ca_id,
        serial=row.serial,
        operation_id=row.operation_id,
        profile=row.profile,
        subject=row.subject,
        sans=row.sans,
        not_before=row.not_before,
        not_after=row.not_after,
        spki_sha256=row.spki_sha256,
        frozen=row.frozen,
    )


def record(tx: Tx, reservation: Reservation, der: bytes, now: int) -> int | None:
    """Add a certificate that exists: its number, or None when the serial number is taken."""
    return _insert(tx, reservation, now, der=der)


def _insert(tx: Tx, reservation: Reservation, now: int, *, der: bytes | None) -> int | None:
    return tx.insert(
        _INSERT,
        {
            "ca_id": reservation.ca_id,
            "serial": reservation.serial,
            "operation_id": reservation.operation_id,
            "state": "reserved" if der is None else "issued",
            "profile": reservation.profile,
            "subject": _text(reservation.subject),
            "sans": _text(reservation.sans),
            "not_before": reservation.not_before,
            "not_after": reservation.not_after,
            "now": now,
            "issued_at": None if der is None else now,
            "spki_sha256": reservation.spki_sha256,
            "sha256": None if der is None else hashlib.sha256(der).digest(),
            "frozen": reservation.frozen,
            "der": der,
        },
    )


_FINISH = """
    UPDATE operation SET state = 'issued', lease_until = NULL, finished_at = :now
    WHERE id = :operation_id AND state = 'approved'
"""

# What was fixed to be signed is in the certificate from now on.
_PUBLISH = """
    UPDATE certificate SET
        state = 'issued', issued_at = :now, sha256 = :sha256, der = :der, frozen = ''
    WHERE operation_id = :operation_id AND state = 'reserved'
        AND EXISTS (SELECT 1 FROM operation WHERE id = :operation_id AND state = 'issued')
"""


def publish(tx: Tx, operation_id: int, der: bytes, now: int) -> bool:
    """Store the signed certificate and end its operation.

    False when somebody else was first, or when the reservation was revoked: `der` must then not
    leave this process, and `of_operation` says what is true.

    Raises:
        StoreError: the operation has no reservation.
    """
    sha256 = hashlib.sha256(der).digest()
    finished, published = tx.together(
        (_FINISH, {"operation_id": operation_id, "now": now}),
        (_PUBLISH, {"operation_id": operation_id, "now": now, "sha256": sha256, "der": der}),
    )
    if finished and not published:
        raise StoreError(f"nothing was reserved for operation {operation_id}")
    return bool(finished)


# ------------------------------------------------------------------------------------ revocation


# Before the certificate, as in `publish`: who locks in one order never waits in a circle.
_END = """
    UPDATE operation SET
        state = 'failed', lease_until = NULL, finished_at = :now, fail_info = 2,
        reason = 'revoked before it was issued'
    WHERE state = 'approved' AND id = (
        SELECT operation_id FROM certificate WHERE ca_id = :ca_id AND serial = :serial
    )
"""

_REVOKE = f"""
    UPDATE certificate SET state = 'revoked', revoked_at = :now, revocation_reason = :reason
    WHERE ca_id = :ca_id AND serial = :serial AND state <> 'revoked'
    RETURNING {_COLUMNS}
"""

_MARK = """
    UPDATE ca SET revocations = revocations + 1, crl_dirty_at = coalesce(crl_dirty_at, :now)
    WHERE id = :ca_id
"""


def revoke(
    tx: Tx,
    ca_id: int,
    serial: str,
    *,
    reason: int,
    actor: str,
    now: int,
    detail: Mapping[str, object] | None = None,
) -> Certificate | None:
    """Revoke a certificate, or a serial number that was reserved and perhaps signed.

    `reason` is RFC 5280's CRLReason.  None when it is unknown or was revoked before.  An operation
    that was still to be issued has failed then.
    """
    tx.run(_END, {"ca_id": ca_id, "serial": serial, "now": now})
    revoked = _one(tx, _REVOKE, {"ca_id": ca_id, "serial": serial, "reason": reason, "now": now})
    if revoked is None:
        return None
    tx.run(_MARK, {"ca_id": ca_id, "now": now})
    audit.record(
        tx,
        now=now,
        actor=actor,
        action="certificate.revoke",
        object=f"certificate:{ca_id}/{serial}",
        detail={"subject": revoked.subject, "reason": reason, **(detail or {})},
    )
    return revoked


_REVOKED = """
    SELECT serial, revoked_at, revocation_reason FROM certificate
    WHERE ca_id = :ca_id AND state = 'revoked' AND not_after >= :not_after_from
    ORDER BY id
"""


def revoked(tx: Tx, ca_id: int, *, not_after_from: int) -> Iterator[Revoked]:
    """What a CRL lists: revoked, and not expired before a moment.  Only in `Store.snapshot`."""
    parameters = {"ca_id": ca_id, "not_after_from": not_after_from}
    return map(Revoked._make, tx.stream(_REVOKED, parameters))


# -------------------------------------------------------------------------------------- finding


def by_id(tx: Tx, certificate_id: int) -> Certificate | None:
    """The certificate with that number."""
    return _one(tx, f"{_SELECT} WHERE id = :id", {"id": certificate_id})


def of_operation(tx: Tx, operation_id: int) -> Certificate | None:
    """The certificate that an operation has, reserved or more."""
    return _one(tx, f"{_SELECT} WHERE operation_id = :id", {"id": operation_id})


def by_serial(tx: Tx, ca_id: int, serial: str) -> Certificate | None:
    """The certificate with that serial number."""
    return _one(
        tx,
        f"{_SELECT} WHERE ca_id = :ca_id AND serial = :serial",
        {"ca_id": ca_id, "serial": serial},
    )


def expiring(
    tx: Tx, *, since: int, before: int, after: tuple[int, int] | None = None, limit: int = 100
) -> list[Certificate]:
    """Issued certificates that end within a span of time, the first to end first.

    The next page is after the last one's `(not_after, id)`.
    """
    start, number = after or (since, -1)
    return _all(
        tx,
        f"{_SELECT} WHERE state = 'issued' AND (not_after, id) > (:start, :number)"
        " AND not_after < :before ORDER BY not_after, id LIMIT :limit",
        {"start": start, "number": number, "before": before, "limit": limit},
    )


def search(
    tx: Tx,
    *,
    state: CertificateState | None = None,
    ca_id: int | None = None,
    profile: str | None = None,
    text: str | None = None,
    before: int | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Certificate]:
    """Certificates, newest first; the next page is before the last one's `id`.

    `text` is part of the subject, of a subject alternative name or of the serial number, with ASCII
    letters in any case.  The rows are read until a page is full, or down to the one numbered
    `after` (`searching.floor`).
    """
    conditions = {
        # A constant, as the index of revoked certificates is for that one state.
        "state = 'revoked'" if state == "revoked" else "state = :state": state,
        "ca_id = :ca_id": ca_id,
        "profile = :profile": profile,
        "id < :before": before,
        "id > :after": after or None,
        "(lower(subject) LIKE :text ESCAPE '!' OR lower(sans) LIKE :text ESCAPE '!'"
        " OR serial LIKE :text ESCAPE '!')": text,
    }
    asked = [condition for condition, value in conditions.items() if value is not None]
    return _all(
        tx,
        f"{_SELECT} {'WHERE ' if asked else ''}{' AND '.join(asked)} ORDER BY id DESC LIMIT :limit",
        {
            "state": state,
            "ca_id": ca_id,
            "profile": profile,
            "before": before,
            "after": after,
            "text": None if text is None else containing(text),
            "limit": limit,
        },
    )


def every(tx: Tx) -> Iterator[Certificate]:
    """All certificates, for an export.  Only in `Store.snapshot`."""
    for row in tx.stream(f"{_SELECT} ORDER BY id"):
        yield Certificate(*row)


def _text(name: str) -> str:
    """A subject or its names, which databases take only without NUL."""
    if "\0" in name:
        raise InputError("a subject or name has a NUL in it")
    return name


def _one(tx: Tx, sql: str, parameters: Parameters) -> Certificate | None:
    row = tx.one(sql, parameters)
    return None if row is None else Certificate(*row)


def _all(tx: Tx, sql: str, parameters: Parameters) -> list[Certificate]:
    return [Certificate(*row) for row in tx.all(sql, parameters)]
