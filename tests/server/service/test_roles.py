"""Who issues, decrypts and answers: what works, and what is refused at start with its reason."""

from __future__ import annotations

import time
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa

from scepkit.ca import CaIssuer, CertificateProfile, make_ca, make_ra_certificate
from scepkit.core.ca_certificates import authenticate
from scepkit.core.ca_replies import read_ca_certificates, verify_next_ca
from scepkit.core.capabilities import parse_capabilities
from scepkit.core.certificates import view_of
from scepkit.core.trust import CaOffer
from scepkit.errors import FailInfo, InputError, KeyUnavailable
from scepkit.server import offers, tokens
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.deployment import ALL_CIPHERS, ALL_DIGESTS, Deployment, ServedProfile
from scepkit.server.gate import Authorisers
from scepkit.server.replies import Context
from scepkit.server.roles import Authority, Generation, KeyPair, RaKeys, make_roles
from scepkit.server.service import ScepService
from scepkit.store import Store
from tests import pki
from tests.server.service.odd_requests import enveloped, sent
from tests.server.service.world import (
    CHALLENGED,
    NOW,
    PEPPER,
    World,
    certificate_of,
    generation,
    is_pending,
    ra_keys,
    refusal_of,
    rows,
)

DAY = timedelta(days=1)


def of(
    identity: pki.Identity, *, status: Any = "active", number: int = 1, **options: Any
) -> Generation:
    """A generation that is in no database."""
    issuer = CaIssuer(identity.certificate, identity.key)
    return Generation(
        number, "main", number, status, identity.certificate, (), options.get("issuer", issuer)
    )


def authority(identity: pki.Identity, **options: Any) -> Authority:
    return Authority("main", (of(identity, **options),))


def refused(match: str, ca: pki.Identity, ra: RaKeys | None = None, **options: Any) -> None:
    with pytest.raises(InputError, match=match):
        make_roles(authority(ca), ra, now=options.pop("now", NOW), **options)


# ------------------------------------------------------------------ what is refused


def test_a_ca_that_is_out_of_date_is_refused() -> None:
    refused("is valid from .* which today is not", pki.root(), now=NOW + 4000 * DAY)
    refused("is valid from .* which today is not", pki.root(), now=NOW - 4000 * DAY)


def test_a_ca_without_its_key_is_refused() -> None:
    with pytest.raises(InputError, match="the key of the CA main is not there"):
        make_roles(authority(pki.root(), issuer=None), now=NOW)


@pytest.mark.parametrize("bit", ["digitalSignature", "keyEncipherment"])
def test_a_ca_whose_key_usage_clients_refuse_needs_an_ra(bit: str) -> None:
    bits = {"key_cert_sign", "crl_sign", "digital_signature", "key_encipherment"}
    usage = pki.usage(*bits - {"digital_signature" if bit[0] == "d" else "key_encipherment"})
    ca = pki.root(key_usage=usage)
    refused(f"lacks {bit}.*configure an RA", ca)
    make_roles(authority(ca), ra_keys(ca, "rsa3072"), now=NOW)


def test_an_ra_of_another_ca_is_refused() -> None:
    other = pki.root("rsa2048-b", "Other CA")
    refused("was not issued by the CA main", pki.root(), ra_keys(other, "rsa3072"))


def test_an_ra_certificate_of_another_key_is_refused() -> None:
    ca = pki.root()
    pair = KeyPair(pki.ra(ca, "rsa3072").certificate, pki.key("rsa2048-b"))
    refused("does not belong to its key", ca, RaKeys((pair,)))


def test_an_ra_key_that_is_not_rsa_cannot_decrypt() -> None:
    ca = pki.root()
    refused("has no RSA key, and only RSA decrypts", ca, ra_keys(ca, "ec256-b"))


def test_an_ra_certificate_without_the_key_usage_is_refused() -> None:
    ca = pki.root()
    signing = pki.ra(ca, "rsa3072", use="sign")
    refused(
        "lacks the key usage keyEncipherment",
        ca,
        RaKeys((KeyPair(signing.certificate, signing.key),)),
    )


def test_an_ra_that_is_out_of_date_is_refused_but_an_old_key_may_stay() -> None:
    ca = pki.root()
    old = pki.ra(ca, "rsa2048-b", not_after=NOW - DAY)
    pair = KeyPair(old.certificate, old.key)
    refused("is not valid today", ca, RaKeys((pair,)))
    make_roles(authority(ca), RaKeys((*ra_keys(ca, "rsa3072").decrypt, pair)), now=NOW)


def test_an_ra_certificate_that_looks_like_a_devices_is_refused() -> None:
    """Our own client would not believe it, and others should not."""
    ca = pki.root()
    device = pki.device(ca, key_name="rsa3072")
    pair = KeyPair(device.certificate, device.key)
    refused("a device's", ca, RaKeys((pair,)))


def test_sending_the_ca_alone_where_an_ra_decrypts_is_refused() -> None:
    ca = pki.root()
    refused("get_ca_cert = 'ra'", ca, ra_keys(ca, "rsa3072"), offer="ca")


class Token(rsa.RSAPrivateKey):
    """A key in a token: raises for bad padding, and may forbid things or be away.

    Attributes:
        seconds: how long it takes for each use.
    """

    def __init__(self, key: rsa.RSAPrivateKey, seconds: float = 0.0) -> None:
        self.inner = key
        self.seconds = seconds
        self.allowed: set[str] = {"rsa", "oaep", "sign"}
        self.decryptions = 0

    def decrypt(self, ciphertext: bytes, padding: Any) -> bytes:
        self.decryptions += 1
        time.sleep(self.seconds)
        kind = "rsa" if type(padding).__name__ == "PKCS1v15" else "oaep"
        if kind not in self.allowed:
            raise RuntimeError("CKR_DEVICE_REMOVED")
        plain = self.inner.decrypt(ciphertext, padding)
        if kind == "rsa" and len(plain) not in {8, 16, 24, 32} and plain != tokens._PROBE:
            raise RuntimeError("CKR_ENCRYPTED_DATA_INVALID")
        return plain

    def sign(self, data: Any, padding: Any, algorithm: Any) -> bytes:
        if "sign" not in self.allowed:
            raise RuntimeError("CKR_DEVICE_REMOVED")
        time.sleep(self.seconds)
        return self.inner.sign(data, padding, algorithm)

    def public_key(self) -> rsa.RSAPublicKey:
        return self.inner.public_key()

    @property
    def key_size(self) -> int:
        return self.inner.key_size

    def private_numbers(self) -> Any:
        raise NotImplementedError

    def private_bytes(self, *_: Any, **__: Any) -> Any:
        raise NotImplementedError

    def __copy__(self) -> Any:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        return self


def token_ra(ca: pki.Identity) -> tuple[RaKeys, Token]:
    token = Token(pki.rsa_key("rsa3072"))
    return RaKeys((KeyPair(pki.ra(ca, "rsa3072").certificate, token),)), token


def test_a_token_that_decrypts_oaep_only_is_refused() -> None:
    ca = pki.root()
    ra, token = token_ra(ca)
    token.allowed = {"oaep", "sign"}
    refused("decrypts OAEP only", ca, ra)
    token.allowed = {"sign"}
    refused("cannot decrypt", ca, ra)
    token.allowed = {"rsa"}
    refused("the key that signs replies cannot sign", ca, ra)


# ------------------------------------------------------------------ tokens at work


def test_a_token_enrols_like_any_key(lite: Store) -> None:
    ca = pki.root()
    ra, _ = token_ra(ca)
    world = World.made(lite, ca=ca, ra=ra)
    certificate_of(world.ask(world.device().enrol(world.mint())))


def test_a_token_that_raises_for_bad_padding_answers_like_openssl(lite: Store) -> None:
    ca = pki.root()
    ra, token = token_ra(ca)
    world = World.made(lite, ca=ca, ra=ra)
    device = world.device()
    content = enveloped(device, device.csr("x"), encrypted_key=b"\x01" * 384)
    assert refusal_of(world.ask(sent(device, content))) == (FailInfo.BAD_MESSAGE_CHECK, "")
    assert token.decryptions == 2, "the request, and whether the token is there"


def test_a_token_that_is_away_makes_clients_come_back(lite: Store) -> None:
    ca = pki.root()
    ra, token = token_ra(ca)
    world = World.made(lite, ca=ca, ra=ra)
    message = world.device().enrol(world.mint())
    token.allowed = {"sign"}
    with pytest.raises(KeyUnavailable, match="decrypts"):
        world.post(message.body)
    token.allowed = {"rsa"}
    with pytest.raises(KeyUnavailable, match="signs replies"):
        world.post(message.body)
    token.allowed = {"rsa", "sign"}
    certificate_of(world.ask(message))
    assert rows(lite, "SELECT uses_left FROM challenge") == [(0,)]


class FaultyKey(Token):
    """A CA's key that is away."""


def test_a_ca_key_that_is_away_means_pending_and_the_request_stays_approved(
    store: Store,
) -> None:
    identity = pki.root()
    token = FaultyKey(pki.rsa_key("rsa2048-a"))
    world = World.made(
        store, ca=pki.Identity(identity.certificate, token), ra=ra_keys(identity, "rsa3072")
    )
    device, secret = world.device(), world.mint()
    token.allowed = set()
    assert is_pending(world.ask(device.enrol(secret)))
    assert is_pending(world.ask(device.poll()))
    assert is_pending(world.ask(device.enrol(secret, transaction_id="new")))
    ((state, serial),) = rows(store, "SELECT operation.state, serial FROM operation, certificate")
    assert state == "approved"
    token.allowed = {"sign"}
    certificate = certificate_of(world.ask(device.poll()))
    assert f"{certificate.serial_number:x}" == serial


# ------------------------------------------------------------------ what the server says of itself


def caps(world: World) -> set[str]:
    reply = world.service.get_ca_caps("default")
    assert (reply.status, reply.content_type) == (200, "text/plain")
    assert reply.body.endswith(b"\n")
    return set(reply.body.decode().split())


def test_the_capabilities_are_those_that_are_there(lite: Store) -> None:
    world = World.made(lite)
    everything = {
        "AES", "DES3", "POSTPKIOperation", "SHA-1", "SHA-256", "SHA-384", "SHA-512", "SCEPStandard"
    }  # fmt: skip
    assert caps(world) == everything
    world.change(
        ciphers=ALL_CIPHERS - {c for c in ALL_CIPHERS if c.value == "3des-cbc"},
        digests=ALL_DIGESTS - {d for d in ALL_DIGESTS if d.value == "sha1"},
    )
    assert caps(world) == everything - {"DES3", "SHA-1"}
    world.change(auth=Authorisers(renewal=RenewalPolicy()), next_ca=b"...")
    assert {"Renewal", "GetNextCACert"} <= caps(world)
    assert parse_capabilities(world.service.get_ca_caps("default").body).scep_standard


def test_post_that_is_not_announced_is_no_standard_either(lite: Store) -> None:
    world = World.made(lite, announce_post=False)
    assert {"POSTPKIOperation", "SCEPStandard"}.isdisjoint(caps(world))


@pytest.mark.parametrize(
    ("ra", "offer", "type_", "count"),
    [
        (None, "auto", "application/x-x509-ca-cert", 1),
        (None, "ca", "application/x-x509-ca-cert", 1),
        ("one", "auto", "application/x-x509-ca-ra-cert", 2),
        ("split", "auto", "application/x-x509-ca-ra-cert", 3),
        ("one", "chain", "application/x-x509-ca-ra-cert", 3),
        (None, "chain", "application/x-x509-ca-ra-cert", 2),
    ],
)
def test_get_ca_cert_sends_what_is_wanted(
    lite: Store, ra: str | None, offer: str, type_: str, count: int
) -> None:
    root = pki.root("ec256-a")
    ca = pki.intermediate(root, "rsa2048-a")
    agent = None if ra is None else ra_keys(ca, "rsa3072", split=ra == "split")
    chain = [root.certificate] if offer == "chain" else []
    world = World.made(lite, ca=ca, chain=chain, ra=agent, offer=offer)
    reply = world.service.get_ca_cert("default")
    found = read_ca_certificates(reply.body, reply.content_type)
    assert (reply.content_type, len(found)) == (type_, count)
    trusted = authenticate(CaOffer("", None, found), found[-1], NOW)
    assert view_of(trusted.recipient) == world.recipient


def test_get_next_ca_cert_is_signed_with_the_present_key_and_believed(lite: Store) -> None:
    ca = pki.root()
    following = make_ca("CN=Next CA", pki.key("rsa3072"), now=NOW)
    issuer = CaIssuer(ca.certificate, ca.key)
    world = World.made(lite, ca=ca, next_ca=offers.next_ca(issuer, following.certificate, (), NOW))
    reply = world.service.get_next_ca_cert("default")
    assert (reply.status, reply.content_type) == (200, "application/x-x509-next-ca-cert")
    trusted = authenticate(CaOffer("", None, (ca.certificate,)), ca.certificate, NOW)
    assert verify_next_ca(reply.body, trusted, NOW) == (following.certificate,)
    world.change(next_ca=None)
    assert world.service.get_next_ca_cert("default").status == 404


def test_an_unknown_profile_is_not_found(lite: Store) -> None:
    world = World.made(lite)
    service = world.service
    for reply in (
        service.get_ca_caps("x"),
        service.get_ca_cert("x"),
        service.get_next_ca_cert("x"),
        service.pki_operation("x", b"", Context(NOW)),
    ):
        assert reply.status == 404


# ------------------------------------------------------------------ rollover


def rolled(lite: Store, ra: bool = False) -> tuple[World, pki.Identity, pki.Identity]:
    """A world with a staged generation of a new key."""
    old, new = pki.root(), pki.root("rsa2048-b")
    generations = (
        generation(lite, old),
        generation(lite, new, status="staged"),
    )
    ca = Authority("main", generations)
    served = ServedProfile(
        name="default",
        roles=make_roles(ca, ra_keys(old, "rsa3072") if ra else None, now=NOW),
        rules={one.ca_id: CertificateProfile() for one in generations},
        auth=CHALLENGED,
    )
    deployment = Deployment({"default": served}, {"main": ca}, PEPPER)
    return World(lite, ScepService(lite, deployment)), old, new


def test_a_request_for_the_next_ca_is_issued_and_answered_by_it(lite: Store) -> None:
    """RFC 8894 section 5.1, R106, T94."""
    world, old, new = rolled(lite)
    message = world.device().enrol(world.mint(), recipient=view_of(new.certificate))
    reply = message.open(world.post(message.body).body, [view_of(new.certificate)])
    certificate_of(reply).verify_directly_issued_by(new.certificate)
    message = world.device("router2").enrol(world.mint(), transaction_id="t2")
    certificate_of(world.ask(message)).verify_directly_issued_by(old.certificate)


def test_after_activation_a_request_for_the_old_ca_is_answered_in_its_name(lite: Store) -> None:
    world, old, new = rolled(lite)
    first, second = world.authority.generations
    swapped = Authority(
        "main",
        (
            Generation(first.ca_id, "main", 1, "retired", first.certificate, (), first.issuer),
            Generation(second.ca_id, "main", 2, "active", second.certificate, (), second.issuer),
        ),
    )
    world.service.deployment = Deployment(
        {"default": replace(world.profile, roles=make_roles(swapped, now=NOW))},
        {"main": swapped},
        world.service.deployment.pepper,
    )
    message = world.device().enrol(world.mint(), recipient=view_of(old.certificate))
    reply = message.open(world.post(message.body).body, [view_of(old.certificate)])
    certificate_of(reply).verify_directly_issued_by(new.certificate)
    assert world.signers == [view_of(new.certificate)]


def test_ra_certificates_of_the_next_generation_wait_until_it_is_active() -> None:
    old, new = pki.root("ec256-a"), pki.root("ec256-b")
    pairs = tuple(
        KeyPair(one.certificate, one.key)
        for one in (pki.ra(new, "rsa3072"), pki.ra(old, "rsa3072"))
    )
    before = Authority("main", (of(old), of(new, status="staged", number=2)))
    roles = make_roles(before, RaKeys(pairs), now=NOW)
    assert roles.signer.certificate == view_of(pairs[1].certificate)
    assert roles.offered[0] == pairs[1].certificate
    after = Authority("main", (of(old, status="retired"), of(new, number=2)))
    roles = make_roles(after, RaKeys(pairs), now=NOW)
    assert roles.signer.certificate == view_of(pairs[0].certificate)
    assert len(roles.openers) == 2


def test_an_ed25519_ca_behind_an_rsa_ra_issues(lite: Store) -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    issuer = make_ca("CN=Ed CA", key, now=NOW)
    ca = pki.Identity(issuer.certificate, key)  # type: ignore[arg-type]
    ra = make_ra_certificate(issuer, "CN=RA", pki.key("rsa3072").public_key(), now=NOW)
    world = World.made(lite, ca=ca, ra=RaKeys((KeyPair(ra, pki.key("rsa3072")),)))
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    certificate.verify_directly_issued_by(issuer.certificate)


def test_notes_say_what_may_surprise() -> None:
    roles = make_roles(authority(pki.root("ec256-a")), now=NOW, by_password=True)
    assert len(roles.notes) == 2
    assert make_roles(authority(pki.root()), now=NOW).notes == ()


def test_a_guarded_key_shows_nothing_and_signs() -> None:
    key = tokens.guarded(Token(pki.rsa_key()))
    assert isinstance(key, tokens.GuardedKey)
    assert tokens.guarded(key) is key
    assert tokens.guarded(pki.rsa_key()) is pki.rsa_key()
    assert key.key_size == 2048
    assert tokens.can_sign(key)
    assert not tokens.can_decrypt(pki.key("ec256-a"))
    with pytest.raises(NotImplementedError):
        key.private_numbers()
    with pytest.raises(NotImplementedError):
        key.private_bytes(None, None, None)
