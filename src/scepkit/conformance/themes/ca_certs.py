"""GetCACert and GetNextCACert: who the CA is, and who comes after it (RFC 8894 sections 4.2, 4.7).

The rule of this file: the certificates are looked at as they came, by their own signatures; whether
they are to be trusted is not asked here.
"""

from __future__ import annotations

from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from scepkit.conformance.judging import no_server_error
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import shown_certificate
from scepkit.conformance.verdicts import (
    Ended,
    Verdict,
    failed,
    inconclusive,
    passed,
    skipped,
    together,
    warned,
)
from scepkit.core import cms
from scepkit.core.ca_replies import read_ca_certificates, verify_next_ca
from scepkit.core.certificates import load_certificate
from scepkit.core.http import CA_CERT_TYPE, CA_RA_CERT_TYPE, NEXT_CA_CERT_TYPE, media_type
from scepkit.core.wording import counted
from scepkit.errors import DecodeError, ScepError

#: Shorter RSA keys are too weak (NIST SP 800-57), in bits.
_LEAST_RSA = 2048


def _offered(probe: Probe) -> tuple[x509.Certificate, ...]:
    """The certificates that are offered now."""
    found = probe.operation("GetCACert")
    if found.status != 200:
        raise Ended(inconclusive(f"there are no certificates to look at: {found.answer_text}"))
    try:
        return read_ca_certificates(found.body, found.content_type)
    except ScepError as error:
        raise Ended(inconclusive(f"there are no certificates to look at: {error}")) from None


@check(
    "T08",
    Class.MUST,
    "GetCACert: the Content-Type says what the body is",
    section="RFC 8894 4.2.1",
    remedy="send one certificate in DER as application/x-x509-ca-cert, and several as a degenerate "
    "SignedData as application/x-x509-ca-ra-cert",
)
def type_and_body(probe: Probe) -> Verdict:
    """One certificate, or a bundle, and the type that belongs to it."""
    found = probe.operation("GetCACert")
    if found.status != 200:
        return failed(f"{found.answer_text}, expected the CA's certificates")
    kind = media_type(found.content_type)
    try:
        load_certificate(found.body)
        single = True
    except DecodeError:
        single = False
    if single and kind == CA_CERT_TYPE:
        return passed("one certificate")
    if single:
        return failed(f"one certificate as {found.content_type!r}, expected {CA_CERT_TYPE}")
    try:
        bundle = cms.read_bundle(found.body)
    except ScepError as error:
        return failed(f"neither a certificate in DER nor a degenerate SignedData: {error}")
    if kind != CA_RA_CERT_TYPE:
        return failed(f"a SignedData as {found.content_type!r}, expected {CA_RA_CERT_TYPE}")
    return passed(f"{counted(len(bundle.certificates), 'certificate')} in a SignedData")


@check(
    "T09",
    Class.MUST,
    "GetCACert: a bundle is a degenerate SignedData, and every certificate in it can be read",
    section="RFC 8894 3.4",
    remedy="leave signers and content out of the SignedData, and put DER certificates into it",
)
def degenerate(probe: Probe) -> Verdict:
    """No signers, no content."""
    found = probe.operation("GetCACert")
    try:
        load_certificate(found.body)
        return skipped("it is one certificate, without a bundle")
    except DecodeError:
        pass
    try:
        message = cms.read_signed(found.body)
    except ScepError as error:
        return failed(f"no SignedData: {error}")
    faults = []
    if message.signers:
        faults.append(f"{len(message.signers)} signers, expected none")
    if message.content:
        faults.append(f"{len(message.content)} bytes of content, expected none")
    for place, der in enumerate(message.certificates, 1):
        try:
            load_certificate(der)
        except DecodeError as error:
            faults.append(f"certificate {place}: {error}")
    if not message.certificates:
        faults.append("no certificates")
    return failed("; ".join(faults)) if faults else passed("no signers, no content")


def _signed_by(child: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        child.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


@check(
    "T10",
    Class.MUST,
    "GetCACert: the chain is whole, and nothing in it is strange to the rest",
    section="RFC 8894 2.2, 4.2.1.2",
    remedy="offer the RA's certificates, the issuing CA's, and all above it; nothing else",
    disputed="a server whose clients have the root already may leave it out",
)
def whole_chain(probe: Probe) -> Verdict:
    """Each certificate but a root has its issuer in the set, and all hang together."""
    offered = _offered(probe)
    if len(offered) == 1:
        one = offered[0]
        if one.issuer == one.subject and not _signed_by(one, one):
            return failed(f"{shown_certificate(one)} names itself as issuer and is not signed so")
        if one.issuer == one.subject:
            return passed("one self-signed certificate")
        return warned(
            f"{shown_certificate(one)} alone, without its issuer; clients that pin the root cannot "
            "go on (Apple's want it so)"
        )
    faults: list[str] = []
    linked: set[int] = set()
    for place, one in enumerate(offered):
        if one.issuer == one.subject and _signed_by(one, one):
            continue
        issuers = [at for at, other in enumerate(offered) if at != place and _signed_by(one, other)]
        if issuers:
            linked.update((place, *issuers))
        else:
            faults.append(f"the issuer of {shown_certificate(one)} is not offered")
    strangers = [one for at, one in enumerate(offered) if at not in linked]
    for one in strangers:
        faults.append(f"{shown_certificate(one)} has nothing to do with the others")
    return failed("; ".join(dict.fromkeys(faults))) if faults else passed("the chain is whole")


def _usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, ValueError):
        return None


@check(
    "T11",
    Class.MUST,
    "the certificates that sign and decrypt for the CA say that they may",
    section="RFC 8894 2.1.2",
    remedy="issue the CA's (or the RA's) certificate with keyUsage digitalSignature and "
    "keyEncipherment; Apple's and Windows' clients refuse others",
    disputed="RFC 8894 3.5.2 tells clients to ignore the keyUsage of servers like NDES, and a CA "
    "certificate cannot be changed easily",
)
def key_usage(probe: Probe) -> Verdict:
    """digitalSignature for who signs, keyEncipherment for who decrypts."""
    offered = _offered(probe)
    usages = [(one, _usage(one)) for one in offered]
    recipient = probe.session.ca.recipient if probe.session.ca else None
    rsa_offered = [one for one in usages if isinstance(one[0].public_key(), rsa.RSAPublicKey)]
    if recipient is not None and recipient in offered:
        usages = [one for one in usages if one[0] == recipient] + [
            one for one in usages if one[0] != recipient
        ]
    signs = [one for one, usage in usages if usage is None or usage.digital_signature]
    decrypts = [one for one, usage in rsa_offered if usage is None or usage.key_encipherment]
    faults = []
    if not signs:
        faults.append("no certificate has digitalSignature, so none may sign replies")
    if rsa_offered and not decrypts:
        faults.append("no certificate has keyEncipherment, so none may decrypt requests")
    if faults:
        return failed("; ".join(faults))
    if all(usage is None for _, usage in usages):
        return failed("no certificate has a keyUsage at all")
    return passed("there is one that may sign, and one that may decrypt")


@check(
    "T12",
    Class.SHOULD,
    "CA and RA certificates are valid now, strong enough, and not signed with SHA-1 or MD5",
    section="RFC 8894 7.6; NIST SP 800-57",
    remedy="renew the certificate with RSA-2048 or more (or EC) and SHA-256",
)
def strength(probe: Probe) -> Verdict:
    """Dates, keys and signatures."""

    def verdict(one: x509.Certificate) -> Verdict:
        faults, now = [], datetime.now(UTC)
        if now > one.not_valid_after_utc:
            faults.append(f"it expired on {one.not_valid_after_utc:%Y-%m-%d}")
        if now < one.not_valid_before_utc:
            faults.append(f"it is valid from {one.not_valid_before_utc:%Y-%m-%d}")
        key = one.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _LEAST_RSA:
            faults.append(f"its key is RSA-{key.key_size}")
        elif isinstance(key, ec.EllipticCurvePublicKey) and key.key_size < 256:
            faults.append(f"its key is on {key.curve.name}")
        digest = one.signature_hash_algorithm
        if digest is not None and digest.name in ("sha1", "md5") and one.issuer != one.subject:
            faults.append(f"it is signed with {digest.name}")
        return failed("; ".join(faults)) if faults else passed("good")

    return together((shown_certificate(one), verdict(one)) for one in _offered(probe))


@check(
    "T13",
    Class.QUIRK,
    "what is offered is what Apple's and NDES' clients can make sense of",
    section="RFC 8894 4.2.1",
    remedy="where the CA itself answers, offer its certificate alone, as x-x509-ca-cert",
    disputed="a chain as x-x509-ca-ra-cert is what RFC 8894 4.2.1.2 asks for; only Apple's clients "
    "then look for an RA",
)
def split_roles(probe: Probe) -> Verdict:
    """Which certificate is for which part, and whether there is an RA at all (Q20, Q34)."""
    found = probe.operation("GetCACert")
    offered = _offered(probe)
    lines = []
    for one in offered:
        usage = _usage(one)
        words = [
            word
            for word, has in (
                ("digitalSignature", usage is not None and usage.digital_signature),
                ("keyEncipherment", usage is not None and usage.key_encipherment),
                ("keyCertSign", usage is not None and usage.key_cert_sign),
            )
            if has
        ]
        lines.append(f"{shown_certificate(one)}: {', '.join(words) or 'no keyUsage'}")
    authorities = [one for one in offered if _is_ca(one)]
    if media_type(found.content_type) == CA_RA_CERT_TYPE and len(authorities) == len(offered):
        text = "the type speaks of an RA and there is none; Apple's clients end with -67731"
        return failed(text, *lines)
    return passed("; ".join(lines), *lines)


def _is_ca(certificate: x509.Certificate) -> bool:
    try:
        found = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
    except (x509.ExtensionNotFound, ValueError):
        return False
    return found.ca


@check(
    "T14",
    Class.QUIRK,
    "GetCACert with an identifier that nobody knows is answered, or refused with 4xx",
    section="RFC 8894 4.2",
    remedy="ignore an unknown `message=` of GetCACert, or answer HTTP 404",
)
def unknown_identifier(probe: Probe) -> Verdict:
    """Clients put all kinds of words there (Q15, Q41)."""
    queries = ("message=CAIdentifier", "message=0", "message=no-such-ca", "message=")
    return together(
        (query, no_server_error(probe.get(f"operation=GetCACert&{query}"))) for query in queries
    )


@check(
    "T15",
    Class.OPTIONAL,
    "GetNextCACert, where it is announced, gives the next certificate signed by the present CA",
    section="RFC 8894 4.7.1",
    remedy="answer with a SignedData that the present CA signs around a degenerate one with the "
    "next CA's certificate, as application/x-x509-next-ca-cert",
    needs={Need.CA},
)
def next_ca(probe: Probe) -> Verdict:
    """The rollover certificate, if one is staged."""
    if not probe.session.caps.next_ca:
        return skipped("GetNextCACert is not announced")
    found = probe.operation("GetNextCACert")
    if found.status != 200:
        if 400 <= found.status < 500 or found.status == 501:
            return passed(f"there is none now: {found.answer_text}")
        return failed(f"{found.answer_text}, expected the next certificate, or HTTP 404")
    if media_type(found.content_type) != NEXT_CA_CERT_TYPE:
        return failed(f"Content-Type {found.content_type!r}, expected {NEXT_CA_CERT_TYPE}")
    try:
        following = verify_next_ca(found.body, probe.ca, datetime.now(UTC))
    except ScepError as error:
        return failed(f"{error}")
    return passed(f"signed by the present CA: {following!r}"[:200])


@check(
    "T16",
    Class.SHOULD,
    "GetNextCACert, where it is not announced, is refused in so many words",
    section="RFC 8894 4.7",
    remedy="answer HTTP 404 or 501 to operations that you do not have",
)
def no_next_ca(probe: Probe) -> Verdict:
    """4xx or 501; above all no certificate that nobody signed (Q55)."""
    if probe.session.caps.next_ca:
        return skipped("GetNextCACert is announced")
    found = probe.operation("GetNextCACert")
    if found.status == 200:
        try:
            load_certificate(found.body)
        except DecodeError:
            return failed(f"{found.answer_text}, expected HTTP 404 or 501")
        return failed("a certificate that nobody signed: whoever is on the path can change it")
    if 400 <= found.status < 500 or found.status == 501:
        return passed(f"HTTP {found.status}")
    return failed(f"{found.answer_text or found.error}, expected HTTP 404 or 501")
