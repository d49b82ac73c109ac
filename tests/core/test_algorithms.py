"""Algorithms by name and OID, and the refusal of those RFC 8894 forbids."""

from __future__ import annotations

import hashlib

import pytest

from scepkit.core import algorithms
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.errors import AlgorithmError, FailInfo

FORBIDDEN = {Digest.MD5, Cipher.DES_CBC}


@pytest.mark.parametrize("digest", Digest)
def test_digest_is_found_by_its_oid(digest: Digest) -> None:
    assert algorithms.digest_for_oid(digest.oid, allow_legacy=True) is digest
    assert algorithms.oid_name(digest.oid) == digest.value


@pytest.mark.parametrize("cipher", Cipher)
def test_cipher_is_found_by_its_oid(cipher: Cipher) -> None:
    assert algorithms.cipher_for_oid(cipher.oid, allow_legacy=True) is cipher
    assert algorithms.oid_name(cipher.oid) == cipher.value


@pytest.mark.parametrize("digest", Digest)
def test_digest_is_the_one_of_its_name(digest: Digest) -> None:
    assert digest.of(b"abc") == hashlib.new(digest.value, b"abc").digest()
    assert digest.hash().name == digest.value
    assert Digest(digest.value) is digest


@pytest.mark.parametrize(
    ("cipher", "key", "block"),
    [
        (Cipher.AES128_CBC, 16, 16),
        (Cipher.AES192_CBC, 24, 16),
        (Cipher.AES256_CBC, 32, 16),
        (Cipher.DES_EDE3_CBC, 24, 8),
        (Cipher.DES_CBC, 8, 8),
    ],
)
def test_cipher_knows_its_sizes(cipher: Cipher, key: int, block: int) -> None:
    assert (cipher.key_bytes, cipher.block_bytes) == (key, block)
    assert Cipher(cipher.value) is cipher


def test_only_single_des_and_md5_are_legacy() -> None:
    assert {one for one in (*Digest, *Cipher) if one.legacy} == FORBIDDEN


def test_oaep_names_its_digest() -> None:
    assert KeyTransport.RSA_PKCS1V15.oaep_digest is None
    assert KeyTransport.RSA_PKCS1V15.mgf_digest is None
    named = {one.value: (one.oaep_digest, one.mgf_digest) for one in KeyTransport}
    assert named["rsa-oaep-sha1"] == (Digest.SHA1, Digest.SHA1)
    assert named["rsa-oaep-sha384"] == (Digest.SHA384, Digest.SHA384)
    assert named["rsa-oaep-sha384-mgf1-sha1"] == (Digest.SHA384, Digest.SHA1)


def test_md5_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(AlgorithmError, match="MD5, which RFC 8894 forbids") as caught:
        algorithms.digest_for_oid(Digest.MD5.oid)
    assert caught.value.algorithm == "md5"
    assert caught.value.fail_info is FailInfo.BAD_ALG
    assert "SHA-256" in caught.value.hint
    assert "--accept-legacy-replies" in caught.value.hint


def test_single_des_is_refused_with_the_setting_to_change() -> None:
    with pytest.raises(AlgorithmError, match="single DES, which RFC 8894 forbids") as caught:
        algorithms.cipher_for_oid(Cipher.DES_CBC.oid)
    assert caught.value.algorithm == "des-cbc"
    assert "encryptionAlgorithmIdentifier" in caught.value.hint
    assert "--accept-legacy-replies" in caught.value.hint


@pytest.mark.parametrize(
    ("oid", "name"),
    [
        ("2.16.840.1.101.3.4.2.4", "SHA-224"),
        ("1.2.840.113549.2.2", "MD2"),
        ("1.2.3.4", "1.2.3.4"),
    ],
)
def test_unknown_digest_is_named(oid: str, name: str) -> None:
    with pytest.raises(AlgorithmError, match="not supported") as caught:
        algorithms.digest_for_oid(oid, allow_legacy=True)
    assert caught.value.algorithm == name
    assert name in str(caught.value)


@pytest.mark.parametrize(
    ("oid", "name", "hinted"),
    [
        ("2.16.840.1.101.3.4.1.6", "AES-128-GCM", True),
        ("2.16.840.1.101.3.4.1.46", "AES-256-GCM", True),
        ("1.2.840.113549.3.2", "RC2-CBC", False),
        ("1.2.3.4", "1.2.3.4", False),
    ],
)
def test_unknown_cipher_is_named(oid: str, name: str, hinted: bool) -> None:
    with pytest.raises(AlgorithmError, match="not supported") as caught:
        algorithms.cipher_for_oid(oid, allow_legacy=True)
    assert caught.value.algorithm == name
    assert ("step-ca" in caught.value.hint) is hinted


@pytest.mark.parametrize(
    ("name", "cipher"),
    [
        ("aes128", Cipher.AES128_CBC),
        ("AES-128", Cipher.AES128_CBC),
        ("AES_192_CBC", Cipher.AES192_CBC),
        ("aes256-cbc", Cipher.AES256_CBC),
        ("3des", Cipher.DES_EDE3_CBC),
        ("3DES-CBC", Cipher.DES_EDE3_CBC),
        ("des3", Cipher.DES_EDE3_CBC),
    ],
)
def test_cipher_is_found_by_its_name(name: str, cipher: Cipher) -> None:
    assert algorithms.cipher_named(name) is cipher


@pytest.mark.parametrize("name", ["", "-cbc", "des", "DES-CBC", "aes", "aes512", "rc4", "3des3"])
def test_cipher_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(AlgorithmError):
        algorithms.cipher_named(name)


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("sha1", Digest.SHA1),
        ("SHA-256", Digest.SHA256),
        ("sha-384", Digest.SHA384),
        ("SHA512", Digest.SHA512),
    ],
)
def test_digest_is_found_by_its_name(name: str, digest: Digest) -> None:
    assert algorithms.digest_named(name) is digest


@pytest.mark.parametrize("name", ["", "md5", "MD-5", "sha", "sha224", "sha3-256"])
def test_digest_of_another_name_is_refused(name: str) -> None:
    with pytest.raises(AlgorithmError):
        algorithms.digest_named(name)
