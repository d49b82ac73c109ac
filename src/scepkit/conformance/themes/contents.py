"""What is in a message: the envelope, and what fits the messageType (RFC 8894 sections 3.1, 3.2).

The rule of this file: the signature is right; what it covers is not what it should be.
"""

from __future__ import annotations

import secrets

from scepkit.conformance import cmsparts
from scepkit.conformance.judging import (
    BAD_ALG,
    BAD_MESSAGE_CHECK,
    BAD_REQUEST,
    must_refuse,
)
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.verdicts import Verdict, failed, together
from scepkit.core import asn1
from scepkit.core.certificates import view_of

RSA = {Need.ISSUE, Need.RSA}
_PBKDF2, _PWRI_KEK = "1.2.840.113549.1.5.12", "1.2.840.113549.1.9.16.3.9"
_SCRYPT = "1.3.6.1.4.1.11591.4.11"
#: An iteration count that takes minutes.
_MONSTROUS = 1_000_000_000
_QUICK = 5.0


@check(
    "T71",
    Class.SECURITY,
    "a request that is not encrypted is refused",
    section="RFC 8894 3.1",
    remedy="take nothing but EnvelopedData as the signed content",
    needs={Need.ISSUE},
)
def unencrypted(probe: Probe) -> Verdict:
    """The bare certificate request, and one in a SignedData.

    The challenge in it is none: it would be seen by everybody.
    """
    requester = probe.requester(challenge="scepkit-check-no-challenge")
    bare = requester.csr()
    signed = cmsparts.signed_data(bare, [], [])
    why = "what is in it can be read on the way"
    return together(
        (
            what,
            must_refuse(
                probe.enrol(requester, content=content, what=f"PKCSReq, {what}"),
                with_=(BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_ALG),
                why=why,
            ),
        )
        for what, content in {"a bare CSR": bare, "a CSR in SignedData": signed}.items()
    )


def _pwri(key_derivation: bytes, cipher: bytes) -> bytes:
    return asn1.element(
        0xA3,
        asn1.integer(0),
        key_derivation,
        asn1.element(asn1.SEQUENCE, asn1.oid_der(_PWRI_KEK), cipher),
        cmsparts.octets(secrets.token_bytes(32)),
    )


@check(
    "T77",
    Class.SECURITY,
    "a password recipient cannot make the server work for long",
    section="RFC 8018 4.2; RFC 8894 3.1",
    remedy="refuse iteration counts above a million and key derivations that you do not know, "
    "before deriving anything",
    needs={Need.ISSUE},
)
def password_bombs(probe: Probe) -> Verdict:
    """A thousand million iterations, none, and another derivation (A13)."""
    salt = cmsparts.octets(secrets.token_bytes(16))
    derivations = {
        "a thousand million iterations": (_PBKDF2, _MONSTROUS),
        "no iterations": (_PBKDF2, 0),
        "an unknown derivation": (_SCRYPT, 1000),
    }

    def verdict(what: str, oid: str, count: int) -> Verdict:
        parameters = asn1.element(asn1.SEQUENCE, salt, asn1.integer(count))
        derivation = asn1.element(0xA0, asn1.oid_der(oid), parameters)
        iv = secrets.token_bytes(16)
        cipher = cmsparts.cipher_algorithm("aes128", iv)
        info = _pwri(derivation, cipher)
        ciphertext = cmsparts.encrypt("aes128", secrets.token_bytes(16), iv, b"nothing")
        content = cmsparts.enveloped_data([info], cipher, ciphertext, version=3)
        requester = probe.requester(challenge="scepkit-check-no-challenge")
        answer = probe.enrol(requester, content=content, what=f"PKCSReq by password, {what}")
        if answer.exchange.seconds > _QUICK:
            return failed(f"it took {answer.exchange.seconds:.1f} s: {answer.said}")
        return must_refuse(answer, with_=(BAD_ALG, BAD_REQUEST, BAD_MESSAGE_CHECK))

    return together((what, verdict(what, *values)) for what, values in derivations.items())


@check(
    "T95",
    Class.MUST,
    "a message is refused whose content does not fit its messageType",
    section="RFC 8894 3.2, 3.2.2",
    remedy="decide by messageType what the content has to be, and refuse all else as you refuse "
    "what cannot be decrypted (T72)",
    needs=RSA,
)
def misfits(probe: Probe) -> Verdict:
    """A CSR as CertPoll, names as PKCSReq, garbage as GetCert.

    Any FAILURE will do: badRequest would say that the content could be decrypted, and so make a
    padding oracle of whoever answers it (A2, T72).
    """
    ca = view_of(probe.ca.ca)
    requester = probe.requester()
    names = asn1.element(asn1.SEQUENCE, ca.subject, ca.subject)
    variants = {
        "CertPoll with a CSR": ("20", requester.csr()),
        "PKCSReq with IssuerAndSubject": ("19", names),
        "GetCert with garbage": ("21", secrets.token_bytes(64)),
    }
    parts = []
    for what, (kind, data) in variants.items():
        answer = probe.enrol(requester, message_type=kind, data=data, what=what)
        parts.append((what, must_refuse(answer)))
    return together(parts)
