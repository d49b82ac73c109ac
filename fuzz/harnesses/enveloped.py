"""Invariant: an EnvelopedData is decrypted with our key or the password, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

from fuzz.bounds import Bounds
from fuzz.rebuilding import Sealing, key_of, mutate_enveloped, view
from scepkit.core import envelope
from scepkit.core.algorithms import Cipher, KeyTransport
from scepkit.errors import ScepError
from tests import cms_writer as w
from tests.core import exchange

MEASURED = (
    "scepkit.core.envelope",
    "scepkit.core.key_transport",
    "scepkit.core.password",
    "scepkit.core.cbc",
    "scepkit.core.algorithms",
)
# PBKDF2 as often as `scepkit.core.password` allows takes the time.
BOUNDS = Bounds(milliseconds=5000)

_CA = exchange.CA
_KEYS = (key_of(_CA), exchange.SECRET)
_SEALING = Sealing(_CA, [view(_CA)] * 9 + [exchange.SECRET], _KEYS, b"\x30\x03\x02\x01\x05")


def run(data: bytes) -> None:
    found = envelope.read_envelope(data, allow_legacy=True)
    envelope.read_enveloped(data)
    envelope.is_addressed_to(found, view(_CA))
    envelope.is_for_a_key(found)
    with suppress(ScepError):
        envelope.password_iterations(found)
    for key in _KEYS:
        with suppress(ScepError):
            decrypted = envelope.decrypt(found, key)
            assert len(decrypted.content) <= len(data)


def seeds() -> Iterator[bytes]:
    for transport in KeyTransport:
        yield envelope.encrypt(b"hello", view(_CA), Cipher.AES128_CBC, transport)
    for cipher in (Cipher.AES256_CBC, Cipher.DES_EDE3_CBC):
        yield envelope.encrypt(b"hello", view(_CA), cipher)
    key = bytes(range(16))
    yield w.enveloped_data(b"x" * 40, [w.rsa_recipient(_CA, key)], key, constructed=True)
    yield envelope.encrypt(b"hello", exchange.SECRET, Cipher.AES128_CBC)


def mutate(data: bytes, chance: random.Random) -> bytes:
    return mutate_enveloped(data, chance, _SEALING)
