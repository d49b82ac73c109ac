"""Invariant: the query of a GET is read as parameters, profile and message, or refused."""

from __future__ import annotations

import base64
import random
from collections.abc import Iterator
from contextlib import suppress
from urllib.parse import quote

from scepkit.core import http
from scepkit.errors import ScepError
from tests.core import exchange

MEASURED = ("scepkit.core.http",)

_WORDS = (
    b"operation=", b"message=", b"PKIOperation", b"GetCACert", b"&", b"%", b"%2B", b"%0A", b"+",
    b"=", b"==", b"%25", b"-_", b"\r\n", b" ", b"%00", b"%ff", b"%C3%A4",
)  # fmt: skip


def run(data: bytes) -> None:
    with suppress(ScepError):
        assert http.decode_get_message(data)
    # A server hands over the query in Latin-1, or after its own fashion.
    for query in (data.decode("latin-1"), data.decode(errors="replace")):
        found = http.parse_query(query)
        message = found.get("message", query)
        with suppress(ScepError):
            http.decode_profile(message)
        with suppress(ScepError):
            http.decode_get_message(message)


def seeds() -> Iterator[bytes]:
    message = base64.b64encode(exchange.encode(exchange.DATA[2]))
    yield message
    yield b"operation=PKIOperation&message=" + quote(message, safe="").encode()
    yield b"operation=PKIOperation&message=" + base64.urlsafe_b64encode(exchange.NONCE * 5)
    yield b"operation=PKIOperation&message=" + base64.encodebytes(message[:120])
    yield b"operation=GetCACert&message=my%20ca+here&profile=%C3%A4"


def mutate(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(4):
        case 0:
            return data[:at] + chance.choice(_WORDS) + data[at:]
        case 1:
            return data[:at] + data[at + chance.randint(1, 20) :]
        case 2:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
        case _:
            start = chance.randrange(len(data) + 1)
            return data[:at] + data[start : start + chance.randint(1, 60)] + data[at:]
