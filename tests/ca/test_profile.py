"""Profiles: what they cannot say, and what they fix."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scepkit.ca import AltNameRules, CertificateProfile
from scepkit.errors import InputError
from tests import pki
from tests.ca.requests import accepted, request, value_of

SID_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")


@pytest.mark.parametrize(
    "oid",
    [
        "2.5.29.14",
        "2.5.29.15",
        "2.5.29.17",
        "2.5.29.19",
        "2.5.29.30",
        "2.5.29.35",
        "2.5.29.37",
        "1.3.6.1.5.5.7.48.1.5",
        "1.3.6.1.4.1.311.21.10",
    ],
)
def test_extensions_that_make_a_certificate_dangerous_cannot_be_listed(oid: str) -> None:
    with pytest.raises(InputError, match="never be copied"):
        CertificateProfile(copied_extensions=frozenset({x509.ObjectIdentifier(oid)}))


def test_the_sid_extension_needs_a_switch_of_its_own() -> None:
    with pytest.raises(InputError, match="SID"):
        CertificateProfile(copied_extensions=frozenset({SID_EXTENSION}))
    CertificateProfile(copied_extensions=frozenset({SID_EXTENSION}), allow_requested_sid=True)


def test_a_profile_without_extended_key_usage_is_refused() -> None:
    with pytest.raises(InputError, match="extended_key_usage"):
        CertificateProfile(extended_key_usage=())


def test_a_profile_cannot_be_good_for_every_purpose() -> None:
    with pytest.raises(InputError, match="anyExtendedKeyUsage"):
        CertificateProfile(extended_key_usage=(ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE,))


@pytest.mark.parametrize("usage", ["key_cert_sign", "crl_sign", "digitalSignature"])
def test_a_profile_cannot_have_usages_of_a_ca(usage: str) -> None:
    with pytest.raises(InputError, match=usage):
        CertificateProfile(key_usage=frozenset({"digital_signature", usage}))


def test_a_profile_whose_usages_fit_no_key_is_refused() -> None:
    with pytest.raises(InputError, match="digital_signature"):
        CertificateProfile(key_usage=frozenset({"key_encipherment"}))


def test_validity_must_be_positive() -> None:
    with pytest.raises(InputError, match="validity"):
        CertificateProfile(validity=timedelta())


def test_an_unknown_kind_of_alternative_name_is_refused() -> None:
    with pytest.raises(InputError, match="dnsname"):
        AltNameRules(kinds=frozenset({"dnsname"}))


def test_urls_must_be_ascii() -> None:
    with pytest.raises(InputError, match="ASCII"):
        CertificateProfile(crl_urls=("http://crl.exämple/ca.crl",))


def test_profiles_compare_by_what_they_say() -> None:
    assert CertificateProfile() == CertificateProfile()
    assert CertificateProfile() != CertificateProfile(narrow_key_usage=True)


def test_every_certificate_is_an_end_entity_for_client_authentication() -> None:
    template = accepted(request())
    constraints = value_of(template, x509.BasicConstraints)
    assert not constraints.ca
    assert list(value_of(template, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_rsa_keys_may_sign_and_receive_keys() -> None:
    usage = value_of(accepted(request()), x509.KeyUsage)
    assert usage == pki.usage("digital_signature", "key_encipherment")


def test_ec_keys_may_only_sign() -> None:
    usage = value_of(accepted(request(key=pki.key("ec256-a"))), x509.KeyUsage)
    assert usage == pki.usage("digital_signature")


def test_key_agreement_is_for_ec_keys() -> None:
    profile = CertificateProfile(key_usage=frozenset({"digital_signature", "key_agreement"}))
    ec = accepted(request(key=pki.key("ec256-a")), profile)
    rsa = accepted(request(), profile)
    assert value_of(ec, x509.KeyUsage) == pki.usage("digital_signature", "key_agreement")
    assert value_of(rsa, x509.KeyUsage) == pki.usage("digital_signature")


def test_a_profile_adds_its_urls_and_policies() -> None:
    policy = x509.ObjectIdentifier("1.3.6.1.4.1.99999.1")
    profile = CertificateProfile(
        crl_urls=("http://pki.example/ca.crl",),
        ca_issuer_urls=("http://pki.example/ca.cer",),
        ocsp_urls=("http://pki.example/ocsp",),
        policies=(policy,),
    )
    template = accepted(request(), profile)
    (point,) = value_of(template, x509.CRLDistributionPoints)
    assert [name.value for name in point.full_name] == ["http://pki.example/ca.crl"]
    access = value_of(template, x509.AuthorityInformationAccess)
    assert [entry.access_location.value for entry in access] == [
        "http://pki.example/ocsp",
        "http://pki.example/ca.cer",
    ]
    assert [entry.policy_identifier for entry in value_of(template, x509.CertificatePolicies)] == [
        policy
    ]


def test_fixed_subject_attributes_replace_those_of_the_request() -> None:
    profile = CertificateProfile(
        fixed_subject=(x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Fixed Ltd"),)
    )
    template = accepted(request(pki.name("router1", organization="Someone Else")), profile)
    assert template.subject.rfc4514_string() == "CN=router1,O=Fixed Ltd"
