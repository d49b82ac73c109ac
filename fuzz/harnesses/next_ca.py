"""Invariant: any answer to GetNextCACert is signed by the present CA and usable, or refused."""

from __future__ import annotations

import random
from collections.abc import Iterator

from fuzz.rebuilding import Sealing, mutate_signed, view
from scepkit.core import ca_replies
from scepkit.core.ca_certificates import authenticate
from scepkit.core.cms import certs_only
from scepkit.core.trust import AcceptIf, CaOffer
from tests import cms_writer as w
from tests import pki
from tests.core import exchange

MEASURED = ("scepkit.core.ca_replies",)

_CA = exchange.CA
_NEXT = pki.root("ec256-a", "Next CA")
_KNOWN = authenticate(
    CaOffer("http://ca.example", None, (_CA.certificate,)), _CA.certificate, pki.NOW
)
_PLAIN = certs_only([_NEXT.der])
_SEALING = Sealing(_CA, [view(_CA)], [], _PLAIN)


def run(data: bytes) -> None:
    found = ca_replies.verify_next_ca(
        data, _KNOWN, pki.NOW, verifier=AcceptIf(lambda certificate: True)
    )
    assert found


def seeds() -> Iterator[bytes]:
    for content in (_PLAIN, None):
        info = w.signer_info(_CA, w.cms_attributes(content).values())
        yield w.signed_data(content, [info], [_CA.der, _NEXT.der])
    kind = w.SIGNED_DATA
    inner = _PLAIN
    info = w.signer_info(_CA, w.cms_attributes(inner, content_type=kind).values())
    yield w.signed_data(inner, [info], [_CA.der], content_type=kind)
    yield _PLAIN


def mutate(data: bytes, chance: random.Random) -> bytes:
    return mutate_signed(data, chance, _SEALING)
