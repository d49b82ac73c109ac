"""Whether the numbers of an RSA private key fit together.

OpenSSL's own check tests both primes with dozens of rounds, which costs a start of the command line
a quarter of its time (and ten times that for 4096 bits).  Whoever can put composite primes into the
key file can put in a whole key of his own; what has to be found here is a damaged file, because a
signature made with a damaged key can give the key away (Boneh, DeMillo, Lipton 1997).

The rule of this file: exact arithmetic on the numbers, and one signature that verifies.
"""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

_MAX_BITS = 16384


def consistent(key: rsa.RSAPrivateKey) -> bool:
    """Whether modulus, exponents, primes and CRT values belong to one key."""
    if key.key_size > _MAX_BITS:
        return False
    return _fit(key.private_numbers()) and _works(key)


def _fit(numbers: rsa.RSAPrivateNumbers) -> bool:
    p, q, d = numbers.p, numbers.q, numbers.d
    n, e = numbers.public_numbers.n, numbers.public_numbers.e
    if min(p, q, e) < 3 or not (p & q & e & 1) or p == q or not 1 < d < n or e >= n:
        return False
    return (
        p * q == n
        and numbers.dmp1 == d % (p - 1)
        and numbers.dmq1 == d % (q - 1)
        and numbers.iqmp * q % p == 1
        and e * d % (p - 1) == 1
        and e * d % (q - 1) == 1
    )


def _works(key: rsa.RSAPrivateKey) -> bool:
    message = b"scepkit: do these numbers sign?"
    try:
        signature = key.sign(message, padding.PKCS1v15(), hashes.SHA256())
        key.public_key().verify(signature, message, padding.PKCS1v15(), hashes.SHA256())
    except (InvalidSignature, ValueError):
        return False
    return True
