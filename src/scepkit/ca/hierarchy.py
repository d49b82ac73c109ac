"""The certificates that others depend on: root, intermediate, RA, and chains of them.

The rule of this file: what a CA or an RA certificate contains is fixed here; the caller chooses
names, keys and dates.

    root = make_ca("CN=Acme Root,O=Acme", root_key, now=now, serves_scep=False)
    issuing = make_intermediate(root, "CN=Acme Device CA,O=Acme", ca_key, now=now)
    agent = make_ra_certificate(issuing, "CN=Acme RA", ra_key.public_key(), now=now)
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.ca.authority import (
    CaIssuer,
    certificate_builder,
    extension,
    signature_hash,
)
from scepkit.ca.checks import check_time
from scepkit.ca.profile import usage_extension
from scepkit.ca.template import CertificateTemplate
from scepkit.core.certificates import public_key_der
from scepkit.core.names import parse_subject
from scepkit.errors import InputError

if TYPE_CHECKING:
    from datetime import datetime

    from scepkit.ca.keys import CertifiableKey
    from scepkit.core.algorithms import Digest
    from scepkit.core.certificates import PrivateKey

#: Microsoft's certificate request agent and RFC 6402's id-kp-cmcRA: what marks an RA (Q29).
RA_EXTENDED_KEY_USAGE = (
    x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.1"),
    x509.ObjectIdentifier("1.3.6.1.5.5.7.3.28"),
)

_DAY = timedelta(days=1)


def make_ca(
    subject: str | x509.Name,
    key: PrivateKey,
    *,
    now: datetime,
    lifetime: timedelta = 3650 * _DAY,
    backdate: timedelta = _DAY,
    path_length: int | None = None,
    serves_scep: bool = True,
    serial: int | None = None,
    digest: Digest | None = None,
) -> CaIssuer:
    """Make a self-signed root CA.

    :param subject: an `x509.Name`, or text such as ``CN=Acme CA,O=Acme``.
    :param path_length: how many CAs may stand below; None for any number.
    :param serves_scep: also allow the key to sign SCEP messages and, if RSA, to decrypt them
        (RFC 8894 section 2.1.2); without it an RA certificate is needed.
    :param serial: the serial number; random without it.
    :raises InputError: the subject cannot be read, or `now` is naive.
    """
    template = _ca_template(subject, key, lifetime, backdate, path_length, serves_scep)
    check_time(now)
    now = now.replace(microsecond=0)
    own_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(template.public_key)
    dates = (now - backdate, now + lifetime)
    builder = certificate_builder(
        template, _serial(serial), dates, template.subject, extension(own_key)
    )
    certificate = builder.sign(key, signature_hash(key, digest))  # type: ignore[arg-type]
    return CaIssuer(certificate, key, digest=digest)


def make_intermediate(
    parent: CaIssuer,
    subject: str | x509.Name,
    key: PrivateKey,
    *,
    now: datetime,
    lifetime: timedelta = 1825 * _DAY,
    backdate: timedelta = _DAY,
    path_length: int | None = 0,
    serves_scep: bool = True,
    serial: int | None = None,
    digest: Digest | None = None,
) -> CaIssuer:
    """Make a CA below another; its dates lie within the parent's.  For the rest see `make_ca`."""
    template = _ca_template(subject, key, lifetime, backdate, path_length, serves_scep)
    certificate = parent.issue(template, _serial(serial), now)
    return CaIssuer(certificate, key, parent.bundle, digest)


def make_ra_certificate(
    ca: CaIssuer,
    subject: str | x509.Name,
    public_key: CertifiableKey,
    *,
    now: datetime,
    use: Literal["both", "sign", "encrypt"] = "both",
    lifetime: timedelta = 730 * _DAY,
    backdate: timedelta = _DAY,
    serial: int | None = None,
) -> x509.Certificate:
    """Certify a registration authority: who answers SCEP in a CA's place.

    :param use: "both", or one of the halves NDES splits it into: "sign" replies, or have requests
        "encrypt"ed to it.
    :raises InputError: `use` is "encrypt" and the key cannot decrypt (only RSA can).
    """
    can_decrypt = isinstance(public_key, rsa.RSAPublicKey)
    if use == "encrypt" and not can_decrypt:
        raise InputError("an RA certificate for encryption needs an RSA key")
    bits = set()
    if use in {"both", "sign"}:
        bits.add("digital_signature")
    if use in {"both", "encrypt"} and can_decrypt:
        bits.add("key_encipherment")
    extensions = [
        extension(x509.BasicConstraints(ca=False, path_length=None), critical=True),
        usage_extension(frozenset(bits)),
        extension(x509.ExtendedKeyUsage(RA_EXTENDED_KEY_USAGE)),
    ]
    template = CertificateTemplate(
        _name(subject).public_bytes(),
        public_key_der(public_key),
        tuple(extensions),
        lifetime,
        backdate,
    )
    return ca.issue(template, _serial(serial), now)


def chain_above(
    certificate: x509.Certificate, others: Iterable[x509.Certificate]
) -> tuple[x509.Certificate, ...]:
    """Those of `others` that issued `certificate` and one another, nearest first."""
    chain: list[x509.Certificate] = []
    left = [one for one in others if one != certificate]
    below = certificate
    while issuer := next((one for one in left if _issued(below, one)), None):
        chain.append(issuer)
        left.remove(issuer)
        below = issuer
    return tuple(chain)


def _issued(below: x509.Certificate, above: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except Exception:  # `cryptography` raises five kinds here, and each of them means no
        return False
    return True


def _ca_template(
    subject: str | x509.Name,
    key: PrivateKey,
    lifetime: timedelta,
    backdate: timedelta,
    path_length: int | None,
    serves_scep: bool,
) -> CertificateTemplate:
    public_key = key.public_key()
    bits = {"key_cert_sign", "crl_sign"}
    if serves_scep:
        bits.add("digital_signature")
        if isinstance(public_key, rsa.RSAPublicKey):
            bits.add("key_encipherment")
    extensions = (
        extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True),
        usage_extension(frozenset(bits)),
    )
    return CertificateTemplate(
        _name(subject).public_bytes(), public_key_der(public_key), extensions, lifetime, backdate
    )


def _serial(given: int | None) -> int:
    return x509.random_serial_number() if given is None else given


def _name(subject: str | x509.Name) -> x509.Name:
    name = parse_subject(subject) if isinstance(subject, str) else subject
    if not name.rdns:
        raise InputError("a CA or RA certificate needs a subject")
    return name
