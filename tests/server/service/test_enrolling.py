"""Enrolling: what a first request leads to, and what a repeated one does (promise P1)."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

from scepkit.ca import CertificateProfile
from scepkit.core import cms, envelope
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import view_of
from scepkit.core.envelope import Password
from scepkit.core.messages import Protection
from scepkit.core.names import parse_san
from scepkit.core.signed import signed, spki_der
from scepkit.errors import FailInfo
from scepkit.server import enrolling, standing
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_static import static_secret
from scepkit.server.gate import WRONG_CHALLENGE, Authorisers
from scepkit.server.naming import NamePatterns
from scepkit.server.roles import RaKeys
from scepkit.store import Store, certificates
from scepkit.store.rows import milliseconds
from tests import cms_writer as w
from tests import pki
from tests.server.service.odd_requests import single_des
from tests.server.service.world import (
    NOW,
    PEPPER,
    Message,
    World,
    audited,
    certificate_of,
    count,
    ra_keys,
    refusal_of,
    rows,
)

STATIC = Authorisers(static=static_secret(PEPPER, "a secret for all", recoverable=False))
BAD_REQUEST = FailInfo.BAD_REQUEST


def protection_of(message: Message, reply: bytes) -> tuple[Cipher, KeyTransport | None]:
    """How the answer to a message is encrypted."""
    content = cms.read_signed(reply).content
    assert content is not None
    opened = envelope.decrypt(envelope.read_envelope(content), message.decrypt_with)
    return opened.cipher, opened.key_transport


def test_a_challenge_buys_a_certificate(store: Store) -> None:
    world = World.made(store)
    device = world.device()
    certificate = certificate_of(world.ask(device.enrol(world.mint())))
    assert certificate.public_key() == device.key.public_key()
    assert certificate.subject == device.name
    certificate.verify_directly_issued_by(world.authority.active.certificate)


def test_an_enrolment_leaves_one_operation_one_certificate_and_two_rows_of_audit(
    store: Store,
) -> None:
    world = World.made(store)
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    ((state, serial, subject),) = rows(store, "SELECT state, serial, subject FROM certificate")
    assert (state, serial) == ("issued", f"{certificate.serial_number:x}")
    assert subject == "CN=router1,O=Acme"
    assert rows(store, "SELECT state, kind FROM operation") == [("issued", "enrol")]
    assert [action for action, _ in audited(store)] == [
        "ca.active",
        "challenge.mint",
        "request.accept",
        "certificate.issue",
    ]


def test_the_certificate_is_backdated_within_the_cas_own_time(lite: Store) -> None:
    world = World.made(lite)
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    assert certificate.not_valid_before_utc == NOW - timedelta(hours=1)
    assert certificate.not_valid_after_utc == NOW + timedelta(days=365)


# ------------------------------------------------------------------ the same request again


def test_the_same_bytes_again_give_the_same_certificate(store: Store) -> None:
    world = World.made(store)
    message = world.device().enrol(world.mint())
    assert certificate_of(world.ask(message)) == certificate_of(world.ask(message))
    assert count(store, "certificate") == 1


def test_the_same_transaction_with_a_new_nonce_gives_the_same_certificate(store: Store) -> None:
    world = World.made(store)
    device, secret = world.device(), world.mint()
    first = certificate_of(world.ask(device.enrol(secret)))
    assert certificate_of(world.ask(device.enrol(secret))) == first


def test_a_new_transaction_with_the_same_request_gives_the_same_certificate(
    store: Store,
) -> None:
    world = World.made(store)
    device, secret = world.device(), world.mint()
    first = certificate_of(world.ask(device.enrol(secret)))
    again = certificate_of(world.ask(device.enrol(secret, transaction_id="another")))
    assert again == first
    assert count(store, "operation") == 1


@pytest.mark.parametrize("key", ["ec256-b", "rsa2048-c"])
def test_a_rebuilt_request_gives_the_same_certificate(store: Store, key: str) -> None:
    world = World.made(store)
    device, secret = world.device(key=key), world.mint()
    csrs = {device.csr(secret) for _ in range(3)}
    if key.startswith("ec"):
        assert len(csrs) == 3, "an ECDSA signature is another each time"
    opens = Password(secret.encode()) if key.startswith("ec") else None
    issued = {
        certificate_of(
            world.ask(device.enrol(csr=csr, transaction_id=f"id{at}", decrypt_with=opens))
        )
        for at, csr in enumerate(csrs)
    }
    assert len(issued) == 1
    assert count(store, "certificate") == 1


def test_a_poll_under_the_new_transaction_finds_it_too(store: Store) -> None:
    world = World.made(store)
    device, secret = world.device(), world.mint()
    first = certificate_of(world.ask(device.enrol(secret)))
    world.ask(device.enrol(secret, transaction_id="another"))
    assert certificate_of(world.ask(device.poll(transaction_id="another"))) == first


def test_a_one_time_challenge_answers_the_same_for_ever(store: Store) -> None:
    world = World.made(store)
    message = world.device().enrol(world.mint())
    first = certificate_of(world.ask(message))
    world.now = NOW + timedelta(days=300)
    assert certificate_of(world.ask(message)) == first


def test_a_static_secret_issues_anew_after_the_replay_window(store: Store) -> None:
    world = World.made(store, STATIC)
    device = world.device()
    first = certificate_of(world.ask(device.enrol("a secret for all")))
    world.now = NOW + timedelta(days=6, hours=23)
    assert certificate_of(world.ask(device.enrol("a secret for all"))) == first
    world.now = NOW + timedelta(days=7)
    second = certificate_of(world.ask(device.enrol("a secret for all")))
    assert second != first
    assert rows(store, "SELECT epoch, state FROM operation ORDER BY epoch") == [
        (0, "issued"),
        (1, "issued"),
    ]


def test_a_challenge_with_uses_left_issues_anew_after_the_replay_window(store: Store) -> None:
    world = World.made(store)
    secret = world.mint(uses=2, ttl=timedelta(days=30))
    device = world.device()
    first = certificate_of(world.ask(device.enrol(secret)))
    world.now = NOW + timedelta(days=8)
    assert certificate_of(world.ask(device.enrol(secret))) != first
    world.now = NOW + timedelta(days=16)
    assert refusal_of(world.ask(device.enrol(secret))) == (BAD_REQUEST, WRONG_CHALLENGE)


def test_a_revoked_certificate_is_not_handed_out_again(store: Store) -> None:
    world = World.made(store)
    message = world.device().enrol(world.mint())
    certificate = certificate_of(world.ask(message))
    ca_id, serial = world.authority.active.ca_id, f"{certificate.serial_number:x}"
    store.write(
        lambda tx: certificates.revoke(
            tx, ca_id, serial, reason=1, actor="alice", now=milliseconds(NOW)
        )
    )
    assert refusal_of(world.ask(message)) == (BAD_REQUEST, standing.REVOKED)
    assert refusal_of(world.ask(world.device().poll())) == (BAD_REQUEST, standing.REVOKED)
    assert [action for action, _ in audited(store)][-2:] == ["replay.deny", "replay.deny"]


def test_another_request_under_an_open_transaction_is_refused(store: Store) -> None:
    world = World.made(store, Authorisers(manual=True))
    world.ask(world.device().enrol())
    other = world.device("router2")
    assert refusal_of(world.ask(other.enrol())) == (BAD_REQUEST, enrolling.IN_USE)
    assert count(store, "operation") == 1


def test_a_closed_transaction_may_be_used_for_another_request(store: Store) -> None:
    world = World.made(store)
    world.ask(world.device().enrol(world.mint()))
    certificate = certificate_of(world.ask(world.device("router2").enrol(world.mint())))
    assert certificate.subject == pki.name("router2")


def test_two_signers_may_use_the_same_transaction_id(store: Store) -> None:
    world = World.made(store)
    one, two = world.device(), world.device("router2", "rsa3072")
    assert certificate_of(world.ask(one.enrol(world.mint()))).subject == one.name
    assert certificate_of(world.ask(two.enrol(world.mint()))).subject == two.name


# ------------------------------------------------------------------ who asks how


@pytest.mark.parametrize("cipher", [Cipher.AES128_CBC, Cipher.AES256_CBC, Cipher.DES_EDE3_CBC])
@pytest.mark.parametrize("digest", [Digest.SHA1, Digest.SHA256, Digest.SHA512])
def test_the_answer_is_protected_like_the_request(
    lite: Store, cipher: Cipher, digest: Digest
) -> None:
    world = World.made(lite)
    message = world.device().enrol(world.mint(), protection=Protection(cipher, digest))
    reply = world.post(message.body).body
    certificate_of(message.open(reply, world.signers))
    assert protection_of(message, reply) == (cipher, KeyTransport.RSA_PKCS1V15)
    others = {one.oid for one in Digest} - {digest.oid}
    assert w.oid(digest.oid) in reply
    assert not any(
        w.algorithm(oid, parameters) in reply[-1200:]
        for oid in others
        for parameters in (b"", w.NULL)
    )


@pytest.mark.parametrize("transport", list(KeyTransport))
def test_oaep_is_mirrored(lite: Store, transport: KeyTransport) -> None:
    world = World.made(lite)
    protection = Protection(key_transport=transport)
    message = world.device().enrol(world.mint(), protection=protection)
    reply = world.post(message.body).body
    certificate_of(message.open(reply, world.signers))
    assert protection_of(message, reply)[1] is transport


@pytest.mark.parametrize("ca_key", ["rsa2048-a", "ec256-a", "ec384"])
def test_an_ra_answers_for_any_kind_of_ca(lite: Store, ca_key: str) -> None:
    ca = pki.root(ca_key)
    world = World.made(lite, ca=ca, ra=ra_keys(ca, "rsa3072"))
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    certificate.verify_directly_issued_by(ca.certificate)


def test_a_split_ra_decrypts_with_one_key_and_signs_with_another(lite: Store) -> None:
    ca = pki.root()
    world = World.made(lite, ca=ca, ra=ra_keys(ca, "rsa3072", split=True))
    assert world.signers[0] != world.recipient
    certificate_of(world.ask(world.device().enrol(world.mint())))


def test_a_request_for_an_old_ra_key_is_still_read_and_answered_by_it(lite: Store) -> None:
    ca = pki.root()
    old, new = ra_keys(ca, "rsa2048-b"), ra_keys(ca, "rsa3072")
    world = World.made(lite, ca=ca, ra=RaKeys((*new.decrypt, *old.decrypt)))
    recipient = view_of(old.decrypt[0].certificate)
    message = world.device().enrol(world.mint(), recipient=recipient)
    # Who asked before the RA got its new certificate knows no other.
    certificate_of(message.open(world.post(message.body).body, [recipient]))


def test_only_the_issued_certificate_is_in_the_answer_unless_more_is_wanted(lite: Store) -> None:
    root = pki.root("ec256-a")
    ca = pki.intermediate(root)
    world = World.made(lite, ca=ca, chain=[root.certificate])
    secret = world.mint()
    counts = []
    for wanted in ("leaf", "issuer", "chain"):
        world.change(reply_certificates=wanted)
        reply = world.ask(world.device().enrol(secret))
        counts.append(len(reply.certificates))  # type: ignore[union-attr]
    assert counts == [1, 2, 3]


def test_a_subject_that_cryptography_refuses_is_served(lite: Store) -> None:
    """certmonger writes `_` into a PrintableString."""
    world = World.made(lite)
    secret = world.mint()
    device = world.device("host_1")
    name = w.seq(w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.printable("host_1"))))
    challenge = w.attribute("1.2.840.113549.1.9.7", w.printable(secret))
    info = w.seq(w.integer(0), name, spki_der(device.key), w.tlv(0xA0, challenge))
    csr = signed(info, device.key, Digest.SHA256)
    with pytest.raises(ValueError, match="asn1"):
        x509.load_der_x509_csr(csr).subject  # noqa: B018
    certificate = certificate_of(world.ask(device.enrol(csr=csr)))
    assert certificate.subject.rfc4514_string() == "CN=host_1"


def test_single_des_is_read_by_name_only_and_answered_with_aes(lite: Store) -> None:
    world = World.made(lite)
    secret = world.mint()
    message = single_des(world.device(), secret)
    fail_info, text = refusal_of(world.ask(message))
    assert fail_info is FailInfo.BAD_ALG
    assert "single DES" in text
    world.change(ciphers=world.profile.ciphers | {Cipher.DES_CBC})
    reply = world.post(message.body).body
    certificate_of(message.open(reply, world.signers))
    assert protection_of(message, reply)[0] is Cipher.AES128_CBC


# ------------------------------------------------------------------ what a certificate may contain


def test_names_go_into_the_certificate_and_the_search_columns(lite: Store) -> None:
    world = World.made(lite)
    device = world.device()
    csr = device.csr(world.mint(), san=["dns:router1.example", "ip:192.0.2.1"])
    certificate = certificate_of(world.ask(device.enrol(csr=csr)))
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [parse_san("dns:router1.example"), parse_san("ip:192.0.2.1")]
    assert rows(lite, "SELECT sans FROM certificate") == [("dns:router1.example\nip:192.0.2.1",)]


def test_a_request_that_the_profile_refuses_has_not_used_its_challenge(lite: Store) -> None:
    world = World.made(lite, rules=CertificateProfile())
    device, secret = world.device(), world.mint()
    csr = device.csr(secret, san=["upn:root@example.com"])
    assert refusal_of(world.ask(device.enrol(csr=csr)))[0] is BAD_REQUEST
    certificate_of(world.ask(device.enrol(secret)))


def test_a_pattern_of_the_profile_must_be_matched(lite: Store) -> None:
    patterns = NamePatterns(
        {NameOID.COMMON_NAME: re.compile("router[0-9]+")}, {"dns": re.compile(r".*\.example")}
    )
    world = World.made(lite, patterns=patterns)
    device, secret = world.device("server1"), world.mint()
    fail_info, text = refusal_of(world.ask(device.enrol(secret)))
    assert (fail_info, "commonName" in text) == (BAD_REQUEST, True)
    good = world.device()
    csr = good.csr(secret, san=["dns:router1.test"])
    assert "kind dns" in refusal_of(world.ask(good.enrol(csr=csr)))[1]
    certificate_of(world.ask(good.enrol(csr=good.csr(secret, san=["dns:router1.example"]))))


def test_a_challenge_is_returned_by_nobody_else(lite: Store) -> None:
    world = World.made(lite, Authorisers(challenge=ChallengePolicy(return_unused=True)))
    secret = world.mint()
    certificate_of(world.ask(world.device().enrol(secret)))
    assert rows(lite, "SELECT uses_left FROM challenge") == [(0,)]
