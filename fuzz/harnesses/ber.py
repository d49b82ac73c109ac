"""Invariant: any bytes become DER, which is then left as it is, or end in a DecodeError."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scepkit.core.ber import first_element, to_der
from tests import ber_writer, vectors
from tests.core import exchange

MEASURED = ("scepkit.core.ber",)


def run(data: bytes) -> None:
    element, rest = first_element(data)
    assert data.endswith(rest)
    assert to_der(element) == element, "what came out is not DER"
    if not rest:
        assert to_der(data) == element


def seeds() -> Iterator[bytes]:
    chance = random.Random(1)
    for message in (exchange.encode(), exchange.ISSUED.der, exchange.seal(exchange.REPLIES[0])):
        yield message
        yield ber_writer.ber(ber_writer.parse(message), chance)
    yield vectors.rfc8894("scep_req2.der")
    yield b"\x30\x80" * 40 + b"\x00\x00" * 40
    yield b"\x24\x80\x04\x01a\x24\x03\x04\x01b\x00\x00"
    yield b"\x23\x08\x03\x02\x00\x01\x03\x02\x07\x80"
    yield b"\x30\x84\x7f\xff\xff\xff\x05\x00"
