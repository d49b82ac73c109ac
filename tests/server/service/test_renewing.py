"""Renewal by a certificate: who may, who may not, and what a repeated one gives."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from scepkit.core import asn1
from scepkit.core.algorithms import Digest
from scepkit.core.certificates import view_of
from scepkit.core.cms import Signer
from scepkit.core.signed import signed
from scepkit.errors import FailInfo
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_renewal import NO_RENEWAL, RenewalPolicy
from scepkit.server.gate import WRONG_CHALLENGE, Authorisers
from scepkit.store import Store, certificates, challenges
from scepkit.store.rows import milliseconds
from tests import pki
from tests.server.service.world import (
    DAY,
    NOW,
    Device,
    World,
    audited,
    certificate_of,
    count,
    is_pending,
    refusal_of,
    rows,
)

ANY_TIME = RenewalPolicy(window=3650 * DAY)
BAD_REQUEST, BAD_CHECK = FailInfo.BAD_REQUEST, FailInfo.BAD_MESSAGE_CHECK


def renewing(store: Store, policy: RenewalPolicy = ANY_TIME, **auth: Any) -> World:
    """A CA that renews and takes challenges."""
    who = Authorisers(challenge=ChallengePolicy(), renewal=policy, **auth)
    return World.made(store, who)


def enrolled(world: World, common_name: str = "router1", **options: Any) -> Device:
    device = world.device(common_name)
    csr = device.csr(world.mint(), **options)
    return device.issued(world.ask(device.enrol(csr=csr)))


def again(device: Device, key: str = "rsa3072", **options: Any) -> Any:
    assert isinstance(device.world, World)
    return device.world.ask(device.renew(key, transaction_id="renewal", **options))


def test_a_good_certificate_gets_a_new_one_without_a_challenge(store: Store) -> None:
    world = renewing(store)
    device = enrolled(world)
    renewed = certificate_of(again(device))
    assert renewed != device.certificate
    assert renewed.subject == device.name
    assert renewed.public_key() == pki.key("rsa3072").public_key()
    assert rows(store, "SELECT kind, renews_serial FROM operation ORDER BY id") == [
        ("enrol", None),
        ("renew", f"{device.certificate.serial_number:x}"),  # type: ignore[union-attr]
    ]


def test_a_certificate_that_was_signed_with_sha_1_long_ago_can_be_renewed(lite: Store) -> None:
    """One that a CA issued before it moved here."""
    world = renewing(lite)
    device = enrolled(world)
    assert device.certificate is not None
    tbs, sha256, _ = asn1.read(asn1.CERTIFICATE, view_of(device.certificate).der, "certificate")
    sha1 = asn1.algorithm("1.2.840.113549.1.1.5", b"\5\0")
    old = signed(tbs.replace(sha256, sha1), pki.root().key, Digest.SHA1)
    lite.write(lambda tx: tx.run("UPDATE certificate SET der = :der", {"der": old}))
    device = replace(device, certificate=x509.load_der_x509_certificate(old))
    assert certificate_of(again(device)).subject == device.name


def test_a_pkcs_req_signed_with_the_certificate_is_a_renewal_too(store: Store) -> None:
    """Clients of the drafts before RFC 8894, macOS, Cisco IOS (Q54)."""
    world = renewing(store)
    device = enrolled(world)
    csr = replace(device, key_name="rsa3072").csr()
    assert certificate_of(world.ask(device.enrol(csr=csr, transaction_id="r"))) != (
        device.certificate
    )


def test_a_pkcs_req_is_no_renewal_where_the_profile_says_so(lite: Store) -> None:
    world = renewing(lite, RenewalPolicy(window=3650 * DAY, by_enrolment=False))
    device = enrolled(world)
    csr = replace(device, key_name="rsa3072").csr()
    reply = world.ask(device.enrol(csr=csr, transaction_id="r"))
    assert refusal_of(reply) == (BAD_CHECK, "")


@pytest.mark.parametrize("shape", ["bytes", "transaction", "new transaction"])
def test_a_repeated_renewal_gives_the_same_certificate(store: Store, shape: str) -> None:
    world = renewing(store)
    device = enrolled(world)
    message = device.renew("rsa3072", transaction_id="r")
    first = certificate_of(world.ask(message))
    if shape == "transaction":
        message = device.renew("rsa3072", transaction_id="r")
    if shape == "new transaction":
        message = device.renew("rsa3072", transaction_id="r2")
    assert certificate_of(world.ask(message)) == first
    assert count(store, "certificate") == 2


def test_a_renewal_with_the_transaction_id_and_request_of_the_enrolment_is_one_of_its_own(
    lite: Store,
) -> None:
    """sscep makes its transactionID from the key (servers.md, after the table of section 3)."""
    world = renewing(lite)
    device = world.device()
    csr = device.csr()
    world.change(auth=replace(world.profile.auth, manual=True))
    assert is_pending(world.ask(device.enrol(csr=csr)))
    from scepkit.server import admin, jobs

    admin.approve_request(lite, 1, actor="alice", now=NOW)
    jobs.sweep(world.service, NOW)
    device = device.issued(world.ask(device.poll()))
    renewed = certificate_of(world.ask(device.enrol(csr=csr)))
    assert renewed != device.certificate


def test_the_old_key_is_good_for_a_renewal_unless_the_profile_says_no(lite: Store) -> None:
    world = renewing(lite)
    device = enrolled(world)
    certificate_of(again(device, device.key_name))
    world.change(auth=replace(world.profile.auth, renewal=replace(ANY_TIME, same_key=False)))
    other = enrolled(world, "router2")
    assert "new key" in refusal_of(again(other, other.key_name))[1]
    certificate_of(again(other))


def test_without_a_window_the_last_half_of_the_life_counts(lite: Store) -> None:
    world = renewing(lite, RenewalPolicy())
    device = enrolled(world)
    half = (365 * DAY - timedelta(hours=1)) / 2
    world.now = NOW + half - DAY
    fail_info, text = refusal_of(again(device))
    assert (fail_info, "too early" in text) == (BAD_REQUEST, True)
    world.now = NOW + half + DAY
    certificate_of(again(device))


def test_the_log_of_a_renewal_that_is_too_early_names_the_setting_and_the_device_hears_the_time(
    lite: Store,
) -> None:
    world = renewing(lite, RenewalPolicy())
    text = refusal_of(again(enrolled(world)))[1]
    assert re.fullmatch("it is too early .*: from 2.* UTC on", text)
    told = f"{text}; profile.{world.profile.name}.auth.renewal.window can let it begin earlier"
    assert audited(lite)[-1][1]["reason"] == told


def test_a_window_is_counted_from_the_end(lite: Store) -> None:
    world = renewing(lite, RenewalPolicy(window=30 * DAY))
    device = enrolled(world)
    world.now = NOW + 334 * DAY
    assert "too early" in refusal_of(again(device))[1]
    world.now = NOW + 336 * DAY
    certificate_of(again(device))


def test_an_expired_certificate_is_renewed_within_the_grace_only(lite: Store) -> None:
    world = renewing(lite, RenewalPolicy(expired=2 * DAY))
    device = enrolled(world)
    world.now = NOW + 368 * DAY
    assert "has expired" in refusal_of(again(device))[1]
    world.now = NOW + 366 * DAY
    certificate_of(again(device))


def test_a_certificate_that_is_not_valid_yet_renews_nothing(lite: Store) -> None:
    world = renewing(lite)
    device = enrolled(world)
    world.now = NOW - DAY
    assert "not valid yet" in refusal_of(again(device))[1]


def test_a_revoked_certificate_renews_nothing(store: Store) -> None:
    world = renewing(store)
    device = enrolled(world)
    revoke(world, device)
    assert "revoked" in refusal_of(again(device))[1]
    assert count(store, "certificate") == 1


def revoke(world: World, device: Device) -> None:
    assert device.certificate is not None
    serial = f"{device.certificate.serial_number:x}"
    world.store.write(
        lambda tx: certificates.revoke(
            tx,
            world.authority.active.ca_id,
            serial,
            reason=1,
            actor="alice",
            now=milliseconds(NOW),
        )
    )


def test_another_subject_is_no_renewal(lite: Store) -> None:
    world = renewing(lite)
    device = enrolled(world)
    csr = replace(device, name=pki.name("router2"), key_name="rsa3072").csr()
    reply = again(device, csr=csr)
    assert refusal_of(reply) == (
        BAD_REQUEST,
        "a renewal has the subject of the certificate it renews",
    )


def test_new_alternative_names_are_no_renewal_but_fewer_are(lite: Store) -> None:
    world = renewing(lite)
    device = enrolled(world, san=["dns:a.example", "dns:b.example"])
    new = replace(device, key_name="rsa3072")
    more = again(device, csr=new.csr(san=["dns:a.example", "dns:c.example"]))
    assert "no alternative names" in refusal_of(more)[1]
    certificate_of(again(device, csr=new.csr(san=["dns:B.example"])))


def test_a_certificate_of_another_profile_does_not_count_unless_its_ca_is_named(
    lite: Store,
) -> None:
    world = renewing(lite)
    device = enrolled(world)
    lite.write(lambda tx: tx.run("UPDATE certificate SET profile = 'weak'"))
    assert refusal_of(again(device)) == (BAD_REQUEST, NO_RENEWAL)
    named = replace(ANY_TIME, allowed=frozenset({"main"}))
    world.change(auth=replace(world.profile.auth, renewal=named))
    certificate_of(again(device))


# ------------------------------------------------------------------ challenges in renewals


def test_the_challenge_of_the_enrolment_may_come_again(lite: Store) -> None:
    """RFC 8894 section 2.4; by then it is used up and expired."""
    world = renewing(lite)
    device, secret = world.device(), world.mint()
    device = device.issued(world.ask(device.enrol(secret)))
    world.now = NOW + 2 * DAY
    certificate_of(again(device, challenge=secret))
    assert rows(lite, "SELECT uses_left FROM challenge") == [(0,)]


def test_a_wrong_challenge_fails_a_renewal_all_the_same(lite: Store) -> None:
    world = renewing(lite)
    device = enrolled(world)
    assert refusal_of(again(device, challenge="a guess")) == (BAD_REQUEST, WRONG_CHALLENGE)


def test_a_revoked_challenge_fails_a_renewal(lite: Store) -> None:
    world = renewing(lite)
    device, secret = world.device(), world.mint()
    device = device.issued(world.ask(device.enrol(secret)))
    lite.write(lambda tx: challenges.revoke(tx, 1, actor="alice", now=milliseconds(NOW)))
    assert refusal_of(again(device, challenge=secret)) == (BAD_REQUEST, WRONG_CHALLENGE)


def test_a_fresh_challenge_with_the_old_key_is_an_enrolment_of_its_own(lite: Store) -> None:
    """MDM installs a profile again while the old certificate still signs (Q24)."""
    world = renewing(lite, RenewalPolicy(window=DAY))
    device = enrolled(world)
    reply = world.ask(device.enrol(world.mint(), transaction_id="again"))
    assert certificate_of(reply) != device.certificate


# ------------------------------------------------------------------ who is not ours


def other_signer(world: World, device: Device, **changes: Any) -> Signer:
    """A certificate like the device's, but of somebody else."""
    assert device.certificate is not None
    impostor = pki.key("rsa2048-b")
    builder = (
        x509.CertificateBuilder()
        .subject_name(device.certificate.subject)
        .issuer_name(device.certificate.issuer)
        .public_key(impostor.public_key())
        .serial_number(device.certificate.serial_number)
        .not_valid_before(device.certificate.not_valid_before_utc)
        .not_valid_after(device.certificate.not_valid_after_utc)
    )
    return Signer(view_of(builder.sign(impostor, hashes.SHA256())), impostor)


def test_a_forged_certificate_with_our_name_and_number_renews_nothing(lite: Store) -> None:
    world = renewing(lite)
    device = enrolled(world)
    reply = again(device, signer=other_signer(world, device))
    assert refusal_of(reply) == (BAD_CHECK, "")


def test_a_certificate_that_the_ca_signed_but_nobody_stored_renews_nothing(lite: Store) -> None:
    world = renewing(lite)
    ca = pki.root()
    stranger = pki.device(ca, "router1", "rsa2048-c")
    signer = Signer(view_of(stranger.certificate), stranger.key)
    reply = again(world.device(), signer=signer)
    assert refusal_of(reply) == (BAD_CHECK, NO_RENEWAL)


def test_the_cas_own_certificate_renews_nothing(lite: Store) -> None:
    world = renewing(lite)
    ca = pki.root()
    reply = again(world.device(), signer=Signer(view_of(ca.certificate), ca.key))
    assert refusal_of(reply) == (BAD_CHECK, "")


# ------------------------------------------------------------------ where nothing is configured


def test_where_renewal_is_not_configured_a_renewal_is_refused(lite: Store) -> None:
    world = World.made(lite)
    device = enrolled(world)
    assert refusal_of(again(device)) == (BAD_REQUEST, NO_RENEWAL)


def test_where_persons_decide_a_renewal_waits_for_one(lite: Store) -> None:
    world = World.made(lite)
    device = enrolled(world)
    world.change(auth=Authorisers(manual=True))
    world.now = NOW + 300 * DAY
    assert is_pending(again(device))


def test_a_renewal_by_an_ec_key_is_answered_by_the_challenge_it_brings(lite: Store) -> None:
    from scepkit.core.envelope import Password

    world = renewing(lite)
    device, secret = world.device(key="ec256-b"), world.mint()
    opens = Password(secret.encode())
    device = device.issued(world.ask(device.enrol(secret, decrypt_with=opens)))
    fail_info, text = refusal_of(again(device))
    assert (fail_info, "no challengePassword" in text) == (FailInfo.BAD_ALG, True)
    certificate_of(again(device, challenge=secret, decrypt_with=opens))
