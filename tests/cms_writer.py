"""SignedData and EnvelopedData put together field by field, for tests that need odd or wrong ones.

Nothing of scepkit is used: it is what scepkit's reading is held against.  Every signature is right,
whatever it is over, unless a test says otherwise.

    attributes = reply_attributes("id1", b"n" * 16, status="2", content=None)
    attributes["failInfo"] = attribute(FAIL_INFO, printable("2"))
    del attributes["messageType"]
    message = signed_data(None, [signer_info(ca, attributes.values())], [ca.der])
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from tests.ber_writer import header
from tests.pki import Identity

DATA = "1.2.840.113549.1.7.1"
SIGNED_DATA = "1.2.840.113549.1.7.2"
ENVELOPED_DATA = "1.2.840.113549.1.7.3"
CONTENT_TYPE = "1.2.840.113549.1.9.3"
MESSAGE_DIGEST = "1.2.840.113549.1.9.4"
SCEP = "2.16.840.1.113733.1.9."
MESSAGE_TYPE, PKI_STATUS, FAIL_INFO = SCEP + "2", SCEP + "3", SCEP + "4"
SENDER_NONCE, RECIPIENT_NONCE, TRANSACTION_ID = SCEP + "5", SCEP + "6", SCEP + "7"
FAIL_INFO_TEXT = "1.3.6.1.5.5.7.24.1"

NULL = b"\x05\x00"
HASHES: dict[str, tuple[str, hashes.HashAlgorithm]] = {
    "md5": ("1.2.840.113549.2.5", hashes.MD5()),
    "sha1": ("1.3.14.3.2.26", hashes.SHA1()),
    "sha256": ("2.16.840.1.101.3.4.2.1", hashes.SHA256()),
    "sha384": ("2.16.840.1.101.3.4.2.2", hashes.SHA384()),
    "sha512": ("2.16.840.1.101.3.4.2.3", hashes.SHA512()),
}
#: signatureAlgorithm by name; "rsa", "pss" and "ecdsa-..." sign with what they say.
SIGNATURES = {
    "rsa": "1.2.840.113549.1.1.1",
    "md5-rsa": "1.2.840.113549.1.1.4",
    "sha1-rsa": "1.2.840.113549.1.1.5",
    "oiw-sha1-rsa": "1.3.14.3.2.29",
    "sha256-rsa": "1.2.840.113549.1.1.11",
    "sha384-rsa": "1.2.840.113549.1.1.12",
    "sha512-rsa": "1.2.840.113549.1.1.13",
    "pss": "1.2.840.113549.1.1.10",
    "ecdsa-sha1": "1.2.840.10045.4.1",
    "ecdsa-sha256": "1.2.840.10045.4.3.2",
    "ecdsa-sha384": "1.2.840.10045.4.3.3",
    "ecdsa-sha512": "1.2.840.10045.4.3.4",
}
AES128_CBC = "2.16.840.1.101.3.4.1.2"
RSA = "1.2.840.113549.1.1.1"
RSA_OAEP = "1.2.840.113549.1.1.7"
MGF1 = "1.2.840.113549.1.1.8"
P_SPECIFIED = "1.2.840.113549.1.1.9"

# ------------------------------------------------------------------ elements


def tlv(tag: int, *parts: bytes) -> bytes:
    """One DER element."""
    content = b"".join(parts)
    return header(tag, len(content)) + content


def seq(*parts: bytes) -> bytes:
    return tlv(0x30, *parts)


def octets(value: bytes) -> bytes:
    return tlv(0x04, value)


def integer(value: int) -> bytes:
    bits = (value if value >= 0 else ~value).bit_length()
    return tlv(0x02, value.to_bytes(bits // 8 + 1, "big", signed=True))


def printable(text: str) -> bytes:
    """A PrintableString, whatever the text."""
    return tlv(0x13, text.encode("latin-1"))


def oid(dotted: str) -> bytes:
    """An OBJECT IDENTIFIER."""
    first, second, *rest = map(int, dotted.split("."))
    out = b""
    for arc in (40 * first + second, *rest):
        groups = [arc & 0x7F]
        while arc := arc >> 7:
            groups.append(arc & 0x7F | 0x80)
        out += bytes(reversed(groups))
    return tlv(0x06, out)


def algorithm(dotted: str, parameters: bytes = b"") -> bytes:
    return seq(oid(dotted), parameters)


def attribute(dotted: str, *values: bytes) -> bytes:
    return seq(oid(dotted), tlv(0x31, *values))


def issuer_and_serial(identity: Identity) -> bytes:
    certificate = identity.certificate
    return seq(certificate.issuer.public_bytes(), integer(certificate.serial_number))


def content_info(content_type: str, content: bytes) -> bytes:
    return seq(oid(content_type), tlv(0xA0, content))


def digest_of(data: bytes, name: str = "sha256") -> bytes:
    context = hashes.Hash(HASHES[name][1])
    context.update(data)
    return context.finalize()


# ------------------------------------------------------------------ SignedData


def cms_attributes(
    content: bytes | None, digest: str = "sha256", content_type: str = DATA
) -> dict[str, bytes]:
    """contentType and messageDigest, by name."""
    return {
        "contentType": attribute(CONTENT_TYPE, oid(content_type)),
        "messageDigest": attribute(MESSAGE_DIGEST, octets(digest_of(content or b"", digest))),
    }


def reply_attributes(
    transaction_id: str,
    recipient_nonce: bytes,
    *,
    status: str,
    content: bytes | None,
    digest: str = "sha256",
) -> dict[str, bytes]:
    """The signed attributes of a CertRep, by name, to be changed by a test."""
    return {
        **cms_attributes(content, digest),
        "messageType": attribute(MESSAGE_TYPE, printable("3")),
        "transactionID": attribute(TRANSACTION_ID, printable(transaction_id)),
        "senderNonce": attribute(SENDER_NONCE, octets(b"s" * 16)),
        "recipientNonce": attribute(RECIPIENT_NONCE, octets(recipient_nonce)),
        "pkiStatus": attribute(PKI_STATUS, printable(status)),
    }


def request_attributes(
    message_type: str, transaction_id: str, sender_nonce: bytes, *, content: bytes | None
) -> dict[str, bytes]:
    """The signed attributes of a request, by name, to be changed by a test."""
    return {
        **cms_attributes(content),
        "messageType": attribute(MESSAGE_TYPE, printable(message_type)),
        "transactionID": attribute(TRANSACTION_ID, printable(transaction_id)),
        "senderNonce": attribute(SENDER_NONCE, octets(sender_nonce)),
    }


def signer_info(
    signer: Identity,
    signed: Iterable[bytes] | None,
    *,
    unsigned: Sequence[bytes] = (),
    digest: str = "sha256",
    signature: str = "",
    sid: bytes | None = None,
    sort: bool = True,
    sign_sorted: bool | None = None,
    over: bytes | None = None,
) -> bytes:
    """A SignerInfo.

    :param signed: the signed attributes; None for none at all.
    :param signature: a name of `SIGNATURES`; by default "rsa" or "ecdsa-sha256".
    :param sid: the signer's identifier; by default issuer and serial number.
    :param sort: whether the attributes are written sorted, as DER has them.
    :param sign_sorted: whether the signature is over the sorted ones; by default as written.
    :param over: what the signature is over instead.
    """
    attributes = None if signed is None else list(signed)
    written = sorted(attributes or ()) if sort else attributes or []
    signed_order = written if sign_sorted is None else attributes or []
    if sign_sorted:
        signed_order = sorted(signed_order)
    data = tlv(0x31, *signed_order) if over is None else over
    if not signature:
        signature = "rsa" if isinstance(signer.key, rsa.RSAPrivateKey) else "ecdsa-sha256"
    parameters = NULL if "rsa" in signature else b""
    return seq(
        integer(1),
        issuer_and_serial(signer) if sid is None else sid,
        algorithm(HASHES[digest][0]),
        b"" if attributes is None else tlv(0xA0, *written),
        algorithm(SIGNATURES[signature], parameters),
        octets(_sign(signer, data, digest, signature)),
        tlv(0xA1, *unsigned) if unsigned else b"",
    )


def _sign(signer: Identity, data: bytes, digest: str, signature: str) -> bytes:
    hash_ = HASHES[digest][1]
    match signer.key:
        case rsa.RSAPrivateKey() as key if signature == "pss":
            pss = padding.PSS(padding.MGF1(hash_), padding.PSS.DIGEST_LENGTH)
            return key.sign(data, pss, hash_)
        case rsa.RSAPrivateKey() as key:
            return key.sign(data, padding.PKCS1v15(), hash_)
        case ec.EllipticCurvePrivateKey() as key:
            return key.sign(data, ec.ECDSA(hash_))
    raise TypeError(signer.key)


def signed_data(
    content: bytes | None,
    infos: Sequence[bytes],
    certificates: Sequence[bytes] = (),
    *,
    content_type: str = DATA,
    crls: Sequence[bytes] = (),
    e_content: bytes | None = None,
) -> bytes:
    """A ContentInfo with a SignedData.

    :param content: what the eContent OCTET STRING holds; None leaves it out.
    :param e_content: the encoded eContent instead.
    """
    if e_content is None and content is not None:
        e_content = tlv(0xA0, octets(content))
    return content_info(
        SIGNED_DATA,
        seq(
            integer(1),
            tlv(0x31, algorithm(HASHES["sha256"][0])),
            seq(oid(content_type), e_content or b""),
            tlv(0xA0, *certificates) if certificates else b"",
            tlv(0xA1, *crls) if crls else b"",
            tlv(0x31, *sorted(infos)),
        ),
    )


# ------------------------------------------------------------------ EnvelopedData


def rsa_recipient(
    recipient: Identity,
    key: bytes,
    *,
    rid: bytes | None = None,
    padding_: padding.AsymmetricPadding | None = None,
    transport: bytes | None = None,
    encrypted_key: bytes | None = None,
) -> bytes:
    """A KeyTransRecipientInfo; PKCS#1 v1.5 unless told otherwise."""
    public = recipient.certificate.public_key()
    if encrypted_key is None:
        assert isinstance(public, rsa.RSAPublicKey)
        encrypted_key = public.encrypt(key, padding_ or padding.PKCS1v15())
    return seq(
        integer(0),
        issuer_and_serial(recipient) if rid is None else rid,
        algorithm(RSA, NULL) if transport is None else transport,
        octets(encrypted_key),
    )


def enveloped_data(
    content: bytes,
    recipients: Sequence[bytes],
    key: bytes,
    *,
    constructed: bool = False,
    encrypted: bytes | None = None,
    content_type: str = DATA,
    cipher: bytes | None = None,
    originator: bytes = b"",
    iv: bytes | None = None,
) -> bytes:
    """A ContentInfo with an EnvelopedData under AES-128-CBC.

    :param constructed: write the encrypted content as ``[0]`` with OCTET STRINGs in it (Q17).
    :param encrypted: the encoded encryptedContent instead.
    :param cipher: the encoded contentEncryptionAlgorithm instead.
    """
    iv = os.urandom(16) if iv is None else iv
    if encrypted is None:
        ciphertext = aes_cbc(key, iv, content)
        half = len(ciphertext) // 2
        encrypted = (
            tlv(0xA0, octets(ciphertext[:half]), octets(ciphertext[half:]))
            if constructed
            else tlv(0x80, ciphertext)
        )
    return content_info(
        ENVELOPED_DATA,
        seq(
            integer(0),
            originator,
            tlv(0x31, *sorted(recipients)),
            seq(
                oid(content_type),
                algorithm(AES128_CBC, octets(iv)) if cipher is None else cipher,
                encrypted,
            ),
        ),
    )


def aes_cbc(key: bytes, iv: bytes, content: bytes, *, pad: bool = True) -> bytes:
    count = 16 - len(content) % 16
    padded = content + bytes([count]) * count if pad else content
    worker = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return worker.update(padded) + worker.finalize()


PBKDF2 = "1.2.840.113549.1.5.12"
PWRI_KEK = "1.2.840.113549.1.9.16.3.9"
DES_EDE3_CBC = "1.2.840.113549.3.7"
HMAC_SHA1 = "1.2.840.113549.2.7"


def pbkdf2(
    salt: bytes,
    iterations: int,
    key_length: int | None = None,
    prf: bytes = b"",
    derivation: str = PBKDF2,
) -> bytes:
    """The keyDerivationAlgorithm of a PasswordRecipientInfo; no `prf` means HMAC-SHA-1."""
    length = b"" if key_length is None else integer(key_length)
    parameters = seq(octets(salt), integer(iterations), length, prf)
    return tlv(0xA0, oid(derivation), parameters)


def key_wrap(cipher: bytes, wrap: str = PWRI_KEK) -> bytes:
    """The keyEncryptionAlgorithm of a PasswordRecipientInfo around a content cipher."""
    return algorithm(wrap, cipher)


def password_recipient(derivation: bytes, key_encryption: bytes, encrypted_key: bytes) -> bytes:
    """A PasswordRecipientInfo."""
    return tlv(0xA3, integer(0), derivation, key_encryption, octets(encrypted_key))
