"""Whoever signs a captured request anew hears the same, whatever is in it (A1, A2, A13, A22).

He has the envelope, and signs it with a key of his own; or with a certificate that this server
issued to him, as anybody may have one.  Were the answer another one for a request with a challenge,
or with names that the profile refuses, he would know what is in the request.  Were it another one,
or a later one, for what can be read, he could have the content decrypted byte by byte.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scepkit.ca import CertificateProfile
from scepkit.core import cms
from scepkit.core.csr import read_csr, unread_csr
from scepkit.core.csr_builder import build_csr
from scepkit.core.envelope import Password
from scepkit.errors import FailInfo
from scepkit.server import auth_renewal
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_renewal import NEW_NAMES, OTHER_SUBJECT, RenewalPolicy
from scepkit.server.gate import Authorisers
from scepkit.store import Store
from tests import cms_writer as w
from tests import pki
from tests.server.service.odd_requests import enveloped, sent
from tests.server.service.world import (
    DAY,
    Device,
    World,
    audited,
    certificate_of,
    count,
    is_pending,
    refusal_of,
    rows,
)

RENEWS = Authorisers(challenge=ChallengePolicy(), renewal=RenewalPolicy(window=3650 * DAY))
RULES = CertificateProfile(allow_empty_subject=True)
TYPES = {"PKCSReq": "19", "RenewalReq": "17"}
KEYS = {"RSA": "rsa3072", "EC": "ec256-b"}
BAD_REQUEST, BAD_CHECK = FailInfo.BAD_REQUEST, FailInfo.BAD_MESSAGE_CHECK


@pytest.fixture
def world(lite: Store) -> World:
    return World.made(lite, RENEWS, rules=RULES)


def captured(world: World) -> dict[str, bytes]:
    """Requests of other devices, by what is in them; one was granted before."""
    granted, asked = world.device("granted"), world.device("router1")
    request = granted.csr(world.mint())
    certificate_of(world.ask(granted.enrol(csr=request, transaction_id="granted")))
    nobody = replace(asked, name=x509.Name([]))
    forbidden = replace(
        asked, name=x509.Name([x509.NameAttribute(x509.NameOID.PSEUDONYM, "router1")])
    )
    weak, elliptic = replace(asked, key_name="rsa1024"), replace(asked, key_name="ec256-a")
    return {
        "granted before": request,
        "a good challenge": asked.csr(world.mint()),
        "no challenge": asked.csr(),
        "a wrong challenge": asked.csr("wrong"),
        "an alternative name that is refused": asked.csr(world.mint(), san=["upn:a@corp.example"]),
        "a subject that is refused": forbidden.csr(world.mint()),
        "a key that is refused": weak.csr(world.mint()),
        "an EC key": elliptic.csr(world.mint()),
        "no name at all": nobody.csr(world.mint()),
        "no subject": nobody.csr(world.mint(), san=["dns:router1.example"]),
        "no subject, and a refused name": nobody.csr(san=["upn:a@corp.example"]),
        "many elements": asked.csr(san=[f"dns:a{one}.example" for one in range(40)]),
    }


def heard(
    world: World, thief: Device, requests: Mapping[str, bytes], message_type: str
) -> dict[str, Any]:
    """For each request all that the thief can see of the answer to it."""
    victim, found = world.device("router1"), {}
    for name, csr in requests.items():
        message = sent(
            thief, enveloped(victim, csr), message_type=message_type, transaction_id=name
        )
        reply = world.post(message.body)
        (certificate,) = cms.read_signed(reply.body).certificates
        answer = repr(message.open(reply.body, world.signers))
        found[name] = (reply.status, answer, certificate, len(reply.body) - len(name))
    return found


def all_alike(world: World, thief: Device, message_type: str) -> tuple[Any, str]:
    """The one refusal that the thief gets, whatever he sends, and that uses up nothing."""
    requests = captured(world)
    issued = count(world.store, "certificate")
    unused = rows(world.store, "SELECT id, uses_left FROM challenge ORDER BY id")
    answers = heard(world, thief, requests, message_type)
    assert len(set(answers.values())) == 1, answers
    assert count(world.store, "certificate") == issued
    assert rows(world.store, "SELECT id, uses_left FROM challenge ORDER BY id") == unused
    again = sent(thief, enveloped(thief, requests["no challenge"]), message_type=message_type)
    return refusal_of(world.ask(again))


def with_a_certificate(world: World, key: str, name: x509.Name, **names: Any) -> Device:
    """A thief who has a certificate of this server, of his own."""
    thief, secret = replace(world.device("thief", key), name=name), world.mint()
    opens = Password(secret.encode()) if key.startswith("ec") else None
    csr = thief.csr(secret, **names)
    return thief.issued(
        world.ask(thief.enrol(csr=csr, transaction_id="his own", decrypt_with=opens))
    )


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("message_type", TYPES.values(), ids=TYPES)
def test_a_stranger_hears_the_same_whatever_is_in_the_request(
    world: World, key: str, message_type: str
) -> None:
    stranger = world.device("stranger", key)
    assert all_alike(world, stranger, message_type) == (BAD_CHECK, "")
    unreadable = sent(stranger, enveloped(stranger, b"x" * 600), message_type=message_type)
    assert refusal_of(world.ask(unreadable)) == (BAD_CHECK, "")


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
@pytest.mark.parametrize("message_type", TYPES.values(), ids=TYPES)
def test_a_stranger_with_a_certificate_of_ours_hears_the_same_too(
    world: World, key: str, message_type: str
) -> None:
    thief = with_a_certificate(world, key, pki.name("thief"))
    assert all_alike(world, thief, message_type) == (BAD_REQUEST, OTHER_SUBJECT)


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_a_stranger_whose_certificate_of_ours_has_no_subject_hears_the_same_too(
    world: World, key: str
) -> None:
    thief = with_a_certificate(world, key, x509.Name([]), san=["dns:thief.example"])
    assert all_alike(world, thief, "17") == (BAD_REQUEST, NEW_NAMES)


@pytest.mark.parametrize(
    ("renewal", "refusal"),
    [
        (RenewalPolicy(window=DAY), (BAD_REQUEST, OTHER_SUBJECT)),
        (RenewalPolicy(window=DAY, by_enrolment=False), (BAD_CHECK, "")),
        (None, (BAD_CHECK, "")),
    ],
    ids=["too early", "not by PKCSReq", "no renewals"],
)
def test_that_his_certificate_cannot_be_renewed_makes_no_difference_between_requests(
    world: World, renewal: RenewalPolicy | None, refusal: tuple[Any, str]
) -> None:
    thief = with_a_certificate(world, "ec256-b", pki.name("thief"))
    world.change(auth=replace(RENEWS, renewal=renewal))
    assert all_alike(world, thief, "19") == refusal


@pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
def test_where_everything_waits_for_a_person_a_stranger_hears_the_same_too(
    world: World, key: str
) -> None:
    world.change(auth=replace(RENEWS, manual=True, approve_all=True))
    waiting = world.device("waiting")
    assert is_pending(world.ask(waiting.enrol(csr=waiting.csr(), transaction_id="waits")))
    requests = {"it waits": waiting.csr(), "it does not": world.device("other").csr()}
    answers = heard(world, world.device("stranger", key), requests, "19")
    assert len(set(answers.values())) == 1, answers


def test_whoever_renews_for_himself_is_told_what_the_profile_refuses(world: World) -> None:
    device = with_a_certificate(world, "rsa3072", pki.name("router1"))
    renewed = replace(device, key_name="rsa2048-c")
    fault = world.ask(device.renew("", csr=renewed.csr(san=["upn:a@corp.example"])))
    assert "kind upn" in refusal_of(fault)[1]
    certificate_of(world.ask(device.renew("rsa2048-c")))


def test_a_certificate_without_a_subject_is_renewed_for_its_names(world: World) -> None:
    names = ["dns:a.example", "dns:b.example"]
    device = with_a_certificate(world, "rsa3072", x509.Name([]), san=names)
    renewed = replace(device, key_name="rsa2048-c")
    message = device.renew("", csr=renewed.csr(san=names[:1]), transaction_id="again")
    certificate_of(world.ask(message))


def test_a_request_without_a_subject_that_can_be_read_is_for_another(world: World) -> None:
    device = with_a_certificate(world, "rsa3072", pki.name("router1"))
    assert device.certificate is not None
    csr = read_csr(device.csr())
    unreadable = replace(csr, subject_der=w.seq(w.tlv(0x31, w.seq(w.oid("2.5.4.6"), w.NULL))))
    assert unreadable.subject is None
    assert auth_renewal.names_another(unreadable, None, device.certificate) == OTHER_SUBJECT
    assert auth_renewal.names_another(csr, None, device.certificate) is None


def dear(device: Device) -> dict[str, bytes]:
    """Requests that take milliseconds to read or verify, whose signatures are no good."""
    unread = unread_csr(device.csr())
    tail = unread.signature_algorithm_der + w.tlv(0x03, b"\0" + unread.signature)
    names = w.seq(w.seq(w.oid("2.5.29.17"), w.octets(w.seq(w.tlv(0x87, bytes(4)) * 5000))))
    asks = w.seq(w.oid("1.2.840.113549.1.9.14"), w.tlv(0x31, names))
    modulus = pki.rsa_key("rsa3072").public_key().public_numbers().n
    numbers = w.seq(w.integer(modulus), w.integer(modulus - 2))
    huge = w.seq(w.algorithm("1.2.840.113549.1.1.1", w.NULL), w.tlv(0x03, b"\0" + numbers))

    def request(spki: bytes, *attributes: bytes) -> bytes:
        parts = w.integer(0), unread.subject_der, spki, w.tlv(0xA0, *attributes)
        return w.seq(w.seq(*parts), tail)

    return {
        "thousands of names": request(unread.spki_der, asks),
        "a huge exponent": request(huge),
    }


@pytest.mark.parametrize("message_type", TYPES.values(), ids=TYPES)
def test_of_a_strangers_request_nothing_is_verified_or_read(
    world: World, message_type: str
) -> None:
    """The 5,000 names would take 4 ms, the exponent 6 ms: either shows through a grid of 5 ms."""
    stranger = world.device("stranger", "rsa3072")
    for csr in dear(world.device()).values():
        message = sent(stranger, enveloped(stranger, csr), message_type=message_type)
        assert refusal_of(world.ask(message)) == (BAD_CHECK, "")
        assert "(G1)" in audited(world.store)[-1][1]["reason"]


def test_of_a_renewal_nothing_is_read_before_it_is_verified_and_no_slow_key(world: World) -> None:
    thief = with_a_certificate(world, "rsa3072", pki.name("thief"))
    reasons = []
    for csr in dear(world.device()).values():
        message = sent(thief, enveloped(thief, csr), message_type="17")
        assert refusal_of(world.ask(message)) == (BAD_CHECK, "")
        reasons.append(audited(world.store)[-1][1]["reason"])
    names, exponent = reasons
    assert "is not signed with the key in it" in names
    assert "new key is RSA of 4096 bits at most" in exponent


def test_a_request_for_the_signers_key_in_another_encoding_is_his_own(world: World) -> None:
    device = world.device(key="ec256-a")
    secret = world.mint()
    unread = unread_csr(device.csr(secret))
    point = (
        pki.ec_key("ec256-a").public_key().public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    )
    curve = w.algorithm("1.2.840.10045.2.1", w.oid("1.2.840.10045.3.1.7"))
    spki = w.seq(curve, w.tlv(0x03, b"\0" + point))
    info = unread.request_info_der[unread.request_info_der.index(b"\x02\x01\x00") :]
    info = w.seq(info.replace(unread.spki_der, spki))
    signature = pki.ec_key("ec256-a").sign(info, ECDSA(hashes.SHA256()))
    csr = w.seq(info, unread.signature_algorithm_der, w.tlv(0x03, b"\0" + signature))
    certificate_of(world.ask(device.enrol(csr=csr, decrypt_with=Password(secret.encode()))))


@pytest.mark.parametrize("behind", [b"", b"x" * 48], ids=["nothing", "blocks"])
def test_a_request_in_pem_is_not_read_as_anything_may_stand_behind_it(
    world: World, behind: bytes
) -> None:
    """He could append a block that he has caught, and hear whether its padding is good (A2)."""
    device = world.device()
    csr = build_csr(device.key, device.name, challenge=world.mint())
    pem = csr.public_bytes(Encoding.PEM) + behind
    assert refusal_of(world.ask(sent(device, enveloped(device, pem)))) == (BAD_CHECK, "")
    assert count(world.store, "certificate") == 0
