"""What the protocol writes into the audit trail, and into the outbox beside it.

The rule of this file: a row is written in the transaction that decides, and nothing of a request is
in it but names, numbers and the transactionID (promise P7).
"""

from __future__ import annotations

from collections.abc import Mapping

from scepkit.server.case import Case, Refusal
from scepkit.server.checkpoints import checkpoint
from scepkit.store import audit, outbox
from scepkit.store.certificates import Reservation
from scepkit.store.driver import Tx

#: Kinds of outbox items.
TELL_ISSUED, TELL_REFUSED = "notify.issued", "notify.refused"


def record(tx: Tx, case: Case, action: str, object_: str, detail: Mapping[str, object]) -> None:
    """Write a row about a request."""
    known: dict[str, object] = {
        "profile": case.profile.name,
        "transactionID": case.request.transaction_id,
        "signerKey": case.record.signer_key,
        "address": case.context.address,
    }
    audit.record(
        tx,
        now=case.now_ms,
        actor=case.actor,
        action=action,
        object=object_,
        detail={**known, **{name: value for name, value in detail.items() if value != ""}},
    )


def refuse(case: Case, refusal: Refusal, *, subject: str = "", enrolling: bool = True) -> None:
    """Write a refusal down, durably, before anybody hears of it."""
    detail = {
        "reason": refusal.reason,
        "failInfo": refusal.fail_info.rfc_name,
        "messageType": case.record.message_type,
        "subject": subject,
    }

    def write(tx: Tx) -> None:
        record(tx, case, refusal.action, f"profile:{case.profile.name}", detail)
        if enrolling and case.profile.notify is not None:
            payload = {
                "profile": case.profile.name,
                "transactionID": case.request.transaction_id,
                "code": int(refusal.fail_info),
                "description": refusal.text or refusal.fail_info.rfc_name,
            }
            outbox.add(tx, TELL_REFUSED, payload, case.now_ms)
        checkpoint("deny.end")

    case.store.write(write)
    case.record.reason = refusal.reason


def issued(
    tx: Tx,
    now: int,
    operation_id: int,
    transaction_id: str,
    certificate: Reservation,
    *,
    tell: bool,
) -> None:
    """Write down that a certificate was issued."""
    audit.record(
        tx,
        now=now,
        actor="scep",
        action="certificate.issue",
        object=f"certificate:{certificate.ca_id}/{certificate.serial}",
        detail={
            "profile": certificate.profile,
            "operation": operation_id,
            "transactionID": transaction_id,
            "subject": certificate.subject,
            "sans": certificate.sans,
            "notAfter": certificate.not_after,
        },
    )
    if tell:
        outbox.add(tx, TELL_ISSUED, {"operation": operation_id}, now)
