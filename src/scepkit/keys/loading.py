"""Loading keys, certificates and requests from memory and from files.

The rule of this file: the form is found out from the bytes, never from a file name, and everything
that cannot be loaded ends in a `KeyLoadError` which names the file, says what is in it, and what to
do.  PKCS#12 and PKCS#7 code is imported when such a file is met.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_private_key, load_pem_private_key

from scepkit.core.ber import first_element
from scepkit.core.certificates import PrivateKey
from scepkit.core.csr import read_csr
from scepkit.core.pem import PemBlock, is_pem, pem_blocks
from scepkit.errors import DecodeError, InputError, KeyLoadError, ScepError
from scepkit.keys.deriving import MAX_ROUNDS, rounds
from scepkit.keys.finding import found, is_bundle, is_pkcs12
from scepkit.keys.rsacheck import consistent
from scepkit.values import frozen

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.serialization.pkcs12 import PKCS12KeyAndCertificates

Path: TypeAlias = "str | os.PathLike[str]"

#: A file larger than this is not read: the system's bundle of CAs is a quarter of a megabyte.
MAX_FILE = 16 * 1024 * 1024
_MIN_RSA_BITS = 1024

_DEK_INFO = re.compile(rb"DEK-Info: *([A-Z0-9-]+),([0-9A-Fa-f]+)[ \r\n]")
_CERTIFICATE_LABELS = ("CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE")
_BUNDLE_LABELS = ("PKCS7", "CMS")


@frozen
class _Source:
    """Bytes to load something from, and how to speak of them."""

    data: bytes
    path: str
    name: str

    def error(self, text: str, *, reason: str = "unusable", hint: str = "") -> KeyLoadError:
        return KeyLoadError(f"{self.name} {text}", path=self.path, reason=reason, hint=hint)

    def is_not(self, expected: str) -> KeyLoadError:
        what, hint = found(self.data)
        given = self.path or "what was given"
        if what == expected:
            return self.error(f"is {expected} that is damaged or not supported", hint=hint)
        text = f"{given} is not {expected}; it is {what}"
        return KeyLoadError(text, path=self.path, reason="unusable", hint=hint)

    def blocks(self) -> tuple[PemBlock, ...]:
        try:
            return pem_blocks(self.data)
        except DecodeError as exc:
            raise self.error(f"is damaged: {exc}") from exc


# ------------------------------------------------------------------ private keys


def load_key(data: bytes, password: bytes | None = None, *, path: str = "") -> PrivateKey:
    """Load a private key: PEM or DER of PKCS#8, PKCS#1 or SEC1, or PKCS#12.

    In a PEM file the first private key counts; certificates beside it are skipped.

    :param password: for an encrypted key; it is ignored when the key is not encrypted.
    :param path: the file it came from, for messages.
    :raises KeyLoadError: there is no such key in it, the password is missing or wrong, the key is
        damaged or of another kind than RSA, EC or Ed25519.
    :raises InputError: the password is not bytes.
    """
    source = _Source(data, path, path or "the private key")
    _require_bytes(password)
    if is_pem(data):
        block = _private_key_block(source)
        if block.der:
            return _usable(_decrypted(load_der_private_key, block.der, password, source), source)
        _check_headers(block, source)
        return _usable(_decrypted(load_pem_private_key, block.text, password, source), source)
    if is_pkcs12(data):
        key = _pkcs12(source, password).key
        if key is None:
            raise source.error("is a PKCS#12 file without a private key")
        return _usable(key, source)
    return _usable(_decrypted(load_der_private_key, data, password, source), source)


def _require_bytes(password: object) -> None:
    if not isinstance(password, bytes | None):
        raise InputError("the password must be bytes; encode it first")


def _private_key_block(source: _Source) -> PemBlock:
    for block in source.blocks():
        if block.label.endswith("PRIVATE KEY") and block.label != "OPENSSH PRIVATE KEY":
            return block
    raise source.is_not("a private key")


def _check_headers(block: PemBlock, source: _Source) -> None:
    """Refuse an RFC 1421 header with an IV that is too short: `cryptography` 50 panics over it."""
    header = _DEK_INFO.search(block.text)
    if header is None or len(header[2]) != 2 * (16 if header[1].startswith(b"AES") else 8):
        raise source.error("is damaged: its DEK-Info header does not tell how it is encrypted")


def _decrypted(
    load: Callable[..., object], data: bytes, password: bytes | None, source: _Source
) -> object:
    if password:
        _check_rounds(data, source)
    try:
        # The validation that is skipped takes 35 ms for 2048 bits and 250 ms for 4096; `_usable`
        # does what matters of it in 1 ms.
        return load(data, password or None, unsafe_skip_rsa_key_validation=True)
    except TypeError as exc:
        if password:  # it is not encrypted
            return _decrypted(load, data, None, source)
        raise source.error(
            "is encrypted, and no password was given",
            reason="password-needed",
            hint="give its password",
        ) from exc
    except UnsupportedAlgorithm as exc:
        raise source.error(
            f"is of a kind that is not supported, or encrypted in a way that is not: {exc}",
            hint="rewrite it: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW",
        ) from exc
    except (ValueError, Warning) as exc:
        if password and _is_encrypted(load, data):
            raise source.error(
                "is not opened by the password that was given", reason="password-wrong"
            ) from exc
        raise source.is_not("a private key") from exc


def _check_rounds(data: bytes, source: _Source) -> None:
    asked = rounds(data)
    if asked > MAX_ROUNDS:
        raise source.error(
            f"asks for {asked} rounds to make a key of its password, expected at most {MAX_ROUNDS}",
            hint="whoever made it may want to keep this machine busy; write it anew with fewer",
        )


def _is_encrypted(load: Callable[..., object], data: bytes) -> bool:
    try:
        load(data, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        return True
    except (ValueError, UnsupportedAlgorithm, Warning):
        return False
    return False


def _usable(key: object, source: _Source) -> PrivateKey:
    match key:
        case rsa.RSAPrivateKey():
            if key.key_size < _MIN_RSA_BITS:
                raise source.error(f"is an RSA key of {key.key_size} bits, expected 2048 or more")
            if not consistent(key):
                raise source.error("is a damaged RSA key: its numbers do not fit together")
            return key
        case ec.EllipticCurvePrivateKey() | ed25519.Ed25519PrivateKey():
            return key
    kind = type(key).__name__.removesuffix("PrivateKey")
    raise source.error(f"is a {kind} key, expected RSA or EC")


# ------------------------------------------------------------------ PKCS#12


def _pkcs12(source: _Source, password: bytes | None) -> PKCS12KeyAndCertificates:
    from cryptography.hazmat.primitives.serialization import pkcs12

    _check_rounds(source.data, source)
    reasons: list[Exception] = []
    for attempt in (password, None) if password else (None,):
        try:
            return pkcs12.load_pkcs12(source.data, attempt)
        except (ValueError, TypeError, UnsupportedAlgorithm, Warning) as exc:
            reasons.append(exc)
    cause = reasons[0]
    if isinstance(cause, UnsupportedAlgorithm):
        error = source.error("is a PKCS#12 file with encryption that is not supported")
    elif password:
        error = source.error(
            "(PKCS#12) is damaged or not opened by the password that was given",
            reason="password-wrong",
        )
    else:
        error = source.error(
            "is a PKCS#12 file, and no password was given for it (or it is damaged)",
            reason="password-needed",
            hint="give its password",
        )
    raise error from cause


# ------------------------------------------------------------------ certificates


def load_certificates(
    data: bytes, password: bytes | None = None, *, path: str = ""
) -> tuple[x509.Certificate, ...]:
    """Load all certificates: PEM, DER, PKCS#7 (DER, BER or PEM) or PKCS#12, in their order.

    In PKCS#12 the key's own certificate comes first.  PEM blocks of other kinds are skipped.

    :param password: for PKCS#12.
    :param path: the file they came from, for messages.
    :raises KeyLoadError: there is none in it, one is malformed, the password is missing or wrong.
    :raises InputError: the password is not bytes.
    """
    source = _Source(data, path, path or "the certificate")
    _require_bytes(password)
    if is_pem(data):
        encoded = _certificates_in_pem(source)
    elif is_pkcs12(data):
        return _certificates_in_pkcs12(source, password)
    elif is_bundle(data):
        encoded = _bundle(data, source)
    else:
        return (_certificate(data, source, whole=True),)
    if not encoded:
        raise source.is_not("a certificate")
    return tuple(_certificate(der, source) for der in encoded)


def _certificates_in_pem(source: _Source) -> list[bytes]:
    encoded: list[bytes] = []
    for block in source.blocks():
        if block.label == "TRUSTED CERTIFICATE":
            # OpenSSL's trust settings follow the certificate.
            try:
                encoded.append(first_element(block.der)[0])
            except DecodeError as exc:
                raise source.error(f"has a damaged {block.label}: {exc}") from exc
        elif block.label in _CERTIFICATE_LABELS:
            encoded.append(block.der)
        elif block.label in _BUNDLE_LABELS:
            encoded += _bundle(block.der, source)
    return encoded


def _bundle(data: bytes, source: _Source) -> list[bytes]:
    from scepkit.core.cms import read_bundle

    try:
        return list(read_bundle(data).certificates)
    except ScepError as exc:
        raise source.error(f"is not a PKCS#7 bundle of certificates: {exc}") from exc


def _certificates_in_pkcs12(
    source: _Source, password: bytes | None
) -> tuple[x509.Certificate, ...]:
    content = _pkcs12(source, password)
    own = [content.cert] if content.cert else []
    certificates = tuple(one.certificate for one in (*own, *content.additional_certs))
    if not certificates:
        raise source.error("is a PKCS#12 file without a certificate")
    return certificates


def _certificate(der: bytes, source: _Source, *, whole: bool = False) -> x509.Certificate:
    """Load one; `whole` if there is nothing else in the source, and it may be no certificate."""
    try:
        return x509.load_der_x509_certificate(der)
    except ValueError as exc:
        if whole:
            raise source.is_not("a certificate") from exc
        raise source.error(f"has a malformed certificate: {exc}") from exc
    except (x509.InvalidVersion, Warning) as exc:  # Warning: wherever warnings are made errors
        raise source.error(f"has a malformed certificate: {exc}") from exc


# ------------------------------------------------------------------ requests


def load_csr(data: bytes, *, path: str = "") -> x509.CertificateSigningRequest:
    """Load a certification request (PKCS#10): PEM or DER.

    :param path: the file it came from, for messages.
    :raises KeyLoadError: it is not one, or `cryptography` refuses what is in it.
    """
    source = _Source(data, path, path or "the certification request")
    try:
        der = read_csr(data).der
    except ScepError as exc:
        raise source.is_not("a certification request") from exc
    try:
        return x509.load_der_x509_csr(der)
    except (ValueError, x509.InvalidVersion) as exc:
        raise source.error(
            f"is a certification request that breaks the rules of its encoding: {exc}",
            hint="make the request anew with another program, or let scepkit make it",
        ) from exc


# ------------------------------------------------------------------ files


def read_key_file(path: Path, password: bytes | None = None) -> PrivateKey:
    """`load_key` from a file.

    :raises KeyLoadError: also when the file cannot be read.
    """
    return load_key(read_file(path), password, path=os.fspath(path))


def read_certificates_file(
    path: Path, password: bytes | None = None
) -> tuple[x509.Certificate, ...]:
    """`load_certificates` from a file.

    :raises KeyLoadError: also when the file cannot be read.
    """
    return load_certificates(read_file(path), password, path=os.fspath(path))


def read_csr_file(path: Path) -> x509.CertificateSigningRequest:
    """`load_csr` from a file.

    :raises KeyLoadError: also when the file cannot be read.
    """
    return load_csr(read_file(path), path=os.fspath(path))


def read_file(path: Path) -> bytes:
    """The content of a small file (16 MiB at most).

    :raises KeyLoadError: it is not there, is a directory, may not be read, or is too large.
    """
    name = os.fspath(path)
    try:
        with open(name, "rb") as file:
            data = file.read(MAX_FILE + 1)
    except FileNotFoundError as exc:
        raise KeyLoadError(f"there is no file {name}", path=name, reason="missing") from exc
    except IsADirectoryError as exc:
        raise KeyLoadError(f"{name} is a directory, expected a file", path=name) from exc
    except PermissionError as exc:
        raise KeyLoadError(
            f"{name} may not be read by this user", path=name, hint="check its owner and mode"
        ) from exc
    except (OSError, ValueError) as exc:
        reason = getattr(exc, "strerror", None) or exc
        raise KeyLoadError(f"{name!r} cannot be read: {reason}", path=name) from exc
    if len(data) > MAX_FILE:
        raise KeyLoadError(f"{name} is larger than {MAX_FILE} bytes", path=name)
    return data
