"""What the matrix is made of: trials, verdicts, and the words in which a group of them is told."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import product, zip_longest

from scepkit.core.algorithms import Cipher, Digest


@dataclass(frozen=True, slots=True)
class Suite:
    """How a message is protected and sent."""

    cipher: Cipher
    digest: Digest
    method: str

    @property
    def words(self) -> tuple[str, ...]:
        """Each choice as the page writes it."""
        return _CIPHERS[self.cipher], _DIGESTS[self.digest], self.method


_CIPHERS = {Cipher.AES128_CBC: "AES", Cipher.DES_EDE3_CBC: "3DES"}
_DIGESTS = {Digest.SHA1: "SHA-1", Digest.SHA256: "SHA-256", Digest.SHA512: "SHA-512"}
SUITES = tuple(Suite(*choice) for choice in product(_CIPHERS, _DIGESTS, ("GET", "POST")))
#: The one that both sides of every pair know.
USUAL = Suite(Cipher.AES128_CBC, Digest.SHA256, "POST")


@dataclass(frozen=True, slots=True)
class Key:
    """A kind of key.

    Attributes:
        file: the committed key of this kind.
        successor: the one that a certificate is renewed with.
    """

    title: str
    file: str
    successor: str

    @property
    def rsa(self) -> bool:
        """Messages can be encrypted to it."""
        return self.file.startswith("rsa")


KEYS = (
    Key("RSA-2048", "rsa2048-c", "rsa2048-b"),
    Key("RSA-3072", "rsa3072", "rsa3072"),
    Key("RSA-4096", "rsa4096", "rsa4096"),
    Key("EC P-256", "ec256-b", "ec256-a"),
)


class Operation(Enum):
    """What is tried; the value is the row's title."""

    ENROL = "enrol"
    RENEW = "renew"
    POLL = "poll"
    GET_CERT = "GetCert"
    GET_CRL = "GetCRL"
    ROLLOVER = "rollover"
    WRONG_CHALLENGE = "enrol with a wrong challenge"
    SINGLE_DES = "enrol with single DES"
    MD5 = "enrol with MD5"
    DES_ENROL = "enrol with single DES, where the profile takes it"
    DES_RENEW = "renew with single DES, where the profile takes it"
    DES_POLL = "poll with single DES, where the profile takes it"
    MODERN = "enrol, without `accept_legacy_replies`"


#: What the issue of a matrix is: every pair has these rows, whatever becomes of them.
USUAL_OPERATIONS = (
    Operation.ENROL,
    Operation.RENEW,
    Operation.POLL,
    Operation.GET_CERT,
    Operation.GET_CRL,
    Operation.ROLLOVER,
    Operation.WRONG_CHALLENGE,
)


#: Rows that are about the same as usual ones, in the overview.
ALIASES = {
    Operation.DES_ENROL: Operation.ENROL,
    Operation.DES_RENEW: Operation.RENEW,
    Operation.DES_POLL: Operation.POLL,
}


@dataclass(frozen=True, slots=True)
class Trial:
    """One thing that is tried."""

    operation: Operation
    key: Key
    suite: Suite

    @property
    def name(self) -> str:
        """A common name of its own."""
        words = (self.operation.name, self.key.file, *self.suite.words)
        return "-".join(words).lower().replace("_", "-")


class Kind(Enum):
    """What became of a trial; the value is what the page says, in this order."""

    OK = "ok"
    REFUSED = "refused"
    NOT_OFFERED = "not offered"
    FAILS = "**fails**"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a trial.

    Attributes:
        reason: a sentence, for whoever wonders; "" says nothing that the kind does not say.
    """

    kind: Kind
    reason: str = ""


OK = Verdict(Kind.OK)
#: The server has said no, as it should.
REFUSED = Verdict(Kind.REFUSED)
Found = Mapping[Trial, Verdict]


def not_offered(reason: str) -> Verdict:
    """The peer does not have it."""
    return Verdict(Kind.NOT_OFFERED, reason)


def fails(reason: str) -> Verdict:
    """It should work; the reason says whose fault it is that it does not."""
    return Verdict(Kind.FAILS, reason)


def judged(said: str, known: Mapping[str, Verdict]) -> Verdict:
    """The verdict on a failure whose text contains one of the known texts."""
    for fragment, verdict in known.items():
        if fragment in said:
            return verdict
    return fails(f"nobody has explained this yet: {said[:500]}")


def told(found: Found, notes: list[str]) -> str:
    """A cell: what became of these trials, with numbers of notes, which are added to `notes`."""
    groups: dict[Kind, list[Trial]] = {}
    for trial, verdict in found.items():
        groups.setdefault(verdict.kind, []).append(trial)
    parts = []
    kinds = [kind for kind in Kind if kind in groups]
    for kind in kinds:
        text = kind.value
        if len(kinds) > 1:
            few = _described([trial.suite for trial in groups[kind]], [one.suite for one in found])
            text = f"otherwise {text}" if kind is kinds[-1] else f"{text} with {few}"
        numbers = []
        for reason in dict.fromkeys(found[trial].reason for trial in groups[kind]):
            if reason:
                if reason not in notes:
                    notes.append(reason)
                numbers.append(notes.index(reason) + 1)
        if numbers:
            text += f" [{', '.join(map(str, sorted(numbers)))}]"
        parts.append(text)
    return "; ".join(parts)


def summed(kinds: Collection[Kind]) -> str:
    """A cell of the overview: what became of all these trials, in a word or two."""
    if Kind.FAILS in kinds:
        return Kind.FAILS.value
    if len(set(kinds)) == 1:
        (kind,) = set(kinds)
        return kind.value
    return "ok where offered" if Kind.OK in kinds else "refused or not offered"


def rounds(trials: Sequence[Trial]) -> Sequence[Sequence[Trial]]:
    """The trials in groups of which none has two with the same key."""
    columns = [[trial for trial in trials if trial.key == key] for key in KEYS]
    return [[one for one in row if one is not None] for row in zip_longest(*columns)]


def _described(group: Sequence[Suite], everything: Sequence[Suite]) -> str:
    """Which suites these are among all that were tried, in as few words as tell them apart."""
    chosen = [set(column) for column in zip(*(suite.words for suite in group), strict=True)]
    possible = [set(column) for column in zip(*(suite.words for suite in everything), strict=True)]
    size = 1
    for values in chosen:
        size *= len(values)
    if size != len(group):
        return f"{len(group)} of {len(everything)} suites"
    told = [
        " or ".join(sorted(values))
        for values, others in zip(chosen, possible, strict=True)
        if values != others
    ]
    return ", ".join(told)
