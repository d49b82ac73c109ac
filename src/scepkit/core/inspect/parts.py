"""Certificates, CRLs and PKCS#10 requests, described as far as they can be read.

The rule of this file: nothing raises.  What cannot be read becomes an oddity; the rest is shown.
"""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtensionOID

from scepkit.core import algorithms
from scepkit.core.algorithms import Digest
from scepkit.core.ber import to_der
from scepkit.core.certificates import CertificateView, load_public_key, view
from scepkit.core.csr import ParsedCsr, challenge_element, read_csr
from scepkit.core.inspect.values import CertificateInfo, CrlInfo, CsrInfo, Oddity
from scepkit.core.names import format_subject
from scepkit.core.sentnames import read_name
from scepkit.core.strings import text_value
from scepkit.errors import AlgorithmError, DecodeError, ProtocolError, SignatureError

_UPN = "1.3.6.1.4.1.311.20.2.3"
_UTF8_STRING, _PRINTABLE_STRING = 0x0C, 0x13
_SMALLEST_RSA = 2048
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)
_OLD_CERTIFICATE_DIGESTS = (Digest.MD5, Digest.SHA1)

# What `cryptography` raises for values it only reads when asked: malformed (ValueError, TypeError),
# twice there, of a kind it does not know.
_UNREADABLE = (
    ValueError,
    TypeError,
    x509.InvalidVersion,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)
_EXTENSIONS = {
    "1.3.6.1.4.1.311.20.2": "msCertificateTemplateName",
    "1.3.6.1.4.1.311.21.7": "msCertificateTemplate",
    "1.3.6.1.4.1.311.21.10": "msApplicationPolicies",
    "1.3.6.1.4.1.311.25.2": "msSecurityIdentifier",
}
_USAGE_BITS = {
    "digital_signature": "digitalSignature",
    "content_commitment": "contentCommitment",
    "key_encipherment": "keyEncipherment",
    "data_encipherment": "dataEncipherment",
    "key_agreement": "keyAgreement",
    "key_cert_sign": "keyCertSign",
    "crl_sign": "cRLSign",
}


def name_text(der: bytes) -> str:
    """A Name (DER) as RFC 4514 text; in hexadecimal when it cannot be read."""
    name = read_name(der)
    if name is not None:
        return format_subject(name)
    try:
        # What nobody should issue, such as a common name of more than 64 characters.
        return format_subject(x509.Name.from_bytes(der))
    except (ValueError, TypeError):
        return f"#{der.hex()}"


def key_text(spki: bytes, whose: str, odd: list[Oddity]) -> str:
    """Kind and size of a public key (SubjectPublicKeyInfo in DER)."""
    try:
        key = load_public_key(spki)
    except AlgorithmError:
        odd.append(Oddity("RFC 8894 3.1", f"the key of {whose} cannot be read: neither RSA nor EC"))
        return "unknown"
    match key:
        case rsa.RSAPublicKey():
            if key.key_size < _SMALLEST_RSA:
                odd.append(
                    Oddity("A24", f"the key of {whose} is RSA with {key.key_size} bits only")
                )
            return f"RSA {key.key_size}"
        case ec.EllipticCurvePublicKey():
            if not isinstance(key.curve, _CURVES):
                odd.append(Oddity("A24", f"the key of {whose} is on the curve {key.curve.name}"))
            return f"EC {key.curve.name}"
        case _:
            return type(key).__name__.removesuffix("PublicKey").lstrip("_")


# ------------------------------------------------------------------ certificates


def certificate_info(der: bytes, whose: str, odd: list[Oddity]) -> CertificateInfo | None:
    """Describe a certificate (DER); None when not even issuer, serial number and key are there."""
    try:
        seen = view(der)
    except DecodeError as exc:
        odd.append(Oddity("RFC 5280 4.1", f"{whose} cannot be read: {exc}"))
        return None
    try:
        return _strict_info(x509.load_der_x509_certificate(der), seen, whose, odd)
    except _UNREADABLE as exc:
        reason = str(exc).split("\n", 1)[0]
        odd.append(Oddity("Q30", f"{whose} is malformed: {reason}"))
    return _info(seen, whose, odd)


def _strict_info(
    certificate: x509.Certificate, seen: CertificateView, whose: str, odd: list[Oddity]
) -> CertificateInfo:
    extensions = {one.oid: one.value for one in certificate.extensions}
    usage = extensions.get(ExtensionOID.KEY_USAGE)
    purposes = extensions.get(ExtensionOID.EXTENDED_KEY_USAGE)
    constraints = extensions.get(ExtensionOID.BASIC_CONSTRAINTS)
    known = _info(seen, whose, [])
    found = CertificateInfo(
        subject=known.subject,
        issuer=known.issuer,
        serial_number=known.serial_number,
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        key=known.key,
        ca=isinstance(constraints, x509.BasicConstraints) and constraints.ca,
        key_usage=_usages(usage) if isinstance(usage, x509.KeyUsage) else (),
        extended_key_usage=tuple(oid_name(one) for one in purposes)
        if isinstance(purposes, x509.ExtendedKeyUsage)
        else (),
        alternative_names=alternative_names(certificate.extensions),
        signature_algorithm=signature_name(
            certificate.signature_algorithm_oid.dotted_string, whose, odd
        ),
        self_issued=known.self_issued,
        sha256=known.sha256,
        der=seen.der,
        spki=seen.spki,
    )
    key_text(seen.spki, whose, odd)
    return found


def _info(seen: CertificateView, whose: str, odd: list[Oddity]) -> CertificateInfo:
    return CertificateInfo(
        subject=name_text(seen.subject),
        issuer=name_text(seen.issuer),
        serial_number=f"{seen.serial_number:x}",
        not_before=None,
        not_after=None,
        key=key_text(seen.spki, whose, odd),
        ca=False,
        key_usage=(),
        extended_key_usage=(),
        alternative_names=(),
        signature_algorithm="",
        self_issued=seen.subject == seen.issuer,
        sha256=Digest.SHA256.of(seen.der).hex(),
        der=seen.der,
        spki=seen.spki,
    )


def signature_name(oid: str, whose: str, odd: list[Oddity]) -> str:
    """The name of a certificate's signature algorithm."""
    digest = algorithms.signature_digest(oid)
    if digest in _OLD_CERTIFICATE_DIGESTS:
        odd.append(Oddity("Q30", f"{whose} is signed with {digest.value}"))
    return algorithm_text(oid)


_SIGNATURE_NAMES = {
    algorithms.OID_RSA_ENCRYPTION: "rsaEncryption",
    algorithms.OID_RSA_PSS: "rsassa-pss",
    algorithms.OID_ED25519: "ed25519",
    **{oid: f"{one.value}WithRSAEncryption" for oid, one in algorithms.RSA_SIGNATURES.items()},
    **{oid: f"ecdsa-with-{one.value}" for oid, one in algorithms.ECDSA_SIGNATURES.items()},
}


def algorithm_text(oid: str) -> str:
    """The name of any algorithm OID, or the OID."""
    return _SIGNATURE_NAMES.get(oid) or algorithms.oid_name(oid)


def _usages(usage: x509.KeyUsage) -> tuple[str, ...]:
    return tuple(name for bit, name in _USAGE_BITS.items() if getattr(usage, bit))


def oid_name(oid: x509.ObjectIdentifier) -> str:
    """The name of an extension or a key purpose, or the OID."""
    known = _EXTENSIONS.get(oid.dotted_string, oid._name)
    return oid.dotted_string if known == "Unknown OID" else known


def alternative_names(extensions: Iterable[x509.Extension[x509.ExtensionType]]) -> tuple[str, ...]:
    """The subject alternative names, written as `names.parse_san` reads them."""
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return tuple(_general_name(name) for name in extension.value)
    return ()


def _general_name(name: x509.GeneralName) -> str:
    match name:
        case x509.DNSName():
            return f"dns:{name.value}"
        case x509.IPAddress():
            return f"ip:{name.value}"
        case x509.RFC822Name():
            return f"email:{name.value}"
        case x509.UniformResourceIdentifier():
            return f"uri:{name.value}"
        case x509.DirectoryName():
            return f"dirname:{format_subject(name.value)}"
        case x509.RegisteredID():
            return f"rid:{name.value.dotted_string}"
        case _:
            return _other_name(name)


def _other_name(name: x509.GeneralName) -> str:
    # The last of GeneralName's kinds that `cryptography` reads.
    assert isinstance(name, x509.OtherName)  # noqa: S101
    oid = name.type_id.dotted_string
    if oid == _UPN:
        try:
            return f"upn:{text_value(to_der(name.value), 'upn')}"
        except DecodeError:
            pass
    return f"othername:{oid};DER:{name.value.hex()}"


# ------------------------------------------------------------------ CRLs


def crl_info(der: bytes, odd: list[Oddity]) -> CrlInfo | None:
    """Describe a CRL (DER)."""
    try:
        crl = x509.load_der_x509_crl(der)
        numbers = [
            extension.value.crl_number
            for extension in crl.extensions
            if isinstance(extension.value, x509.CRLNumber)
        ]
        return CrlInfo(
            issuer=format_subject(crl.issuer),
            number=numbers[0] if numbers else None,
            this_update=crl.last_update_utc,
            next_update=crl.next_update_utc,
            entries=len(crl),
            der=der,
        )
    except _UNREADABLE as exc:
        reason = str(exc).split("\n", 1)[0]
        odd.append(Oddity("RFC 5280 5.1", f"the CRL cannot be read: {reason}"))
        return None


# ------------------------------------------------------------------ PKCS#10


def csr_info(der: bytes, odd: list[Oddity]) -> CsrInfo | None:
    """Describe a PKCS#10 request (DER)."""
    try:
        csr = read_csr(der)
    except (DecodeError, AlgorithmError) as exc:
        odd.append(Oddity("RFC 2986 4", f"the PKCS#10 request cannot be read: {exc}"))
        return None
    extensions = csr.extensions or ()
    for extension in extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            odd.append(Oddity("A8", "the PKCS#10 request asks to be a CA"))
    return CsrInfo(
        subject=name_text(csr.subject_der),
        key=key_text(csr.spki_der, "the PKCS#10 request", odd),
        challenge_password=_challenge_state(csr, odd),
        alternative_names=alternative_names(extensions),
        extensions=tuple(oid_name(extension.oid) for extension in extensions),
        signature=_csr_signature(csr, odd),
        spki=csr.spki_der,
    )


def _csr_signature(csr: ParsedCsr, odd: list[Oddity]) -> str:
    try:
        csr.check_signature()
    except SignatureError as exc:
        odd.append(Oddity("RFC 2986 4.2", str(exc)))
        return "broken"
    except ProtocolError as exc:
        odd.append(Oddity("RFC 8894 2.9", str(exc)))
        return "unverifiable"
    return "valid"


def _challenge_state(csr: ParsedCsr, odd: list[Oddity]) -> str:
    if csr.challenge is None:
        return "absent"
    element = challenge_element(csr.der)
    if element and element[0] not in (_UTF8_STRING, _PRINTABLE_STRING):
        odd.append(Oddity("Q19", "the challengePassword is no PrintableString and no UTF8String"))
    return "present" if csr.challenge else "empty"
