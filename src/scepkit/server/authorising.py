"""From the settings of ``auth`` to those who may say yes.

The rule of this file: what is not configured is not there, and nothing is put in its place.
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error as Base64Error
from collections.abc import Mapping

from scepkit.errors import ConfigError, InputError
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_program import Program
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.auth_settings import AuthSettings, NotifyWebhook, WebhookAuth
from scepkit.server.auth_static import static_secret
from scepkit.server.gate import Authorisers
from scepkit.server.pepper import Pepper
from scepkit.server.webhook import Webhook
from scepkit.transport import HttpOptions, HttpTransport


def authorisers(
    auth: AuthSettings, secret: str | None, pepper: Pepper, *, by_password: bool
) -> Authorisers:
    """The authorisers of a profile.

    :param secret: `AuthSettings.static_secret` as text.
    :param by_password: requests are encrypted with challenges, which must be got back for that.
    :raises ConfigError: a value is no use.
    """
    challenge = renewal = static = None
    if auth.challenge is not None:
        challenge = ChallengePolicy(
            ttl=auth.challenge.ttl,
            uses=auth.challenge.uses,
            return_unused=auth.challenge.return_unused,
            recoverable=by_password,
        )
    if secret is not None:
        static = static_secret(pepper, secret, recoverable=by_password)
    if auth.renewal is not None:
        renewal = RenewalPolicy(
            window=auth.renewal.window,
            expired=auth.renewal.expired,
            allowed=frozenset(auth.renewal.allowed),
            same_key=auth.renewal.same_key,
            by_enrolment=auth.renewal.by_enrolment,
        )
    return Authorisers(
        challenge=challenge,
        static=static,
        webhook=None if auth.webhook is None else webhook(auth.webhook, "auth.webhook"),
        program=None if auth.program is None else Program(auth.program.argv, auth.program.timeout),
        renewal=renewal,
        manual=auth.holds,
        approve_all=auth.approve_all,
    )


def webhook(hook: WebhookAuth | NotifyWebhook, path: str) -> Webhook:
    """A web service that is asked or told.

    :param path: of its settings, below the profile.
    :raises ConfigError: a value is no use.
    """
    key = None
    if hook.secret is not None:
        try:
            key = b64decode(hook.secret.value, validate=True)
        except Base64Error:
            raise ConfigError("is not base64", path=f"{path}.secret") from None
    seconds = hook.timeout.total_seconds()
    headers: Mapping[str, str] = {}
    if hook.bearer is not None:
        headers = {"Authorization": f"Bearer {hook.bearer.text()}"}
    try:
        options = HttpOptions(
            timeout=seconds,
            connect_timeout=min(seconds, 10.0),
            ca_bundle=hook.ca_bundle,
            headers=headers,
        )
    except InputError as error:
        raise ConfigError(str(error), path=path, hint=error.hint) from error
    return Webhook(hook.url, HttpTransport(options), key, hook.id or "", seconds)
