"""The jobs: sweeping, CRLs, notices, sealing; each again after whatever went wrong."""

from __future__ import annotations

import base64
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509

from scepkit.errors import InputError, KeyUnavailable, StoreError
from scepkit.server import admin, checkpoints, crl_job, jobs
from scepkit.server.gate import Authorisers
from scepkit.server.roles import Authority
from scepkit.store import Store, audit, crls
from scepkit.store.rows import milliseconds
from tests import pki
from tests.server.service.hooks import KEY, receiving
from tests.server.service.test_roles import FaultyKey, token_ra
from tests.server.service.world import (
    DAY,
    NOW,
    World,
    audited,
    certificate_of,
    generation,
    is_pending,
    refusal_of,
    rows,
)

REASON = x509.ReasonFlags


def newest(world: World) -> x509.CertificateRevocationList:
    ca_id = world.authority.active.ca_id
    found = world.store.read(lambda tx: crls.newest(tx, ca_id))
    assert found is not None
    return x509.load_der_x509_crl(found.der)


def enrolled(world: World, name: str = "router1") -> x509.Certificate:
    device = replace(world.device(name), transaction_id=name)
    return certificate_of(world.ask(device.enrol(world.mint())))


def number_of(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


# ------------------------------------------------------------------ CRLs


def test_the_first_crl_is_made_at_once_and_no_second_without_need(store: Store) -> None:
    world = World.made(store)
    assert jobs.make_due_crls(world.service, NOW) == ["main"]
    assert jobs.make_due_crls(world.service, NOW) == []
    crl = newest(world)
    assert (number_of(crl), len(crl)) == (1, 0)
    assert crl.next_update_utc == NOW + 7 * DAY
    assert crl.is_signature_valid(world.authority.active.certificate.public_key())  # type: ignore[arg-type]


def test_a_revocation_is_in_a_crl_with_its_reason(store: Store) -> None:
    world = World.made(store)
    certificate = enrolled(world)
    jobs.make_due_crls(world.service, NOW)
    serial = f"{certificate.serial_number:x}"
    admin.revoke_certificate(store, "main", serial, reason="keyCompromise", actor="alice", now=NOW)
    assert jobs.make_due_crls(world.service, NOW) == ["main"]
    crl = newest(world)
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    assert number_of(crl) == 2
    assert entry is not None
    reason = entry.extensions.get_extension_for_class(x509.CRLReason).value.reason
    assert (reason, entry.revocation_date_utc) == (REASON.key_compromise, NOW)
    assert rows(store, "SELECT crl_dirty_at, revocations FROM ca") == [(None, 1)]
    assert [action for action, _ in audited(store)][-2:] == ["certificate.revoke", "crl.publish"]


def test_a_crl_is_made_anew_before_it_ends(lite: Store) -> None:
    world = World.made(lite)
    jobs.make_due_crls(world.service, NOW)
    assert jobs.make_due_crls(world.service, NOW + 4 * DAY) == []
    assert jobs.make_due_crls(world.service, NOW + 5 * DAY) == ["main"]


def test_a_crl_of_the_future_is_replaced_when_the_clock_is_right_again(lite: Store) -> None:
    world = World.made(lite)
    jobs.make_due_crls(world.service, NOW + 365 * DAY)
    assert jobs.make_due_crls(world.service, NOW) == ["main"]
    assert (number_of(newest(world)), newest(world).next_update_utc) == (2, NOW + 7 * DAY)
    # Another node's clock is a little behind.
    assert jobs.make_due_crls(world.service, NOW - timedelta(minutes=4)) == []


def test_what_has_expired_leaves_the_crl_one_crl_later(lite: Store) -> None:
    world = World.made(lite)
    certificate = enrolled(world)
    serial = f"{certificate.serial_number:x}"
    admin.revoke_certificate(lite, None, serial, actor="alice", now=NOW)
    for days, entries in ((366, 1), (371, 1), (376, 0)):
        jobs.make_due_crls(world.service, NOW + days * DAY)
        assert len(newest(world)) == entries, days


def test_old_crls_are_not_kept_for_ever(lite: Store) -> None:
    world = World.made(lite)
    for week in range(crl_job.KEPT + 5):
        jobs.make_due_crls(world.service, NOW + week * 7 * DAY)
    ((kept, top),) = rows(lite, "SELECT count(*), max(number) FROM crl")
    assert (kept, top) == (crl_job.KEPT, crl_job.KEPT + 5)
    ((pieces, lowest),) = rows(lite, "SELECT count(*), min(number) FROM crl_piece")
    assert (pieces, lowest) == (crl_job.KEPT, 6)


def test_a_key_that_is_away_leaves_the_crl_for_later(lite: Store) -> None:
    identity = pki.root()
    token = FaultyKey(pki.rsa_key("rsa2048-a"))
    ca = pki.Identity(identity.certificate, token)
    world = World.made(lite, ca=ca, ra=token_ra(identity)[0])
    token.allowed = set()
    assert jobs.make_due_crls(world.service, NOW) == []
    with pytest.raises(KeyUnavailable):
        admin.make_crl(lite, world.service.deployment, "main", actor="alice", now=NOW)
    token.allowed = {"sign"}
    assert jobs.make_due_crls(world.service, NOW + timedelta(minutes=2)) == ["main"]


def test_a_ca_that_may_not_sign_crls_keeps_no_other_one_from_it(lite: Store) -> None:
    world = World.made(lite)
    deployment = world.service.deployment
    unable = pki.root(key_usage=pki.usage("key_cert_sign"))
    first = Authority("first", (generation(lite, unable, name="first"),))
    authorities = {"first": first, **deployment.authorities}
    deployment = replace(deployment, authorities=authorities)
    with pytest.raises(StoreError, match=r"the CA first cannot make a CRL: .* does not allow"):
        crl_job.make_due_crls(lite, deployment, NOW)
    assert number_of(newest(world)) == 1


def test_an_operator_makes_a_crl_when_he_likes(lite: Store) -> None:
    world = World.made(lite)
    deployment = world.service.deployment
    for _ in range(2):
        (crl,) = admin.make_crl(lite, deployment, "main", actor="alice", now=NOW)
    assert crl.number == 2
    with pytest.raises(InputError, match="there is no CA 'other'; there are main"):
        admin.make_crl(lite, deployment, "other", actor="alice", now=NOW)


def test_documents_name_their_version(lite: Store) -> None:
    world = World.made(lite)
    assert world.service.crl("main", NOW) is None
    jobs.make_due_crls(world.service, NOW)
    document = world.service.crl("main", NOW)
    assert document is not None
    assert document.content_type == "application/pkix-crl"
    assert document.etag == f'"crl-{world.authority.active.ca_id}-1-{milliseconds(NOW)}"'
    assert (document.last_modified, document.expires) == (NOW, NOW + 7 * DAY)
    certificate = world.service.ca_certificate("main")
    assert certificate is not None
    assert x509.load_der_x509_certificate(certificate.body) == pki.root().certificate
    for label in ("other", "main~2", "", "main/../x"):
        assert world.service.crl(label, NOW) is None
        assert world.service.ca_certificate(label) is None


def test_a_document_that_is_known_is_not_read_again(lite: Store) -> None:
    world = World.made(lite)
    jobs.make_due_crls(world.service, NOW)
    first = world.service.crl("main", NOW)
    assert first is not None
    assert world.service.crl("main", NOW, first) is first
    jobs.make_due_crls(world.service, NOW + 7 * DAY)
    second = world.service.crl("main", NOW, first)
    assert second is not None
    assert x509.load_der_x509_crl(second.body) == newest(world)


# ------------------------------------------------------------------ the sweeper


def test_what_a_dead_process_left_is_finished_with_the_same_serial_number(store: Store) -> None:
    world = World.made(store)
    device = world.device()

    class Died(BaseException):
        pass

    def die(step: str) -> None:
        if step == "sign.begin":
            raise Died

    checkpoints.hook = die
    try:
        with pytest.raises(Died):
            world.ask(device.enrol(world.mint()))
    finally:
        checkpoints.hook = checkpoints._nothing
    ((serial,),) = rows(store, "SELECT serial FROM certificate WHERE state = 'reserved'")
    assert jobs.sweep(world.service, NOW + timedelta(seconds=29)) == 0
    assert jobs.sweep(world.service, NOW + timedelta(seconds=30)) == 1
    certificate = certificate_of(world.ask(device.poll()))
    assert f"{certificate.serial_number:x}" == serial


def test_who_comes_back_when_another_has_published_answers_with_that(store: Store) -> None:
    world = World.made(store, Authorisers(manual=True))
    device = world.device()
    assert is_pending(world.ask(device.enrol()))
    ((number,),) = rows(store, "SELECT id FROM operation")
    admin.approve_request(store, number, actor="alice", now=NOW)

    def overtake(step: str) -> None:
        if step == "taken-over":
            checkpoints.hook = checkpoints._nothing
            assert jobs.sweep(world.service, NOW + timedelta(seconds=30)) == 1

    checkpoints.hook = overtake
    try:
        certificate = certificate_of(world.ask(device.poll()))
    finally:
        checkpoints.hook = checkpoints._nothing
    ((serial,),) = rows(store, "SELECT serial FROM certificate WHERE state = 'issued'")
    assert f"{certificate.serial_number:x}" == serial


def test_a_reservation_that_is_revoked_is_never_signed(store: Store) -> None:
    world = World.made(store)

    def revoke(step: str) -> None:
        if step == "sign.end":
            checkpoints.hook = checkpoints._nothing
            ((serial,),) = rows(store, "SELECT serial FROM certificate")
            admin.revoke_certificate(store, None, serial, actor="alice", now=NOW)

    checkpoints.hook = revoke
    try:
        reply = world.ask(world.device().enrol(world.mint()))
    finally:
        checkpoints.hook = checkpoints._nothing
    assert "revoked" in refusal_of(reply)[1]
    assert rows(store, "SELECT state, der FROM certificate") == [("revoked", None)]
    assert rows(store, "SELECT state FROM operation") == [("failed",)]


def test_the_sweeper_gives_up_soon_while_a_key_is_away(lite: Store) -> None:
    identity = pki.root()
    token = FaultyKey(pki.rsa_key("rsa2048-a"))
    ca = pki.Identity(identity.certificate, token)
    world = World.made(lite, ca=ca, ra=token_ra(identity)[0])
    token.allowed = set()
    for number in range(8):
        device = replace(world.device(f"d{number}"), transaction_id=f"{number}")
        world.ask(device.enrol(world.mint()))
    assert jobs.sweep(world.service, NOW) == 0
    token.allowed = {"sign"}
    assert jobs.sweep(world.service, NOW) == 8


# ------------------------------------------------------------------ notices


def test_a_webhook_is_told_what_was_issued_and_refused(store: Store) -> None:
    with receiving() as receiver:
        world = World.made(store, notify=receiver.webhook(key=KEY))
        certificate = enrolled(world)
        refusal_of(world.ask(world.device("router2").enrol("a guess")))
        assert receiver.asked == []
        assert jobs.deliver_outbox(world.service, NOW) == 2
        assert jobs.deliver_outbox(world.service, NOW) == 0
    issued, refused = receiver.asked
    assert issued["x509Certificate"]["serialNumber"] == str(certificate.serial_number)
    assert issued["x509CertificateRequest"]["subject"]["commonName"] == "router1"
    assert issued["scepTransactionID"] == "router1"
    assert (refused["scepErrorCode"], refused["provisionerName"]) == (2, "default")


def test_a_notice_is_repeated_until_somebody_hears_it(store: Store) -> None:
    with receiving() as receiver:
        world = World.made(store, notify=receiver.webhook())
        enrolled(world)
        receiver.otherwise = (503, b"")
        assert jobs.deliver_outbox(world.service, NOW) == 0
        assert jobs.deliver_outbox(world.service, NOW + timedelta(seconds=9)) == 0
        receiver.otherwise = (200, b"")
        assert jobs.deliver_outbox(world.service, NOW + timedelta(seconds=10)) == 1
    assert rows(store, "SELECT attempts, last_error FROM outbox") == [
        (2, "the webhook answers with HTTP status 503")
    ]


def test_a_notice_that_nobody_hears_for_a_day_is_given_up(lite: Store) -> None:
    with receiving() as receiver:
        world = World.made(lite, notify=receiver.webhook())
        enrolled(world)
        receiver.otherwise = (404, b"")
        now, last = NOW, NOW + timedelta(hours=26)
        while now < last:
            jobs.deliver_outbox(world.service, now)
            now += timedelta(minutes=30)
    ((dead_at, attempts),) = rows(lite, "SELECT dead_at, attempts FROM outbox")
    assert dead_at is not None
    assert attempts > 12


def test_notices_that_nobody_wants_any_more_go_away(lite: Store) -> None:
    with receiving() as receiver:
        world = World.made(lite, notify=receiver.webhook())
        enrolled(world)
        world.change(notify=None)
        assert jobs.deliver_outbox(world.service, NOW) == 1
    assert receiver.asked == []


def test_no_notice_has_a_challenge_in_it(lite: Store) -> None:
    with receiving() as receiver:
        world = World.made(lite, notify=receiver.webhook())
        secret = world.mint()
        certificate_of(world.ask(world.device().enrol(secret)))
        jobs.deliver_outbox(world.service, NOW)
        (notice,) = receiver.asked
        raw = base64.b64decode(notice["x509CertificateRequest"]["raw"])
    assert secret.encode() not in raw
    assert secret not in str(receiver.asked)


# ------------------------------------------------------------------ the audit trail


def test_the_audit_trail_is_sealed_and_verifies(store: Store) -> None:
    world = World.made(store)
    enrolled(world)
    assert jobs.seal_audit(store, NOW) == 4
    assert jobs.seal_audit(store, NOW) == 0
    found = store.snapshot(audit.verify)
    assert (found.sealed, found.unsealed, found.faults) == (4, 0, ())


def test_nothing_waits_where_nothing_is_held(lite: Store) -> None:
    world = World.made(lite, Authorisers())
    assert jobs.expire_pending(world.service, NOW) == 0
    assert jobs.sweep(world.service, NOW) == 0
