"""GetCert and GetCRL."""

from __future__ import annotations

import pytest
from cryptography import x509

from scepkit.core.messages import GetCert, GetCrl, Success
from scepkit.errors import FailInfo
from scepkit.server import queries
from scepkit.store import Store
from tests import pki
from tests.server.service.world import World, audited, certificate_of, refusal_of

BAD_CERT_ID = FailInfo.BAD_CERT_ID


def test_get_cert_gives_what_was_issued(store: Store) -> None:
    world = World.made(store)
    device = world.device()
    certificate = certificate_of(world.ask(device.enrol(world.mint())))
    asked = GetCert(certificate.issuer.public_bytes(), certificate.serial_number)
    assert certificate_of(world.ask(world.device("anybody").message(asked))) == certificate


@pytest.mark.parametrize("serial", [0, -7, 12345, 2**200])
def test_get_cert_of_an_unknown_number_is_bad_cert_id(lite: Store, serial: int) -> None:
    world = World.made(lite)
    issuer = world.authority.active.certificate.subject.public_bytes()
    reply = world.ask(world.device().message(GetCert(issuer, serial)))
    assert refusal_of(reply) == (BAD_CERT_ID, queries.NO_CERTIFICATE)
    assert audited(lite)[-1][0] == "query.deny"


def test_get_cert_of_a_foreign_issuer_is_bad_cert_id(lite: Store) -> None:
    world = World.made(lite)
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    asked = GetCert(pki.name("Another CA").public_bytes(), certificate.serial_number)
    assert refusal_of(world.ask(world.device().message(asked)))[0] is BAD_CERT_ID


def test_get_crl_gives_the_newest_crl_and_no_certificates(store: Store) -> None:
    world = World.made(store)
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    crl = world.crl()
    issuer = certificate.issuer.public_bytes()
    for serial in (certificate.serial_number, 1):
        reply = world.ask(world.device().message(GetCrl(issuer, serial)))
        assert reply == Success(crls=(crl,))
    assert x509.load_der_x509_crl(crl).is_signature_valid(
        world.authority.active.certificate.public_key()  # type: ignore[arg-type]
    )


def test_get_crl_without_a_crl_or_of_a_foreign_issuer_is_bad_cert_id(lite: Store) -> None:
    world = World.made(lite)
    issuer = world.authority.active.certificate.subject.public_bytes()
    assert refusal_of(world.ask(world.device().message(GetCrl(issuer, 1))))[0] is BAD_CERT_ID
    world.crl()
    other = pki.name("Another CA").public_bytes()
    assert refusal_of(world.ask(world.device().message(GetCrl(other, 1))))[0] is BAD_CERT_ID


def test_a_requester_who_cannot_decrypt_gets_no_answer_in_the_clear(lite: Store) -> None:
    world = World.made(lite)
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    asked = GetCert(certificate.issuer.public_bytes(), certificate.serial_number)
    reply = world.ask(world.device(key="ec256-b").message(asked))
    assert refusal_of(reply)[0] is FailInfo.BAD_ALG
