"""Issuing: from an approved operation to a certificate that is stored.

    approved ── reserve ──▶ serial number and TBSCertificate are stored     (one transaction)
             ── sign ─────▶ outside of any transaction: a token may be slow
             ── publish ──▶ the certificate is stored, the operation is over (one transaction)

The rules of this file: nothing is signed that is not stored before (promise P3); whoever holds the
lease goes on, with the same serial number and the same bytes to sign (promise P6); and what is
handed out is what the database has stored: what was signed in vain is thrown away.
"""

from __future__ import annotations

import hashlib
import json
import logging
import secrets
from base64 import b64decode, b64encode
from dataclasses import dataclass
from datetime import datetime

from scepkit.ca import CertificateTemplate, ProfileRefusal, template_for
from scepkit.core.csr import read_csr
from scepkit.errors import InputError, ProtocolError
from scepkit.server import auditing, tokens
from scepkit.server.case import Desk
from scepkit.server.checkpoints import checkpoint
from scepkit.server.deployment import ServedProfile
from scepkit.server.naming import Names, names_of
from scepkit.server.roles import Generation
from scepkit.store import certificates, operations
from scepkit.store.certificates import Reservation
from scepkit.store.driver import Tx
from scepkit.store.rows import Certificate, Operation, milliseconds

log = logging.getLogger("scepkit.server")

_ATTEMPTS = 5


@dataclass(frozen=True, slots=True)
class Work:
    """An approved operation whose lease the caller holds.

    Attributes:
        transaction_id: that of its first request.
        reserved: its certificate, if one is reserved.
    """

    operation_id: int
    transaction_id: str
    reserved: Reservation | None


@dataclass(frozen=True, slots=True)
class Issued:
    """There is a certificate, and the database has it; `der` is None if it was revoked since."""

    ca_id: int
    serial: str
    subject: str
    der: bytes | None

    @classmethod
    def of(cls, row: Certificate) -> Issued:
        """What a row says."""
        der = None if row.state == "revoked" else row.der
        return cls(row.ca_id, row.serial, row.subject, der)


@dataclass(frozen=True, slots=True)
class NotYet:
    """There is none yet: somebody else works at it, or a key is not to be had now."""

    reason: str


@dataclass(frozen=True, slots=True)
class Over:
    """There will be none."""

    operation: Operation


def serial_number(now: datetime) -> int:
    """A new serial number: 159 bits, of which 124 are random (RFC 5280 section 4.1.2.2).

    It begins with the second, which notBefore tells too.  So those that are given out at one time
    are beside one another in the database's index, where random ones change a page each.
    """
    second = int(now.timestamp()) & (1 << 34) - 1
    return (1 << 34 | second) << 124 | secrets.randbits(124)


def reservation_for(
    generation: Generation,
    template: CertificateTemplate,
    names: Names,
    profile: ServedProfile,
    now: datetime,
    *,
    operation_id: int | None,
) -> Reservation:
    """A serial number drawn at random, and all that will be signed with it.

    :param names: those of the template.
    :raises InputError: the CA's certificate is out of date.
    """
    assert generation.issuer is not None  # noqa: S101 - the caller looked
    serial = serial_number(now)
    first, last = generation.issuer.validity_of(template, now)
    prepared = generation.issuer.to_be_signed(template, serial, now)
    return Reservation(
        ca_id=generation.ca_id,
        serial=f"{serial:x}",
        operation_id=operation_id,
        profile=profile.name,
        subject=names.subject,
        sans=names.sans,
        not_before=milliseconds(first),
        not_after=milliseconds(last),
        spki_sha256=hashlib.sha256(template.spki).digest(),
        # What `json.dumps` writes, which takes ten times as long.
        frozen=f'{{"tbs": "{b64encode(prepared).decode("ascii")}"}}',
    )


def finish(desk: Desk, operation_id: int, now: datetime) -> Issued | NotYet | Over:
    """Bring an approved operation to its end, if it is nobody else's."""
    if (row := _of(desk, operation_id)) is not None and row.state != "reserved":
        return _outcome(desk, row, operation_id, now)
    until = milliseconds(now)
    taken = desk.store.write(lambda tx: operations.take_over(tx, operation_id, until, desk.lease))
    if taken is None:
        return _as_it_stands(desk, operation_id, now)
    checkpoint("taken-over")
    reserved = None if row is None else certificates.reservation_of(row)
    return work_at(desk, Work(operation_id, taken.transaction_id, reserved), now)


def work_at(desk: Desk, work: Work, now: datetime) -> Issued | NotYet | Over:
    """Bring an operation of the caller's to its end."""
    reserved = work.reserved
    if reserved is None:
        found = _reserve(desk, work.operation_id, now)
        if not isinstance(found, Reservation):
            return found
        reserved = found
    return _sign(desk, work, reserved, now)


def _of(desk: Desk, operation_id: int) -> Certificate | None:
    return desk.store.read(lambda tx: certificates.of_operation(tx, operation_id))


def _as_it_stands(desk: Desk, operation_id: int, now: datetime) -> Issued | NotYet | Over:
    """Somebody else holds the lease, or was quicker."""
    # In this order: what an issued operation issued is there when it is looked for afterwards.
    operation = desk.store.read(lambda tx: operations.find(tx, operation_id))
    row = _of(desk, operation_id)
    if row is not None and row.state != "reserved":
        return _outcome(desk, row, operation_id, now)
    if operation is not None and operation.finished_at is not None:
        return Over(operation)
    return NotYet("another process works at it")


def _outcome(desk: Desk, row: Certificate, operation_id: int, now: datetime) -> Issued | Over:
    """A certificate that is not only reserved: issued, or revoked before or after that."""
    if row.der is not None:
        return Issued.of(row)
    # Revoked before it was signed: then it never will be.
    refusal = ProfileRefusal("the certificate was revoked before it was issued")
    return _fail(desk, operation_id, refusal, now)


# ------------------------------------------------------------------ reserving what a person allowed


def _reserve(desk: Desk, operation_id: int, now: datetime) -> Reservation | NotYet | Over:
    """Reserve for an operation that has none yet: it was approved after it came."""
    operation = desk.store.read(lambda tx: operations.find(tx, operation_id))
    assert operation is not None  # noqa: S101 - operations do not go away
    profile = desk.deployment.profiles.get(operation.profile)
    if profile is None:
        return _release(desk, operation.id, now, f"there is no profile {operation.profile} now")
    generation = profile.roles.authority.active
    if generation.issuer is None:
        return _release(desk, operation.id, now, f"the key of the CA {generation.label} is away")
    template = _template(operation, profile, generation)
    if isinstance(template, ProfileRefusal):
        return _fail(desk, operation.id, template, now)
    names = names_of(template)
    for _ in range(_ATTEMPTS):
        try:
            reservation = reservation_for(
                generation, template, names, profile, now, operation_id=operation.id
            )
        except InputError as error:
            return _release(desk, operation.id, now, str(error))
        work = _Reserving(operation, reservation, milliseconds(now))
        result = desk.store.write(work.run)
        if isinstance(result, str):
            return _fail(desk, operation.id, ProfileRefusal(result), now)
        if result is not None:
            checkpoint("reserved")
            return result
    return _release(desk, operation.id, now, "no serial number was free")


def _template(
    operation: Operation, profile: ServedProfile, generation: Generation
) -> CertificateTemplate | ProfileRefusal:
    try:
        template = template_for(read_csr(operation.csr), profile.rules_for(generation))
    except ProtocolError as error:
        return ProfileRefusal(f"the request cannot be read: {error}")
    if isinstance(template, ProfileRefusal):
        return template
    fault = profile.patterns.fault(template)
    return template if fault is None else ProfileRefusal(fault)


@dataclass(frozen=True, slots=True)
class _Reserving:
    """The transaction that reserves what a person allowed."""

    operation: Operation
    reservation: Reservation
    now: int

    def run(self, tx: Tx) -> Reservation | str | None:
        """A text says why not any more; None: the serial number is taken."""
        checkpoint("reserve.begin")
        asked = self.operation
        if asked.renews_ca is not None and asked.renews_serial is not None:
            old = certificates.by_serial(tx, asked.renews_ca, asked.renews_serial)
            if old is None or old.state != "issued":
                return "the certificate to renew was revoked meanwhile"
        reserved = certificates.reserve(tx, self.reservation, self.now)
        checkpoint("reserve.end")
        return reserved


def _fail(desk: Desk, operation_id: int, refusal: ProfileRefusal, now: datetime) -> Over:
    def end(tx: Tx) -> Operation | None:
        operations.fail(
            tx,
            operation_id,
            fail_info=int(refusal.fail_info),
            reason=refusal.reason,
            actor="scep",
            now=milliseconds(now),
        )
        return operations.find(tx, operation_id)

    ended = desk.store.write(end)
    assert ended is not None  # noqa: S101
    return Over(ended)


def _release(desk: Desk, operation_id: int, now: datetime, reason: str) -> NotYet:
    """Leave it approved; who asks next, or the sweeper, tries again."""
    log.warning("operation %d cannot be finished now: %s", operation_id, reason)
    desk.store.write(lambda tx: operations.release(tx, operation_id, milliseconds(now)))
    return NotYet(reason)


# ------------------------------------------------------------------ signing and publishing


def _sign(desk: Desk, work: Work, reserved: Reservation, now: datetime) -> Issued | NotYet | Over:
    operation_id = work.operation_id
    if not reserved.frozen:  # published, while the caller was about to reserve
        return _as_it_stands(desk, operation_id, now)
    generation = desk.deployment.generation(reserved.ca_id)
    if generation is None or generation.issuer is None:
        return _release(desk, operation_id, now, f"the key of the CA {reserved.ca_id} is away")
    prepared = b64decode(json.loads(reserved.frozen)["tbs"])
    checkpoint("sign.begin")
    try:
        issuer = generation.issuer
        der = tokens.signing(issuer.key, lambda: issuer.sign(prepared))
    except Exception as error:  # a token may raise anything; the request is none the worse for it
        log.warning("the key of the CA %s cannot sign: %r", generation.label, error)
        return _release(desk, operation_id, now, "the key cannot sign now")
    checkpoint("sign.end")
    return _publish(desk, work, reserved, der, now)


def _publish(
    desk: Desk, work: Work, reserved: Reservation, der: bytes, now: datetime
) -> Issued | Over:
    profile = desk.deployment.profiles.get(reserved.profile)
    tell = profile is not None and profile.notify is not None
    now_ms = milliseconds(now)

    def publish(tx: Tx) -> Issued | Certificate | None:
        checkpoint("publish.begin")
        published = certificates.publish(tx, work.operation_id, der, now_ms)
        checkpoint("publish.published")
        if not published:
            return certificates.of_operation(tx, work.operation_id)
        auditing.issued(tx, now_ms, work.operation_id, work.transaction_id, reserved, tell=tell)
        checkpoint("publish.end")
        return Issued(reserved.ca_id, reserved.serial, reserved.subject, der)

    stored = desk.store.write(publish)
    checkpoint("published")
    assert stored is not None  # noqa: S101 - reservations do not go away
    if isinstance(stored, Issued):
        return stored
    return _outcome(desk, stored, work.operation_id, now)
