"""A plain enrolment, and everything about its reply (RFC 8894 sections 3.2, 3.3.2, 4.3).

One PKCSReq by POST, under AES-128 and SHA-256, with a challenge; all tests look at the same one.

The rule of this file: each test looks at one thing, so that a report names every fault.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import CIPHERS, DIGEST_OIDS
from scepkit.conformance.probe import Probe, Requester, shown_certificate, spki_in, spki_of
from scepkit.conformance.reading import Issued, Reply
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.verdicts import (
    Ended,
    Verdict,
    failed,
    inconclusive,
    passed,
    together,
    warned,
)
from scepkit.core import algorithms, asn1, cms
from scepkit.core.ber import to_der
from scepkit.core.certificates import view_of
from scepkit.core.http import PKI_MESSAGE_TYPE, media_type
from scepkit.core.messages import (
    ID_MESSAGE_TYPE,
    ID_PKI_STATUS,
    ID_RECIPIENT_NONCE,
    ID_SENDER_NONCE,
    ID_TRANSACTION_ID,
)
from scepkit.core.names import parse_subject
from scepkit.errors import ScepError

ISSUE = {Need.ISSUE}
_NONCE_BYTES = 16
_LONGEST_LIFE = timedelta(days=10 * 366)


def _reply(probe: Probe) -> tuple[Answer, Reply]:
    """The plain enrolment's CertRep."""
    answer = probe.baseline()
    if answer.reply is None:
        raise Ended(inconclusive(f"there is no CertRep to look at: {answer.said}"))
    return answer, answer.reply


def _success(probe: Probe) -> tuple[Answer, Reply, Issued]:
    """It, with what was issued."""
    answer, reply = _reply(probe)
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
    "T20",
    Class.MUST,
    "PKCSReq by POST with AES-128, SHA-256 and RSA-2048 gives a certificate",
    section="RFC 8894 2.9, 4.3",
    remedy="implement what RFC 8894 2.9 makes mandatory; if the request was refused for its name "
    "or challenge, give this tester ones that the server takes (--subject, --challenge-...)",
    needs=ISSUE,
)
def plain(probe: Probe) -> Verdict:
    """SUCCESS or PENDING, as application/x-pki-message."""
    answer = probe.baseline()
    if not (answer.success or answer.pending):
        return failed(f"{answer.said}, expected SUCCESS or PENDING")
    kind = answer.exchange.content_type
    if media_type(kind) != PKI_MESSAGE_TYPE:
        return failed(f"{answer.said} as {kind!r}, expected {PKI_MESSAGE_TYPE}")
    return passed(answer.said)


@check(
    "T21",
    Class.MUST,
    "the reply has all signed attributes, and those of the request come back unchanged",
    section="RFC 8894 3.2.1",
    remedy="sign contentType, messageDigest, messageType 3, pkiStatus, transactionID and "
    "recipientNonce; copy the last two from the request, byte for byte",
    needs=ISSUE,
)
def attributes(probe: Probe) -> Verdict:
    """contentType, messageDigest, transactionID, messageType, pkiStatus, recipientNonce."""
    answer, reply = _reply(probe)
    names = {
        cms.ID_CONTENT_TYPE: "contentType",
        cms.ID_MESSAGE_DIGEST: "messageDigest",
        ID_TRANSACTION_ID: "transactionID",
        ID_MESSAGE_TYPE: "messageType",
        ID_PKI_STATUS: "pkiStatus",
        ID_RECIPIENT_NONCE: "recipientNonce",
    }
    faults = [f"no {name}" for oid, name in names.items() if not reply.attributes.get(oid)]
    for oid, name in names.items():
        values = reply.attributes.get(oid)
        if values is not None and len(values) > 1:
            faults.append(f"{name} with {len(values)} values")
    oids = [oid for oid, _ in reply.message.signers[0].attributes]
    faults += [f"{names[oid]} twice" for oid in names if oids.count(oid) > 1]
    if len(reply.message.signers) != 1:
        faults.append(f"{len(reply.message.signers)} signers, expected one")
    if reply.message_type not in (None, "3"):
        faults.append(f"messageType {reply.message_type!r}, expected 3")
    if reply.transaction_id not in (None, answer.message.transaction_id):
        faults.append("another transactionID than the request's")
    if reply.recipient_nonce not in (None, answer.message.nonce):
        faults.append("a recipientNonce that is not the request's senderNonce")
    if reply.message.content_type != cms.ID_DATA:
        faults.append(f"content of type {reply.message.content_type}, expected data")
    return failed("; ".join(faults)) if faults else passed("all there, and the request's own")


@check(
    "T22",
    Class.SHOULD,
    "the reply has a senderNonce of its own: 16 bytes, another one each time",
    section="RFC 8894 3.2.1.5",
    remedy="draw 16 random bytes for the senderNonce of each reply",
    needs=ISSUE,
)
def sender_nonce(probe: Probe) -> Verdict:
    """Fresh, not the client's."""
    answer, reply = _reply(probe)
    nonce = reply.sender_nonce
    if nonce is None:
        return failed("the reply has no senderNonce")
    if nonce == answer.message.nonce:
        return failed("the senderNonce is a copy of the client's")
    if len(nonce) != _NONCE_BYTES:
        return failed(f"the senderNonce has {len(nonce)} bytes, expected {_NONCE_BYTES}")
    requester = probe.requester(challenge=None)
    second = probe.enrol(requester, what="PKCSReq without a challenge, for its nonce")
    if second.reply is not None and second.reply.sender_nonce == nonce:
        return failed("two replies have the same senderNonce")
    return passed("16 bytes, and others the next time")


@check(
    "T23",
    Class.MUST,
    "the reply is signed by the CA or its RA",
    section="RFC 8894 3.2, 4.3",
    remedy="sign replies with a key whose certificate GetCACert offers, name that certificate in "
    "the SignerInfo, and sign the DER of the attributes as a SET",
    needs=ISSUE,
)
def signature(probe: Probe) -> Verdict:
    """With a certificate of the authenticated set, which the SignerInfo names."""
    _, reply = _reply(probe)
    try:
        signer = reply.verified_by(probe.ca.signers)
    except ScepError as error:
        return failed(str(error))
    info = reply.message.signers[0]
    if not view_of(signer).is_named_by(info.sid):
        return failed(
            f"signed with the key of {shown_certificate(signer)}, but the SignerInfo names another "
            "certificate"
        )
    return passed(f"by {shown_certificate(signer)}")


@check(
    "T24",
    Class.MUST,
    "the certificate comes encrypted to the key that signed the request",
    section="RFC 8894 2.3, 3.1",
    remedy="encrypt the reply to the certificate in the request's SignerInfo, and name it as "
    "recipient",
    needs=ISSUE,
)
def recipient(probe: Probe) -> Verdict:
    """A RecipientInfo that names the request's signer, and opens with its key."""
    answer, reply = _reply(probe)
    if not answer.success:
        return inconclusive(f"nothing was issued to look at: {answer.said}")
    enveloped = reply.enveloped
    if enveloped is None:
        return failed("SUCCESS without a pkcsPKIEnvelope")
    try:
        reply.decrypted(answer.opener())
    except ScepError as error:
        return failed(f"it cannot be decrypted with the requester's key: {error}")
    ours = view_of(answer.message.signer.certificate)
    named = []
    for info in enveloped.recipients:
        if info[0] == asn1.SEQUENCE:
            rid = asn1.fields(info, asn1.KEY_TRANS_RECIPIENT_INFO)[1]
            named.append(ours.is_named_by(rid))
    if named and not any(named):
        return failed("it opens with the requester's key, but names another recipient")
    return passed("encrypted to the requester, and named so")


@check(
    "T25",
    Class.MUST,
    "the reply is encrypted as the request was: AES, not single DES",
    section="RFC 8894 2.9, 3.5.2",
    remedy="encrypt replies with AES-128-CBC, or with the cipher of the request",
    needs=ISSUE,
)
def cipher(probe: Probe) -> Verdict:
    """Content encryption."""
    answer, reply = _reply(probe)
    if reply.enveloped is None:
        return inconclusive(f"there is no envelope to look at: {answer.said}")
    oid, _ = asn1.split_algorithm(reply.enveloped.algorithm, "content encryption algorithm")
    name = algorithms.oid_name(oid)
    if oid == CIPHERS["aes128"][0]:
        return passed(name)
    if oid in (CIPHERS["aes192"][0], CIPHERS["aes256"][0]):
        return warned(f"{name}, where the request used AES-128")
    if oid == CIPHERS["des"][0]:
        return failed(
            "single DES, which RFC 8894 2.9 forbids; clients with OpenSSL 3 cannot read it"
        )
    return failed(f"{name}, expected AES-128-CBC as in the request")


@check(
    "T26",
    Class.MUST,
    "the reply is signed with SHA-2, as the request was",
    section="RFC 8894 2.9, 3.5.2",
    remedy="sign replies with SHA-256, or with the digest of the request",
    needs=ISSUE,
)
def digest(probe: Probe) -> Verdict:
    """Digest and signature algorithm."""
    _, reply = _reply(probe)
    info = reply.message.signers[0]
    oid, _ = asn1.split_algorithm(info.digest_algorithm, "digest algorithm")
    signature_oid, _ = asn1.split_algorithm(info.signature_algorithm, "signature algorithm")
    used = {oid, signature_oid}
    names = ", ".join(algorithms.oid_name(one) for one in (oid, signature_oid))
    if used & {DIGEST_OIDS["md5"], "1.2.840.113549.1.1.4"}:
        return failed(f"{names}: RFC 8894 2.9 forbids MD5")
    if used & {DIGEST_OIDS["sha1"], "1.2.840.113549.1.1.5"}:
        return failed(f"{names}, expected SHA-256 as in the request")
    return passed(names)


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
    answer, reply = _reply(probe)
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
    return passed(f"{len(issued.certificates)} certificates, one for the request's key")


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


@check(
    "T30",
    Class.MUST,
    "the reply is encoded as the standards have it: string types, nonces, DER",
    section="RFC 8894 3.2.1; RFC 5652 5.3",
    remedy="write PrintableStrings and OCTET STRINGs, definite lengths, and the signed attributes "
    "in the order of DER",
    needs=ISSUE,
)
def encoding(probe: Probe) -> Verdict:
    """Types of the attributes; DER."""
    _, reply = _reply(probe)
    types = {
        ID_MESSAGE_TYPE: ("messageType", 0x13, "PrintableString"),
        ID_PKI_STATUS: ("pkiStatus", 0x13, "PrintableString"),
        ID_TRANSACTION_ID: ("transactionID", 0x13, "PrintableString"),
        ID_SENDER_NONCE: ("senderNonce", asn1.OCTET_STRING, "OCTET STRING"),
        ID_RECIPIENT_NONCE: ("recipientNonce", asn1.OCTET_STRING, "OCTET STRING"),
    }
    faults = []
    for oid, (name, tag, wanted) in types.items():
        value = reply.value(oid)
        if value is not None and value[0] != tag:
            faults.append(f"{name} has the tag 0x{value[0]:02x}, expected {wanted}")
    if faults:
        return failed("; ".join(faults))
    listed = (
        [asn1.content_of(reply.message.signers[0].signed_attrs)] if reply.message.signers else []
    )
    odd = []
    if to_der(reply.body) != reply.body:
        odd.append("the message is BER and not DER (indefinite or long lengths, or chunks)")
    elif listed and not _sorted(reply):
        odd.append("the signed attributes are not in the order of DER")
    if odd:
        return warned("; ".join(odd))
    return passed("DER, with the types of the RFC")


def _sorted(reply: Reply) -> bool:
    whole = bytes((asn1.SET,)) + reply.message.signers[0].signed_attrs[1:]
    found = asn1.split(whole)
    return found == sorted(found)
