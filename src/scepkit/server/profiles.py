"""From the settings of a profile to the rules that certificates are made by.

The rule of this file: pure values; a setting that the rules refuse is named by its path.
"""

from __future__ import annotations

from scepkit.ca.altnames import AltNameRules
from scepkit.ca.keys import KeyRules
from scepkit.ca.profile import COMMON_SUBJECT_ATTRIBUTES, CertificateProfile
from scepkit.errors import ConfigError, InputError
from scepkit.server.profile_settings import ProfileSettings
from scepkit.server.settings import Settings


def certificate_profile(
    settings: Settings, name: str, *, generation: int = 1
) -> CertificateProfile:
    """What certificates of the profile `name` contain.

    :param generation: of the CA that issues: its CRL has an address of its own.
    :raises ConfigError: the settings contradict each other.
    """
    profile = settings.profile[name]
    ca = settings.ca_name(name)
    try:
        return _rules(
            profile,
            crl_urls=crl_urls(settings, ca, generation),
            issuer_urls=issuer_urls(settings, ca, generation),
        )
    except InputError as error:
        raise ConfigError(str(error), path=f"profile.{name}", hint=error.hint) from error


def _rules(
    profile: ProfileSettings, *, crl_urls: tuple[str, ...], issuer_urls: tuple[str, ...]
) -> CertificateProfile:
    keys, subject, san = profile.keys, profile.subject, profile.san
    return CertificateProfile(
        validity=profile.validity,
        backdate=profile.backdate,
        keys=KeyRules(
            min_rsa_bits=keys.rsa_min,
            max_rsa_bits=keys.rsa_max,
            curves=keys.curves,
            ed25519=keys.ed25519,
        ),
        key_usage=profile.key_usage,
        narrow_key_usage=profile.narrow_key_usage,
        extended_key_usage=profile.extended_key_usage,
        subject_attributes=(
            COMMON_SUBJECT_ATTRIBUTES if subject.attributes is None else subject.attributes
        ),
        fixed_subject=tuple(subject.fixed) if subject.fixed is not None else (),
        allow_empty_subject=subject.allow_empty,
        alternative_names=AltNameRules(
            kinds=san.kinds,
            other_names=san.other_names,
            wildcards=san.wildcards,
            requested_sid=san.requested_sid,
            max_names=san.most,
        ),
        unlisted_names=san.unlisted,
        copied_extensions=profile.copied_extensions,
        allow_requested_sid=san.requested_sid,
        crl_urls=crl_urls,
        ca_issuer_urls=issuer_urls,
        ocsp_urls=profile.ocsp_urls,
        policies=profile.policies,
    )


def crl_urls(settings: Settings, ca: str, generation: int) -> tuple[str, ...]:
    """Where the CRL of one generation of a CA is; each has its own, as each has its own key."""
    return _urls(
        settings, settings.ca[ca].crl.urls, f"/crl/{ca}{_suffix(generation)}.crl", generation
    )


def issuer_urls(settings: Settings, ca: str, generation: int) -> tuple[str, ...]:
    """Where the certificate of one generation of a CA is."""
    return _urls(
        settings, settings.ca[ca].issuer_urls, f"/ca/{ca}{_suffix(generation)}.cer", generation
    )


def _suffix(generation: int) -> str:
    # No name has a tilde, so this is never the name of another CA.
    return "" if generation == 1 else f"~{generation}"


def _urls(
    settings: Settings, given: tuple[str, ...] | None, path: str, generation: int
) -> tuple[str, ...]:
    if given is not None:
        return tuple(url.replace("{generation}", _suffix(generation)) for url in given)
    base = settings.server.public_url
    return (f"{base}{path}",) if base else ()
