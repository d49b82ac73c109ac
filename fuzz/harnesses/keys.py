"""Invariant: any file with or without its password is a key, certificates, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

from cryptography.hazmat.primitives import serialization as forms

from fuzz import grammar
from fuzz.bounds import Bounds
from scepkit.core.cms import certs_only
from scepkit.core.pem import pem_blocks, write_pem
from scepkit.errors import ScepError
from scepkit.keys import load_certificates, load_key
from tests import pki

MEASURED = (
    "scepkit.keys.loading",
    "scepkit.keys.finding",
    "scepkit.keys.deriving",
    "scepkit.keys.rsacheck",
    "scepkit.core.pem",
)

# As many rounds of PBKDF2 as `scepkit.keys.deriving` allows, for each try.
BOUNDS = Bounds(milliseconds=20_000)

_PASSWORD = b"secret"


def run(data: bytes) -> None:
    with suppress(ScepError):
        load_certificates(data, _PASSWORD)
    with suppress(ScepError):
        load_key(data)
    load_key(data, _PASSWORD)


def seeds() -> Iterator[bytes]:
    plain = forms.NoEncryption()
    locked = forms.BestAvailableEncryption(_PASSWORD)
    for name in ("rsa1024", "ec256-a"):
        key = pki.key(name)
        for form in (forms.PrivateFormat.PKCS8, forms.PrivateFormat.TraditionalOpenSSL):
            yield key.private_bytes(forms.Encoding.DER, form, plain)
            yield key.private_bytes(forms.Encoding.PEM, form, plain)
        yield key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, locked)
        yield key.private_bytes(forms.Encoding.DER, forms.PrivateFormat.PKCS8, locked)
    yield key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.TraditionalOpenSSL, locked)
    certificate = pki.self_signed("small", "rsa1024").der
    yield write_pem("CERTIFICATE", certificate) + write_pem("PKCS7", certs_only([certificate]))
    yield write_pem("TRUSTED CERTIFICATE", certificate + b"\x30\x00")
    yield certs_only([certificate])


def mutate(data: bytes, chance: random.Random) -> bytes:
    """What is in PEM is mostly changed inside of it."""
    with suppress(ScepError):
        blocks = pem_blocks(data)
        if blocks and chance.random() < 0.7:
            block = chance.choice(blocks)
            label = block.label if chance.random() < 0.9 else chance.choice(_LABELS)
            return write_pem(label, grammar.mutate(block.der or block.text, chance))
    return grammar.mutate(data, chance)


_LABELS = (
    "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "ENCRYPTED PRIVATE KEY", "CERTIFICATE",
    "OPENSSH PRIVATE KEY", "PKCS7", "TRUSTED CERTIFICATE", "DSA PRIVATE KEY", "",
)  # fmt: skip
