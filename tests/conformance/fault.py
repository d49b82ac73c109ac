"""One fault of a server, and the test that has to see it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from scepkit.conformance.verdicts import Kind
from scepkit.testing import TestCa
from tests.conformance.broken import ca_with

#: A failure of what is only recommended, or needed by some devices, is a warning.
S, Q = Kind.WARN, Kind.WARN


@dataclass(frozen=True)
class Fault:
    """A server with one fault.

    :param test: the test that has to see it.
    :param what: what is broken.
    :param kind: how that test ends.
    :param one_time: challenges are good once.
    :param says: how the verdict begins.
    """

    test: str
    what: str
    make: Callable[[], TestCa]
    kind: Kind = Kind.FAIL
    one_time: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    says: str = ""


def known(*faults: str, **options: Any) -> Callable[[], TestCa]:
    """A fault that the test CA has a name for."""
    return lambda: ca_with(*faults, **options)


def is_get(target: str) -> bool:
    return "operation=PKIOperation&message=" in target
