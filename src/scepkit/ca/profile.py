"""What certificates of one kind may contain.

The rule of this file: what makes a certificate dangerous cannot be written into a profile (A8), and
a profile that contradicts itself cannot be made.  How a request is measured against a profile is
said in `template`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID, NameOID

from scepkit.ca.altnames import AltNameRules
from scepkit.ca.extensions import AnyExtension, KeptExtension
from scepkit.ca.keys import KeyRules
from scepkit.errors import InputError

#: Subject attributes a profile copies unless it says otherwise.
COMMON_SUBJECT_ATTRIBUTES = frozenset(
    {
        NameOID.COMMON_NAME,
        NameOID.SURNAME,
        NameOID.SERIAL_NUMBER,
        NameOID.COUNTRY_NAME,
        NameOID.LOCALITY_NAME,
        NameOID.STATE_OR_PROVINCE_NAME,
        NameOID.STREET_ADDRESS,
        NameOID.ORGANIZATION_NAME,
        NameOID.ORGANIZATIONAL_UNIT_NAME,
        NameOID.TITLE,
        NameOID.GIVEN_NAME,
        NameOID.INITIALS,
        NameOID.GENERATION_QUALIFIER,
        NameOID.DN_QUALIFIER,
        NameOID.POSTAL_CODE,
        NameOID.USER_ID,
        NameOID.DOMAIN_COMPONENT,
        NameOID.EMAIL_ADDRESS,
        NameOID.UNSTRUCTURED_NAME,
        x509.ObjectIdentifier("1.2.840.113549.1.9.8"),  # unstructuredAddress, of Cisco IOS
    }
)

SID_EXTENSION = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")

# Extensions that the CA itself sets, that make a CA, or that change who believes the certificate:
# no profile may copy them from a request.
_NEVER_COPIED = frozenset(
    {
        "2.5.29.9",  # subjectDirectoryAttributes
        "2.5.29.14",  # subjectKeyIdentifier
        "2.5.29.15",  # keyUsage
        "2.5.29.16",  # privateKeyUsagePeriod
        "2.5.29.17",  # subjectAltName: has its own rules
        "2.5.29.18",  # issuerAltName
        "2.5.29.19",  # basicConstraints
        "2.5.29.20",  # cRLNumber
        "2.5.29.30",  # nameConstraints
        "2.5.29.31",  # cRLDistributionPoints
        "2.5.29.32",  # certificatePolicies
        "2.5.29.33",  # policyMappings
        "2.5.29.35",  # authorityKeyIdentifier
        "2.5.29.36",  # policyConstraints
        "2.5.29.37",  # extKeyUsage
        "2.5.29.46",  # freshestCRL
        "2.5.29.54",  # inhibitAnyPolicy
        "1.3.6.1.4.1.311.21.10",  # Microsoft's application policies: an EKU by another name
        "1.3.6.1.4.1.311.21.11",  # ... their mappings
        "1.3.6.1.4.1.311.21.12",  # ... their constraints
        "1.3.6.1.5.5.7.1.1",  # authorityInfoAccess
        "1.3.6.1.5.5.7.1.11",  # subjectInfoAccess
        "1.3.6.1.5.5.7.1.3",  # qcStatements
        "1.3.6.1.5.5.7.48.1.5",  # ocsp-nocheck
        "1.3.6.1.4.1.11129.2.4.2",  # signed certificate timestamps
        "1.3.6.1.4.1.11129.2.4.3",  # precertificate poison
        "2.16.840.1.113730.1.1",  # Netscape certificate type: older software takes it for a CA
    }
)

_USAGE_BITS = (
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
#: The usages an end entity may have, by their names in `cryptography`.
END_ENTITY_USAGES = frozenset(_USAGE_BITS[:5])
_RSA_ONLY = frozenset({"key_encipherment", "data_encipherment"})

_ANY_SOUND_KEY = KeyRules()
_ORDINARY_NAMES = AltNameRules()


@dataclass(frozen=True, slots=True)
class CertificateProfile:
    """What certificates of one kind contain.

    Attributes:
        validity: from issuing to notAfter; the issuer's own notAfter clamps it.
        backdate: how far notBefore lies before issuing (Q31: devices whose clock is behind).
        keys: which keys are certified.
        key_usage: by `cryptography`'s names: "digital_signature", "content_commitment",
            "key_encipherment", "data_encipherment", "key_agreement".  What a key cannot do is left
            out (encipherment for EC, key_agreement for RSA).
        narrow_key_usage: when the request asks for fewer usages, give just those (NDES habit).
        extended_key_usage: never empty, because a certificate without any is good for everything.
        subject_attributes: attributes copied from the request's subject; others are refused.
        fixed_subject: attributes every certificate has; those of the same type in a request are
            replaced.  They come first.
        allow_empty_subject: accept requests without a subject if they have alternative names.
        alternative_names: which subjectAltName entries are copied.
        unlisted_names: what happens to a request with other entries.
        copied_extensions: OIDs of request extensions to copy, byte for byte.
        allow_requested_sid: let `copied_extensions` hold the Windows SID extension.  Whoever may
            name a SID may become that account (CVE-2022-26923).
        crl_urls: for the CRL distribution point.
        ca_issuer_urls: for authorityInfoAccess.
        ocsp_urls: for authorityInfoAccess.
        policies: OIDs for certificatePolicies.

    :raises InputError: the profile contradicts itself, or lists what must not be copied.
    """

    validity: timedelta = timedelta(days=365)
    backdate: timedelta = timedelta(hours=1)
    keys: KeyRules = _ANY_SOUND_KEY
    key_usage: frozenset[str] = frozenset({"digital_signature", "key_encipherment"})
    narrow_key_usage: bool = False
    extended_key_usage: tuple[x509.ObjectIdentifier, ...] = (ExtendedKeyUsageOID.CLIENT_AUTH,)
    subject_attributes: frozenset[x509.ObjectIdentifier] = COMMON_SUBJECT_ATTRIBUTES
    fixed_subject: tuple[x509.NameAttribute[Any], ...] = ()
    allow_empty_subject: bool = False
    alternative_names: AltNameRules = _ORDINARY_NAMES
    unlisted_names: Literal["refuse", "drop"] = "refuse"
    copied_extensions: frozenset[x509.ObjectIdentifier] = frozenset()
    allow_requested_sid: bool = False
    crl_urls: tuple[str, ...] = ()
    ca_issuer_urls: tuple[str, ...] = ()
    ocsp_urls: tuple[str, ...] = ()
    policies: tuple[x509.ObjectIdentifier, ...] = ()
    _constants: tuple[tuple[AnyExtension, ...], tuple[AnyExtension, ...]] = field(
        init=False, repr=False, compare=False
    )
    subject_oids: frozenset[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        _check_profile(self)
        usages = self.key_usage - {"key_agreement"}, self.key_usage - _RSA_ONLY
        rest = _constant_extensions(self)
        # Made once: a certificate's other extensions are made while a device waits.
        both = ((usage_extension(usages[0]), *rest), (usage_extension(usages[1]), *rest))
        object.__setattr__(self, "_constants", both)
        oids = frozenset(oid.dotted_string for oid in self.subject_attributes)
        object.__setattr__(self, "subject_oids", oids)

    def constant_extensions(self, *, rsa: bool) -> tuple[AnyExtension, ...]:
        """What every certificate of an RSA key has, or of another key; keyUsage is the first."""
        return self._constants[0 if rsa else 1]


def usage_extension(bits: frozenset[str]) -> AnyExtension:
    """A critical keyUsage with these bits, by their names in `cryptography`."""
    return KeptExtension(x509.KeyUsage(**{bit: bit in bits for bit in _USAGE_BITS}), critical=True)


def _constant_extensions(profile: CertificateProfile) -> list[KeptExtension]:
    values: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (x509.ExtendedKeyUsage(profile.extended_key_usage), False),
    ]
    if profile.crl_urls:
        point = x509.DistributionPoint(_uris(profile.crl_urls), None, None, None)
        values.append((x509.CRLDistributionPoints([point]), False))
    access = [
        x509.AccessDescription(method, uri)
        for method, urls in (
            (AuthorityInformationAccessOID.OCSP, profile.ocsp_urls),
            (AuthorityInformationAccessOID.CA_ISSUERS, profile.ca_issuer_urls),
        )
        for uri in _uris(urls)
    ]
    if access:
        values.append((x509.AuthorityInformationAccess(access), False))
    if profile.policies:
        policies = [x509.PolicyInformation(oid, None) for oid in profile.policies]
        values.append((x509.CertificatePolicies(policies), False))
    return [KeptExtension(value, critical=critical) for value, critical in values]


def _uris(urls: tuple[str, ...]) -> list[x509.UniformResourceIdentifier]:
    try:
        return [x509.UniformResourceIdentifier(url) for url in urls]
    except ValueError as exc:
        raise InputError("a URL of the profile has characters outside ASCII") from exc


def _check_profile(profile: CertificateProfile) -> None:
    if profile.validity <= timedelta() or profile.backdate < timedelta():
        raise InputError("validity must be positive and backdate must not be negative")
    if not profile.extended_key_usage:
        raise InputError(
            "extended_key_usage is empty; a certificate without it is good for every purpose",
            hint="list at least clientAuth",
        )
    if ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in profile.extended_key_usage:
        raise InputError("anyExtendedKeyUsage makes a certificate good for every purpose")
    if not profile.key_usage <= END_ENTITY_USAGES:
        wrong = sorted(profile.key_usage - END_ENTITY_USAGES)[0]
        raise InputError(
            f"{wrong!r} is not a key usage of an end entity; expected any of "
            + ", ".join(sorted(END_ENTITY_USAGES))
        )
    if not profile.key_usage - _RSA_ONLY - {"key_agreement"}:
        raise InputError("key_usage needs digital_signature, without which a key cannot enrol")
    for oid in profile.copied_extensions:
        if oid.dotted_string in _NEVER_COPIED:
            raise InputError(
                f"the extension {oid.dotted_string} must never be copied from a request"
            )
    if SID_EXTENSION in profile.copied_extensions and not profile.allow_requested_sid:
        raise InputError(
            "copying the SID extension lets a requester become any Windows account",
            hint="set allow_requested_sid if requests are checked against the account elsewhere",
        )
