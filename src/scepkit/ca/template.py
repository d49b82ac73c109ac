"""How a request becomes a certificate template under a profile.

The rule of this file: nothing is copied from a request unless the profile lists it (A8).  Key
usages come from the profile alone; a request can at most narrow them.  Pure values: no clock, no
serial numbers, no signing.

    profile = CertificateProfile(validity=timedelta(days=90))
    match template_for(csr, profile):
        case CertificateTemplate() as template:
            certificate = issuer.issue(template, random_serial_number(), now)
        case ProfileRefusal(reason=reason):
            ...
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from scepkit.ca import altnames
from scepkit.ca.keys import CertifiableKey, key_fault
from scepkit.ca.profile import END_ENTITY_USAGES, CertificateProfile, usage_extension
from scepkit.core.certificates import load_public_key
from scepkit.errors import FailInfo
from scepkit.values import frozen, kept

if TYPE_CHECKING:
    from datetime import timedelta

    from scepkit.ca.extensions import AnyExtension
    from scepkit.core.csr import ParsedCsr

_SUBJECT_ALTERNATIVE_NAME = x509.SubjectAlternativeName.oid
_KEY_USAGE = x509.KeyUsage.oid
_COMMON_NAME = NameOID.COMMON_NAME.dotted_string
_EMPTY_NAME = b"0\x00"
_MAX_SUBJECT_ATTRIBUTES = 32
_MAX_VALUE = 255


@frozen
class CertificateTemplate:
    """A certificate but for its issuer, serial number and dates.

    Attributes:
        subject_der: the subject, a Name in DER.
        spki: the certified key: SubjectPublicKeyInfo, as `certificates.public_key_der` encodes it.
        extensions: all but authorityKeyIdentifier and subjectKeyIdentifier, which the issuer adds.
        validity: from issuing to notAfter.
        backdate: from notBefore to issuing.
        ignored: what was not copied from the request, for the log: dotted OIDs of extensions (the
            profile's own stand in their place) and "subjectAltName:KIND".  Never a value.
    """

    subject_der: bytes
    spki: bytes
    extensions: tuple[AnyExtension, ...]
    validity: timedelta
    backdate: timedelta
    ignored: tuple[str, ...] = ()

    @kept
    def subject(self) -> x509.Name:
        """The subject as an object."""
        return x509.Name.from_bytes(self.subject_der)

    @kept
    def public_key(self) -> CertifiableKey:
        """The certified key as an object."""
        return cast("CertifiableKey", load_public_key(self.spki))  # `key_fault` lets no other pass


@frozen
class ProfileRefusal:
    """The profile does not allow this request.

    Attributes:
        reason: a sentence without capital and full stop; holds nothing from the request.
        fail_info: what to answer (RFC 8894 section 3.2.1.4).
    """

    reason: str
    fail_info: FailInfo = FailInfo.BAD_REQUEST


def template_for(
    csr: ParsedCsr, profile: CertificateProfile
) -> CertificateTemplate | ProfileRefusal:
    """What a certificate for this request contains, or why there is none.

    The request's own signature and the requester's authority are not looked at here: check them
    first.

    :raises ProtocolError: the request's key or extensions cannot be read.
    """
    key = csr.public_key
    fault = key_fault(key, profile.keys)
    if fault is not None:
        return ProfileRefusal(fault.reason, fault.fail_info)
    requested = tuple(csr.extensions or ())
    san, ignored = _copied_names(requested, profile)
    if isinstance(san, ProfileRefusal):
        return san
    fault_of_subject = _subject_fault(csr.subject_values, profile)
    if fault_of_subject is not None:
        return fault_of_subject
    subject = _subject_der(csr, profile)
    is_empty = subject == _EMPTY_NAME
    if is_empty and not (san and profile.allow_empty_subject):
        return ProfileRefusal("the request has no subject")
    usage, *constant = profile.constant_extensions(rsa=isinstance(key, rsa.RSAPublicKey))
    if profile.narrow_key_usage:
        narrowed = _narrowed(usage, requested)
        if isinstance(narrowed, ProfileRefusal):
            return narrowed
        usage = narrowed
    extensions = [usage, *constant]
    if san:
        # RFC 5280 4.2.1.6: critical when there is no other name.
        value = x509.SubjectAlternativeName(san)
        extensions.append(x509.Extension(_SUBJECT_ALTERNATIVE_NAME, is_empty, value))
    for extension in requested:
        if extension.oid in profile.copied_extensions:
            extensions.append(extension)
        elif extension.oid != _SUBJECT_ALTERNATIVE_NAME:
            ignored.append(extension.oid.dotted_string)
    return CertificateTemplate(
        subject_der=subject,
        spki=csr.public_key_der,
        extensions=tuple(extensions),
        validity=profile.validity,
        backdate=profile.backdate,
        ignored=tuple(ignored),
    )


def _subject_fault(
    requested: tuple[tuple[str, str | bytes], ...] | None, profile: CertificateProfile
) -> ProfileRefusal | None:
    if requested is None:
        return ProfileRefusal("the subject is malformed, or a value in it is too long")
    if len(requested) > _MAX_SUBJECT_ATTRIBUTES:
        return ProfileRefusal("the subject has too many attributes")
    allowed = profile.subject_oids
    for oid, value in requested:
        if oid not in allowed:
            return ProfileRefusal(f"the subject has the attribute {oid}, which is not allowed here")
        if (
            not isinstance(value, str)
            or not 0 < len(value) <= _MAX_VALUE
            or not value.isprintable()
        ):
            return ProfileRefusal("the subject has a value that is empty, too long or unprintable")
        if value[0] == "*" and oid == _COMMON_NAME and not profile.alternative_names.wildcards:
            return ProfileRefusal("the subject's common name is a wildcard")
    return None


def _subject_der(csr: ParsedCsr, profile: CertificateProfile) -> bytes:
    """The subject of a request that has no fault, with what the profile fixes."""
    if not profile.fixed_subject:
        return cast("bytes", csr.issuable_subject_der)
    fixed = {attribute.oid for attribute in profile.fixed_subject}
    requested = cast("x509.Name", csr.subject)
    rest = [[a for a in rdn if a.oid not in fixed] for rdn in requested.rdns]
    name = x509.Name(
        [
            *(x509.RelativeDistinguishedName([a]) for a in profile.fixed_subject),
            *(x509.RelativeDistinguishedName(rdn) for rdn in rest if rdn),
        ]
    )
    return name.public_bytes()


def _copied_names(
    requested: tuple[AnyExtension, ...], profile: CertificateProfile
) -> tuple[list[x509.GeneralName] | ProfileRefusal, list[str]]:
    value: Any = next((e.value for e in requested if e.oid == _SUBJECT_ALTERNATIVE_NAME), ())
    rules = profile.alternative_names
    kept: list[x509.GeneralName] = []
    ignored: list[str] = []
    for name in value:
        kind = altnames.kind_of(name)
        if not altnames.is_listed(name, rules):
            if profile.unlisted_names == "refuse":
                what = altnames.unlisted_kind(name)
                return ProfileRefusal(f"alternative names of kind {what} are not allowed here"), []
            ignored.append(f"subjectAltName:{kind}")
            continue
        wrong = altnames.malformation(name, rules)
        if wrong:
            return ProfileRefusal(f"an alternative name of kind {kind} {wrong}"), []
        kept.append(name)
    if len(kept) > rules.max_names:
        return ProfileRefusal(f"there are more than {rules.max_names} alternative names"), []
    return kept, ignored


def _narrowed(
    ours: AnyExtension, requested: tuple[AnyExtension, ...]
) -> AnyExtension | ProfileRefusal:
    asked = next((e.value for e in requested if e.oid == _KEY_USAGE), None)
    allowed = ours.value
    if not isinstance(asked, x509.KeyUsage) or not isinstance(allowed, x509.KeyUsage):
        return ours
    bits = {bit for bit in END_ENTITY_USAGES if getattr(asked, bit) and getattr(allowed, bit)}
    if not bits:
        return ProfileRefusal("none of the requested key usages is allowed here")
    return usage_extension(frozenset(bits))
