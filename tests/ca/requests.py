"""Certificate requests for the tests of the CA."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CertificateProfile, CertificateTemplate, ProfileRefusal, template_for
from scepkit.core.csr import ParsedCsr, read_csr
from tests import pki


def request(
    subject: x509.Name | None = None,
    *,
    key: Any = None,
    san: Sequence[x509.GeneralName] = (),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> ParsedCsr:
    """A PKCS#10 request of router1, or of another subject."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(
        pki.name("router1") if subject is None else subject
    )
    if san:
        builder = builder.add_extension(x509.SubjectAlternativeName(san), critical=False)
    for value, critical in extensions:
        builder = builder.add_extension(value, critical=critical)
    own_key = pki.key("rsa2048-c") if key is None else key
    has_digest = isinstance(own_key, ed25519.Ed25519PrivateKey)
    signed = builder.sign(own_key, None if has_digest else hashes.SHA256())
    return read_csr(signed.public_bytes(Encoding.DER))


def accepted(csr: ParsedCsr, profile: CertificateProfile | None = None) -> CertificateTemplate:
    """The template of a request that must be accepted."""
    template = template_for(csr, profile or CertificateProfile())
    assert isinstance(template, CertificateTemplate), template
    return template


def refused(csr: ParsedCsr, profile: CertificateProfile | None = None) -> ProfileRefusal:
    """The refusal of a request that must be refused."""
    refusal = template_for(csr, profile or CertificateProfile())
    assert isinstance(refusal, ProfileRefusal), refusal
    return refusal


def value_of(template: CertificateTemplate, kind: type[x509.ExtensionType]) -> Any:
    """The value of the template's only extension of this kind; None when there is none."""
    found = [extension for extension in template.extensions if isinstance(extension.value, kind)]
    assert len(found) <= 1
    return found[0].value if found else None
