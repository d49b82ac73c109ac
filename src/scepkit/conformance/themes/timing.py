"""What refusals give away: their words, their lengths, and their times (attacks A2 and A3).

Whoever catches a request can send its envelope again, with its ciphertexts changed, and learn from
the answers what is inside, if they differ by what was wrong with the decrypted bytes.

The rule of this file: a difference is only claimed when chance does not explain it, and when the
same kind of message, measured twice under two names, shows none: then the machine was quiet enough.
"""

from __future__ import annotations

import random
import secrets
from collections.abc import Callable, Mapping
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
from scepkit.conformance.telling import look, told_by_types
from scepkit.conformance.verdicts import Verdict, failed, inconclusive, passed

ALL = {Need.ISSUE, Need.RSA, Need.INTRUSIVE}
_SECONDS = 1800.0
#: A spread above this hides what matters, in milliseconds.
_LARGEST_SPREAD = 20.0
#: The name under which a kind is measured a second time.
_TWIN = "the same once more"

Makers = Mapping[str, Callable[[], Message]]


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

    padded = bytes(secrets.randbelow(255) + 1 for _ in range(size - 19))
    return {
        "a key of 16 bytes": lambda: message("a key of 16 bytes", key_of(16)),
        "of 15": lambda: message("a key of 15 bytes", key_of(15)),
        "of 24": lambda: message("a key of 24 bytes", key_of(24)),
        "of 32": lambda: message("a key of 32 bytes", key_of(32)),
        "noise": lambda: message("noise", b"\0" + secrets.token_bytes(size - 1)),
        "wrong first bytes": lambda: message(
            "wrong first bytes", raw(b"\0\1" + padded + b"\0" + secrets.token_bytes(16))
        ),
        "no zero": lambda: message("no zero", raw(b"\0\2" + b"\xff" * (size - 2))),
        "all zero": lambda: message("all zero", bytes(size)),
    }


@check(
    "T72",
    Class.SECURITY,
    "what is wrong with the encrypted content cannot be seen from the refusal, nor from its time",
    section="RFC 8894 7.4; RFC 3218",
    remedy="answer every request that cannot be read alike: same status, failInfo, text and "
    "length, after the same work; under each messageType take content of another one, and garbage, "
    "for unreadable too: PKCSReq and RenewalReq with badMessageCheck (1) without a text, CertPoll "
    "by transactionID and signer alone, GetCert and GetCRL as if there were no such certificate; "
    "and refuse who signs somebody else's envelope",
    needs=ALL,
    seconds=_SECONDS,
)
def content_oracle(probe: Probe) -> Verdict:
    """Each messageType with contents of several kinds; padding, blocks, IV (A2)."""
    return told_by_types(probe) or _oracle(probe, _content_makers(probe))


@check(
    "T73",
    Class.SECURITY,
    "what is wrong with the encrypted key cannot be seen from the refusal, nor from its time",
    section="RFC 8894 7.4; RFC 3218 2.3",
    remedy="when the key cannot be unwrapped, or has another length, go on with a random key, so "
    "that all of it ends in one and the same refusal",
    needs=ALL,
    seconds=_SECONDS,
)
def key_oracle(probe: Probe) -> Verdict:
    """PKCS #1 blocks, good and bad (A3)."""
    return _oracle(probe, _key_makers(probe))


def _oracle(probe: Probe, makers: Makers) -> Verdict:
    """First the words, then the times."""
    for make in makers.values():
        if (answer := probe.send(make())).success:
            return failed(f"{answer.message.what}: SUCCESS")
    looks = {what: look(probe.send(make())) for what, make in makers.items()}
    if len(set(looks.values())) > 1:
        lines = [f"{what}: {look}" for what, look in looks.items()]
        return failed("the refusals differ, so that they tell what was wrong", *lines)
    return _timed(probe, makers)


def _timed(probe: Probe, makers: Makers) -> Verdict:
    rounds = probe.settings.samples
    first = next(iter(makers))
    kinds = {**makers, _TWIN: makers[first]}
    times: dict[str, list[float]] = {what: [] for what in kinds}
    order = list(kinds)
    for _ in range(rounds):
        # Each round in another order, since what follows on something slow is slower.
        random.shuffle(order)
        for what in order:
            times[what].append(probe.send(kinds[what]()).exchange.seconds)
    return judge(times, first)


def judge(times: Mapping[str, list[float]], twin_of: str) -> Verdict:
    """The verdict on the times of several kinds of answers.

    :param times: seconds, by kind; one is `_TWIN`, the same as the kind `twin_of`.
    """
    rounds = min(len(found) for found in times.values())
    limit = threshold(len(times))
    found = compare(times)
    twins = next(pair for pair in found if {pair.slower, pair.quicker} == {twin_of, _TWIN})
    lines = [_line(pair) for pair in found[:5]]
    lines.append(
        f"statistic: Mann-Whitney over {rounds} answers of each of {len(times)} kinds; a score "
        f"above {limit:.1f} counts (1 in 1000, Bonferroni); control: the same kind twice has "
        f"{twins.score:.1f}"
    )
    real = [pair for pair in found if _TWIN not in (pair.slower, pair.quicker)]
    worst = real[0]
    if twins.score > limit:
        return inconclusive("the same kind, measured twice, differs: the machine is not quiet",
                            *lines)  # fmt: skip
    if worst.score > limit:
        return failed(
            f"{worst.slower} takes longer than {worst.quicker}: who sees one answer of each "
            f"guesses right in {worst.probability:.0%} (difference of medians "
            f"{worst.milliseconds:.2f} ms)",
            *lines,
        )
    width = max(spread(found_) for found_ in times.values())
    if width > _LARGEST_SPREAD:
        return inconclusive(
            f"the times are spread over {width:.0f} ms, which would hide a difference; run this "
            "nearer to the server, when it is quiet",
            *lines,
        )
    visible = least_visible(len(times), rounds)
    return passed(
        f"no difference; one would show from {visible:.0%} of right guesses on "
        f"({rounds} answers of each kind, spread {width:.1f} ms)",
        *lines,
    )


def _line(pair: Difference) -> str:
    return (
        f"{pair.slower} against {pair.quicker}: {pair.probability:.1%}, score {pair.score:.1f}, "
        f"{pair.milliseconds:.2f} ms"
    )
