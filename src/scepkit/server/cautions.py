"""What works, but perhaps not as it was meant: for `scepkit check-config` and the server's log.

The rule of this file: a caution is one sentence that says what would happen to whom, or what to do;
it never stops anything, and it changes nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.config import Secret, format_duration
from scepkit.core.chains import Facts
from scepkit.core.shown import title
from scepkit.server.auth_settings import AuthSettings
from scepkit.server.deployment import Deployment, ServedProfile
from scepkit.server.pepper import Pepper
from scepkit.server.profile_settings import ProfileSettings
from scepkit.server.settings import Settings
from scepkit.store import Store, jobs
from scepkit.store.rows import moment

_DAY = timedelta(days=1)
#: Servers say every 20 seconds that they are alive.
_SILENT = timedelta(minutes=2)
#: An end that is nearer than this is warned of.
_SOON = 60 * _DAY
# Q31: Windows' clocks while it is set up.
_WINDOWS_CLOCK = timedelta(hours=9)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO
#: An RSA key shorter than this is not what a CA should be built on (NIST SP 800-57).
_ENOUGH_BITS = 2048
#: A group that is repeated and ends with a repetition: matching it may take for ever.
_NESTED = re.compile(r"(?<!\\)[*+}]\??\)(?:[*+]|\{\d*,)")


def cautions(settings: Settings, deployment: Deployment, now: datetime) -> list[str]:
    """What works, but perhaps not as it was meant."""
    return [
        *_address_warnings(settings),
        *_ends(settings, deployment, now),
        *weak_keys(deployment),
        *(
            warning
            for name, served in deployment.profiles.items()
            for warning in _profile_warnings(name, settings.profile[name], served)
        ),
        *_missing_keys(deployment),
        *_open_files(settings),
        *_bare_keys(settings),
    ]


def other_challenge_keys(store: Store, name: str, own: Pepper, now: datetime) -> Iterator[str]:
    """Who has another challenge key: this server when it last ran, and others that are running.

    :param name: what this server is called among the nodes of the database.
    :raises StoreError: the database cannot be used.
    """
    for node in store.read(jobs.nodes):
        if node.challenge_key in {"", own.fingerprint}:
            continue
        if node.name == name:
            yield (
                "secrets.challenge_key is another one than when this server last ran: challenges "
                "that were handed out before are refused"
            )
        elif now - moment(node.heartbeat_at) < _SILENT:
            yield (
                f"secrets.challenge_key is another one than that of the node {node.name}, which "
                "runs on the same database: each refuses the challenges that the other hands out, "
                "so copy keys/challenge.key from one to the other"
            )


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
        certificate = authority.active.certificate
        end = certificate.not_valid_after_utc
        if end < now:
            yield (
                f"the CA {name} has ended on {end:%Y-%m-%d}, and its profiles issue nothing: "
                "scepkit ca rollover stage and activate make its successor"
            )
            continue
        if certificate.not_valid_before_utc > now:
            yield (
                f"the CA {name} begins on {certificate.not_valid_before_utc:%Y-%m-%d}, and until "
                "then its profiles issue nothing: is this machine's clock right?"
            )
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
            verb = "has ended" if end < now else "ends"
            yield (
                f"the RA certificate of profile {name} {verb} on {end:%Y-%m-%d}, and with it all "
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
    if profile.san.requested_sid:
        yield f"{here} whoever may enrol names the Windows account to become (CVE-2022-26923)"
    if served.roles.decrypts and profile.keys.rsa_min == 0:
        yield f"{here} RSA keys are not certified, and most clients have no others"
    for asked in (*_authoriser_warnings(profile.auth), *_pattern_warnings(profile)):
        yield f"{here} {asked}"
    if profile.get_ca_cert == "ra-only":
        yield (
            f"{here} no CA certificate is sent: clients that check the CA refuse it, and those "
            "that do not trust whoever answers them"
        )
    if profile.preset in {"apple", "windows"}:
        yield from (f"{here} {one}" for one in _mdm_warnings(profile, served))


def _authoriser_warnings(auth: AuthSettings) -> Iterator[str]:
    """Of those who are asked, and could not answer or be overheard."""
    if auth.webhook is not None:
        url = urlsplit(auth.webhook.url)
        if url.scheme == "http" and url.hostname not in {"localhost", "127.0.0.1", "::1"}:
            yield (
                f"the webhook {auth.webhook.url} is asked without TLS: whoever is in between reads "
                "the challenges, and can answer yes"
            )
    if auth.program is not None:
        program = auth.program.argv[0]
        if not (Path(program).is_file() and os.access(program, os.X_OK)):
            yield (
                f"the program {program} is not there, or this user may not run it: until it can be "
                "run, it allows nothing"
            )


def _pattern_warnings(profile: ProfileSettings) -> Iterator[str]:
    for one in (*profile.subject.patterns.values(), *profile.san.patterns.values()):
        if _NESTED.search(one.pattern):
            yield (
                f"the pattern {one.pattern!r} repeats what ends with a repetition: a name that "
                "nearly fits can keep the server busy for ever"
            )


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


def weak_keys(deployment: Deployment) -> Iterator[str]:
    """CAs and RAs that others could break."""
    authorities = deployment.authorities.values()
    shown = dict.fromkeys(authority.active.certificate for authority in authorities)
    for served in deployment.profiles.values():
        shown.update(dict.fromkeys(served.roles.offered))
    for certificate in shown:
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < _ENOUGH_BITS:
            yield (
                f"the key of {title(certificate)} has {key.key_size} bits only, and can be broken "
                f"by those who can pay for it: RSA needs {_ENOUGH_BITS}"
            )


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


def _bare_keys(settings: Settings) -> Iterator[str]:
    """Private keys that are not encrypted."""
    for path in sorted(set(_key_files(settings))):
        try:
            text = path.read_bytes()
        except OSError:
            continue  # said elsewhere
        if b"PRIVATE KEY-----" in text and b"ENCRYPTED" not in text:
            yield f"{path} holds a private key that is not encrypted: whoever copies it has the key"


def _key_files(settings: Settings) -> Iterable[Path]:
    yield from (ca.key for ca in settings.ca.values())
    for ra in settings.ra.values():
        yield from (pair.key for pair in (*ra.decrypt, ra.sign) if pair is not None)


def _secret_files(settings: Settings) -> Iterable[Path]:
    yield from _key_files(settings)
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
