"""How a request becomes a template: what is copied, and what never is (A8)."""

from __future__ import annotations

import ipaddress
import warnings

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from scepkit.ca import AltNameRules, CertificateProfile
from scepkit.errors import FailInfo
from tests import pki
from tests.ca.requests import accepted, refused, request, value_of

SID_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")
UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
DNS = x509.DNSName("router1.example.com")


def upn(value: str) -> x509.OtherName:
    encoded = value.encode()
    return x509.OtherName(UPN, b"\x0c" + bytes((len(encoded),)) + encoded)


def with_names(**rules: object) -> CertificateProfile:
    return CertificateProfile(alternative_names=AltNameRules(**rules))  # type: ignore[arg-type]


# ------------------------------------------------------------------ dangerous requests


@pytest.mark.parametrize(
    "value",
    [
        x509.BasicConstraints(ca=True, path_length=None),
        pki.usage("digital_signature", "key_cert_sign", "crl_sign"),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]),
        x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SMARTCARD_LOGON]),
        x509.NameConstraints(
            permitted_subtrees=[x509.DNSName("example.com")], excluded_subtrees=None
        ),
        x509.UnrecognizedExtension(SID_EXTENSION, b"\x30\x00"),
        x509.OCSPNoCheck(),
        x509.CertificatePolicies(
            [x509.PolicyInformation(x509.ObjectIdentifier("2.5.29.32.0"), None)]
        ),
        x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.311.21.10"), b"\x30\x00"),
    ],
    ids=lambda value: value.oid.dotted_string,
)
def test_nothing_dangerous_is_copied_from_a_request(value: x509.ExtensionType) -> None:
    plain = accepted(request())
    template = accepted(request(extensions=[(value, False)]))
    assert template.extensions == plain.extensions
    assert template.ignored == (value.oid.dotted_string,)


def test_the_extended_key_usage_is_the_profiles_whatever_is_asked() -> None:
    asked = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    template = accepted(request(extensions=[(asked, True)]))
    assert list(value_of(template, x509.ExtendedKeyUsage)) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_listed_extension_is_copied_as_it_is() -> None:
    oid = x509.ObjectIdentifier("1.3.6.1.4.1.99999.7")
    asked = x509.UnrecognizedExtension(oid, b"\x0c\x02hi")
    profile = CertificateProfile(copied_extensions=frozenset({oid}))
    template = accepted(request(extensions=[(asked, False)]), profile)
    assert value_of(template, x509.UnrecognizedExtension) == asked
    assert template.ignored == ()


# ------------------------------------------------------------------ key usage


def test_a_request_may_narrow_the_key_usage_when_the_profile_lets_it() -> None:
    asked = pki.usage("key_encipherment", "key_cert_sign")
    template = accepted(
        request(extensions=[(asked, True)]), CertificateProfile(narrow_key_usage=True)
    )
    assert value_of(template, x509.KeyUsage) == pki.usage("key_encipherment")


def test_a_request_for_none_of_the_allowed_usages_is_refused() -> None:
    asked = pki.usage("crl_sign")
    profile = CertificateProfile(narrow_key_usage=True)
    assert "key usages" in refused(request(extensions=[(asked, True)]), profile).reason


def test_without_a_wish_narrowing_changes_nothing() -> None:
    template = accepted(request(), CertificateProfile(narrow_key_usage=True))
    assert template.extensions == accepted(request()).extensions


# ------------------------------------------------------------------ keys


def test_a_key_the_rules_refuse_refuses_the_request() -> None:
    refusal = refused(request(key=pki.key("rsa1024")))
    assert refusal.fail_info is FailInfo.BAD_REQUEST
    assert "1024 bits" in refusal.reason


# ------------------------------------------------------------------ subject


def test_the_subject_is_copied_as_it_is() -> None:
    template = accepted(request())
    assert template.subject == pki.name("router1")


def test_a_multi_valued_rdn_stays_together() -> None:
    rdn = x509.RelativeDistinguishedName(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "router1"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "42"),
        ]
    )
    assert accepted(request(x509.Name([rdn]))).subject.rdns == [rdn]


def test_an_attribute_that_is_not_listed_refuses_the_request() -> None:
    subject = x509.Name([x509.NameAttribute(NameOID.PSEUDONYM, "nobody")])
    assert "2.5.4.65" in refused(request(subject)).reason


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "a\u202eb", "a" * 256])
def test_a_value_that_cannot_be_shown_refuses_the_request(value: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        attribute = x509.NameAttribute(NameOID.ORGANIZATION_NAME, value, _validate=False)
        refusal = refused(request(x509.Name([attribute])))
    assert value not in refusal.reason


def test_a_subject_of_many_attributes_is_refused() -> None:
    units = [x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, str(i)) for i in range(33)]
    assert "too many" in refused(request(x509.Name(units))).reason


def test_a_wildcard_common_name_is_refused() -> None:
    assert "wildcard" in refused(request(pki.name("*.example.com"))).reason


def test_an_empty_subject_is_refused_by_default() -> None:
    assert "no subject" in refused(request(x509.Name([]), san=[DNS])).reason


def test_an_empty_subject_with_a_name_can_be_allowed_and_makes_the_name_critical() -> None:
    profile = CertificateProfile(allow_empty_subject=True)
    template = accepted(request(x509.Name([]), san=[DNS]), profile)
    (names,) = [e for e in template.extensions if e.oid == x509.SubjectAlternativeName.oid]
    assert names.critical


def test_an_empty_subject_without_any_name_is_refused_always() -> None:
    profile = CertificateProfile(allow_empty_subject=True)
    assert "no subject" in refused(request(x509.Name([])), profile).reason


# ------------------------------------------------------------------ alternative names


@pytest.mark.parametrize(
    "name",
    [
        DNS,
        x509.DNSName("localhost"),
        x509.DNSName("_ldap.example.com"),
        x509.IPAddress(ipaddress.ip_address("192.0.2.1")),
        x509.IPAddress(ipaddress.ip_address("2001:db8::1")),
        x509.RFC822Name("admin@example.com"),
        x509.UniformResourceIdentifier("urn:uuid:8f2b3e9e-7d0f-4b4e-8b9e-111111111111"),
    ],
)
def test_ordinary_names_are_copied(name: x509.GeneralName) -> None:
    template = accepted(request(san=[name]))
    assert list(value_of(template, x509.SubjectAlternativeName)) == [name]
    assert template.ignored == ()


@pytest.mark.parametrize(
    "name",
    [
        x509.DNSName("*.example.com"),
        x509.DNSName("example..com"),
        x509.DNSName("-example.com"),
        x509.DNSName("exa mple.com"),
        x509.DNSName("example.com\x00.evil.test"),
        x509.DNSName(".example.com"),
        x509.DNSName("a." * 130 + "com"),
        x509.IPAddress(ipaddress.ip_network("192.0.2.0/24")),
        x509.RFC822Name("nobody"),
        x509.UniformResourceIdentifier("no-scheme"),
        x509.UniformResourceIdentifier("http://a b"),
    ],
)
def test_malformed_names_refuse_the_request(name: x509.GeneralName) -> None:
    assert "alternative name" in refused(request(san=[name])).reason


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        (upn("administrator@example.com"), "upn"),
        (x509.DirectoryName(pki.name("router1")), "dirname"),
        (x509.RegisteredID(x509.ObjectIdentifier("1.2.3")), "rid"),
        (x509.OtherName(x509.ObjectIdentifier("1.3.6.1.5.2.2"), b"\x30\x00"), "othername"),
        (x509.UniformResourceIdentifier("tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-500"), "uri"),
        (x509.UniformResourceIdentifier("TAG:Microsoft.com,2022-09-14:SID:S-1-5-21-1-500"), "uri"),
    ],
)
def test_names_of_other_kinds_are_refused_or_left_out(name: x509.GeneralName, kind: str) -> None:
    csr = request(san=[name, DNS])
    assert kind in refused(csr).reason
    template = accepted(csr, CertificateProfile(unlisted_names="drop"))
    assert list(value_of(template, x509.SubjectAlternativeName)) == [DNS]
    assert template.ignored == (f"subjectAltName:{kind}",)


def test_a_upn_is_copied_when_listed() -> None:
    profile = with_names(kinds=frozenset({"upn"}))
    template = accepted(request(san=[upn("router1@example.com")]), profile)
    assert list(value_of(template, x509.SubjectAlternativeName)) == [upn("router1@example.com")]


@pytest.mark.parametrize("value", ["", "user", "@example.com", "a@b@c", "a b@c", "a\n@c"])
def test_a_malformed_upn_is_refused(value: str) -> None:
    profile = with_names(kinds=frozenset({"upn"}))
    assert "upn" in refused(request(san=[upn(value)]), profile).reason


def test_a_upn_that_is_not_a_utf8string_is_refused() -> None:
    profile = with_names(kinds=frozenset({"upn"}))
    name = x509.OtherName(UPN, b"\x16\x03a@b")
    assert "UTF8String" in refused(request(san=[name]), profile).reason


def test_other_names_are_copied_by_oid() -> None:
    name = x509.OtherName(x509.ObjectIdentifier("1.2.3.4"), b"\x0c\x01a")
    profile = with_names(other_names=frozenset({name.type_id}))
    template = accepted(request(san=[name]), profile)
    assert list(value_of(template, x509.SubjectAlternativeName)) == [name]


def test_wildcards_are_copied_when_allowed() -> None:
    name = x509.DNSName("*.example.com")
    template = accepted(request(pki.name("*.example.com"), san=[name]), with_names(wildcards=True))
    assert list(value_of(template, x509.SubjectAlternativeName)) == [name]


def test_a_star_elsewhere_is_never_a_wildcard() -> None:
    names = [x509.DNSName("a.*.example.com")]
    assert "host name" in refused(request(san=names), with_names(wildcards=True)).reason


def test_a_requested_sid_is_copied_when_allowed() -> None:
    name = x509.UniformResourceIdentifier("tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-500")
    template = accepted(request(san=[name]), with_names(requested_sid=True))
    assert list(value_of(template, x509.SubjectAlternativeName)) == [name]


def test_twenty_names_are_fine_and_too_many_are_not() -> None:
    names = [x509.DNSName(f"n{i}.example.com") for i in range(65)]
    assert value_of(accepted(request(san=names[:20])), x509.SubjectAlternativeName)
    assert "more than 64" in refused(request(san=names)).reason
