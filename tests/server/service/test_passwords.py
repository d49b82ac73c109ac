"""Requests that are encrypted with a challenge, to a CA that has no RSA key (G12, R39)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from scepkit.core.envelope import Password
from scepkit.errors import FailInfo, InputError
from scepkit.server import admin
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_static import static_secret
from scepkit.server.gate import Authorisers
from scepkit.server.roles import Authority, make_roles
from scepkit.store import Store
from tests import pki
from tests.server.service.world import (
    NOW,
    PEPPER,
    Device,
    World,
    certificate_of,
    count,
    generation,
    is_pending,
    refusal_of,
)

RECOVERABLE = Authorisers(challenge=ChallengePolicy(recoverable=True))


def by_password(store: Store, auth: Authorisers = RECOVERABLE) -> World:
    return World.made(store, auth, ca=pki.root("ec256-a"), by_password=True)


def enrol(device: Device, secret: str, **options: Any) -> Any:
    password = Password(secret.encode())
    opens = password if device.key_name.startswith("ec") else None
    message = device.enrol(secret, recipient=password, decrypt_with=opens, **options)
    assert isinstance(device.world, World)
    return device.world.ask(message)


@pytest.mark.parametrize("key", ["ec256-b", "rsa2048-c"])
def test_an_ec_ca_without_an_ra_enrols_by_password(store: Store, key: str) -> None:
    world = by_password(store)
    secret = world.mint(recoverable=True)
    certificate = certificate_of(enrol(world.device(key=key), secret))
    certificate.verify_directly_issued_by(world.authority.active.certificate)


def test_the_same_request_again_gives_the_same_certificate(store: Store) -> None:
    world = by_password(store)
    secret = world.mint("CN=router1,O=Acme", recoverable=True)
    device = world.device(key="ec256-b")
    first = certificate_of(enrol(device, secret))
    assert certificate_of(enrol(device, secret)) == first
    assert certificate_of(enrol(device, secret, transaction_id="new")) == first
    assert count(store, "certificate") == 1


def test_a_static_secret_serves_as_the_key_too(lite: Store) -> None:
    static = static_secret(PEPPER, "for everybody", recoverable=True)
    world = by_password(lite, Authorisers(static=static))
    certificate_of(enrol(world.device(key="ec256-b"), "for everybody"))


def test_a_poll_is_read_with_the_challenge_of_its_request(store: Store) -> None:
    auth = Authorisers(challenge=ChallengePolicy(recoverable=True), approve_all=True)
    world = by_password(store, auth)
    secret = world.mint(recoverable=True)
    device = world.device(key="ec256-b")
    password = Password(secret.encode())
    assert is_pending(enrol(device, secret))
    admin.approve_request(store, 1, actor="alice", now=NOW)
    reply = world.ask(device.poll(recipient=password, decrypt_with=password))
    assert certificate_of(reply).public_key() == device.key.public_key()


def test_a_challenge_for_the_subject_is_found_among_many(store: Store) -> None:
    world = by_password(store)
    secret = world.mint("CN=router1,O=Acme", recoverable=True)
    for number in range(20):
        world.mint(f"CN=other{number}", recoverable=True)
    certificate_of(enrol(world.device(key="ec256-b"), secret))


@pytest.mark.parametrize("known", [0, 3])
def test_a_wrong_password_is_unreadable_like_any_damage(lite: Store, known: int) -> None:
    world = by_password(lite)
    for _ in range(known):
        world.mint(recoverable=True)
    reply = enrol(world.device(key="ec256-b"), "a guess")
    assert refusal_of(reply) == (FailInfo.BAD_MESSAGE_CHECK, "")


def test_a_challenge_that_cannot_be_got_back_opens_nothing(lite: Store) -> None:
    world = by_password(lite)
    reply = enrol(world.device(key="ec256-b"), world.mint(recoverable=False))
    assert refusal_of(reply)[0] is FailInfo.BAD_MESSAGE_CHECK


def test_a_revoked_or_expired_challenge_opens_nothing(lite: Store) -> None:
    world = by_password(lite)
    secret = world.mint(recoverable=True, ttl=timedelta(hours=1))
    world.now = NOW + timedelta(hours=2)
    reply = enrol(world.device(key="ec256-b"), secret)
    assert refusal_of(reply)[0] is FailInfo.BAD_MESSAGE_CHECK


def test_an_ec_requester_without_a_challenge_is_told_the_algorithm_is_bad(lite: Store) -> None:
    world = World.made(lite, Authorisers(manual=True))
    reply = world.ask(world.device(key="ec256-b").enrol())
    assert refusal_of(reply)[0] is FailInfo.BAD_ALG
    assert count(lite, "operation") == 0


def test_an_ec_ca_that_nothing_can_decrypt_for_is_refused_at_start(lite: Store) -> None:
    authority = Authority("main", (generation(lite, pki.root("ec256-a")),))
    with pytest.raises(InputError, match="configure an RA with an RSA key"):
        make_roles(authority, now=NOW)
