"""The security tests T52 to T78, each by its number, against the service without HTTP.

Where a test of the list needs a server with a network, or many processes, it says where it is.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID

from scepkit.ca import CertificateProfile, KeyRules
from scepkit.ca.altnames import SID_URI_PREFIX
from scepkit.ca.profile import SID_EXTENSION
from scepkit.core.certificates import view_of
from scepkit.core.cms import Signer
from scepkit.core.csr_builder import build_csr
from scepkit.core.envelope import Password
from scepkit.core.messages import Failure, PkcsReq, Success
from scepkit.errors import FailInfo
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.gate import Authorisers
from scepkit.store import Store
from tests import cms_writer as w
from tests import pki
from tests.server.quickly import quickly
from tests.server.service.odd_requests import DES_CBC, enveloped, identity_of, sent
from tests.server.service.world import (
    CHALLENGED,
    DAY,
    World,
    certificate_of,
    count,
    refusal_of,
    rows,
)

BAD_ALG, BAD_CHECK = FailInfo.BAD_ALG, FailInfo.BAD_MESSAGE_CHECK
BAD_REQUEST = FailInfo.BAD_REQUEST


@pytest.fixture
def world(lite: Store) -> World:
    return World.made(lite)


def nothing_issued(world: World) -> None:
    assert count(world.store, "certificate") == 0


def rejected(world: World, message: Any) -> tuple[int, Any]:
    """The HTTP status, and the failInfo when it is a CertRep."""
    reply = world.post(message.body)
    if reply.status != 200:
        assert 400 <= reply.status < 500, reply
        assert reply.content_type == "text/plain"
        return reply.status, None
    answer = message.open(reply.body, world.signers)
    assert isinstance(answer, Failure), answer
    return 200, answer.fail_info


# ------------------------------------------------------------------ authorisation


def test_t52_without_a_challenge_there_is_no_certificate(world: World) -> None:
    assert refusal_of(world.ask(world.device().enrol()))[0] is BAD_REQUEST
    nothing_issued(world)


@pytest.mark.parametrize("change", ["", " ", "wrong", "\0", "x", "prefix", "lower"])
def test_t53_a_challenge_that_is_not_exact_is_refused(world: World, change: str) -> None:
    right = world.mint()
    tried = {"": "", "wrong": "wrong", "prefix": right[:-1], "lower": right.lower()}.get(
        change, right + change
    )
    assert refusal_of(world.ask(world.device().enrol(tried)))[0] is BAD_REQUEST
    nothing_issued(world)


def test_t54_a_one_time_challenge_buys_nothing_for_another_key(world: World) -> None:
    secret = world.mint()
    certificate_of(world.ask(world.device().enrol(secret)))
    other = world.device(key="rsa3072").enrol(secret, transaction_id="t2")
    assert refusal_of(world.ask(other))[0] is BAD_REQUEST
    assert count(world.store, "certificate") == 1


# T55, many at once with one challenge: test_races.py, on both databases and over processes.


def test_t56_an_expired_challenge_is_refused(world: World) -> None:
    secret = world.mint(ttl=DAY)
    world.now += DAY
    assert refusal_of(world.ask(world.device().enrol(secret)))[0] is BAD_REQUEST
    nothing_issued(world)


def test_t57_a_challenge_for_one_subject_buys_no_other_and_is_not_used_by_trying(
    world: World,
) -> None:
    secret = world.mint("CN=router1,O=Acme")
    thief = world.device("router2", "rsa3072")
    assert refusal_of(world.ask(thief.enrol(secret, transaction_id="t")))[0] is BAD_REQUEST
    named = world.device("router1", "rsa3072")
    csr = named.csr(secret, san=["dns:bank.example"])
    assert refusal_of(world.ask(named.enrol(csr=csr, transaction_id="t")))[0] is BAD_REQUEST
    nothing_issued(world)
    certificate_of(world.ask(world.device().enrol(secret)))


@pytest.mark.parametrize(
    "auth", [CHALLENGED, replace(CHALLENGED, renewal=RenewalPolicy()), Authorisers(manual=True)]
)
def test_t58_a_renewal_by_a_self_signed_certificate_is_refused(
    lite: Store, auth: Authorisers
) -> None:
    world = World.made(lite, auth)
    assert refusal_of(world.ask(world.device().renew("rsa2048-c")))[0] is BAD_CHECK
    nothing_issued(world)


def test_t59_message_type_18_is_refused(world: World) -> None:
    device = world.device()
    message = sent(device, enveloped(device, device.csr(world.mint())), message_type="18")
    assert refusal_of(world.ask(message))[0] is BAD_REQUEST
    nothing_issued(world)


@pytest.mark.parametrize(
    "number", ["0", "1", "3", "16", "20", "99", "", "19 ", "019", "+19", " 19", "-1", "nineteen"]
)
def test_t60_no_other_message_type_issues(world: World, number: str) -> None:
    device = world.device()
    content = enveloped(device, device.csr(world.mint()))
    status, fail_info = rejected(world, sent(device, content, message_type=number))
    unknown = FailInfo.BAD_CERT_ID if number == "20" else BAD_REQUEST  # a CertPoll of nothing
    assert (status, fail_info) in {(200, unknown), (400, None)}
    nothing_issued(world)
    certificate_of(world.ask(sent(device, content, transaction_id="alive")))


@pytest.mark.parametrize(
    "value", [w.tlv(0x01, b"\xff"), w.NULL, w.seq(), w.octets(b"19"), w.tlv(0x13), b""]
)
def test_t60_t101_a_message_type_that_is_no_string_is_refused(world: World, value: bytes) -> None:
    def change(attributes: dict[str, bytes]) -> None:
        attributes["messageType"] = w.attribute(w.MESSAGE_TYPE, *([value] if value else []))

    device = world.device()
    message = sent(device, enveloped(device, device.csr(world.mint())), change=change)
    status, fail_info = rejected(world, message)
    assert (status, fail_info) in {(200, BAD_REQUEST), (400, None)}
    nothing_issued(world)


# ------------------------------------------------------------------ signatures


@pytest.mark.parametrize("place", ["signature", "content", "attribute"])
def test_t61_a_broken_signature_is_refused(world: World, place: str) -> None:
    device = world.device()
    body = device.enrol(world.mint()).body
    at = {
        "signature": len(body) - 20,
        "content": body.index(b"transaction-1") // 2,
        "attribute": body.index(b"transaction-1"),
    }[place]
    broken = body[:at] + bytes((body[at] ^ 1,)) + body[at + 1 :]
    assert world.post(broken).status == 400
    nothing_issued(world)


def test_t62_a_signer_whose_certificate_is_not_there_is_refused(world: World) -> None:
    device = world.device()
    content = enveloped(device, device.csr(world.mint()))
    other = pki.self_signed("other", "rsa3072")
    for certificates in ([], [other.der]):
        assert rejected(world, sent(device, content, certificates=certificates))[0] == 400
    nothing_issued(world)


def test_t63_a_captured_envelope_signed_anew_gets_nothing_and_uses_nothing(
    world: World,
) -> None:
    victim = world.device()
    secret = world.mint()
    captured = enveloped(victim, victim.csr(secret))
    thief = world.device("router1", "rsa3072")
    for message_type in ("19", "17"):
        assert rejected(world, sent(thief, captured, message_type=message_type))[0] == 200
    nothing_issued(world)
    assert rows(world.store, "SELECT uses_left FROM challenge") == [(1,)]
    certificate_of(world.ask(sent(victim, captured)))


def test_t63_a_thief_does_not_hear_what_is_in_the_request(world: World) -> None:
    victim = world.device()
    csr = victim.csr(world.mint(), san=["upn:administrator@corp.example"])
    captured = enveloped(victim, csr)
    assert "kind upn" in refusal_of(world.ask(sent(victim, captured)))[1]
    thief = sent(world.device("router1", "rsa3072"), captured)
    assert refusal_of(world.ask(thief)) == (BAD_CHECK, "")


def test_t63_a_thief_with_a_certificate_of_ours_gets_nothing_either(lite: Store) -> None:
    world = World.made(lite, replace(CHALLENGED, renewal=RenewalPolicy(window=365 * DAY)))
    thief = world.device("thief", "rsa3072")
    thief = thief.issued(world.ask(thief.enrol(world.mint(), transaction_id="own")))
    victim = world.device()
    secret = world.mint()
    captured = enveloped(victim, victim.csr(secret))
    for message_type in ("19", "17"):
        assert rejected(world, sent(thief, captured, message_type=message_type))[0] == 200
    certificate_of(world.ask(sent(victim, captured)))


def test_t63_a_thief_with_a_certificate_of_another_ca_gets_nothing_either(
    world: World,
) -> None:
    victim = world.device()
    captured = enveloped(victim, victim.csr(world.mint()))
    elsewhere = pki.device(pki.root("rsa2048-b", "Elsewhere"), "router1", "rsa3072")
    assert rejected(world, sent(victim, captured, signer=elsewhere)) == (200, BAD_CHECK)
    nothing_issued(world)


@pytest.mark.parametrize("message_type", ["19", "17"])
@pytest.mark.parametrize("key", ["rsa3072", "ec256-a"])
@pytest.mark.parametrize("transaction_id", ["transaction-1", "another"])
@pytest.mark.parametrize("auth", [CHALLENGED, replace(CHALLENGED, approve_all=True, manual=True)])
def test_t63_a_thief_gets_no_answer_that_was_for_the_victim(
    lite: Store, auth: Authorisers, transaction_id: str, key: str, message_type: str
) -> None:
    """Least of all one encrypted with the victim's challengePassword, as for an EC key."""
    world = World.made(lite, auth)
    victim = world.device()
    captured = enveloped(victim, victim.csr(world.mint()))
    first = world.ask(sent(victim, captured))
    thief = sent(
        world.device(key=key), captured, transaction_id=transaction_id, message_type=message_type
    )
    assert rejected(world, thief) == (200, BAD_CHECK)
    poll = world.device(key=key).poll(transaction_id=transaction_id)
    assert rejected(world, poll) == (200, FailInfo.BAD_CERT_ID)
    assert world.ask(sent(victim, captured)) == first


def test_t64_one_signer_and_each_attribute_once(world: World) -> None:
    device = world.device()
    who, other = identity_of(device), pki.self_signed("other", "rsa3072")
    content = enveloped(device, device.csr(world.mint()))
    attributes = w.request_attributes("19", "t", b"n" * 16, content=content)
    info = w.signer_info(who, attributes.values())
    second = w.signer_info(other, attributes.values())
    twice = [*attributes.values(), attributes["transactionID"]]
    two_values = {
        **attributes,
        "messageType": w.attribute(w.MESSAGE_TYPE, w.printable("19"), w.printable("17")),
    }
    own = {name: attributes[name] for name in ("contentType", "messageDigest")}
    bodies = [
        w.signed_data(content, [info, second], [who.der, other.der]),
        w.signed_data(content, [w.signer_info(who, twice)], [who.der]),
        w.signed_data(content, [w.signer_info(who, two_values.values())], [who.der]),
        w.signed_data(
            content,
            [w.signer_info(who, own.values(), unsigned=list(attributes.values()))],
            [who.der],
        ),
    ]
    assert [world.post(body).status for body in bodies] == [400] * 4
    nothing_issued(world)


def test_t65_no_signed_attributes_and_attributes_as_content(world: World) -> None:
    device = world.device()
    who = identity_of(device)
    content = enveloped(device, device.csr(world.mint()))
    attributes = w.request_attributes("19", "t", b"n" * 16, content=content)
    bare = w.signer_info(who, None, over=content)
    as_content = w.tlv(0x31, *sorted(attributes.values()))
    confused = w.signer_info(who, None, over=as_content)
    for body in (
        w.signed_data(content, [bare], [who.der]),
        w.signed_data(as_content, [confused], [who.der]),
    ):
        assert world.post(body).status == 400
    nothing_issued(world)


def test_t66_a_request_that_does_not_sign_itself_is_refused(world: World) -> None:
    device, secret = world.device(), world.mint()
    good = device.csr(secret)
    broken = good[:-5] + bytes((good[-5] ^ 1,)) + good[-4:]
    foreign = build_csr(pki.key("rsa3072"), device.name, challenge=secret)
    # The request of one key with the signature of another.
    info = x509.load_der_x509_csr(good).tbs_certrequest_bytes
    swapped = good.replace(x509.load_der_x509_csr(good).signature, foreign.signature[:256])
    assert info in swapped
    for csr in (broken, swapped):
        assert refusal_of(world.ask(device.enrol(csr=csr))) == (BAD_CHECK, "")
    nothing_issued(world)
    certificate_of(world.ask(device.enrol(secret)))


def test_t67_a_request_signed_by_another_key_is_refused(world: World) -> None:
    message = world.device(key="rsa3072").enrol(csr=world.device().csr(world.mint()))
    assert refusal_of(world.ask(message)) == (BAD_CHECK, "")
    nothing_issued(world)


# ------------------------------------------------------------------ content


DANGEROUS = [
    (x509.BasicConstraints(ca=True, path_length=None), True),
    (pki.usage("key_cert_sign", "crl_sign", "digital_signature"), True),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]), False),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CODE_SIGNING]), False),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SMARTCARD_LOGON]), False),
    (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
    (x509.UnrecognizedExtension(SID_EXTENSION, b"\x30\x00"), False),
    (x509.NameConstraints([x509.DNSName("example")], None), True),
    (x509.OCSPNoCheck(), False),
]


@pytest.mark.parametrize("extension", DANGEROUS, ids=lambda one: type(one[0]).__name__)
def test_t68_nothing_dangerous_is_copied(world: World, extension: Any) -> None:
    device = world.device()
    csr = device.csr(world.mint(), extensions=[extension])
    certificate = certificate_of(world.ask(device.enrol(csr=csr)))
    found = {one.oid: one.value for one in certificate.extensions}
    assert found[x509.BasicConstraints.oid] == x509.BasicConstraints(False, None)
    assert found[x509.KeyUsage.oid] == pki.usage("digital_signature", "key_encipherment")
    assert list(found[x509.ExtendedKeyUsage.oid]) == [ExtendedKeyUsageOID.CLIENT_AUTH]
    assert SID_EXTENSION not in found
    assert x509.NameConstraints.oid not in found
    assert x509.OCSPNoCheck.oid not in found


@pytest.mark.parametrize(
    "san", ["upn:administrator@corp.example", "dns:*.example", f"uri:{SID_URI_PREFIX}S-1-5-21-1"]
)
def test_t68_dangerous_names_are_refused(world: World, san: str) -> None:
    device = world.device()
    csr = device.csr(world.mint(), san=[san])
    assert refusal_of(world.ask(device.enrol(csr=csr)))[0] is BAD_REQUEST
    nothing_issued(world)


def test_t68_a_wildcard_as_common_name_is_refused(world: World) -> None:
    assert refusal_of(world.ask(world.device("*.example").enrol(world.mint())))[0] is BAD_REQUEST


class Loose:
    """A device with any key."""

    def __init__(self, world: World, key: Any) -> None:
        self.world, self.key = world, key
        name = pki.name("router1")
        builder = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(7)
            .not_valid_before(world.now - DAY)
            .not_valid_after(world.now + DAY)
        )
        self.signer = Signer(view_of(builder.sign(key, hashes.SHA256())), key)

    def enrol(self, challenge: str, **options: Any) -> Any:
        csr = build_csr(self.key, pki.name("router1"), challenge=challenge)
        der = csr.public_bytes(Encoding.DER)
        device = self.world.device()
        return device.message(PkcsReq(der), signer=self.signer, **options)


def test_t69_a_weak_rsa_key_is_refused(world: World) -> None:
    message = Loose(world, pki.key("rsa1024")).enrol(world.mint())
    assert refusal_of(world.ask(message))[0] is BAD_REQUEST


def test_t69_an_rsa_key_that_is_too_long_is_refused_quickly(lite: Store) -> None:
    world = World.made(lite, rules=CertificateProfile(keys=KeyRules(max_rsa_bits=3072)))
    message = world.device(key="rsa4096").enrol(world.mint())
    with quickly():
        assert refusal_of(world.ask(message))[0] is BAD_REQUEST


def test_t69_an_rsa_key_with_exponent_3_is_refused(world: World) -> None:
    key = rsa.generate_private_key(public_exponent=3, key_size=2048)
    message = Loose(world, key).enrol(world.mint())
    assert refusal_of(world.ask(message))[0] is BAD_REQUEST


def test_t69_a_curve_that_is_not_listed_is_refused(world: World) -> None:
    key = ec.generate_private_key(ec.SECP224R1())
    secret = world.mint()
    opens = Password(secret.encode())
    message = Loose(world, key).enrol(secret, decrypt_with=opens)
    assert refusal_of(world.ask(message))[0] is BAD_ALG


@pytest.mark.parametrize(
    "cipher",
    [DES_CBC, "1.2.840.113549.3.2", "1.2.840.113549.3.4", "2.16.840.1.101.3.4.1.6", "1.2.3.4"],
)
def test_t70_forbidden_ciphers_are_refused(world: World, cipher: str) -> None:
    device = world.device()
    content = enveloped(device, device.csr(world.mint()), cipher_oid=cipher)
    assert rejected(world, sent(device, content)) == (200, BAD_ALG)
    nothing_issued(world)


def test_t70_md5_is_refused_as_digest_and_as_signature(world: World) -> None:
    device = world.device()
    content = enveloped(device, device.csr(world.mint()))

    def change(attributes: dict[str, bytes]) -> None:
        attributes.update(w.cms_attributes(content, "md5"))

    for signature in ("rsa", "md5-rsa"):
        md5 = sent(device, content, change=change, digest="md5", signature=signature)
        assert rejected(world, md5) == (200, BAD_ALG)
    # What does not fit together is no signature at all.
    assert rejected(world, sent(device, content, signature="md5-rsa")) == (400, None)
    assert rejected(world, sent(device, content, digest="md5")) == (400, None)
    nothing_issued(world)


def test_t70_a_request_signed_with_md5_is_refused(world: World) -> None:
    device = world.device()
    csr = device.csr(world.mint())
    md5 = csr.replace(w.oid(w.SIGNATURES["sha256-rsa"]), w.oid(w.SIGNATURES["md5-rsa"]))
    assert refusal_of(world.ask(device.enrol(csr=md5)))[0] is BAD_CHECK
    nothing_issued(world)


def test_t71_what_is_not_encrypted_is_refused(world: World) -> None:
    device = world.device()
    csr = device.csr(world.mint())
    for content in (csr, w.content_info(w.DATA, w.octets(csr)), None, b""):
        assert rejected(world, sent(device, content))[0] in {200, 400}
    nothing_issued(world)


# T72 and T73, the oracles: test_oracles.py.


def test_t74_a_replayed_request_gives_no_second_certificate(world: World) -> None:
    message = world.device().enrol(world.mint())
    first = certificate_of(world.ask(message))
    assert all(certificate_of(world.ask(message)) == first for _ in range(5))
    assert count(world.store, "certificate") == 1


def test_t75_another_request_under_the_same_transaction_is_another(world: World) -> None:
    """While the first is open it is refused: test_enrolling.py."""
    first = certificate_of(world.ask(world.device().enrol(world.mint())))
    second = certificate_of(world.ask(world.device("router2").enrol(world.mint())))
    assert second.subject != first.subject
    bad = world.ask(world.device("router3").enrol("a guess"))
    assert refusal_of(bad)[0] is BAD_REQUEST


def test_t76_gcm_is_not_supported_in_any_form(world: World) -> None:
    device = world.device()
    auth_enveloped = w.content_info("1.2.840.113549.1.9.16.1.23", w.seq(w.integer(0)))
    assert rejected(world, sent(device, auth_enveloped)) == (200, BAD_CHECK)
    nothing_issued(world)


@pytest.mark.parametrize("iterations", [0, -1, 10**9, 2**70])
def test_t77_password_envelopes_that_cost_too_much_are_refused_quickly(
    world: World, iterations: int
) -> None:
    odd = sent(world.device(), _password_envelope(iterations))
    with quickly():
        assert rejected(world, odd)[1] in {BAD_ALG, BAD_CHECK}
    nothing_issued(world)


@pytest.mark.parametrize("kdf", ["1.2.840.113549.1.5.12", "1.2.3.4"])
def test_t77_an_unknown_key_derivation_is_refused(world: World, kdf: str) -> None:
    content = _password_envelope(1000, kdf=kdf)
    assert rejected(world, sent(world.device(), content))[1] in {BAD_ALG, BAD_CHECK}
    nothing_issued(world)


def _password_envelope(iterations: int, *, kdf: str = "1.2.840.113549.1.5.12") -> bytes:
    parameters = w.seq(w.octets(b"salt" * 4), w.integer(iterations), w.integer(16))
    aes = w.algorithm(w.AES128_CBC, w.octets(bytes(16)))
    wrap = w.seq(w.oid("1.2.840.113549.1.9.16.3.9"), aes)
    info = w.tlv(
        0xA3,
        w.integer(0),
        w.tlv(0xA0, w.oid(kdf), parameters),
        wrap,
        w.octets(os.urandom(32)),
    )
    encrypted = w.seq(w.oid(w.DATA), aes, w.tlv(0x80, os.urandom(64)))
    return w.content_info(w.ENVELOPED_DATA, w.seq(w.integer(3), w.tlv(0x31, info), encrypted))


def test_t77_the_passwords_tried_for_one_request_cost_less_than_a_second(lite: Store) -> None:
    recoverable = Authorisers(challenge=ChallengePolicy(recoverable=True))
    world = World.made(lite, recoverable, ca=pki.root("ec256-a"), by_password=True)
    for _ in range(50):
        world.mint(recoverable=True)
    for iterations in (100_000, 999_999):
        odd = sent(world.device(), _password_envelope(iterations))
        with quickly(2):
            assert rejected(world, odd) == (200, BAD_CHECK)


def test_t78_the_challenge_is_in_no_answer_no_log_and_no_row(
    lite: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    world = World.made(lite, replace(CHALLENGED, manual=False))
    device = world.device()
    secrets = [world.mint("CN=nobody"), "n0b0dy-kn0ws-this", world.mint()]
    bodies = b""
    for number, secret in enumerate(secrets):
        reply = world.post(device.enrol(secret, transaction_id=f"{number}").body)
        bodies += reply.body + repr(reply).encode()
        assert reply.record is not None
        bodies += repr(reply.record.fields()).encode()
    assert world.post(device.enrol(secrets[2]).body[:-1]).status == 400
    everything = bodies.decode("latin-1") + caplog.text
    for table in ("audit", "operation", "challenge", "certificate", "outbox"):
        everything += str(rows(lite, f"SELECT * FROM {table}"))  # noqa: S608
    for secret in secrets:
        assert secret not in everything


# ------------------------------------------------------------------ the other way round


def test_t20_the_honest_request_is_served_all_the_same(world: World) -> None:
    assert isinstance(world.ask(world.device().enrol(world.mint())), Success)


@pytest.mark.parametrize("kind", ["poll with a request", "enrolment with names", "garbage"])
def test_t95_content_of_another_message_type_is_refused(world: World, kind: str) -> None:
    """As what cannot be decrypted is, not with an answer of its own (A2)."""
    device = world.device()
    secret = world.mint()
    issuer = world.authority.active.certificate.subject.public_bytes()
    if kind == "poll with a request":
        message = sent(device, enveloped(device, device.csr(secret)), message_type="20")
        assert rejected(world, message) == (200, FailInfo.BAD_CERT_ID)
    elif kind == "enrolment with names":
        content = w.seq(issuer, device.name.public_bytes())
        assert rejected(world, sent(device, enveloped(device, content))) == (200, BAD_CHECK)
    else:
        message = sent(device, enveloped(device, b"garbage"), message_type="21")
        assert rejected(world, message) == (200, FailInfo.BAD_CERT_ID)
    nothing_issued(world)
