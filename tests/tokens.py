"""Private keys as a token hands them out: they sign and decrypt, and show no secret numbers."""

from __future__ import annotations

from typing import Any, NoReturn

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed


def _never() -> NoReturn:
    raise AssertionError("a token does not give its key away")


class RsaToken(rsa.RSAPrivateKey):
    """An RSA key of somebody else's making.

    `calls` counts what was asked of it; `broken` makes every decryption fail as tokens fail.
    """

    def __init__(self, key: rsa.RSAPrivateKey, *, broken: bool = False) -> None:
        self._key = key
        self._broken = broken
        self.calls: list[str] = []

    def decrypt(self, ciphertext: bytes, padding: padding.AsymmetricPadding) -> bytes:
        self.calls.append("decrypt")
        if self._broken:
            raise ValueError("CKR_ENCRYPTED_DATA_INVALID")
        return self._key.decrypt(ciphertext, padding)

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def public_key(self) -> rsa.RSAPublicKey:
        return self._key.public_key()

    def sign(
        self,
        data: bytes,
        padding: padding.AsymmetricPadding,
        algorithm: Prehashed | hashes.HashAlgorithm | Any,
    ) -> bytes:
        self.calls.append("sign")
        return self._key.sign(data, padding, algorithm)

    def private_numbers(self) -> rsa.RSAPrivateNumbers:
        _never()

    def private_bytes(self, *_: object) -> bytes:
        _never()

    def __copy__(self) -> RsaToken:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> RsaToken:
        return self


class EcToken(ec.EllipticCurvePrivateKey):
    """An EC key of somebody else's making."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def exchange(self, *_: object) -> bytes:
        _never()

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    @property
    def curve(self) -> ec.EllipticCurve:
        return self._key.curve

    @property
    def key_size(self) -> int:
        return self._key.key_size

    def sign(self, data: bytes, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:  # type: ignore[override]
        return self._key.sign(data, signature_algorithm)

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        _never()

    def private_bytes(self, *_: object) -> bytes:
        _never()

    def __copy__(self) -> EcToken:
        return self

    def __deepcopy__(self, memo: dict[Any, Any]) -> EcToken:
        return self
