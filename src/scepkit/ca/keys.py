"""Which public keys a CA certifies.

The rule of this file: a key is judged by what it is, never by what the request says about it, and
judging a hostile key is cheap (A24: RSA-16384 is refused before anything is computed with it).
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from scepkit.errors import FailInfo, InputError

#: What may be certified at all; `KeyRules` narrows it.
CertifiableKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

_CURVES = {"p256": "secp256r1", "p384": "secp384r1", "p521": "secp521r1"}
# The primes of the published test for keys of CVE-2017-15361 (ROCA), and for each the powers of
# 65537 modulo it: a modulus made by the faulty library is such a power modulo every one of them.
_ROCA_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_ROCA_RESIDUES = tuple((p, frozenset(pow(65537, i, p) for i in range(p - 1))) for p in _ROCA_PRIMES)


@dataclass(frozen=True, slots=True)
class KeyRules:
    """The keys a profile accepts.

    Attributes:
        min_rsa_bits: smallest RSA modulus, in bits; 0 accepts no RSA at all.
        max_rsa_bits: largest RSA modulus, in bits.
        curves: EC curves by short name: "p256", "p384", "p521"; empty accepts no EC at all.
        ed25519: accept Ed25519.

    :raises InputError: a curve that is not one of the three.
    """

    min_rsa_bits: int = 2048
    max_rsa_bits: int = 8192
    curves: frozenset[str] = frozenset(_CURVES)
    ed25519: bool = False

    def __post_init__(self) -> None:
        unknown = sorted(self.curves - _CURVES.keys())
        if unknown:
            raise InputError(
                f"there is no curve {unknown[0]!r} for certificates; expected p256, p384 or p521"
            )


@dataclass(frozen=True, slots=True)
class KeyFault:
    """Why a key is not certified, and the failInfo to say it with."""

    reason: str
    fail_info: FailInfo


def key_fault(key: object, rules: KeyRules) -> KeyFault | None:
    """What is wrong with a public key, or None when the rules accept it.

    Kinds of key that are not accepted are badAlg, bad keys of an accepted kind badRequest.
    """
    if isinstance(key, rsa.RSAPublicKey):
        return _rsa_fault(key, rules)
    if isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in {_CURVES[short] for short in rules.curves}:
            return None
        return KeyFault(f"EC keys on {key.curve.name} are not certified here", FailInfo.BAD_ALG)
    if isinstance(key, ed25519.Ed25519PublicKey) and rules.ed25519:
        return None
    return KeyFault(f"{_kind(key)} keys are not certified here", FailInfo.BAD_ALG)


def _rsa_fault(key: rsa.RSAPublicKey, rules: KeyRules) -> KeyFault | None:
    if not rules.min_rsa_bits:
        return KeyFault("RSA keys are not certified here", FailInfo.BAD_ALG)
    bits = key.key_size
    if not rules.min_rsa_bits <= bits <= rules.max_rsa_bits:
        return KeyFault(
            f"the RSA key has {bits} bits; expected {rules.min_rsa_bits} to {rules.max_rsa_bits}",
            FailInfo.BAD_REQUEST,
        )
    numbers = key.public_numbers()
    # FIPS 186-5 A.1.1: odd, above 2^16, below 2^256.  Small ones have broken paddings before.
    if not (numbers.e & 1 and 0x10000 < numbers.e < 1 << 256):
        return KeyFault("the RSA key's public exponent is below 65537", FailInfo.BAD_REQUEST)
    if has_roca_shape(numbers.n):
        return KeyFault("the RSA key can be factored (CVE-2017-15361)", FailInfo.BAD_REQUEST)
    return None


def has_roca_shape(modulus: int) -> bool:
    """Whether an RSA modulus was made by the faulty generator of CVE-2017-15361 ("ROCA").

    A sound modulus passes for one with a chance below 1 in 2^27.
    """
    return all(modulus % prime in residues for prime, residues in _ROCA_RESIDUES)


def _kind(key: object) -> str:
    return type(key).__name__.removesuffix("PublicKey").lstrip("_")
