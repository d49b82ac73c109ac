"""The signature of a SignedData: who made it as far as the message says, and whether it holds.

The rule of this file: a valid signature is never called more than that.  No certificate is trusted
here, since nobody was asked whom to trust.
"""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509

from scepkit.core import algorithms, asn1, cms
from scepkit.core.certificates import CertificateView, view, view_of
from scepkit.core.cms import SignedMessage
from scepkit.core.inspect import parts
from scepkit.core.inspect.envelopes import identifier_text
from scepkit.core.inspect.values import CertificateInfo, Oddity, SignatureInfo
from scepkit.errors import DecodeError, ProtocolError, SignatureError

_OLD_DIGESTS = {
    "md5": ("RFC 8894 2.9", "the message is signed with MD5, which is forbidden"),
    "sha1": ("RFC 8894 7.9", "the message is signed with SHA-1"),
}


def describe(
    message: SignedMessage,
    certificates: tuple[CertificateInfo, ...],
    more: tuple[x509.Certificate, ...],
    odd: list[Oddity],
) -> SignatureInfo:
    """Describe the first signature of a message that has at least one.

    :param certificates: what the message has.
    :param more: certificates from elsewhere that may be the signer's.
    """
    if len(message.signers) > 1:
        odd.append(
            Oddity("A16", f"there are {len(message.signers)} signatures; only the first is shown")
        )
    info = message.signers[0]
    candidates = _views(certificates, more)
    named = [one for one in candidates if _is_named(info, one)]
    digest, algorithm = _algorithms(info, odd)
    state, explanation, signer = _verify(
        replace(message, signers=(info,)), info, candidates, bool(named)
    )
    if state == "valid" and not named:
        odd.append(
            Oddity("Q53", "the signature names another certificate than the one that made it")
        )
    elif state == "broken":
        odd.append(Oddity("RFC 5652 5.6", explanation))
    elif state == "unverifiable":
        odd.append(Oddity("RFC 8894 2.3", f"the signature cannot be verified: {explanation}"))
    seen = signer or (named[0] if named else None)
    return SignatureInfo(
        digest=digest,
        algorithm=algorithm,
        state=state,
        explanation=explanation,
        signer=parts.certificate_info(seen.der, "the signer's certificate", []) if seen else None,
        signer_id=identifier_text(info.sid),
    )


def _views(
    certificates: tuple[CertificateInfo, ...], more: tuple[x509.Certificate, ...]
) -> list[CertificateView]:
    return [*(view(one.der) for one in certificates), *map(view_of, more)]


def _is_named(info: cms.SignerInfo, certificate: CertificateView) -> bool:
    try:
        return certificate.is_named_by(info.sid)
    except DecodeError:
        return False


def _algorithms(info: cms.SignerInfo, odd: list[Oddity]) -> tuple[str, str]:
    names = []
    for element, what in (
        (info.digest_algorithm, "digest algorithm"),
        (info.signature_algorithm, "signature algorithm"),
    ):
        try:
            names.append(asn1.split_algorithm(element, what)[0])
        except DecodeError as exc:
            odd.append(Oddity("RFC 5652 10.1", str(exc)))
            names.append("unreadable")
    digest, signature = algorithms.oid_name(names[0]), parts.algorithm_text(names[1])
    if digest in _OLD_DIGESTS:
        odd.append(Oddity(*_OLD_DIGESTS[digest]))
    if names[1] in algorithms.RSA_SIGNATURES:
        odd.append(
            Oddity(
                "RFC 3370 3.2",
                f"the signatureAlgorithm is {signature}; strongSwan reads rsaEncryption only",
            )
        )
    return digest, signature


def _verify(
    message: SignedMessage,
    info: cms.SignerInfo,
    candidates: list[CertificateView],
    named: bool,
) -> tuple[str, str, CertificateView | None]:
    try:
        return "valid", "", cms.verify(message, candidates, allow_legacy=True).signer
    except SignatureError as exc:
        # cms.verify names the signer only when the content is intact and no key fits.
        if exc.signer and not named:
            return "unverifiable", f"there is no certificate of {identifier_text(info.sid)}", None
        return "broken", str(exc), None
    except ProtocolError as exc:
        return "unverifiable", str(exc), None
