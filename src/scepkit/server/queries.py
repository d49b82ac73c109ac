"""GetCert and GetCRL (RFC 8894 sections 3.3.4, 4.5 and 4.6): never PENDING.

The rule of this file: only what a CA of this profile issued is answered; everything else is
badCertId, without saying which part of the question was wrong.  A question that cannot be decrypted
or read is one of them, after the same work: were it answered differently, or later, whoever sends
somebody else's ciphertext with an IV of his own could tell whether its padding is good (A2).
"""

from __future__ import annotations

import secrets

from scepkit.core.messages import GetCert, GetCrl, MessageType, Success
from scepkit.errors import AlgorithmError, FailInfo
from scepkit.server import auditing
from scepkit.server.case import Answer, Case, Refusal, recipient_for
from scepkit.server.opening import Opened, Unreadable
from scepkit.server.roles import Authority
from scepkit.store import certificates, crls
from scepkit.store.driver import Tx
from scepkit.store.rows import Certificate

NO_CERTIFICATE = "there is no such certificate"
NO_CRL = "there is no CRL for this certificate"

#: Bits of 20 octets (RFC 5280 section 4.1.2.2).
_LONGEST_SERIAL = 160


def query(case: Case, opened: Opened | Unreadable) -> Answer:
    """Answer a GetCert or GetCRL."""
    if isinstance(opened, Opened):
        match opened.data:
            case GetCert() as asked:
                return _get_cert(case, opened, asked)
            case GetCrl() as asked:
                return _get_crl(case, opened, asked)
    cause = opened.cause if isinstance(opened, Unreadable) else ""
    # What was not readable asks for what nobody has, and is looked for like everything else.
    number = secrets.randbits(_LONGEST_SERIAL - 1)
    if case.request.message_type is MessageType.GET_CERT:
        return _get_cert(case, opened, GetCert(b"", number), cause)
    return _get_crl(case, opened, GetCrl(b"", number), cause)


def _get_cert(case: Case, opened: Opened | Unreadable, asked: GetCert, cause: str = "") -> Answer:
    with case.record.timed("claim"):
        row = case.store.read(lambda tx: _issued(tx, case.profile.roles.authority, asked))
    if row is None or row.der is None:
        return _refuse(case, cause or NO_CERTIFICATE, NO_CERTIFICATE)
    case.record.serial, case.record.subject = row.serial, row.subject
    return _to_signer(case, opened, Success((row.der,)))


def _get_crl(case: Case, opened: Opened | Unreadable, asked: GetCrl, cause: str = "") -> Answer:
    """The newest CRL of the generation that issued the certificate."""
    authority = case.profile.roles.authority
    candidates = authority.named(asked.issuer)
    if not 0 <= asked.serial_number < 1 << _LONGEST_SERIAL:
        candidates = ()

    def find(tx: Tx) -> bytes | None:
        row = _issued(tx, authority, asked)
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
        return _refuse(case, cause or NO_CRL, NO_CRL)
    return _to_signer(case, opened, Success(crls=(crl,)))


def _issued(tx: Tx, authority: Authority, asked: GetCert | GetCrl) -> Certificate | None:
    number = asked.serial_number
    if not 0 < number < 1 << _LONGEST_SERIAL:
        number = 0  # which no certificate has
    # Every generation is asked, whatever its name: a foreign issuer is to cost as much.
    for generation in authority.generations:
        row = certificates.by_serial(tx, generation.ca_id, f"{number:x}")
        if row is not None and generation.seen.subject == asked.issuer:
            return row
    return None


def _to_signer(case: Case, opened: Opened | Unreadable, reply: Success) -> Answer:
    secret = opened.secret if isinstance(opened, Opened) else None
    try:
        recipient = recipient_for(case.request.signer, opened.sealed.protection, secret)
    except AlgorithmError as error:
        return _refuse(case, str(error), str(error), FailInfo.BAD_ALG)
    return Answer(reply, recipient)


def _refuse(
    case: Case, reason: str, text: str, fail_info: FailInfo = FailInfo.BAD_CERT_ID
) -> Answer:
    case.profile.roles.require_tokens()
    refusal = Refusal(reason, text, fail_info, "query.deny")
    auditing.refuse(case, refusal, enrolling=False)
    return refusal.answer()
