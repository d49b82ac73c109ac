"""The authoriser: the one function before every path that issues.

What is not expressly allowed is denied, or held for a person (promise P5).  The order:

1. A message signed with a certificate of ours is a renewal, if renewals are allowed.
2. A RenewalReq must be one: with another signer it is refused.
3. Everything else must be signed with the key that is to be certified (G1), or whoever catches a
   request could sign it again, use up its challenge and have it answered to himself (attack A1).
4. A challengePassword must be known to one of those who know challenges; a wrong one is refused,
   whatever else there is.
5. Without one: the webhook, then the program.
6. What nobody allowed waits for a person, if persons decide here, or is refused.

The rule of this file: every way through ends in `Allow`, `Hold` or `Deny`, and only an explicit
`Yes` of an authoriser that is configured becomes `Allow`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from scepkit.core.messages import MessageType
from scepkit.errors import FailInfo
from scepkit.server import auth_challenge, auth_renewal
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_program import Program
from scepkit.server.auth_renewal import NO_RENEWAL, RenewalPolicy
from scepkit.server.auth_static import StaticSecret
from scepkit.server.roles import Authority
from scepkit.server.verdicts import (
    Allow,
    Answer,
    Decision,
    Deny,
    EnrolRequest,
    Hold,
    No,
    NoAnswer,
    Renews,
    Seen,
    Yes,
)
from scepkit.server.webhook import Webhook

NOT_AUTHORISED = "the request is not authorised"
WRONG_CHALLENGE = "the challengePassword is not valid"
NOT_ITS_KEY = "the request is not signed with the key it is for"
_A_PERSON_DECIDES = RenewalPolicy(window=timedelta(days=36_500))


@dataclass(frozen=True, slots=True, kw_only=True)
class Authorisers:
    """Who may say yes in a profile.

    Attributes:
        challenge: challenges that the server handed out.
        static: one challenge for everybody.
        webhook: a web service.
        program: an external program.
        renewal: renewal by certificate.
        manual: what nobody allows waits for a person.
        approve_all: what is allowed waits for a person too.
    """

    challenge: ChallengePolicy | None = None
    static: StaticSecret | None = None
    webhook: Webhook | None = None
    program: Program | None = None
    renewal: RenewalPolicy | None = None
    manual: bool = False
    approve_all: bool = False

    @property
    def know_challenges(self) -> bool:
        """Whether anybody here can tell a right challengePassword from a wrong one."""
        return any((self.challenge, self.static, self.webhook))


def authorise(
    request: EnrolRequest,
    seen: Seen,
    who: Authorisers,
    authorities: Mapping[str, Authority],
    own: Authority,
) -> Decision:
    """Decide about a request that was checked and that begins something new.

    :param seen: what the database knows that the request refers to.
    :param authorities: all CAs of this server, by name.
    :param own: the CA of the profile.
    """
    decision = _decide(request, seen, who, authorities, own)
    if isinstance(decision, Allow) and who.approve_all:
        reason = f"allowed by {decision.by}; everything needs approval here"
        return Hold(reason, decision.by, decision.challenge, decision.mac, decision.renews)
    return decision


def _decide(
    request: EnrolRequest,
    seen: Seen,
    who: Authorisers,
    authorities: Mapping[str, Authority],
    own: Authority,
) -> Decision:
    renewing = request.message_type is MessageType.RENEWAL_REQ
    if seen.renews is not None and renews_by(request.message_type, who):
        decision = _renewal(request, seen, seen.renews, who, authorities, own)
        # A PKCSReq may still be an enrolment of its own: with a challenge, and signed by its key.
        if not isinstance(decision, Deny) or renewing or not request.signed_by_own_key:
            return decision
        if seen.mac is None:
            return decision
    elif renewing:
        return of_a_stranger(request.message_type)
    if not request.signed_by_own_key:
        return of_a_stranger(request.message_type)
    return _enrolment(request, seen, who)


def renews_by(message_type: MessageType, who: Authorisers) -> bool:
    """Whether a message of this type renews the certificate that has signed it."""
    if message_type is MessageType.RENEWAL_REQ:
        return True
    return who.renewal is not None and who.renewal.by_enrolment


def of_a_stranger(message_type: MessageType) -> Deny:
    """The decision about what neither its own key nor a certificate of this server has signed.

    And about a RenewalReq that only its own key has: a self-signed certificate, or one of somebody
    else, proves nothing (R25).
    """
    if message_type is MessageType.RENEWAL_REQ:
        return Deny(
            "a RenewalReq that is not signed with a certificate of this server",
            NO_RENEWAL,
            FailInfo.BAD_MESSAGE_CHECK,
        )
    return Deny("the signer's key is not the key of the request (G1)", NOT_ITS_KEY)


# ------------------------------------------------------------------ renewals


def _renewal(
    request: EnrolRequest,
    seen: Seen,
    renews: Renews,
    who: Authorisers,
    authorities: Mapping[str, Authority],
    own: Authority,
) -> Decision:
    if who.renewal is None and not who.manual:
        return Deny("renewals are not allowed here", NO_RENEWAL)
    issued_by = next(
        name for name, one in authorities.items() if one.with_id(renews.row.ca_id) is not None
    )
    policy = who.renewal or _A_PERSON_DECIDES
    refused = auth_renewal.refusal(request, renews, policy, own, issued_by)
    if refused is not None:
        return refused
    # RFC 8894 section 2.4: a renewal may have the challenge of the enrolment; a wrong one fails.
    if seen.mac is not None and who.know_challenges:
        match _known_challenge(request, seen, who):
            case No(reason):
                return Deny(f"renewal with a wrong challenge: {reason}", WRONG_CHALLENGE)
            case NoAnswer(reason):
                return _undecided(reason, who)
            case Yes():
                pass
    if who.renewal is not None:
        return Allow("renewal", renews=renews)
    return Hold("a renewal, which a person decides here", renews=renews)


def _known_challenge(request: EnrolRequest, seen: Seen, who: Authorisers) -> Answer:
    assert seen.mac is not None  # noqa: S101
    if who.challenge and seen.challenge is not None:
        if auth_challenge.was_ours(seen.challenge, request.profile):
            return Yes()
        return No("it was revoked, or is for another profile")
    if who.static and who.static.knows(seen.mac):
        return Yes()
    if who.webhook:
        return who.webhook.ask(request, request.csr.challenge or "")
    return No("nobody knows it")


# ------------------------------------------------------------------ enrolments


def _enrolment(request: EnrolRequest, seen: Seen, who: Authorisers) -> Decision:
    if seen.mac is not None and who.know_challenges:
        return _by_challenge(request, seen, seen.mac, who)
    asked: list[tuple[str, Callable[[], Answer]]] = []
    if who.webhook is not None:
        webhook = who.webhook
        asked.append(("webhook", lambda: webhook.ask(request, "")))
    if who.program is not None:
        program = who.program
        asked.append(("program", lambda: program.ask(request)))
    failed = ""
    for name, ask in asked:
        match ask():
            case Yes():
                return Allow(name, mac=seen.mac)
            case No(reason):
                return Deny(reason, NOT_AUTHORISED)
            case NoAnswer(reason):
                failed = failed or reason
    if failed:
        return _undecided(failed, who)
    if who.manual:
        return Hold("nobody but a person can allow it")
    if who.know_challenges:
        return Deny("the request has no challengePassword", "the challengePassword is missing")
    return Deny("nobody here may allow it", NOT_AUTHORISED)


def _by_challenge(request: EnrolRequest, seen: Seen, mac: bytes, who: Authorisers) -> Decision:
    found = seen.challenge
    if found is not None and who.challenge is not None:
        match auth_challenge.check(request, found):
            case Yes():
                return Allow("challenge", found, mac)
            case No(reason) | NoAnswer(reason):
                # RFC 8894 section 7.3: somebody has got hold of it.
                reused = found.uses_left <= 0
                action = "challenge.reuse" if reused else "request.deny"
                reason = f"challenge {found.id}: {reason}"
                return Deny(reason, WRONG_CHALLENGE, action=action)
    if who.static is not None and who.static.knows(mac):
        return Allow("static secret", mac=mac)
    if who.webhook is not None:
        match who.webhook.ask(request, request.csr.challenge or ""):
            case Yes():
                return Allow("webhook", mac=mac)
            case No(reason):
                return Deny(reason, WRONG_CHALLENGE)
            case NoAnswer(reason):
                return _undecided(reason, who)
    return Deny("nobody knows the challenge", WRONG_CHALLENGE)


def _undecided(reason: str, who: Authorisers) -> Decision:
    """Nobody said yes, and somebody could not be asked: it fails closed."""
    return Hold(reason) if who.manual else Deny(reason, NOT_AUTHORISED)
