"""A plain enrolment, and everything about its reply (RFC 8894 sections 3.2, 3.3.2, 4.3).

One PKCSReq by POST, under AES-128 and SHA-256, with a challenge; all tests look at the same one.

The rule of this file: each test looks at one thing, so that a report names every fault.
"""

from __future__ import annotations

from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import CIPHERS, DIGEST_OIDS
from scepkit.conformance.probe import Probe
from scepkit.conformance.reading import Reply
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import shown_certificate
from scepkit.conformance.verdicts import (
    Ended,
    Verdict,
    failed,
    inconclusive,
    passed,
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
from scepkit.errors import ScepError

ISSUE = {Need.ISSUE}
_NONCE_BYTES = 16


def reply_of(probe: Probe) -> tuple[Answer, Reply]:
    """The plain enrolment's CertRep."""
    answer = probe.baseline()
    if answer.reply is None:
        raise Ended(inconclusive(f"there is no CertRep to look at: {answer.said}"))
    return answer, answer.reply


@check(
    "T20",
    Class.MUST,
    "PKCSReq by POST with AES-128, SHA-256 and an RSA key gives a certificate",
    section="RFC 8894 2.9, 4.3",
    remedy="implement what RFC 8894 2.9 makes mandatory; if the request was refused for its "
    "challenge, name or key, give this tester ones that the server takes (--challenge-file or "
    "--challenge-command, --subject, --key-type)",
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
    answer, reply = reply_of(probe)
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
    answer, reply = reply_of(probe)
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
    _, reply = reply_of(probe)
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
    answer, reply = reply_of(probe)
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
    answer, reply = reply_of(probe)
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
    _, reply = reply_of(probe)
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
    _, reply = reply_of(probe)
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
    odd = []
    if to_der(reply.body) != reply.body:
        odd.append("the message is BER and not DER (indefinite or long lengths, or chunks)")
    elif not _sorted(reply):
        odd.append("the signed attributes are not in the order of DER")
    if odd:
        return warned("; ".join(odd))
    return passed("DER, with the types of the RFC")


def _sorted(reply: Reply) -> bool:
    whole = bytes((asn1.SET,)) + reply.message.signers[0].signed_attrs[1:]
    found = asn1.split(whole)
    return found == sorted(found)
