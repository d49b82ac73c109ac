"""SignedData and EnvelopedData put together field by field, right or wrong.

`core.cms` and `core.envelope` write what is right only, and refuse what RFC 8894 forbids.  A tester
has to send the rest too.

The rule of this file: it writes what it is told.
"""

from __future__ import annotations

import secrets
import warnings
from collections.abc import Iterable, Sequence

from cryptography import x509
from cryptography.hazmat.decrepit.ciphers.algorithms import ARC4, RC2, TripleDES
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from scepkit.core import asn1
from scepkit.core.certificates import PrivateKey, view_of
from scepkit.core.cms import ID_DATA, ID_ENVELOPED_DATA, ID_SIGNED_DATA
from scepkit.values import field, frozen

ID_RSA = "1.2.840.113549.1.1.1"
ID_OAEP = "1.2.840.113549.1.1.7"
ID_MGF1 = "1.2.840.113549.1.1.8"
DIGEST_OIDS = {
    "md5": "1.2.840.113549.2.5",
    "sha1": "1.3.14.3.2.26",
    "sha256": "2.16.840.1.101.3.4.2.1",
    "sha384": "2.16.840.1.101.3.4.2.2",
    "sha512": "2.16.840.1.101.3.4.2.3",
}
HASHES: dict[str, type[hashes.HashAlgorithm]] = {
    "md5": hashes.MD5,
    "sha1": hashes.SHA1,
    "sha256": hashes.SHA256,
    "sha384": hashes.SHA384,
    "sha512": hashes.SHA512,
}
_ECDSA = {
    "sha1": "1.2.840.10045.4.1",
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
#: Content ciphers: OID, bytes of the key, bytes of a block.
CIPHERS = {
    "aes128": ("2.16.840.1.101.3.4.1.2", 16, 16),
    "aes192": ("2.16.840.1.101.3.4.1.22", 24, 16),
    "aes256": ("2.16.840.1.101.3.4.1.42", 32, 16),
    "3des": ("1.2.840.113549.3.7", 24, 8),
    "des": ("1.3.14.3.2.7", 8, 8),
    "rc2": ("1.2.840.113549.3.2", 16, 8),
    "rc4": ("1.2.840.113549.3.4", 16, 1),
}


@frozen
class Identity:
    """A certificate and its private key."""

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)

    @property
    def der(self) -> bytes:
        """The certificate."""
        return view_of(self.certificate).der


def printable(text: str | bytes) -> bytes:
    """A PrintableString, whatever the text."""
    return asn1.element(0x13, text.encode("latin-1", "replace") if isinstance(text, str) else text)


def octets(value: bytes) -> bytes:
    """An OCTET STRING."""
    return asn1.element(asn1.OCTET_STRING, value)


def attribute(oid: str, *values: bytes) -> bytes:
    """An Attribute with these encoded values."""
    return asn1.element(asn1.SEQUENCE, asn1.oid_der(oid), asn1.element(asn1.SET, *values))


def digest_of(name: str, data: bytes) -> bytes:
    """A digest by name."""
    context = hashes.Hash(HASHES[name]())
    context.update(data)
    return context.finalize()


# ------------------------------------------------------------------ SignedData


def signature(key: PrivateKey, data: bytes, digest: str) -> bytes:
    """A signature as CMS has it: PKCS #1 v1.5, or ECDSA."""
    match key:
        case rsa.RSAPrivateKey():
            return key.sign(data, padding.PKCS1v15(), HASHES[digest]())
        case ec.EllipticCurvePrivateKey():
            return key.sign(data, ec.ECDSA(HASHES[digest]()))
        case _:
            return key.sign(data)


def signature_algorithm(key: PrivateKey, digest: str) -> bytes:
    """The AlgorithmIdentifier of `signature`."""
    if isinstance(key, rsa.RSAPrivateKey):
        return asn1.algorithm(ID_RSA, asn1.NULL)
    return asn1.algorithm(_ECDSA[digest])


def signer_info(
    signer: Identity,
    attributes: Iterable[bytes] | None,
    *,
    digest: str = "sha256",
    over: bytes | None = None,
    sid: bytes | None = None,
    unsigned: Sequence[bytes] = (),
    break_signature: bool = False,
) -> bytes:
    """A SignerInfo.

    :param attributes: the signed attributes; None leaves them out altogether.
    :param over: what the signature is over, instead of the attributes.
    """
    listed = sorted(attributes) if attributes is not None else None
    data = asn1.element(asn1.SET, *(listed or ())) if over is None else over
    made = signature(signer.key, data, digest)
    if break_signature:
        made = made[:-1] + bytes((made[-1] ^ 1,))
    return asn1.element(
        asn1.SEQUENCE,
        asn1.integer(1),
        view_of(signer.certificate).issuer_and_serial if sid is None else sid,
        asn1.algorithm(DIGEST_OIDS[digest], asn1.NULL if digest in ("md5", "sha1") else b""),
        b"" if listed is None else asn1.element(0xA0, *listed),
        signature_algorithm(signer.key, digest),
        octets(made),
        asn1.element(0xA1, *unsigned) if unsigned else b"",
    )


def signed_data(
    content: bytes | None,
    infos: Sequence[bytes],
    certificates: Sequence[bytes],
    *,
    digest: str = "sha256",
    content_type: str = ID_DATA,
) -> bytes:
    """A ContentInfo with a SignedData around `content`, which becomes an OCTET STRING."""
    inner = b"" if content is None else asn1.element(0xA0, octets(content))
    parameters = asn1.NULL if digest in ("md5", "sha1") else b""
    body = asn1.element(
        asn1.SEQUENCE,
        asn1.integer(1),
        asn1.element(asn1.SET, asn1.algorithm(DIGEST_OIDS[digest], parameters)),
        asn1.element(asn1.SEQUENCE, asn1.oid_der(content_type), inner),
        asn1.element(0xA0, *certificates) if certificates else b"",
        asn1.element(asn1.SET, *sorted(infos)),
    )
    return asn1.content_info(ID_SIGNED_DATA, body)


# ------------------------------------------------------------------ EnvelopedData


def encrypt(cipher: str, key: bytes, iv: bytes, data: bytes) -> bytes:
    """Content encrypted and padded; a cipher of "null" leaves it as it is."""
    if cipher == "null":
        return data
    if cipher == "rc4":
        stream = Cipher(ARC4(key), None).encryptor()
        return stream.update(data) + stream.finalize()
    block = CIPHERS[cipher][2]
    count = block - len(data) % block
    return raw_cbc(cipher, key, iv, data + bytes((count,)) * count)


def raw_cbc(cipher: str, key: bytes, iv: bytes, blocks: bytes) -> bytes:
    """CBC without any padding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # old ciphers are what is asked for
        algorithm: AES | TripleDES | RC2
        if cipher == "rc2":
            algorithm = RC2(key)
        elif cipher in ("3des", "des"):
            algorithm = TripleDES(key * 3 if cipher == "des" else key)
        else:
            algorithm = AES(key)
    worker = Cipher(algorithm, modes.CBC(iv)).encryptor()
    return worker.update(blocks) + worker.finalize()


def cipher_algorithm(cipher: str, iv: bytes) -> bytes:
    """The contentEncryptionAlgorithm."""
    if cipher == "null":
        return asn1.element(asn1.SEQUENCE, asn1.oid_der("1.2.840.113549.1.7.1"), asn1.NULL)
    parameters = asn1.NULL if cipher == "rc4" else octets(iv)
    if cipher == "rc2":
        parameters = asn1.element(asn1.SEQUENCE, asn1.integer(58), octets(iv))
    return asn1.element(asn1.SEQUENCE, asn1.oid_der(CIPHERS[cipher][0]), parameters)


def transport_algorithm(transport: str) -> bytes:
    """The keyEncryptionAlgorithm: "pkcs1", "oaep" (SHA-1, explicit) or "oaep-sha256"."""
    if transport == "pkcs1":
        return asn1.algorithm(ID_RSA, asn1.NULL)
    if transport == "oaep":
        return asn1.algorithm(ID_OAEP, asn1.element(asn1.SEQUENCE))
    digest = asn1.algorithm(DIGEST_OIDS["sha256"], asn1.NULL)
    mask = asn1.element(asn1.SEQUENCE, asn1.oid_der(ID_MGF1), digest)
    parameters = asn1.element(asn1.SEQUENCE, asn1.element(0xA0, digest), asn1.element(0xA1, mask))
    return asn1.element(asn1.SEQUENCE, asn1.oid_der(ID_OAEP), parameters)


def encrypt_key(key: bytes, to: rsa.RSAPublicKey, transport: str = "pkcs1") -> bytes:
    """The content key for an RSA key."""
    if transport == "pkcs1":
        return to.encrypt(key, padding.PKCS1v15())
    digest: hashes.HashAlgorithm = hashes.SHA256() if transport == "oaep-sha256" else hashes.SHA1()  # noqa: S303 - OAEP's default
    return to.encrypt(key, padding.OAEP(padding.MGF1(digest), digest, None))


def recipient_info(
    recipient: x509.Certificate,
    encrypted_key: bytes,
    *,
    transport: str = "pkcs1",
    rid: bytes | None = None,
) -> bytes:
    """A KeyTransRecipientInfo.

    :param rid: how the recipient is named, instead of by issuer and serial number.
    """
    by_key = rid is not None and rid[0] == 0x80
    return asn1.element(
        asn1.SEQUENCE,
        asn1.integer(2 if by_key else 0),
        view_of(recipient).issuer_and_serial if rid is None else rid,
        transport_algorithm(transport),
        octets(encrypted_key),
    )


def enveloped_data(
    recipients: Sequence[bytes],
    algorithm: bytes,
    ciphertext: bytes,
    *,
    version: int = 0,
    constructed: bool = False,
    content_type: str = ID_DATA,
) -> bytes:
    """A ContentInfo with an EnvelopedData.

    :param constructed: write the ciphertext in two chunks, as Go's pkcs7 and BER writers do.
    """
    half = len(ciphertext) // 2
    encrypted = (
        asn1.element(0xA0, octets(ciphertext[:half]), octets(ciphertext[half:]))
        if constructed
        else asn1.element(0x80, ciphertext)
    )
    body = asn1.element(
        asn1.SEQUENCE,
        asn1.integer(version),
        asn1.element(asn1.SET, *sorted(recipients)),
        asn1.element(asn1.SEQUENCE, asn1.oid_der(content_type), algorithm, encrypted),
    )
    return asn1.content_info(ID_ENVELOPED_DATA, body)


@frozen(kw_only=True)
class Sealing:
    """How the content of a request is encrypted; the parts that are given replace the right ones.

    Attributes:
        cipher: a name of `CIPHERS`.
        transport: "pkcs1", "oaep" or "oaep-sha256".
    """

    cipher: str = "aes128"
    transport: str = "pkcs1"
    key: bytes | None = field(default=None, repr=False)
    iv: bytes | None = None
    encrypted_key: bytes | None = field(default=None, repr=False)
    ciphertext: bytes | None = field(default=None, repr=False)
    rid: bytes | None = None
    constructed: bool = False


def envelope(content: bytes, to: x509.Certificate, how: Sealing | None = None) -> bytes:
    """A pkcsPKIEnvelope for an RSA certificate."""
    how = how or Sealing()
    public = to.public_key()
    if not isinstance(public, rsa.RSAPublicKey):
        raise TypeError("the recipient's key is not RSA")
    _, key_bytes, block = CIPHERS.get(how.cipher, ("", 16, 16))
    key = how.key or secrets.token_bytes(key_bytes)
    iv = how.iv or secrets.token_bytes(block)
    ciphertext = how.ciphertext
    if ciphertext is None:
        ciphertext = encrypt(how.cipher, key, iv, content)
    encrypted_key = how.encrypted_key or encrypt_key(key, public, how.transport)
    info = recipient_info(to, encrypted_key, transport=how.transport, rid=how.rid)
    algorithm = cipher_algorithm(how.cipher, iv)
    return enveloped_data([info], algorithm, ciphertext, constructed=how.constructed)
