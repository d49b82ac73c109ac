"""New private keys.

The rule of this file: only the kinds that SCEP servers are known to certify; any other key has to
be made elsewhere and loaded.
"""

from __future__ import annotations

from typing import TypeAlias

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from scepkit.errors import InputError
from scepkit.values import frozen

#: What can be made here.
NewKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_RSA_BITS = ("2048", "3072", "4096")
_CURVES: dict[str, type[ec.EllipticCurve]] = {
    "p256": ec.SECP256R1,
    "p384": ec.SECP384R1,
    "p521": ec.SECP521R1,
}
_DEFAULTS = {"rsa": "2048", "ec": "p256"}
_ALL = ", ".join([*(f"rsa:{bits}" for bits in _RSA_BITS), *(f"ec:{curve}" for curve in _CURVES)])


@frozen
class KeySpec:
    """What key to make.

    Attributes:
        kind: "rsa" or "ec".
        size: "2048", "3072" or "4096" (bits), or "p256", "p384" or "p521".
    """

    kind: str
    size: str

    def __str__(self) -> str:
        return f"{self.kind}:{self.size}"


def parse_key_spec(text: str) -> KeySpec:
    """Read ``rsa:2048``, ``rsa:3072``, ``rsa:4096``, ``ec:p256``, ``ec:p384`` or ``ec:p521``.

    In any case; ``rsa`` alone is ``rsa:2048`` and ``ec`` alone ``ec:p256``.

    :raises InputError: it is none of these.
    """
    kind, colon, size = text.strip().lower().partition(":")
    size = size if colon else _DEFAULTS.get(kind, "")
    if size not in {"rsa": _RSA_BITS, "ec": tuple(_CURVES)}.get(kind, ()):
        raise InputError(f"there is no key type {text!r}; expected one of {_ALL}")
    return KeySpec(kind, size)


def generate_key(spec: str | KeySpec = "rsa:2048") -> NewKey:
    """Make a private key.

    RSA is the default because SCEP encrypts replies to the requester's key (RFC 8894 section 3.1):
    with EC a server has to support encryption under the challengePassword, and few do.

    :param spec: as `parse_key_spec` reads it.
    :raises InputError: there is no such kind of key.
    """
    wanted = parse_key_spec(spec) if isinstance(spec, str) else spec
    if wanted.kind == "rsa":
        return rsa.generate_private_key(public_exponent=65537, key_size=int(wanted.size))
    return ec.generate_private_key(_CURVES[wanted.size]())
