"""Challenges that the server handed out: one-time, or good for several uses.

Of a challenge there is a MAC in the database, and beside it whom it is for.  The rules of this
file: a challenge is looked up, never compared; it is used up in the transaction that claims the
request (by `enrolling`), so that a request that is refused has not used it; and to the outside a
wrong one, an expired one, a used one and somebody else's are all the same.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from scepkit.errors import InputError
from scepkit.server.naming import Binding
from scepkit.server.pepper import Pepper
from scepkit.server.verdicts import Answer, EnrolRequest, No, Yes
from scepkit.store.challenges import NewChallenge
from scepkit.store.rows import Challenge, milliseconds

#: What fits into a table that people read, in characters.
LONGEST_LABEL = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengePolicy:
    """The challenges of a profile.

    Attributes:
        ttl, uses: of a new one, unless whoever mints it says otherwise.
        return_unused: give one back when the request that it paid for is rejected or expires.
        recoverable: the server must be able to get new ones back in the clear, because requests
            are encrypted with them (RFC 8894 section 3.1).
    """

    ttl: timedelta = timedelta(hours=1)
    uses: int = 1
    return_unused: bool = False
    recoverable: bool = False


@dataclass(frozen=True, slots=True)
class Minted:
    """A challenge to hand out; the only time that its secret is seen.

    Attributes:
        id: its number.
        secret: the challengePassword.
        profile: where it is good.
        expires_at: until when (aware).
    """

    id: int
    secret: str = field(repr=False)
    profile: str
    expires_at: datetime


def new_challenge(
    pepper: Pepper,
    profile: str,
    binding: Binding,
    *,
    recoverable: bool,
    uses: int,
    now: datetime,
    expires_at: datetime,
    label: str = "",
) -> tuple[str, NewChallenge]:
    """A fresh secret, and what is stored of it.

    :param now: aware; its minute is in the secret.
    :raises InputError: the label is too long.
    """
    if len(label) > LONGEST_LABEL:
        raise InputError(f"a label has up to {LONGEST_LABEL} characters, not {len(label)}")
    nonce = pepper.new_nonce(now)
    secret = pepper.challenge(nonce)
    bound = Binding(binding.subject, binding.san, nonce if recoverable else None)
    return secret, NewChallenge(
        profile=profile,
        mac=pepper.mac(secret),
        bind=bound.to_json(),
        uses=uses,
        expires_at=milliseconds(expires_at),
        label=label,
    )


def check(request: EnrolRequest, found: Challenge) -> Answer:
    """Whether the challenge that a request has is good for it."""
    fault = unusable(found, request.profile, request.now)
    if fault is None:
        fault = Binding.from_json(found.bind).fault(request.csr, request.template)
    return Yes() if fault is None else No(fault)


def unusable(found: Challenge, profile: str, now: datetime) -> str | None:
    """Why a challenge cannot be used any more, or None."""
    if found.profile != profile:
        return f"the challenge is for the profile {found.profile}"
    if found.revoked_at is not None:
        return "the challenge was revoked"
    if found.uses_left <= 0:
        return "the challenge was used before"
    if found.expires_at <= milliseconds(now):
        return "the challenge has expired"
    return None


def was_ours(found: Challenge, profile: str) -> bool:
    """Whether a challenge that came with a renewal may be the one of the first enrolment.

    RFC 8894 section 2.4 lets clients send it again; by then it is used up and expired.
    """
    return found.profile == profile and found.revoked_at is None
