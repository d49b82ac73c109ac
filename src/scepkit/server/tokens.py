"""Decryption keys that are not `cryptography`'s own: keys in tokens.

OpenSSL answers bad PKCS#1 v1.5 padding with a random key, so that nobody learns from an answer
whether the padding was good (attack A3).  Tokens raise an exception instead, and they also raise
when they are unplugged.  The rules of this file: an exception of a token never leaves `decrypt`,
and whether the token is there is asked after every failure alike, whatever its cause.  A token
takes its time, in which the other requests of the thread go on.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, NoReturn

from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.hashes import SHA1, SHA256

from scepkit.core.certificates import PrivateKey
from scepkit.store import turns

#: Longer than any content key: `envelope` puts a random key of the right length in its place.
_UNUSABLE_BYTES = 48
_PROBE = b"is the token there?"


def is_in_token(key: PrivateKey) -> bool:
    """Whether somebody else than OpenSSL has the key."""
    return not type(key).__module__.startswith("cryptography.")


def guarded(key: PrivateKey) -> PrivateKey:
    """The key itself if OpenSSL has it, else one whose `decrypt` does not raise."""
    if not isinstance(key, rsa.RSAPrivateKey) or not is_in_token(key):
        return key
    return key if isinstance(key, GuardedKey) else GuardedKey(key)


def signing(key: PrivateKey, call: Callable[[], bytes]) -> bytes:
    """Run what signs with a key: elsewhere, if a token has it."""
    return turns.elsewhere(call) if is_in_token(key) else call()


def can_decrypt(key: PrivateKey, *, oaep: bool = False) -> bool:
    """Whether an RSA key decrypts what is encrypted to it, which costs one use of the key."""
    if not isinstance(key, rsa.RSAPrivateKey):
        return False
    how: padding.AsymmetricPadding = padding.PKCS1v15()
    if oaep:
        # SHA-1 in OAEP is not a signature: RFC 8894's clients use it.
        how = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303
    try:
        return key.decrypt(key.public_key().encrypt(_PROBE, how), how) == _PROBE
    except Exception:
        return False


def can_sign(key: PrivateKey) -> bool:
    """Whether an RSA key signs, which costs one use of the key; other keys are not tried."""
    if not isinstance(key, rsa.RSAPrivateKey):
        return True
    try:
        key.sign(_PROBE, padding.PKCS1v15(), SHA256())
    except Exception:
        return False
    return True


class GuardedKey(rsa.RSAPrivateKey):
    """An RSA key of a token, whose failures to decrypt look like those of OpenSSL."""

    def __init__(self, key: rsa.RSAPrivateKey) -> None:
        self._key = key

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        """What the token says, or random bytes that are no key."""
        replacement = secrets.token_bytes(_UNUSABLE_BYTES)
        try:
            return turns.elsewhere(lambda: self._key.decrypt(ciphertext, padding))
        except Exception:
            return replacement

    @property
    def key_size(self) -> int:
        """The bits of the modulus."""
        return self._key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        """The public half."""
        return self._key.public_key()

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        """The token's signature."""
        return turns.elsewhere(lambda: self._key.sign(data, padding, algorithm))

    def private_numbers(self) -> NoReturn:
        """Refuse."""
        raise NotImplementedError("the key is in a token")

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> NoReturn:
        """Refuse."""
        raise NotImplementedError("the key is in a token")

    def __copy__(self) -> GuardedKey:
        return self

    def __deepcopy__(self, memo: dict[int, object]) -> GuardedKey:
        return self
