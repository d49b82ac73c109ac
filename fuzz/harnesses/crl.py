"""Invariant: a CRL is signed by the authenticated CA that was asked for, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta

from fuzz import rebuilding
from scepkit.core import crl
from scepkit.core.ca_certificates import authenticate
from scepkit.core.trust import CaOffer
from tests import pki
from tests.core import exchange

MEASURED = ("scepkit.core.crl",)

_CA = exchange.CA
_KNOWN = authenticate(
    CaOffer("http://ca.example", None, (_CA.certificate,)), _CA.certificate, pki.NOW
)


def run(data: bytes) -> None:
    found = crl.read_crl([data, exchange.crl_of(_CA)], _KNOWN, issuer=exchange.CA_NAME)
    assert found.issuer == _CA.name
    crl.read_crl([data], _KNOWN, issuer=exchange.CA_NAME)


def seeds() -> Iterator[bytes]:
    yield exchange.crl_of(_CA)
    yield exchange.crl_of(_CA, pki.NOW + timedelta(days=1), range(1, 9))
    yield exchange.crl_of(exchange.EC_CA)


mutate = rebuilding.signed_changer(_CA.key)
