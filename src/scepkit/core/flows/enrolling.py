"""Enrolling, and polling for what is pending (RFC 8894 sections 2.3, 2.5, 4.3 and 4.4).

The rule of this file: an issued certificate is the one for the requested key, and chains to the
authenticated CA.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import assert_never

from scepkit.core import http, messages
from scepkit.core.algorithms import Digest
from scepkit.core.ca_certificates import verify_issued
from scepkit.core.certificates import (
    CertificateView,
    load_readable,
    public_key_der,
    view_of,
)
from scepkit.core.csr import ParsedCsr
from scepkit.core.enrolment import (
    EnrolmentResult,
    Issued,
    Pending,
    PollPolicy,
    Rejected,
    Requester,
)
from scepkit.core.flows.operation import as_password, ask
from scepkit.core.flows.steps import Flow, KnownCa, Wait
from scepkit.core.http import HttpResponse
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    Failure,
    PkcsReq,
    RenewalReq,
    StillPending,
    Success,
)
from scepkit.core.sentnames import same_name
from scepkit.core.shown import title
from scepkit.core.trust import fingerprint
from scepkit.errors import (
    AlgorithmError,
    HttpStatusError,
    InputError,
    ReplyMismatchError,
    TransportError,
    TrustError,
)


def enrol(
    ca: KnownCa,
    csr: ParsedCsr,
    requester: Requester,
    now: datetime,
    *,
    challenge: str | None = None,
    renewal: bool | None = None,
    transaction_id: str | None = None,
) -> Flow[EnrolmentResult]:
    """PKCSReq, or RenewalReq when the requester has a certificate and the CA announces Renewal.

    :param challenge: the secret for an EC requester or CA; by default the CSR's challengePassword.
    :param renewal: True or False for RenewalReq or PKCSReq whatever the CA announces.
    :raises InputError: `renewal` with a self-signed certificate, which nobody can be known by
        (RFC 8894 section 2.4), or no secret where one is needed.
    """
    _expect_issuer(ca)
    if renewal and requester.self_signed:
        raise InputError(
            "a RenewalReq is signed with a certificate that a CA has issued, and this one is "
            "self-signed",
            hint="give the certificate that is to be renewed, or send a PKCSReq",
        )
    secret = as_password(csr.challenge if challenge is None else challenge)
    pending = Pending(
        url=ca.endpoint.url,
        profile=ca.profile,
        transaction_id=transaction_id or messages.new_transaction_id(),
        subject=csr.subject_der,
        spki_sha256=Digest.SHA256.of(public_key_der(csr.public_key)),
        requester=requester.view.der,
        requester_chain=tuple(view_of(one).der for one in requester.chain),
        ca_fingerprint=ca.anchor_sha256,
    )
    renewing = not requester.self_signed and ca.capabilities.renewal if renewal is None else renewal
    data = RenewalReq(csr.der) if renewing else PkcsReq(csr.der)
    reply, response = yield from ask(
        ca, data, requester, secret, pending.transaction_id, now, starting=pending
    )
    return _conclude(ca, reply, response, pending, requested=csr.subject_der)


def _expect_issuer(ca: KnownCa) -> None:
    """Refuse to ask for a certificate that could not be verified afterwards."""
    if not ca.certificates.issues:
        raise TrustError(
            "only an RA's certificate is trusted here, so that an issued certificate could not be "
            "verified",
            fingerprints=(fingerprint(ca.certificates.anchor),),
            hint="trust the CA's certificate, and name the RA's with ra_certificates if needed",
        )


def poll(
    ca: KnownCa, pending: Pending, requester: Requester, now: datetime, *, challenge: str | None
) -> Flow[EnrolmentResult]:
    """CertPoll: ask once how the request stands (RFC 8894 section 4.4).

    The CA need not have the certificate that was trusted when the request was sent: it may have
    changed its key meanwhile, and the caller's verifier has vouched for the one it has now.
    """
    data = CertPoll(ca.issuer_name, pending.subject)
    reply, response = yield from ask(
        ca, data, requester, as_password(challenge), pending.transaction_id, now
    )
    return _conclude(ca, reply, response, pending, requested=pending.subject)


def poll_until_done(
    ca: KnownCa,
    pending: Pending,
    requester: Requester,
    now: datetime,
    policy: PollPolicy,
    *,
    challenge: str | None,
) -> Flow[EnrolmentResult]:
    """Poll until the CA decides or the policy's limits are reached; then the last `Pending`.

    A server that is away for a while is asked again like one that says PENDING; the error is
    raised only when the limits are reached.
    """
    started = now
    polls = 0
    lost: TransportError | None = None
    while True:
        asked_for = lost.retry_after if lost else pending.retry_after
        seconds = policy.next_wait(polls, asked_for, (now - started).total_seconds())
        if seconds is None:
            break
        polls += 1
        moment = yield Wait(seconds, polls)
        if isinstance(moment, datetime):
            now = moment
        try:
            result = yield from poll(ca, pending, requester, now, challenge=challenge)
        except TransportError as error:
            if not is_passing(error):
                raise
            lost = error
            continue
        if not isinstance(result, Pending):
            return result
        pending, lost = result, None
    if lost is not None:
        raise lost
    return pending


def is_passing(error: TransportError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, HttpStatusError):
        return error.status in {408, 429} or (error.status >= 500 and error.status != 501)
    return error.kind in {"refused", "timeout", "closed", "dns"}


def _conclude(
    ca: KnownCa, reply: CertRep, response: HttpResponse, pending: Pending, *, requested: bytes
) -> EnrolmentResult:
    match reply:
        case StillPending():
            wait = http.retry_after_seconds(response.retry_after, response.received_at)
            return replace(pending, retry_after=wait)
        case Failure(fail_info, text):
            return Rejected(fail_info, text, pending.transaction_id)
        case Success():
            return _issued(ca, reply, pending, requested, response.received_at)
        case _:
            assert_never(reply)


def _issued(
    ca: KnownCa, reply: Success, pending: Pending, requested: bytes, now: datetime
) -> Issued:
    certificates, fault = load_readable(reply.certificates)
    views = [view_of(one) for one in certificates]
    mine = next((one for one in views if _has_key(one, pending.spki_sha256)), None)
    if mine is None:
        if fault is not None:
            raise fault
        keys = [Digest.SHA256.of(one.spki).hex() for one in views]
        raise ReplyMismatchError(
            "the CA says SUCCESS, but none of the "
            f"{len(keys)} certificates in its reply is for the requested key",
            field="subjectPublicKeyInfo",
            expected=pending.spki_sha256.hex(),
            found=", ".join(keys) or None,
        )
    certificate = certificates[views.index(mine)]
    checked = verify_issued(certificate, ca.certificates, now, extra=certificates)
    warnings = checked.warnings
    if not same_name(mine.subject, requested):
        warnings += (
            f"the certificate's subject is {title(certificate)!r}, which is not what was requested",
        )
    anchor = ca.anchor_sha256
    if anchor != pending.ca_fingerprint:
        then = pending.ca_fingerprint.hex()
        warnings += (
            f"the request was sent to the CA with SHA-256 {then}, the one now has {anchor.hex()}",
        )
    if fault is not None:
        warnings += (f"a certificate that came with it was left out: {fault}",)
    return Issued(certificate, checked.chain, certificates, pending.transaction_id, warnings)


def _has_key(certificate: CertificateView, spki_sha256: bytes) -> bool:
    if Digest.SHA256.of(certificate.spki) == spki_sha256:
        return True
    try:
        key = certificate.public_key()
    except AlgorithmError:
        return False
    return Digest.SHA256.of(public_key_der(key)) == spki_sha256
