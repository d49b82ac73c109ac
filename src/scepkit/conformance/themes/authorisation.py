"""Who may have a certificate: every messageType, and every repetition (A6, A14; G9).

The rule of this file: what a request says of itself changes nothing about who may have what.
"""

from __future__ import annotations

from cryptography import x509

from scepkit.conformance import crafted
from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import Identity
from scepkit.conformance.judging import BAD_CERT_ID, BAD_MESSAGE_CHECK, BAD_REQUEST, must_refuse
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.themes.challenges import closed
from scepkit.conformance.verdicts import (
    Verdict,
    failed,
    inconclusive,
    passed,
    together,
)
from scepkit.core import asn1
from scepkit.core.certificates import view_of
from scepkit.errors import ScepError

ISSUE = {Need.ISSUE}
_BYPASS = "the messageType goes round the authorisation"


@check(
    "T58",
    Class.SECURITY,
    "a RenewalReq signed with a self-signed certificate, without a challenge, is refused",
    section="RFC 8894 2.3, 2.4",
    remedy="take a RenewalReq only from a certificate that the CA has issued, that is valid and "
    "not revoked; a self-signed one proves nothing",
    needs=ISSUE,
)
def self_signed_renewal(probe: Probe) -> Verdict:
    """With an own name, with that of somebody who has a certificate, and with the CA's (A6, A7)."""
    closed(probe)
    codes = (BAD_REQUEST, BAD_MESSAGE_CHECK, BAD_CERT_ID)
    known = probe.baseline_requester().subject
    issuer = view_of(probe.ca.ca).subject
    parts = []
    for what, subject in (("an own name", ""), ("the name of a device that is enrolled", known)):
        requester = probe.requester(challenge=None, subject=subject)
        answer = probe.enrol(requester, message_type="17", what=f"RenewalReq, {what}")
        parts.append((what, must_refuse(answer, with_=codes, why=_BYPASS)))
    requester = probe.requester(challenge=None, subject=known)
    forged = crafted.certificate(requester, issuer=issuer)
    answer = probe.enrol(
        requester,
        message_type="17",
        signer=Identity(forged, requester.key),
        what="RenewalReq, with the CA as issuer and no signature of its",
    )
    parts.append(("the CA's name as issuer", must_refuse(answer, with_=codes, why=_BYPASS)))
    return together(parts)


@check(
    "T59",
    Class.SECURITY,
    "an UpdateReq (18) without a challenge is refused",
    section="RFC 8894 3.2.1.2",
    remedy="refuse messageTypes that RFC 8894 does not have; 18 was in a draft only",
    needs=ISSUE,
)
def update_request(probe: Probe) -> Verdict:
    """Type 18, with a certificate request that is right (A6)."""
    closed(probe)
    requester = probe.requester(challenge=None)
    answer = probe.enrol(requester, message_type="18", what="messageType 18 without a challenge")
    return must_refuse(answer, with_=(BAD_REQUEST,), why=_BYPASS)


@check(
    "T60",
    Class.SECURITY,
    "messageTypes that are no request are refused, and the server lives on",
    section="RFC 8894 3.2.1.2",
    remedy="compare the messageType as a whole with 17, 19, 20, 21 and 22, and refuse all others",
    needs={*ISSUE, Need.INTRUSIVE},
)
def strange_types(probe: Probe) -> Verdict:
    """Numbers and other texts, each with a certificate request and no challenge (A6, A15)."""
    closed(probe)
    parts = []
    for kind in ("0", "1", "3", "16", "20", "99", "", "19 ", "019", "+19", "-1", "nineteen"):
        requester = probe.requester(challenge=None)
        answer = probe.enrol(requester, message_type=kind, what=f"messageType {kind!r}")
        codes = (BAD_REQUEST, BAD_CERT_ID, BAD_MESSAGE_CHECK)
        parts.append((repr(kind), must_refuse(answer, with_=codes, why=_BYPASS)))
    requester = probe.requester(challenge=None)
    draft = probe.draft(requester, what="messageType as an INTEGER")
    draft.put("messageType", asn1.integer(19))
    parts.append(("INTEGER 19", must_refuse(probe.send(draft), why=_BYPASS)))
    for kind in ("99", "019"):
        answer = probe.enrol(message_type=kind, what=f"messageType {kind!r}, with a challenge")
        why = "what it does not know it takes for a PKCSReq"
        parts.append((f"{kind!r} with a challenge", must_refuse(answer, why=why)))
    alive = passed("alive") if probe.alive() else failed("the server does not answer any more")
    return together([*parts, ("afterwards", alive)])


def _certificates(answer: Answer) -> set[x509.Certificate]:
    try:
        return set(answer.issued.certificates)
    except ScepError:
        return set()


@check(
    "T74",
    Class.SECURITY,
    "the same request again gives the same certificate, or none",
    section="RFC 8894 4.4, 5.2",
    remedy="keep the result of each transaction, and answer a request that comes again (same "
    "transactionID, key and CSR) with it",
    needs=ISSUE,
)
def replay(probe: Probe) -> Verdict:
    """Byte for byte the same message, twice (A14, G9)."""
    requester = probe.requester()
    message = probe.draft(requester, what="PKCSReq").build()
    first = probe.send(message)
    if first.pending:
        second = probe.send(message)
        if second.success:
            return failed("PENDING, and SUCCESS when it came again")
        return passed(f"PENDING, then {second.said}")
    if not first.success:
        return inconclusive(f"the first was refused: {first.said}")
    second = probe.send(message)
    if second.failure or second.client_error or second.pending:
        return passed(f"SUCCESS, then {second.said}")
    if not second.success:
        return failed(f"SUCCESS, then {second.said}")
    if probe.certificate_in(first, requester.key) == probe.certificate_in(second, requester.key):
        return passed("the same certificate")
    return failed("a second certificate: whoever catches a request can have certificates made")


@check(
    "T75",
    Class.MUST,
    "another request under the same transactionID does not get the first one's certificate",
    section="RFC 8894 3.2.1.1",
    remedy="compare key and CSR, not the transactionID alone; refuse with badRequest (2), or treat "
    "it as a new transaction",
    needs=ISSUE,
)
def same_transaction(probe: Probe) -> Verdict:
    """Somebody else, under the same transactionID (G9)."""
    requester = probe.requester()
    first = probe.enrol(requester, what="PKCSReq")
    if not first.success and not first.pending:
        return inconclusive(f"the first was refused: {first.said}")
    other = probe.requester()
    second = probe.enrol(
        other,
        transaction_id=first.message.transaction_id,
        what="another PKCSReq under the same transactionID",
    )
    if not second.success:
        return passed(second.said) if not second.server_error else failed(second.said)
    if _certificates(first) & _certificates(second):
        return failed("it was answered with the first one's certificate")
    probe.certificate_in(second, other.key)
    return passed("SUCCESS, with a certificate of its own")
