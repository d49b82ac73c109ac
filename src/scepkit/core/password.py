"""The content key under a password: PasswordRecipientInfo with PBKDF2 (RFC 5652 6.2.4, RFC 3211).

RFC 8894 section 3.1 uses the challengePassword so where a key cannot encrypt.

Rules of this file: a key that cannot be unwrapped is replaced by a random one, so that decryption
goes on and fails like any other (attacks A2 and A3), and no peer can make a derivation cost more
than a second (A13).
"""

from __future__ import annotations

import hmac
import secrets

from cryptography.hazmat.primitives.kdf.pbkdf2 import PBKDF2HMAC

from scepkit.core import algorithms, asn1, cbc
from scepkit.core.algorithms import Cipher, Digest
from scepkit.errors import AlgorithmError
from scepkit.values import field, frozen

#: What we write for PBKDF2; OWASP's figure for HMAC-SHA-256 would cost a server 200 ms a request,
#: and challenges are random, so this follows G11.
ITERATIONS = 100_000
#: What we accept: a peer must not be able to buy minutes of our CPU (attack A13, test T77).
MAX_ITERATIONS = 1_000_000
_SALT_BYTES = 16

#: The identifier octet of a PasswordRecipientInfo among the RecipientInfos.
TAG = 0xA3

ID_PWRI_KEK = "1.2.840.113549.1.9.16.3.9"
_ID_PBKDF2 = "1.2.840.113549.1.5.12"
_ID_HMAC_SHA1 = "1.2.840.113549.2.7"
_ID_HMAC_SHA256 = "1.2.840.113549.2.9"
_HMACS = {
    _ID_HMAC_SHA1: Digest.SHA1,
    _ID_HMAC_SHA256: Digest.SHA256,
    "1.2.840.113549.2.10": Digest.SHA384,
    "1.2.840.113549.2.11": Digest.SHA512,
}
_VERSION_0 = b"\x02\x01\x00"


@frozen
class PasswordRecipient:
    """A PasswordRecipientInfo: `derivation` is encoded ([0], or b""), as is `key_encryption`."""

    derivation: bytes
    key_encryption: bytes
    encrypted_key: bytes = field(repr=False)


@frozen
class _Pbkdf2:
    salt: bytes
    iterations: int
    key_length: int | None
    prf: str


# ------------------------------------------------------------------ reading


def read_recipient(info: bytes) -> PasswordRecipient:
    """Read a PasswordRecipientInfo.

    :raises DecodeError: it is something else.
    """
    _, derivation, key_encryption, encrypted_key = asn1.read(
        asn1.PASSWORD_RECIPIENT_INFO, info, "PasswordRecipientInfo", tag=TAG
    )
    return PasswordRecipient(derivation, key_encryption, asn1.content_of(encrypted_key))


def iterations(recipient: PasswordRecipient) -> int:
    """What one try at a password costs.

    :raises DecodeError: the derivation is malformed.
    :raises AlgorithmError: it is not PBKDF2, or costs more than we pay.
    """
    return _read_derivation(recipient.derivation).iterations


def unwrap(recipient: PasswordRecipient, secret: bytes, key_bytes: int) -> bytes:
    """The content key, or a random one of `key_bytes` bytes when it cannot be had.

    :raises DecodeError: the parameters are malformed.
    :raises AlgorithmError: the derivation or the key wrap is not supported, or costs too much.
    """
    cipher, iv = _read_key_wrap(recipient.key_encryption)
    kek = _derive(_read_derivation(recipient.derivation), secret, cipher)
    wrapped = recipient.encrypted_key
    block = cipher.block_bytes
    replacement = secrets.token_bytes(key_bytes)
    if len(wrapped) < 2 * block or len(wrapped) % block:
        return replacement
    # RFC 3211 section 2.3.2: the last block decrypts with the block before it as the IV, and gives
    # the IV for a first pass over everything; then the real IV undoes the second pass.
    last = cbc.decrypt(cipher, kek, wrapped[-2 * block : -block], wrapped[-block:])
    inner = cbc.decrypt(cipher, kek, last, wrapped[:-block]) + last
    plain = cbc.decrypt(cipher, kek, iv, inner)
    check = bytes(a ^ b ^ 0xFF for a, b in zip(plain[1:4], plain[4:7], strict=True))
    if not hmac.compare_digest(check, bytes(3)) or plain[0] != key_bytes:
        return replacement
    return plain[4 : 4 + key_bytes]


def _read_key_wrap(algorithm: bytes) -> tuple[Cipher, bytes]:
    oid, parameters = asn1.split_algorithm(algorithm, "key encryption algorithm")
    if oid != ID_PWRI_KEK:
        raise AlgorithmError(
            f"the password key wrap {oid} is not supported; expected id-alg-PWRI-KEK", algorithm=oid
        )
    inner_oid, inner = asn1.split_algorithm(parameters, "PWRI-KEK cipher")
    cipher = algorithms.cipher_for_oid(inner_oid)
    return cipher, cbc.read_iv(inner, cipher)


def _read_derivation(derivation: bytes) -> _Pbkdf2:
    what = "set of PBKDF2 parameters"
    found, encoded = "none", b""
    if derivation:
        found, encoded = asn1.read_with(
            asn1.algorithm_parts, derivation, "key derivation algorithm", tag=0xA0
        )
    if found != _ID_PBKDF2:
        raise AlgorithmError(
            f"the key derivation {found} is not supported; expected PBKDF2", algorithm=found
        )
    salt, count, key_length, prf = asn1.read(asn1.PBKDF2_PARAMETERS, encoded, what)
    number = asn1.integer_value(count, "number of iterations")
    if not 1 <= number <= MAX_ITERATIONS:
        # Python refuses to write numbers of thousands of digits.
        text = str(number) if abs(number) < 2**64 else "countless"
        raise AlgorithmError(
            f"PBKDF2 with {text} iterations is refused; expected 1 to {MAX_ITERATIONS}",
            algorithm="PBKDF2",
        )
    return _Pbkdf2(
        salt=asn1.content_of(salt),
        iterations=number,
        key_length=asn1.integer_value(key_length, "length of the key") if key_length else None,
        prf=asn1.split_algorithm(prf, "PBKDF2 function")[0] if prf else _ID_HMAC_SHA1,
    )


def _derive(parameters: _Pbkdf2, secret: bytes, cipher: Cipher) -> bytes:
    digest = _HMACS.get(parameters.prf)
    if digest is None:
        raise AlgorithmError(
            f"the PBKDF2 function {parameters.prf} is not supported", algorithm=parameters.prf
        )
    if parameters.key_length not in {None, cipher.key_bytes}:
        raise AlgorithmError(
            "PBKDF2 gives a key of another length than "
            f"{cipher.value} needs ({cipher.key_bytes} bytes)",
            algorithm="PBKDF2",
        )
    return pbkdf2(secret, parameters.salt, parameters.iterations, digest, cipher)


def pbkdf2(secret: bytes, salt: bytes, count: int, digest: Digest, cipher: Cipher) -> bytes:
    """A key for `cipher` from a password (RFC 8018 section 5.2)."""
    return PBKDF2HMAC(digest.hash(), cipher.key_bytes, salt, count).derive(secret)


# ------------------------------------------------------------------ writing


def wrap(key: bytes, secret: bytes, cipher: Cipher) -> bytes:
    """A RecipientInfo with the content key for who knows the password.

    :param cipher: that of the content; the key is wrapped with the same.
    """
    salt = secrets.token_bytes(_SALT_BYTES)
    iv = secrets.token_bytes(cipher.block_bytes)
    kek = pbkdf2(secret, salt, ITERATIONS, Digest.SHA256, cipher)
    parameters = asn1.element(
        asn1.SEQUENCE,
        asn1.element(asn1.OCTET_STRING, salt),
        asn1.integer(ITERATIONS),
        asn1.integer(cipher.key_bytes),
        asn1.algorithm(_ID_HMAC_SHA256, asn1.NULL),
    )
    return asn1.element(
        TAG,
        _VERSION_0,
        asn1.element(0xA0, asn1.oid_der(_ID_PBKDF2), parameters),
        asn1.element(asn1.SEQUENCE, asn1.oid_der(ID_PWRI_KEK), cbc.identifier(cipher, iv)),
        asn1.element(asn1.OCTET_STRING, wrap_key(key, kek, cipher, iv)),
    )


def wrap_key(key: bytes, kek: bytes, cipher: Cipher, iv: bytes) -> bytes:
    """RFC 3211 section 2.3.1: length, check bytes, key, padding; encrypted twice."""
    check = bytes(octet ^ 0xFF for octet in key[:3])
    block = bytes((len(key),)) + check + key
    size = max(2 * cipher.block_bytes, -(-len(block) // cipher.block_bytes) * cipher.block_bytes)
    block += secrets.token_bytes(size - len(block))
    once = cbc.encrypt(cipher, kek, iv, block)
    return cbc.encrypt(cipher, kek, once[-cipher.block_bytes :], once)
