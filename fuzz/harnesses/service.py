"""Invariant: a whole server answers a request with a CertRep to it, all else with HTTP 400."""

from __future__ import annotations

import atexit
import random
import shutil
from collections.abc import Iterator
from tempfile import mkdtemp

from fuzz.bounds import Bounds
from fuzz.harnesses import request
from scepkit.core import cms, messages
from scepkit.core.asn1 import content_of
from scepkit.server.auth_static import static_secret
from scepkit.server.gate import Authorisers
from scepkit.store import open_store
from tests.core import exchange
from tests.server.service.world import PEPPER, World

MEASURED = (
    "scepkit.server.service",
    "scepkit.server.enrolling",
    "scepkit.server.polling",
    "scepkit.server.queries",
    "scepkit.server.issuing",
    "scepkit.server.gate",
    "scepkit.server.case",
)
BOUNDS = Bounds(milliseconds=request.BOUNDS.milliseconds + 2000)

_PLACE = mkdtemp(prefix="scepkit-fuzz-")


def _world() -> World:
    store = open_store(f"sqlite:///{_PLACE}/scepkit.db", node="fuzz")
    store.migrate()
    atexit.register(shutil.rmtree, _PLACE, ignore_errors=True)
    atexit.register(store.close)
    return World.made(
        store,
        Authorisers(static=static_secret(PEPPER, "secret", recoverable=False)),
        ca=exchange.CA,
    )


_WORLD = _world()
_CA = exchange.seen(exchange.CA)


def run(data: bytes) -> None:
    reply = _WORLD.post(data)
    assert reply.status in (200, 400), reply.status
    asked = messages.read_request(data)
    assert reply.status == 200, "what is a request is answered by a CertRep"
    verified = cms.verify(cms.read_signed(reply.body), [_CA])
    (identifier,) = verified.attributes[messages.ID_TRANSACTION_ID]
    assert content_of(identifier).decode() == asked.transaction_id
    (nonce,) = verified.attributes[messages.ID_RECIPIENT_NONCE]
    assert content_of(nonce) == asked.sender_nonce


def seeds() -> Iterator[bytes]:
    yield from request.seeds()


def mutate(data: bytes, chance: random.Random) -> bytes:
    return request.mutate(data, chance)
