"""What is made durable before it is signed must be what would be signed."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from hypothesis import given
from hypothesis import strategies as st

from scepkit.ca import CaIssuer, CertificateProfile, CertificateTemplate, KeyRules, make_ca
from scepkit.core import asn1
from scepkit.core.algorithms import Digest
from scepkit.core.certificates import PrivateKey
from scepkit.core.csr import read_csr
from scepkit.errors import InputError
from tests import pki
from tests.ca.requests import accepted, request

NOW = pki.NOW
ED25519 = ed25519.Ed25519PrivateKey.generate()


def ca(key_name: str = "rsa2048-a", **options: Any) -> CaIssuer:
    key = ED25519 if key_name == "ed25519" else pki.key(key_name)
    return make_ca("CN=Test CA,O=Acme", key, now=NOW, **options)


def template(**options: Any) -> CertificateTemplate:
    san = [x509.DNSName("router1.example"), x509.UniformResourceIdentifier("urn:x")]
    profile = CertificateProfile(crl_urls=("http://ca.example/crl",), **options)
    return accepted(request(san=san), profile)


@pytest.mark.parametrize("ca_key", ["rsa2048-a", "ec256-a", "ec384", "ed25519"])
def test_what_is_prepared_is_what_issue_signs(ca_key: str) -> None:
    issuer = ca(ca_key)
    issued = issuer.issue(template(), 0x1234, NOW)
    assert issuer.to_be_signed(template(), 0x1234, NOW) == issued.tbs_certificate_bytes


@pytest.mark.parametrize("key", [pki.key("rsa2048-c"), pki.key("ec256-b"), ED25519])
def test_the_key_of_a_certificate_may_be_of_any_kind(key: PrivateKey) -> None:
    wanted = accepted(request(key=key), CertificateProfile(keys=KeyRules(ed25519=True)))
    issued = ca().issue(wanted, 7, NOW)
    assert ca().to_be_signed(wanted, 7, NOW) == issued.tbs_certificate_bytes


@pytest.mark.parametrize("value", ["router_1", "router 1"])
def test_a_subject_keeps_its_string_types_where_they_can_be_issued(value: str) -> None:
    csr = request(pki.name(value))
    utf8, printable = (asn1.element(tag, value.encode()) for tag in (0x0C, 0x13))
    sent = csr.subject_der.replace(utf8, printable)
    wanted = accepted(read_csr(csr.der.replace(csr.subject_der, sent)))
    assert wanted.subject_der == (csr.subject_der if "_" in value else sent)
    issued = ca().issue(wanted, 7, NOW)
    assert ca().to_be_signed(wanted, 7, NOW) == issued.tbs_certificate_bytes


def test_a_fixed_subject_is_in_it() -> None:
    organization = x509.NameAttribute(x509.NameOID.ORGANIZATION_NAME, "Fixed Ltd")
    wanted = template(fixed_subject=(organization,))
    issued = ca().issue(wanted, 7, NOW)
    assert ca().to_be_signed(wanted, 7, NOW) == issued.tbs_certificate_bytes


def test_a_digest_of_ones_own_is_in_it_too() -> None:
    issuer = ca(digest=Digest.SHA512)
    issued = issuer.issue(template(), 1, NOW)
    assert issuer.to_be_signed(template(), 1, NOW) == issued.tbs_certificate_bytes


@given(
    serial=st.integers(1, 2**159 - 1),
    now=st.datetimes(datetime(2026, 6, 1), datetime(2035, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    validity=st.integers(1, 10**9),
)
def test_whatever_the_numbers_the_bytes_are_the_same(
    serial: int, now: datetime, validity: int
) -> None:
    issuer = ca("ec256-a")
    wanted = template(validity=timedelta(seconds=validity))
    assert (
        issuer.to_be_signed(wanted, serial, now)
        == issuer.issue(wanted, serial, now).tbs_certificate_bytes
    )


@pytest.mark.parametrize("ca_key", ["rsa2048-a", "ec256-a", "ec384", "ed25519"])
def test_a_signed_certificate_is_the_cas(ca_key: str) -> None:
    issuer = ca(ca_key)
    certificate = x509.load_der_x509_certificate(
        issuer.sign(issuer.to_be_signed(template(), 7, NOW))
    )
    certificate.verify_directly_issued_by(issuer.certificate)
    assert certificate.serial_number == 7


def test_signing_twice_with_rsa_gives_the_same_certificate() -> None:
    issuer = ca()
    prepared = issuer.to_be_signed(template(), 7, NOW)
    assert issuer.sign(prepared) == issuer.sign(prepared)


@pytest.mark.parametrize("serial", [0, -1, 2**159])
def test_a_number_that_is_no_serial_number_is_refused(serial: int) -> None:
    with pytest.raises(InputError, match="serial number"):
        ca().to_be_signed(template(), serial, NOW)


def test_a_time_outside_the_cas_own_is_refused() -> None:
    with pytest.raises(InputError, match="the CA certificate is valid"):
        ca().to_be_signed(template(), 1, NOW + timedelta(days=4000))
