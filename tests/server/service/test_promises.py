"""The seven promises, one by one; each of these fails if its promise breaks.

P1, P2 and P6 are also tested under SIGKILL (`test_crashes`) and in races (`test_races`).
"""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CaIssuer
from scepkit.core.messages import Failure, GetCert, StillPending, Success
from scepkit.errors import StoreError, StoreUnavailable
from scepkit.server import admin, checkpoints, jobs
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.gate import Authorisers
from scepkit.store import Store, certificates, crls, open_store
from scepkit.store.certificates import Reservation
from scepkit.store.rows import Crl
from tests import pki
from tests.server.service.odd_requests import enveloped, sent
from tests.server.service.test_roles import FaultyKey, token_ra
from tests.server.service.world import (
    CHALLENGED,
    DAY,
    NOW,
    World,
    audited,
    certificate_of,
    count,
    is_pending,
    refusal_of,
    rows,
)


def test_p1_a_retry_in_any_shape_yields_no_second_certificate(store: Store) -> None:
    world = World.made(store)
    device, secret = world.device(), world.mint()
    csr = device.csr(secret)
    first = device.enrol(csr=csr)
    shapes = [
        first,
        first,
        device.enrol(csr=csr),
        device.enrol(csr=csr, transaction_id="new"),
        device.enrol(secret, transaction_id="rebuilt"),
        device.poll(),
        device.poll(transaction_id="rebuilt"),
    ]
    assert len({certificate_of(world.ask(shape)) for shape in shapes}) == 1
    assert count(store, "certificate") == 1


def test_p2_a_challenge_that_failed_on_the_way_is_not_burnt(store: Store) -> None:
    """The transaction that spends it dies: whatever was spent is there again."""
    world = World.made(store)
    device, secret = world.device(), world.mint()

    def fail(step: str) -> None:
        if step == "claim.end":
            raise StoreUnavailable("the disk is full")

    checkpoints.hook = fail
    try:
        with pytest.raises(StoreUnavailable):
            world.ask(device.enrol(secret))
    finally:
        checkpoints.hook = checkpoints._nothing
    assert rows(store, "SELECT uses_left FROM challenge") == [(1,)]
    assert count(store, "operation") == 0
    certificate_of(world.ask(device.enrol(secret)))
    other = world.device("other", "rsa3072").enrol(secret, transaction_id="t2")
    refusal_of(world.ask(other))
    assert count(store, "operation") == 1


def test_p3_nothing_is_signed_before_its_row_nor_answered_before_it_is_stored(
    url: str, store: Store
) -> None:
    """Seen from another connection, so that only what is committed counts."""
    seen: list[tuple[str, list[Any]]] = []
    with open_store(url) as watching:

        class Watched(FaultyKey):
            def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
                frozen = rows(watching, "SELECT state, serial, frozen, der FROM certificate")
                seen.append(("signed", frozen))
                return super().sign(data, padding, algorithm)

        def watch(step: str) -> None:
            if step == "sealed":
                seen.append(("sealed", rows(watching, "SELECT state, der FROM certificate")))

        identity = pki.root()
        ca = pki.Identity(identity.certificate, Watched(pki.rsa_key("rsa2048-a")))
        world = World.made(store, ca=ca, ra=token_ra(identity)[0])
        seen.clear()
        checkpoints.hook = watch
        try:
            certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
        finally:
            checkpoints.hook = checkpoints._nothing
    (signed, at_signing), (sealed, at_sealing) = seen
    assert (signed, sealed) == ("signed", "sealed")
    ((state, serial, frozen, der),) = at_signing
    assert (state, serial, der) == ("reserved", f"{certificate.serial_number:x}", None)
    assert "tbs" in frozen
    ((state, der),) = at_sealing
    assert state == "issued"
    assert bytes(der) == certificate.public_bytes(Encoding.DER)


def test_p4_the_database_refuses_a_number_twice(store: Store) -> None:
    world = World.made(store)
    ca_id = world.authority.active.ca_id
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    taken = Reservation(
        ca_id=ca_id,
        serial=f"{certificate.serial_number:x}",
        operation_id=None,
        profile="default",
        subject="CN=x",
        not_before=0,
        not_after=1,
        spki_sha256=b"",
    )
    assert store.write(lambda tx: certificates.reserve(tx, taken, 0)) is None
    with pytest.raises(StoreError):
        store.write(
            lambda tx: tx.run(
                "INSERT INTO certificate (ca_id, serial, state, profile, subject, sans,"
                " not_before, not_after, created_at, spki_sha256, frozen)"
                " SELECT ca_id, serial, 'reserved', '', '', '', 0, 1, 0, spki_sha256, ''"
                " FROM certificate"
            )
        )
    jobs.make_due_crls(world.service, NOW)
    again = Crl(ca_id, 1, 0, 1, 9, b"")
    assert not store.write(lambda tx: crls.put(tx, again))
    numbers = {store.write(lambda tx: crls.next_number(tx, ca_id)) for _ in range(5)}
    assert numbers == {2, 3, 4, 5, 6}


@pytest.mark.parametrize("number", ["17", "18", "19", "20", "21", "22", "99"])
@pytest.mark.parametrize(
    "auth",
    [
        Authorisers(),
        CHALLENGED,
        Authorisers(renewal=RenewalPolicy(window=3650 * DAY)),
        Authorisers(manual=True),
    ],
    ids=["nothing", "challenge", "renewal", "manual"],
)
def test_p5_what_nobody_allows_is_denied_or_held(
    lite: Store, auth: Authorisers, number: str
) -> None:
    world = World.made(lite, auth)
    device = world.device()
    reply = world.ask(sent(device, enveloped(device, device.csr()), message_type=number))
    assert isinstance(reply, Failure) or (isinstance(reply, StillPending) and auth.manual)
    assert count(lite, "certificate") == 0


def test_p6_whoever_goes_on_uses_the_same_serial_number_and_signs_the_same(
    store: Store,
) -> None:
    world = World.made(store)
    device, secret = world.device(), world.mint()

    class Died(BaseException):
        pass

    def die(step: str) -> None:
        if step == "sign.end":
            raise Died

    checkpoints.hook = die
    try:
        with pytest.raises(Died):
            world.ask(device.enrol(secret))
    finally:
        checkpoints.hook = checkpoints._nothing
    ((serial, frozen),) = rows(store, "SELECT serial, frozen FROM certificate")
    assert is_pending(world.ask(device.enrol(secret))), "the lease is not over"
    world.now = NOW + DAY
    certificate = certificate_of(world.ask(device.enrol(secret)))
    assert f"{certificate.serial_number:x}" == serial
    issuer = world.authority.active.issuer
    assert isinstance(issuer, CaIssuer)
    assert certificate.tbs_certificate_bytes == base64.b64decode(json.loads(frozen)["tbs"])


def test_p7_every_decision_has_a_row_and_no_row_has_a_secret(
    store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    auth = Authorisers(challenge=ChallengePolicy(), renewal=RenewalPolicy(window=3650 * DAY))
    world = World.made(store, replace(auth, manual=True))
    secrets = [world.mint(), "a wrong one", world.mint(uses=5)]
    device = world.device()
    done: list[tuple[object, str]] = [
        (world.ask(device.enrol(secrets[0])), "certificate.issue"),
        (world.ask(device.enrol(secrets[1], transaction_id="2")), "request.deny"),
        (
            world.ask(world.device("x", "rsa3072").enrol(secrets[0], transaction_id="3")),
            "challenge.reuse",
        ),
        (world.ask(world.device("y").enrol(transaction_id="4")), "request.hold"),
        (world.ask(device.renew("rsa3072", transaction_id="5")), "request.unreadable"),
        (world.ask(device.poll(transaction_id="6")), "poll.deny"),
        (world.ask(device.message(GetCert(b"\x30\x00", 1))), "query.deny"),
        (world.ask(device.enrol(csr=b"x")), "request.unreadable"),
    ]
    mine = [action for action, detail in audited(store) if "transactionID" in detail]
    expected = ["request.accept", *(action for _, action in done)]
    assert mine == expected
    waiting = admin.list_requests(store, state="pending")[0]
    admin.approve_request(store, waiting.id, actor="alice", now=NOW)
    jobs.sweep(world.service, NOW)
    ((row,),) = [rows(store, "SELECT serial FROM certificate ORDER BY id DESC LIMIT 1")]
    admin.revoke_certificate(store, None, row[0], actor="alice", now=NOW)
    admin.revoke_challenge(store, 2, actor="alice", now=NOW)
    jobs.make_due_crls(world.service, NOW)
    actions = [action for action, _ in audited(store)]
    assert actions[-5:] == [
        "request.approve",
        "certificate.issue",
        "certificate.revoke",
        "challenge.revoke",
        "crl.publish",
    ]
    jobs.seal_audit(store, NOW)
    written = str(rows(store, "SELECT * FROM audit")) + caplog.text
    for secret in secrets:
        assert secret not in written
    assert isinstance(done[0][0], Success)
