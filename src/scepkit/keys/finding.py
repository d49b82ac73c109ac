"""What some bytes are, for the message about a file that is not what it should be.

The rule of this file: nothing here raises.  `found` runs after a loader has given up, so it may
be slow.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from scepkit.core.pem import is_pem, pem_blocks
from scepkit.errors import ScepError

# Magic bytes -> what it is, and how to make something of it that can be loaded.
_PUTTY_HINT = (
    "convert it with PuTTYgen (Conversions, Export OpenSSH key), and then: "
    "ssh-keygen -p -m PKCS8 -f FILE"
)
_JKS_HINT = (
    "convert it: keytool -importkeystore -deststoretype pkcs12 -srckeystore FILE "
    "-destkeystore FILE.p12"
)
_MAGIC: tuple[tuple[bytes, str, str], ...] = (
    (b"PuTTY-User-Key-File", "a PuTTY key", _PUTTY_HINT),
    (b"\xfe\xed\xfe\xed", "a Java key store (JKS)", _JKS_HINT),
    (b"ssh-", "an SSH public key", ""),
    (b"ecdsa-sha2-", "an SSH public key", ""),
)

_LABELS = {
    "CERTIFICATE": "a certificate",
    "X509 CERTIFICATE": "a certificate",
    "TRUSTED CERTIFICATE": "a certificate",
    "CERTIFICATE REQUEST": "a certification request",
    "NEW CERTIFICATE REQUEST": "a certification request",
    "PUBLIC KEY": "a public key",
    "RSA PUBLIC KEY": "a public key",
    "X509 CRL": "a CRL",
    "PKCS7": "a PKCS#7 bundle",
    "CMS": "a PKCS#7 bundle",
    "EC PARAMETERS": "EC parameters",
    "DH PARAMETERS": "DH parameters",
    "OPENSSH PRIVATE KEY": "an OpenSSH private key",
}

OPENSSH_HINT = (
    "convert a copy of it: ssh-keygen -p -m PKCS8 -f COPY writes the format that is read here"
)


def found(data: bytes) -> tuple[str, str]:
    """Name what `data` is, such as "a certificate", and give a hint how to convert it, or ""."""
    text = data.removeprefix(b"\xef\xbb\xbf").lstrip()
    if not text:
        return "nothing: it is empty", ""
    for magic, what, hint in _MAGIC:
        if text.startswith(magic):
            return what, hint
    if is_pem(data):
        return _found_in_pem(data)
    if text[:1] == b"<":
        return "an HTML or XML page", ""
    if data[:1] == b"0":
        return _found_in_der(data), ""
    return "something that is neither PEM nor DER", ""


def is_pkcs12(data: bytes) -> bool:
    """Whether `data` begins like PKCS#12 (RFC 7292 section 4): a SEQUENCE, version 3, SEQUENCE."""
    return _content(data).startswith(b"\x02\x01\x03\x30")


def is_bundle(data: bytes) -> bool:
    """Whether `data` begins like PKCS#7 (RFC 5652 section 3): a SEQUENCE, OBJECT IDENTIFIER."""
    return _content(data).startswith(b"\x06")


def _content(data: bytes) -> bytes:
    """The first bytes inside a SEQUENCE, DER or BER."""
    if data[:1] != b"0" or len(data) < 2:
        return b""
    start = 2 + (data[1] & 0x7F if data[1] > 0x80 else 0)
    return data[start : start + 4]


def _found_in_pem(data: bytes) -> tuple[str, str]:
    try:
        labels = list(dict.fromkeys(block.label for block in pem_blocks(data)))
    except ScepError as exc:
        return f"a damaged PEM file ({exc})", ""
    words = [_LABELS.get(label, _private(label)) for label in labels]
    hint = OPENSSH_HINT if "OPENSSH PRIVATE KEY" in labels else ""
    return " and ".join(dict.fromkeys(words)), hint


def _private(label: str) -> str:
    return "a private key" if label.endswith("PRIVATE KEY") else f"a PEM block {label!r}"


def _found_in_der(data: bytes) -> str:
    from scepkit.core import cms

    if is_pkcs12(data):
        return "a PKCS#12 file"
    for what, load in (
        ("a certificate", x509.load_der_x509_certificate),
        ("a certification request", x509.load_der_x509_csr),
        ("a CRL", x509.load_der_x509_crl),
        ("a public key", serialization.load_der_public_key),
        ("a PKCS#7 bundle", cms.read_bundle),
    ):
        try:
            load(data)
        except (ValueError, ScepError, UnsupportedAlgorithm):
            continue
        except (x509.InvalidVersion, TypeError, Warning):
            pass
        return what
    return _found_private(data)


def _found_private(data: bytes) -> str:
    try:
        # Only looked at, so the slow validation of its numbers is left out.
        serialization.load_der_private_key(data, None, unsafe_skip_rsa_key_validation=True)
    except TypeError:
        return "an encrypted private key"
    except (ValueError, UnsupportedAlgorithm, Warning):
        return "something in DER that is unknown or damaged"
    return "a private key"
