"""Requests and certificates as JSON values, in the form that step-ca's webhooks have them.

The rule of this file: nothing is left out that a receiver may need to decide, and the request
itself is there in DER (``raw``), so that a receiver need not believe our reading of it.
"""

from __future__ import annotations

from base64 import b64encode
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID

from scepkit.ca.altnames import kind_of
from scepkit.core.certificates import public_key_der
from scepkit.core.csr import ParsedCsr
from scepkit.server.naming import san_text

_SUBJECT_FIELDS = {
    NameOID.COUNTRY_NAME: "country",
    NameOID.ORGANIZATION_NAME: "organization",
    NameOID.ORGANIZATIONAL_UNIT_NAME: "organizationalUnit",
    NameOID.LOCALITY_NAME: "locality",
    NameOID.STATE_OR_PROVINCE_NAME: "province",
    NameOID.STREET_ADDRESS: "streetAddress",
    NameOID.POSTAL_CODE: "postalCode",
    NameOID.SERIAL_NUMBER: "serialNumber",
    NameOID.COMMON_NAME: "commonName",
}
_SINGLE = {"serialNumber", "commonName"}
_SAN_FIELDS = {"dns": "dnsNames", "email": "emailAddresses", "ip": "ipAddresses", "uri": "uris"}


def described_request(csr: ParsedCsr) -> dict[str, object]:
    """A certification request."""
    extensions = list(csr.extensions or ())
    return {
        "version": 0,
        "subject": _subject(csr.subject),
        "rawSubject": _base64(csr.subject_der),
        **_names(extensions),
        "extensions": [_extension(extension) for extension in extensions],
        "publicKey": _base64(public_key_der(csr.public_key)),
        "publicKeyAlgorithm": _algorithm(csr.public_key),
        "raw": _base64(csr.der),
    }


def described_certificate(der: bytes) -> dict[str, object]:
    """A certificate that this server issued."""
    certificate = x509.load_der_x509_certificate(der)
    extensions = list(certificate.extensions)
    return {
        "version": 3,
        "serialNumber": str(certificate.serial_number),
        "subject": _subject(certificate.subject),
        "issuer": _subject(certificate.issuer),
        **_names(extensions),
        "extensions": [_extension(extension) for extension in extensions],
        "publicKey": _base64(public_key_der(certificate.public_key())),
        "publicKeyAlgorithm": _algorithm(certificate.public_key()),
        "notBefore": _time(certificate.not_valid_before_utc),
        "notAfter": _time(certificate.not_valid_after_utc),
        "raw": _base64(der),
    }


def _subject(name: x509.Name | None) -> dict[str, object]:
    found: dict[str, object] = {}
    extra: list[dict[str, str]] = []
    for attribute in name or ():
        value = str(attribute.value)
        word = _SUBJECT_FIELDS.get(attribute.oid)
        if word is None or (word in _SINGLE and word in found):
            extra.append({"type": attribute.oid.dotted_string, "value": value})
        elif word in _SINGLE:
            found[word] = value
        else:
            values = found.setdefault(word, [])
            assert isinstance(values, list)  # noqa: S101
            values.append(value)
    if extra:
        found["extraNames"] = extra
    return found


def _names(extensions: list[x509.Extension[x509.ExtensionType]]) -> dict[str, object]:
    found: dict[str, list[object]] = {word: [] for word in _SAN_FIELDS.values()}
    other: list[object] = []
    for extension in extensions:
        if not isinstance(extension.value, x509.SubjectAlternativeName):
            continue
        for name in extension.value:
            kind, _, value = san_text(name).partition(":")
            if kind_of(name) in _SAN_FIELDS:
                found[_SAN_FIELDS[kind]].append(value)
            else:
                other.append({"type": kind, "value": value})
    return {**found, "sans": other}


def _extension(extension: x509.Extension[x509.ExtensionType]) -> dict[str, object]:
    try:
        value = extension.value.public_bytes()
    except (ValueError, TypeError, NotImplementedError):
        value = b""  # it is in `raw`
    return {
        "id": extension.oid.dotted_string,
        "critical": extension.critical,
        "value": _base64(value),
    }


def _algorithm(key: object) -> str:
    match key:
        case rsa.RSAPublicKey():
            return "RSA"
        case ec.EllipticCurvePublicKey():
            return "ECDSA"
        case ed25519.Ed25519PublicKey():
            return "Ed25519"
    return ""


def _base64(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _time(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
