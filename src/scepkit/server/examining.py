"""What a configuration would do, for `scepkit check-config`: in words and as values.

The rule of this file: it looks at what is put together as the server would put it together
(`assembly`), changes nothing, and a warning says what would happen to whom.
"""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509

from scepkit.config import Secret, format_duration
from scepkit.core.capabilities import parse_capabilities
from scepkit.core.chains import Facts
from scepkit.server import offers
from scepkit.server.auth_settings import AuthSettings
from scepkit.server.deployment import Deployment, ServedProfile
from scepkit.server.profile_settings import ProfileSettings
from scepkit.server.settings import Settings

_DAY = timedelta(days=1)
#: An end that is nearer than this is warned of.
_SOON = 60 * _DAY
# Q31: Windows' clocks while it is set up.
_WINDOWS_CLOCK = timedelta(hours=9)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO


@dataclass(frozen=True, slots=True)
class ProfileReport:
    """What a profile does.

    Attributes:
        name: its name.
        ca: the CA's name; `ra` the RA's, or None.
        rules: who may enrol, a sentence each, in the order in which they are asked.
        content_type: of GetCACert; `offered` the certificates it sends.
        capabilities: the words of GetCACaps.
        validity: of certificates, as a duration.
    """

    name: str
    ca: str
    ra: str | None
    rules: tuple[str, ...]
    content_type: str
    offered: tuple[x509.Certificate, ...]
    capabilities: tuple[str, ...]
    validity: str


def examine(settings: Settings, deployment: Deployment) -> list[ProfileReport]:
    """What each profile does."""
    reports = []
    for name, served in deployment.profiles.items():
        profile = settings.profile[name]
        _, content_type = offers.ca_certificates(served.roles.offered)
        reports.append(
            ProfileReport(
                name=name,
                ca=settings.ca_name(name),
                ra=profile.ra,
                rules=tuple(rules(profile.auth)),
                content_type=content_type,
                offered=served.roles.offered,
                capabilities=parse_capabilities(offers.capabilities(served)).to_words(),
                validity=format_duration(profile.validity),
            )
        )
    return reports


def rules(auth: AuthSettings) -> Iterator[str]:
    """Who may enrol, a sentence each."""
    if auth.renewal is not None:
        window = auth.renewal.window
        when = "in the last half of its life" if window is None else (
            f"in the last {format_duration(window)} of its life"
        )  # fmt: skip
        yield f"whoever has a certificate renews it {when}"
    if auth.challenge is not None:
        ttl, uses = format_duration(auth.challenge.ttl), auth.challenge.uses
        times = "one enrolment" if uses == 1 else f"{uses} enrolments"
        yield f"a challenge of `scepkit challenge new` is good for {times} within {ttl}"
    if auth.static_secret is not None:
        yield "the static challenge is good for anybody who knows it"
    if auth.webhook is not None:
        yield f"{auth.webhook.url} is asked"
    if auth.program is not None:
        yield f"the program {auth.program.argv[0]} is asked"
    if auth.approve_all:
        yield "what is allowed then waits for a person"
    yield "all else waits for a person" if auth.holds else "all else is refused"


# ------------------------------------------------------------------ warnings


def warnings(settings: Settings, deployment: Deployment, now: datetime) -> list[str]:
    """What works, but perhaps not as it was meant."""
    return [
        *_address_warnings(settings),
        *_ends(settings, deployment, now),
        *(
            warning
            for name, served in deployment.profiles.items()
            for warning in _profile_warnings(name, settings.profile[name], served)
        ),
        *_missing_keys(deployment),
        *_open_files(settings),
    ]


def _address_warnings(settings: Settings) -> Iterator[str]:
    server = settings.server
    if server.public_url is None:
        silent = [name for name, ca in settings.ca.items() if ca.crl.urls is None]
        if silent:
            yield (
                f"certificates of the CA {', '.join(silent)} will not say where their CRL is: set "
                "server.public_url, or crl.urls"
            )
        if server.bind.host in {"127.0.0.1", "::1", "localhost"}:
            yield f"only this machine reaches the server: it listens at {server.bind}"
    elif server.public_url.startswith("https:"):
        yield (
            "server.public_url is https: who fetches a CRL or a CA certificate there may need it "
            "to check that very connection"
        )


def _ends(settings: Settings, deployment: Deployment, now: datetime) -> Iterator[str]:
    for name, authority in deployment.authorities.items():
        end = authority.active.certificate.not_valid_after_utc
        if end - now < _SOON:
            yield (
                f"the CA {name} ends on {end:%Y-%m-%d}: prepare its successor with "
                "scepkit ca rollover stage"
            )
        for profile, one in settings.profile.items():
            if settings.ca_name(profile) == name and now + one.validity > end:
                yield (
                    f"certificates of profile {profile} will end with the CA {name} on "
                    f"{end:%Y-%m-%d}, before their validity of {format_duration(one.validity)}"
                )
    agents: dict[x509.Certificate, str] = {
        one: name
        for name, served in deployment.profiles.items()
        for one in served.roles.offered
        if not Facts(one).is_ca_as_anchor
    }
    for certificate, name in agents.items():
        end = certificate.not_valid_after_utc
        if end - now < _SOON:
            yield (
                f"the RA certificate of profile {name} ends on {end:%Y-%m-%d}, and with it all "
                "enrolment: scepkit ra new makes the next one"
            )


def _profile_warnings(name: str, profile: ProfileSettings, served: ServedProfile) -> Iterator[str]:
    here = f"profile {name}:"
    for note in served.roles.notes:
        yield f"{here} {note}"
    if profile.auth.static_secret is not None:
        yield f"{here} the static challenge is no secret any more once one device has lost it"
    if profile.accept_single_des_requests:
        yield f"{here} requests in single DES can be read by who records them (RFC 8894 7.5)"
    if served.roles.decrypts and profile.keys.rsa_min == 0:
        yield f"{here} RSA keys are not certified, and most clients have no others"
    if profile.preset in {"apple", "windows"}:
        yield from (f"{here} {one}" for one in _mdm_warnings(profile, served))


def _mdm_warnings(profile: ProfileSettings, served: ServedProfile) -> Iterator[str]:
    """Of what Apple's and Microsoft's clients are known to stumble over (Q20 to Q31)."""
    whose = "Apple's" if profile.preset == "apple" else "Windows"
    for certificate in served.roles.offered[:1]:
        usage = Facts(certificate).key_usage
        if usage is not None and not (usage.digital_signature and usage.key_encipherment):
            yield (
                f"{whose} clients want a certificate with both digitalSignature and "
                "keyEncipherment to talk to"
            )
    if profile.preset == "windows":
        if profile.backdate < _WINDOWS_CLOCK:
            yield "while Windows is set up its clock can be 9 hours behind: backdate is shorter"
        return
    if len(served.roles.offered) > 1 and profile.ra is None:
        yield "Apple's clients take several CA certificates for an RA's: set get_ca_cert = 'ca'"
    if profile.auth.renewal is None:
        yield "macOS wants to see Renewal among the capabilities: write renewal = {} into auth"


def _missing_keys(deployment: Deployment) -> Iterator[str]:
    for authority in deployment.authorities.values():
        for generation in authority.generations:
            if generation.issuer is None:
                yield (
                    f"the key of the CA {generation.label} ({generation.status}) is not here, so "
                    "its CRLs cannot be made by this machine"
                )


def _open_files(settings: Settings) -> Iterator[str]:
    """Secrets in files that others may read."""
    for path in sorted(set(_secret_files(settings))):
        try:
            mode = path.stat().st_mode
        except OSError:
            continue  # said elsewhere
        if mode & _OTHERS and stat.S_ISREG(mode):
            yield f"{path} holds a secret and can be read by others: chmod 600 {path}"


def _secret_files(settings: Settings) -> Iterable[Path]:
    yield from (ca.key for ca in settings.ca.values())
    for ra in settings.ra.values():
        yield from (pair.key for pair in (*ra.decrypt, ra.sign) if pair is not None)
    secrets: list[Secret | None] = [
        settings.secrets.challenge_key,
        settings.secrets.passphrase,
        settings.database.password,
    ]
    for profile in settings.profile.values():
        auth = profile.auth
        secrets.append(auth.static_secret)
        for hook in (auth.webhook, auth.notify):
            secrets += [hook.secret, hook.bearer] if hook is not None else []
    # The source is a path, or words that name no file.
    yield from (Path(one.source) for one in secrets if one is not None and one.source[:1] == "/")
