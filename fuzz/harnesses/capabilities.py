"""Invariant: any answer to GetCACaps is capabilities, and these are written as they were read."""

from __future__ import annotations

import random
from collections.abc import Iterator

from scepkit.core.capabilities import Capability, format_capabilities, parse_capabilities
from tests import vectors

MEASURED = ("scepkit.core.capabilities",)

_WORDS = (*(word.value.encode() for word in Capability), b"\r\n", b"\r", b"\n", b" ", b"<html>",
          b"\xff\xfe", b"\xef\xbb\xbf", b"\x00", b"SHA2", b"\x85", b"\xa0", b"\x1c")  # fmt: skip


def run(data: bytes) -> None:
    found = parse_capabilities(data)
    found.strongest_cipher, found.preferred_digest, found.strongest_signature, found.to_words()
    again = parse_capabilities(format_capabilities(found.words))
    assert again.words == found.words
    assert all(word.isprintable() for word in found.unknown)


def seeds() -> Iterator[bytes]:
    yield format_capabilities(Capability)
    yield b"aes\r\nSha-256\r\nSHA2 \rDES3"
    yield "\ufeffPOSTPKIOperation\n".encode("utf-16")
    yield b"\xef\xbb\xbfAES\nwhat is this\n"
    yield b"<html><title>Sign in</title></html>"
    for conversation in vectors.conversations()[:1]:
        yield conversation.steps[0].response.wire


def mutate(data: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(data) + 1)
    match chance.randrange(3):
        case 0:
            return data[:at] + chance.choice(_WORDS) + data[at:]
        case 1:
            return data[:at] + data[at + chance.randint(1, 20) :]
        case _:
            return data[:at] + bytes([chance.randrange(256)]) + data[at + 1 :]
