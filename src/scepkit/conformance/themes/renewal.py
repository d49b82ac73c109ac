"""Renewal: with a certificate of this CA, and with those that only look like one (section 2.3; A7).

The rule of this file: a renewal brings no challenge, so that its signature alone can be the reason
why it is granted.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from cryptography import x509

from scepkit.conformance import crafted
from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import Identity
from scepkit.conformance.judging import (
    BAD_CERT_ID,
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    may_refuse,
    must_refuse,
)
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import Requester, shown_certificate
from scepkit.conformance.verdicts import (
    Ended,
    Kind,
    Verdict,
    failed,
    inconclusive,
    passed,
    skipped,
    together,
    warned,
)
from scepkit.core.certificates import view_of
from scepkit.errors import ScepError

ISSUE = {Need.ISSUE}
RSA = {Need.ISSUE, Need.RSA}
_CODES = (BAD_REQUEST, BAD_MESSAGE_CHECK, BAD_CERT_ID)
_STOLEN = "certificates can be had in the name of others"


def enrolled(probe: Probe, sans: tuple[str, ...] = ()) -> tuple[Requester, Identity]:
    """Somebody new with a certificate of this CA."""
    requester = probe.requester(sans=sans)
    answer = probe.enrol(requester, what="PKCSReq, for a certificate to renew")
    if not answer.success:
        raise Ended(skipped(f"there is no certificate to renew: {answer.said}"))
    return requester, Identity(probe.certificate_in(answer, requester.key), requester.key)


def _renew(
    probe: Probe,
    subject: str,
    signer: Identity,
    *,
    same_key: bool = False,
    what: str,
    message_type: str = "17",
    sans: tuple[str, ...] = (),
    chain: tuple[bytes, ...] = (),
    **options: Any,
) -> Answer:
    """A RenewalReq without a challenge, for a new key unless told otherwise."""
    key: Any = signer.key if same_key else "rsa:2048"
    asking = probe.requester(key, challenge=None, subject=subject, sans=sans)
    draft = probe.draft(asking, message_type=message_type, signer=signer, what=what, **options)
    draft.certificates = [signer.der, *chain]
    return probe.send(draft)


def _offered(probe: Probe) -> None:
    if not probe.session.caps.renewal:
        raise Ended(skipped("Renewal is not announced"))


def _words(answer: Answer) -> str:
    return answer.reply.fail_info_text if answer.reply is not None else ""


@check(
    "T79",
    Class.OPTIONAL,
    "a RenewalReq signed with a certificate of this CA gives a new one, encrypted to the old key",
    section="RFC 8894 2.3, 3.3.1",
    remedy="take the signature with a valid certificate as authorisation, and encrypt the reply "
    "to that certificate; or do not announce Renewal",
    disputed="a CA may want a challenge for renewals too (RFC 8894 2.4), or renew late",
    needs=RSA,
)
def renewal(probe: Probe) -> Verdict:
    """New key, no challenge."""
    _offered(probe)
    requester, old = enrolled(probe)
    answer = _renew(probe, requester.subject, old, what="RenewalReq, new key")
    if answer.pending:
        return passed("PENDING: held for a person")
    if not answer.success:
        if answer.fail_info == BAD_REQUEST and _words(answer):
            return inconclusive(
                f"{answer.said}: perhaps it is too early for a certificate that is this fresh"
            )
        return failed(f"{answer.said}, expected SUCCESS, since Renewal is announced")
    try:
        certificates = answer.issued.certificates
    except ScepError as error:
        return failed(f"SUCCESS, but the old key does not decrypt it: {error}")
    new = [one for one in certificates if one.subject == old.certificate.subject]
    if not new:
        return failed("SUCCESS, without a certificate of the same name")
    if old.certificate in certificates:
        return failed("SUCCESS, with the old certificate")
    return passed(f"SUCCESS, {shown_certificate(new[0])}")


@check(
    "T80",
    Class.OPTIONAL,
    "a RenewalReq for the same key is granted or refused in words",
    section="RFC 8894 2.5",
    remedy="renew the same key too, or refuse with badRequest (2) and say so in failInfoText",
    needs=RSA,
)
def same_key(probe: Probe) -> Verdict:
    """RFC 8894 recommends a new key and allows the same."""
    _offered(probe)
    requester, old = enrolled(probe)
    answer = _renew(probe, requester.subject, old, same_key=True, what="RenewalReq, same key")
    if answer.success:
        try:
            if old.certificate in answer.issued.certificates:
                return failed("SUCCESS, with the old certificate: it is taken for a repetition")
        except ScepError as error:
            return failed(f"SUCCESS, but it cannot be decrypted: {error}")
        return passed("SUCCESS")
    return may_refuse(answer, with_=(BAD_REQUEST,))


@check(
    "T81",
    Class.OPTIONAL,
    "a PKCSReq signed with a certificate of this CA is granted or refused in words",
    section="RFC 8894 2.3",
    remedy="take it as a renewal, as older drafts have it, or refuse with badRequest (2)",
    needs=RSA,
)
def by_pkcs_req(probe: Probe) -> Verdict:
    """How macOS, IOS and sscep renew (Q54)."""
    requester, old = enrolled(probe)
    answer = _renew(
        probe, requester.subject, old, message_type="19", what="PKCSReq signed as a renewal"
    )
    return may_refuse(answer, with_=(BAD_REQUEST,))


def _believed(probe: Probe, verdict: Verdict) -> Verdict:
    """A refusal says something only where a right renewal is granted."""
    if verdict.kind is not Kind.PASS:
        return verdict

    def control() -> Answer:
        requester, own = enrolled(probe)
        return _renew(probe, requester.subject, own, what="a right RenewalReq, for comparison")

    right = probe.shared("a right renewal", control)
    if right.success or right.pending:
        return verdict
    text = f"refused, but so is a right renewal, which proves nothing: {right.said}"
    return inconclusive(text, *verdict.details)


def _foreign(probe: Probe, requester: Requester, *, namesake: bool) -> tuple[Identity, bytes]:
    """A certificate for the requester's name, by a CA that we made; and that CA's certificate."""
    authority = Requester(probe.session.keys.take(), "CN=scepkit-check another CA")
    name = view_of(probe.ca.ca).subject if namesake else b""
    own = crafted.certificate(
        authority,
        issuer=name,
        extensions=[crafted.extension("2.5.29.19", b"0\x03\x01\x01\xff", critical=True)],
    )
    device = Requester(probe.session.keys.take(), requester.subject)
    made = crafted.certificate(
        device,
        issuer=name or view_of(own).subject,
        signed_by=authority.key,
        extensions=[crafted.extension("2.5.29.15", b"\x03\x02\x05\xa0", critical=True)],
    )
    return Identity(made, device.key), view_of(own).der


@check(
    "T82",
    Class.SECURITY,
    "a renewal is refused whose certificate is of another CA, of no CA, or revoked",
    section="RFC 8894 2.3, 2.4",
    remedy="verify the signer's chain to your own CA, its dates and its revocation; certificates "
    "that certificates of devices have signed do not count",
    needs=RSA,
)
def wrong_signers(probe: Probe) -> Verdict:
    """Another CA; one of the same name; one that a device plays; revoked (A7)."""
    requester, real = enrolled(probe)
    parts = []

    def ask(what: str, signer: Identity, chain: tuple[bytes, ...]) -> None:
        answer = _renew(probe, requester.subject, signer, chain=chain, what=f"RenewalReq by {what}")
        parts.append((what, must_refuse(answer, with_=_CODES, why=_STOLEN)))

    for what, namesake in (("another CA's certificate", False), ("a CA of the same name", True)):
        signer, chain = _foreign(probe, requester, namesake=namesake)
        ask(what, signer, (chain,))
    device = Requester(probe.session.keys.take(), requester.subject)
    child = crafted.certificate(
        device,
        issuer=view_of(real.certificate).subject,
        signed_by=real.key,
        extensions=[crafted.extension("2.5.29.15", b"\x03\x02\x05\xa0", critical=True)],
    )
    ask("what a device has signed", Identity(child, device.key), (real.der,))
    expired = crafted.certificate(device, begins=timedelta(days=-30), ends=timedelta(days=-2))
    ask("an expired self-signed one", Identity(expired, device.key), ())
    parts.append(("a revoked certificate", _revoked(probe)))
    return _believed(probe, together(parts))


def _revoked(probe: Probe) -> Verdict:
    revoke = probe.settings.revoke
    if revoke is None:
        return skipped("nobody can revoke (--revoke-command)")
    requester, old = enrolled(probe)
    revoke(f"{old.certificate.serial_number:x}")
    answer = _renew(probe, requester.subject, old, what="RenewalReq by a revoked certificate")
    return must_refuse(answer, with_=_CODES, why="a revoked certificate lives on by renewals")


@check(
    "T83",
    Class.SECURITY,
    "a renewal is refused that asks for another name than its certificate has",
    section="RFC 8894 2.3",
    remedy="compare the subject and the alternative names of the request with the certificate that "
    "signs it, and refuse others with badRequest (2)",
    needs=RSA,
)
def other_names(probe: Probe) -> Verdict:
    """Another subject; another DNS name (A7)."""
    requester, old = enrolled(probe)
    other = _renew(probe, probe.session.next_subject(), old, what="RenewalReq for another subject")
    added = _renew(
        probe,
        requester.subject,
        old,
        sans=("dns:admin.check.test",),
        what="RenewalReq with another DNS name",
    )
    verdict = together(
        [
            ("another subject", _not_granted(other, old, "subject")),
            ("another DNS name", _not_granted(added, old, "name")),
        ]
    )
    return _believed(probe, verdict)


def _not_granted(answer: Answer, old: Identity, which: str) -> Verdict:
    """A server may also issue for the old names."""
    if not answer.success:
        return must_refuse(answer, with_=(BAD_REQUEST,), pending_allowed=True)
    try:
        certificates = answer.issued.certificates
    except ScepError as error:
        return inconclusive(f"SUCCESS, but it cannot be opened: {error}")
    for one in certificates:
        names = _dns_names(one)
        if which == "name" and "admin.check.test" in names:
            return failed(f"SUCCESS: {_STOLEN}")
        if which == "subject" and one.subject != old.certificate.subject and not _is_ca(one):
            return failed(f"SUCCESS, {shown_certificate(one)}: {_STOLEN}")
    return passed("SUCCESS, for the names of the old certificate")


def _dns_names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    return found.get_values_for_type(x509.DNSName)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (x509.ExtensionNotFound, ValueError):
        return False


@check(
    "T84",
    Class.SECURITY,
    "a renewal is refused whose certificate has the right names and number and somebody's own key",
    section="RFC 8894 2.3",
    remedy="verify the signature of the signer's certificate; do not look it up by its issuer and "
    "serial number alone",
    needs=RSA,
)
def forged(probe: Probe) -> Verdict:
    """Issuer, serial number and subject of a real certificate, around another key (A7)."""
    requester, real = enrolled(probe)
    seen = view_of(real.certificate)
    thief = Requester(probe.session.keys.take(), requester.subject)
    copy = crafted.certificate(
        thief,
        serial=seen.serial_number,
        issuer=seen.issuer,
        extensions=[crafted.extension("2.5.29.15", b"\x03\x02\x05\xa0", critical=True)],
    )
    answer = _renew(
        probe, requester.subject, Identity(copy, thief.key), what="RenewalReq by a forged copy"
    )
    return _believed(probe, must_refuse(answer, with_=_CODES, why=_STOLEN))


@check(
    "T85",
    Class.SHOULD,
    "a renewal that is far too early is granted, or refused with a text that says so",
    section="RFC 8894 2.5, 3.2.1.4",
    remedy="say in failInfoText from when on a certificate can be renewed",
    needs=RSA,
)
def too_early(probe: Probe) -> Verdict:
    """A certificate that is seconds old."""
    _offered(probe)
    requester, old = enrolled(probe)
    answer = _renew(probe, requester.subject, old, what="RenewalReq, seconds after the enrolment")
    if answer.success or answer.pending:
        return passed(f"{answer.said}: there is no window")
    verdict = must_refuse(answer, with_=(BAD_REQUEST,))
    if verdict.kind.value == "pass" and not _words(answer):
        return warned(f"{answer.said}, without a text: nobody can tell why")
    return verdict
