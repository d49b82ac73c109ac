"""GetCert and GetCRL (RFC 8894 sections 3.3.4, 4.5 and 4.6): never PENDING.

The rule of this file: only what a CA of this profile issued is answered; everything else is
badCertId, without saying which part of the question was wrong.
"""

from __future__ import annotations

from scepkit.core.messages import GetCert, GetCrl, Success
from scepkit.errors import AlgorithmError, FailInfo
from scepkit.server import auditing
from scepkit.server.case import Answer, Case, Refusal, recipient_for
from scepkit.server.opening import Opened
from scepkit.server.roles import Generation
from scepkit.store import certificates, crls
from scepkit.store.driver import Tx
from scepkit.store.rows import Certificate

NO_CERTIFICATE = "there is no such certificate"
NO_CRL = "there is no CRL for this certificate"


def get_cert(case: Case, opened: Opened, asked: GetCert) -> Answer:
    """Answer a GetCert."""
    candidates = case.profile.roles.authority.named(asked.issuer)
    with case.record.timed("claim"):
        row = case.store.read(lambda tx: _issued(tx, candidates, asked.serial_number))
    if row is None or row.der is None:
        return _refuse(case, Refusal(NO_CERTIFICATE, NO_CERTIFICATE, FailInfo.BAD_CERT_ID))
    case.record.serial, case.record.subject = row.serial, row.subject
    return _to_signer(case, opened, Success((row.der,)))


def get_crl(case: Case, opened: Opened, asked: GetCrl) -> Answer:
    """Answer a GetCRL: the newest CRL of the generation that issued the certificate."""
    candidates = case.profile.roles.authority.named(asked.issuer)

    def find(tx: Tx) -> bytes | None:
        row = _issued(tx, candidates, asked.serial_number)
        generations = candidates
        if row is not None:
            generations = tuple(one for one in candidates if one.ca_id == row.ca_id)
        else:
            # Some ask with the CA's own serial number, or with any: the CA that issues now.
            active = tuple(one for one in candidates if one.status == "active")
            generations = active or candidates[-1:]
        for generation in generations:
            crl = crls.newest(tx, generation.ca_id)
            if crl is not None:
                return crl.der
        return None

    with case.record.timed("claim"):
        crl = case.store.read(find)
    if crl is None:
        return _refuse(case, Refusal(NO_CRL, NO_CRL, FailInfo.BAD_CERT_ID))
    return _to_signer(case, opened, Success(crls=(crl,)))


def _issued(tx: Tx, candidates: tuple[Generation, ...], serial_number: int) -> Certificate | None:
    if serial_number <= 0:
        return None
    for generation in candidates:
        row = certificates.by_serial(tx, generation.ca_id, f"{serial_number:x}")
        if row is not None:
            return row
    return None


def _to_signer(case: Case, opened: Opened, reply: Success) -> Answer:
    try:
        recipient = recipient_for(case.request.signer, opened.protection, opened.secret)
    except AlgorithmError as error:
        return _refuse(case, Refusal(str(error), str(error), FailInfo.BAD_ALG))
    return Answer(reply, recipient)


def _refuse(case: Case, refusal: Refusal) -> Answer:
    denied = Refusal(refusal.reason, refusal.text, refusal.fail_info, "query.deny")
    auditing.refuse(case, denied, enrolling=False)
    return denied.answer()
