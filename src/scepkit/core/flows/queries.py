"""GetCert, GetCRL and GetNextCACert (RFC 8894 sections 4.5, 4.6 and 4.7).

The rule of this file: what is returned is what was asked for, and verified against the
authenticated CA; a refusal is an error.
"""

from __future__ import annotations

from datetime import datetime
from typing import assert_never

from cryptography import x509

from scepkit.core import http, messages
from scepkit.core.ca_certificates import verify_issued
from scepkit.core.ca_replies import verify_next_ca
from scepkit.core.certificates import load_readable, view_of
from scepkit.core.crl import read_crl
from scepkit.core.enrolment import Requester, describe_failure
from scepkit.core.flows.discovery import get_capabilities
from scepkit.core.flows.operation import as_password, ask, exchange, expect_ok
from scepkit.core.flows.steps import Flow, KnownCa
from scepkit.core.messages import Failure, GetCert, GetCrl, StillPending, Success
from scepkit.core.sentnames import same_name
from scepkit.core.trust import CaVerifier
from scepkit.errors import (
    DecodeError,
    FailInfo,
    NotSupportedError,
    ReplyMismatchError,
    RequestRejectedError,
)


def get_certificate(
    ca: KnownCa,
    serial_number: int,
    requester: Requester,
    now: datetime,
    *,
    issuer: bytes | None = None,
    challenge: str | None = None,
) -> Flow[tuple[x509.Certificate, tuple[x509.Certificate, ...]]]:
    """GetCert (RFC 8894 section 4.5): the certificate with that serial number, and its chain."""
    name = _issuer_name(ca, issuer)
    data = GetCert(name, serial_number)
    reply = yield from _query(ca, data, requester, challenge, now, "GetCert")
    certificates, _ = load_readable(reply.certificates)
    for certificate in certificates:
        seen = view_of(certificate)
        if seen.serial_number == serial_number and seen.issuer == name:
            checked = verify_issued(certificate, ca.certificates, now, extra=certificates)
            return certificate, checked.chain
    raise ReplyMismatchError(
        f"the CA says SUCCESS, but its reply has no certificate with serial number "
        f"{serial_number:x}",
        field="serialNumber",
        expected=f"{serial_number:x}",
        found=", ".join(f"{view_of(one).serial_number:x}" for one in certificates) or None,
    )


def get_crl(
    ca: KnownCa,
    serial_number: int,
    requester: Requester,
    now: datetime,
    *,
    issuer: bytes | None = None,
    challenge: str | None = None,
) -> Flow[x509.CertificateRevocationList]:
    """GetCRL (RFC 8894 section 4.6): the newest CRL that covers that certificate."""
    name = _issuer_name(ca, issuer)
    data = GetCrl(name, serial_number)
    reply = yield from _query(ca, data, requester, challenge, now, "GetCRL")
    return read_crl(reply.crls, ca.certificates, issuer=name)


def get_next_ca(
    ca: KnownCa, now: datetime, *, verifier: CaVerifier | None = None
) -> Flow[tuple[x509.Certificate, ...]]:
    """GetNextCACert (RFC 8894 section 4.7): the CA's next certificates, signed by the present CA.

    Capabilities are asked for anew: a CA announces this only while it has a next certificate, which
    may have come long after `ca` was learnt.

    :param verifier: see `ca_replies.verify_next_ca`.
    :raises NotSupportedError: the CA does not announce it.
    """
    capabilities = yield from get_capabilities(ca.endpoint, ca.profile)
    if not capabilities.next_ca:
        raise NotSupportedError(
            "the CA does not announce GetNextCACert",
            operation="GetNextCACert",
            hint="it has no rollover certificate ready, or never offers one; `scepkit caps` shows "
            "what it announces",
        )
    response = yield from exchange(http.next_ca_request(ca.endpoint, ca.profile))
    if response.status == 404:  # not the path: the CA has just answered there
        raise NotSupportedError(
            "the CA announces GetNextCACert, and answers it with HTTP status 404: it has no next "
            "certificate now",
            operation="GetNextCACert",
        )
    expect_ok(response, ca.endpoint, "GetNextCACert")
    return verify_next_ca(
        response.body,
        ca.certificates,
        now,
        verifier=verifier,
        url=str(ca.endpoint),
        profile=ca.profile,
    )


def _issuer_name(ca: KnownCa, wanted: bytes | None) -> bytes:
    """The issuer to ask for, written as its certificate has it."""
    if wanted is None:
        return ca.issuer_name
    subjects = [view_of(one).subject for one in ca.certificates.crl_authorities]
    return next((subject for subject in subjects if same_name(subject, wanted)), wanted)


def _query(
    ca: KnownCa,
    data: GetCert | GetCrl,
    requester: Requester,
    challenge: str | None,
    now: datetime,
    operation: str,
) -> Flow[Success]:
    transaction_id = messages.new_transaction_id()
    reply, _ = yield from ask(
        ca,
        data,
        requester,
        as_password(challenge),
        transaction_id,
        now,
        max_response=http.MAX_CRL_RESPONSE if operation == "GetCRL" else http.MAX_RESPONSE,
    )
    match reply:
        case Success():
            return reply
        case Failure(fail_info, text):
            unknown = fail_info is FailInfo.BAD_CERT_ID
            raise RequestRejectedError(
                f"the CA refused {operation}: {describe_failure(fail_info, text)}",
                hint=f"the CA knows no certificate with the serial number {data.serial_number:x} "
                "(hexadecimal); is it one of this CA's?"
                if unknown
                else "",
                fail_info=fail_info,
                fail_info_text=text,
                transaction_id=transaction_id,
            )
        case StillPending():
            raise DecodeError(f"the CA answered {operation} with PENDING, which it must not")
        case _:
            assert_never(reply)
