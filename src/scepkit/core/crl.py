"""Reading a CRL that a CA handed out, and checking that it is the CA's.

Rules of this file:

* A CRL is returned only when its signature was verified with the key of an authenticated CA
  certificate that may sign CRLs.
* One that says less than a list of what the CA has revoked is refused where RFC 5280 forbids to use
  it so, and else returned with what `crl_notes` says of it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from scepkit.core.algorithms import Digest, signature_digest
from scepkit.core.ca_certificates import CaCertificates
from scepkit.core.certificates import UNREADABLE, view_of
from scepkit.core.chains import Facts
from scepkit.core.shown import one_line, title
from scepkit.core.signed import verify_signature
from scepkit.errors import AlgorithmError, DecodeError, SignatureError


def read_crl(
    crls: Sequence[bytes], ca: CaCertificates, *, issuer: bytes
) -> x509.CertificateRevocationList:
    """The newest complete CRL of `issuer` (a Name in DER) among some, verified.

    RFC 8894 section 4.6 wants a CA to send just the newest; some send several.

    :raises DecodeError: there is none, one cannot be read, or none is complete: it is a delta CRL
        or an indirect one, is for attribute certificates, or has a critical extension that is not
        understood here (RFC 5280 section 5.2).
    :raises SignatureError: none is signed by an authenticated CA certificate of the issuer, or that
        certificate's key usage is not for CRLs (RFC 5280 section 6.3.3).
    :raises AlgorithmError: it is signed with MD5.
    """
    if not crls:
        raise DecodeError("the CA says SUCCESS, but its reply has no CRL")
    loaded = [_load(der) for der in crls]
    keys = [one for one in ca.crl_authorities if view_of(one).subject == issuer]
    entitled = [one for one in keys if _may_sign(one)]
    good = [crl for crl in loaded if any(_signed_by(crl, one) for one in entitled)]
    if not good:
        for one in keys:
            if one not in entitled and any(_signed_by(crl, one) for crl in loaded):
                raise SignatureError(
                    f"the CRL in the reply is signed by {title(one)}, whose key usage has no "
                    "cRLSign (RFC 5280 section 6.3.3)",
                    signer=title(one),
                    hint="the CA's operator has to renew that certificate with the right key usage",
                )
        raise SignatureError(
            "the CRL in the reply is not signed by the CA that was asked for",
            signer=", ".join(map(_issuer_text, loaded)),
        )
    unfit = [_unfitness(crl) for crl in good]
    fit = [crl for crl, reason in zip(good, unfit, strict=True) if not reason]
    if not fit:
        raise DecodeError(
            f"the CRL in the reply cannot be used: it {unfit[0]}",
            hint="fetch the CRL from the distribution point that the certificate names, if it does",
        )
    return max(fit, key=lambda crl: crl.last_update_utc)


def crl_notes(crl: x509.CertificateRevocationList, now: datetime) -> Iterator[str]:
    """Yield sentences about a CRL that is good and that still says less than it seems to.

    :param crl: as `read_crl` gives it.
    :param now: the time (aware) to hold its dates against.
    """
    if crl.last_update_utc > now:
        yield f"the CRL is dated {_moment(crl.last_update_utc)}, which is in the future"
    due = crl.next_update_utc
    if due is None:
        yield "the CRL does not say when the next one is due"
    elif due < now:
        yield (
            f"the CRL is out of date: the next one was due {_moment(due)}, and what has been "
            "revoked since is not in it"
        )
    part = _part(crl)
    if part is None:
        return
    if part.only_contains_user_certs:
        yield "the CRL is for end-entity certificates only, and not for those of CAs"
    if part.only_contains_ca_certs:
        yield "the CRL is for the certificates of CAs only"
    if part.only_some_reasons:
        yield "the CRL lists only what was revoked for some of the reasons"
    if part.full_name or part.relative_name:
        yield (
            "the CRL is one of a distribution point: it counts for certificates that name the same "
            "one"
        )


def _moment(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


#: Critical extensions that are looked at here (RFC 5280 section 5.2).
_UNDERSTOOD = frozenset(
    {
        "2.5.29.20",  # cRLNumber
        "2.5.29.28",  # issuingDistributionPoint
        "2.5.29.35",  # authorityKeyIdentifier
    }
)


def _unfitness(crl: x509.CertificateRevocationList) -> str:
    """Why it must not be taken for a list of what the CA has revoked, or ""."""
    try:
        extensions = list(crl.extensions)
        part = _part(crl)
    except UNREADABLE as exc:
        return f"has extensions that cannot be read: {one_line(exc)}"
    for extension in extensions:
        if isinstance(extension.value, x509.DeltaCRLIndicator):
            return "is a delta CRL, which has only what is new since another one"
        oid = extension.oid.dotted_string
        if extension.critical and oid not in _UNDERSTOOD:
            return f"has a critical extension that is not understood here ({oid})"
    if part is not None and part.indirect_crl:
        return "is an indirect CRL, which is about the certificates of other CAs too"
    if part is not None and part.only_contains_attribute_certs:
        return "is for attribute certificates"
    return ""


def _part(crl: x509.CertificateRevocationList) -> x509.IssuingDistributionPoint | None:
    for extension in crl.extensions:
        if isinstance(extension.value, x509.IssuingDistributionPoint):
            return extension.value
    return None


def _may_sign(issuer: x509.Certificate) -> bool:
    usage = Facts(issuer).key_usage
    return usage is None or usage.crl_sign


def _load(der: bytes) -> x509.CertificateRevocationList:
    try:
        return x509.load_der_x509_crl(der)
    except UNREADABLE as exc:
        raise DecodeError(f"the CRL in the reply cannot be read: {one_line(exc)}") from exc


def _issuer_text(crl: x509.CertificateRevocationList) -> str:
    try:
        return crl.issuer.rfc4514_string()
    except UNREADABLE:
        return ""


def _signed_by(crl: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    oid = crl.signature_algorithm_oid.dotted_string
    digest = signature_digest(oid)
    if digest is Digest.MD5:
        raise AlgorithmError(
            "the CRL in the reply is signed with MD5, with which CRLs can be forged",
            algorithm=digest.value,
            hint="set the CA's CRL digest to SHA-256",
        )
    try:
        if crl.issuer != issuer.subject:
            return False
        if digest is Digest.SHA1:
            # As old as the CAs that still sign so; `cryptography` refuses to look at it.
            verify_signature(issuer.public_key(), oid, crl.signature, crl.tbs_certlist_bytes)
            return True
        # `cryptography` names the key types a CRL can be signed with; the others raise.
        return crl.is_signature_valid(issuer.public_key())  # type: ignore[arg-type]
    except (InvalidSignature, *UNREADABLE):
        return False
