"""Requests that wait for a person: PENDING, CertPoll, approval, rejection, expiry."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from scepkit.core import cms
from scepkit.core.envelope import Password
from scepkit.errors import FailInfo, InputError
from scepkit.server import admin, jobs, polling, standing
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.gate import WRONG_CHALLENGE, Authorisers
from scepkit.server.replies import Context
from scepkit.server.settings import Settings
from scepkit.store import Store
from tests import pki
from tests.server.service.world import (
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
from tests.server.written import settings_of

MANUAL = Authorisers(manual=True)
BAD_REQUEST = FailInfo.BAD_REQUEST


@pytest.fixture
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """What `reject_request` looks at."""
    auth = {"challenge": {"return_unused": True}, "approve_all": True}
    return settings_of(
        {
            "secrets": {"challenge_key": "x" * 32},
            "ca": {"main": {"key": "ca.key", "certificate": "ca.pem"}},
            "profile": {"default": {"auth": auth}},
        },
        tmp_path_factory.mktemp("settings"),
    )


def test_nothing_configured_means_a_person(store: Store) -> None:
    world = World.made(store, Authorisers(manual=True))
    assert is_pending(world.ask(world.device().enrol()))
    assert rows(store, "SELECT state FROM operation") == [("pending",)]
    assert count(store, "certificate") == 0


@pytest.mark.parametrize("auth", [MANUAL, Authorisers()], ids=["PENDING", "FAILURE"])
def test_an_answer_that_holds_nothing_has_an_empty_content(lite: Store, auth: Authorisers) -> None:
    # Q45: to certmonger, an answer without content has a broken signature.
    world = World.made(lite, auth)
    assert cms.read_signed(world.post(world.device().enrol().body).body).content == b""


def test_a_request_waits_is_approved_and_picked_up(store: Store) -> None:
    world = World.made(store, MANUAL)
    device = world.device()
    assert is_pending(world.ask(device.enrol()))
    assert is_pending(world.ask(device.poll()))
    admin.approve_request(store, 1, actor="alice", reason="known", now=NOW)
    certificate = certificate_of(world.ask(device.poll()))
    assert certificate.public_key() == device.key.public_key()
    assert certificate_of(world.ask(device.poll())) == certificate
    assert certificate_of(world.ask(device.enrol())) == certificate
    assert [action for action, _ in audited(store)] == [
        "ca.active",
        "request.hold",
        "request.approve",
        "certificate.issue",
    ]


def test_the_sweeper_issues_what_was_approved_before_anybody_polls(store: Store) -> None:
    world = World.made(store, MANUAL)
    device = world.device()
    world.ask(device.enrol())
    admin.approve_request(store, 1, actor="alice", now=NOW)
    assert jobs.sweep(world.service, NOW) == 1
    assert jobs.sweep(world.service, NOW) == 0
    assert rows(store, "SELECT state FROM certificate") == [("issued",)]
    certificate_of(world.ask(device.poll()))


def test_a_rejected_request_fails_and_the_reason_stays_here(
    store: Store, settings: Settings
) -> None:
    world = World.made(store, MANUAL)
    device = world.device()
    world.ask(device.enrol())
    admin.reject_request(store, settings, 1, actor="alice", reason="stolen device", now=NOW)
    assert refusal_of(world.ask(device.poll())) == (BAD_REQUEST, standing.REJECTED)
    assert refusal_of(world.ask(device.enrol())) == (BAD_REQUEST, standing.REJECTED)
    assert audited(store)[-1][1]["reason"] == "stolen device"


def test_the_same_request_again_makes_no_second_entry_in_the_queue(store: Store) -> None:
    """micromdm's client polls by sending its PKCSReq again (Q36, T91)."""
    world = World.made(store, MANUAL)
    device = world.device()
    for number in range(3):
        assert is_pending(world.ask(device.enrol(transaction_id=f"t{number // 2}")))
    assert count(store, "operation") == 1


def test_a_request_that_waits_too_long_expires_and_may_come_again(store: Store) -> None:
    world = World.made(store, MANUAL, pending_for=2 * DAY)
    device = world.device()
    world.ask(device.enrol())
    assert jobs.expire_pending(world.service, NOW + DAY) == 0
    world.now = NOW + 2 * DAY
    assert jobs.expire_pending(world.service, world.now) == 1
    assert refusal_of(world.ask(device.poll())) == (BAD_REQUEST, standing.EXPIRED)
    assert is_pending(world.ask(device.enrol(transaction_id="again")))
    assert rows(store, "SELECT epoch, state FROM operation ORDER BY epoch") == [
        (0, "expired"),
        (1, "pending"),
    ]


def test_the_queue_has_an_end(lite: Store) -> None:
    world = World.made(lite, MANUAL, max_pending=2)
    for number in range(2):
        assert is_pending(world.ask(world.device(f"d{number}").enrol(transaction_id=f"{number}")))
    reply = world.post(world.device("d2").enrol(transaction_id="2").body)
    assert (reply.status, reply.headers) == (503, (("Retry-After", "600"),))
    assert count(lite, "operation") == 2


def test_a_full_queue_of_one_profile_holds_up_no_other(lite: Store) -> None:
    world = World.made(lite, MANUAL, max_pending=1)
    deployment = world.service.deployment
    other = replace(deployment.profiles["default"], name="other")
    world.service.deployment = replace(deployment, profiles={**deployment.profiles, "other": other})
    first, second = (world.device(name).enrol(transaction_id=name).body for name in ("a", "b"))
    context = Context(NOW, "192.0.2.1", "POST")
    assert world.service.pki_operation("other", first, context).status == 200
    assert world.service.pki_operation("other", second, context).status == 503
    assert world.service.pki_operation("default", second, context).status == 200


# ------------------------------------------------------------------ approval of what is allowed


def test_what_is_allowed_can_need_approval_too(store: Store) -> None:
    auth = Authorisers(challenge=ChallengePolicy(), approve_all=True)
    world = World.made(store, auth)
    device, secret = world.device(), world.mint()
    assert is_pending(world.ask(device.enrol(secret)))
    assert rows(store, "SELECT uses_left FROM challenge") == [(0,)]
    admin.approve_request(store, 1, actor="alice", now=NOW)
    certificate_of(world.ask(device.poll()))
    wrong = world.device("router2", "rsa3072").enrol("a guess", transaction_id="t2")
    assert refusal_of(world.ask(wrong)) == (BAD_REQUEST, WRONG_CHALLENGE)


@pytest.mark.parametrize(("returned", "left"), [(True, 1), (False, 0)])
def test_a_challenge_comes_back_after_a_rejection_if_the_profile_says_so(
    store: Store, settings: Settings, returned: bool, left: int
) -> None:
    auth = Authorisers(challenge=ChallengePolicy(return_unused=returned), approve_all=True)
    world = World.made(store, auth)
    device, secret = world.device(), world.mint()
    world.ask(device.enrol(secret))
    if not returned:
        settings = settings_of(
            {
                "secrets": {"challenge_key": "x" * 32},
                "ca": {"main": {"key": "ca.key", "certificate": "ca.pem"}},
                "profile": {"default": {"auth": {"challenge": {}}}},
            },
            settings.directory,
        )
    admin.reject_request(store, settings, 1, actor="alice", now=NOW)
    assert rows(store, "SELECT uses_left FROM challenge") == [(left,)]
    assert ("challenge.return" in [action for action, _ in audited(store)]) is returned


def test_a_challenge_comes_back_after_expiry_and_buys_once(store: Store) -> None:
    auth = Authorisers(challenge=ChallengePolicy(return_unused=True), approve_all=True)
    world = World.made(store, auth, pending_for=DAY)
    device, secret = world.device(), world.mint()
    secret = world.mint(ttl=timedelta(days=9))
    world.ask(device.enrol(secret))
    world.now = NOW + DAY
    jobs.expire_pending(world.service, world.now)
    world.change(auth=replace(auth, approve_all=False))
    certificate_of(world.ask(device.enrol(secret)))
    other = world.device("router2", "rsa3072").enrol(secret, transaction_id="t2")
    assert refusal_of(world.ask(other)) == (BAD_REQUEST, WRONG_CHALLENGE)


# ------------------------------------------------------------------ polls


def test_a_poll_for_an_unknown_transaction_fails(lite: Store) -> None:
    world = World.made(lite)
    reply = world.ask(world.device().poll())
    assert refusal_of(reply) == (FailInfo.BAD_CERT_ID, polling.UNKNOWN)


def test_a_poll_signed_by_another_key_fails(lite: Store) -> None:
    """A22, T89."""
    world = World.made(lite, MANUAL)
    world.ask(world.device().enrol())
    admin.approve_request(lite, 1, actor="alice", now=NOW)
    thief = world.device(key="rsa3072")
    assert refusal_of(world.ask(thief.poll())) == (FailInfo.BAD_CERT_ID, polling.UNKNOWN)


def test_a_poll_with_another_name_in_it_is_answered(lite: Store) -> None:
    """R69, T88: the transactionID counts."""
    world = World.made(lite, MANUAL)
    device = world.device()
    world.ask(device.enrol())
    admin.approve_request(lite, 1, actor="alice", now=NOW)
    odd = replace(device, name=pki.name("somebody else"))
    certificate_of(world.ask(odd.poll(signer=device.signer())))


def test_an_ec_requester_polls_and_reads_the_answer_with_its_challenge(store: Store) -> None:
    world = World.made(store, MANUAL)
    device = world.device(key="ec256-b")
    opens = Password(b"only for encryption")
    assert is_pending(world.ask(device.enrol("only for encryption", decrypt_with=opens)))
    admin.approve_request(store, 1, actor="alice", now=NOW)
    certificate_of(world.ask(device.poll(decrypt_with=opens)))


def test_the_challenge_is_nowhere_in_the_database(store: Store, tmp_path: object) -> None:
    world = World.made(store, MANUAL)
    secret = "4f9d-a-very-secret-challenge"
    world.ask(world.device().enrol(secret))
    ec = world.device("router2", "ec256-b")
    world.ask(ec.enrol(secret, transaction_id="t2", decrypt_with=Password(secret.encode())))
    for (csr,) in rows(store, "SELECT csr FROM operation"):
        assert secret.encode() not in csr


# ------------------------------------------------------------------ deciding


def test_only_what_waits_can_be_decided(store: Store, settings: Settings) -> None:
    world = World.made(store, MANUAL)
    world.ask(world.device().enrol())
    with pytest.raises(InputError, match="there is no request 7"):
        admin.approve_request(store, 7, actor="alice", now=NOW)
    admin.approve_request(store, 1, actor="alice", now=NOW)
    with pytest.raises(InputError, match="it was approved by alice"):
        admin.approve_request(store, 1, actor="bob", now=NOW)
    with pytest.raises(InputError, match="does not wait"):
        admin.reject_request(store, settings, 1, actor="bob", now=NOW)


def test_what_the_profile_refuses_by_now_fails_after_approval(store: Store) -> None:
    from scepkit.ca import CertificateProfile, KeyRules

    world = World.made(store, MANUAL)
    device = world.device()
    world.ask(device.enrol())
    strict = CertificateProfile(keys=KeyRules(min_rsa_bits=4096))
    world.change(rules={world.authority.active.ca_id: strict})
    admin.approve_request(store, 1, actor="alice", now=NOW)
    fail_info, text = refusal_of(world.ask(device.poll()))
    assert (fail_info, "2048 bits" in text) == (BAD_REQUEST, True)
    assert rows(store, "SELECT state FROM operation") == [("failed",)]
