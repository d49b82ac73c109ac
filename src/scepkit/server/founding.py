"""Making a new CA: its keys, its certificates and its configuration, as the files of a directory.

The rule of this file: it makes contents and writes nothing; `placing` sees to it that all of them
appear or none.  What it makes is what `scepkit.toml` (from `founding_text`) then says, and no
private key is in it unencrypted.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from scepkit.ca import CaIssuer, chain_above, make_ca, make_ra_certificate
from scepkit.core.certificates import PrivateKey, public_key_der
from scepkit.core.csr_builder import build_csr
from scepkit.core.names import parse_subject
from scepkit.errors import InputError
from scepkit.keys import generate_key, parse_key_spec, pem, private_key_pem
from scepkit.server.founding_text import CONFIGURATION, configuration
from scepkit.server.plan import Plan

#: The one CA, and the RA where there is one, by their names in the configuration.
CA_NAME, RA_NAME, PROFILE = "main", "main", "default"

CA_KEY = "keys/main.key.pem"
CA_CERTIFICATE = "keys/main.pem"
CA_CHAIN = "keys/main.chain.pem"
RA_KEY = "keys/ra.key.pem"
RA_CERTIFICATE = "keys/ra.pem"
CHALLENGE_KEY = "keys/challenge.key"
PASSPHRASE = "keys/passphrase"  # noqa: S105 - a path

#: Where a CA waits for its certificate from an external root: a directory and what is in it.
WAITING = "waiting"
WAITING_PLAN, WAITING_KEY, WAITING_PASSPHRASE = "plan.json", "ca.key.pem", "passphrase"

_PRIVATE, _PUBLIC = 0o600, 0o644
# RSA: only it decrypts.  2048 bits, because every client has to encrypt to it.
_RA_KEY_TYPE = "rsa:2048"
_CHALLENGE_KEY_BYTES = 32
_PASSPHRASE_BYTES = 24
# RFC 5280's ub-common-name.
_LONGEST_COMMON_NAME = 64

Files = Mapping[str, tuple[bytes, int]]


def new_passphrase() -> bytes:
    """A random passphrase of 192 bits."""
    return secrets.token_urlsafe(_PASSPHRASE_BYTES).encode()


def new_ca(plan: Plan, *, now: datetime) -> CaIssuer:
    """A self-signed CA with a new key.

    :raises InputError: the subject or the type of key cannot be used.
    """
    spec = parse_key_spec(plan.key_type)
    subject = parse_subject(plan.subject)
    return make_ca(
        subject,
        generate_key(spec),
        now=now,
        lifetime=plan.validity,
        # A client encrypts to whatever may decipher: not to a CA that has an RA for it.
        serves_scep=not (plan.with_ra and spec.kind == "rsa"),
    )


def imported_ca(certificates: Sequence[x509.Certificate], key: PrivateKey) -> CaIssuer:
    """A CA that exists, from its key, its certificate and those above it, in any order.

    :raises InputError: no certificate is the key's, or it is not a CA's.
    """
    own = public_key_der(key.public_key())
    mine = [one for one in certificates if public_key_der(one.public_key()) == own]
    if not mine:
        raise InputError("no certificate there belongs to the CA's private key")
    newest = max(mine, key=lambda one: one.not_valid_after_utc)
    return CaIssuer(newest, key, chain_above(newest, certificates))


def certificate_request(plan: Plan, key: PrivateKey) -> x509.CertificateSigningRequest:
    """What an external root is asked to certify.

    :raises InputError: the subject cannot be used.
    """
    serves = not (plan.with_ra and isinstance(key, rsa.RSAPrivateKey))
    usage, constraints = ca_request_extensions(key, serves=serves)
    return build_csr(key, parse_subject(plan.subject), key_usage=usage, extensions=[constraints])


def ca_request_extensions(
    key: PrivateKey, *, serves: bool
) -> tuple[x509.KeyUsage, tuple[x509.ExtensionType, bool]]:
    """The key usage of a CA, and its basicConstraints (critical), for a request.

    :param serves: its key also reads requests and answers them.
    """
    usage = x509.KeyUsage(
        digital_signature=serves,
        content_commitment=False,
        key_encipherment=serves and isinstance(key, rsa.RSAPrivateKey),
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    return usage, (x509.BasicConstraints(ca=True, path_length=0), True)


def needs_ra(ca: CaIssuer) -> bool:
    """Whether the CA's own key cannot read requests or answer them (RFC 8894 section 2.1.2)."""
    try:
        usage = ca.certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except x509.ExtensionNotFound:
        usage = None
    can = usage is None or (usage.digital_signature and usage.key_encipherment)
    return not (can and isinstance(ca.key, rsa.RSAPrivateKey))


def ra_subject(ca: x509.Certificate, suffix: str = "RA") -> x509.Name:
    """The CA's name with ``RA`` behind its common name."""
    kept = [one for one in ca.subject if one.oid != NameOID.COMMON_NAME]
    names = ca.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    name = str(names[-1].value) if names else "SCEP"
    short = name[: _LONGEST_COMMON_NAME - len(suffix) - 1]
    return x509.Name([*kept, x509.NameAttribute(NameOID.COMMON_NAME, f"{short} {suffix}")])


def new_ra(ca: CaIssuer, *, now: datetime) -> tuple[PrivateKey, x509.Certificate]:
    """A key that reads requests and answers them for a CA, and its certificate.

    It is valid as long as the CA: its end would be the end of all enrolment.
    """
    key = generate_key(_RA_KEY_TYPE)
    left = ca.certificate.not_valid_after_utc - now
    certificate = make_ra_certificate(
        ca, ra_subject(ca.certificate), key.public_key(), now=now, lifetime=left
    )
    return key, certificate


def files_of(plan: Plan, ca: CaIssuer, passphrase: bytes, *, now: datetime) -> Files:
    """All files of a CA that is ready to be started, by name: content and mode.

    :param passphrase: encrypts the private keys; it is itself a file if `plan.passphrase_file` is
        `PASSPHRASE`.
    :raises InputError: the CA certificate is not valid now, or its key cannot be written.
    """
    files: dict[str, tuple[bytes, int]] = {
        CA_KEY: (private_key_pem(ca.key, passphrase), _PRIVATE),
        CA_CERTIFICATE: (pem(ca.certificate), _PUBLIC),
        CHALLENGE_KEY: (secrets.token_hex(_CHALLENGE_KEY_BYTES).encode() + b"\n", _PRIVATE),
    }
    if plan.passphrase_file == PASSPHRASE:
        files[PASSPHRASE] = (passphrase + b"\n", _PRIVATE)
    if ca.chain:
        files[CA_CHAIN] = (pem(*ca.chain), _PUBLIC)
    with_ra = plan.with_ra or needs_ra(ca)
    if with_ra:
        ra_key, ra_certificate = new_ra(ca, now=now)
        files[RA_KEY] = (private_key_pem(ra_key, passphrase), _PRIVATE)
        files[RA_CERTIFICATE] = (pem(ra_certificate), _PUBLIC)
    text = configuration(replace(plan, with_ra=with_ra), with_chain=bool(ca.chain))
    files[CONFIGURATION] = (text.encode(), _PUBLIC)
    return files


def waiting_files(plan: Plan, key: PrivateKey, passphrase: bytes) -> Files:
    """The files of a CA that waits for its certificate."""
    files = {
        f"{WAITING}/{WAITING_KEY}": (private_key_pem(key, passphrase), _PRIVATE),
        f"{WAITING}/{WAITING_PLAN}": (plan.to_json(), _PUBLIC),
    }
    if plan.passphrase_file == PASSPHRASE:
        files[f"{WAITING}/{WAITING_PASSPHRASE}"] = (passphrase + b"\n", _PRIVATE)
    return files
