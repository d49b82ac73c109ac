"""The algorithms of SCEP, by name and OID, and which of them are refused.

One table: everything else asks here.  Single DES and MD5 are listed only so that they can be named
when they are refused, and so that the one legacy switch can read them in replies (RFC 8894
section 2.9: they MUST NOT be used; Q37 and Q38: two widespread servers still answer with them).
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from enum import Enum

from cryptography.hazmat.primitives import hashes

from scepkit.errors import AlgorithmError


class Digest(Enum):
    """A message digest; the value is its plain name.

    `oid` is the dotted OID of the digest itself.  `legacy` is True for MD5, which RFC 8894 section
    2.9 forbids.
    """

    oid: str
    legacy: bool
    _hash: hashes.HashAlgorithm
    _new: Callable[[bytes], hashlib._Hash]

    MD5 = "md5"
    SHA1 = "sha1"
    SHA256 = "sha256"
    SHA384 = "sha384"
    SHA512 = "sha512"

    def hash(self) -> hashes.HashAlgorithm:
        """The same digest as `cryptography` names it."""
        return self._hash

    def of(self, data: bytes) -> bytes:
        """Hash `data`."""
        return self._new(data).digest()


# Plain attributes: properties that look into a table cost more than the rest of some functions.
# The hash objects are stateless, so one of each serves everybody.
for _digest, _oid, _hash, _new in (
    (Digest.MD5, "1.2.840.113549.2.5", hashes.MD5(), hashlib.md5),  # noqa: S303 - to be refused
    (Digest.SHA1, "1.3.14.3.2.26", hashes.SHA1(), hashlib.sha1),  # noqa: S303 - RFC 8894 2.9
    (Digest.SHA256, "2.16.840.1.101.3.4.2.1", hashes.SHA256(), hashlib.sha256),
    (Digest.SHA384, "2.16.840.1.101.3.4.2.2", hashes.SHA384(), hashlib.sha384),
    (Digest.SHA512, "2.16.840.1.101.3.4.2.3", hashes.SHA512(), hashlib.sha512),
):
    _digest.oid, _digest._hash, _digest._new = _oid, _hash, _new
    _digest.legacy = _digest is Digest.MD5


class Cipher(Enum):
    """A content-encryption algorithm; the value is its plain name.

    `oid` is its dotted OID, `key_bytes` the length of its key, and `block_bytes` that of its block
    and so of its IV.  `legacy` is True for single DES, which RFC 8894 section 2.9 forbids.
    """

    oid: str
    legacy: bool
    key_bytes: int
    block_bytes: int

    AES128_CBC = "aes128-cbc"
    AES192_CBC = "aes192-cbc"
    AES256_CBC = "aes256-cbc"
    DES_EDE3_CBC = "3des-cbc"
    DES_CBC = "des-cbc"


for _cipher, _oid, _key_bytes, _block_bytes in (
    (Cipher.AES128_CBC, "2.16.840.1.101.3.4.1.2", 16, 16),
    (Cipher.AES192_CBC, "2.16.840.1.101.3.4.1.22", 24, 16),
    (Cipher.AES256_CBC, "2.16.840.1.101.3.4.1.42", 32, 16),
    (Cipher.DES_EDE3_CBC, "1.2.840.113549.3.7", 24, 8),
    (Cipher.DES_CBC, "1.3.14.3.2.7", 8, 8),
):
    _cipher.oid, _cipher.key_bytes, _cipher.block_bytes = _oid, _key_bytes, _block_bytes
    _cipher.legacy = _cipher is Cipher.DES_CBC


class KeyTransport(Enum):
    """How the content key reaches an RSA recipient; the value is its plain name.

    `oaep_digest` is the digest of OAEP, and `mgf_digest` that of its mask generation function MGF1;
    both are None for PKCS#1 v1.5.  Those with ``MGF1_SHA1`` are what Java makes of
    ``OAEPWithSHA-256AndMGF1Padding`` and its like, where MGF1 keeps SHA-1 unless a program says
    otherwise.
    """

    oaep_digest: Digest | None
    mgf_digest: Digest | None

    RSA_PKCS1V15 = "rsa"
    RSA_OAEP_SHA1 = "rsa-oaep-sha1"
    RSA_OAEP_SHA256 = "rsa-oaep-sha256"
    RSA_OAEP_SHA384 = "rsa-oaep-sha384"
    RSA_OAEP_SHA512 = "rsa-oaep-sha512"
    RSA_OAEP_SHA256_MGF1_SHA1 = "rsa-oaep-sha256-mgf1-sha1"
    RSA_OAEP_SHA384_MGF1_SHA1 = "rsa-oaep-sha384-mgf1-sha1"
    RSA_OAEP_SHA512_MGF1_SHA1 = "rsa-oaep-sha512-mgf1-sha1"


for _transport, _oaep_digest, _mgf_digest in (
    (KeyTransport.RSA_PKCS1V15, None, None),
    (KeyTransport.RSA_OAEP_SHA1, Digest.SHA1, Digest.SHA1),
    (KeyTransport.RSA_OAEP_SHA256, Digest.SHA256, Digest.SHA256),
    (KeyTransport.RSA_OAEP_SHA384, Digest.SHA384, Digest.SHA384),
    (KeyTransport.RSA_OAEP_SHA512, Digest.SHA512, Digest.SHA512),
    (KeyTransport.RSA_OAEP_SHA256_MGF1_SHA1, Digest.SHA256, Digest.SHA1),
    (KeyTransport.RSA_OAEP_SHA384_MGF1_SHA1, Digest.SHA384, Digest.SHA1),
    (KeyTransport.RSA_OAEP_SHA512_MGF1_SHA1, Digest.SHA512, Digest.SHA1),
):
    _transport.oaep_digest, _transport.mgf_digest = _oaep_digest, _mgf_digest

OID_RSA_ENCRYPTION = "1.2.840.113549.1.1.1"
OID_RSA_OAEP = "1.2.840.113549.1.1.7"
OID_RSA_PSS = "1.2.840.113549.1.1.10"
OID_MGF1 = "1.2.840.113549.1.1.8"
OID_ED25519 = "1.3.101.112"

#: SignerInfo.signatureAlgorithm values that name a digest themselves.
RSA_SIGNATURES: dict[str, Digest] = {
    "1.2.840.113549.1.1.4": Digest.MD5,
    "1.2.840.113549.1.1.5": Digest.SHA1,
    "1.3.14.3.2.29": Digest.SHA1,  # sha1WithRSASignature of OIW, older than PKCS#1's own
    "1.2.840.113549.1.1.11": Digest.SHA256,
    "1.2.840.113549.1.1.12": Digest.SHA384,
    "1.2.840.113549.1.1.13": Digest.SHA512,
}
ECDSA_SIGNATURES: dict[str, Digest] = {
    "1.2.840.10045.4.1": Digest.SHA1,
    "1.2.840.10045.4.3.2": Digest.SHA256,
    "1.2.840.10045.4.3.3": Digest.SHA384,
    "1.2.840.10045.4.3.4": Digest.SHA512,
}
#: The OID of ECDSA with a digest, for writing.
ECDSA_OIDS: dict[Digest, str] = {digest: oid for oid, digest in ECDSA_SIGNATURES.items()}

_DIGEST_BY_OID = {digest.oid: digest for digest in Digest}
_CIPHER_BY_OID = {cipher.oid: cipher for cipher in Cipher}

#: Names for OIDs that are not supported, so that an error can say what was met.
FOREIGN_NAMES: dict[str, str] = {
    "1.2.840.113549.3.2": "RC2-CBC",
    "1.2.840.113549.3.4": "RC4",
    "2.16.840.1.101.3.4.1.6": "AES-128-GCM",
    "2.16.840.1.101.3.4.1.26": "AES-192-GCM",
    "2.16.840.1.101.3.4.1.46": "AES-256-GCM",
    "1.2.840.113549.2.2": "MD2",
    "1.2.840.113549.2.4": "MD4",
    "2.16.840.1.101.3.4.2.4": "SHA-224",
}


def oid_name(oid: str) -> str:
    """A name a person recognises for an algorithm OID, or the OID itself."""
    known: Digest | Cipher | None = _DIGEST_BY_OID.get(oid) or _CIPHER_BY_OID.get(oid)
    return FOREIGN_NAMES.get(oid, oid) if known is None else str(known.value)


def signature_digest(oid: str) -> Digest | None:
    """The digest of a signature algorithm of RSA (PKCS#1 v1.5) or ECDSA; None for others."""
    return RSA_SIGNATURES.get(oid) or ECDSA_SIGNATURES.get(oid)


def digest_for_oid(oid: str, *, allow_legacy: bool = False) -> Digest:
    """The digest with this OID.

    :raises AlgorithmError: it is unknown, or MD5 while `allow_legacy` is off.
    """
    digest = _DIGEST_BY_OID.get(oid)
    if digest is None:
        raise AlgorithmError(
            f"the digest {oid_name(oid)} is not supported; expected SHA-1, SHA-256, SHA-384 or "
            "SHA-512",
            algorithm=oid_name(oid),
        )
    return accept_digest(digest, allow_legacy=allow_legacy)


def accept_digest(digest: Digest, *, allow_legacy: bool = False) -> Digest:
    """Return `digest` unless it is MD5 while `allow_legacy` is off (RFC 8894 section 2.9).

    :raises AlgorithmError: it is refused.
    """
    if digest.legacy and not allow_legacy:
        raise AlgorithmError(
            "the message is signed with MD5, which RFC 8894 forbids",
            algorithm=digest.value,
            hint="set the server's SCEP digest to SHA-256 (jscep and Cisco IOS fall back to MD5 "
            "when GetCACaps lists no SHA-1 or SHA-256); until then the client option "
            "accept_legacy_replies (--accept-legacy-replies) reads such replies",
        )
    return digest


def cipher_for_oid(oid: str, *, allow_legacy: bool = False) -> Cipher:
    """The content cipher with this OID.

    :raises AlgorithmError: it is unknown, or single DES while `allow_legacy` is off.
    """
    cipher = _CIPHER_BY_OID.get(oid)
    if cipher is None:
        raise AlgorithmError(
            f"the cipher {oid_name(oid)} is not supported; expected AES-CBC or 3DES-CBC",
            algorithm=oid_name(oid),
            hint="step-ca: set encryptionAlgorithmIdentifier to 1 (AES-128-CBC) or 2 (AES-256-CBC)"
            if "GCM" in oid_name(oid)
            else "",
        )
    if cipher.legacy and not allow_legacy:
        raise AlgorithmError(
            "the message is encrypted with single DES, which RFC 8894 forbids",
            algorithm=cipher.value,
            hint="set the server to AES (step-ca: encryptionAlgorithmIdentifier 1 or 2; "
            "micromdm/scep: a build whose pkcs7 content encryption is AES); until then the client "
            "option accept_legacy_replies (--accept-legacy-replies) reads such replies",
        )
    return cipher


def cipher_named(name: str) -> Cipher:
    """The cipher with this plain name, such as ``aes128-cbc`` or ``aes256``.

    :raises AlgorithmError: there is none, or it is single DES (which is never sent).
    """
    wanted = name.lower().replace("_", "-").removesuffix("-cbc").replace("aes-", "aes")
    wanted = "3des" if wanted == "des3" else wanted
    for cipher in Cipher:
        if wanted == cipher.value.removesuffix("-cbc"):
            return cipher_for_oid(cipher.oid)
    raise AlgorithmError(
        f"there is no cipher {name!r}; expected aes128, aes192, aes256 or 3des", algorithm=name
    )


def digest_named(name: str) -> Digest:
    """The digest with this plain name, such as ``sha256`` or ``SHA-256``.

    :raises AlgorithmError: there is none, or it is MD5 (which is never sent).
    """
    wanted = name.lower().replace("-", "")
    for digest in Digest:
        if digest.value == wanted:
            return accept_digest(digest)
    raise AlgorithmError(
        f"there is no digest {name!r}; expected sha1, sha256, sha384 or sha512", algorithm=name
    )
