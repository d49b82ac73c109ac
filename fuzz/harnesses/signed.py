"""Invariant: a SignedData is read, and verified with a key of ours if that made it, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

from fuzz.rebuilding import Sealing, mutate_signed, view
from scepkit.core import cms
from scepkit.errors import ScepError
from tests import ber_writer, pki
from tests import cms_writer as w
from tests.core import exchange

MEASURED = ("scepkit.core.cms", "scepkit.core.asn1", "scepkit.core.certificates")

_CA = exchange.CA
_SEALING = Sealing(_CA, [view(_CA)], [], b"\x30\x03\x02\x01\x05")


def run(data: bytes) -> None:
    message = cms.read_signed(data)
    with suppress(ScepError):
        cms.read_bundle(data)
    verified = cms.verify(message, [view(_CA), view(exchange.EC_CA)], allow_legacy=True)
    assert verified.content == message.content
    assert len(message.signers) == 1


def seeds() -> Iterator[bytes]:
    for by in (_CA, exchange.EC_CA):
        info = w.signer_info(by, w.cms_attributes(b"hello").values())
        yield w.signed_data(b"hello", [info], [by.der])
    yield exchange.seal(exchange.REPLIES[0])
    yield cms.certs_only([exchange.ISSUED.der, _CA.der], [exchange.crl_of(_CA)])
    for digest, signature in (("md5", "md5-rsa"), ("sha512", "sha512-rsa"), ("sha256", "pss")):
        attributes = w.cms_attributes(b"x", digest).values()
        info = w.signer_info(_CA, attributes, digest=digest, signature=signature)
        yield w.signed_data(b"x", [info], [_CA.der])
    yield ber_writer.ber(ber_writer.parse(exchange.seal(exchange.REPLIES[3])), random.Random(2))
    yield w.signed_data(b"x", [w.signer_info(_CA, None, over=b"x")], [pki.self_signed().der])


def mutate(data: bytes, chance: random.Random) -> bytes:
    return mutate_signed(data, chance, _SEALING)
