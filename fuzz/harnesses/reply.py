"""Invariant: what a client is sent is the answer to what it asked, verified, or is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import suppress

from fuzz.bounds import Bounds
from fuzz.rebuilding import Sealing, key_of, mutate_signed, view
from scepkit.core import ca_certificates, crl, messages
from scepkit.core.ca_certificates import authenticate
from scepkit.core.certificates import load_readable, view_of
from scepkit.core.cms import certs_only
from scepkit.core.messages import Success
from scepkit.core.trust import CaOffer
from scepkit.errors import ScepError
from tests import ber_writer, pki
from tests.core import exchange

MEASURED = (
    "scepkit.core.messages.requester",
    "scepkit.core.messages.attributes",
    "scepkit.core.messages.values",
    "scepkit.core.ca_certificates",
    "scepkit.core.chains",
    "scepkit.core.certificates",
    "scepkit.core.crl",
)
BOUNDS = Bounds(milliseconds=5000)

_CA = exchange.CA
_DEVICE = pki.device(_CA, key_name="rsa1024")
_OFFER = CaOffer("http://ca.example/scep", None, (_CA.certificate,))
_KNOWN = authenticate(_OFFER, _CA.certificate, pki.NOW)
_REQUESTER = pki.self_signed("small", "rsa1024")
_PLAIN = certs_only([_DEVICE.der, _CA.der])
_TO = messages.read_request(exchange.encode(requester=_REQUESTER))
_SEALING = Sealing(
    _CA,
    [view(_REQUESTER)] * 15 + [exchange.SECRET],
    [key_of(_REQUESTER), exchange.SECRET],
    _PLAIN,
)


def run(data: bytes) -> None:
    try:
        reply = _open(data)
    except ScepError:
        # The same with a challenge, for a requester whose key cannot decrypt.
        reply = messages.open_reply(
            data,
            transaction_id=exchange.ID,
            sender_nonce=exchange.NONCE,
            signers=[view(_CA)],
            decrypt_with=exchange.SECRET,
        )
    if not isinstance(reply, Success):
        return
    certificates, _ = load_readable(reply.certificates)
    for certificate in certificates:
        view_of(certificate)
        with suppress(ScepError):
            ca_certificates.verify_issued(certificate, _KNOWN, pki.NOW, extra=certificates)
    if reply.crls:
        crl.read_crl(reply.crls, _KNOWN, issuer=exchange.CA_NAME)


def _open(data: bytes) -> messages.CertRep:
    return messages.open_reply(
        data,
        transaction_id=exchange.ID,
        sender_nonce=exchange.NONCE,
        signers=[view(_CA)],
        decrypt_with=key_of(_REQUESTER),
        allow_legacy=True,
    )


def seeds() -> Iterator[bytes]:
    replies = (Success((_DEVICE.der, _CA.der)), *exchange.REPLIES[1:])
    for reply in replies:
        yield exchange.seal(reply, to=_TO)
    by_password = exchange.seal(replies[0], to=_TO, recipient=exchange.SECRET)
    yield by_password
    for at, reply in enumerate(replies[:4]):
        tree = ber_writer.parse(exchange.seal(reply, to=_TO))
        yield ber_writer.ber(tree, random.Random(at))


def mutate(data: bytes, chance: random.Random) -> bytes:
    return mutate_signed(data, chance, _SEALING)
