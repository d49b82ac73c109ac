"""The settings that say who may enrol in a profile.

The rule of this file: as in `scepkit.server.settings`.  A profile with nothing in its ``auth``
table holds every request for a person: there is no way to write "everybody".
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from scepkit.config import Secret, setting
from scepkit.errors import ConfigError
from scepkit.server import parsing

_SECOND = timedelta(seconds=1)
_MINUTE = timedelta(minutes=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeAuth:
    """One-time challenges, made by `scepkit challenge new`."""

    ttl: timedelta = setting(
        "How long a new challenge can be used, if the command does not say otherwise.",
        default="1h",
        minimum=_SECOND,
    )
    uses: int = setting(
        "How many enrolments a new challenge is good for, if the command does not say otherwise.",
        default=1,
        minimum=1,
        maximum=1_000_000,
    )
    return_unused: bool = setting(
        "Give a challenge back when the request that it paid for is rejected or expires.",
        default=False,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookAuth:
    """A web service that decides, in the form of step-ca's SCEPCHALLENGE webhooks."""

    url: str = setting(
        "Where the request is posted to.",
        parse=parsing.parse_url,
        example='"https://mdm.example/scep"',
    )
    secret: Secret | None = setting(
        "The base64 key of the HMAC-SHA-256 in X-Smallstep-Signature. Without it requests are not "
        "signed."
    )
    bearer: Secret | None = setting("A token for the Authorization header.")
    id: str | None = setting("What is sent as X-Smallstep-Webhook-ID.", default=None)
    ca_bundle: Path | None = setting(
        "The certificates (PEM) that the service's TLS certificate is checked with, instead of the "
        "system's.",
        default=None,
    )
    timeout: timedelta = setting(
        "How long to wait for an answer; no answer is a refusal.",
        default="10s",
        minimum=timedelta(milliseconds=100),
        maximum=timedelta(minutes=2),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifyWebhook:
    """A web service that is told, in the form of step-ca's NOTIFYING webhooks.

    What it is to be told survives crashes, and is sent again for a day when it does not answer;
    `scepkit notices` shows what it was not told.
    """

    url: str = setting(
        "Where the notice is posted to.",
        parse=parsing.parse_url,
        example='"https://mdm.example/told"',
    )
    secret: Secret | None = setting(
        "The base64 key of the HMAC-SHA-256 in X-Smallstep-Signature. Without it notices are not "
        "signed."
    )
    bearer: Secret | None = setting("A token for the Authorization header.")
    id: str | None = setting("What is sent as X-Smallstep-Webhook-ID.", default=None)
    ca_bundle: Path | None = setting(
        "The certificates (PEM) that the service's TLS certificate is checked with, instead of the "
        "system's.",
        default=None,
    )
    timeout: timedelta = setting(
        "How long to wait for an answer.",
        default="10s",
        minimum=timedelta(milliseconds=100),
        maximum=timedelta(minutes=2),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramAuth:
    """A program that decides: it reads the CSR (PEM) on its standard input; exit code 0 allows."""

    argv: tuple[str, ...] = setting(
        "The program and its arguments. No shell is involved.",
        parse=parsing.parse_text,
        example='["/usr/local/bin/check-csr", "--strict"]',
    )
    timeout: timedelta = setting(
        "When it runs longer it is killed, and the request refused.",
        default="10s",
        minimum=timedelta(milliseconds=100),
        maximum=timedelta(minutes=2),
    )

    def __post_init__(self) -> None:
        if not self.argv or not self.argv[0].startswith("/"):
            raise ConfigError("expected the absolute path of a program first", path="argv")


@dataclass(frozen=True, slots=True, kw_only=True)
class RenewalAuth:
    """Renewal by a certificate: whoever has a good one gets a new one for the same names."""

    window: timedelta | None = setting(
        "How long before its end a certificate can be renewed. Without it: the last half of its "
        "life.",
        default=None,
        minimum=_MINUTE,
    )
    expired: timedelta = setting(
        "How long after its end a certificate can still be renewed.", default="0s"
    )
    allowed: tuple[str, ...] = setting(
        "CAs of this server whose certificates can be renewed here, whatever profile they are of. "
        "Without being named, the profile's own CA counts for certificates of this profile only.",
        default=(),
        example='["old"]',
    )
    same_key: bool = setting("Accept a renewal with the old key.", default=True)
    by_enrolment: bool = setting(
        "Take a PKCSReq that is signed with a certificate of this CA for a renewal, as clients of "
        "older drafts do.",
        default=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class AuthSettings:
    """Who may enrol. Whatever is configured here may allow a request; nothing allows without.

    A certificate of this server is looked at first (`renewal`). If the request has a challenge, one
    of `challenge`, `static_secret` and `webhook` must know it; a wrong one is refused, whatever
    else is configured. A request without a challenge is for `webhook`, then `program`, then a
    person. `program` on its own decides whatever the challenge is.
    """

    challenge: ChallengeAuth | None = setting(
        "One-time challenges.", default=None, example='{ ttl = "1h" }'
    )
    static_secret: Secret | None = setting(
        "One challenge for everybody. It leaks with the first device that does: prefer one-time "
        "challenges."
    )
    webhook: WebhookAuth | None = setting("A web service that decides.", default=None)
    program: ProgramAuth | None = setting("A program that decides.", default=None)
    renewal: RenewalAuth | None = setting("Renewal by a certificate.", default=None, example="{}")
    manual: bool | None = setting(
        "Hold what nothing else allows, for `scepkit requests approve`. Without it: true when "
        "nothing else is configured. A wrong challenge is refused in any case. A web service or "
        "program that fails is a refusal, or with `true` a reason to hold.",
        default=None,
    )

    approve_all: bool = setting(
        "Hold even what is allowed above, until a person approves it.", default=False
    )
    notify: NotifyWebhook | None = setting(
        "A web service that is told of every certificate that was issued here and every request "
        "that was refused.",
        default=None,
    )

    @property
    def holds(self) -> bool:
        """Whether a request that nothing allows waits for a person instead of being refused."""
        enrols = (self.challenge, self.static_secret, self.webhook, self.program)
        return not any(enrols) if self.manual is None else self.manual
