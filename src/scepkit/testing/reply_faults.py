"""Faults of the CertRep: each one is a few changes to a draft.

The rule of this file: a fault changes the one thing it is named after, so that a client that
refuses the reply refuses it for that.  Faults of SUCCESS leave other replies alone.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CaIssuer, CertificateTemplate
from scepkit.core import asn1
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import public_key_der
from scepkit.core.messages import (
    ID_FAIL_INFO,
    ID_FAIL_INFO_TEXT,
    ID_MESSAGE_TYPE,
    ID_PKI_STATUS,
    ID_RECIPIENT_NONCE,
    ID_SENDER_NONCE,
    ID_SIGNING_TIME,
    ID_TRANSACTION_ID,
    CertRep,
    Failure,
    MessageType,
    PkiStatus,
    Request,
    StillPending,
    Success,
    new_nonce,
)
from scepkit.core.strings import printable_or_utf8, text_value
from scepkit.testing import credentials
from scepkit.testing.credentials import Credentials, der, impostor_key
from scepkit.testing.faults import Fault
from scepkit.testing.forge import Draft, Recipient

_RANDOM_NONCE = "1.2.840.113549.1.9.25.3"
_DAY = timedelta(days=1)
# A device that was set to local time instead of UTC, in Japan.
_AHEAD = timedelta(hours=9)
_SCEP_ATTRIBUTES = (
    ID_MESSAGE_TYPE,
    ID_PKI_STATUS,
    ID_FAIL_INFO,
    ID_SENDER_NONCE,
    ID_RECIPIENT_NONCE,
    ID_TRANSACTION_ID,
)


@dataclass(frozen=True, slots=True)
class Scene:
    """What a fault may look at.

    Attributes:
        credentials: the CA's.
        request: what is answered.
        now: the time (aware).
        template: what the issued certificate was made from; None when none was issued.
    """

    credentials: Credentials
    request: Request
    now: datetime
    template: CertificateTemplate | None


def draft_of(
    reply: CertRep,
    scene: Scene,
    *,
    cipher: Cipher,
    digest: Digest,
    key_transport: KeyTransport,
    recipient: Recipient | None,
) -> Draft:
    """The right answer, in pieces."""
    signed = [
        (ID_MESSAGE_TYPE, _number(MessageType.CERT_REP)),
        (ID_TRANSACTION_ID, printable_or_utf8(scene.request.transaction_id)),
        (ID_SENDER_NONCE, asn1.element(0x04, new_nonce())),
        (ID_RECIPIENT_NONCE, asn1.element(0x04, scene.request.sender_nonce)),
        (ID_SIGNING_TIME, asn1.signing_time(scene.now)),
    ]
    signer = scene.credentials.signer
    draft = Draft(
        signed=signed,
        recipient=recipient,
        signer=signer,
        digest=digest,
        cipher=cipher,
        key_transport=key_transport,
        sent_certificates=[signer.certificate.der, *signer.chain],
    )
    match reply:
        case Success(certificates, crls):
            signed.append((ID_PKI_STATUS, _number(PkiStatus.SUCCESS)))
            draft.certificates, draft.crls = list(certificates), list(crls)
            draft.has_envelope = True
        case Failure(fail_info, text):
            signed.append((ID_PKI_STATUS, _number(PkiStatus.FAILURE)))
            signed.append((ID_FAIL_INFO, _number(fail_info or 0)))
            if text:
                signed.append((ID_FAIL_INFO_TEXT, asn1.element(0x0C, text.encode())))
        case StillPending():
            signed.append((ID_PKI_STATUS, _number(PkiStatus.PENDING)))
    return draft


def _number(value: int) -> bytes:
    return asn1.element(0x13, str(int(value)).encode("ascii"))


# ------------------------------------------------------------------ who signs


def _unsigned(draft: Draft, scene: Scene) -> None:
    draft.signer = None


def _broken(draft: Draft, scene: Scene) -> None:
    draft.break_signature = True


def _broken_without_certificates(draft: Draft, scene: Scene) -> None:
    draft.break_signature = True
    draft.sent_certificates = []


def _without_certificates(draft: Draft, scene: Scene) -> None:
    draft.sent_certificates = []


def _signed_by_stranger(draft: Draft, scene: Scene) -> None:
    other = credentials.stranger(scene.credentials.issuer, scene.now)
    draft.signer = credentials.as_signer(other)
    draft.sent_certificates = [der(other.certificate)]


def _signed_by_expired_ra(draft: Draft, scene: Scene) -> None:
    draft.signer = credentials.expired_ra(scene.credentials.issuer, scene.now)
    draft.sent_certificates = [draft.signer.certificate.der]


def _signed_by_device(draft: Draft, scene: Scene) -> None:
    draft.signer = credentials.device(scene.credentials.issuer, scene.now)
    draft.sent_certificates = [
        draft.signer.certificate.der,
        *map(der, scene.credentials.issuer.bundle),
    ]


def _signed_by_copycat(draft: Draft, scene: Scene) -> None:
    draft.signer = credentials.copycat(scene.credentials.signer, scene.now)
    draft.sent_certificates = [draft.signer.certificate.der]


def _two_signers(draft: Draft, scene: Scene) -> None:
    other = credentials.stranger(scene.credentials.issuer, scene.now)
    draft.second_signer = credentials.as_signer(other)
    draft.sent_certificates.append(der(other.certificate))


def _attributes_only_unsigned(draft: Draft, scene: Scene) -> None:
    draft.unsigned = [pair for pair in draft.signed if pair[0] in _SCEP_ATTRIBUTES]
    draft.signed = [pair for pair in draft.signed if pair[0] not in _SCEP_ATTRIBUTES]


def _md5(draft: Draft, scene: Scene) -> None:
    draft.digest = Digest.MD5


# ------------------------------------------------------------------ attributes


def _changed(oid: str, value: bytes) -> Callable[[Draft, Scene], None]:
    def change(draft: Draft, scene: Scene) -> None:
        draft.replace(oid, value)

    return change


def _removed(oid: str) -> Callable[[Draft, Scene], None]:
    def remove(draft: Draft, scene: Scene) -> None:
        draft.remove(oid)

    return remove


def _other_nonce(draft: Draft, scene: Scene) -> None:
    draft.replace(ID_RECIPIENT_NONCE, asn1.element(0x04, new_nonce()))


def _copied_nonce(draft: Draft, scene: Scene) -> None:
    draft.replace(ID_SENDER_NONCE, asn1.element(0x04, scene.request.sender_nonce))


def _other_transaction(draft: Draft, scene: Scene) -> None:
    draft.replace(ID_TRANSACTION_ID, printable_or_utf8(secrets.token_hex(16)))


def _status_twice(draft: Draft, scene: Scene) -> None:
    draft.signed.append((ID_PKI_STATUS, _number(PkiStatus.FAILURE)))


def _unknown_attributes(draft: Draft, scene: Scene) -> None:
    draft.signed.append((_RANDOM_NONCE, asn1.element(0x04, new_nonce())))
    draft.signed.append(("1.3.6.1.4.1.99999.1", asn1.element(0x0C, b"whatever")))


def _as_utf8(draft: Draft, scene: Scene) -> None:
    for oid in (ID_MESSAGE_TYPE, ID_PKI_STATUS, ID_TRANSACTION_ID, ID_FAIL_INFO):
        value = draft.value(oid)
        if value is not None:
            draft.replace(oid, asn1.element(0x0C, text_value(value, "attribute").encode()))


def _unsorted(draft: Draft, scene: Scene) -> None:
    draft.sort_attributes = False


# ------------------------------------------------------------------ content


def _without_envelope(draft: Draft, scene: Scene) -> None:
    draft.has_envelope = False


def _without_content(draft: Draft, scene: Scene) -> None:
    draft.certificates = []


def _ber(draft: Draft, scene: Scene) -> None:
    draft.ber = True


def _oaep(draft: Draft, scene: Scene) -> None:
    draft.key_transport = KeyTransport.RSA_OAEP_SHA256


def _des(draft: Draft, scene: Scene) -> None:
    draft.cipher = Cipher.DES_CBC


def _gcm(draft: Draft, scene: Scene) -> None:
    draft.cipher = "aes128-gcm"


def _leaf_last(draft: Draft, scene: Scene) -> None:
    draft.certificates = [*map(der, scene.credentials.issuer.bundle), *draft.certificates]


def _chain_too(draft: Draft, scene: Scene) -> None:
    draft.certificates += map(der, scene.credentials.issuer.bundle)


def _reissue(draft: Draft, template: CertificateTemplate, issuer: CaIssuer, now: datetime) -> None:
    certificate = issuer.issue(template, x509.random_serial_number(), now)
    draft.certificates = [der(certificate)]


def _for_other_key(draft: Draft, scene: Scene) -> None:
    if scene.template is not None:
        other = impostor_key(scene.template.public_key)
        template = replace(scene.template, spki=public_key_der(other.public_key()))
        _reissue(draft, template, scene.credentials.issuer, scene.now)


def _by_other_ca(draft: Draft, scene: Scene) -> None:
    if scene.template is not None:
        other = credentials.stranger(scene.credentials.issuer, scene.now)
        _reissue(draft, scene.template, other, scene.now)


def _other_subject(draft: Draft, scene: Scene) -> None:
    if scene.template is not None:
        name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "somebody else")])
        template = replace(scene.template, subject_der=name.public_bytes())
        _reissue(draft, template, scene.credentials.issuer, scene.now)


def _in_the_future(draft: Draft, scene: Scene) -> None:
    if scene.template is not None:
        template = replace(scene.template, backdate=timedelta())
        _reissue(draft, template, scene.credentials.issuer, scene.now + 2 * _DAY)


def _ahead(draft: Draft, scene: Scene) -> None:
    later = scene.now + _AHEAD
    draft.replace(ID_SIGNING_TIME, asn1.signing_time(later))
    if scene.template is not None:
        template = replace(scene.template, backdate=timedelta())
        _reissue(draft, template, scene.credentials.issuer, later)


def _expired(draft: Draft, scene: Scene) -> None:
    if scene.template is not None:
        template = replace(scene.template, validity=_DAY, backdate=_DAY)
        _reissue(draft, template, scene.credentials.issuer, scene.now - 2 * _DAY)


# ------------------------------------------------------------------ FAILURE and queries


def _empty_content(draft: Draft, scene: Scene) -> None:
    draft.raw_content = b""


def _without_crl(draft: Draft, scene: Scene) -> None:
    draft.crls = []


def _crl_by_namesake(draft: Draft, scene: Scene) -> None:
    if draft.crls:
        other = credentials.namesake(scene.credentials.issuer, scene.now)
        crl = other.make_crl([], 1, scene.now)
        draft.crls = [crl.public_bytes(Encoding.DER)]


def _crl_of_changes(draft: Draft, scene: Scene) -> None:
    issuer = scene.credentials.issuer
    if draft.crls and isinstance(issuer.key, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
        builder = (
            x509.CertificateRevocationListBuilder()
            .issuer_name(issuer.certificate.subject)
            .last_update(scene.now)
            .next_update(scene.now + _DAY)
            .add_extension(x509.DeltaCRLIndicator(1), critical=True)
        )
        crl = builder.sign(issuer.key, hashes.SHA256())
        draft.crls = [crl.public_bytes(Encoding.DER)]


def _old_crl(draft: Draft, scene: Scene) -> None:
    if draft.crls:
        crl = scene.credentials.issuer.make_crl([], 1, scene.now - 2 * _DAY, _DAY)
        draft.crls = [crl.public_bytes(Encoding.DER)]


def _other_certificate(draft: Draft, scene: Scene) -> None:
    if draft.certificates and scene.request.message_type is MessageType.GET_CERT:
        other = credentials.device(scene.credentials.issuer, scene.now)
        draft.certificates = [other.certificate.der]


#: What each fault does to the draft.
REPLY_FAULTS: dict[Fault, Callable[[Draft, Scene], None]] = {
    Fault.REPLY_UNSIGNED: _unsigned,
    Fault.SIGNATURE_BROKEN: _broken,
    Fault.SIGNATURE_BROKEN_AND_NO_CERTIFICATES: _broken_without_certificates,
    Fault.NO_CERTIFICATES: _without_certificates,
    Fault.SIGNER_UNKNOWN: _signed_by_stranger,
    Fault.SIGNER_EXPIRED: _signed_by_expired_ra,
    Fault.SIGNER_IS_END_ENTITY: _signed_by_device,
    Fault.SIGNER_IS_OFFERED_DEVICE: _signed_by_device,
    Fault.SIGNER_COPIES_ISSUER_AND_SERIAL: _signed_by_copycat,
    Fault.TWO_SIGNERS: _two_signers,
    Fault.ATTRIBUTES_ONLY_UNSIGNED: _attributes_only_unsigned,
    Fault.ATTRIBUTE_TWICE: _status_twice,
    Fault.RECIPIENT_NONCE_WRONG: _other_nonce,
    Fault.NONCE_MISSING: _removed(ID_RECIPIENT_NONCE),
    Fault.NONCE_EMPTY: _changed(ID_RECIPIENT_NONCE, asn1.element(0x04)),
    Fault.TRANSACTION_ID_WRONG: _other_transaction,
    Fault.TRANSACTION_ID_MISSING: _removed(ID_TRANSACTION_ID),
    Fault.MESSAGE_TYPE_WRONG: _changed(ID_MESSAGE_TYPE, _number(MessageType.PKCS_REQ)),
    Fault.MESSAGE_TYPE_MISSING: _removed(ID_MESSAGE_TYPE),
    Fault.SENDER_NONCE_MISSING: _removed(ID_SENDER_NONCE),
    Fault.SENDER_NONCE_COPIED: _copied_nonce,
    Fault.PKI_STATUS_MISSING: _removed(ID_PKI_STATUS),
    Fault.PKI_STATUS_1: _changed(ID_PKI_STATUS, _number(1)),
    Fault.SUCCESS_WITHOUT_ENVELOPE: _without_envelope,
    Fault.SUCCESS_WITHOUT_CERTIFICATES: _without_content,
    Fault.EXTRA_ATTRIBUTES: _unknown_attributes,
    Fault.ATTRIBUTES_AS_UTF8: _as_utf8,
    Fault.ATTRIBUTES_UNSORTED: _unsorted,
    Fault.BER_REPLY: _ber,
    Fault.OAEP_REPLY: _oaep,
    Fault.DES_REPLY: _des,
    Fault.MD5_REPLY: _md5,
    Fault.GCM_REPLY: _gcm,
    Fault.ISSUED_FOR_OTHER_KEY: _for_other_key,
    Fault.ISSUED_BY_OTHER_CA: _by_other_ca,
    Fault.ISSUED_OTHER_SUBJECT: _other_subject,
    Fault.ISSUED_IN_THE_FUTURE: _in_the_future,
    Fault.ISSUED_EXPIRED: _expired,
    Fault.CLOCK_AHEAD: _ahead,
    Fault.LEAF_LAST: _leaf_last,
    Fault.CHAIN_IN_REPLY: _chain_too,
    Fault.EMPTY_ECONTENT_IN_FAILURE: _empty_content,
    Fault.FAILURE_WITHOUT_FAIL_INFO: _removed(ID_FAIL_INFO),
    Fault.FAIL_INFO_7: _changed(ID_FAIL_INFO, _number(7)),
    Fault.CRL_MISSING: _without_crl,
    Fault.CRL_BY_OTHER_CA: _crl_by_namesake,
    Fault.CRL_DELTA: _crl_of_changes,
    Fault.CRL_OUT_OF_DATE: _old_crl,
    Fault.OTHER_CERTIFICATE: _other_certificate,
}
