"""What answers give away: their words, their lengths, and their times (attacks A2 and A3).

Whoever catches a request can send its envelope again, with its ciphertexts changed, under any
messageType, and learn from the answers what is inside, if they differ by what was wrong with the
decrypted bytes.

The rule of this file: a difference in time is only claimed when chance does not explain it, when it
is there in two measurements, and when the same kind of message, measured twice under two names,
shows none in either: then the machine was quiet enough.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from scepkit.conformance import cmsparts
from scepkit.conformance.cmsparts import Sealing
from scepkit.conformance.messages import Message
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.statistics import (
    Difference,
    compare,
    least_visible,
    spread,
    threshold,
)
from scepkit.conformance.telling import Asked, asked, look, sealing, told_by_types
from scepkit.conformance.verdicts import Kind, Verdict, failed, inconclusive, passed

ALL = {Need.ISSUE, Need.RSA, Need.INTRUSIVE}
_SECONDS = 1800.0
#: A spread above this hides what matters, in milliseconds.
_LARGEST_SPREAD = 20.0
#: The name under which a kind is measured a second time.
_TWIN = "the same once more"
#: How often all is measured at most.
_MEASUREMENTS = 3
#: The messageType that envelopes are caught under, which is asked in more ways than the others.
_CAUGHT, _ENROLS = "19", "PKCSReq (19)"

Makers = Mapping[str, Callable[[], Message]]
#: Seconds, by kind.
Times = Mapping[str, list[float]]


def _content_makers(probe: Probe) -> Makers:
    """The ciphertext of the content changed in several ways; the key is right."""
    requester = probe.requester(challenge="scepkit-check-no-challenge")
    signer = requester.identity()
    csr = requester.csr()
    key, iv = secrets.token_bytes(16), secrets.token_bytes(16)
    good = cmsparts.encrypt("aes128", key, iv, csr)

    def message(what: str, **parts: bytes) -> Message:
        given: dict[str, Any] = {"key": key, "iv": iv, **parts}
        sealing = Sealing(**given)
        return probe.draft(requester, data=csr, sealing=sealing, signer=signer, what=what).build()

    def changed(at: int) -> bytes:
        bit = secrets.randbelow(255) + 1
        return good[:at] + bytes((good[at] ^ bit,)) + good[at + 1 :]

    return {
        "padding": lambda: message("padding", ciphertext=changed(len(good) - 17)),
        "last block": lambda: message("last block", ciphertext=changed(len(good) - 1)),
        "a block within": lambda: message("a block within", ciphertext=changed(len(good) // 2)),
        "first block": lambda: message("first block", ciphertext=changed(0)),
        "wrong IV": lambda: message("wrong IV", iv=secrets.token_bytes(16), ciphertext=good),
        "noise": lambda: message("noise", ciphertext=secrets.token_bytes(len(good))),
    }


def _key_makers(probe: Probe) -> Makers:
    """The encrypted key changed in several ways; the content's ciphertext is the same."""
    requester = probe.requester(challenge="scepkit-check-no-challenge")
    signer = requester.identity()
    public = probe.recipient_key
    numbers, size = public.public_numbers(), public.key_size // 8
    iv = secrets.token_bytes(16)
    ciphertext = cmsparts.encrypt("aes128", secrets.token_bytes(16), iv, requester.csr())

    def message(what: str, encrypted_key: bytes) -> Message:
        sealing = Sealing(iv=iv, ciphertext=ciphertext, encrypted_key=encrypted_key)
        return probe.draft(requester, data=b"", sealing=sealing, signer=signer, what=what).build()

    def key_of(length: int) -> bytes:
        return cmsparts.encrypt_key(secrets.token_bytes(length), public)

    def raw(block: bytes) -> bytes:
        """RSA without padding: the attacker builds his own blocks."""
        value = pow(int.from_bytes(block, "big"), numbers.e, numbers.n)
        return value.to_bytes(size, "big")

    return {
        "a key of 16 bytes": lambda: message("a key of 16 bytes", key_of(16)),
        "of 15": lambda: message("a key of 15 bytes", key_of(15)),
        "of 24": lambda: message("a key of 24 bytes", key_of(24)),
        "of 32": lambda: message("a key of 32 bytes", key_of(32)),
        "noise": lambda: message("noise", b"\0" + secrets.token_bytes(size - 1)),
        "wrong first bytes": lambda: message("wrong first bytes", raw(_wrong_block(size))),
        "no zero": lambda: message("no zero", raw(b"\0\2" + b"\xff" * (size - 2))),
        "all zero": lambda: message("all zero", bytes(size)),
    }


def _wrong_block(size: int) -> bytes:
    """What is no PKCS #1 encryption block, but for its first bytes."""
    padded = bytes(secrets.randbelow(255) + 1 for _ in range(size - 19))
    return b"\0\1" + padded + b"\0" + secrets.token_bytes(16)


def contents_under(probe: Probe, one: Asked) -> Makers:
    """Data, garbage and a bad padding under some messageType."""

    def maker(what: str, data: bytes, padded: bool) -> Callable[[], Message]:
        return lambda: one.draft(probe, what, sealing(data, padded)).build()

    return {what: maker(what, *content) for what, content in one.alike().items()}


def keys_under(probe: Probe, one: Asked) -> Makers:
    """Encrypted keys, good and bad, under some messageType; none of them is that of the content."""
    public = probe.recipient_key
    numbers, size = public.public_numbers(), public.key_size // 8

    def message(what: str, encrypted_key: bytes) -> Message:
        how = replace(sealing(one.data, True), encrypted_key=encrypted_key)
        return one.draft(probe, what, how).build()

    def wrong() -> bytes:
        value = pow(int.from_bytes(_wrong_block(size), "big"), numbers.e, numbers.n)
        return value.to_bytes(size, "big")

    def key_of(length: int) -> bytes:
        return cmsparts.encrypt_key(secrets.token_bytes(length), public)

    return {
        "a key of 16 bytes": lambda: message("a key of 16 bytes", key_of(16)),
        "of 15": lambda: message("a key of 15 bytes", key_of(15)),
        "wrong first bytes": lambda: message("wrong first bytes", wrong()),
    }


@check(
    "T72",
    Class.SECURITY,
    "what is wrong with the encrypted content cannot be seen from the answer, nor from its time, "
    "under any messageType",
    section="RFC 8894 7.4; RFC 3218",
    remedy="answer every request that cannot be read alike: same status, failInfo, text and "
    "length, after the same work, and at a time that does not depend on its cause; under each "
    "messageType take content of another one, and garbage, for unreadable too: PKCSReq and "
    "RenewalReq with badMessageCheck (1) without a text, CertPoll by transactionID and signer "
    "alone (nothing needs to be decrypted), GetCert and GetCRL as if there were no such "
    "certificate; and refuse who signs somebody else's envelope",
    needs=ALL,
    seconds=_SECONDS,
)
def content_oracle(probe: Probe) -> Verdict:
    """Each messageType with contents of several kinds; padding, blocks, IV (A2)."""
    questions = {_ENROLS: _content_makers(probe)}
    if told := told_by_types(probe) or _told_by_words(probe, questions):
        return told
    for one in asked(probe):
        if one.message_type != _CAUGHT:
            questions[one.what] = contents_under(probe, one)
    return times_of(probe, questions)


@check(
    "T73",
    Class.SECURITY,
    "what is wrong with the encrypted key cannot be seen from the answer, nor from its time, under "
    "any messageType",
    section="RFC 8894 7.4; RFC 3218 2.3",
    remedy="when the key cannot be unwrapped, or has another length, go on with a random key, so "
    "that all of it ends in one and the same refusal",
    needs=ALL,
    seconds=_SECONDS,
)
def key_oracle(probe: Probe) -> Verdict:
    """PKCS #1 blocks, good and bad (A3)."""
    questions = {_ENROLS: _key_makers(probe)}
    for one in asked(probe):
        if one.message_type != _CAUGHT:
            questions[one.what] = keys_under(probe, one)
    return _told_by_words(probe, questions) or times_of(probe, questions)


def _told_by_words(probe: Probe, questions: Mapping[str, Makers]) -> Verdict | None:
    """A failure if the answers under a messageType are not all alike; None if they are."""
    for where, makers in questions.items():
        answers = {what: probe.send(make()) for what, make in makers.items()}
        looks = {what: look(answer) for what, answer in answers.items()}
        lines = [f"{where}: {look} to {what}" for what, look in looks.items()]
        if where == _ENROLS and any(answer.success for answer in answers.values()):
            return failed("SUCCESS for what cannot be read", *lines)
        if len(set(looks.values())) > 1:
            return failed(f"{where}: the answers differ, so that they tell what was wrong", *lines)
    return None


def times_of(probe: Probe, questions: Mapping[str, Makers]) -> Verdict:
    """The times of the answers under each messageType; the first that tells ends it."""
    verdicts: dict[str, Verdict] = {}
    for where, makers in questions.items():
        verdict = judge(_measurements(probe, makers), next(iter(makers)))
        if verdict.kind is Kind.FAIL:
            return failed(f"{where}: {verdict.text}", *verdict.details)
        verdicts[where] = verdict
    lines = [f"{where}: {one.text}" for where, one in verdicts.items()]
    unclear = [where for where, one in verdicts.items() if one.kind is not Kind.PASS]
    if unclear:
        lines += [line for where in unclear for line in verdicts[where].details]
        return inconclusive(f"{', '.join(unclear)}: the times say nothing certain", *lines)
    return passed(
        f"no difference under {', '.join(verdicts)}, of {probe.settings.samples} answers of each "
        "kind",
        *lines,
        *next(iter(verdicts.values())).details[-1:],
    )


def _measurements(probe: Probe, makers: Makers) -> Iterator[Times]:
    """Time the answers to each kind, as often as somebody wants to know."""
    first = next(iter(makers))
    kinds = {**makers, _TWIN: makers[first]}
    order = list(kinds)
    for _ in range(_MEASUREMENTS):
        times: dict[str, list[float]] = {what: [] for what in kinds}
        for _ in range(probe.settings.samples):
            # Each round in another order, since what follows on something slow is slower.
            random.shuffle(order)
            for what in order:
                times[what].append(probe.send(kinds[what]()).exchange.seconds)
        yield times


def judge(measurements: Iterable[Times], twin_of: str) -> Verdict:
    """The verdict on the times of several kinds of answers.

    :param measurements: as many as are needed; one of the kinds is `_TWIN`, the same as the kind
        `twin_of`.
    """
    seen: set[tuple[str, str]] | None = None
    lines: list[str] = []
    for times in measurements:
        found, limit = compare(times), threshold(len(times))
        twins = next(pair for pair in found if {pair.slower, pair.quicker} == {twin_of, _TWIN})
        lines = _lines(times, found, twins)
        if twins.score > limit:
            continue
        real = {
            (pair.slower, pair.quicker): pair
            for pair in found
            if pair.score > limit and _TWIN not in (pair.slower, pair.quicker)
        }
        if not real:
            if seen is None:
                return _quiet(times, lines)
            return inconclusive("a difference was there once, and not again", *lines)
        if again := [pair for names, pair in real.items() if names in (seen or ())]:
            return _plain(again[0], lines)
        seen = {*real, *(seen or ())}
    if seen is not None:
        return inconclusive("differences were there, but not the same ones again", *lines)
    return inconclusive("the same kind, measured twice, differs: the machine is not quiet", *lines)


def _plain(worst: Difference, lines: list[str]) -> Verdict:
    return failed(
        f"{worst.slower} takes longer than {worst.quicker}, in two measurements: who sees one "
        f"answer of each guesses right in {worst.probability:.0%} (difference of medians "
        f"{worst.milliseconds:.2f} ms)",
        *lines,
    )


def _quiet(times: Times, lines: list[str]) -> Verdict:
    width = max(spread(found) for found in times.values())
    if width > _LARGEST_SPREAD:
        return inconclusive(
            f"the times are spread over {width:.0f} ms, which would hide a difference; run this "
            "nearer to the server, when it is quiet",
            *lines,
        )
    rounds = min(len(found) for found in times.values())
    visible = least_visible(len(times), rounds)
    return passed(
        f"no difference; one would show from {visible:.0%} of right guesses on "
        f"({rounds} answers of each kind, spread {width:.1f} ms)",
        *lines,
    )


def _lines(times: Times, found: list[Difference], twins: Difference) -> list[str]:
    rounds, limit = min(len(one) for one in times.values()), threshold(len(times))
    statistic = (
        f"statistic: Mann-Whitney over {rounds} answers of each of {len(times)} kinds; a score "
        f"above {limit:.1f} counts (1 in 1000, Bonferroni), if a second measurement has it too; "
        f"control: the same kind twice has {twins.score:.1f}"
    )
    return [*(_line(pair) for pair in found[:5]), statistic]


def _line(pair: Difference) -> str:
    return (
        f"{pair.slower} against {pair.quicker}: {pair.probability:.1%}, score {pair.score:.1f}, "
        f"{pair.milliseconds:.2f} ms"
    )
