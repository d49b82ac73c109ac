"""The published weaknesses of other SCEP servers, each tried on this one."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.x509.oid import ExtendedKeyUsageOID

from scepkit.ca import CertificateProfile
from scepkit.ca.profile import SID_EXTENSION
from scepkit.core.certificates import view_of
from scepkit.core.cms import Signer
from scepkit.errors import FailInfo, InputError
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.gate import Authorisers
from scepkit.store import Store, certificates
from scepkit.store.rows import milliseconds
from tests import cms_writer as w
from tests import pki
from tests.server.service.odd_requests import enveloped, sent
from tests.server.service.oracles import causes
from tests.server.service.world import (
    CHALLENGED,
    DAY,
    NOW,
    World,
    audited,
    certificate_of,
    count,
    refusal_of,
)

BAD_CHECK, BAD_REQUEST = FailInfo.BAD_MESSAGE_CHECK, FailInfo.BAD_REQUEST
RENEWING = replace(CHALLENGED, renewal=RenewalPolicy(window=3650 * DAY))


def test_vu_971035_a_challenge_is_bound_to_whom_it_is_for(lite: Store) -> None:
    world = World.made(lite)
    secret = world.mint("CN=phone-17,O=Acme")
    reply = world.ask(world.device("ceo").enrol(secret))
    assert refusal_of(reply)[0] is BAD_REQUEST


@pytest.mark.parametrize("number", ["0", "1", "3", "16", "17", "18", "20", "23", "99"])
def test_cve_2026_30836_no_message_type_gets_round_the_challenge(lite: Store, number: str) -> None:
    world = World.made(lite, RENEWING)
    device = world.device()
    reply = world.ask(sent(device, enveloped(device, device.csr()), message_type=number))
    assert refusal_of(reply)[0] in {BAD_REQUEST, BAD_CHECK, FailInfo.BAD_CERT_ID}
    assert count(lite, "certificate") == 0


@pytest.mark.parametrize("auth", [Authorisers(), RENEWING, CHALLENGED])
def test_cve_2025_44005_no_configuration_gets_round_the_authorisation(
    lite: Store, auth: Authorisers
) -> None:
    world = World.made(lite, auth)
    for challenge in (None, "", "x"):
        refusal_of(world.ask(world.device().enrol(challenge)))
    assert count(lite, "certificate") == 0


@pytest.mark.parametrize("attribute", ["transactionID", "messageType", "senderNonce"])
@pytest.mark.parametrize(
    "value",
    [
        w.integer(19),
        w.tlv(0x01, b"\xff"),
        w.NULL,
        w.seq(w.printable("19")),
        b"\x13\x84\x00\x00\x00\x02\x31\x39",
        b"\x1f\x81\x01\x02\x31\x39",
        b"\x13\x80\x31\x39\x00\x00",
    ],
)
def test_cve_2026_7668_attributes_of_a_wrong_type_hurt_nobody(
    lite: Store, attribute: str, value: bytes
) -> None:
    def change(attributes: dict[str, bytes]) -> None:
        oid = {
            "transactionID": w.TRANSACTION_ID,
            "messageType": w.MESSAGE_TYPE,
            "senderNonce": w.SENDER_NONCE,
        }[attribute]
        attributes[attribute] = w.attribute(oid, value)

    world = World.made(lite)
    device = world.device()
    secret = world.mint("CN=somebody else")
    message = sent(device, enveloped(device, device.csr(secret)), change=change)
    assert world.post(message.body).status in {200, 400}
    assert count(lite, "certificate") == 0


def test_cve_2021_41987_long_and_odd_fields_hurt_nobody(lite: Store) -> None:
    world = World.made(lite)
    device = world.device()
    content = enveloped(device, device.csr("x"))
    for nonce in (b"", b"n" * 65, b"n" * 30_000):
        assert world.post(sent(device, content, nonce=nonce).body).status == 400
    for size in (256, 60_000):
        assert world.post(sent(device, content, transaction_id="x" * size).body).status == 400
    padded = sent(device, enveloped(device, device.csr("x" * 4096)))
    assert refusal_of(world.ask(padded))[0] is BAD_REQUEST


def test_cve_2020_25276_a_revoked_certificate_authenticates_nobody(lite: Store) -> None:
    world = World.made(lite, RENEWING)
    device = world.device()
    device = device.issued(world.ask(device.enrol(world.mint())))
    assert device.certificate is not None
    serial = f"{device.certificate.serial_number:x}"
    ca_id = world.authority.active.ca_id
    lite.write(
        lambda tx: certificates.revoke(
            tx, ca_id, serial, reason=1, actor="alice", now=milliseconds(NOW)
        )
    )
    reply = world.ask(device.renew("rsa3072", transaction_id="r"))
    assert refusal_of(reply)[0] is BAD_REQUEST


def test_cve_2022_26921_and_26923_no_request_names_a_windows_account(lite: Store) -> None:
    with pytest.raises(InputError, match="become any Windows account"):
        CertificateProfile(copied_extensions=frozenset({SID_EXTENSION}))
    world = World.made(lite)
    device = world.device()
    sid = (x509.UnrecognizedExtension(SID_EXTENSION, b"\x30\x00"), False)
    csr = device.csr(world.mint(), extensions=[sid])
    certificate = certificate_of(world.ask(device.enrol(csr=csr)))
    assert SID_EXTENSION not in [one.oid for one in certificate.extensions]
    # The form that Windows reads, letter by letter; devices of an MDM ask for it.
    for uri in (
        "tag:microsoft.com,2022-09-14:sid:S-1-5-21-1-500",
        "TAG:MICROSOFT.COM,2030-01-01:x",
    ):
        csr = device.csr(world.mint(), san=[x509.UniformResourceIdentifier(uri)])
        refused = refusal_of(world.ask(device.enrol(csr=csr, transaction_id=uri)))
        why = "alternative names of kind uri that name a Windows SID are not allowed here"
        assert refused == (BAD_REQUEST, why)


@pytest.mark.parametrize(
    "block", ["no PKCS#1 type", "no zero in PKCS#1", "all zero", "a key too short"]
)
def test_cve_2020_25659_and_2023_50782_a_bad_padding_is_like_any_other_content(
    lite: Store, block: str
) -> None:
    """And bc-java 1528: Bleichenbacher's oracle; `test_oracles` has the times."""
    world = World.made(lite)
    make = causes(world.device())
    bad, content = (refusal_of(world.ask(make[one]())) for one in (block, "first block"))
    assert bad == content
    reasons = {row["failInfo"] for _, row in audited(lite)[1:]}
    assert reasons == {"badMessageCheck"}


def test_cve_2020_25659_and_2023_50782_openssl_tells_nothing_about_a_padding() -> None:
    """Since OpenSSL 3.2 a bad padding gives content by chance instead of an error."""
    key = pki.rsa_key("rsa2048-a")
    for number in range(50):
        ciphertext = (number + 2).to_bytes(256, "big")
        assert isinstance(key.decrypt(ciphertext, padding.PKCS1v15()), bytes)


def test_mkcertweb_no_challenge_configured_is_not_no_challenge_needed(lite: Store) -> None:
    world = World.made(lite, Authorisers())
    for challenge in (None, ""):
        assert refusal_of(world.ask(world.device().enrol(challenge)))[0] is BAD_REQUEST


# Commits 0713858a, b9b15018, baa29050 and 61b9975d of another Python server.


def test_ucm_0713858a_an_empty_challenge_is_none(lite: Store) -> None:
    world = World.made(lite)
    for challenge in (None, "", " ", "\0"):
        assert refusal_of(world.ask(world.device().enrol(challenge)))[0] is BAD_REQUEST


def test_ucm_b9b15018_an_expired_certificate_renews_nothing(lite: Store) -> None:
    world = World.made(lite, RENEWING)
    device = world.device()
    device = device.issued(world.ask(device.enrol(world.mint())))
    world.now = NOW + 366 * DAY
    reply = world.ask(device.renew("rsa3072", transaction_id="r"))
    assert refusal_of(reply)[0] is BAD_REQUEST


def test_ucm_baa29050_a_request_for_a_ca_or_a_foreign_usage_gets_neither(lite: Store) -> None:
    world = World.made(lite)
    device = world.device()
    csr = device.csr(
        world.mint(),
        extensions=[
            (x509.BasicConstraints(ca=True, path_length=None), True),
            (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
        ],
    )
    certificate = certificate_of(world.ask(device.enrol(csr=csr)))
    found = {one.oid: one.value for one in certificate.extensions}
    assert found[x509.BasicConstraints.oid] == x509.BasicConstraints(False, None)
    usage = found[x509.ExtendedKeyUsage.oid]
    assert ExtendedKeyUsageOID.OCSP_SIGNING not in usage


def test_ucm_61b9975d_a_request_for_a_weak_key_gets_nothing(lite: Store) -> None:
    world = World.made(lite)
    reply = world.ask(world.device(key="rsa1024").enrol(world.mint()))
    assert refusal_of(reply)[0] in {BAD_REQUEST, FailInfo.BAD_ALG}
    assert count(lite, "certificate") == 0


def test_openxpki_a_certificate_without_a_chain_to_us_is_no_signer(lite: Store) -> None:
    """Commit facaf4a27: a broken chain was trusted."""
    world = World.made(lite, RENEWING)
    fake_ca = pki.root("rsa2048-b")  # our CA's name, another key
    assert fake_ca.name == world.authority.active.certificate.subject
    fake = pki.device(fake_ca, "router1", "rsa2048-c")
    signer = Signer(view_of(fake.certificate), fake.key)
    reply = world.ask(world.device().renew("rsa3072", signer=signer))
    assert refusal_of(reply)[0] is BAD_CHECK


def test_dogtag_cve_2021_20179_who_is_authenticated_is_not_yet_authorised(lite: Store) -> None:
    world = World.made(lite, RENEWING)
    device = world.device("printer")
    device = device.issued(world.ask(device.enrol(world.mint())))
    csr = replace(device, name=pki.name("domain-controller"), key_name="rsa3072").csr()
    reply = world.ask(device.renew("rsa3072", csr=csr, transaction_id="r"))
    assert refusal_of(reply)[0] is BAD_REQUEST
