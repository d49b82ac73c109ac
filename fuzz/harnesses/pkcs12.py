"""Invariant: any PKCS#12 file with or without its password is a key, certificates, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    NoEncryption,
    PrivateFormat,
    pkcs12,
)

from fuzz.bounds import Bounds
from scepkit.errors import ScepError
from scepkit.keys import load_certificates, load_key
from tests import pki

MEASURED = ("scepkit.keys.loading", "scepkit.keys.finding", "scepkit.keys.deriving")

# As many rounds of PBKDF2 as `scepkit.keys.deriving` allows, for each try.
BOUNDS = Bounds(milliseconds=20_000)

_PASSWORD = b"secret"


def run(data: bytes) -> None:
    with suppress(ScepError):
        load_certificates(data)
    with suppress(ScepError):
        load_certificates(data, _PASSWORD)
    load_key(data, _PASSWORD)


def seeds() -> Iterator[bytes]:
    locked = PrivateFormat.PKCS12.encryption_builder().kdf_rounds(1000).build(_PASSWORD)
    small = pki.self_signed("small", "rsa1024")
    elliptic = pki.self_signed("small", "ec256-a")
    for identity in (small, elliptic):
        for encryption in (locked, NoEncryption()):
            yield pkcs12.serialize_key_and_certificates(
                b"name", identity.key, identity.certificate, [pki.root().certificate], encryption
            )
    yield pkcs12.serialize_key_and_certificates(b"", None, small.certificate, None, NoEncryption())
    yield pkcs12.serialize_key_and_certificates(
        None, elliptic.key, None, None, BestAvailableEncryption(_PASSWORD)
    )
