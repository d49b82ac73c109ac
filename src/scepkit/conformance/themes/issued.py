"""The certificate that a plain enrolment gives (RFC 8894 section 3.3.2.1).

The rule of this file: the certificate is found by its key, wherever it stands.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from scepkit.conformance.answers import Answer
from scepkit.conformance.probe import Probe
from scepkit.conformance.reading import Issued, Reply
from scepkit.conformance.registry import Class, check
from scepkit.conformance.requesters import Requester, shown_certificate, spki_in, spki_of
from scepkit.conformance.themes.enrolment import ISSUE, reply_of
from scepkit.conformance.verdicts import (
    Ended,
    Verdict,
    failed,
    inconclusive,
    passed,
    together,
    warned,
)
from scepkit.core import cms
from scepkit.core.names import parse_subject
from scepkit.core.wording import counted
from scepkit.errors import ScepError

_LONGEST_LIFE = timedelta(days=10 * 366)


def _success(probe: Probe) -> tuple[Answer, Reply, Issued]:
    """It, with what was issued."""
    answer, reply = reply_of(probe)
    if not answer.success:
        raise Ended(inconclusive(f"nothing was issued to look at: {answer.said}"))
    try:
        return answer, reply, answer.issued
    except ScepError as error:
        raise Ended(inconclusive(f"the reply cannot be opened: {error}")) from None


def issued_to(issued: Issued, requester: Requester) -> x509.Certificate | None:
    """The certificate with the requester's key."""
    wanted = spki_of(requester.key)
    return next((one for one in issued.certificates if spki_in(one) == wanted), None)


@check(
    "T27",
    Class.MUST,
    "the envelope holds a degenerate SignedData with the certificate for the request's key",
    section="RFC 8894 3.3.2.1, 3.4",
    remedy="put the issued certificate into the certificates of a SignedData without signers and "
    "without content",
    needs=ISSUE,
)
def inner(probe: Probe) -> Verdict:
    """The issued certificate, whose key is the request's."""
    answer, reply = reply_of(probe)
    if not answer.success:
        return inconclusive(f"nothing was issued to look at: {answer.said}")
    try:
        content = reply.decrypted(answer.opener()).content
    except ScepError as error:
        return inconclusive(f"the reply cannot be opened: {error}")
    try:
        message = cms.read_signed(content, "degenerate SignedData")
        issued = answer.issued
    except ScepError as error:
        return failed(f"what is encrypted is something else: {error}")
    if issued_to(issued, probe.baseline_requester()) is None:
        found = "; ".join(shown_certificate(one) for one in issued.certificates)
        return failed(f"no certificate in it has the request's key; there are: {found or 'none'}")
    if message.signers or message.content:
        return failed("the inner SignedData has signers or content, expected neither")
    if issued.crls:
        return warned("there is a CRL beside the certificate")
    return passed(f"{counted(len(issued.certificates), 'certificate')}, one for the request's key")


@check(
    "T28",
    Class.QUIRK,
    "the issued certificate comes first, and no root after it",
    section="RFC 8894 3.3.2.1",
    remedy="put the issued certificate first and leave the root out",
    disputed="RFC 8894 lets a server add certificates in any order; old Cisco clients want the "
    "CA's certificate there, Juniper's do not",
    needs=ISSUE,
)
def order(probe: Probe) -> Verdict:
    """Some clients take the first certificate for theirs (Q05, Q57)."""
    _, _, issued = _success(probe)
    own = issued_to(issued, probe.baseline_requester())
    if own is None:
        return inconclusive("there is no certificate for the request's key")
    place = issued.certificates.index(own)
    if place:
        return failed(f"the issued certificate is number {place + 1}; some clients take the first")
    if any(one.issuer == one.subject for one in issued.certificates):
        return failed("the root is there too")
    chain = len(issued.certificates) - 1
    return passed(f"first, with {chain} of its issuers" if chain else "alone")


@check(
    "T29",
    Class.MUST,
    "the certificate is the CA's work: its signature, the name asked for, sensible dates",
    section="RFC 8894 3.3.2.1; RFC 5280 4.1",
    remedy="issue under the CA that GetCACert offers, with the subject of the request (or a "
    "documented other one), for a time that has begun and ends",
    disputed="a CA may replace the subject by policy",
    needs=ISSUE,
)
def issued_certificate(probe: Probe) -> Verdict:
    """Signature, subject, validity."""
    _, _, issued = _success(probe)
    requester = probe.baseline_requester()
    own = issued_to(issued, requester)
    if own is None:
        return inconclusive("there is no certificate for the request's key")
    return together(
        [
            ("signature", _signed(probe, own, issued)),
            ("subject", _subject(own, requester)),
            ("validity", _validity(own)),
        ]
    )


def _signed(probe: Probe, own: x509.Certificate, issued: Issued) -> Verdict:
    for issuer in (*probe.ca.certificates, *probe.session.offered, *issued.certificates):
        try:
            own.verify_directly_issued_by(issuer)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return passed(f"by {shown_certificate(issuer)}")
    return failed("no certificate that GetCACert offers, or that came with it, has signed it")


def _subject(own: x509.Certificate, requester: Requester) -> Verdict:
    wanted = parse_subject(requester.subject)
    if own.subject == wanted:
        return passed("as asked for")
    return warned(f"{shown_certificate(own)}, asked for {requester.subject!r}")


def _validity(own: x509.Certificate) -> Verdict:
    now, begins, ends = datetime.now(UTC), own.not_valid_before_utc, own.not_valid_after_utc
    span = f"{begins:%Y-%m-%d %H:%M} to {ends:%Y-%m-%d %H:%M} UTC"
    if ends <= begins or now > ends:
        return failed(f"{span}: over before it can be used")
    if begins > now + timedelta(minutes=5):
        return failed(f"{span}: not yet valid")
    if begins > now:
        return warned(f"{span}: not yet valid for a client whose clock is right")
    if ends - begins > _LONGEST_LIFE:
        return warned(f"{span}: longer than ten years")
    return passed(span)
