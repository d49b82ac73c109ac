"""What is odd in a pkiMessage as a whole: its parts are fine, but not together."""

from __future__ import annotations

from scepkit.core.inspect.values import (
    CertificateInfo,
    CsrInfo,
    Inspection,
    Oddity,
    ScepAttributes,
)
from scepkit.core.messages import MessageType, PkiStatus

_EXPECTED_DATA = {
    MessageType.CERT_REP: "certs-only SignedData",
    MessageType.PKCS_REQ: "CertificationRequest",
    MessageType.RENEWAL_REQ: "CertificationRequest",
    MessageType.CERT_POLL: "IssuerAndSubject",
    MessageType.GET_CERT: "IssuerAndSerialNumber",
    MessageType.GET_CRL: "IssuerAndSerialNumber",
}


def check_message(
    message: Inspection, attributes: ScepAttributes, has_content: bool, odd: list[Oddity]
) -> None:
    """Compare the layers of a pkiMessage with its attributes and with each other.

    :param has_content: whether the signed content is more than empty, readable or not.
    """
    inner = message.content
    if inner is not None and inner.kind != "EnvelopedData":
        odd.append(Oddity("RFC 8894 3.1", f"the content is not encrypted: it is a {inner.kind}"))
    _check_presence(attributes, has_content, odd)
    data = inner.content if inner is not None and inner.kind == "EnvelopedData" else inner
    kind = _type_of(attributes)
    if data is not None and kind is not None:
        expected = _EXPECTED_DATA[kind]
        if data.kind != expected:
            odd.append(
                Oddity(
                    "RFC 8894 3.2.2",
                    f"the messageData of a {kind.rfc_name} is a {data.kind}, expected {expected}",
                )
            )
        if kind is MessageType.CERT_REP:
            _check_order(data.certificates, odd)
    signer = message.signature.signer if message.signature else None
    if kind is not MessageType.CERT_REP:
        _check_requester(kind, signer, data.csr if data is not None else None, odd)


def _type_of(attributes: ScepAttributes) -> MessageType | None:
    number = attributes.message_type.number if attributes.message_type else None
    return MessageType(number) if number in set(MessageType) else None


def _check_presence(attributes: ScepAttributes, has_content: bool, odd: list[Oddity]) -> None:
    status = attributes.pki_status
    if _type_of(attributes) is not MessageType.CERT_REP:
        if not has_content:
            odd.append(Oddity("RFC 8894 3.2", "the request has no pkcsPKIEnvelope"))
    elif status is not None and status.number == PkiStatus.SUCCESS and not has_content:
        odd.append(
            Oddity("RFC 8894 3.3.2.1", "the pkiStatus is SUCCESS, but there is no pkcsPKIEnvelope")
        )
    elif status is not None and status.number != PkiStatus.SUCCESS and has_content:
        odd.append(
            Oddity(
                "RFC 8894 3.2", f"the pkiStatus is {status.name}, but there is a pkcsPKIEnvelope"
            )
        )


def _check_order(certificates: tuple[CertificateInfo, ...], odd: list[Oddity]) -> None:
    if certificates and any(
        one.issuer == certificates[0].subject and not one.self_issued for one in certificates[1:]
    ):
        odd.append(Oddity("Q57", "the issued certificate is not the first one in the reply"))


def _check_requester(
    kind: MessageType | None,
    signer: CertificateInfo | None,
    csr: CsrInfo | None,
    odd: list[Oddity],
) -> None:
    if signer is not None:
        if kind is MessageType.RENEWAL_REQ and signer.self_issued:
            odd.append(
                Oddity("RFC 8894 2.4", "the RenewalReq is signed with a self-signed certificate")
            )
        if "digitalSignature" not in signer.key_usage:
            odd.append(
                Oddity("RFC 8894 2.3", "the signer's certificate has no keyUsage digitalSignature")
            )
    if csr is None:
        return
    if kind is MessageType.PKCS_REQ and csr.challenge_password != "present":  # noqa: S105
        odd.append(Oddity("RFC 8894 2.4", f"the challengePassword is {csr.challenge_password}"))
    if kind is MessageType.PKCS_REQ and signer is not None and signer.self_issued:
        if signer.spki != csr.spki:
            odd.append(
                Oddity(
                    "RFC 8894 2.3",
                    "the self-signed certificate has another key than the PKCS#10 request (A1)",
                )
            )
        elif signer.subject != csr.subject:
            odd.append(
                Oddity(
                    "Q04",
                    "the self-signed certificate has another subject than the PKCS#10 request",
                )
            )
