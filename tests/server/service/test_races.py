"""T55 (A21) and P1, P2: many requests at once, in threads of several processes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from scepkit.core.messages import StillPending, Success
from scepkit.server.replies import Context
from scepkit.store import Store, open_store
from tests.server.service.world import NOW, Message, World, audited, count, rows
from tests.store.processes import at_once

PROCESSES, REQUESTS = 4, 50


def post_all(url: str, bodies: list[bytes]) -> list[bytes]:
    """In another process: send all of them at the same time."""
    with open_store(url, connections=8) as store:
        service = World.joined(store).service
        barrier = Barrier(len(bodies))

        def post(body: bytes) -> bytes:
            barrier.wait()
            return service.pki_operation("default", body, Context(NOW)).body

        with ThreadPoolExecutor(len(bodies)) as pool:
            return list(pool.map(post, bodies))


def race(url: str, world: World, messages: list[Message]) -> list[object]:
    shares = [messages[at::PROCESSES] for at in range(PROCESSES)]
    replies = at_once(post_all, [(url, [one.body for one in share]) for share in shares])
    return [
        message.open(reply, world.signers)
        for share, answered in zip(shares, replies, strict=True)
        for message, reply in zip(share, answered, strict=True)
    ]


@pytest.mark.timeout(120)
def test_t55_of_fifty_requests_with_one_challenge_exactly_one_is_served(
    url: str, store: Store
) -> None:
    world = World.made(store)
    secret = world.mint()
    keys = ("rsa2048-c", "rsa3072", "rsa2048-b")
    messages = [
        world.device(f"device{n}", keys[n % 3]).enrol(secret, transaction_id=f"t{n}")
        for n in range(REQUESTS)
    ]
    answers = race(url, world, messages)
    served = [one for one in answers if isinstance(one, Success)]
    assert len(served) == 1
    assert len(answers) == REQUESTS
    assert rows(store, "SELECT state FROM certificate") == [("issued",)]
    assert rows(store, "SELECT uses_left FROM challenge") == [(0,)]
    assert count(store, "operation") == 1
    actions = [action for action, _ in audited(store)]
    assert actions.count("challenge.reuse") == REQUESTS - 1
    assert actions.count("certificate.issue") == 1


@pytest.mark.timeout(120)
def test_fifty_copies_of_one_request_lead_to_one_certificate(url: str, store: Store) -> None:
    world = World.made(store)
    device, secret = world.device(), world.mint()
    csr = device.csr(secret)
    messages = [
        device.enrol(csr=csr, transaction_id="same" if n % 2 else f"t{n}") for n in range(REQUESTS)
    ]
    answers = race(url, world, messages)
    assert all(isinstance(one, Success | StillPending) for one in answers)
    found = {one.certificates for one in answers if isinstance(one, Success)}
    assert len(found) == 1
    assert count(store, "certificate") == 1
    assert [action for action, _ in audited(store)].count("certificate.issue") == 1
