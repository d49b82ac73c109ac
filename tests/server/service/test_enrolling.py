"""Enrolling: what a first request leads to."""

from __future__ import annotations

from scepkit.store import Store
from tests.server.service.world import World, certificate_of


def test_a_challenge_buys_a_certificate(store: Store) -> None:
    world = World.made(store)
    device = world.device()
    reply = world.ask(device.enrol(world.mint()))
    certificate = certificate_of(reply)
    assert certificate.public_key() == device.key.public_key()
    certificate.verify_directly_issued_by(world.authority.active.certificate)
