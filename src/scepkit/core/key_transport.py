"""The content key under RSA: KeyTransRecipientInfo, with PKCS#1 v1.5 and OAEP (RFC 5652, RFC 8017).

The rule of this file: a key that cannot be unwrapped is replaced by a random one, so that
decryption goes on and fails like any other (attacks A2 and A3).
"""

from __future__ import annotations

import secrets

from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scepkit.core import algorithms, asn1
from scepkit.core.algorithms import Digest, KeyTransport
from scepkit.core.certificates import CertificateView
from scepkit.errors import AlgorithmError, InputError

_VERSION_0 = b"\x02\x01\x00"
_PKCS1V15 = padding.PKCS1v15()


def wrap(key: bytes, to: CertificateView, transport: KeyTransport) -> bytes:
    """A RecipientInfo with the content key for the holder of an RSA certificate.

    :raises InputError: the certificate's key is not RSA, or too short for `transport`.
    """
    public_key = to.public_key()
    if not isinstance(public_key, rsa.RSAPublicKey):
        raise InputError(
            "the recipient's key is not RSA and cannot encrypt; the challengePassword is needed",
        )
    try:
        encrypted_key = public_key.encrypt(key, _padding(transport))
    except ValueError as exc:
        raise InputError(
            f"an RSA key of {public_key.key_size} bits cannot encrypt a key by {transport.value}",
            hint="use a longer key, or PKCS#1 v1.5",
        ) from exc
    return asn1.element(
        asn1.SEQUENCE,
        _VERSION_0,
        to.issuer_and_serial,
        _algorithm(transport),
        asn1.element(asn1.OCTET_STRING, encrypted_key),
    )


def read_recipient(info: bytes) -> tuple[bytes, bytes, bytes]:
    """A KeyTransRecipientInfo as (recipient identifier, algorithm, encrypted key); two are encoded.

    :raises DecodeError: it is something else.
    """
    _, rid, algorithm, encrypted_key = asn1.read(
        asn1.KEY_TRANS_RECIPIENT_INFO, info, "KeyTransRecipientInfo"
    )
    return rid, algorithm, asn1.content_of(encrypted_key)


def unwrap(
    encrypted_key: bytes, key: rsa.RSAPrivateKey, transport: KeyTransport, key_bytes: int
) -> bytes:
    """The content key, or a random one of `key_bytes` bytes when it cannot be had."""
    replacement = secrets.token_bytes(key_bytes)
    try:
        return key.decrypt(encrypted_key, _padding(transport))
    except ValueError:
        # OpenSSL answers bad PKCS#1 v1.5 padding with a random key by itself; OAEP, a ciphertext
        # of the wrong length, and tokens raise.  All of them go on like a wrong key (A3).
        return replacement


def _padding(transport: KeyTransport) -> padding.AsymmetricPadding:
    digest, mgf = transport.oaep_digest, transport.mgf_digest
    if digest is None or mgf is None:
        return _PKCS1V15
    return padding.OAEP(padding.MGF1(mgf.hash()), digest.hash(), None)


# ------------------------------------------------------------------ AlgorithmIdentifiers


def read_algorithm(algorithm: bytes) -> KeyTransport:
    """How a KeyTransRecipientInfo says that the content key was encrypted.

    :raises DecodeError: `algorithm` is not an AlgorithmIdentifier.
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
        digest, mgf = transport.oaep_digest, transport.mgf_digest
        if digest and mgf and parameters in _oaep_spellings(digest, mgf):
            return transport
    raise AlgorithmError(
        "these RSA-OAEP parameters are not supported; expected one digest for hash and MGF1 (or "
        "SHA-1 for MGF1, as Java has it), and no label",
        algorithm="RSA-OAEP",
    )


def _oaep_spellings(digest: Digest, mgf: Digest) -> frozenset[bytes]:
    """The encodings of OAEP parameters that peers use for a digest and that of MGF1."""
    hashes = [asn1.element(0xA0, name) for name in _digest_spellings(digest)]
    mgfs = [
        asn1.element(0xA1, asn1.algorithm(algorithms.OID_MGF1, name))
        for name in _digest_spellings(mgf)
    ]
    # What is default may be left out.
    hashes += [b""] if digest is Digest.SHA1 else []
    mgfs += [b""] if mgf is Digest.SHA1 else []
    label = asn1.element(0xA2, asn1.algorithm("1.2.840.113549.1.1.9", b"\x04\x00"))
    return frozenset(
        asn1.element(asn1.SEQUENCE, hash_, mgf, end)
        for hash_ in hashes
        for mgf in mgfs
        for end in (b"", label)
    )


def _digest_spellings(digest: Digest) -> list[bytes]:
    return [asn1.algorithm(digest.oid, parameters) for parameters in (asn1.NULL, b"")]


def _algorithm(transport: KeyTransport) -> bytes:
    digest, mgf = transport.oaep_digest, transport.mgf_digest
    if digest is None or mgf is None:
        return asn1.algorithm(algorithms.OID_RSA_ENCRYPTION, asn1.NULL)
    if digest is Digest.SHA1:
        # The defaults, but written as an empty SEQUENCE: .NET refuses absent parameters (Q27).
        return asn1.algorithm(algorithms.OID_RSA_OAEP, b"\x30\x00")
    parts = [asn1.element(0xA0, asn1.algorithm(digest.oid, asn1.NULL))]
    if mgf is not Digest.SHA1:  # the default, which DER leaves out
        name = asn1.algorithm(mgf.oid, asn1.NULL)
        parts.append(asn1.element(0xA1, asn1.algorithm(algorithms.OID_MGF1, name)))
    return asn1.algorithm(algorithms.OID_RSA_OAEP, asn1.element(asn1.SEQUENCE, *parts))
