"""Renewal by a certificate: whoever has a good one gets a new one for the same names.

The rules of this file: a certificate is ours when it is in the database byte for byte, not when its
names say so (T84); what cannot be found out is a reason to wait, never to believe; and the answer
is about this moment: the transaction that claims the request asks again whether it is revoked.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509

from scepkit.ca.template import CertificateTemplate
from scepkit.core import asn1
from scepkit.core.certificates import CertificateView, load_certificate
from scepkit.core.csr import ParsedCsr
from scepkit.core.signed import check_signature
from scepkit.errors import DecodeError, InputError, ScepError
from scepkit.server.naming import new_names, parts_of
from scepkit.server.roles import Authority, Generation
from scepkit.server.verdicts import Deny, EnrolRequest, Renews
from scepkit.store import certificates
from scepkit.store.driver import Tx

NO_RENEWAL = "the request is not signed with a certificate that can be renewed here"
OTHER_SUBJECT = "a renewal has the subject of the certificate it renews"
NEW_NAMES = "a renewal has no alternative names that the certificate has not"


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalPolicy:
    """Which certificates may be renewed in a profile.

    Attributes:
        window: how long before its end; None: in the last half of its life.
        expired: how long after its end.
        allowed: CAs whose certificates count, whatever profile they are of.  The profile's own CA
            counts without being named, for certificates of this profile.
        same_key: also with the old key.
        by_enrolment: also by PKCSReq, as in the drafts before RFC 8894.
    """

    window: timedelta | None = None
    expired: timedelta = timedelta()
    allowed: frozenset[str] = frozenset()
    same_key: bool = True
    by_enrolment: bool = True


def generations_named(
    authorities: Mapping[str, Authority], signer: CertificateView
) -> tuple[Generation, ...]:
    """The generations of our CAs that a certificate says it was issued by."""
    if signer.issuer == signer.subject:
        return ()
    return tuple(
        generation
        for authority in authorities.values()
        for generation in authority.named(signer.issuer)
    )


def is_of_ours(authorities: Mapping[str, Authority], signer: CertificateView) -> bool:
    """Whether one of our CAs has signed a certificate; whether it is good is another question."""
    candidates = generations_named(authorities, signer)
    if not candidates:
        return False
    try:
        content, algorithm, signature = asn1.read(asn1.CERTIFICATE, signer.der, "certificate")
        bits = asn1.content_of(signature)[1:]
    except DecodeError:
        return False
    return any(_has_signed(one, content, algorithm, bits) for one in candidates)


def _has_signed(ca: Generation, content: bytes, algorithm: bytes, signature: bytes) -> bool:
    """By our own means: `cryptography` verifies no certificate with SHA-1, which old ones have."""
    key = ca.seen.public_key()
    try:
        check_signature(
            content, algorithm, signature, key=key, spki=ca.seen.spki, what="certificate"
        )
    except ScepError:
        return False
    return True


def find_renewed(
    tx: Tx, candidates: tuple[Generation, ...], signer: CertificateView
) -> Renews | None:
    """The row of the certificate that signed a message, if we issued just this one."""
    if signer.serial_number <= 0:
        return None
    serial = f"{signer.serial_number:x}"
    for generation in candidates:
        row = certificates.by_serial(tx, generation.ca_id, serial)
        if row is None or row.der is None or not hmac.compare_digest(row.der, signer.der):
            continue
        try:
            return Renews(row, load_certificate(row.der))
        except DecodeError:
            continue
    return None


def names_another(
    csr: ParsedCsr, template: CertificateTemplate | None, existing: x509.Certificate
) -> str | None:
    """Why a request is for somebody else than the certificate that signed it, or None.

    It says the same whatever is in such a request, as who signs one that he has caught, with a good
    certificate of his own, is to learn nothing of it (A1).

    :param template: what the request would get; None: the profile refuses it.
    """
    if not existing.subject.rdns:
        if template is None or template.subject.rdns or _has_new_names(template, existing):
            return NEW_NAMES
        return None
    # The profile may add to the subject.
    subject = csr.subject if template is None else template.subject
    if subject is None or parts_of(subject) != parts_of(existing.subject):
        return OTHER_SUBJECT
    return None


def refusal(
    request: EnrolRequest, renews: Renews, policy: RenewalPolicy, own: Authority, other: str
) -> Deny | None:
    """Why a certificate of ours may not have this successor, or None when it may.

    :param own: the CA of the profile.
    :param other: the name of the CA that issued the certificate.
    """
    row, existing = renews.row, renews.certificate
    if row.state != "issued":
        return _deny("the certificate that signed the request is revoked")
    if other not in policy.allowed and (other != own.name or row.profile != request.profile):
        reason = f"certificates of the CA {other} and the profile {row.profile} do not count here"
        return Deny(reason, NO_RENEWAL)
    first, last = existing.not_valid_before_utc, existing.not_valid_after_utc
    fault = _time_fault(first, last, policy, request.now)
    opens = last - (policy.window if policy.window is not None else (last - first) / 2)
    if fault is None and request.now < opens:
        early = f"it is too early to renew this certificate: from {opens:%Y-%m-%d %H:%M} UTC on"
        # The requester cannot change it, and whoever reads the log can.
        setting = f"profile.{request.profile}.auth.renewal.window"
        return Deny(f"{early}; {setting} can let it begin earlier", early)
    if fault is None and parts_of(request.template.subject) != parts_of(existing.subject):
        fault = OTHER_SUBJECT
    if fault is None and _has_new_names(request.template, existing):
        fault = NEW_NAMES
    if fault is None and request.signed_by_own_key and not policy.same_key:
        fault = "a renewal needs a new key here"
    return None if fault is None else _deny(fault)


def _deny(reason: str) -> Deny:
    # The requester holds this certificate: it may know what is wrong with it.
    return Deny(reason, reason)


def _has_new_names(template: CertificateTemplate, existing: x509.Certificate) -> bool:
    try:
        return new_names(template, existing)
    except InputError:
        return True  # what cannot be compared is not the same


def _time_fault(
    first: datetime, last: datetime, policy: RenewalPolicy, now: datetime
) -> str | None:
    if now < first:
        return "the certificate that signed the request is not valid yet"
    if now > last + policy.expired:
        return "the certificate that signed the request has expired"
    return None
