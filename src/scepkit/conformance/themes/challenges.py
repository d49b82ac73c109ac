"""Challenges: without one, with a wrong one, with one that was used (RFC 8894 sections 2.4, 7.3).

The rule of this file: everything about the request is right but its challenge, so that nothing else
can be the reason of a refusal.
"""

from __future__ import annotations

from scepkit.conformance.answers import Answer
from scepkit.conformance.judging import BAD_REQUEST, must_accept, must_refuse
from scepkit.conformance.messages import Draft, new_transaction_id
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import Requester
from scepkit.conformance.verdicts import (
    Ended,
    Verdict,
    failed,
    inconclusive,
    passed,
    skipped,
    together,
    warned,
)

ISSUE = {Need.ISSUE}
CHALLENGE = {Need.ISSUE, Need.CHALLENGE}
RSA = {Need.ISSUE, Need.CHALLENGE, Need.RSA}
_OPEN = "anybody can have certificates"


def closed(probe: Probe) -> None:
    """End a test that has no meaning where the server is open on purpose."""
    if probe.settings.open_enrolment:
        raise Ended(skipped("the server asks for no challenge on purpose (--open)"))


def one_time(probe: Probe) -> None:
    """End a test that needs challenges that are good once."""
    source = probe.settings.challenges
    if source is None or not source.one_time:
        raise Ended(
            skipped("the challenge is a fixed one; RFC 8894 2.4 recommends one for each request")
        )


@check(
    "T52",
    Class.SECURITY,
    "a request without a challenge is refused or held for a person",
    section="RFC 8894 2.4, 7.3",
    remedy="refuse a PKCSReq that has no challengePassword, above all where the server has none "
    "configured",
    disputed="a server that is open on purpose is tested with --open",
    needs=ISSUE,
)
def without(probe: Probe) -> Verdict:
    """No challengePassword attribute (A5)."""
    closed(probe)
    answer = probe.enrol(probe.requester(challenge=None), what="PKCSReq without a challenge")
    return must_refuse(answer, with_=(BAD_REQUEST,), pending_allowed=True, why=_OPEN)


@check(
    "T53",
    Class.SECURITY,
    "a challenge that is empty, wrong, cut off or has something behind it is refused",
    section="RFC 8894 2.4, 7.3",
    remedy="compare the whole challenge, byte by byte and in constant time; nothing equals an "
    "empty one",
    needs=CHALLENGE,
)
def wrong(probe: Probe) -> Verdict:
    """Empty; another; with NUL, with a blank; a prefix; nothing but its first letter (A5)."""
    closed(probe)
    right = probe.requester().challenge or ""
    variants = {
        "empty": "",
        "another one": "scepkit-check-" + new_transaction_id()[:8],
        "with NUL behind it": right + "\0",
        "with a blank behind it": right + " ",
        "without its last character": right[:-1],
        "its first character": right[:1],
        "in the other letters of case": right.swapcase(),
    }
    parts = []
    for what, text in variants.items():
        if text == right:
            continue
        requester = probe.requester(challenge=text)
        answer = probe.enrol(requester, what=f"PKCSReq, challenge {what}")
        parts.append(
            (what, must_refuse(answer, with_=(BAD_REQUEST,), pending_allowed=True, why=_OPEN))
        )
    return together(parts)


@check(
    "T54",
    Class.SECURITY,
    "a one-time challenge is good for one certificate",
    section="RFC 8894 2.4",
    remedy="mark a challenge as used in the transaction that stores the request it pays for",
    needs=CHALLENGE,
)
def used_twice(probe: Probe) -> Verdict:
    """The same challenge for another key and name."""
    one_time(probe)
    first = probe.requester()
    answer = probe.enrol(first, what="PKCSReq, first use of a challenge")
    if not (answer.success or answer.pending):
        return inconclusive(f"the first use was refused: {answer.said}")
    again = probe.requester(challenge=first.challenge)
    second = probe.enrol(again, what="PKCSReq, second use by another key")
    named = Requester(again.key, first.subject, first.challenge)
    third = probe.enrol(named, what="PKCSReq, second use by another key under the same name")
    why = "one challenge gives any number of certificates"
    return together(
        [
            ("another key and name", must_refuse(second, with_=(BAD_REQUEST,), why=why)),
            ("another key, the same name", must_refuse(third, with_=(BAD_REQUEST,), why=why)),
        ]
    )


@check(
    "T56",
    Class.SECURITY,
    "a challenge that has expired is refused",
    section="RFC 8894 2.4",
    remedy="give challenges a lifetime and check it when they are used",
    needs=CHALLENGE,
)
def expired(probe: Probe) -> Verdict:
    """One that the operator says has expired."""
    text = probe.settings.expired_challenge
    if text is None:
        return skipped("there is no challenge known to have expired (--expired-challenge-file)")
    answer = probe.enrol(probe.requester(challenge=text), what="PKCSReq, expired challenge")
    return must_refuse(answer, with_=(BAD_REQUEST,), why="challenges never expire")


@check(
    "T57",
    Class.SECURITY,
    "a challenge that was given for one name does not do for another",
    section="RFC 8894 7.3; CERT VU#971035",
    remedy="bind a challenge to the subject and names it is given for, and refuse others with "
    "badRequest (2)",
    disputed="a server may leave names to a policy of its own; whoever has a challenge can then "
    "ask for any name that policy allows",
    needs=CHALLENGE,
)
def other_name(probe: Probe) -> Verdict:
    """A challenge for A with a request for B; and for another alternative name (A4)."""
    closed(probe)
    asked = probe.session.next_subject()
    secret = probe.challenge(asked)
    subject = probe.requester(challenge=secret)
    answer = probe.enrol(subject, what="PKCSReq for another subject than the challenge's")
    sans = probe.requester(sans=["dns:mine.check.test"])
    moved = Requester(sans.key, sans.subject, sans.challenge, ("dns:other.check.test",))
    second = probe.enrol(moved, what="PKCSReq for another DNS name than the challenge's")
    if probe.settings.bound_challenges:
        why = "the challenge was for another name"
        return together(
            [
                ("another subject", must_refuse(answer, with_=(BAD_REQUEST,), why=why)),
                ("another DNS name", must_refuse(second, with_=(BAD_REQUEST,), why=why)),
            ]
        )
    if answer.success or second.success:
        return warned(
            "a challenge is good for any name (CERT VU#971035): whoever has one can ask for the "
            "name of another device; --bound-challenges makes this a failure"
        )
    return passed("refused, though nothing says that challenges are bound to names")


@check(
    "T63",
    Class.SECURITY,
    "an envelope that was caught and signed again is refused, and costs its owner nothing",
    section="RFC 8894 3.1, 7.4",
    remedy="require that a self-signed signer has the key of the certificate request, before the "
    "challenge is looked up and used, and before it is looked for whether the request was granted",
    needs=RSA,
)
def resigned(probe: Probe) -> Verdict:
    """The attacker's message, the owner's own, and the attacker's after that (A1, A22)."""
    owner = probe.requester()
    envelope = probe.sealed(owner.csr(), owner)
    thief = Requester(probe.session.keys.take(), "CN=scepkit-check-thief")
    stolen = probe.send(
        probe.draft(thief, content=envelope, what="somebody else's envelope, signed again")
    )
    verdict = must_refuse(stolen, why="the certificate was sent to whoever caught the request")
    if not stolen.refused:
        return verdict
    draft = probe.draft(owner, content=envelope, what="the owner's own request afterwards")
    own = probe.send(draft)
    after = must_accept(own)
    if after.kind.value == "fail":
        after = failed(f"the owner's own request is then refused: {own.said}")
    parts = [("the attacker's message", verdict), ("the owner's own afterwards", after)]
    if own.success or own.pending:
        parts += _late(probe, thief, draft)
    return together(parts)


def _late(probe: Probe, thief: Requester, granted: Draft) -> list[tuple[str, Verdict]]:
    """What is answered to the thief once the request has been granted, or waits."""
    parts = []
    for what, transaction_id in (
        ("the attacker's message after it was granted", ""),
        ("the same under the owner's transactionID", granted.transaction_id),
    ):
        draft = probe.draft(
            thief, content=granted.content, transaction_id=transaction_id, what=what
        )
        why = "the owner's certificate was sent to whoever caught the request"
        parts.append((what, must_refuse(probe.send(draft), why=why)))
    return parts


@check(
    "T78",
    Class.SECURITY,
    "the challenge is in no answer",
    section="RFC 8894 7.3",
    remedy="keep what clients send out of failInfoText and of HTTP bodies, and leave the challenge "
    "out of certificates",
    needs=CHALLENGE,
)
def not_told(probe: Probe) -> Verdict:
    """In no refusal and in no certificate, in the clear or decrypted (A20)."""
    right = probe.requester()
    answers: list[tuple[str, Answer, str]] = [
        ("a SUCCESS", probe.enrol(right, what="PKCSReq with its challenge"), right.challenge or "")
    ]
    guess = "scepkit-check-guess-" + new_transaction_id()[:12]
    refused = probe.enrol(probe.requester(challenge=guess), what="PKCSReq with a wrong challenge")
    answers.append(("a refusal", refused, guess))

    def verdict(answer: Answer, secret: str) -> Verdict:
        seen = [answer.exchange.body]
        if answer.success and answer.reply is not None:
            seen.append(answer.issued.content)
        needles = [secret.encode(codec) for codec in ("utf-8", "utf-16-be", "utf-16-le")]
        if any(len(secret) > 3 and needle in body for body in seen for needle in needles):
            return failed(f"the challenge is in the answer ({answer.said})")
        return passed("not there")

    return together((what, verdict(answer, secret)) for what, answer, secret in answers)
