"""What odd but honest clients send is served (T41 to T51, R48, Q04, Q11, Q16 to Q19, Q30, Q53)."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509

from scepkit.ca import CertificateProfile
from scepkit.core.algorithms import Digest
from scepkit.core.certificates import view
from scepkit.core.cms import Signer
from scepkit.core.messages import MAX_TRANSACTION_ID, Success
from scepkit.core.signed import signed, spki_der
from scepkit.errors import FailInfo
from scepkit.store import Store
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests import pki
from tests.ber_writer import ber, parse
from tests.server.service.odd_requests import enveloped, identity_of, sent
from tests.server.service.world import NOW, World, certificate_of, refusal_of

NON_MINIMAL = odd.element(0x02, b"\x00\x00\x00\x07")


@pytest.fixture
def world(lite: Store) -> World:
    return World.made(lite)


# ------------------------------------------------------------------ transient certificates


def transient(kind: str) -> bytes:
    """A certificate that a device signs its request with; `router1` with rsa2048-c."""
    usual = pki.self_signed("router1")
    match kind:
        case "version 1":
            return odd.version1(usual).der
        case "SHA-1":
            return odd.with_sha1(usual).der
        case "serial number that is not minimal":
            return odd.der_with_part(usual, odd.SERIAL, NON_MINIMAL)
        case "negative serial number":
            return odd.der_with_part(usual, odd.SERIAL, odd.element(0x02, b"\x85"))
        case "serial number of 32 bytes":
            return odd.der_with_part(usual, odd.SERIAL, odd.element(0x02, b"\x11" * 32))
        case "another subject":
            return pki.self_signed("SCEP Protocol Certificate").der
        case "expired":
            return pki.certificate(
                pki.name("router1"),
                pki.key("rsa2048-c"),
                not_before=NOW - timedelta(90),
                not_after=NOW - timedelta(60),
            ).der
        case "no extensions":
            return pki.certificate(pki.name("router1"), pki.key("rsa2048-c")).der
        case "a critical authority key identifier":
            aki = x509.AuthorityKeyIdentifier(b"x" * 20, None, None)
            return pki.certificate(
                pki.name("router1"), pki.key("rsa2048-c"), extensions=[(aki, True)]
            ).der
        case "a name that cryptography refuses":
            name = w.seq(w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.printable("host_1"))))
            changed = odd.der_with_part(usual, odd.SUBJECT, name)
            tbs, algorithm, signature = odd.children(changed)
            parts = odd.children(tbs)
            parts[odd.ISSUER] = name
            return odd.element(0x30, odd.element(0x30, *parts), algorithm, signature)
    raise AssertionError(kind)


@pytest.mark.parametrize(
    "kind",
    [
        "version 1",
        "SHA-1",
        "serial number that is not minimal",
        "negative serial number",
        "serial number of 32 bytes",
        "another subject",
        "expired",
        "no extensions",
        "a critical authority key identifier",
        "a name that cryptography refuses",
    ],
)
def test_t46_t47_an_odd_transient_certificate_signs_all_the_same(world: World, kind: str) -> None:
    device = world.device()
    signer = Signer(view(transient(kind)), device.key)
    reply = world.ask(device.enrol(world.mint(), signer=signer))
    assert certificate_of(reply).public_key() == device.key.public_key()
    poll = world.ask(device.poll(signer=signer))
    assert certificate_of(poll) == certificate_of(reply)


# ------------------------------------------------------------------ encodings


def test_t41_ber_of_every_kind_is_read(world: World) -> None:
    message = world.device().enrol(world.mint())
    for seed in range(10):
        body = ber(parse(message.body), random.Random(seed))
        assert body != message.body
        certificate_of(world.ask(replace(message, body=body)))


def test_t41_constructed_encrypted_content_is_read(world: World) -> None:
    """Go's libraries write it so (Q17)."""
    device = world.device()
    key = b"k" * 16
    ca = pki.root()
    content = w.enveloped_data(
        device.csr(world.mint()), [w.rsa_recipient(ca, key)], key, constructed=True
    )
    certificate_of(world.ask(sent(device, content)))


@pytest.mark.parametrize("tag", [0x0C, 0x13, 0x16, 0x14])
def test_t42_attributes_of_any_string_type_are_read(world: World, tag: int) -> None:
    def change(attributes: dict[str, bytes]) -> None:
        attributes["messageType"] = w.attribute(w.MESSAGE_TYPE, w.tlv(tag, b"19"))
        name = w.attribute(w.TRANSACTION_ID, w.tlv(tag, b"transaction-1"))
        attributes["transactionID"] = name

    device = world.device()
    content = enveloped(device, device.csr(world.mint()))
    certificate_of(world.ask(sent(device, content, change=change)))


@pytest.mark.parametrize(
    ("tag", "codec"), [(0x0C, "utf-8"), (0x14, "latin-1"), (0x16, "ascii"), (0x1E, "utf-16-be")]
)
def test_t42_a_challenge_of_any_string_type_is_read(world: World, tag: int, codec: str) -> None:
    device, secret = world.device(), world.mint()
    challenge = w.attribute("1.2.840.113549.1.9.7", w.tlv(tag, secret.encode(codec)))
    info = w.seq(
        w.integer(0), device.name.public_bytes(), spki_der(device.key), w.tlv(0xA0, challenge)
    )
    certificate_of(world.ask(device.enrol(csr=signed(info, device.key, Digest.SHA256))))


@pytest.mark.parametrize("size", [1, 8, 32, 64])
def test_t43_a_nonce_of_any_length_is_copied(world: World, size: int) -> None:
    message = world.device().enrol(world.mint(), nonce=b"n" * size)
    certificate_of(world.ask(message))


def test_t44_signing_time_is_not_looked_at(world: World) -> None:
    device = world.device()
    content = enveloped(device, device.csr(world.mint()))
    certificate_of(world.ask(sent(device, content)))
    for hours in (-9, 9, 24 * 365):
        late = replace(world, now=NOW + timedelta(hours=hours))
        moved = replace(device, world=late)
        message = moved.enrol(world.mint(), transaction_id=f"{hours}")
        certificate_of(world.ask(message))


@pytest.mark.parametrize("kind", ["key identifier", "stale serial number", "another name"])
def test_t45_a_recipient_that_is_named_otherwise_is_tried(world: World, kind: str) -> None:
    device = world.device()
    ca = pki.root()
    rid = {
        "key identifier": w.tlv(0x80, _ski(ca)),
        "stale serial number": w.seq(ca.name.public_bytes(), w.integer(4711)),
        "another name": w.seq(
            pki.name("Former name").public_bytes(), w.integer(ca.certificate.serial_number)
        ),
    }[kind]
    key = b"k" * 16
    content = w.enveloped_data(device.csr(world.mint()), [w.rsa_recipient(ca, key, rid=rid)], key)
    certificate_of(world.ask(sent(device, content)))


def _ski(ca: pki.Identity) -> bytes:
    found = ca.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
    return found.value.digest


@pytest.mark.parametrize(
    "name", ["x", "a" * 64, "Zm9v+/==", "with blanks in it", "y" * MAX_TRANSACTION_ID]
)
def test_t48_any_transaction_id_is_echoed(world: World, name: str) -> None:
    certificate_of(world.ask(world.device().enrol(world.mint(), transaction_id=name)))


@pytest.mark.parametrize("key", ["rsa3072", "rsa4096"])
def test_t49_long_keys_enrol(world: World, key: str) -> None:
    certificate_of(world.ask(world.device(key=key).enrol(world.mint())))


def test_t50_unknown_signed_attributes_are_ignored(world: World) -> None:
    def change(attributes: dict[str, bytes]) -> None:
        attributes["randomNonce"] = w.attribute("1.2.840.113549.1.9.25.3", w.octets(b"x"))
        attributes["own"] = w.attribute("1.2.3.4.5", w.NULL, w.integer(7))

    device = world.device()
    content = enveloped(device, device.csr(world.mint()))
    certificate_of(world.ask(sent(device, content, change=change)))


def test_attributes_that_are_not_sorted_are_read(world: World) -> None:
    device = world.device()
    content = enveloped(device, device.csr(world.mint()))
    message = sent(device, content, sort=False, sign_sorted=True)
    certificate_of(world.ask(message))


# ------------------------------------------------------------------ requests


def test_t51_many_shapes_of_requests(lite: Store) -> None:
    world = World.made(lite, rules=CertificateProfile(allow_empty_subject=True))
    twenty = [f"dns:h{n}.example" for n in range(20)]
    shapes: list[tuple[x509.Name, dict[str, Any]]] = [
        (pki.name("Grüße, Jürgen"), {}),
        (x509.Name([]), {"san": ["dns:only.example"]}),
        (pki.name("many"), {"san": twenty}),
    ]
    for number, (name, options) in enumerate(shapes):
        device = replace(world.device(), name=name, transaction_id=f"{number}")
        csr = device.csr(world.mint(), **options)
        certificate = certificate_of(world.ask(device.enrol(csr=csr)))
        assert certificate.subject == name
    many = x509.Name(
        [x509.RelativeDistinguishedName([*pki.name("a").rdns[0], *pki.name("a").rdns[1]])]
    )
    device = replace(world.device(), name=many, transaction_id="multi")
    assert certificate_of(world.ask(device.enrol(world.mint()))).subject == many


def test_t51_an_empty_subject_is_refused_where_the_profile_says_so(world: World) -> None:
    device = replace(world.device(), name=x509.Name([]))
    csr = device.csr(world.mint(), san=["dns:only.example"])
    assert refusal_of(world.ask(device.enrol(csr=csr)))[0] is FailInfo.BAD_REQUEST


def test_t21_t22_the_answer_has_every_attribute_and_a_nonce_of_its_own(world: World) -> None:
    message = world.device().enrol(world.mint())
    bodies = [world.post(message.body).body for _ in range(2)]
    for body in bodies:
        assert isinstance(message.open(body, world.signers), Success)
        for oid in (w.SENDER_NONCE, w.RECIPIENT_NONCE, w.PKI_STATUS, w.TRANSACTION_ID):
            assert body.count(w.oid(oid)) == 1
        assert body.count(message.nonce) == 1
        assert w.algorithm(w.RSA, w.NULL) in body[-700:], "strongSwan reads rsaEncryption only"
    assert bodies[0] != bodies[1]


def test_the_certificate_that_signs_need_not_be_the_first(world: World) -> None:
    device = world.device()
    who = identity_of(device)
    others = [pki.root("rsa2048-b", "Some CA").der, b"\x30\x03\x02\x01\x00"]
    content = enveloped(device, device.csr(world.mint()))
    message = sent(device, content, signer=who, certificates=[*others, who.der])
    certificate_of(world.ask(message))
