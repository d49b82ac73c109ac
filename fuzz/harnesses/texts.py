"""Invariant: any text is a name, an address, a waiting time, a saved state, or refused."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import suppress

from fuzz.harnesses import config
from scepkit.core import http
from scepkit.core.enrolment import Pending
from scepkit.core.names import parse_oid, parse_san, parse_subject
from scepkit.core.url import parse_endpoint
from scepkit.errors import ScepError
from tests import pki

_PENDING = b"""{"format": "scepkit-pending-1", "url": "http://ca.example/scep", "profile": null,
"transactionID": "a", "subject": "3000", "requesterChain": []}"""

MEASURED = ("scepkit.core.names", "scepkit.core.dntext", "scepkit.core.url", "scepkit.core.http")

_READERS: tuple[Callable[[str], object], ...] = (
    parse_subject,
    parse_san,
    parse_oid,
    parse_endpoint,
    Pending.from_json,
    lambda text: http.retry_after_seconds(text, pki.NOW),
    lambda text: http.media_type(text),
)


def run(data: bytes) -> None:
    http.html_title(data)
    http.body_excerpt(data)
    text = data.decode(errors="surrogateescape")
    for reader in _READERS:
        with suppress(ScepError):
            reader(text)


def seeds() -> Iterator[bytes]:
    yield from (
        b"CN=device,O=Acme\\, Inc.,2.5.4.5=#1303414243",
        b'/C=US/CN="a + b"/serialNumber=5',
        b"dns:a.example",
        b"upn:user@example.com",
        b"ip:2001:db8::1",
        b"https://user@ca.example:8443/scep?ca=1#x",
        b"Fri, 31 Dec 1999 23:59:59 GMT",
        b"<html><title>Sign &amp; in</title>",
        _PENDING,
    )


def mutate(data: bytes, chance: random.Random) -> bytes:
    return config.mutate(data, chance)
