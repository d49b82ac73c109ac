"""Waiting: PENDING, CertPoll, and who may ask (RFC 8894 sections 3.3.3, 4.4).

The rule of this file: a poll is signed with the key of the request, unless a test is about just
that.
"""

from __future__ import annotations

from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import Identity
from scepkit.conformance.judging import BAD_CERT_ID, BAD_MESSAGE_CHECK, BAD_REQUEST, must_refuse
from scepkit.conformance.messages import new_transaction_id
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import Requester
from scepkit.conformance.verdicts import (
    Ended,
    Verdict,
    failed,
    inconclusive,
    passed,
    skipped,
    together,
)
from scepkit.core import asn1
from scepkit.core.certificates import view_of
from scepkit.core.names import parse_subject
from scepkit.errors import ScepError

RSA = {Need.ISSUE, Need.RSA}
_CODES = (BAD_CERT_ID, BAD_REQUEST, BAD_MESSAGE_CHECK)


def _poll(
    probe: Probe,
    requester: Requester,
    transaction_id: str,
    *,
    what: str,
    signer: Identity | None = None,
    subject: str = "",
) -> Answer:
    """A CertPoll."""
    name = parse_subject(subject or requester.subject).public_bytes()
    data = asn1.element(asn1.SEQUENCE, view_of(probe.ca.ca).subject, name)
    return probe.enrol(
        requester,
        message_type="20",
        data=data,
        signer=signer,
        transaction_id=transaction_id,
        what=what,
    )


def _asked(probe: Probe, what: str = "PKCSReq") -> tuple[Requester, Answer]:
    """A request that was taken, whether at once or not."""
    requester = probe.requester()
    answer = probe.enrol(requester, what=what)
    if not (answer.success or answer.pending):
        raise Ended(inconclusive(f"the request was refused: {answer.said}"))
    return requester, answer


def _waiting(probe: Probe) -> tuple[Requester, Answer]:
    """A request that waits for a person."""
    requester, answer = _asked(probe)
    if not answer.pending:
        raise Ended(skipped("the server issues at once, and lets nobody wait"))
    return requester, answer


@check(
    "T86",
    Class.OPTIONAL,
    "PENDING, polled: PENDING until a person decides, then SUCCESS or FAILURE",
    section="RFC 8894 3.3.2.3, 4.4",
    remedy="answer CertPoll with the state of the transaction; leave the envelope out of PENDING",
    needs=RSA,
)
def manual(probe: Probe) -> Verdict:
    """Waiting; polling; after approval; after denial."""
    requester, asked = _waiting(probe)
    parts = []
    if asked.reply is not None and asked.reply.message.content:
        parts.append(("PENDING", failed("there is a pkcsPKIEnvelope in it")))
    parts.append(("the first poll", _still(_again(probe, requester, asked, "CertPoll"))))
    if probe.settings.approve is None:
        parts.append(("approval", skipped("nobody can approve (--approve-command)")))
    else:
        probe.settings.approve(asked.message.transaction_id)
        polled = _again(probe, requester, asked, "CertPoll after approval")
        if polled.success:
            probe.certificate_in(polled, requester.key)
            parts.append(("after approval", passed("SUCCESS")))
        else:
            parts.append(("after approval", failed(f"{polled.said}, expected SUCCESS")))
    if probe.settings.deny is None:
        parts.append(("denial", skipped("nobody can deny (--deny-command)")))
    else:
        second, refused = _waiting(probe)
        probe.settings.deny(refused.message.transaction_id)
        polled = _again(probe, second, refused, "CertPoll after denial")
        parts.append(("after denial", must_refuse(polled, with_=_CODES)))
    return together(parts)


def _again(probe: Probe, requester: Requester, asked: Answer, what: str) -> Answer:
    message = asked.message
    return _poll(probe, requester, message.transaction_id, signer=message.signer, what=what)


def _still(answer: Answer) -> Verdict:
    if answer.pending:
        return passed("PENDING")
    return failed(f"{answer.said}, expected PENDING")


@check(
    "T87",
    Class.MUST,
    "CertPoll for a transaction that does not exist is refused",
    section="RFC 8894 4.4",
    remedy="answer badCertId (4) or badRequest (2) when there is no such transaction",
    needs=RSA,
)
def unknown(probe: Probe) -> Verdict:
    """Not PENDING: nobody would ever decide."""
    requester = probe.requester(challenge=None)
    answer = _poll(probe, requester, new_transaction_id(), what="CertPoll, unknown transactionID")
    return _refused(answer)


def _refused(answer: Answer) -> Verdict:
    if answer.server_error:
        return failed(f"{answer.said}, expected FAILURE or HTTP 4xx")
    return must_refuse(answer, with_=_CODES)


@check(
    "T88",
    Class.SHOULD,
    "CertPoll finds its transaction by transactionID, whatever names are in it",
    section="RFC 8894 3.3.3",
    remedy="look the transaction up by its transactionID and signer, and ignore the names",
    needs=RSA,
)
def other_names(probe: Probe) -> Verdict:
    """The right transactionID with another subject."""
    requester, asked = _asked(probe)
    message = asked.message
    answer = _poll(
        probe,
        requester,
        message.transaction_id,
        signer=message.signer,
        subject="CN=scepkit-check somebody else",
        what="CertPoll with another subject",
    )
    if (answer.pending and asked.pending) or (answer.success and asked.success):
        return passed(f"{asked.said}, then {answer.said}")
    return failed(f"{answer.said}, expected {asked.said} as before")


@check(
    "T89",
    Class.SECURITY,
    "CertPoll signed by somebody else is refused",
    section="RFC 8894 4.4",
    remedy="answer a poll only if its signer has the key of the request",
    needs=RSA,
)
def poll_theft(probe: Probe) -> Verdict:
    """The right transactionID, another key (A22)."""
    requester, asked = _asked(probe)
    thief = Requester(probe.session.keys.take(), requester.subject)
    answer = _poll(
        probe,
        requester,
        asked.message.transaction_id,
        signer=thief.identity(),
        what="CertPoll by another key",
    )
    if answer.pending:
        return failed("PENDING: anybody can find out who waits, and will get the certificate")
    return must_refuse(answer, with_=_CODES, why="somebody else gets the certificate")


@check(
    "T90",
    Class.SHOULD,
    "CertPoll after SUCCESS gives the same certificate again",
    section="RFC 8894 4.4, 5.2",
    remedy="keep the result of a transaction for some days: replies get lost",
    needs=RSA,
)
def lost_reply(probe: Probe) -> Verdict:
    """As if the first reply had got lost."""
    requester, asked = _asked(probe)
    if not asked.success:
        return skipped("nothing was issued at once")
    answer = _again(probe, requester, asked, "CertPoll after SUCCESS")
    if not answer.success:
        return failed(f"{answer.said}, expected the certificate again")
    try:
        same = set(asked.issued.certificates) & set(answer.issued.certificates)
    except ScepError as error:
        return failed(f"SUCCESS, but it cannot be opened: {error}")
    return passed("the same certificate") if same else failed("SUCCESS, with another certificate")


@check(
    "T91",
    Class.OPTIONAL,
    "a PKCSReq that comes again while it waits is PENDING, and waits once",
    section="RFC 8894 5.2",
    remedy="find a request that comes again by its transactionID and key, as if it were a poll",
    needs=RSA,
)
def sent_again(probe: Probe) -> Verdict:
    """How micromdm's client polls (Q36)."""
    requester, asked = _waiting(probe)
    again = probe.send(asked.message)
    parts = [("sent again", _still(again))]
    if probe.settings.approve is not None and again.pending:
        probe.settings.approve(asked.message.transaction_id)
        first = _again(probe, requester, asked, "CertPoll after approval")
        second = probe.send(asked.message)
        if first.success and second.success:
            same = set(first.issued.certificates) & set(second.issued.certificates)
            parts.append(("approved", passed("one certificate") if same else failed("two")))
        else:
            parts.append(("approved", failed(f"{first.said}; {second.said}, expected SUCCESS")))
    return together(parts)
