"""EnvelopedData: encrypting to an RSA key or a password, and decrypting (RFC 5652 section 6).

Rules of this file:

* Every fault of decryption (wrong key, padding, length, password, damaged content) ends in the same
  `DecryptError`, after the same work: `key_transport` and `password` replace a key that cannot be
  unwrapped by a random one, and decryption goes on (attacks A2 and A3).
* A key that cannot encrypt (EC) gets its content by password, which is the challengePassword
  (RFC 8894 section 3.1).
* Single DES is never written, and read only under the caller's legacy switch.
"""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.core import algorithms, asn1, cbc, cms, key_transport
from scepkit.core.algorithms import Cipher, KeyTransport
from scepkit.core.certificates import CertificateView, PrivateKey
from scepkit.errors import AlgorithmError, DecodeError, DecryptError
from scepkit.values import field, frozen, kept

_WHAT = "pkcsPKIEnvelope (EnvelopedData)"

_VERSION_0 = b"\x02\x01\x00"
_VERSION_3 = b"\x02\x01\x03"
_KEY_TRANSPORT = 0x30
#: Chunks of encrypted content: BouncyCastle's have 1000 bytes, and a CRL may have 64 MiB.
_MAX_CHUNKS = 100_000
_PASSWORD = 0xA3
_RECIPIENT_KINDS = {
    _KEY_TRANSPORT: "an RSA key",
    0xA1: "key agreement",
    0xA2: "a symmetric key",
    _PASSWORD: "a password",
}


@frozen
class Password:
    """The challengePassword as the secret between requester and CA (RFC 8894 section 3.1)."""

    secret: bytes = field(repr=False)


@frozen
class DecryptionKey:
    """A private key and the certificate that names it in a RecipientInfo."""

    certificate: CertificateView
    key: PrivateKey = field(repr=False)


@frozen
class Envelope:
    """An EnvelopedData that was read but not decrypted; `recipients` are RecipientInfos (DER)."""

    cipher: Cipher
    iv: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    recipients: tuple[bytes, ...] = field(repr=False)

    @kept
    def keys(self) -> tuple[tuple[bytes, bytes, bytes] | DecodeError, ...]:
        """Those with RSA keys, as `key_transport.read_recipient` gives them or what it raises."""
        return tuple([_key(info) for info in self.recipients if info[0] == _KEY_TRANSPORT])


def _key(info: bytes) -> tuple[bytes, bytes, bytes] | DecodeError:
    try:
        return key_transport.read_recipient(info)
    except DecodeError as fault:
        return fault


@frozen
class Decrypted:
    """Decrypted content and how it was protected, so that an answer can use the same.

    `key_transport` is None when the key came by password.
    """

    content: bytes = field(repr=False)
    cipher: Cipher
    key_transport: KeyTransport | None


# ------------------------------------------------------------------ reading


def read_envelope(data: bytes, *, allow_legacy: bool = False) -> Envelope:
    """Read a ContentInfo holding an EnvelopedData, DER or BER, without decrypting it.

    :raises DecodeError: it is something else, or has no encrypted content.
    :raises AlgorithmError: the cipher is unknown, or single DES while `allow_legacy` is off.
    """
    recipients, content_type, algorithm, ciphertext, _ = asn1.read_with(_parts, data, _WHAT)
    if content_type != cms.ID_DATA:
        raise DecodeError(
            f"the encrypted content is of type {content_type}, expected data (RFC 8894 section "
            "3.2.2)"
        )
    if ciphertext is None:
        raise DecodeError("the pkcsPKIEnvelope has no encrypted content")
    oid, parameters = asn1.split_algorithm(algorithm, "content encryption algorithm")
    cipher = algorithms.cipher_for_oid(oid, allow_legacy=allow_legacy)
    return Envelope(cipher, cbc.read_iv(parameters, cipher), ciphertext, recipients)


@frozen
class EnvelopedData:
    """An EnvelopedData of any kind, by its parts.

    Attributes:
        recipients: RecipientInfos (DER).
        content_type: dotted OID of what is encrypted.
        algorithm: an AlgorithmIdentifier (DER).
        ciphertext: what is encrypted, or None when it is absent.
        chunks: in how many chunks it came, or None when it was whole.
    """

    recipients: tuple[bytes, ...]
    content_type: str
    algorithm: bytes
    ciphertext: bytes | None = field(repr=False)
    chunks: int | None


def read_enveloped(data: bytes) -> EnvelopedData:
    """Read a ContentInfo holding an EnvelopedData, DER or BER, whatever it uses.

    :raises DecodeError: it is something else.
    """
    return EnvelopedData(*asn1.read_with(_parts, data, _WHAT))


def _parts(content_info: bytes) -> tuple[tuple[bytes, ...], str, bytes, bytes | None, int | None]:
    """The fields of `EnvelopedData`."""
    enveloped = cms.typed_content(content_info, cms.ID_ENVELOPED_DATA, _WHAT)
    _, _, recipients, encrypted, _ = asn1.fields(enveloped, asn1.ENVELOPED_DATA)
    content_type, algorithm, whole, chunked = asn1.fields(encrypted, asn1.ENCRYPTED_CONTENT_INFO)
    ciphertext = asn1.content_of(whole) if whole else None
    chunks = None
    if chunked:
        if whole:
            raise asn1.NotDerError("its encrypted content is there twice")
        octet_strings = asn1.split(chunked, asn1.OCTET_STRING, limit=_MAX_CHUNKS)
        chunks = len(octet_strings)
        ciphertext = b"".join(map(asn1.content_of, octet_strings))
    infos = tuple(asn1.split(recipients))
    return infos, asn1.oid_text(content_type), algorithm, ciphertext, chunks


def is_addressed_to(envelope: Envelope, certificate: CertificateView) -> bool:
    """Whether a RecipientInfo names this certificate; malformed ones name nobody."""
    for one in envelope.keys:
        try:
            if not isinstance(one, DecodeError) and certificate.is_named_by(one[0]):
                return True
        except DecodeError:
            continue
    return False


def password_iterations(envelope: Envelope) -> int | None:
    """How many iterations of PBKDF2 one try at a password costs; None without a password.

    :raises DecodeError: the PasswordRecipientInfo is malformed.
    :raises AlgorithmError: the derivation is not PBKDF2, or costs more than we pay.
    """
    from scepkit.core import password

    for info in envelope.recipients:
        if info[0] == _PASSWORD:
            return password.iterations(password.read_recipient(info))
    return None


def is_for_a_key(envelope: Envelope) -> bool:
    """Whether an RSA key may decrypt it."""
    return any(info[0] == _KEY_TRANSPORT for info in envelope.recipients)


def transport_to(envelope: Envelope, certificate: CertificateView) -> KeyTransport:
    """How the content key travels to the holder of a certificate, as anybody can see.

    :raises DecryptError: no RSA key may decrypt it.
    :raises DecodeError: a RecipientInfo is malformed.
    :raises AlgorithmError: the key transport is not supported.
    """
    return key_transport.read_algorithm(_wrapped_key(envelope, certificate)[0])


# ------------------------------------------------------------------ decrypting


def decrypt(envelope: Envelope, with_: DecryptionKey | Password) -> Decrypted:
    """Decrypt an envelope.

    The RecipientInfo that names our certificate is used; when none does, the first of our kind is
    tried, because peers write the name of the issuer in another encoding, or name an older
    certificate (Q40, Q53).

    :raises DecryptError: it is not for us, or damaged.
    :raises AlgorithmError: the key transport or derivation is not supported.
    """
    if isinstance(with_, Password):
        key, transport = _unwrap_by_password(envelope, with_), None
    else:
        key, transport = _unwrap_by_key(envelope, with_)
    return Decrypted(_decrypt_content(envelope, key), envelope.cipher, transport)


def decrypt_sequence(envelope: Envelope, with_: DecryptionKey | Password) -> Decrypted:
    """Decrypt an envelope whose content begins with a SEQUENCE, as that of every SCEP message does.

    One wrong key in 256 leaves noise that looks well padded; this tells it from content.

    :raises DecryptError: it is not for us, or damaged.
    :raises AlgorithmError: the key transport or derivation is not supported.
    """
    decrypted = decrypt(envelope, with_)
    if not _begins_with_sequence(decrypted.content):
        raise DecryptError(_DECRYPT_TEXT)
    return decrypted


def _begins_with_sequence(content: bytes) -> bool:
    if len(content) < 2 or content[0] != asn1.SEQUENCE:
        return False
    length, start = content[1], 2
    if length & 0x80:  # in so many octets, or indefinite
        start += length & 0x7F
        length = int.from_bytes(content[2:start], "big")
    return start + length <= len(content)


def _decrypt_content(envelope: Envelope, key: bytes) -> bytes:
    cipher = envelope.cipher
    # A key of the wrong length is answered like a wrong key (A3), not by an error of its own.
    usable = key if len(key) == cipher.key_bytes else secrets.token_bytes(cipher.key_bytes)
    length = len(envelope.ciphertext)
    if length == 0 or length % cipher.block_bytes:
        raise DecryptError(_DECRYPT_TEXT)
    padded = cbc.decrypt(cipher, usable, envelope.iv, envelope.ciphertext)
    content = cbc.unpad(padded, cipher.block_bytes)
    if content is None:
        raise DecryptError(_DECRYPT_TEXT)
    return content


_DECRYPT_TEXT = "the message could not be decrypted: it is not for this key, or it is damaged"


def _unwrap_by_key(envelope: Envelope, ours: DecryptionKey) -> tuple[bytes, KeyTransport]:
    if not isinstance(ours.key, rsa.RSAPrivateKey):
        raise DecryptError(
            "the message cannot be decrypted with a key that is not RSA",
            hint="give the challengePassword: content for an EC key is protected with it",
        )
    algorithm, encrypted_key = _wrapped_key(envelope, ours.certificate)
    transport = key_transport.read_algorithm(algorithm)
    key_bytes = envelope.cipher.key_bytes
    return key_transport.unwrap(encrypted_key, ours.key, transport, key_bytes), transport


def _wrapped_key(envelope: Envelope, certificate: CertificateView) -> tuple[bytes, bytes]:
    """How the content key is encrypted to a certificate, and the key: what `decrypt` would use."""
    if not envelope.keys:
        raise DecryptError(
            f"the message is encrypted for {_recipients_text(envelope)}, expected an RSA key"
        )
    keys = []
    for one in envelope.keys:
        if isinstance(one, DecodeError):
            raise one
        keys.append(one)
    for rid, algorithm, encrypted_key in keys:
        if certificate.is_named_by(rid):
            return algorithm, encrypted_key
    return keys[0][1:]


def _unwrap_by_password(envelope: Envelope, with_: Password) -> bytes:
    from scepkit.core import password  # rare, and `scepkit enrol` is to start fast

    for info in envelope.recipients:
        if info[0] == _PASSWORD:
            recipient = password.read_recipient(info)
            return password.unwrap(recipient, with_.secret, envelope.cipher.key_bytes)
    raise DecryptError(
        f"the message is encrypted for {_recipients_text(envelope)}, expected a password"
    )


def _recipients_text(envelope: Envelope) -> str:
    tags = {info[0] for info in envelope.recipients}
    kinds = [_RECIPIENT_KINDS.get(tag, "something unknown") for tag in tags]
    return " and ".join(sorted(kinds)) or "nobody"


# ------------------------------------------------------------------ encrypting


def encrypt(
    content: bytes,
    to: CertificateView | Password,
    cipher: Cipher,
    transport: KeyTransport = KeyTransport.RSA_PKCS1V15,
) -> bytes:
    """Make an enveloped ContentInfo (DER) for an RSA certificate, or for a password.

    :param transport: how an RSA recipient gets the key; nothing in SCEP announces OAEP.
    :raises InputError: the recipient's key cannot encrypt (then use a Password), or is too short.
    :raises AlgorithmError: `cipher` is single DES.
    """
    if cipher.legacy:
        raise AlgorithmError(
            "single DES is never encrypted with (RFC 8894 section 2.9)", algorithm=cipher.value
        )
    fresh = secrets.token_bytes(cipher.key_bytes + cipher.block_bytes)
    key, iv = fresh[: cipher.key_bytes], fresh[cipher.key_bytes :]
    ciphertext = cbc.encrypt(cipher, key, iv, cbc.pad(content, cipher.block_bytes))
    if isinstance(to, Password):
        from scepkit.core import password

        version, recipient = _VERSION_3, password.wrap(key, to.secret, cipher)
    else:
        version, recipient = _VERSION_0, key_transport.wrap(key, to, transport)
    enveloped = asn1.element(
        asn1.SEQUENCE,
        version,
        asn1.element(asn1.SET, recipient),
        asn1.element(
            asn1.SEQUENCE,
            asn1.oid_der(cms.ID_DATA),
            cbc.identifier(cipher, iv),
            asn1.element(0x80, ciphertext),
        ),
    )
    return asn1.content_info(cms.ID_ENVELOPED_DATA, enveloped)
