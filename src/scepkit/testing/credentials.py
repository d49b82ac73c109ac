"""Keys and certificates of a test CA and of those who pose as it.

The rule of this file: keys are made once a process and kept, because making an RSA key takes longer
than most tests; so two test CAs may share one.  They are worth nothing anywhere else.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import (
    CaIssuer,
    CertificateProfile,
    CertificateTemplate,
    make_ca,
    make_intermediate,
    make_ra_certificate,
)
from scepkit.core import cms
from scepkit.core.certificates import PrivateKey, public_key_der, view_of
from scepkit.core.envelope import DecryptionKey
from scepkit.errors import InputError

#: Who answers for the CA: itself, one RA with an RSA key, two as NDES has them (one signs, one
#: decrypts), or one with an EC key, to which requests are encrypted by password.
RaMode = Literal["none", "rsa", "split", "ec"]

_DAY = timedelta(days=1)
#: How long the test CA has existed: long enough for certificates that have expired.
_AGE = 30 * _DAY
_CURVES: dict[str, ec.EllipticCurve] = {
    "ec:p256": ec.SECP256R1(),
    "ec:p384": ec.SECP384R1(),
    "ec:p521": ec.SECP521R1(),
}


@functools.cache
def kept_key(spec: str, owner: str) -> PrivateKey:
    """This process's key of a kind for an owner ("ca", "ra", "stranger", ...).

    :param spec: "rsa:BITS", "ec:p256", "ec:p384", "ec:p521" or "ed25519".
    :raises InputError: it is something else.
    """
    kind, _, size = spec.partition(":")
    if kind == "rsa" and size.isdigit() and 1024 <= int(size) <= 8192:
        return rsa.generate_private_key(public_exponent=65537, key_size=int(size))
    if spec in _CURVES:
        return ec.generate_private_key(_CURVES[spec])
    if spec == "ed25519":
        return ed25519.Ed25519PrivateKey.generate()
    raise InputError(f"there is no kind of key {spec!r}; expected rsa:2048, ec:p256 or ed25519")


def key_for(given: str | PrivateKey, owner: str) -> PrivateKey:
    """The key itself, or the kept one of that kind."""
    return kept_key(given, owner) if isinstance(given, str) else given


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a test CA works with.

    Attributes:
        issuer: signs certificates and CRLs.
        signer: signs replies.
        decrypters: the RSA keys that open requests; empty when they must come by password.
        offered: the certificates of GetCACert, in order.
        root: the CA above the issuer, or the issuer itself.
    """

    issuer: CaIssuer
    signer: cms.Signer
    decrypters: tuple[DecryptionKey, ...]
    offered: tuple[x509.Certificate, ...]
    root: CaIssuer


def make_credentials(
    *,
    subject: str,
    key: str | PrivateKey,
    ra: RaMode,
    ra_keys: tuple[PrivateKey, ...],
    intermediate: bool,
    now: datetime,
) -> Credentials:
    """Make a CA, the CA above it, and its RAs.

    :raises InputError: a kind of key or RA that does not exist, or too few RA keys.
    """
    ca_key = key_for(key, "ca")
    if intermediate:
        root = make_ca(
            "CN=Test Root CA,O=scepkit",
            kept_key("ec:p256", "root"),
            now=now,
            backdate=_AGE,
            serves_scep=False,
        )
        issuer = make_intermediate(root, subject, ca_key, now=now, backdate=_AGE)
    else:
        root = issuer = make_ca(subject, ca_key, now=now, backdate=_AGE)
    agents = _make_agents(issuer, ra, ra_keys, now)
    signing, decrypting = (agents[0], agents[-1]) if agents else (None, None)
    answering = signing or cms.Signer(view_of(issuer.certificate), ca_key)
    opening = [decrypting or answering, cms.Signer(view_of(issuer.certificate), ca_key)]
    return Credentials(
        issuer=issuer,
        signer=answering,
        decrypters=tuple(
            # The CA's own key too, for clients that encrypt to the wrong certificate (Q40).
            DecryptionKey(one.certificate, one.key)
            for one in dict.fromkeys(opening)
            if isinstance(one.key, rsa.RSAPrivateKey)
        ),
        offered=(
            *(x509.load_der_x509_certificate(agent.certificate.der) for agent in agents),
            *issuer.bundle,
        ),
        root=root,
    )


def _make_agents(
    issuer: CaIssuer, ra: RaMode, keys: tuple[PrivateKey, ...], now: datetime
) -> list[cms.Signer]:
    def agent(
        name: str, key: PrivateKey, use: Literal["both", "sign", "encrypt"] = "both"
    ) -> cms.Signer:
        certificate = make_ra_certificate(
            issuer, f"CN={name},O=scepkit", key.public_key(), now=now, use=use
        )
        return cms.Signer(view_of(certificate), key)

    match ra:
        case "none":
            return []
        case "rsa" | "ec":
            spec = "rsa:2048" if ra == "rsa" else "ec:p256"
            return [agent("Test RA", keys[0] if keys else kept_key(spec, "ra"))]
        case "split":
            pair = keys or (kept_key("rsa:2048", "ra"), kept_key("rsa:2048", "ra decrypting"))
            if len(pair) != 2:
                raise InputError("a split RA needs two keys: one that signs, one that decrypts")
            return [
                agent("Test RA (signing)", pair[0], "sign"),
                agent("Test RA (encryption)", pair[1], "encrypt"),
            ]
    raise InputError(f"there is no RA mode {ra!r}; expected none, rsa, split or ec")


# ------------------------------------------------------------------ impostors


def _like(key: PrivateKey) -> PrivateKey:
    """An impostor's key of the same kind, so that only its owner makes the difference."""
    return impostor_key(key.public_key())


def impostor_key(like: object) -> PrivateKey:
    """Somebody else's key of the same kind as this public key."""
    return kept_key("rsa:2048" if isinstance(like, rsa.RSAPublicKey) else "ec:p256", "impostor")


def _self_made(
    subject: x509.Name,
    key: PrivateKey,
    now: datetime,
    *,
    serial: int | None = None,
    issuer: x509.Name | None = None,
    validity: tuple[timedelta, timedelta] = (-_DAY, 365 * _DAY),
) -> x509.Certificate:
    hash_ = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer or subject)
        .public_key(key.public_key())
        .serial_number(serial or x509.random_serial_number())
        .not_valid_before(now + validity[0])
        .not_valid_after(now + validity[1])
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hash_)
    )


def stranger(like: CaIssuer, now: datetime) -> CaIssuer:
    """A CA nobody has heard of."""
    key = _like(like.key)
    return make_ca("CN=Somebody Else,O=Elsewhere", key, now=now, backdate=_AGE)


def namesake(of: CaIssuer, now: datetime) -> CaIssuer:
    """A CA with the same name and another key: what an attacker offers in its place (A11)."""
    return make_ca(of.certificate.subject, _like(of.key), now=now, backdate=_AGE)


def copycat(of: cms.Signer, now: datetime) -> cms.Signer:
    """Another key under a certificate with the same issuer and serial number."""
    original = x509.load_der_x509_certificate(of.certificate.der)
    key = _like(of.key)
    certificate = _self_made(
        original.subject, key, now, serial=original.serial_number, issuer=original.issuer
    )
    return cms.Signer(view_of(certificate), key)


def as_signer(ca: CaIssuer) -> cms.Signer:
    """The CA as one who signs messages."""
    return cms.Signer(view_of(ca.certificate), ca.key)


def device(issuer: CaIssuer, now: datetime) -> cms.Signer:
    """An ordinary device of this CA."""
    key = _like(issuer.key)
    certificate = issue_for(issuer, "device", key, now)
    return cms.Signer(view_of(certificate), key)


def expired_ra(issuer: CaIssuer, now: datetime) -> cms.Signer:
    """An RA of this CA whose certificate has expired yesterday."""
    key = _like(issuer.key)
    certificate = make_ra_certificate(
        issuer,
        "CN=Former RA,O=scepkit",
        key.public_key(),
        now=now - 2 * _DAY,
        lifetime=_DAY,
    )
    return cms.Signer(view_of(certificate), key)


def expired_copy(issuer: CaIssuer, root: CaIssuer, now: datetime) -> x509.Certificate:
    """The issuer's certificate as it would be if it had expired yesterday."""
    constraints = x509.BasicConstraints(ca=True, path_length=0)
    usage = issuer.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    template = CertificateTemplate(
        issuer.certificate.subject.public_bytes(),
        public_key_der(issuer.key.public_key()),
        (
            x509.Extension(constraints.oid, True, constraints),
            x509.Extension(usage.oid, True, usage),
        ),
        validity=_DAY,
        backdate=_DAY,
    )
    return root.issue(template, x509.random_serial_number(), now - 2 * _DAY)


def issue_for(
    issuer: CaIssuer, common_name: str, key: PrivateKey, now: datetime
) -> x509.Certificate:
    """A device certificate outside every request."""
    public_key = key.public_key()
    extensions = CertificateProfile().constant_extensions(
        rsa=isinstance(public_key, rsa.RSAPublicKey)
    )
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, common_name)])
    template = CertificateTemplate(
        name.public_bytes(), public_key_der(public_key), extensions, 90 * _DAY, _DAY
    )
    return issuer.issue(template, x509.random_serial_number(), now)


def der(certificate: x509.Certificate) -> bytes:
    """The certificate in DER."""
    return certificate.public_bytes(Encoding.DER)
