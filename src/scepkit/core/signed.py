"""X.509's SIGNED structures: what requests and certificates have in common.

The rule of this file: it encodes, signs and checks what it is given.  `cryptography`'s builders and
loaders do the same for most cases; this is for SHA-1, for strings they neither write nor read, and
for speed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scepkit.core import algorithms, asn1
from scepkit.core.algorithms import Digest
from scepkit.errors import AlgorithmError, InputError, SignatureError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

    from scepkit.core.certificates import PrivateKey

VERSION_1 = b"\x02\x01\x00"
_PKCS1V15 = padding.PKCS1v15()
_EMPTY_NAME = b"0\x00"

# `algorithms.RSA_SIGNATURES` the other way round, with one OID per digest.
_RSA_OIDS = {
    Digest.SHA1: "1.2.840.113549.1.1.5",
    Digest.SHA256: "1.2.840.113549.1.1.11",
    Digest.SHA384: "1.2.840.113549.1.1.12",
    Digest.SHA512: "1.2.840.113549.1.1.13",
}
_SIGNATURE_OIDS = frozenset(
    (
        *algorithms.RSA_SIGNATURES,
        *algorithms.ECDSA_SIGNATURES,
        algorithms.OID_RSA_PSS,
        algorithms.OID_ED25519,
    )
)


def spki_der(key: PrivateKey) -> bytes:
    """The SubjectPublicKeyInfo that belongs to a private key."""
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def signed(content: bytes, key: PrivateKey, digest: Digest) -> bytes:
    """Sign an encoded element and put it together with algorithm and signature.

    :raises InputError: the digest is MD5, or the key is of a kind that cannot sign here.
    """
    algorithm = signature_algorithm(key, digest)
    signature = _signature(content, key, digest)
    return asn1.element(0x30, content, algorithm, asn1.element(0x03, b"\x00", signature))


def signed_parts(parts: Sequence[bytes], key: PrivateKey, digest: Digest) -> bytes:
    """The same for an encoded element of many megabytes, which is given in parts.

    They are put together twice, for the key and for the result, but never at the same time.

    :raises InputError: as `signed`.
    """
    algorithm = signature_algorithm(key, digest)
    # In one piece and as bytes, because the classes of tokens may take nothing else.
    signature = _signature(b"".join(parts), key, digest)
    rest = algorithm + asn1.element(0x03, b"\x00", signature)
    size = sum(map(len, parts)) + len(rest)
    return b"".join((asn1.header(0x30, size), *parts, rest))


def signature_algorithm(key: PrivateKey, digest: Digest) -> bytes:
    """The AlgorithmIdentifier of `signed`.

    :raises InputError: the digest is MD5, or the key is of a kind that cannot sign here.
    """
    if digest not in _RSA_OIDS:
        raise InputError(f"{digest.value} is not a digest to sign with; use sha256")
    match key:
        case rsa.RSAPrivateKey():
            return asn1.algorithm(_RSA_OIDS[digest], asn1.NULL)
        case ec.EllipticCurvePrivateKey():
            return asn1.algorithm(algorithms.ECDSA_OIDS[digest])
        case ed25519.Ed25519PrivateKey():
            return asn1.algorithm(algorithms.OID_ED25519)
    raise InputError(f"{type(key).__name__} is not a key to sign with; expected RSA or EC")


def _signature(content: bytes, key: PrivateKey, digest: Digest) -> bytes:
    match key:
        case rsa.RSAPrivateKey():
            return key.sign(content, _PKCS1V15, digest.hash())
        case ec.EllipticCurvePrivateKey():
            return key.sign(content, ec.ECDSA(digest.hash()))
        case _:
            return key.sign(content)


def check_signature(
    content: bytes,
    algorithm_der: bytes,
    signature: bytes,
    *,
    key: PublicKeyTypes,
    spki: bytes,
    what: str,
) -> None:
    """Return if `signature` is one over `content` by `key`, else raise.

    :param algorithm_der: AlgorithmIdentifier of the signature: RSA (PKCS#1 v1.5 and PSS), ECDSA,
        Ed25519.
    :param spki: the key as SubjectPublicKeyInfo (DER).
    :param what: what is signed, for the messages.
    :raises SignatureError: the signature is not by that key, or not over that content.
    :raises AlgorithmError: MD5, or an algorithm or key that is not supported.
    """
    oid, _ = asn1.split_algorithm(algorithm_der, f"{what}'s signature algorithm")
    digest = algorithms.signature_digest(oid)
    if oid not in _SIGNATURE_OIDS or digest is Digest.MD5:
        raise AlgorithmError(
            f"the {what} is signed with {'MD5' if digest else oid}; expected RSA or ECDSA with "
            "SHA-256, SHA-384, SHA-512 or SHA-1",
            algorithm=digest.value if digest else oid,
        )
    try:
        _verify(content, algorithm_der, oid, signature, key, spki)
    except (InvalidSignature, ValueError) as exc:
        raise SignatureError(f"the {what} is not signed with the key in it") from exc
    except UnsupportedAlgorithm as exc:
        raise AlgorithmError(
            f"the signature of the {what} cannot be checked: {exc}", algorithm=oid
        ) from exc


def _verify(
    content: bytes,
    algorithm_der: bytes,
    oid: str,
    signature: bytes,
    key: PublicKeyTypes,
    spki: bytes,
) -> None:
    match key:
        case rsa.RSAPublicKey() if oid == algorithms.OID_RSA_PSS:
            loaded = plain_request(spki, algorithm=algorithm_der)
            # What else they may be belongs to other algorithms.
            pss = cast("padding.PSS", loaded.signature_algorithm_parameters)
            hash_ = cast("hashes.HashAlgorithm", loaded.signature_hash_algorithm)
            key.verify(signature, content, pss, hash_)
        case ed25519.Ed25519PublicKey() if oid == algorithms.OID_ED25519:
            key.verify(signature, content)
        case _:
            verify_signature(key, oid, signature, content)


def verify_signature(key: PublicKeyTypes, oid: str, signature: bytes, content: bytes) -> None:
    """Verify a signature by RSA (PKCS#1 v1.5) or ECDSA; `oid` is that of its algorithm.

    :raises InvalidSignature: it was not made with this key, or with another algorithm, or MD5.
    """
    digest = algorithms.signature_digest(oid)
    if digest is None or digest is Digest.MD5:
        raise InvalidSignature
    match key:
        case rsa.RSAPublicKey() if oid in algorithms.RSA_SIGNATURES:
            key.verify(signature, content, _PKCS1V15, digest.hash())
        case ec.EllipticCurvePublicKey() if oid in algorithms.ECDSA_SIGNATURES:
            key.verify(signature, content, ec.ECDSA(digest.hash()))
        case _:
            raise InvalidSignature  # an algorithm of another kind of key


def plain_request(
    spki: bytes, *, attribute: bytes = b"", algorithm: bytes = b""
) -> x509.CertificateSigningRequest:
    """A request without a name, which `cryptography` loads whatever name the real one has.

    There is no other public way to have it read extensions or the parameters of RSA-PSS.

    :param attribute: one encoded attribute, or none.
    :param algorithm: the signature's AlgorithmIdentifier; the signature itself is empty.
    :raises ValueError: `cryptography` refuses one of the parts.
    """
    info = asn1.element(0x30, VERSION_1, _EMPTY_NAME, spki, asn1.element(0xA0, attribute))
    algorithm = algorithm or asn1.algorithm(algorithms.OID_ED25519)
    return x509.load_der_x509_csr(asn1.element(0x30, info, algorithm, asn1.element(0x03, b"\x00")))
