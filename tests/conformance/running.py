"""The tester, set up for a test: committed keys, short timeouts, no command line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from cryptography import x509

from scepkit.conformance.challenges import ChallengeSource
from scepkit.conformance.keypool import KeyPool
from scepkit.conformance.registry import Check, all_checks, select
from scepkit.conformance.runner import Report, Result, run
from scepkit.conformance.session import Session, Settings
from scepkit.conformance.verdicts import Kind
from scepkit.core.certificates import PrivateKey
from scepkit.core.trust import CaVerifier, InsecureTrustOnFirstUse, PinnedCertificate
from scepkit.core.url import parse_endpoint
from scepkit.transport import HttpOptions, HttpTransport
from tests import pki

_KEYS = {
    "rsa:2048": ["rsa2048-a", "rsa2048-b", "rsa2048-c"],
    "rsa:3072": ["rsa3072", "rsa4096"],
    "rsa:4096": ["rsa4096"],
    "ec:p256": ["ec256-a", "ec256-b"],
}


class CommittedKeys(KeyPool):
    """The committed keys in turn, whatever was issued for them: making keys takes seconds."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def take(self, spec: str = "") -> PrivateKey:
        names = _KEYS[spec or self.usual]
        self._count += 1
        return pki.key(names[self._count % len(names)])


@contextmanager
def session_for(
    url: str,
    *,
    trust: x509.Certificate | None = None,
    challenges: ChallengeSource | None = None,
    keys: KeyPool | None = None,
    timeout: float = 20.0,
    **settings: Any,
) -> Iterator[Session]:
    """A session against a server."""
    options = HttpOptions(proxy="direct", timeout=timeout)
    verifier: CaVerifier = PinnedCertificate(trust) if trust else InsecureTrustOnFirstUse()
    with HttpTransport(options) as transport:
        yield Session(
            parse_endpoint(url),
            profile=None,
            transport=transport,
            http_options=options,
            trust=verifier,
            settings=Settings(challenges=challenges, **settings),
            keys=keys or CommittedKeys(),
        )


def checks(*only: str) -> tuple[Check, ...]:
    """Tests by number or pattern; all of them without any."""
    return select(all_checks(), only)


def results_of(session: Session, wanted: Iterable[Check]) -> Report:
    """Run them."""
    return run(session, wanted)


def told(results: Iterable[Result]) -> str:
    """What went wrong, for the message of an assertion."""
    return "\n".join(
        "\n  ".join((f"{one.check.id} {one.kind.value}: {one.verdict.text}", *one.verdict.details))
        for one in results
        if one.kind not in (Kind.PASS, Kind.SKIPPED)
    )
