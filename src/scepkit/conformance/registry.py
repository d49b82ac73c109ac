"""The list of all tests: each is a function with a number, a class, and what to do when it fails.

A theme declares its tests like this:

    @check(
        "T02",
        Class.SHOULD,
        "GetCACaps is answered as text/plain",
        section="RFC 8894 3.5.2",
        remedy="send `Content-Type: text/plain`, without parameters",
    )
    def caps_type(probe: Probe) -> Verdict: ...

The rule of this file: it knows what tests are, and nothing of what they do.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from enum import Enum
from fnmatch import fnmatchcase
from importlib import import_module
from typing import TYPE_CHECKING, TypeAlias

from scepkit.errors import InputError
from scepkit.values import field, frozen

if TYPE_CHECKING:
    from scepkit.conformance.probe import Probe
    from scepkit.conformance.verdicts import Verdict

#: The files under `themes`, in the order in which they run and are reported.
THEMES = (
    "http",
    "caps",
    "ca_certs",
    "enrolment",
    "issued",
    "transports",
    "tolerance",
    "algorithms",
    "requests",
    "challenges",
    "authorisation",
    "signatures",
    "contents",
    "renewal",
    "polling",
    "queries",
    "robustness",
    "timing",
    "load",
)

#: Seconds that a test may take, unless it says otherwise.
DEADLINE = 60.0


class Class(Enum):
    """What a test is about, and so what a failure is worth."""

    MUST = "M"
    SECURITY = "X"
    SHOULD = "S"
    OPTIONAL = "O"
    QUIRK = "Q"

    @property
    def meaning(self) -> str:
        """The class in words."""
        return _MEANINGS[self]

    @property
    def counts(self) -> bool:
        """Whether a failure makes the server non-conformant; otherwise it is a warning."""
        return self in (Class.MUST, Class.SECURITY, Class.OPTIONAL)


_MEANINGS = {
    Class.MUST: "required by RFC 8894",
    Class.SECURITY: "security",
    Class.SHOULD: "recommended by RFC 8894",
    Class.OPTIONAL: "optional, but has to work where it is offered",
    Class.QUIRK: "needed by devices in the field",
}


class Need(Enum):
    """What must be there for a test to run."""

    #: The CA's certificates, authenticated as the options say.
    CA = "the CA's certificates, authenticated"
    #: Leave to have certificates issued; a plain enrolment that works is then needed too.
    ISSUE = "--allow-issue"
    #: A challengePassword.
    CHALLENGE = "a challenge"
    #: A recipient whose key is RSA.
    RSA = "a CA or RA certificate with an RSA key"
    #: Leave for load, and for what may hurt a server.
    INTRUSIVE = "--intrusive"


Run: TypeAlias = "Callable[[Probe], Verdict]"


@frozen
class Check:
    """One test.

    Attributes:
        id: such as ``T20``.
        title: the expectation, as a sentence.
        section: where the expectation comes from.
        remedy: what to change on the server when it fails.
        disputed: why one may be of another opinion, or "".
        seconds: how long it may take.
        theme: the name of its file.
    """

    id: str
    cls: Class
    title: str
    section: str
    remedy: str
    needs: frozenset[Need]
    disputed: str
    seconds: float
    theme: str
    run: Run = field(repr=False)

    @property
    def number(self) -> int:
        """20 for ``T20``."""
        return int(self.id[1:])


_registered: dict[str, Check] = {}


def check(
    id: str,
    cls: Class,
    title: str,
    *,
    section: str,
    remedy: str,
    needs: Iterable[Need] = (),
    disputed: str = "",
    seconds: float = DEADLINE,
) -> Callable[[Run], Run]:
    """Declare the function below as the test `id`; see `Check`."""
    if not re.fullmatch(r"T\d{2,3}", id) or id in _registered:
        raise ValueError(f"{id} is not a free number of a test")

    def declare(run: Run) -> Run:
        theme = run.__module__.rpartition(".")[2]
        wanted = frozenset(needs)
        if Need.ISSUE in wanted or Need.CHALLENGE in wanted or Need.RSA in wanted:
            wanted |= {Need.CA}
        _registered[id] = Check(
            id, cls, title, section, remedy, wanted, disputed, seconds, theme, run
        )
        return run

    return declare


def all_checks() -> tuple[Check, ...]:
    """Every test, by theme and number."""
    for theme in THEMES:
        import_module(f"scepkit.conformance.themes.{theme}")
    return tuple(
        sorted(_registered.values(), key=lambda one: (THEMES.index(one.theme), one.number))
    )


def select(
    checks: Iterable[Check], only: Iterable[str] = (), classes: Iterable[str] = ()
) -> tuple[Check, ...]:
    """The tests that are wanted.

    :param only: numbers or patterns, such as ``T20`` and ``T5*``; none means all.
    :param classes: letters of classes; none means all.
    :raises InputError: a pattern fits no test, or a letter is not a class.
    """
    checks = tuple(checks)
    patterns = [one.strip().upper() for one in only if one.strip()]
    for pattern in patterns:
        if not any(fnmatchcase(one.id, pattern) for one in checks):
            raise InputError(f"there is no test {pattern}", hint="scepkit check --list shows all")
    letters = {one.strip().upper() for one in classes if one.strip()}
    known = {one.value for one in Class}
    if not letters <= known:
        wrong = ", ".join(sorted(letters - known))
        raise InputError(f"there is no class {wrong}; expected some of {', '.join(sorted(known))}")
    return tuple(
        one
        for one in checks
        if (not patterns or any(fnmatchcase(one.id, pattern) for pattern in patterns))
        and (not letters or one.cls.value in letters)
    )
