"""What a test found out: one verdict, with the evidence that a vendor needs to see.

The rule of this file: a verdict says what was seen, not what it is worth.  What a failure is worth
follows from the class of the test, and that is decided in `runner`.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from scepkit.errors import ScepError
from scepkit.values import frozen


class Kind(Enum):
    """How a test ended, from the best to the worst."""

    PASS = "pass"  # noqa: S105 - a verdict
    WAIVED = "waived"
    SKIPPED = "skipped"
    INCONCLUSIVE = "inconclusive"
    WARN = "warn"
    FAIL = "fail"


_BADNESS = {kind: place for place, kind in enumerate(Kind)}


@frozen
class Verdict:
    """How one test ended.

    Attributes:
        kind: pass, fail, ...
        text: a sentence that says what was found, and what was expected if that is something else.
        details: further sentences, one for each part of the test that is worth a line.
    """

    kind: Kind
    text: str
    details: tuple[str, ...] = ()


def passed(text: str = "as expected", *details: str) -> Verdict:
    """The server does what is expected."""
    return Verdict(Kind.PASS, text, details)


def failed(text: str, *details: str) -> Verdict:
    """The server does something else; `text` is the evidence."""
    return Verdict(Kind.FAIL, text, details)


def warned(text: str, *details: str) -> Verdict:
    """What is expected is done, but not as well as it could be."""
    return Verdict(Kind.WARN, text, details)


def skipped(reason: str, *details: str) -> Verdict:
    """The test does not apply, or something that it needs is not there."""
    return Verdict(Kind.SKIPPED, reason, details)


def inconclusive(reason: str, *details: str) -> Verdict:
    """The test was tried, and cannot say."""
    return Verdict(Kind.INCONCLUSIVE, reason, details)


class Ended(Exception):
    """A test ends here, with this verdict; raised by what it calls."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.text)
        self.verdict = verdict


class Stopped(Exception):
    """The whole run ends here, with this error: what the person gave to it cannot be used."""

    def __init__(self, error: ScepError) -> None:
        super().__init__(str(error))
        self.error = error


def together(parts: Iterable[tuple[str, Verdict]], *, good: str = "") -> Verdict:
    """One verdict of several parts: the worst of them decides.

    Parts that were skipped count only if all were.

    :param parts: what each part is about, and its verdict.
    :param good: what to say when nothing is wrong; without it, the number of parts.
    """
    found = list(parts)
    if not found:
        return inconclusive("nothing was tried")
    tried = [(what, one) for what, one in found if one.kind is not Kind.SKIPPED] or found
    worst = max((one for _, one in tried), key=lambda one: _BADNESS[one.kind]).kind
    lines = tuple(f"{what}: {one.text}" for what, one in found)
    if worst is Kind.PASS:
        several = f"all {len(tried)} variants as expected"
        return Verdict(worst, good or (several if len(tried) > 1 else tried[0][1].text), lines)
    culprits = [f"{what}: {one.text}" for what, one in tried if one.kind is worst]
    more = f" (and {len(culprits) - 1} more)" if len(culprits) > 1 else ""
    return Verdict(worst, culprits[0] + more, lines)
