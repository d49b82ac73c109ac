"""Invariant: any bytes are taken apart, explained and shown on clean lines, or a DecodeError."""

from __future__ import annotations

import base64
import json
import random
from collections.abc import Iterator

from fuzz.harnesses import query, request
from fuzz.rebuilding import Sealing, key_of, mutate_signed, view
from scepkit.core import cms
from scepkit.core.inspect import http_dump, inspect_message, render_text, to_json
from scepkit.core.inspect.explain import explain
from scepkit.core.inspect.explanation import Known, explanation_json, explanation_text
from scepkit.core.pem import write_pem
from scepkit.errors import DecodeError
from tests import pki, vectors
from tests.core import exchange

MEASURED = (
    "scepkit.core.inspect.attributes",
    "scepkit.core.inspect.checks",
    "scepkit.core.inspect.envelopes",
    "scepkit.core.inspect.explain",
    "scepkit.core.inspect.explain_answer",
    "scepkit.core.inspect.explain_layers",
    "scepkit.core.inspect.explain_reply",
    "scepkit.core.inspect.explain_request",
    "scepkit.core.inspect.explanation",
    "scepkit.core.inspect.habits",
    "scepkit.core.inspect.http_dump",
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
_REQUEST = inspect_message(exchange.encode())


def run(data: bytes) -> None:
    try:
        found = inspect_message(
            data, key=_CA.key, certificate=_CA.certificate, password=exchange.SECRET.secret
        )
    except DecodeError as error:
        str(error)
        return
    known = Known(_REQUEST, (_CA.certificate,), _CA.key)
    for explanation in (explain(found), explain(found, known)):
        text = render_text(found) + explanation_text(explanation)
        assert all(one.isprintable() or one in _SHOWN for one in text), repr(text)
        json.dumps({**to_json(found), "explanation": explanation_json(explanation)})


def seeds() -> Iterator[bytes]:
    yield from request.seeds()
    for reply in exchange.REPLIES:
        yield exchange.seal(reply)
    yield exchange.ISSUED.der
    yield exchange.crl_of(_CA, revoked=[1, 2])
    yield write_pem("CERTIFICATE", _CA.der) * 2
    yield base64.b64encode(pki.self_signed("small", "ec256-a").der)
    for capture in sorted((vectors.FOLDER / "captures").glob("*.http")):
        yield capture.read_bytes()
    message = exchange.encode(exchange.DATA[3])
    yield b"GET /scep?operation=PKIOperation&message=" + base64.b64encode(message) + b"\r\n\r\n"
    yield _chunked(message)
    yield vectors.rfc8894("scep_req2.der")
    yield vectors.rfc8894("scep_resp2.der")


def _chunked(message: bytes) -> bytes:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + b"%x\r\n%b\r\n0\r\n\r\n" % (len(message), message)


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Of captured HTTP, either the head is changed as text or the message behind it."""
    head, end, body = data.partition(b"\r\n\r\n")
    if not end or not http_dump.is_dump(data):
        return mutate_signed(data, chance, _SEALING)
    if chance.random() < 0.5:
        return query.mutate(head, chance) + end + body
    return head + end + mutate_signed(body, chance, _SEALING)
