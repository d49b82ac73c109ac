"""What a configuration would do, for `scepkit check-config`: in words and as values.

The rule of this file: it looks at what is put together as the server would put it together
(`assembly`), and changes nothing.  `cautions` has what to think about.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from cryptography import x509

from scepkit.config import format_duration
from scepkit.core.capabilities import parse_capabilities
from scepkit.server import offers
from scepkit.server.auth_settings import AuthSettings
from scepkit.server.deployment import Deployment
from scepkit.server.settings import Settings


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
