"""A small PKI for the tests: keys from tests/data/keys, certificates made on the spot.

Everything here is deterministic: the same call gives the same bytes, so two tests may compare
certificates they built apart.  Only `cryptography` is used, nothing of scepkit.

    from tests import pki

    ca = pki.root()
    agent = pki.ra(ca)
    router = pki.device(ca, "router1")
    ca.certificate, ca.key, ca.der
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import NameOID

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

#: The present, in every test.
NOW = datetime(2026, 6, 1, tzinfo=UTC)

KEY_DIRECTORY = Path(__file__).parent / "data" / "keys"

REQUEST_AGENT = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.1")
CMC_RA = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28")
SERVER_AUTH = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.1")
CLIENT_AUTH = x509.ObjectIdentifier("1.3.6.1.5.5.7.3.2")


@dataclass(frozen=True)
class Identity:
    """A certificate with its private key."""

    certificate: x509.Certificate
    key: PrivateKey

    @property
    def der(self) -> bytes:
        """The certificate as DER."""
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def name(self) -> x509.Name:
        """The subject."""
        return self.certificate.subject


@functools.cache
def key(name: str = "rsa2048-a") -> PrivateKey:
    """The committed key of this name: rsa2048-a, -b, -c, rsa1024, rsa3072, rsa4096, ec256-a, -b,
    ec384."""
    loaded = load_pem_private_key(key_pem(name), None)
    assert isinstance(loaded, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey)
    return loaded


def rsa_key(name: str = "rsa2048-a") -> rsa.RSAPrivateKey:
    """`key`, for where the type must be RSA."""
    loaded = key(name)
    assert isinstance(loaded, rsa.RSAPrivateKey)
    return loaded


def ec_key(name: str = "ec256-a") -> ec.EllipticCurvePrivateKey:
    """`key`, for where the type must be EC."""
    loaded = key(name)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded


def key_pem(name: str) -> bytes:
    """The file of `key`."""
    return (KEY_DIRECTORY / f"{name}.pem").read_bytes()


def name(common_name: str, organization: str = "Acme") -> x509.Name:
    """The Name ``CN=common_name,O=organization``."""
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def usage(*bits: str) -> x509.KeyUsage:
    """A KeyUsage with only these bits, by their names in `cryptography`."""
    known = (
        "digital_signature",
        "content_commitment",
        "key_encipherment",
        "data_encipherment",
        "key_agreement",
        "key_cert_sign",
        "crl_sign",
        "encipher_only",
        "decipher_only",
    )
    assert set(bits) <= set(known), bits
    return x509.KeyUsage(**{bit: bit in bits for bit in known})


def certificate(
    subject: x509.Name,
    subject_key: PrivateKey,
    *,
    issuer: Identity | None = None,
    key_usage: x509.KeyUsage | None = None,
    eku: Sequence[x509.ObjectIdentifier] = (),
    ca: bool | None = None,
    path_length: int | None = None,
    san: Sequence[x509.GeneralName] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
    not_before: datetime = NOW - timedelta(days=30),
    not_after: datetime = NOW + timedelta(days=365),
    serial: int | None = None,
    digest: hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None = None,
) -> Identity:
    """Any certificate; self-signed when there is no `issuer`.

    Without `serial` it is a hash of everything else that tells certificates apart. `ca` None leaves
    basicConstraints out.  The digest is SHA-256 unless another is given (`cryptography` signs no
    certificate with less).
    """
    signer = issuer.key if issuer else subject_key
    issuer_name = issuer.name if issuer else subject
    public_key = subject_key.public_key()
    ski = x509.SubjectKeyIdentifier.from_public_key(public_key)
    if serial is None:
        parts = (subject, issuer_name, ski.digest, not_before, not_after, key_usage, eku, ca, san)
        serial = int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:15], "big") | 1
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer_name)
        .public_key(public_key)
        .serial_number(serial)
        .not_valid_before(not_before)
        .not_valid_after(not_after)
        .add_extension(ski, critical=False)
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca, path_length), critical=True)
    if key_usage is not None:
        builder = builder.add_extension(key_usage, critical=True)
    if eku:
        builder = builder.add_extension(x509.ExtendedKeyUsage(eku), critical=False)
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    if issuer:
        aki = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(aki, critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    deterministic = isinstance(signer, ec.EllipticCurvePrivateKey) or None
    signed = builder.sign(signer, digest or hashes.SHA256(), ecdsa_deterministic=deterministic)
    return Identity(signed, subject_key)


def _ca_usage(key_name: str) -> x509.KeyUsage:
    """RFC 8894 section 2.1.2: a CA that is its own SCEP server also signs and decrypts messages."""
    bits = ["key_cert_sign", "crl_sign", "digital_signature"]
    return usage(*bits, *(["key_encipherment"] if key_name.startswith("rsa") else []))


def root(
    key_name: str = "rsa2048-a",
    common_name: str = "Test Root CA",
    *,
    key_usage: x509.KeyUsage | None = None,
    path_length: int | None = None,
    not_before: datetime = NOW - timedelta(days=365),
    not_after: datetime = NOW + timedelta(days=3650),
) -> Identity:
    """A self-signed CA fit for SCEP: also with digitalSignature and, for RSA, keyEncipherment."""
    return certificate(
        name(common_name),
        key(key_name),
        key_usage=key_usage or _ca_usage(key_name),
        ca=True,
        path_length=path_length,
        not_before=not_before,
        not_after=not_after,
    )


def intermediate(
    issuer: Identity,
    key_name: str = "rsa2048-b",
    common_name: str = "Test Issuing CA",
    *,
    key_usage: x509.KeyUsage | None = None,
    path_length: int | None = 0,
    not_before: datetime = NOW - timedelta(days=180),
    not_after: datetime = NOW + timedelta(days=1825),
) -> Identity:
    """A CA below `issuer`."""
    return certificate(
        name(common_name),
        key(key_name),
        issuer=issuer,
        key_usage=key_usage or _ca_usage(key_name),
        ca=True,
        path_length=path_length,
        not_before=not_before,
        not_after=not_after,
    )


def ra(
    issuer: Identity,
    key_name: str = "rsa2048-c",
    common_name: str = "Test RA",
    *,
    use: str = "both",
    eku: Sequence[x509.ObjectIdentifier] = (REQUEST_AGENT,),
    not_before: datetime = NOW - timedelta(days=90),
    not_after: datetime = NOW + timedelta(days=730),
) -> Identity:
    """An RA certificate; `use` is "both", "sign" or "encrypt" (NDES splits them)."""
    bits = {
        "both": ("digital_signature", "key_encipherment"),
        "sign": ("digital_signature",),
        "encrypt": ("key_encipherment",),
    }[use]
    return certificate(
        name(common_name),
        key(key_name),
        issuer=issuer,
        key_usage=usage(*bits),
        eku=eku,
        ca=False,
        not_before=not_before,
        not_after=not_after,
    )


def device(
    issuer: Identity,
    common_name: str = "device1",
    key_name: str = "rsa2048-c",
    *,
    eku: Sequence[x509.ObjectIdentifier] = (CLIENT_AUTH,),
    san: Sequence[x509.GeneralName] = (),
    not_before: datetime = NOW - timedelta(days=10),
    not_after: datetime = NOW + timedelta(days=80),
) -> Identity:
    """An ordinary end-entity certificate, as SCEP issues it."""
    rsa_bits = ("key_encipherment",) if key_name.startswith("rsa") else ()
    return certificate(
        name(common_name),
        key(key_name),
        issuer=issuer,
        key_usage=usage("digital_signature", *rsa_bits),
        eku=eku,
        ca=False,
        san=san,
        not_before=not_before,
        not_after=not_after,
    )


def self_signed(common_name: str = "device1", key_name: str = "rsa2048-c") -> Identity:
    """A device's own certificate for a first enrolment (RFC 8894 section 2.3)."""
    rsa_bits = ("key_encipherment",) if key_name.startswith("rsa") else ()
    return certificate(
        name(common_name),
        key(key_name),
        key_usage=usage("digital_signature", *rsa_bits),
        not_before=NOW - timedelta(days=1),
        not_after=NOW + timedelta(days=7),
    )
