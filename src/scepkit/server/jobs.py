"""What a server does without being asked: one function for each job, one call for each pass.

The rules of this file: every job may run on many nodes at once and be killed anywhere; what it did
not end, the next pass does.  Jobs act as "scepkit" in the audit trail.
"""

from __future__ import annotations

import json
import logging
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial

from scepkit.core.csr import read_csr
from scepkit.errors import ProtocolError
from scepkit.server import crl_job, issuing
from scepkit.server.auditing import TELL_ISSUED, TELL_REFUSED
from scepkit.server.case import milliseconds_of
from scepkit.server.checkpoints import checkpoint
from scepkit.server.deployment import Deployment
from scepkit.server.describing import described_certificate, described_request
from scepkit.server.service import ScepService
from scepkit.server.webhook import Webhook
from scepkit.store import Store, audit, certificates, challenges, operations, outbox
from scepkit.store.driver import Tx
from scepkit.store.rows import Operation, OutboxItem, milliseconds, moment

log = logging.getLogger("scepkit.server")

ACTOR = "scepkit"

#: Operations that one pass of the sweeper takes up, and how many may fail before it gives up.
_SWEPT, _MISSES = 100, 5
#: Items that one pass tells, and how long it may take for them, in milliseconds.
_TOLD, _TELLING = 20, 300_000
_FIRST_RETRY, _LONGEST_RETRY = timedelta(seconds=5), timedelta(hours=1)
#: How long somebody who does not answer is told again, and how long the told is remembered.
_GIVEN_UP_AFTER, _REMEMBERED = timedelta(days=1), timedelta(days=7)


def sweep(service: ScepService, now: datetime) -> int:
    """Finish approved operations that nobody works at: their process died, or a person approved.

    :returns: how many were finished.
    """
    desk = service.desk()
    finished = misses = 0
    for operation in service.store.read(
        lambda tx: operations.abandoned(tx, milliseconds(now), _SWEPT)
    ):
        match issuing.finish(desk, operation.id, now):
            case issuing.NotYet():
                misses += 1
            case _:
                finished += 1
        if misses >= _MISSES:
            break  # a key is away: the rest would fare no better
    return finished


def expire_pending(service: ScepService, now: datetime) -> int:
    """End the requests that nobody decided in time; returns how many."""
    profiles = service.deployment.profiles

    def expire(tx: Tx) -> int:
        expired = operations.expire_pending(tx, milliseconds(now), actor=ACTOR)
        for operation in expired:
            profile = profiles.get(operation.profile)
            policy = profile.auth.challenge if profile else None
            if policy is not None and policy.return_unused:
                give_back(tx, operation, actor=ACTOR, now=now)
        checkpoint("decide.end")
        return len(expired)

    if not service.store.read(lambda tx: operations.waiting(tx).count):
        return 0
    return service.store.write(expire)


def give_back(tx: Tx, operation: Operation, *, actor: str, now: datetime) -> None:
    """Return the challenge that paid for an operation which came to nothing."""
    if operation.challenge_id is None or not challenges.give_back(tx, operation.challenge_id):
        return
    audit.record(
        tx,
        now=milliseconds(now),
        actor=actor,
        action="challenge.return",
        object=f"challenge:{operation.challenge_id}",
        detail={"profile": operation.profile, "operation": operation.id},
    )


def make_due_crls(service: ScepService, now: datetime) -> list[str]:
    """Make the CRLs that are due; returns the labels of their CAs."""
    return crl_job.make_due_crls(service.store, service.deployment, now, actor=ACTOR)


def seal_audit(store: Store, now: datetime) -> int:
    """Chain what was written into the audit trail; returns how many rows."""
    with store.job_lock("audit", now=milliseconds(now), lease=60_000) as mine:
        sealed = 0
        while mine and (count := store.write(audit.seal)):
            sealed += count
        return sealed


# ------------------------------------------------------------------ telling


def deliver_outbox(service: ScepService, now: datetime) -> int:
    """Tell what is to be told; returns how many notices were taken.

    A receiver may hear twice when the server dies in between, never not at all.
    """
    store, deployment = service.store, service.deployment
    store.write(lambda tx: outbox.prune(tx, milliseconds(now - _REMEMBERED)))
    told = 0
    for item in store.write(
        lambda tx: outbox.take(tx, milliseconds(now), lease=_TELLING, limit=_TOLD)
    ):
        checkpoint("outbox.taken")
        problem = _tell(store, deployment, item, now)
        checkpoint("outbox.sent")
        told += problem is None
        store.write(partial(_told, item=item, problem=problem, now=now))
        checkpoint("outbox.done")
    return told


def _told(tx: Tx, item: OutboxItem, problem: str | None, now: datetime) -> None:
    now_ms = milliseconds(now)
    if problem is None:
        outbox.done(tx, item.id, now_ms)
        return
    log.warning("notice %d (%s) could not be given: %s", item.id, item.kind, problem)
    wait = min(_FIRST_RETRY * 2 ** min(item.attempts, 20), _LONGEST_RETRY)
    given_up = now_ms - item.created_at >= milliseconds_of(_GIVEN_UP_AFTER)
    retry_at = None if given_up else now_ms + milliseconds_of(wait)
    outbox.fail(tx, item.id, now_ms, error=problem[:500], retry_at=retry_at)


def _tell(store: Store, deployment: Deployment, item: OutboxItem, now: datetime) -> str | None:
    """Give one notice; what went wrong, or None."""
    payload = json.loads(item.payload)
    if item.kind == TELL_ISSUED:
        return _tell_issued(store, deployment, payload["operation"], now)
    if item.kind != TELL_REFUSED:
        return f"there is no notice of the kind {item.kind!r}"
    hook = _hook(deployment, payload["profile"])
    if hook is None:
        return None  # nobody wants to know any more
    return hook.tell(
        {
            "timestamp": _time(moment(item.created_at)),
            "provisionerName": payload["profile"],
            "scepTransactionID": payload["transactionID"],
            "scepErrorCode": payload["code"],
            "scepErrorDescription": payload["description"],
        }
    )


def _tell_issued(
    store: Store, deployment: Deployment, operation_id: int, now: datetime
) -> str | None:
    operation = store.read(lambda tx: operations.find(tx, operation_id))
    row = store.read(lambda tx: certificates.of_operation(tx, operation_id))
    if operation is None or row is None or row.der is None:
        return None
    hook = _hook(deployment, operation.profile)
    if hook is None:
        return None
    body: dict[str, object] = {
        "timestamp": _time(moment(row.issued_at or milliseconds(now))),
        "provisionerName": operation.profile,
        "scepTransactionID": operation.transaction_id,
        "x509Certificate": described_certificate(row.der),
    }
    with suppress(ProtocolError):  # the certificate says what matters
        body["x509CertificateRequest"] = described_request(read_csr(operation.csr))
    return hook.tell(body)


def _hook(deployment: Deployment, profile: str) -> Webhook | None:
    found = deployment.profiles.get(profile)
    return None if found is None else found.notify


def _time(when: datetime) -> str:
    return when.strftime("%Y-%m-%dT%H:%M:%S.%fZ")
