"""GetCert, GetCRL, and requests to the CA that comes next (RFC 8894 sections 4.5 to 4.7).

The rule of this file: what a server does not offer is no fault, if it says so.
"""

from __future__ import annotations

import secrets
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import Identity
from scepkit.conformance.judging import BAD_CERT_ID, BAD_REQUEST, must_refuse
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import Requester
from scepkit.conformance.themes.renewal import enrolled
from scepkit.conformance.verdicts import Ended, Verdict, failed, passed, skipped, together
from scepkit.core import asn1
from scepkit.core.ca_replies import verify_next_ca
from scepkit.core.certificates import view_of
from scepkit.core.wording import counted
from scepkit.errors import ScepError

RSA = {Need.ISSUE, Need.RSA}


def _ask(
    probe: Probe,
    requester: Requester,
    signer: Identity,
    kind: str,
    issuer: bytes,
    serial: int,
    what: str,
) -> Answer:
    data = asn1.issuer_and_serial(issuer, serial)
    return probe.enrol(requester, message_type=kind, data=data, signer=signer, what=what)


def _not_offered(answer: Answer) -> None:
    """End a test of what the server says that it does not have."""
    if answer.success:
        return
    if answer.http_status == 501 or answer.client_error or answer.fail_info == BAD_REQUEST:
        raise Ended(skipped(f"not offered: {answer.said}"))


@check(
    "T92",
    Class.OPTIONAL,
    "GetCert gives an issued certificate, and badCertId for others",
    section="RFC 8894 3.3.4, 4.5",
    remedy="look the certificate up by issuer and serial number; answer badCertId (4) if there is "
    "none, and badRequest (2) or HTTP 501 if you do not offer GetCert",
    needs=RSA,
)
def get_cert(probe: Probe) -> Verdict:
    """One's own; an unknown number; a foreign issuer."""
    requester, own = enrolled(probe)
    seen = view_of(own.certificate)
    found = _ask(probe, requester, own, "21", seen.issuer, seen.serial_number, "GetCert, own")
    _not_offered(found)
    if not found.success:
        return failed(f"{found.said}, expected SUCCESS, badRequest (2) or HTTP 501")
    try:
        mine = own.certificate in found.issued.certificates
    except ScepError as error:
        return failed(f"SUCCESS, but it cannot be opened: {error}")
    first = passed("SUCCESS") if mine else failed("SUCCESS, without the certificate")
    unknown = _ask(
        probe, requester, own, "21", seen.issuer, secrets.randbits(120), "GetCert, unknown number"
    )
    foreign = _ask(
        probe, requester, own, "21", seen.subject, seen.serial_number, "GetCert, foreign issuer"
    )
    return together(
        [
            ("one's own", first),
            ("an unknown number", must_refuse(unknown, with_=(BAD_CERT_ID,))),
            ("a foreign issuer", must_refuse(foreign, with_=(BAD_CERT_ID,))),
        ]
    )


@check(
    "T93",
    Class.OPTIONAL,
    "GetCRL gives the CRL, alone and signed by the CA",
    section="RFC 8894 3.3.4, 4.6",
    remedy="put the newest CRL into the crls of the SignedData and no certificate beside it; "
    "answer badRequest (2) or HTTP 501 if you do not offer GetCRL",
    needs=RSA,
)
def get_crl(probe: Probe) -> Verdict:
    """Only crls, the newest, verified."""
    requester, own = enrolled(probe)
    seen = view_of(own.certificate)
    answer = _ask(probe, requester, own, "22", seen.issuer, seen.serial_number, "GetCRL")
    _not_offered(answer)
    if answer.fail_info == BAD_CERT_ID:
        return skipped(f"there is no CRL: {answer.said}")
    if not answer.success:
        return failed(f"{answer.said}, expected SUCCESS, badRequest (2) or HTTP 501")
    try:
        issued = answer.issued
    except ScepError as error:
        return failed(f"SUCCESS, but it cannot be opened: {error}")
    if len(issued.crls) != 1:
        return failed(f"{len(issued.crls)} CRLs, expected one")
    if issued.encoded:
        return failed(
            f"{counted(len(issued.encoded), 'certificate')} beside the CRL, expected none"
        )
    return _crl(probe, issued.crls[0])


def _crl(probe: Probe, der: bytes) -> Verdict:
    try:
        crl = x509.load_der_x509_crl(der)
    except ValueError as error:
        return failed(f"the CRL cannot be read: {error}")
    for one in probe.ca.certificates:
        try:
            if crl.is_signature_valid(one.public_key()):  # type: ignore[arg-type]
                break
        except (TypeError, ValueError, InvalidSignature, UnsupportedAlgorithm):
            continue
    else:
        return failed("the CRL is not signed by the CA")
    until = crl.next_update_utc
    if until is not None and until < datetime.now(UTC):
        return failed(f"the CRL is out of date since {until:%Y-%m-%d %H:%M} UTC")
    return passed(f"signed by the CA, {counted(len(crl), 'entry', 'entries')}")


@check(
    "T94",
    Class.OPTIONAL,
    "a request that is encrypted to the next CA's certificate is issued by the next CA",
    section="RFC 8894 4.7, 5.1",
    remedy="try the keys of all CAs that are offered, and issue with the CA whose key decrypts",
    needs=RSA,
)
def next_ca(probe: Probe) -> Verdict:
    """Enrolling before a rollover."""
    if not probe.session.caps.next_ca:
        return skipped("GetNextCACert is not announced")
    found = probe.operation("GetNextCACert")
    if found.status != 200:
        return skipped(f"no CA is staged: {found.answer_text}")
    try:
        following = verify_next_ca(found.body, probe.ca, datetime.now(UTC))
    except ScepError as error:
        return skipped(f"the next CA's certificate cannot be used (see T15): {error}")
    requester = probe.requester()
    answer = probe.enrol(requester, recipient=following[0], what="PKCSReq encrypted to the next CA")
    if answer.pending:
        return passed("PENDING: held for a person")
    if not answer.success:
        return failed(f"{answer.said}, expected SUCCESS")
    certificate = probe.certificate_in(answer, requester.key)
    for one in following:
        try:
            certificate.verify_directly_issued_by(one)
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
            continue
        return passed("issued by the next CA")
    return failed("it was issued by the present CA")
