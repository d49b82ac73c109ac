"""One CA, one device, and what they say to each other, for the tests of `messages` and `flows`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import cms, messages
from scepkit.core.certificates import CertificateView, view_of
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    Failure,
    GetCert,
    GetCrl,
    MessageData,
    PkcsReq,
    Protection,
    RenewalReq,
    Request,
    StillPending,
    Success,
)
from scepkit.errors import FailInfo
from tests import cms_writer as w
from tests import pki
from tests.pki import Identity

CA = pki.root()
#: A requester's self-signed certificate, and one the CA has issued.
DEVICE = pki.self_signed()
ISSUED = pki.device(CA)
EC_CA = pki.root("ec256-a", "Test EC CA")
EC_DEVICE = pki.self_signed("ec-device", "ec256-b")

ID = "7XXEY-ERLPU-2JDR9"
NONCE = bytes(range(16))
SECRET = Password(b"a challenge")
CSR = b"\x30\x03\x02\x01\x05"
ASKING = PkcsReq(CSR)
USUAL = Protection()
CA_NAME, DEVICE_NAME = CA.name.public_bytes(), DEVICE.name.public_bytes()


def crl_of(
    ca: Identity,
    last_update: datetime = pki.NOW,
    revoked: Sequence[int] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> bytes:
    """A CRL, valid for a day."""
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(ca.name)
        .last_update(last_update)
        .next_update(last_update + timedelta(days=1))
    )
    for serial in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(pki.NOW)
        builder = builder.add_revoked_certificate(entry.build())
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(ca.key, hashes.SHA256()).public_bytes(Encoding.DER)


#: A request of every kind, and a reply of every kind.
DATA: list[MessageData] = [
    PkcsReq(CSR),
    RenewalReq(CSR),
    CertPoll(CA_NAME, DEVICE_NAME),
    GetCert(CA_NAME, 2**64 + 1),
    GetCrl(CA_NAME, 7),
]
REPLIES: list[CertRep] = [
    Success((ISSUED.der, CA.der)),
    Success((), (crl_of(CA),)),
    Success(),
    Failure(FailInfo.BAD_ALG),
    Failure(FailInfo.BAD_REQUEST, "unknown challenge: ä€"),
    Failure(12),
    StillPending(),
]


def signer(identity: Identity) -> cms.Signer:
    return cms.Signer(view_of(identity.certificate), identity.key)


def key_of(identity: Identity) -> DecryptionKey:
    return DecryptionKey(view_of(identity.certificate), identity.key)


def seen(identity: Identity) -> CertificateView:
    return view_of(identity.certificate)


def encode(
    data: MessageData = ASKING,
    *,
    requester: Identity = DEVICE,
    recipient: CertificateView | Password | None = None,
    protection: Protection = USUAL,
    transaction_id: str = ID,
    sender_nonce: bytes = NONCE,
) -> bytes:
    """A request to CA."""
    return messages.encode_request(
        data,
        transaction_id=transaction_id,
        sender_nonce=sender_nonce,
        signer=signer(requester),
        recipient=recipient or seen(CA),
        protection=protection,
        signing_time=pki.NOW,
    )


def request(**changes: Any) -> Request:
    """A request, as the CA has read it."""
    return messages.read_request(encode(**changes))


def seal(
    reply: CertRep,
    *,
    to: Request | None = None,
    by: Identity = CA,
    protection: Protection = USUAL,
    recipient: CertificateView | Password | None = None,
    empty_content: bool = False,
) -> bytes:
    """The CertRep of CA."""
    return messages.seal_reply(
        reply,
        to or request(),
        signer=signer(by),
        protection=protection,
        signing_time=pki.NOW,
        recipient=recipient,
        empty_content=empty_content,
    )


def open_reply(
    body: bytes,
    *,
    transaction_id: str = ID,
    sender_nonce: bytes = NONCE,
    signers: Iterable[Identity] = (CA,),
    decrypt_with: DecryptionKey | Password | None = None,
    allow_legacy: bool = False,
) -> CertRep:
    """What DEVICE makes of a reply."""
    return messages.open_reply(
        body,
        transaction_id=transaction_id,
        sender_nonce=sender_nonce,
        signers=[seen(one) for one in signers],
        decrypt_with=decrypt_with or key_of(DEVICE),
        allow_legacy=allow_legacy,
    )


def attributes(status: str, content: bytes | None = None) -> dict[str, bytes]:
    """The signed attributes of a CertRep that answers `encode`, by name."""
    return w.reply_attributes(ID, NONCE, status=status, content=content)


def written(
    signed: dict[str, bytes], content: bytes | None = None, *, by: Identity = CA, **changes: Any
) -> bytes:
    """A CertRep with these signed attributes."""
    return w.signed_data(content, [w.signer_info(by, signed.values(), **changes)], [by.der])
