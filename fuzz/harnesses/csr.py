"""Invariant: a PKCS#10 request is read, also as a file and into a template, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from fuzz import rebuilding
from scepkit.ca import CertificateProfile
from scepkit.ca.template import template_for
from scepkit.core.csr import challenge_element, read_csr
from scepkit.core.csr_builder import build_csr, self_signed_certificate
from scepkit.core.pem import write_pem
from scepkit.errors import ScepError
from scepkit.keys import load_csr
from tests import pki

MEASURED = ("scepkit.core.csr", "scepkit.ca.template", "scepkit.ca.altnames", "scepkit.ca.keys")

_KEY = pki.key("rsa1024")
_EC_KEY = pki.key("ec256-a")
_NAMES = [
    x509.DNSName("a.example"),
    x509.RFC822Name("a@example.com"),
    x509.UniformResourceIdentifier("http://a.example"),
    x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x01u"),
]
_PROFILE = CertificateProfile()


def run(data: bytes) -> None:
    with suppress(ScepError):
        load_csr(data)
    found = read_csr(data)
    found.check_signature()
    challenge_element(found.der)
    with suppress(ScepError):
        template_for(found, _PROFILE)
    with suppress(ScepError):
        self_signed_certificate(found, _EC_KEY, now=pki.NOW)


def seeds() -> Iterator[bytes]:
    for key in (_KEY, _EC_KEY):
        request = build_csr(key, "CN=device,O=Acme", challenge="secret", san=_NAMES)
        data = request.public_bytes(Encoding.DER)
        yield data
        yield write_pem("CERTIFICATE REQUEST", data)
    yield build_csr(_EC_KEY, "CN=device").public_bytes(Encoding.DER)


mutate = rebuilding.signed_changer(_KEY)
