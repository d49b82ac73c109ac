"""Ciphers, digests and keys: those that are announced, and those that are forbidden (section 2.9).

The rule of this file: each request is authorised; only its algorithms are in question.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scepkit.conformance import cmsparts
from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import ID_OAEP, ID_RSA, Sealing
from scepkit.conformance.judging import (
    BAD_ALG,
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    may_refuse,
    must_accept,
    must_refuse,
)
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.verdicts import Verdict, failed, passed, skipped, together, warned
from scepkit.core import asn1
from scepkit.core.capabilities import Capability
from scepkit.core.cms import ID_DATA
from scepkit.core.envelope import read_enveloped
from scepkit.core.key_transport import read_recipient
from scepkit.core.wording import counted
from scepkit.errors import ScepError

RSA = {Need.ISSUE, Need.RSA}
_AUTH_ENVELOPED_DATA = "1.2.840.113549.1.9.16.1.23"
_AES128_GCM = "2.16.840.1.101.3.4.1.6"


@check(
    "T38",
    Class.OPTIONAL,
    "triple DES and SHA-1 work where they are announced, and are badAlg where they are not",
    section="RFC 8894 2.9, 3.5.2",
    remedy="announce DES3 and SHA-1 only if they work; otherwise answer FAILURE badAlg (0)",
    needs=RSA,
)
def legacy(probe: Probe) -> Verdict:
    """What drafts made mandatory."""
    announced = probe.session.announces(Capability.DES3) and probe.session.announces(
        Capability.SHA1
    )
    answer = probe.enrol(
        sealing=Sealing(cipher="3des"), digest="sha1", what="PKCSReq under 3DES and SHA-1"
    )
    if announced:
        return must_accept(answer)
    if answer.success or answer.pending:
        return passed(f"{answer.said}, though DES3 and SHA-1 are not both announced")
    return must_refuse(answer, with_=(BAD_ALG,))


@check(
    "T39",
    Class.OPTIONAL,
    "AES-256 and SHA-512 work where they are announced, and are taken or refused elsewhere",
    section="RFC 8894 3.5.2",
    remedy="announce SHA-512 only if it works; otherwise answer FAILURE badAlg (0)",
    needs=RSA,
)
def strong(probe: Probe) -> Verdict:
    """What is stronger than it need be."""
    sha512 = probe.enrol(digest="sha512", what="PKCSReq under SHA-512")
    aes256 = probe.enrol(sealing=Sealing(cipher="aes256"), what="PKCSReq under AES-256")
    if probe.session.announces(Capability.SHA512):
        first = must_accept(sha512)
    else:
        first = may_refuse(sha512, with_=(BAD_ALG,))
    return together([("SHA-512", first), ("AES-256", may_refuse(aes256, with_=(BAD_ALG,)))])


@check(
    "T40",
    Class.OPTIONAL,
    "RSA-OAEP is answered in RSA-OAEP, or refused",
    section="RFC 5652 6.2.1; RFC 3560",
    remedy="decrypt OAEP (with SHA-1 and with SHA-256) and answer with the algorithm of the "
    "request: newer Windows clients use nothing else",
    needs=RSA,
)
def oaep(probe: Probe) -> Verdict:
    """With SHA-1 and explicit parameters, and with SHA-256 (Q26, Q27)."""

    def verdict(transport: str) -> Verdict:
        answer = probe.enrol(sealing=Sealing(transport=transport), what=f"PKCSReq, {transport}")
        if not answer.success:
            return may_refuse(answer, with_=(BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST))
        enveloped = answer.reply.enveloped if answer.reply else None
        used = [
            asn1.split_algorithm(read_recipient(info)[1], "key transport")[0]
            for info in (enveloped.recipients if enveloped else ())
            if info[0] == asn1.SEQUENCE
        ]
        if ID_OAEP in used:
            return passed("SUCCESS, and the reply is in OAEP too")
        if ID_RSA in used:
            return failed("SUCCESS, but the reply is in PKCS #1 v1.5, which the client may forbid")
        return failed("SUCCESS, with a reply that is encrypted in some other way")

    return together(
        [("OAEP with SHA-1", verdict("oaep")), ("OAEP with SHA-256", verdict("oaep-sha256"))]
    )


@check(
    "T49",
    Class.OPTIONAL,
    "RSA-3072, RSA-4096 and EC P-256 are certified or refused, and no reply is in the clear",
    section="RFC 8894 3.1",
    remedy="encrypt replies to EC requesters with the challengePassword (PasswordRecipientInfo), "
    "or refuse EC keys with badAlg",
    needs=RSA,
    seconds=120,
)
def key_types(probe: Probe) -> Verdict:
    """Larger RSA keys, and a key that cannot decrypt."""
    parts = []
    for spec, name in (("rsa:3072", "RSA-3072"), ("rsa:4096", "RSA-4096")):
        answer = probe.enrol(probe.requester(spec), what=f"PKCSReq with {name}")
        parts.append((name, may_refuse(answer, with_=(BAD_ALG, BAD_REQUEST))))
    parts.append(("EC P-256", _ec(probe)))
    return together(parts)


def _ec(probe: Probe) -> Verdict:
    answer = probe.enrol(probe.requester("ec:p256"), what="PKCSReq with EC P-256")
    if not answer.success:
        return may_refuse(answer, with_=(BAD_ALG, BAD_REQUEST))
    content = answer.reply.message.content if answer.reply else None
    if not content:
        return failed("SUCCESS without a pkcsPKIEnvelope")
    try:
        enveloped = read_enveloped(content)
    except ScepError:
        return failed("SUCCESS with a reply that is not encrypted")
    if not any(info[0] == 0xA3 for info in enveloped.recipients):
        return warned("SUCCESS, but not by PasswordRecipientInfo, so few clients can read it")
    try:
        found = answer.issued
    except ScepError as error:
        return failed(f"SUCCESS by password, but it does not open with the challenge: {error}")
    return passed(f"SUCCESS, by password, with {counted(len(found.certificates), 'certificate')}")


@check(
    "T70",
    Class.SECURITY,
    "single DES, RC2, RC4, no cipher at all and MD5 are refused",
    section="RFC 8894 2.9",
    remedy="refuse content ciphers other than AES (and 3DES) and the digest MD5, with badAlg (0)",
    disputed="some Go clients (micromdm's scepclient) know nothing but single DES; who serves them "
    "takes it, off by default",
    needs=RSA,
)
def forbidden(probe: Probe) -> Verdict:
    """Algorithms that RFC 8894 forbids, or that are no protection."""
    why = "what it protects can be read or changed by others"
    codes = (BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST)
    parts = []
    for cipher in ("des", "rc2", "rc4", "null"):
        what = {"des": "single DES", "null": "no cipher"}.get(cipher, cipher.upper())
        if cipher != "null" and not _may_be_broken(probe):
            reason = "not tried: whoever hears it and breaks the cipher has your fixed challenge"
            parts.append((what, skipped(reason)))
            continue
        requester = probe.requester()
        if cipher == "null":
            # It would carry the challenge in the clear.
            requester = probe.requester(challenge="scepkit-check-no-challenge")
        answer = probe.enrol(
            requester, sealing=Sealing(cipher=cipher), what=f"PKCSReq under {what}"
        )
        parts.append((what, must_refuse(answer, with_=codes, why=why)))
    answer = probe.enrol(digest="md5", what="PKCSReq signed with MD5")
    parts.append(("MD5", must_refuse(answer, with_=codes, why=why)))
    return together(parts)


def _may_be_broken(probe: Probe) -> bool:
    """Whether a challenge may be sent under a cipher that others can break."""
    source, endpoint = probe.settings.challenges, probe.session.endpoint
    here = endpoint.host in ("localhost", "::1") or endpoint.host.startswith("127.")
    return source is None or source.one_time or endpoint.scheme == "https" or here


@check(
    "T76",
    Class.SECURITY,
    "AES-GCM, where it is taken, is verified",
    section="RFC 5084; RFC 5083",
    remedy="check the whole authentication tag before anything else, and refuse tags of fewer "
    "than 12 bytes; or refuse AuthEnvelopedData",
    needs=RSA,
)
def gcm(probe: Probe) -> Verdict:
    """A right tag, to see whether it is taken; then a wrong one and a short one."""
    right = _gcm(probe, "with its tag", lambda tag: tag)
    if not right.success and not right.pending:
        return skipped(f"AuthEnvelopedData is not taken: {right.said}")
    flipped = _gcm(probe, "with a wrong tag", lambda tag: tag[:-1] + bytes((tag[-1] ^ 1,)))
    short = _gcm(probe, "with a tag of 4 bytes", lambda tag: tag[:4])
    why = "its content can be changed by others"
    return together(
        [
            ("a wrong tag", must_refuse(flipped, why=why)),
            ("a short tag", must_refuse(short, why=why)),
        ]
    )


def _gcm(probe: Probe, what: str, change: Callable[[bytes], bytes]) -> Answer:
    requester = probe.requester()
    key, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
    sealed = AESGCM(key).encrypt(nonce, requester.csr(), None)
    ciphertext, tag = sealed[:-16], sealed[-16:]
    mac = change(tag)
    parameters = asn1.element(asn1.SEQUENCE, cmsparts.octets(nonce), asn1.integer(len(mac)))
    to = probe.ca.recipient
    info = cmsparts.recipient_info(to, cmsparts.encrypt_key(key, probe.recipient_key))
    body = asn1.element(
        asn1.SEQUENCE,
        asn1.integer(0),
        asn1.element(asn1.SET, info),
        asn1.element(
            asn1.SEQUENCE,
            asn1.oid_der(ID_DATA),
            asn1.element(asn1.SEQUENCE, asn1.oid_der(_AES128_GCM), parameters),
            asn1.element(0x80, ciphertext),
        ),
        cmsparts.octets(mac),
    )
    content = asn1.content_info(_AUTH_ENVELOPED_DATA, body)
    return probe.enrol(requester, content=content, what=f"PKCSReq under AES-GCM, {what}")
