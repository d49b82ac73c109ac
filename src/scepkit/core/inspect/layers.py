"""The layers of a message, one inside the other, from the outermost down to the messageData.

The rule of this file: a layer that can be found is shown, whatever is wrong with it.  Only the
outermost raises, when there is nothing to show; an inner one that cannot be read is an oddity of
the layer around it.
"""

from __future__ import annotations

from dataclasses import replace

from cryptography import x509

from scepkit.core import asn1, cms
from scepkit.core.certificates import PrivateKey
from scepkit.core.inspect import checks, envelopes, parts, signatures
from scepkit.core.inspect.attributes import names_scep, read_attributes
from scepkit.core.inspect.values import CertificateInfo, CrlInfo, Inspection, Oddity, QueryInfo
from scepkit.core.inspect.wrapping import to_der_element
from scepkit.errors import DecodeError, ProtocolError
from scepkit.values import field, frozen

_SEQUENCE, _SET, _INTEGER, _BIT_STRING, _OID = 0x30, 0x31, 0x02, 0x03, 0x06
_CONTEXT_0, _CONTEXT_1 = 0xA0, 0xA1


@frozen
class Secrets:
    """What to decrypt with; any of them may be missing."""

    key: PrivateKey | None = field(default=None, repr=False)
    certificate: x509.Certificate | None = None
    password: bytes | None = field(default=None, repr=False)
    signers: tuple[x509.Certificate, ...] = ()

    @property
    def known(self) -> tuple[x509.Certificate, ...]:
        """The certificates that may have signed what does not hold them."""
        own = () if self.certificate is None else (self.certificate,)
        return (*own, *self.signers)


def read_layer(
    data: bytes, secrets: Secrets, what: str = "message", wrapping: tuple[str, ...] = ()
) -> Inspection:
    """Describe the layer in `data` and all within it.

    :param what: what the oddities call it.
    :raises ProtocolError: it is none that SCEP has, or too broken to be shown.
    """
    odd: list[Oddity] = []
    der, form = to_der_element(data, what, odd)
    found = _layer(der, odd, secrets, what)
    return replace(found, encoding=(*wrapping, form), size=len(data), oddities=tuple(odd))


def _layer(der: bytes, odd: list[Oddity], secrets: Secrets, what: str) -> Inspection:
    if der[0] != _SEQUENCE:
        raise DecodeError(f"this {what} is ASN.1, but no layer of a SCEP message", offset=0)
    match _tags(der):
        case [0x06, 0xA0]:
            return _content_info(der, odd, secrets)
        case [0x30, 0x30, 0x03]:
            return _signed_structure(der, odd)
        case [0x02, 0x31, 0x30, *_, 0x31]:
            odd.append(Oddity("RFC 5652 3", f"the {what} is a SignedData without a ContentInfo"))
            return _signed(asn1.content_info(cms.ID_SIGNED_DATA, der), odd, secrets)
        case [0x02, 0x31, 0x30, *_] | [0x02, 0xA0, 0x31, 0x30, *_]:
            odd.append(
                Oddity("RFC 5652 3", f"the {what} is an EnvelopedData without a ContentInfo")
            )
            return _enveloped(asn1.content_info(cms.ID_ENVELOPED_DATA, der), odd, secrets)
        case [0x30, 0x02]:
            return _issuer_and_serial(der)
        case [0x30, 0x30]:
            return _issuer_and_subject(der)
    raise DecodeError(
        f"this {what} is ASN.1, but no layer of a SCEP message, certificate, request or CRL",
        offset=0,
    )


def _tags(container: bytes) -> list[int]:
    return [element[0] for element in asn1.elements(container, "message")]


def _blank(kind: str) -> Inspection:
    return Inspection(kind=kind, encoding=(), size=0, oddities=())


def _within(
    content: bytes, what: str, code: str, odd: list[Oddity], secrets: Secrets
) -> Inspection | None:
    """The layer in `content`; its oddities go to `odd` too."""
    try:
        found = read_layer(content, secrets, what)
    except ProtocolError as exc:
        odd.append(Oddity(code, f"the {what} cannot be read: {exc}"))
        return None
    odd.extend(found.oddities)
    return found


# ------------------------------------------------------------------ CMS


def _content_info(der: bytes, odd: list[Oddity], secrets: Secrets) -> Inspection:
    oid = asn1.read_with(_content_type, der, "ContentInfo")
    if oid == cms.ID_SIGNED_DATA:
        return _signed(der, odd, secrets)
    if oid == cms.ID_ENVELOPED_DATA:
        return _enveloped(der, odd, secrets)
    kind = cms.content_type_name(oid)
    odd.append(Oddity("RFC 8894 3", f"the content type is {kind}, which SCEP does not have"))
    return _blank(kind)


def _content_type(content_info: bytes) -> str:
    oid, _ = asn1.fields(content_info, asn1.CONTENT_INFO)
    return asn1.oid_text(oid)


def _signed(der: bytes, odd: list[Oddity], secrets: Secrets) -> Inspection:
    message = cms.read_signed(der)
    certificates = _certificates(message.certificates, odd)
    crls = _crls(message.crls, odd)
    if not message.signers:
        if message.content is not None:
            odd.append(
                Oddity("RFC 8894 3.4", "a degenerate SignedData has a content, which it must not")
            )
        return replace(_blank("certs-only SignedData"), certificates=certificates, crls=crls)
    found = replace(
        _blank("SignedData"),
        signature=signatures.describe(message, certificates, secrets.known, odd),
        certificates=certificates,
        crls=crls,
    )
    if message.content == b"":
        odd.append(Oddity("Q45", "the content is there and empty, instead of absent"))
    if any(names_scep(signer) for signer in message.signers):
        return _pki_message(message, found, odd, secrets)
    if message.content:
        inner = _within(message.content, "signed content", "RFC 8894 4.7.1", odd, secrets)
        found = replace(found, content=inner)
    return found


def _pki_message(
    message: cms.SignedMessage, signed: Inspection, odd: list[Oddity], secrets: Secrets
) -> Inspection:
    attributes = read_attributes(message.signers[0], odd)
    found = replace(signed, kind="pkiMessage", attributes=attributes)
    if message.content_type != cms.ID_DATA:
        kind = cms.content_type_name(message.content_type)
        odd.append(Oddity("RFC 8894 3.2", f"the signed content is of the type {kind}, not data"))
    if message.content:
        inner = _within(message.content, "pkcsPKIEnvelope", "RFC 8894 3.2.2", odd, secrets)
        found = replace(found, content=inner)
    checks.check_message(found, attributes, bool(message.content), odd)
    return found


def _enveloped(der: bytes, odd: list[Oddity], secrets: Secrets) -> Inspection:
    info = envelopes.describe(der, odd)
    attempt = envelopes.decrypt(der, secrets.key, secrets.certificate, secrets.password)
    info = replace(info, decryption=attempt.outcome, message_data=attempt.content)
    inner, within = None, list[Oddity]()
    if attempt.content is not None:
        inner = _within(attempt.content, "messageData", "RFC 8894 3.2.2", within, secrets)
    if inner is None and secrets.certificate is not None:
        # What the key did decrypt was meant for it: a first reply names the self-signed certificate
        # of the request, and people give the issued one.
        envelopes.check_recipient(info.recipients, secrets.certificate, odd)
    if attempt.failed:
        odd.append(
            Oddity("RFC 5652 6.3", f"the EnvelopedData was not decrypted: {attempt.outcome}")
        )
    odd += within
    return replace(_blank("EnvelopedData"), envelope=info, content=inner)


# ------------------------------------------------------------------ X.509 and PKCS#10


def _signed_structure(der: bytes, odd: list[Oddity]) -> Inspection:
    tags = _tags(asn1.elements(der, "message")[0])
    match tags:
        case [0x02, 0x30, 0x30] | [0x02, 0x30, 0x30, 0xA0]:
            csr = parts.csr_info(der, odd)
            return replace(_blank("CertificationRequest"), csr=csr)
        case [0x02, 0x30, 0x30, 0x17 | 0x18, *_] | [0x30, 0x30, 0x17 | 0x18, *_]:
            return replace(_blank("CertificateList"), crls=_crls((der,), odd))
        case _:
            return replace(_blank("Certificate"), certificates=_certificates((der,), odd))


def certificate_bundle(
    certificates: tuple[bytes, ...], size: int, wrapping: tuple[str, ...]
) -> Inspection:
    """Describe several certificates that came without anything around them."""
    odd: list[Oddity] = []
    return replace(
        _blank("certificates"),
        certificates=_certificates(certificates, odd),
        encoding=wrapping,
        size=size,
        oddities=tuple(odd),
    )


def _certificates(ders: tuple[bytes, ...], odd: list[Oddity]) -> tuple[CertificateInfo, ...]:
    found = [
        parts.certificate_info(
            der, f"certificate {number}" if len(ders) > 1 else "the certificate", odd
        )
        for number, der in enumerate(ders, 1)
    ]
    return tuple(one for one in found if one is not None)


def _crls(ders: tuple[bytes, ...], odd: list[Oddity]) -> tuple[CrlInfo, ...]:
    found = [parts.crl_info(der, odd) for der in ders]
    return tuple(one for one in found if one is not None)


# ------------------------------------------------------------------ queries


def _issuer_and_serial(der: bytes) -> Inspection:
    issuer, serial = asn1.read(asn1.ISSUER_AND_SERIAL_NUMBER, der, "IssuerAndSerialNumber")
    number = asn1.integer_value(serial, "serial number")
    query = QueryInfo(parts.name_text(issuer), serial_number=f"{number:x}")
    return replace(_blank("IssuerAndSerialNumber"), query=query)


def _issuer_and_subject(der: bytes) -> Inspection:
    issuer, subject = asn1.read(asn1.ISSUER_AND_SUBJECT, der, "IssuerAndSubject")
    query = QueryInfo(parts.name_text(issuer), subject=parts.name_text(subject))
    return replace(_blank("IssuerAndSubject"), query=query)
