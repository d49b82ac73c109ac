"""EnvelopedData: encrypting to an RSA key or a password, and decrypting (RFC 5652 section 6).

Rules of this file:

* Every fault of decryption (wrong key, padding, length, password, damaged content) ends in the same
  `DecryptError`, after the same work: a key that cannot be unwrapped is replaced by a random one
  and decryption goes on (attacks A2 and A3).
* A key that cannot encrypt (EC) gets its content by password, which is the challengePassword
  (RFC 8894 section 3.1).
* Single DES is never written, and read only under the caller's legacy switch.
"""

from __future__ import annotations

import hmac
import secrets
from dataclasses import dataclass, field

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.asymmetric import padding as rsa_padding
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.ciphers import Cipher as CipherContext
from cryptography.hazmat.primitives.ciphers import modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from scepkit.core import algorithms, asn1, cms
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import CertificateView, PrivateKey
from scepkit.errors import AlgorithmError, DecodeError, DecryptError, InputError

#: What we write for PBKDF2; OWASP's figure for HMAC-SHA-256 would cost a server 200 ms a request,
#: and challenges are random, so this follows G11.
PBKDF2_ITERATIONS = 100_000
#: What we accept: a peer must not be able to buy minutes of our CPU (attack A13, test T77).
MAX_PBKDF2_ITERATIONS = 1_000_000
_PBKDF2_SALT_BYTES = 16

_ID_PBKDF2 = "1.2.840.113549.1.5.12"
_ID_PWRI_KEK = "1.2.840.113549.1.9.16.3.9"
_HMACS = {
    "1.2.840.113549.2.7": Digest.SHA1,
    "1.2.840.113549.2.9": Digest.SHA256,
    "1.2.840.113549.2.10": Digest.SHA384,
    "1.2.840.113549.2.11": Digest.SHA512,
}
_ID_HMAC_SHA256 = "1.2.840.113549.2.9"

_SEQUENCE = 0x30
_VERSION_0 = b"\x02\x01\x00"
_KEY_TRANSPORT = 0x30
_PASSWORD = 0xA3
_RECIPIENT_KINDS = {
    _KEY_TRANSPORT: "an RSA key",
    0xA1: "key agreement",
    0xA2: "a symmetric key",
    _PASSWORD: "a password",
}


@dataclass(frozen=True, slots=True)
class Password:
    """The challengePassword as the secret between requester and CA (RFC 8894 section 3.1)."""

    secret: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class DecryptionKey:
    """A private key and the certificate that names it in a RecipientInfo."""

    certificate: CertificateView
    key: PrivateKey = field(repr=False)


@dataclass(frozen=True, slots=True)
class Envelope:
    """An EnvelopedData that was read but not decrypted."""

    cipher: Cipher
    iv: bytes = field(repr=False)
    ciphertext: bytes = field(repr=False)
    recipients: tuple[asn1.TLV, ...] = field(repr=False)


@dataclass(frozen=True, slots=True)
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
    what = "pkcsPKIEnvelope (EnvelopedData)"
    content = cms.read_content_info(data, cms.ID_ENVELOPED_DATA, what)
    enveloped = asn1.read_tlv(asn1.EnvelopedData, content, what)
    encrypted = enveloped.encrypted_content_info
    if encrypted.content_type.dotted_string != cms.ID_DATA:
        raise DecodeError(
            f"the encrypted content is of type {encrypted.content_type.dotted_string}, expected "
            "data (RFC 8894 section 3.2.2)"
        )
    if encrypted.content is not None:
        ciphertext = encrypted.content
    elif encrypted.chunks is not None:
        ciphertext = b"".join(encrypted.chunks)
    else:
        raise DecodeError("the pkcsPKIEnvelope has no encrypted content")
    oid, parameters = asn1.split_algorithm(encrypted.algorithm, "content encryption algorithm")
    cipher = algorithms.cipher_for_oid(oid, allow_legacy=allow_legacy)
    return Envelope(
        cipher=cipher,
        iv=_iv(parameters, cipher),
        ciphertext=ciphertext,
        recipients=tuple(enveloped.recipient_infos.as_list()),
    )


def _iv(parameters: bytes, cipher: Cipher) -> bytes:
    length = cipher.block_bytes
    if len(parameters) != length + 2 or parameters[:2] != bytes((0x04, length)):
        raise DecodeError(f"the IV of {cipher.value} is missing or is not {length} bytes long")
    return parameters[2:]


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
    return Decrypted(
        content=_decrypt_content(envelope, key), cipher=envelope.cipher, key_transport=transport
    )


def _decrypt_content(envelope: Envelope, key: bytes) -> bytes:
    cipher = envelope.cipher
    # A key of the wrong length is answered like a wrong key (A3), not by an error of its own.
    usable = key if len(key) == cipher.key_bytes else secrets.token_bytes(cipher.key_bytes)
    length = len(envelope.ciphertext)
    if length == 0 or length % cipher.block_bytes:
        raise DecryptError(_DECRYPT_TEXT)
    padded = _run(cipher, usable, envelope.iv, envelope.ciphertext, encrypting=False)
    return _unpad(padded, cipher.block_bytes)


_DECRYPT_TEXT = "the message could not be decrypted: it is not for this key, or it is damaged"


def _unpad(padded: bytes, block: int) -> bytes:
    count = padded[-1]
    tail = padded[-block:]
    expected = bytes((count,)) * min(count, block)
    if not 1 <= count <= block or not hmac.compare_digest(tail[block - len(expected) :], expected):
        raise DecryptError(_DECRYPT_TEXT)
    return padded[:-count]


def _run(cipher: Cipher, key: bytes, iv: bytes, data: bytes, *, encrypting: bool) -> bytes:
    """One CBC pass, without padding."""
    match cipher:
        case Cipher.DES_CBC:
            # EDE with one key three times is single DES; OpenSSL itself no longer has it.
            algorithm: AES | TripleDES = TripleDES(key * 3)
        case Cipher.DES_EDE3_CBC:
            algorithm = TripleDES(key)
        case _:
            algorithm = AES(key)
    context = CipherContext(algorithm, modes.CBC(iv))
    worker = context.encryptor() if encrypting else context.decryptor()
    return worker.update(data) + worker.finalize()


# ------------------------------------------------------------------ key transport (RSA)


def _unwrap_by_key(envelope: Envelope, ours: DecryptionKey) -> tuple[bytes, KeyTransport]:
    if not isinstance(ours.key, rsa.RSAPrivateKey):
        raise DecryptError(
            "the message cannot be decrypted with a key that is not RSA",
            hint="give the challengePassword: content for an EC key is protected with it",
        )
    infos = [
        asn1.read_tlv(asn1.KeyTransRecipientInfo, info, "KeyTransRecipientInfo")
        for info in envelope.recipients
        if asn1.tag_of(info) == _KEY_TRANSPORT
    ]
    if not infos:
        raise DecryptError(
            f"the message is encrypted for {_recipients_text(envelope)}, expected an RSA key"
        )
    info = next((one for one in infos if _names(one.rid, ours.certificate)), infos[0])
    transport = read_key_transport(info.algorithm)
    return _rsa_decrypt(ours.key, info.encrypted_key, transport, envelope.cipher), transport


def is_addressed_to(envelope: Envelope, certificate: CertificateView) -> bool:
    """Whether a RecipientInfo names this certificate; malformed ones name nobody."""
    for info in envelope.recipients:
        if asn1.tag_of(info) == _KEY_TRANSPORT:
            try:
                rid = asn1.read_tlv(asn1.KeyTransRecipientInfo, info, "KeyTransRecipientInfo").rid
                if _names(rid, certificate):
                    return True
            except DecodeError:
                continue
    return False


def password_iterations(envelope: Envelope) -> int | None:
    """How many iterations of PBKDF2 one try at a password costs; None without a password.

    :raises DecodeError: the PasswordRecipientInfo is malformed.
    :raises AlgorithmError: the derivation is not PBKDF2, or costs more than we pay.
    """
    for info in envelope.recipients:
        if asn1.tag_of(info) == _PASSWORD:
            return _pbkdf2_parameters(_password_info(info).key_derivation).iterations
    return None


def is_for_a_key(envelope: Envelope) -> bool:
    """Whether an RSA key may decrypt it."""
    return any(asn1.tag_of(info) == _KEY_TRANSPORT for info in envelope.recipients)


def _recipients_text(envelope: Envelope) -> str:
    tags = {asn1.tag_of(info) for info in envelope.recipients}
    kinds = [_RECIPIENT_KINDS.get(tag, "something unknown") for tag in tags]
    return " and ".join(sorted(kinds)) or "nobody"


def _names(rid: asn1.IssuerAndSerialNumber | bytes, certificate: CertificateView) -> bool:
    if isinstance(rid, bytes):
        return rid == certificate.subject_key_identifier
    return (
        asn1.integer_value(rid.serial_number, "recipient's serial number")
        == certificate.serial_number
        and asn1.whole(rid.issuer) == certificate.issuer
    )


def _rsa_decrypt(
    key: rsa.RSAPrivateKey, encrypted: bytes, transport: KeyTransport, cipher: Cipher
) -> bytes:
    replacement = secrets.token_bytes(cipher.key_bytes)
    try:
        return key.decrypt(encrypted, _rsa_padding(transport))
    except ValueError:
        # OpenSSL answers bad PKCS#1 v1.5 padding with a random key by itself; OAEP, a ciphertext
        # of the wrong length, and tokens raise.  All of them go on like a wrong key (A3).
        return replacement


def _rsa_padding(transport: KeyTransport) -> rsa_padding.AsymmetricPadding:
    digest = transport.oaep_digest
    if digest is None:
        return rsa_padding.PKCS1v15()
    return rsa_padding.OAEP(rsa_padding.MGF1(digest.hash()), digest.hash(), None)


def read_key_transport(algorithm: asn1.TLV) -> KeyTransport:
    """How a KeyTransRecipientInfo says that the content key was encrypted.

    :raises AlgorithmError: neither RSA nor an RSA-OAEP that is supported.
    """
    oid, parameters = asn1.split_algorithm(algorithm, "key transport algorithm")
    if oid == algorithms.OID_RSA_ENCRYPTION:
        return KeyTransport.RSA_PKCS1V15
    if oid != algorithms.OID_RSA_OAEP:
        raise AlgorithmError(
            f"the key transport {oid} is not supported; expected RSA or RSA-OAEP", algorithm=oid
        )
    return _oaep_transport(parameters)


def _oaep_transport(parameters: bytes) -> KeyTransport:
    """Which OAEP; absent and empty parameters both mean SHA-1 (Q26, Q27)."""
    if parameters in {b"", asn1.NULL}:
        return KeyTransport.RSA_OAEP_SHA1
    for transport in KeyTransport:
        digest = transport.oaep_digest
        if digest is not None and parameters in _oaep_spellings(digest):
            return transport
    raise AlgorithmError(
        "these RSA-OAEP parameters are not supported; expected one digest for hash and MGF1, "
        "and no label",
        algorithm="RSA-OAEP",
    )


def _oaep_spellings(digest: Digest) -> frozenset[bytes]:
    """The encodings of OAEP parameters that peers use for one digest."""
    names = [asn1.algorithm(digest.oid, parameters) for parameters in (asn1.NULL, b"")]
    hashes = [asn1.element(0xA0, name) for name in names]
    mgfs = [asn1.element(0xA1, asn1.algorithm(algorithms.OID_MGF1, name)) for name in names]
    if digest is Digest.SHA1:  # what is default may be left out
        hashes.append(b"")
        mgfs.append(b"")
    label = asn1.element(0xA2, asn1.algorithm("1.2.840.113549.1.1.9", b"\x04\x00"))
    return frozenset(
        asn1.element(_SEQUENCE, hash_, mgf, end)
        for hash_ in hashes
        for mgf in mgfs
        for end in (b"", label)
    )


# ------------------------------------------------------------------ password (RFC 3211)


def _unwrap_by_password(envelope: Envelope, password: Password) -> bytes:
    for info in envelope.recipients:
        if asn1.tag_of(info) == _PASSWORD:
            return _unwrap_kek(_password_info(info), password, envelope.cipher)
    raise DecryptError(
        f"the message is encrypted for {_recipients_text(envelope)}, expected a password"
    )


def _password_info(info: asn1.TLV) -> asn1.PasswordRecipientInfo:
    return asn1.read(
        asn1.PasswordRecipientInfo, asn1.retag(info, _KEY_TRANSPORT), "PasswordRecipientInfo"
    )


def _unwrap_kek(
    recipient: asn1.PasswordRecipientInfo, password: Password, cipher: Cipher
) -> bytes:
    wrap_cipher, iv = _read_key_wrap(recipient.key_encryption)
    kek = _derive(recipient.key_derivation, password, wrap_cipher)
    wrapped = recipient.encrypted_key
    block = wrap_cipher.block_bytes
    replacement = secrets.token_bytes(cipher.key_bytes)
    if len(wrapped) < 2 * block or len(wrapped) % block:
        return replacement
    # RFC 3211 section 2.3.2: the last block decrypts with the block before it as the IV, and gives
    # the IV for a first pass over everything; then the real IV undoes the second pass.
    last = _run(wrap_cipher, kek, wrapped[-2 * block : -block], wrapped[-block:], encrypting=False)
    inner = _run(wrap_cipher, kek, last, wrapped[:-block], encrypting=False) + last
    plain = _run(wrap_cipher, kek, iv, inner, encrypting=False)
    length = plain[0]
    check = bytes(a ^ b ^ 0xFF for a, b in zip(plain[1:4], plain[4:7], strict=True))
    if not hmac.compare_digest(check, bytes(3)) or length != cipher.key_bytes:
        return replacement
    return plain[4 : 4 + length]


def _read_key_wrap(algorithm: asn1.TLV) -> tuple[Cipher, bytes]:
    oid, parameters = asn1.split_algorithm(algorithm, "key encryption algorithm")
    if oid != _ID_PWRI_KEK:
        raise AlgorithmError(
            f"the password key wrap {oid} is not supported; expected id-alg-PWRI-KEK", algorithm=oid
        )
    inner_oid, inner = asn1.split_algorithm(
        asn1.read(asn1.TLV, parameters, "PWRI-KEK parameters"), "PWRI-KEK cipher"
    )
    cipher = algorithms.cipher_for_oid(inner_oid)
    return cipher, _iv(inner, cipher)


def _pbkdf2_parameters(derivation: asn1.KeyDerivation | None) -> asn1.Pbkdf2Parameters:
    if derivation is None or derivation.algorithm.dotted_string != _ID_PBKDF2:
        found = derivation.algorithm.dotted_string if derivation else "none"
        raise AlgorithmError(
            f"the key derivation {found} is not supported; expected PBKDF2", algorithm=found
        )
    parameters = asn1.read_tlv(
        asn1.Pbkdf2Parameters, derivation.parameters, "set of PBKDF2 parameters"
    )
    if not 1 <= parameters.iterations <= MAX_PBKDF2_ITERATIONS:
        # Python refuses to write numbers of thousands of digits.
        count = str(parameters.iterations) if abs(parameters.iterations) < 2**64 else "countless"
        raise AlgorithmError(
            f"PBKDF2 with {count} iterations is refused; expected 1 to {MAX_PBKDF2_ITERATIONS}",
            algorithm="PBKDF2",
        )
    return parameters


def _derive(
    derivation: asn1.KeyDerivation | None, password: Password, cipher: Cipher
) -> bytes:
    parameters = _pbkdf2_parameters(derivation)
    prf = parameters.prf.algorithm.dotted_string if parameters.prf else "1.2.840.113549.2.7"
    digest = _HMACS.get(prf)
    if digest is None:
        raise AlgorithmError(f"the PBKDF2 function {prf} is not supported", algorithm=prf)
    if parameters.key_length not in {None, cipher.key_bytes}:
        raise AlgorithmError(
            "PBKDF2 gives a key of another length than "
            f"{cipher.value} needs ({cipher.key_bytes} bytes)",
            algorithm="PBKDF2",
        )
    return _pbkdf2(password, parameters.salt, parameters.iterations, digest, cipher)


def _pbkdf2(
    password: Password, salt: bytes, iterations: int, digest: Digest, cipher: Cipher
) -> bytes:
    kdf = PBKDF2HMAC(digest.hash(), cipher.key_bytes, salt, iterations)
    return kdf.derive(password.secret)


# ------------------------------------------------------------------ writing


def encrypt(
    content: bytes,
    to: CertificateView | Password,
    cipher: Cipher,
    key_transport: KeyTransport = KeyTransport.RSA_PKCS1V15,
) -> bytes:
    """Make an enveloped ContentInfo (DER) for an RSA certificate, or for a password.

    :param key_transport: how an RSA recipient gets the key; nothing in SCEP announces OAEP.
    :raises InputError: the recipient's key cannot encrypt (then use a Password), or is too short.
    :raises AlgorithmError: `cipher` is single DES.
    """
    algorithms.cipher_for_oid(cipher.oid)
    key = secrets.token_bytes(cipher.key_bytes)
    iv = secrets.token_bytes(cipher.block_bytes)
    count = cipher.block_bytes - len(content) % cipher.block_bytes
    ciphertext = _run(cipher, key, iv, content + bytes((count,)) * count, encrypting=True)
    if isinstance(to, Password):
        version, recipient = b"\x02\x01\x03", _password_recipient(key, to, cipher)
    else:
        version, recipient = _VERSION_0, _key_recipient(key, to, key_transport)
    enveloped = asn1.element(
        _SEQUENCE,
        version,
        asn1.element(0x31, recipient),
        asn1.element(
            _SEQUENCE,
            asn1.oid_der(cms.ID_DATA),
            _cipher_algorithm(cipher, iv),
            asn1.element(0x80, ciphertext),
        ),
    )
    return asn1.content_info(cms.ID_ENVELOPED_DATA, enveloped)


def _cipher_algorithm(cipher: Cipher, iv: bytes) -> bytes:
    return asn1.element(_SEQUENCE, asn1.oid_der(cipher.oid), asn1.element(0x04, iv))


def _key_recipient(key: bytes, to: CertificateView, transport: KeyTransport) -> bytes:
    public_key = to.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise InputError(
            "the recipient's key is not RSA and cannot encrypt; the challengePassword is needed",
        )
    try:
        encrypted_key = public_key.encrypt(key, _rsa_padding(transport))
    except ValueError as exc:
        raise InputError(
            f"an RSA key of {public_key.key_size} bits cannot encrypt a key by {transport.value}",
            hint="use a longer key, or PKCS#1 v1.5",
        ) from exc
    return asn1.element(
        _SEQUENCE,
        _VERSION_0,
        asn1.issuer_and_serial(to.issuer, to.serial_number),
        _key_transport_algorithm(transport),
        asn1.element(0x04, encrypted_key),
    )


def _key_transport_algorithm(transport: KeyTransport) -> bytes:
    digest = transport.oaep_digest
    if digest is None:
        return asn1.algorithm(algorithms.OID_RSA_ENCRYPTION, asn1.NULL)
    if digest is Digest.SHA1:
        # The defaults, but written as an empty SEQUENCE: .NET refuses absent parameters (Q27).
        return asn1.algorithm(algorithms.OID_RSA_OAEP, b"\x30\x00")
    hash_ = asn1.algorithm(digest.oid, asn1.NULL)
    mgf = asn1.algorithm(algorithms.OID_MGF1, hash_)
    parameters = asn1.element(_SEQUENCE, asn1.element(0xA0, hash_), asn1.element(0xA1, mgf))
    return asn1.algorithm(algorithms.OID_RSA_OAEP, parameters)


def _password_recipient(key: bytes, password: Password, cipher: Cipher) -> bytes:
    salt = secrets.token_bytes(_PBKDF2_SALT_BYTES)
    iv = secrets.token_bytes(cipher.block_bytes)
    kek = _pbkdf2(password, salt, PBKDF2_ITERATIONS, Digest.SHA256, cipher)
    pbkdf2 = asn1.element(
        _SEQUENCE,
        asn1.element(0x04, salt),
        asn1.integer(PBKDF2_ITERATIONS),
        asn1.integer(cipher.key_bytes),
        asn1.algorithm(_ID_HMAC_SHA256, asn1.NULL),
    )
    key_wrap = asn1.element(
        _SEQUENCE, asn1.oid_der(_ID_PWRI_KEK), _cipher_algorithm(cipher, iv)
    )
    return asn1.element(
        _PASSWORD,
        _VERSION_0,
        asn1.element(0xA0, asn1.oid_der(_ID_PBKDF2), pbkdf2),
        key_wrap,
        asn1.element(0x04, _wrap_kek(key, kek, cipher, iv)),
    )


def _wrap_kek(key: bytes, kek: bytes, cipher: Cipher, iv: bytes) -> bytes:
    """RFC 3211 section 2.3.1: length, check bytes, key, padding; encrypted twice."""
    check = bytes(octet ^ 0xFF for octet in key[:3])
    block = bytes((len(key),)) + check + key
    size = max(2 * cipher.block_bytes, -(-len(block) // cipher.block_bytes) * cipher.block_bytes)
    block += secrets.token_bytes(size - len(block))
    once = _run(cipher, kek, iv, block, encrypting=True)
    return _run(cipher, kek, once[-cipher.block_bytes :], once, encrypting=True)
