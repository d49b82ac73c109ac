"""How an operation stands, as the answer to whoever began it (promise P1).

The rule of this file: the same request gets the same result, from the database, until its replay
window is over; only a certificate that was revoked meanwhile is not handed out again.
"""

from __future__ import annotations

from scepkit.core.certificates import CertificateView, view_of
from scepkit.core.envelope import Password
from scepkit.core.messages import Failure, StillPending, Success
from scepkit.errors import FailInfo
from scepkit.server import auditing, issuing
from scepkit.server.case import Answer, Case, Refusal
from scepkit.server.issuing import Issued, Work
from scepkit.server.roles import Generation
from scepkit.store import certificates, turns
from scepkit.store.certificates import Reservation
from scepkit.store.rows import Operation

REJECTED = "the request was rejected"
EXPIRED = "the request waited too long for a decision"
REVOKED = "the certificate was revoked"

#: Seconds between looks at an operation that another process works at.
_LOOKS = (0.02, 0.04, 0.08, 0.16, 0.3)


def as_it_stands(case: Case, operation: Operation, recipient: CertificateView | Password) -> Answer:
    """The answer to a request or a poll that belongs to an operation."""
    case.record.operation = operation.id
    match operation.state:
        case "pending":
            case.record.reason = operation.reason
            return Answer(StillPending())
        case "approved":
            return finished(case, operation.id, recipient)
        case "issued":
            row = case.store.read(lambda tx: certificates.of_operation(tx, operation.id))
            assert row is not None  # noqa: S101 - it is issued
            return _delivered(case, Issued.of(row), recipient)
        case _:
            return _over(case, operation)


def finished(
    case: Case,
    operation_id: int,
    recipient: CertificateView | Password,
    *,
    mine: bool = False,
    reserved: Reservation | None = None,
) -> Answer:
    """Finish an approved operation if it is nobody else's, and answer."""
    case.record.operation = operation_id
    waited = 0.0
    for pause in (*_LOOKS, None):
        turns.step()
        with case.record.timed("sign"):
            if mine:
                work = Work(operation_id, case.request.transaction_id, reserved)
                result = issuing.work_at(case.desk, work, case.now)
            else:
                result = issuing.finish(case.desk, operation_id, case.now)
        match result:
            case Issued():
                return _delivered(case, result, recipient)
            case issuing.Over(operation):
                return _over(case, operation)
            case issuing.NotYet(reason):
                case.record.reason = reason
                if mine or pause is None or waited + pause > case.desk.patience:
                    break
                case.desk.sleep(pause)
                waited += pause
    return Answer(StillPending())


def _delivered(case: Case, issued: Issued, recipient: CertificateView | Password) -> Answer:
    case.record.serial, case.record.subject = issued.serial, issued.subject
    if issued.der is None:
        refusal = Refusal(REVOKED, REVOKED, action="replay.deny")
        auditing.refuse(case, refusal, subject=issued.subject)
        return refusal.answer()
    case.record.reason = ""
    generation = case.desk.deployment.generation(issued.ca_id)
    return Answer(Success((issued.der, *_beside(case, generation))), recipient)


def _beside(case: Case, generation: Generation | None) -> tuple[bytes, ...]:
    """The certificates that go with an issued one; by default none (iOS takes the first; Q05)."""
    if generation is None or case.profile.reply_certificates == "leaf":
        return ()
    above = generation.chain if case.profile.reply_certificates == "chain" else ()
    return (generation.seen.der, *(view_of(one).der for one in above))


def _over(case: Case, operation: Operation) -> Answer:
    case.record.reason = operation.reason or operation.state
    known = {int(one): one for one in FailInfo}
    fail_info = known.get(operation.fail_info or 0, FailInfo.BAD_REQUEST)
    if operation.fail_info is None:
        fail_info = FailInfo.BAD_REQUEST
    # What the operator wrote is for the operator; what a profile refuses is for the client too.
    texts = {"rejected": REJECTED, "expired": EXPIRED}
    return Answer(Failure(fail_info, texts.get(operation.state, operation.reason)))
