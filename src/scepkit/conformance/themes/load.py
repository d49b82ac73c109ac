"""Many requests, one after the other and at once (A21; servers that issue twice or fall over).

The rule of this file: never more at once than `probe.MOST_AT_ONCE`, and only with --intrusive.
"""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from scepkit.conformance.answers import BUSY, Answer
from scepkit.conformance.messages import Message
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.themes.challenges import one_time
from scepkit.conformance.verdicts import (
    Verdict,
    failed,
    inconclusive,
    passed,
    together,
    warned,
)
from scepkit.errors import ScepError

LOAD = {Need.ISSUE, Need.INTRUSIVE}
_AT_ONCE = 20
_ONE_BY_ONE = 100
_OVERLOAD = 32
_BURSTS = 4
#: Shorter serial numbers can be guessed (CA/Browser Forum: 64 bits of entropy).
_SERIAL_BITS = 64


def _serial_numbers(answers: list[Answer]) -> list[int]:
    found = []
    for answer in answers:
        try:
            found.append(answer.issued.certificates[0].serial_number)
        except (ScepError, IndexError):
            continue
    return found


def _told(answers: list[Answer]) -> str:
    counted = Counter(answer.said[:80] for answer in answers)
    return ", ".join(f"{count} x {said}" for said, count in counted.most_common(6))


@check(
    "T55",
    Class.SECURITY,
    "of many requests at once with the same one-time challenge one gets a certificate",
    section="RFC 8894 2.4",
    remedy="use up a challenge by one conditional UPDATE (or DELETE ... RETURNING) in the "
    "transaction that stores the request",
    needs={*LOAD, Need.CHALLENGE},
    seconds=120,
)
def race(probe: Probe) -> Verdict:
    """Twenty keys, one challenge (A21)."""
    one_time(probe)
    first = probe.requester()
    messages: list[Message] = []
    for number in range(_AT_ONCE):
        requester = probe.requester(challenge=first.challenge, subject=first.subject)
        messages.append(probe.draft(requester, what=f"PKCSReq {number} with one challenge").build())
    answers = probe.at_once(messages)
    taken = [answer for answer in answers if answer.success or answer.pending]
    certificates = set(_serial_numbers([answer for answer in taken if answer.success]))
    waiting = sum(answer.pending for answer in answers)
    if len(certificates) + waiting > 1:
        return failed(
            f"{len(certificates)} certificates, and {waiting} requests that wait: {_told(answers)}"
        )
    if not taken:
        return inconclusive(f"none was taken: {_told(answers)}")
    wrong = [answer for answer in answers if not (answer.refused or answer in taken)]
    if wrong:
        return warned(f"one was taken, and others were not refused in words: {_told(answers)}")
    return passed(_told(answers))


@check(
    "T103",
    Class.SHOULD,
    "a hundred enrolments in a row and twenty at once succeed, with serial numbers of their own",
    section="RFC 5280 4.1.2.2",
    remedy="draw serial numbers at random (64 bits or more) and let the database refuse a second "
    "one; serialise what cannot be done at once",
    needs=LOAD,
    seconds=600,
)
def many(probe: Probe) -> Verdict:
    """One after the other, then at once."""
    in_turn = [
        probe.enrol(what=f"enrolment {number} of {_ONE_BY_ONE}") for number in range(_ONE_BY_ONE)
    ]
    messages = [
        probe.draft(probe.requester(), what=f"enrolment {number} at once").build()
        for number in range(_AT_ONCE)
    ]
    at_once = probe.at_once(messages)
    every = [*in_turn, *at_once]
    numbers = _serial_numbers(every)
    return together(
        [
            (f"{_ONE_BY_ONE} in a row", _all_taken(in_turn)),
            (f"{_AT_ONCE} at once", _all_taken(at_once)),
            ("serial numbers", serials(numbers)),
        ]
    )


def _all_taken(answers: list[Answer]) -> Verdict:
    taken = sum(answer.success or answer.pending for answer in answers)
    if taken == len(answers):
        return passed(f"all {taken} taken")
    return failed(f"{taken} of {len(answers)} taken: {_told(answers)}")


def serials(numbers: list[int]) -> Verdict:
    """Whether serial numbers are unique, and look as if nobody could guess them."""
    if not numbers:
        return inconclusive("there are no certificates to look at")
    twice = [number for number, count in Counter(numbers).items() if count > 1]
    if twice:
        return failed(f"{len(twice)} serial numbers more than once, such as {twice[0]:x}")
    shortest = sorted(number.bit_length() for number in numbers)[len(numbers) // 2]
    if shortest < _SERIAL_BITS - 8:
        return warned(f"they have about {shortest} bits; they can be guessed below {_SERIAL_BITS}")
    ordered = sum(later > earlier for earlier, later in pairwise(numbers))
    if len(numbers) > 20 and ordered in (0, len(numbers) - 1):
        return warned("they are in order, so the next one can be guessed")
    return passed(f"{len(numbers)} different ones of about {shortest} bits")


@check(
    "T104",
    Class.SHOULD,
    "who is overloaded says 429 or 503 with Retry-After, and refuses nobody for it",
    section="RFC 9110 15.6.4; RFC 6585 4",
    remedy="answer HTTP 503 (or 429) with Retry-After when there is too much to do: a CertRep with "
    "FAILURE is final for a client",
    needs=LOAD,
    seconds=300,
)
def overload(probe: Probe) -> Verdict:
    """Bursts of requests, as many at once as is decent."""
    answers: list[Answer] = []
    for burst in range(_BURSTS):
        messages = [
            probe.draft(probe.requester(), what=f"burst {burst}, request {number}").build()
            for number in range(_OVERLOAD)
        ]
        answers += probe.at_once(messages)
    busy = [answer for answer in answers if answer.http_status in BUSY]
    silent = [answer for answer in busy if not _retry_after(answer)]
    wrong = [
        answer
        for answer in answers
        if not (answer.success or answer.pending) and answer not in busy
    ]
    if wrong:
        return failed(f"requests that were right were refused: {_told(answers)}")
    if silent:
        return failed(f"{len(silent)} x HTTP {silent[0].http_status} without Retry-After")
    if busy:
        return passed(_told(answers))
    return passed(f"{len(answers)} requests, {_OVERLOAD} at once, are no overload for it")


def _retry_after(answer: Answer) -> str:
    response = answer.exchange.response
    return response.retry_after if response is not None else ""
