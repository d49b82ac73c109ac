"""What operators do: challenges, requests, revocation, CRLs, rollover.

The rules of this file: every change is one transaction with its row in the audit trail, under the
name of whoever made it; no private key is needed but for CRLs; and what cannot be done is an
`InputError` that says how things stand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.ca import ProfileRefusal, template_for
from scepkit.core.certificates import load_certificate
from scepkit.core.csr import ParsedCsr, read_csr
from scepkit.errors import FailInfo, InputError, ProtocolError
from scepkit.keys import read_certificates_file
from scepkit.server import crl_job, registry
from scepkit.server.auth_challenge import Minted, new_challenge
from scepkit.server.checkpoints import checkpoint
from scepkit.server.deployment import Deployment
from scepkit.server.jobs import give_back
from scepkit.server.naming import Binding, NamePatterns
from scepkit.server.pepper import Pepper
from scepkit.server.profiles import certificate_profile
from scepkit.server.rollover import activate_ca, cancel_rollover, stage_ca
from scepkit.server.settings import Settings
from scepkit.store import Store, cas, certificates, challenges, operations
from scepkit.store.driver import Tx
from scepkit.store.rows import (
    Certificate,
    Challenge,
    Crl,
    Operation,
    OperationState,
    milliseconds,
)

__all__ = [
    "REASONS",
    "Minted",
    "RequestView",
    "activate_ca",
    "approve_request",
    "cancel_rollover",
    "list_challenges",
    "list_requests",
    "make_crl",
    "mint_challenges",
    "reject_request",
    "revoke_certificate",
    "revoke_challenge",
    "show_request",
    "stage_ca",
]

#: RFC 5280 section 5.3.1, without removeFromCRL, which belongs into delta CRLs.
REASONS = {
    "unspecified": 0,
    "keyCompromise": 1,
    "cACompromise": 2,
    "affiliationChanged": 3,
    "superseded": 4,
    "cessationOfOperation": 5,
    "certificateHold": 6,
    "privilegeWithdrawn": 9,
    "aACompromise": 10,
}

_MOST_AT_ONCE = 10_000

# ------------------------------------------------------------------ challenges


def mint_challenges(
    store: Store,
    settings: Settings,
    profile: str,
    *,
    count: int = 1,
    subject: str = "",
    san: Sequence[str] = (),
    ttl: timedelta | None = None,
    uses: int | None = None,
    label: str = "",
    actor: str,
    now: datetime,
) -> list[Minted]:
    """Make challenges.  This is the only time that their secrets are seen.

    :param subject: whom they are for, as RFC 4514 text; "" for anybody the profile allows.
    :param san: all the alternative names they are for, as ``dns:router1.example``.
    :param ttl, uses: None for what the profile says.
    :raises InputError: there is no such profile, it takes no challenges, or a value is no use.
    """
    found = settings.profile.get(profile)
    if found is None:
        known = ", ".join(settings.profile)
        raise InputError(f"there is no profile {profile!r}; the configuration has {known}")
    policy = found.auth.challenge
    if policy is None:
        raise InputError(
            f"the profile {profile} takes no challenges",
            hint=f"write [profile.{profile}.auth.challenge] into the configuration",
        )
    if not 1 <= count <= _MOST_AT_ONCE:
        raise InputError(f"1 to {_MOST_AT_ONCE} challenges can be made at once, not {count}")
    good_for = policy.ttl if ttl is None else ttl
    times = policy.uses if uses is None else uses
    if good_for <= timedelta() or times < 1:
        raise InputError("a challenge is good for some time, and for one use or more")
    pepper = Pepper(settings.secrets.challenge_key.value)
    recoverable = _comes_by_password(store, settings, profile)
    binding = Binding.of(subject, san)
    made = [
        new_challenge(
            pepper,
            profile,
            binding,
            recoverable=recoverable,
            uses=times,
            now=now,
            expires_at=now + good_for,
            label=label,
        )
        for _ in range(count)
    ]
    numbers = store.write(
        lambda tx: challenges.mint(tx, [row for _, row in made], actor=actor, now=milliseconds(now))
    )
    return [
        Minted(number, secret, profile, now + good_for)
        for number, (secret, _) in zip(numbers, made, strict=True)
    ]


def _comes_by_password(store: Store, settings: Settings, profile: str) -> bool:
    """Whether requests of the profile are encrypted with their challenge: nothing else decrypts."""
    ra = settings.profile[profile].ra
    if ra is not None and settings.ra[ra].decrypt:
        return False
    name = settings.ca_name(profile)
    active = store.read(lambda tx: cas.active(tx, name))
    if active is not None:
        certificate = load_certificate(active.certificate)
    else:
        certificate = read_certificates_file(settings.ca[name].certificate)[0]
    return not isinstance(certificate.public_key(), rsa.RSAPublicKey)


def list_challenges(
    store: Store,
    *,
    profile: str | None = None,
    usable_at: datetime | None = None,
    before: int | None = None,
    limit: int = 100,
) -> list[Challenge]:
    """Challenges, newest first; the next page is before the last one's `id`."""
    moment = None if usable_at is None else milliseconds(usable_at)
    return store.read(
        lambda tx: challenges.listing(
            tx, profile=profile, usable_at=moment, before=before, limit=limit
        )
    )


def revoke_challenge(store: Store, number: int, *, actor: str, now: datetime) -> Challenge:
    """Let a challenge be used no more.

    :raises InputError: there is none of that number, or it was revoked before.
    """
    revoked = store.write(
        lambda tx: challenges.revoke(tx, number, actor=actor, now=milliseconds(now))
    )
    if revoked is not None:
        return revoked
    if store.read(lambda tx: challenges.by_id(tx, number)) is None:
        raise InputError(
            f"there is no challenge {number}", hint="scepkit challenge list shows those there are"
        )
    raise InputError(f"the challenge {number} was revoked before")


# ------------------------------------------------------------------ requests


def list_requests(
    store: Store,
    *,
    state: OperationState | None = None,
    profile: str | None = None,
    text: str | None = None,
    before: int | None = None,
    after: int = 0,
    limit: int = 100,
) -> list[Operation]:
    """Requests, newest first; the next page is before the last one's `id`.

    :param after: the `id` of the newest that is not looked at (`searching.floor`).
    """
    return store.read(
        lambda tx: operations.search(
            tx, state=state, profile=profile, text=text, before=before, after=after, limit=limit
        )
    )


@dataclass(frozen=True, slots=True)
class RequestView:
    """A request as an operator looks at it.

    Attributes:
        operation: its row.
        csr: what it asks for, or None when that cannot be read.
        certificate: what it led to, or None.
        problem: what its profile would refuse, or "".
    """

    operation: Operation
    csr: ParsedCsr | None
    certificate: Certificate | None
    problem: str


def show_request(store: Store, settings: Settings, number: int) -> RequestView:
    """A request, and what its profile says to it.

    :raises InputError: there is none of that number.
    """
    operation = _request(store, number)
    row = store.read(lambda tx: certificates.of_operation(tx, number))
    try:
        csr = read_csr(operation.csr)
    except ProtocolError as error:
        return RequestView(operation, None, row, f"the request cannot be read: {error}")
    return RequestView(operation, csr, row, _problem(settings, operation.profile, csr))


def _problem(settings: Settings, profile: str, csr: ParsedCsr) -> str:
    found = settings.profile.get(profile)
    if found is None:
        return f"there is no profile {profile} any more"
    template = template_for(csr, certificate_profile(settings, profile))
    if isinstance(template, ProfileRefusal):
        return template.reason
    patterns = NamePatterns(found.subject.patterns, found.san.patterns)
    return patterns.fault(template) or ""


def approve_request(
    store: Store, number: int, *, actor: str, reason: str = "", now: datetime
) -> Operation:
    """Let a request that waits be issued: a running server does it, or the requester's next poll.

    :raises InputError: there is none of that number, or it does not wait.
    """

    def approve(tx: Tx) -> Operation | None:
        checkpoint("decide.begin")
        approved = operations.approve(tx, number, actor=actor, reason=reason, now=milliseconds(now))
        checkpoint("decide.end")
        return approved

    approved = store.write(approve)
    checkpoint("decided")
    if approved is None:
        raise _not_waiting(_request(store, number))
    return approved


def reject_request(
    store: Store, settings: Settings, number: int, *, actor: str, reason: str = "", now: datetime
) -> Operation:
    """Refuse a request that waits.

    :raises InputError: there is none of that number, or it does not wait.
    """

    def reject(tx: Tx) -> Operation | None:
        checkpoint("decide.begin")
        rejected = operations.reject(
            tx,
            number,
            actor=actor,
            fail_info=int(FailInfo.BAD_REQUEST),
            reason=reason,
            now=milliseconds(now),
        )
        if rejected is not None:
            profile = settings.profile.get(rejected.profile)
            policy = profile.auth.challenge if profile else None
            if policy is not None and policy.return_unused:
                give_back(tx, rejected, actor=actor, now=now)
        checkpoint("decide.end")
        return rejected

    rejected = store.write(reject)
    checkpoint("decided")
    if rejected is None:
        raise _not_waiting(_request(store, number))
    return rejected


def _request(store: Store, number: int) -> Operation:
    operation = store.read(lambda tx: operations.find(tx, number))
    if operation is None:
        raise InputError(
            f"there is no request {number}", hint="scepkit requests list shows those there are"
        )
    return operation


def _not_waiting(operation: Operation) -> InputError:
    fate = f"was {operation.state}"
    if operation.state in ("failed", "expired"):
        fate = f"has {operation.state}"
    elif operation.decided_by:
        fate = f"{fate} by {operation.decided_by}"
    return InputError(f"the request {operation.id} does not wait: it {fate}")


# ------------------------------------------------------------------ revocation and CRLs


def revoke_certificate(
    store: Store,
    ca: str | None,
    serial: str,
    *,
    reason: str = "unspecified",
    actor: str,
    now: datetime,
) -> Certificate:
    """Revoke a certificate; a running server then makes a CRL.

    :param ca, serial: as `registry.find_certificate` takes them.
    :param reason: of RFC 5280, such as ``keyCompromise``.
    :raises InputError: there is no such certificate, it was revoked before, there are two of that
        number, or no such reason.
    """
    code = REASONS.get(reason)
    if code is None:
        raise InputError(f"there is no reason {reason!r}; expected one of {', '.join(REASONS)}")
    row = registry.find_certificate(store, ca, serial)
    why = {"reason": reason}
    at = milliseconds(now)
    revoked = store.write(
        lambda tx: certificates.revoke(
            tx, row.ca_id, row.serial, reason=code, actor=actor, now=at, detail=why
        )
    )
    if revoked is None:
        raise InputError(
            f"the certificate {row.serial} was revoked before",
            hint="nothing is left to do; scepkit certs show says when and why",
        )
    return revoked


def make_crl(
    store: Store, deployment: Deployment, ca: str, *, actor: str, now: datetime
) -> list[Crl]:
    """Make a CRL for each generation of a CA whose key is here.

    :raises InputError: there is no such CA, or none of its keys is here.
    :raises KeyUnavailable: a key cannot be used now.
    """
    authority = deployment.authorities.get(ca)
    if authority is None:
        raise InputError(f"there is no CA {ca!r}; there are {', '.join(deployment.authorities)}")
    made = [
        crl_job.make_crl(store, authority, generation, now, actor=actor)
        for generation in authority.generations
        if generation.issuer is not None and generation.status != "staged"
    ]
    if not made:
        raise InputError(f"no key of the CA {ca} is here")
    return [crl for crl in made if crl is not None]
