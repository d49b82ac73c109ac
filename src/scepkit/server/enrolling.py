"""PKCSReq and RenewalReq: from a request that was opened to its answer.

    look ──▶ what the database knows of it: the same request, the challenge, the certificate renewed
             (nothing, for whoever has no part in the request: he is refused)
    gate ──▶ allow, hold or deny
    claim ─▶ one transaction: the operation, the challenge used up, the serial number, the audit
    then `issuing` signs and publishes

The rules of this file: a repetition is answered before anybody is asked again; nothing is used up
unless all of it is; a refusal is written down before it is answered; and whose request it is comes
before all that depends on what is in it, so that nobody learns from an answer what somebody else
has asked for (A1, A13, A22).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scepkit.ca import CertificateTemplate, ProfileRefusal, template_for
from scepkit.core.certificates import CertificateView
from scepkit.core.csr import ParsedCsr
from scepkit.core.envelope import Password
from scepkit.core.messages import StillPending
from scepkit.errors import AlgorithmError, FailInfo, InputError, StoreUnavailable
from scepkit.server import auditing, auth_renewal, keeping
from scepkit.server.case import Answer, Case, Refusal, milliseconds_of, recipient_for
from scepkit.server.checkpoints import checkpoint
from scepkit.server.gate import authorise, of_a_stranger, renews_by
from scepkit.server.issuing import reservation_for
from scepkit.server.naming import Names, names_of
from scepkit.server.opening import Opened
from scepkit.server.roles import Generation
from scepkit.server.standing import as_it_stands, finished
from scepkit.server.verdicts import Allow, Deny, EnrolRequest, Hold, Seen, same_key
from scepkit.store import Rollback, certificates, claims, operations, turns
from scepkit.store.certificates import Reservation
from scepkit.store.claims import (
    Claim,
    Claimed,
    Known,
    Overtaken,
    SerialTaken,
    TransactionIdInUse,
)
from scepkit.store.driver import Tx
from scepkit.store.rows import Challenge, Operation

_ATTEMPTS = 5
IN_USE = "the transactionID belongs to another request"


class QueueFull(Exception):
    """More requests wait for a person than the profile allows."""


@dataclass(frozen=True, slots=True)
class _Gone:
    """What was seen is no longer so: look again."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    operation_id: int
    reserved: Reservation | None


def enrol(case: Case, opened: Opened) -> Answer:
    """Answer a PKCSReq or RenewalReq.

    :raises QueueFull: it would have to wait, and the queue is full.
    """
    assert opened.csr is not None  # noqa: S101 - it is a request
    generation = (opened.opener and opened.opener.generation) or case.profile.roles.authority.active
    for _ in range(_ATTEMPTS):
        answer = _attempt(case, opened, opened.csr, generation)
        if answer is not None:
            return answer
    raise StoreUnavailable("the same request is being worked at too often")


def _attempt(case: Case, opened: Opened, csr: ParsedCsr, generation: Generation) -> Answer | None:
    """One try; None when another request came in between and it has to be looked at again."""
    record = case.record
    turns.step()
    with record.timed("authorise"):
        own = same_key(case.request.signer, csr)
        found = _look(case, csr, own=own)
        if isinstance(found, Deny):
            return _refused(case, _refusal_of(found))
        seen, key = found
        if seen.operation is not None:
            recipient = _recipient(case, opened, csr)
            if isinstance(recipient, Refusal):
                return _refused(case, recipient)
            return _again(case, csr, key, seen, seen.operation, recipient)
        template = _template(case, csr, generation)
        foreign = None if own else _for_another(csr, template, seen)
        recipient = foreign or _recipient(case, opened, csr)
        if isinstance(recipient, Refusal):
            return _refused(case, recipient)
        if isinstance(template, Refusal):
            return _refused(case, template)
        names = names_of(template)
        record.subject = names.subject
        decision = _decision(case, csr, template, seen)
    checkpoint("authorised")
    if isinstance(decision, Deny):
        return _refused(case, _refusal_of(decision))
    record.by = decision.by
    turns.step()
    with record.timed("claim"):
        claimed = _claim(case, csr, key, seen, template, names, decision, generation, recipient)
    match claimed:
        case Refusal():
            return _refused(case, claimed)
        case Known(operation):
            return as_it_stands(case, operation, recipient)
        case _Claimed(operation_id, reserved):
            checkpoint("claimed")
            record.operation = operation_id
            if isinstance(decision, Hold):
                record.reason = decision.reason
                return Answer(StillPending())
            return finished(case, operation_id, recipient, mine=True, reserved=reserved)
        case _Gone():
            return None


def _decision(
    case: Case, csr: ParsedCsr, template: CertificateTemplate, seen: Seen
) -> Allow | Hold | Deny:
    asked = EnrolRequest(
        profile=case.profile.name,
        message_type=case.message_type,
        csr=csr,
        template=template,
        signer=case.request.signer,
        transaction_id=case.request.transaction_id,
        now=case.now,
    )
    who, authorities = case.profile.auth, case.desk.deployment.authorities
    return authorise(asked, seen, who, authorities, case.profile.roles.authority)


def _refusal_of(decision: Deny) -> Refusal:
    return Refusal(decision.reason, decision.text, decision.fail_info, decision.action)


def _refused(case: Case, refusal: Refusal) -> Answer:
    auditing.refuse(case, refusal, subject=case.record.subject)
    return refusal.answer()


# ------------------------------------------------------------------ looking


def _look(case: Case, csr: ParsedCsr, *, own: bool) -> tuple[Seen, bytes] | Deny:
    """What the database knows that the request refers to, and what identifies it.

    Nothing is looked up for whoever has no part in the request: he is denied.

    :param own: the key that is to be certified has signed the message.
    """
    deployment, name = case.desk.deployment, case.profile.name
    candidates = auth_renewal.generations_named(deployment.authorities, case.request.signer)
    if not own and not (candidates and renews_by(case.message_type, case.profile.auth)):
        return of_a_stranger(case.message_type)

    def look(tx: Tx) -> tuple[Seen, bytes] | Deny:
        renews = None
        if candidates:
            renews = auth_renewal.find_renewed(tx, candidates, case.request.signer)
        if renews is None and not own:
            return of_a_stranger(case.message_type)
        mac, near = None, b""
        if csr.challenge:
            mac = deployment.pepper.mac(csr.challenge)
            near = deployment.pepper.near(csr.challenge)
        key = keeping.op_key(name, csr, mac, renews, near)
        operation, challenge = claims.before(tx, name, key, mac)
        epoch = 0
        window = _replay_window(case, challenge)
        if operation is not None and claims.is_over(operation, window, case.now_ms):
            epoch = operation.epoch + 1
            operation = None
        return Seen(operation, challenge, mac, renews, epoch), key

    return case.store.read(look)


def _recipient(case: Case, opened: Opened, csr: ParsedCsr) -> CertificateView | Password | Refusal:
    """Whom the certificate would be encrypted to."""
    secret = opened.secret or csr.challenge
    try:
        return recipient_for(case.request.signer, opened.sealed.protection, secret)
    except AlgorithmError as error:
        return Refusal(str(error), str(error), FailInfo.BAD_ALG)


def _replay_window(case: Case, challenge: Challenge | None) -> int | None:
    """Milliseconds after which the same request begins anew; None: never (one-time challenges)."""
    if challenge is not None and challenge.uses == 1:
        return None
    return milliseconds_of(case.profile.replay_window)


def _again(
    case: Case,
    csr: ParsedCsr,
    key: bytes,
    seen: Seen,
    operation: Operation,
    recipient: CertificateView | Password,
) -> Answer | None:
    """The request was seen before, perhaps under another transactionID."""
    same = operation.transaction_id == case.request.transaction_id
    case.record.replay = "same-transaction" if same else "new-transaction"
    if not same:
        claim = _claim_of(case, csr, key, seen, "approved", operation.subject, operation.sans, "")

        def alias(tx: Tx) -> Known | TransactionIdInUse | _Gone:
            result = claims.claim(tx, claim, case.now_ms)
            if isinstance(result, Claimed):
                raise Rollback(_Gone())  # its time has just ended: it needs a decision
            return result

        match case.store.write(alias):
            case Known(newest):
                operation = newest
            case TransactionIdInUse():
                return _refused(case, Refusal(IN_USE, IN_USE))
            case _Gone():
                return None
    return as_it_stands(case, operation, recipient)


# ------------------------------------------------------------------ what it would get


def _template(case: Case, csr: ParsedCsr, generation: Generation) -> CertificateTemplate | Refusal:
    template = template_for(csr, case.profile.rules_for(generation))
    if isinstance(template, ProfileRefusal):
        return Refusal(template.reason, template.reason, template.fail_info)
    fault = case.profile.patterns.fault(template)
    return template if fault is None else Refusal(fault, fault)


def _for_another(
    csr: ParsedCsr, template: CertificateTemplate | Refusal, seen: Seen
) -> Refusal | None:
    """The refusal of a request for somebody else than the certificate that has signed it."""
    assert seen.renews is not None  # noqa: S101 - or the signer has no part in the request
    allowed = None if isinstance(template, Refusal) else template
    fault = auth_renewal.names_another(csr, allowed, seen.renews.certificate)
    return None if fault is None else Refusal(fault, fault)


# ------------------------------------------------------------------ claiming (T1)


def _claim_of(
    case: Case,
    csr: ParsedCsr,
    key: bytes,
    seen: Seen,
    state: Literal["approved", "pending"],
    subject: str,
    sans: str,
    reason: str,
    *,
    secret: str | None = None,
) -> Claim:
    pepper = case.desk.deployment.pepper
    sealed = None if secret is None else pepper.seal(secret)
    pending_for = case.profile.pending_for
    return Claim(
        profile=case.profile.name,
        op_key=key,
        kind="enrol" if seen.renews is None else "renew",
        state=state,
        csr=keeping.kept_csr(csr, sealed),
        signer=case.request.signer.der,
        signer_spki=case.signer_spki,
        transaction_id=case.request.transaction_id,
        subject=subject,
        sans=sans,
        lease=case.desk.lease,
        pending_for=None if pending_for is None else milliseconds_of(pending_for),
        replay_window=_replay_window(case, seen.challenge),
        challenge_mac=seen.mac if seen.challenge is not None else None,
        renews_ca=None if seen.renews is None else seen.renews.row.ca_id,
        renews_serial=None if seen.renews is None else seen.renews.row.serial,
        reason=reason,
    )


_Result = Refusal | _Claimed | _Gone


def _claim(
    case: Case,
    csr: ParsedCsr,
    key: bytes,
    seen: Seen,
    template: CertificateTemplate,
    names: Names,
    decision: Allow | Hold,
    generation: Generation,
    recipient: CertificateView | Password,
) -> _Result:
    holding = isinstance(decision, Hold)
    claim = _claim_of(
        case,
        csr,
        key,
        seen,
        "pending" if holding else "approved",
        names.subject,
        names.sans,
        decision.reason if isinstance(decision, Hold) else "",
        secret=recipient.secret.decode("utf-8", "surrogatepass")
        if isinstance(recipient, Password)
        else None,
    )
    reservation = None
    for _ in range(_ATTEMPTS):
        if not holding and generation.issuer is not None:
            try:
                reservation = reservation_for(
                    generation, template, names, case.profile, case.now, operation_id=None
                )
            except InputError as error:
                return Refusal(str(error), "the CA cannot issue at this time", FailInfo.BAD_TIME)
        work = _T1(case, claim, seen.epoch, decision, reservation)
        match case.store.write(work.run):
            case SerialTaken():
                continue
            case Overtaken():
                return _Gone()
            case TransactionIdInUse():
                return Refusal(IN_USE, IN_USE)
            case result:
                return result
    raise StoreUnavailable("no serial number was free")


@dataclass(frozen=True, slots=True)
class _T1:
    """The transaction that claims a request: all of it happens, or nothing."""

    case: Case
    claim: Claim
    epoch: int
    decision: Allow | Hold
    reservation: Reservation | None

    def run(self, tx: Tx) -> _Claimed | SerialTaken | Overtaken | TransactionIdInUse:
        case, decision = self.case, self.decision
        checkpoint("claim.begin")
        operation_id = claims.accept(
            tx,
            self.claim,
            case.now_ms,
            epoch=self.epoch,
            spend=None if decision.challenge is None else decision.mac,
            reservation=self.reservation,
        )
        checkpoint("claim.accepted")
        self._check_room(tx)
        if decision.renews is not None:
            old = decision.renews.row
            row = certificates.by_serial(tx, old.ca_id, old.serial)
            if row is None or row.state != "issued":
                raise Rollback(Overtaken())  # revoked a moment ago
        self._record(tx, operation_id)
        checkpoint("claim.end")
        return _Claimed(operation_id, self.reservation)

    def _check_room(self, tx: Tx) -> None:
        if isinstance(self.decision, Hold):
            waiting = operations.waiting(tx, self.case.profile.name).count
            if waiting > self.case.profile.max_pending:
                raise QueueFull

    def _record(self, tx: Tx, operation_id: int) -> None:
        decision, reserved = self.decision, self.reservation
        detail: dict[str, object] = {
            "subject": self.claim.subject,
            "sans": self.claim.sans,
            "kind": self.claim.kind,
            "by": decision.by,
        }
        if isinstance(decision, Hold):
            detail["reason"] = decision.reason
        if decision.challenge is not None:
            detail["challenge"] = decision.challenge.id
        if decision.renews is not None:
            old = decision.renews.row
            detail["renews"] = f"{old.ca_id}/{old.serial}"
        if reserved is not None:
            detail["certificate"] = f"{reserved.ca_id}/{reserved.serial}"
        action = "request.hold" if isinstance(decision, Hold) else "request.accept"
        auditing.record(tx, self.case, action, f"operation:{operation_id}", detail)
