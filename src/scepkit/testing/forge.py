"""CertReps of any kind, right or wrong.

`core.messages.seal_reply` can only make what RFC 8894 allows.  A `Draft` holds a reply in pieces
before it is encrypted and signed; whoever changes the pieces gets the reply he deserves.

The rule of this file: `Draft.build` does what the fields say and checks nothing.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.ciphers import Cipher as CipherContext
from cryptography.hazmat.primitives.ciphers import modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from scepkit.core import asn1, cms, envelope
from scepkit.core.algorithms import (
    ECDSA_OIDS,
    OID_ED25519,
    OID_RSA_ENCRYPTION,
    Cipher,
    Digest,
    KeyTransport,
)
from scepkit.core.certificates import CertificateView, PrivateKey
from scepkit.core.envelope import Password
from scepkit.errors import InputError

_OID_AES128_GCM = "2.16.840.1.101.3.4.1.6"

Recipient = CertificateView | Password


@dataclass(slots=True)
class Draft:
    """A CertRep in pieces; encoded values are DER.

    Attributes:
        signed: the signed attributes besides contentType and messageDigest, as (OID, value).
        unsigned: the unsigned attributes.
        certificates: what SUCCESS brings, in this order.
        crls: the same.
        has_envelope: whether there is a pkcsPKIEnvelope at all.
        raw_content: eContent as it is, instead of a pkcsPKIEnvelope.
        recipient: whom the content is encrypted to.
        cipher: a `Cipher`, single DES included, or "aes128-gcm".
        key_transport: how an RSA recipient gets the content key.
        digest: what is signed with; MD5 included.
        signer: whose name and key sign; None for no signature at all.
        second_signer: somebody who signs too.
        sent_certificates: what stands in SignedData.certificates.
        break_signature: flip a bit of the signature.
        sort_attributes: DER's order; otherwise its reverse.
        ber: indefinite lengths, and strings in pieces.
    """

    signed: list[tuple[str, bytes]]
    recipient: Recipient | None
    signer: cms.Signer | None
    digest: Digest
    cipher: Cipher | str
    key_transport: KeyTransport
    sent_certificates: list[bytes]
    unsigned: list[tuple[str, bytes]] = field(default_factory=list)
    certificates: list[bytes] = field(default_factory=list)
    crls: list[bytes] = field(default_factory=list)
    has_envelope: bool = False
    raw_content: bytes | None = None
    second_signer: cms.Signer | None = None
    break_signature: bool = False
    sort_attributes: bool = True
    ber: bool = False

    def value(self, oid: str) -> bytes | None:
        """The first signed attribute with this OID."""
        return next((value for name, value in self.signed if name == oid), None)

    def replace(self, oid: str, value: bytes) -> None:
        """Give the signed attribute with this OID another value."""
        self.signed = [(name, value if name == oid else old) for name, old in self.signed]

    def remove(self, oid: str) -> None:
        """Leave the signed attribute with this OID out."""
        self.signed = [(name, value) for name, value in self.signed if name != oid]

    def build(self) -> bytes:
        """The whole message."""
        content = self.raw_content
        if content is None and self.has_envelope:
            content = self.encrypted(cms.certs_only(self.certificates, self.crls))
        infos = [
            self._signer_info(signer, content)
            for signer in (self.signer, self.second_signer)
            if signer is not None
        ]
        e_content = b"" if content is None else self._wrap(0xA0, self._octets(content))
        signed_data = self._wrap(
            0x30,
            asn1.integer(1),
            asn1.element(0x31, _digest_algorithm(self.digest) if infos else b""),
            self._wrap(0x30, asn1.oid_der(cms.ID_DATA), e_content),
            asn1.element(0xA0, *self.sent_certificates) if self.sent_certificates else b"",
            asn1.element(0x31, *sorted(infos)),
        )
        return self._wrap(0x30, asn1.oid_der(cms.ID_SIGNED_DATA), self._wrap(0xA0, signed_data))

    def _wrap(self, tag: int, *parts: bytes) -> bytes:
        if self.ber:
            return bytes((tag, 0x80)) + b"".join(parts) + b"\x00\x00"
        return asn1.element(tag, *parts)

    def _octets(self, content: bytes) -> bytes:
        if not self.ber:
            return asn1.element(0x04, content)
        return self._wrap(0x24, *_pieces(content))

    def _signer_info(self, signer: cms.Signer, content: bytes | None) -> bytes:
        attributes = [
            _attribute(cms.ID_CONTENT_TYPE, asn1.oid_der(cms.ID_DATA)),
            _attribute(cms.ID_MESSAGE_DIGEST, asn1.element(0x04, self.digest.of(content or b""))),
            *(_attribute(oid, value) for oid, value in self.signed),
        ]
        attributes.sort(reverse=not self.sort_attributes)
        algorithm, signature = _sign(signer.key, asn1.element(0x31, *attributes), self.digest)
        if self.break_signature:
            signature = signature[:-1] + bytes((signature[-1] ^ 1,))
        return asn1.element(
            0x30,
            asn1.integer(1),
            asn1.issuer_and_serial(signer.certificate.issuer, signer.certificate.serial_number),
            _digest_algorithm(self.digest),
            asn1.element(0xA0, *attributes),
            algorithm,
            asn1.element(0x04, signature),
            asn1.element(0xA1, *(_attribute(*pair) for pair in self.unsigned))
            if self.unsigned
            else b"",
        )

    def encrypted(self, content: bytes) -> bytes:
        """A pkcsPKIEnvelope around something.

        :raises InputError: it cannot be made for this recipient.
        """
        if self.recipient is None:
            raise InputError("there is nobody to encrypt to")
        if isinstance(self.cipher, Cipher) and not self.cipher.legacy and not self.ber:
            return envelope.encrypt(content, self.recipient, self.cipher, self.key_transport)
        return self._odd_envelope(content)

    def _odd_envelope(self, plain: bytes) -> bytes:
        """What `envelope.encrypt` does not write: single DES, GCM, BER; for RSA keys only."""
        if isinstance(self.recipient, Password) or self.recipient is None:
            raise InputError("this fault needs a requester with an RSA key")
        public_key = self.recipient.public_key()
        if not isinstance(public_key, rsa.RSAPublicKey):
            raise InputError("this fault needs a requester with an RSA key")
        key, algorithm, ciphertext = _encrypt(self.cipher, plain)
        transport = asn1.algorithm(OID_RSA_ENCRYPTION, asn1.NULL)
        recipient = asn1.element(
            0x30,
            asn1.integer(0),
            asn1.issuer_and_serial(self.recipient.issuer, self.recipient.serial_number),
            transport,
            asn1.element(0x04, public_key.encrypt(key, rsa_padding.PKCS1v15())),
        )
        encrypted = (
            self._wrap(0xA0, *_pieces(ciphertext)) if self.ber else asn1.element(0x80, ciphertext)
        )
        enveloped = self._wrap(
            0x30,
            asn1.integer(0),
            asn1.element(0x31, recipient),
            self._wrap(0x30, asn1.oid_der(cms.ID_DATA), algorithm, encrypted),
        )
        return self._wrap(0x30, asn1.oid_der(cms.ID_ENVELOPED_DATA), self._wrap(0xA0, enveloped))


def _pieces(content: bytes, size: int = 1000) -> list[bytes]:
    return [
        asn1.element(0x04, content[start : start + size]) for start in range(0, len(content), size)
    ]


def _attribute(oid: str, value: bytes) -> bytes:
    return asn1.element(0x30, asn1.oid_der(oid), asn1.element(0x31, value))


def _digest_algorithm(digest: Digest) -> bytes:
    return asn1.algorithm(digest.oid, asn1.NULL)


def _sign(key: PrivateKey, data: bytes, digest: Digest) -> tuple[bytes, bytes]:
    match key:
        case rsa.RSAPrivateKey():
            signature = key.sign(data, rsa_padding.PKCS1v15(), digest.hash())
            return asn1.algorithm(OID_RSA_ENCRYPTION, asn1.NULL), signature
        case ec.EllipticCurvePrivateKey():
            if digest not in ECDSA_OIDS:
                raise InputError("there is no ECDSA with MD5; this fault needs an RSA signer")
            return asn1.algorithm(ECDSA_OIDS[digest]), key.sign(data, ec.ECDSA(digest.hash()))
        case _:
            return asn1.algorithm(OID_ED25519), key.sign(data)


def _encrypt(cipher: Cipher | str, data: bytes) -> tuple[bytes, bytes, bytes]:
    """Encrypt under a new key: the key, the AlgorithmIdentifier, the ciphertext."""
    if not isinstance(cipher, Cipher):
        key, nonce = secrets.token_bytes(16), secrets.token_bytes(12)
        parameters = asn1.element(0x30, asn1.element(0x04, nonce), asn1.integer(16))
        algorithm = asn1.element(0x30, asn1.oid_der(_OID_AES128_GCM), parameters)
        return key, algorithm, AESGCM(key).encrypt(nonce, data, None)
    key = secrets.token_bytes(cipher.key_bytes)
    iv = secrets.token_bytes(cipher.block_bytes)
    padder = padding.PKCS7(cipher.block_bytes * 8).padder()
    padded = padder.update(data) + padder.finalize()
    context = CipherContext(_block_cipher(cipher, key), modes.CBC(iv)).encryptor()
    algorithm = asn1.element(0x30, asn1.oid_der(cipher.oid), asn1.element(0x04, iv))
    return key, algorithm, context.update(padded) + context.finalize()


def _block_cipher(cipher: Cipher, key: bytes) -> TripleDES | AES:
    # Single DES is EDE with one key three times.
    if cipher is Cipher.DES_CBC:
        return TripleDES(key * 3)
    return TripleDES(key) if cipher is Cipher.DES_EDE3_CBC else AES(key)
