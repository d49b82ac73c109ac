"""The settings of a profile: who may enrol in it, and what its certificates contain.

The rule of this file: as in `scepkit.server.settings`; who may enrol is in `auth_settings`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import ClassVar, Literal

from cryptography import x509

from scepkit.config import Rate, parse_rate, setting
from scepkit.core.names import parse_eku, parse_subject
from scepkit.errors import ConfigError
from scepkit.server import parsing
from scepkit.server.auth_settings import AuthSettings
from scepkit.server.presets import PRESETS

_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRuleSettings:
    """Which keys are certified."""

    rsa_min: int = setting("Smallest RSA key, in bits; `0` certifies none.", default=2048)
    rsa_max: int = setting("Largest RSA key, in bits.", default=8192, maximum=16384)
    curves: frozenset[str] = setting(
        "EC curves; `[]` certifies no EC key.",
        default=("p256", "p384", "p521"),
        parse=parsing.parse_curve,
    )
    ed25519: bool = setting("Certify Ed25519 keys.", default=False)

    def __post_init__(self) -> None:
        if self.rsa_min and not 1024 <= self.rsa_min <= self.rsa_max:
            raise ConfigError("expected 0, or 1024 to rsa_max", path="rsa_min")
        if not (self.rsa_min or self.curves or self.ed25519):
            raise ConfigError("these rules certify no key at all")


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectSettings:
    """Which subject a certificate gets."""

    attributes: frozenset[x509.ObjectIdentifier] | None = setting(
        "Attributes that are copied from the request, by name or OID; a request with others is "
        "refused. Without it: the usual ones.",
        default=None,
        parse=parsing.parse_attribute,
        example='["CN", "serialNumber", "O"]',
    )
    fixed: x509.Name | None = setting(
        "Attributes that every certificate has; they replace those of the same kind in a request.",
        default=None,
        parse=parse_subject,
        example='"OU=Devices,O=Acme"',
    )
    allow_empty: bool = setting(
        "Accept requests without a subject when they have alternative names.", default=False
    )
    patterns: dict[x509.ObjectIdentifier, re.Pattern[str]] = setting(
        "A regular expression for each of some attributes: the attribute must be there, and every "
        "value of it must match as a whole.",
        default={},
        parse=parsing.parse_pattern,
        parse_key=parsing.parse_attribute,
        example='{ CN = "router[0-9]+" }',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SanSettings:
    """Which alternative names are copied from a request."""

    kinds: frozenset[str] = setting(
        "Of `dns`, `ip`, `email`, `uri`, `upn`, `dirname`, `rid`.",
        default=("dns", "ip", "email", "uri"),
        parse=parsing.parse_name_kind,
    )
    other_names: frozenset[x509.ObjectIdentifier] = setting(
        "OIDs of other kinds that are copied as they are.",
        default=(),
        parse=parsing.parse_extension,
    )
    patterns: dict[str, re.Pattern[str]] = setting(
        "A regular expression for each of some kinds: every name of that kind must match as a "
        "whole. Names of type `dns`, `email`, `uri`, `upn` as they are, `ip` in their usual form.",
        default={},
        parse=parsing.parse_pattern,
        parse_key=parsing.parse_name_kind,
        example="{ dns = '[a-z0-9-]+\\.example\\.com' }",
    )
    unlisted: Literal["refuse", "drop"] = setting(
        "What happens to a request with other kinds.", default="refuse"
    )
    wildcards: bool = setting("Copy DNS names such as `*.example.com`.", default=False)
    requested_sid: bool = setting(
        "Copy a Windows SID that a request names in a URI. Whoever may name a SID may become that "
        "account (CVE-2022-26923).",
        default=False,
    )
    most: int = setting("Most names in a certificate.", default=64, minimum=0, maximum=1000)


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """How many PKIOperations are accepted; the rest gets 429 with Retry-After."""

    per_address: Rate | None = setting(
        "From one address; IPv6 addresses count by their /64. Without it there is no limit: a "
        "whole fleet may come from one address. Behind a proxy, see `server.trusted_proxies`.",
        default=None,
        parse=parse_rate,
        example='"20/s"',
    )
    address_burst: int = setting(
        "How many may come at once from an address that was quiet.",
        default=100,
        minimum=1,
        maximum=1_000_000,
    )
    total: Rate | None = setting("From all addresses together.", default=None, parse=parse_rate)
    total_burst: int = setting(
        "How many may come at once after a quiet time.", default=200, minimum=1, maximum=1_000_000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileSettings:
    """A kind of certificate, served at `/scep/NAME`.

    The profile `default`, or the only one, is also served at `/scep` and at the paths that old
    clients have built in.
    """

    PRESETS: ClassVar = PRESETS

    preset: Literal["generic", "apple", "windows", "cisco", "strict"] = setting(
        "Defaults for a kind of clients, see below.", default="generic"
    )
    ca: str | None = setting("The CA that issues. Needed when there are several.", default=None)
    ra: str | None = setting(
        "The RA that decrypts requests and signs replies. Without it, the CA's own key does.",
        default=None,
    )
    auth: AuthSettings = setting("Who may enrol.", default={})
    validity: timedelta = setting(
        "How long certificates are valid; never longer than the CA's own.",
        default="365d",
        minimum=_MINUTE,
    )
    backdate: timedelta = setting(
        "How far their notBefore lies in the past, for devices whose clock is behind.",
        default="1h",
        maximum=timedelta(days=31),
    )
    keys: KeyRuleSettings = setting("Which keys are certified.", default={})
    subject: SubjectSettings = setting("Which subject certificates get.", default={})
    san: SanSettings = setting("Which alternative names are copied.", default={})
    key_usage: frozenset[str] = setting(
        "Of digitalSignature, contentCommitment, keyEncipherment, dataEncipherment, keyAgreement. "
        "What a key cannot do is left out.",
        default=("digitalSignature", "keyEncipherment"),
        parse=parsing.parse_usage,
    )
    narrow_key_usage: bool = setting(
        "When a request asks for fewer key usages, give just those.", default=False
    )
    extended_key_usage: tuple[x509.ObjectIdentifier, ...] = setting(
        "What certificates are good for, by name or OID. Never taken from a request.",
        default=("clientAuth",),
        parse=parse_eku,
    )
    copied_extensions: frozenset[x509.ObjectIdentifier] = setting(
        "OIDs of extensions that are copied from a request as they are.",
        default=(),
        parse=parsing.parse_extension,
    )
    policies: tuple[x509.ObjectIdentifier, ...] = setting(
        "OIDs of certificate policies.", default=(), parse=parsing.parse_extension
    )
    ocsp_urls: tuple[str, ...] = setting(
        "Where certificates say that their status can be asked.",
        default=(),
        parse=parsing.parse_url,
    )
    accept_3des: bool = setting(
        "Accept requests encrypted with triple DES, and announce it.",
        default=True,
    )
    accept_single_des_requests: bool = setting(
        "Read requests encrypted with single DES, against RFC 8894: some clients send nothing "
        "else. It is not announced, and replies to them use AES.",
        default=False,
    )
    accept_sha1: bool = setting(
        "Accept requests signed with SHA-1, and announce it. MD5 never is.", default=True
    )
    announce_post: bool = setting(
        "Announce POST. Without it most clients send their messages with GET, as where a proxy "
        "lets nothing else through; POST is accepted all the same.",
        default=True,
    )
    get_ca_cert: Literal["auto", "ca", "ra", "ra-only", "chain"] = setting(
        "What GetCACert sends. `ca`: the CA's certificate alone, as `application/x-x509-ca-cert`. "
        "`ra`: the RA's certificates and the CA's. `chain`: these and the ones above, up to the "
        "root. `ra-only`: the RA's certificates without the CA's, against RFC 8894, for clients "
        "that encrypt to every certificate they are sent and cannot with the CA's; clients that "
        "check the CA's fingerprint refuse it, so let the others have a profile of their own. "
        "`auto`: `ra` with an RA, else `chain` for an intermediate CA with a `chain` file, else "
        "`ca`.",
        default="auto",
    )
    reply_certificates: Literal["leaf", "issuer", "chain"] = setting(
        "What a reply holds: the issued certificate alone, with its issuer's, or with all up to "
        "the root. Apple's clients need it alone.",
        default="leaf",
    )
    pending_for: timedelta = setting(
        "How long a held request waits for a person, before it expires.",
        default="30d",
        minimum=_MINUTE,
    )
    max_pending: int = setting(
        "How many requests may wait for a person; further ones are answered with 503.",
        default=1000,
        minimum=1,
        maximum=10_000_000,
    )
    rate_limit: RateLimit = setting("How many requests are accepted.", default={})
