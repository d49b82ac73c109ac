"""Requests that scepkit's client does not send: forbidden algorithms, other structures."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.ciphers import Cipher, modes

from scepkit.core import messages
from scepkit.core.envelope import DecryptionKey
from tests import cms_writer as w
from tests import pki
from tests.server.service.world import Device, Message

DES_CBC = "1.3.14.3.2.7"


def identity_of(device: Device) -> pki.Identity:
    """A device as `cms_writer` wants it."""
    from cryptography import x509

    signer = device.signer()
    return pki.Identity(x509.load_der_x509_certificate(signer.certificate.der), device.key)


def sent(
    device: Device,
    content: bytes | None,
    *,
    message_type: str = "19",
    transaction_id: str = "transaction-1",
    change: Callable[[dict[str, bytes]], None] | None = None,
    signer: pki.Identity | None = None,
    certificates: Sequence[bytes] | None = None,
    nonce: bytes | None = None,
    **options: Any,
) -> Message:
    """A message with this pkcsPKIEnvelope, whatever it is.

    :param change: may change the signed attributes.
    """
    who = signer or identity_of(device)
    nonce = messages.new_nonce() if nonce is None else nonce
    attributes = w.request_attributes(message_type, transaction_id, nonce, content=content)
    if change is not None:
        change(attributes)
    info = w.signer_info(who, attributes.values(), **options)
    body = w.signed_data(content, [info], [who.der] if certificates is None else certificates)
    from scepkit.core.certificates import view_of

    return Message(body, transaction_id, nonce, DecryptionKey(view_of(who.certificate), who.key))


def enveloped(
    device: Device,
    content: bytes,
    *,
    cipher_oid: str = w.AES128_CBC,
    key: bytes | None = None,
    encrypted_key: bytes | None = None,
    ciphertext: bytes | None = None,
    iv: bytes | None = None,
) -> bytes:
    """A pkcsPKIEnvelope for the CA of the device's world, with parts replaced."""
    des = cipher_oid == DES_CBC
    key = key or os.urandom(8 if des else 16)
    iv = iv or os.urandom(8 if des else 16)
    if ciphertext is None:
        ciphertext = _cbc(content, key, iv, des=des)
    recipient = device.world.recipient
    public = recipient.public_key()
    if encrypted_key is None:
        encrypted_key = public.encrypt(key, padding.PKCS1v15())  # type: ignore[union-attr]
    from cryptography import x509

    certificate = x509.load_der_x509_certificate(recipient.der)
    info = w.seq(
        w.integer(0),
        w.seq(certificate.issuer.public_bytes(), w.integer(certificate.serial_number)),
        w.algorithm(w.RSA, w.NULL),
        w.octets(encrypted_key),
    )
    encrypted = w.seq(w.oid(w.DATA), w.algorithm(cipher_oid, w.octets(iv)), w.tlv(0x80, ciphertext))
    return w.content_info(w.ENVELOPED_DATA, w.seq(w.integer(0), w.tlv(0x31, info), encrypted))


def _cbc(content: bytes, key: bytes, iv: bytes, *, des: bool) -> bytes:
    from cryptography.hazmat.primitives.ciphers.algorithms import AES

    block = 8 if des else 16
    count = block - len(content) % block
    algorithm = TripleDES(key * 3) if des else AES(key)
    worker = Cipher(algorithm, modes.CBC(iv)).encryptor()
    return worker.update(content + bytes((count,)) * count) + worker.finalize()


def single_des(device: Device, challenge: str) -> Message:
    """A PKCSReq encrypted with single DES, as Debian's scepclient sends it."""
    return sent(device, enveloped(device, device.csr(challenge), cipher_oid=DES_CBC))
