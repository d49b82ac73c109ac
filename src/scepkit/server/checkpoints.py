"""The steps between which a process may be killed.

`checkpoint(name)` does nothing.  The crash tests set `hook` to kill the process at one of them and
look whether the promises hold; every place where something durable happens has one before it, one
within its transaction and one after.
"""

from __future__ import annotations

from collections.abc import Callable

#: Every name that is passed to `checkpoint`, in the order of an enrolment, then of other work.
STEPS = (
    "opened",
    "authorised",
    "claim.begin",
    "claim.accepted",
    "claim.end",
    "claimed",
    "reserve.begin",
    "reserve.end",
    "reserved",
    "sign.begin",
    "sign.end",
    "publish.begin",
    "publish.published",
    "publish.end",
    "published",
    "sealed",
    "taken-over",
    "deny.end",
    "decide.begin",
    "decide.end",
    "decided",
    "crl.numbered",
    "crl.read",
    "crl.signed",
    "crl.piece",
    "crl.stored",
    "crl.put",
    "crl.end",
    "crl.published",
    "outbox.taken",
    "outbox.sent",
    "outbox.done",
)


def _nothing(name: str) -> None:
    """Go on."""


hook: Callable[[str], None] = _nothing


def checkpoint(name: str) -> None:
    """Say that a step has been reached."""
    hook(name)
