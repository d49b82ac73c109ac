"""Certificates as JSON and as lines of text.

The rule of this file: names as in RFC 4514, times as in RFC 3339 and in UTC, serial numbers and
fingerprints in lower-case hex; the same names as `scepkit inspect --json` has.  A certificate
comes from the network: what cannot be read is said to be unreadable and is no error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core.certificates import PrivateKey, view_of
from scepkit.core.names import format_subject

T = TypeVar("T")

_EMPTY = "(empty)"
_UNREADABLE = "(unreadable)"


def certificate_values(certificate: x509.Certificate) -> dict[str, Any]:
    """What ``--json`` says of a certificate."""
    return {
        "subject": subject_text(certificate),
        "issuer": _try(lambda: format_subject(certificate.issuer), _UNREADABLE),
        "serialNumber": serial_text(view_of(certificate).serial_number),
        "notBefore": rfc3339(certificate.not_valid_before_utc),
        "notAfter": rfc3339(certificate.not_valid_after_utc),
        "key": key_text(certificate),
        "subjectAltName": alternative_names(certificate),
        "sha256": certificate.fingerprint(hashes.SHA256()).hex(),
        "sha1": certificate.fingerprint(hashes.SHA1()).hex(),  # noqa: S303 - shown, not trusted
        "pem": pem(certificate),
    }


def certificate_lines(values: dict[str, Any]) -> Iterable[tuple[str, str]]:
    """The same for people: names and values."""
    yield "subject", values["subject"] or _EMPTY
    for name in values["subjectAltName"]:
        yield "", name
    yield "issuer", values["issuer"] or _EMPTY
    yield "serial number", values["serialNumber"]
    yield "valid", f"{values['notBefore']} to {values['notAfter']}"
    yield "key", values["key"]
    yield "SHA-256", colons(values["sha256"])


def crl_values(crl: x509.CertificateRevocationList) -> dict[str, Any]:
    """What ``--json`` says of a CRL."""
    number = _try(lambda: crl.extensions.get_extension_for_class(x509.CRLNumber).value, None)
    return {
        "issuer": _try(lambda: format_subject(crl.issuer), _UNREADABLE),
        "number": None if number is None else number.crl_number,
        "thisUpdate": rfc3339(crl.last_update_utc),
        "nextUpdate": rfc3339(crl.next_update_utc) if crl.next_update_utc else None,
        "entries": len(crl),
        "pem": pem(crl),
    }


def subject_text(certificate: x509.Certificate) -> str:
    """The subject as RFC 4514 text."""
    return _try(lambda: format_subject(certificate.subject), _UNREADABLE)


def key_text(certificate: x509.Certificate) -> str:
    """Kind and size of the certificate's key, such as ``RSA 2048``."""
    return public_key_text(_try(certificate.public_key, None))


def public_key_text(key: object) -> str:
    """Kind and size of a public key, such as ``RSA 2048``."""
    match key:
        case None:
            return _UNREADABLE
        case rsa.RSAPublicKey():
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            return f"EC {key.curve.name}"
        case _:
            return type(key).__name__.removesuffix("PublicKey").lstrip("_")


def alternative_names(certificate: x509.Certificate) -> list[str]:
    """The subjectAltName, each as ``--san`` would take it where it can."""
    found = _try(
        lambda: certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value,
        None,
    )
    if found is None:
        return []
    from scepkit.core.inspect.parts import alternative_names as as_text

    return list(as_text(certificate.extensions))


def is_ca(certificate: x509.Certificate) -> bool:
    """Whether basicConstraints say that it is a CA's."""
    found = _try(
        lambda: certificate.extensions.get_extension_for_class(x509.BasicConstraints).value, None
    )
    return found is not None and found.ca


def key_usage(certificate: x509.Certificate) -> x509.KeyUsage | None:
    """The keyUsage extension, or None when there is none."""
    return _try(lambda: certificate.extensions.get_extension_for_class(x509.KeyUsage).value, None)


def pem(certificate: x509.Certificate | x509.CertificateRevocationList) -> str:
    """The certificate or CRL in PEM."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")


def pem_bundle(certificates: Iterable[x509.Certificate]) -> bytes:
    """Several certificates in PEM."""
    return b"".join(certificate.public_bytes(Encoding.PEM) for certificate in certificates)


def rfc3339(moment: datetime) -> str:
    """A time in UTC, to the second."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def serial_text(number: int) -> str:
    """A serial number as it is shown everywhere."""
    return f"{number:x}"


def colons(digits: str) -> str:
    """Hex digits in upper case, in pairs, as operators read them out."""
    upper = digits.upper()
    return ":".join(upper[at : at + 2] for at in range(0, len(upper), 2))


def _try(read: Callable[[], T], otherwise: T) -> T:
    try:
        return read()
    # What `cryptography` raises for parts it reads only when asked.
    except (
        ValueError,
        TypeError,
        x509.DuplicateExtension,
        x509.ExtensionNotFound,
        x509.UnsupportedGeneralNameType,
        Warning,  # wherever warnings are made errors
    ):
        return otherwise


def key_type(key: PrivateKey) -> str:
    """The type of a key as ``--key-type`` takes it; "" for one that it does not know."""
    match key:
        case rsa.RSAPrivateKey():
            return f"rsa:{key.key_size}"
        case ec.EllipticCurvePrivateKey():
            return f"ec:p{key.curve.key_size}"
        case _:
            return ""
