"""The content ciphers at work: CBC, its padding, and its AlgorithmIdentifier.

The rules of this file: single DES is only ever decrypted with, and `unpad` does not say what is
wrong (attack A3).
"""

from __future__ import annotations

import hmac

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher as CipherContext
from cryptography.hazmat.primitives.ciphers import modes
from cryptography.hazmat.primitives.ciphers.algorithms import AES

from scepkit.core import asn1
from scepkit.core.algorithms import Cipher
from scepkit.errors import DecodeError


def encrypt(cipher: Cipher, key: bytes, iv: bytes, data: bytes) -> bytes:
    """Encrypt whole blocks; no padding is added."""
    worker = CipherContext(_algorithm(cipher, key), modes.CBC(iv)).encryptor()
    return worker.update(data) + worker.finalize()


def decrypt(cipher: Cipher, key: bytes, iv: bytes, data: bytes) -> bytes:
    """Decrypt whole blocks; the padding stays."""
    worker = CipherContext(_algorithm(cipher, key), modes.CBC(iv)).decryptor()
    return worker.update(data) + worker.finalize()


def _algorithm(cipher: Cipher, key: bytes) -> AES | TripleDES:
    if cipher is Cipher.DES_EDE3_CBC:
        return TripleDES(key)
    if cipher is Cipher.DES_CBC:
        # EDE with one key three times is single DES; OpenSSL itself no longer has it.
        return TripleDES(key * 3)
    return AES(key)


def pad(data: bytes, block: int) -> bytes:
    """Add the padding of RFC 5652 section 6.3."""
    count = block - len(data) % block
    return data + bytes((count,)) * count


def unpad(padded: bytes, block: int) -> bytes | None:
    """Take off the padding of RFC 5652 section 6.3; None when it is not right.

    :param padded: at least one block.
    """
    count = padded[-1]
    if not 1 <= count <= block:
        return None
    if not hmac.compare_digest(padded[-count:], bytes((count,)) * count):
        return None
    return padded[:-count]


def identifier(cipher: Cipher, iv: bytes) -> bytes:
    """The AlgorithmIdentifier of a cipher with its IV."""
    return asn1.element(
        asn1.SEQUENCE, asn1.oid_der(cipher.oid), asn1.element(asn1.OCTET_STRING, iv)
    )


def read_iv(parameters: bytes, cipher: Cipher) -> bytes:
    """The IV in the parameters of an AlgorithmIdentifier.

    :raises DecodeError: there is none, or it has another length than the cipher's block.
    """
    length = cipher.block_bytes
    if len(parameters) != length + 2 or parameters[:2] != bytes((asn1.OCTET_STRING, length)):
        raise DecodeError(f"the IV of {cipher.value} is missing or is not {length} bytes long")
    return parameters[2:]
