"""Invariant: what a server is sent is opened, is unreadable without telling why, or is refused."""

from __future__ import annotations

import random
from collections.abc import Iterator

from cryptography.hazmat.primitives.serialization import Encoding

from fuzz.bounds import Bounds
from fuzz.rebuilding import Sealing, key_of, mutate_signed, signed_changer, view
from scepkit.core import messages
from scepkit.core.algorithms import Cipher
from scepkit.core.cms import Signer
from scepkit.core.csr_builder import build_csr
from scepkit.core.messages import PkcsReq, Protection, RenewalReq
from scepkit.server.opening import MAX_ITERATIONS, open_request
from scepkit.server.roles import Opener
from tests import ber_writer, pki
from tests.core import exchange

MEASURED = (
    "scepkit.core.messages.authority",
    "scepkit.core.messages.attributes",
    "scepkit.core.messages.values",
    "scepkit.core.csr",
    "scepkit.server.opening",
)
# A request by password may cost this much of PBKDF2.
BOUNDS = Bounds(milliseconds=1000 + MAX_ITERATIONS // 200)

_CA = exchange.CA
_DEVICE = pki.self_signed("small", "rsa1024")
_EC_DEVICE = exchange.EC_DEVICE
_OPENERS = [Opener(key_of(_CA), Signer(view(_CA), _CA.key))]
_PASSWORD = exchange.SECRET.secret.decode()
_CIPHERS = frozenset(Cipher)


def _csr(identity: pki.Identity) -> bytes:
    request = build_csr(identity.key, identity.certificate.subject, challenge="secret")
    return request.public_bytes(Encoding.DER)


_CSR = _csr(_DEVICE)
_SEALING = Sealing(
    _DEVICE,
    [view(_CA)] * 15 + [exchange.SECRET],
    [key_of(_CA), exchange.SECRET],
    _CSR,
    signed_changer(_DEVICE.key),
)


def run(data: bytes) -> None:
    request = messages.read_request(data)
    assert 1 <= len(request.transaction_id) <= messages.MAX_TRANSACTION_ID
    assert 1 <= len(request.sender_nonce) <= 64
    if request.message_type is not None:
        open_request(request, _OPENERS, lambda: [_PASSWORD], ciphers=_CIPHERS)


def seeds() -> Iterator[bytes]:
    for data in (PkcsReq(_CSR), RenewalReq(_CSR), *exchange.DATA[2:]):
        yield exchange.encode(data, requester=_DEVICE)
    yield exchange.encode(PkcsReq(_csr(_EC_DEVICE)), requester=_EC_DEVICE)
    yield exchange.encode(PkcsReq(_CSR), requester=_DEVICE, recipient=exchange.SECRET)
    old = Protection(Cipher.DES_EDE3_CBC)
    yield exchange.encode(PkcsReq(_CSR), requester=_DEVICE, protection=old)
    for at, data in enumerate((PkcsReq(_CSR), exchange.DATA[2])):
        tree = ber_writer.parse(exchange.encode(data, requester=_DEVICE))
        yield ber_writer.ber(tree, random.Random(at))


def mutate(data: bytes, chance: random.Random) -> bytes:
    return mutate_signed(data, chance, _SEALING)
