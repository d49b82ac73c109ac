"""Invariant: any bytes are taken apart and shown on clean lines, or are a DecodeError."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator

from fuzz.harnesses import request
from fuzz.rebuilding import Sealing, key_of, mutate_signed, view
from scepkit.core import cms
from scepkit.core.inspect import inspect_message, render_text, to_json
from scepkit.core.pem import write_pem
from scepkit.errors import DecodeError
from tests import pki, vectors
from tests.core import exchange

MEASURED = (
    "scepkit.core.inspect.attributes",
    "scepkit.core.inspect.checks",
    "scepkit.core.inspect.envelopes",
    "scepkit.core.inspect.layers",
    "scepkit.core.inspect.parts",
    "scepkit.core.inspect.render",
    "scepkit.core.inspect.signatures",
    "scepkit.core.inspect.wrapping",
)
BOUNDS = request.BOUNDS

_CA = exchange.CA
_SEALING = Sealing(_CA, [view(_CA)], [key_of(_CA)], cms.certs_only([exchange.ISSUED.der]))
_SHOWN = frozenset("\n")


def run(data: bytes) -> None:
    try:
        found = inspect_message(
            data, key=_CA.key, certificate=_CA.certificate, password=exchange.SECRET.secret
        )
    except DecodeError as error:
        str(error)
        return
    text = render_text(found)
    assert all(one.isprintable() or one in _SHOWN for one in text), repr(text)
    json.dumps(to_json(found))


def seeds() -> Iterator[bytes]:
    yield from request.seeds()
    for reply in exchange.REPLIES:
        yield exchange.seal(reply)
    yield exchange.ISSUED.der
    yield exchange.crl_of(_CA, revoked=[1, 2])
    yield write_pem("CERTIFICATE", _CA.der) * 2
    yield base64.b64encode(pki.self_signed("small", "ec256-a").der)
    yield vectors.rfc8894("scep_req2.der")
    yield vectors.rfc8894("scep_resp2.der")


def mutate(data: bytes, chance: random.Random) -> bytes:
    return mutate_signed(data, chance, _SEALING)
