"""A CA with its database, as the tests of the service use it: keys of `pki`, everything else small.

world = World.made(store, auth=Authorisers(challenge=ChallengePolicy()))
secret = world.mint()
reply = world.ask(device.request(challenge=secret))
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CaIssuer, CertificateProfile
from scepkit.core import messages
from scepkit.core.certificates import CertificateView, view_of
from scepkit.core.cms import Signer
from scepkit.core.csr_builder import build_csr, self_signed_certificate
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    Failure,
    MessageData,
    PkcsReq,
    Protection,
    RenewalReq,
    StillPending,
    Success,
)
from scepkit.server.auth_challenge import ChallengePolicy, new_challenge
from scepkit.server.deployment import Deployment, ServedProfile
from scepkit.server.gate import Authorisers
from scepkit.server.naming import Binding
from scepkit.server.pepper import Pepper
from scepkit.server.replies import Context, Reply
from scepkit.server.roles import Authority, Generation, KeyPair, RaKeys, make_roles
from scepkit.server.service import ScepService
from scepkit.store import Store, cas, challenges
from scepkit.store.rows import Crl, milliseconds
from tests import pki
from tests.store.enrolling import put_whole

NOW = pki.NOW
DAY = timedelta(days=1)
PEPPER = Pepper(b"p" * 32)
PROTECTION = Protection()
CHALLENGED = Authorisers(challenge=ChallengePolicy())


def generation(
    store: Store,
    identity: pki.Identity,
    *,
    name: str = "main",
    status: str = "active",
    chain: Sequence[x509.Certificate] = (),
    with_key: bool = True,
) -> Generation:
    """A generation of a CA, in the database and in hand."""

    def add(tx: Any) -> Any:
        return cas.add(
            tx,
            name=name,
            status=status,  # type: ignore[arg-type]
            key_ref="test",
            certificate=identity.der,
            actor="test",
            now=milliseconds(NOW),
        )

    row = store.write(add)
    assert row is not None
    issuer = CaIssuer(identity.certificate, identity.key, tuple(chain)) if with_key else None
    return Generation(
        row.id, name, row.generation, row.status, identity.certificate, tuple(chain), issuer
    )


@dataclass
class World:
    """A service with one profile ("default"), and those who talk to it."""

    store: Store
    service: ScepService
    now: datetime = NOW

    @staticmethod
    def made(
        store: Store,
        auth: Authorisers = CHALLENGED,
        *,
        ca: pki.Identity | None = None,
        chain: Sequence[x509.Certificate] = (),
        ra: RaKeys | None = None,
        rules: CertificateProfile | None = None,
        offer: Any = "auto",
        by_password: bool = False,
        lease: timedelta = timedelta(seconds=30),
        grid: timedelta = timedelta(),
        now: datetime = NOW,
        **profile: Any,
    ) -> World:
        """A CA ("main", by default RSA and without an RA) and a service."""
        identity = ca or pki.root()
        authority = Authority("main", (generation(store, identity, chain=chain),))
        roles = make_roles(
            authority, ra, offer=offer, now=now, by_password=by_password, trial=False
        )
        served = ServedProfile(
            name="default",
            roles=roles,
            rules={one.ca_id: rules or CertificateProfile() for one in authority.generations},
            auth=auth,
            **profile,
        )
        deployment = Deployment({"default": served}, {"main": authority}, PEPPER)
        service = ScepService(store, deployment, lease=lease, failure_grid=grid)
        return World(store, service, now)

    @staticmethod
    def joined(store: Store, auth: Authorisers = CHALLENGED) -> World:
        """Another process with the CA that `made` put into the database."""
        identity = pki.root()
        row = store.read(lambda tx: cas.active(tx, "main"))
        assert row is not None
        issuer = CaIssuer(identity.certificate, identity.key)
        own = Generation(row.id, "main", 1, "active", identity.certificate, (), issuer)
        authority = Authority("main", (own,))
        served = ServedProfile(
            name="default",
            roles=make_roles(authority, now=NOW, trial=False),
            rules={row.id: CertificateProfile()},
            auth=auth,
        )
        deployment = Deployment({"default": served}, {"main": authority}, PEPPER)
        return World(store, ScepService(store, deployment, failure_grid=timedelta()))

    @property
    def profile(self) -> ServedProfile:
        return self.service.deployment.profiles["default"]

    @property
    def authority(self) -> Authority:
        return self.service.deployment.authorities["main"]

    def change(self, **values: Any) -> None:
        """Another deployment, with the profile changed."""
        old = self.service.deployment
        profiles = {**old.profiles, "default": replace(self.profile, **values)}
        self.service.deployment = Deployment(profiles, old.authorities, old.pepper)

    def mint(
        self,
        subject: str = "",
        san: Sequence[str] = (),
        *,
        uses: int = 1,
        ttl: timedelta = timedelta(hours=1),
        profile: str = "default",
        recoverable: bool = False,
    ) -> str:
        """A challenge."""
        secret, row = new_challenge(
            PEPPER,
            profile,
            Binding.of(subject, san),
            recoverable=recoverable,
            uses=uses,
            now=self.now,
            expires_at=self.now + ttl,
        )
        self.store.write(
            lambda tx: challenges.mint(tx, [row], actor="test", now=milliseconds(self.now))
        )
        return secret

    def ask(self, message: Message, *, address: str = "192.0.2.7") -> CertRep:
        """Send a message and open the CertRep."""
        reply = self.post(message.body, address=address)
        assert reply.status == 200, reply.body
        assert reply.content_type == "application/x-pki-message"
        return message.open(reply.body, self.signers)

    def post(self, body: bytes, *, address: str = "192.0.2.7") -> Reply:
        """Send bytes."""
        return self.service.pki_operation("default", body, Context(self.now, address, "POST"))

    @property
    def signers(self) -> list[CertificateView]:
        return [self.profile.roles.signer.certificate]

    @property
    def recipient(self) -> CertificateView:
        """Whom requests are encrypted to."""
        return self.profile.roles.openers[0].key.certificate

    @property
    def issuer(self) -> bytes:
        """The name of the CA, in DER."""
        return self.authority.active.certificate.subject.public_bytes()

    def device(self, common_name: str = "router1", key: str = "rsa2048-c") -> Device:
        return Device(self, pki.name(common_name), key)

    def crl(self) -> bytes:
        """A CRL, made on the spot."""
        issuer = self.authority.active.issuer
        assert issuer is not None
        crl = issuer.make_crl([], 1, self.now)
        der = crl.public_bytes(Encoding.DER)
        now = milliseconds(self.now)
        row = Crl(self.authority.active.ca_id, 1, now, now + 86_400_000, 0, der)
        self.store.write(lambda tx: put_whole(tx, row))
        return der


@dataclass(frozen=True)
class Message:
    """A pkiMessage, and what is needed to read its answer."""

    body: bytes
    transaction_id: str
    nonce: bytes
    decrypt_with: DecryptionKey | Password

    def open(self, reply: bytes, signers: Sequence[CertificateView]) -> CertRep:
        return messages.open_reply(
            reply,
            transaction_id=self.transaction_id,
            sender_nonce=self.nonce,
            signers=signers,
            decrypt_with=self.decrypt_with,
        )


class Surroundings(Protocol):
    """What a device knows of the world."""

    @property
    def now(self) -> datetime:
        """The time."""

    @property
    def recipient(self) -> CertificateView:
        """Whom requests are encrypted to."""

    @property
    def issuer(self) -> bytes:
        """The name of the CA, in DER."""


@dataclass(frozen=True)
class Device:
    """Somebody who enrols."""

    world: Surroundings
    name: x509.Name
    key_name: str = "rsa2048-c"
    transaction_id: str = "transaction-1"
    certificate: x509.Certificate | None = field(default=None)

    @property
    def key(self) -> pki.PrivateKey:
        return pki.key(self.key_name)

    def csr(self, challenge: str | None = None, **options: Any) -> bytes:
        """A request in DER."""
        csr = build_csr(self.key, self.name, challenge=challenge, **options)
        return csr.public_bytes(Encoding.DER)

    def signer(self) -> Signer:
        """The issued certificate, or a self-signed one."""
        certificate = self.certificate
        if certificate is None:
            csr = build_csr(self.key, self.name)
            certificate = self_signed_certificate(csr, self.key, now=self.world.now)
        return Signer(view_of(certificate), self.key)

    def enrol(
        self, challenge: str | None = None, *, csr: bytes | None = None, **options: Any
    ) -> Message:
        """A PKCSReq."""
        return self.message(PkcsReq(self.csr(challenge) if csr is None else csr), **options)

    def renew(
        self,
        new_key: str,
        challenge: str | None = None,
        *,
        csr: bytes | None = None,
        **options: Any,
    ) -> Message:
        """A RenewalReq for a new key."""
        asked = replace(self, key_name=new_key).csr(challenge) if csr is None else csr
        return self.message(RenewalReq(asked), **options)

    def poll(self, **options: Any) -> Message:
        """A CertPoll."""
        return self.message(CertPoll(self.world.issuer, self.name.public_bytes()), **options)

    def message(
        self,
        data: MessageData,
        *,
        transaction_id: str = "",
        nonce: bytes = b"",
        signer: Signer | None = None,
        protection: Protection = PROTECTION,
        recipient: CertificateView | Password | None = None,
        decrypt_with: Password | None = None,
    ) -> Message:
        by = signer or self.signer()
        chosen = transaction_id or self.transaction_id
        nonce = nonce or messages.new_nonce()
        body = messages.encode_request(
            data,
            transaction_id=chosen,
            sender_nonce=nonce,
            signer=by,
            recipient=recipient or self.world.recipient,
            protection=protection,
            signing_time=self.world.now,
        )
        opens = decrypt_with or DecryptionKey(by.certificate, by.key)
        return Message(body, chosen, nonce, opens)

    def issued(self, reply: CertRep) -> Device:
        """The same device with the certificate of a SUCCESS."""
        return replace(self, certificate=certificate_of(reply))


def certificate_of(reply: CertRep) -> x509.Certificate:
    """The one certificate of a SUCCESS."""
    assert isinstance(reply, Success), reply
    (der,) = reply.certificates
    return x509.load_der_x509_certificate(der)


def refusal_of(reply: CertRep) -> tuple[Any, str]:
    """failInfo and text of a FAILURE."""
    assert isinstance(reply, Failure), reply
    return reply.fail_info, reply.fail_info_text


def is_pending(reply: CertRep) -> bool:
    return isinstance(reply, StillPending)


def ra_keys(ca: pki.Identity, key: str = "rsa2048-c", *, split: bool = False) -> RaKeys:
    """An RA of a CA."""
    if split:
        signing = pki.ra(ca, "rsa2048-b", "Signing RA", use="sign")
        opening = pki.ra(ca, key, "Opening RA", use="encrypt")
        return RaKeys(
            (KeyPair(opening.certificate, opening.key),), KeyPair(signing.certificate, signing.key)
        )
    one = pki.ra(ca, key)
    return RaKeys((KeyPair(one.certificate, one.key),))


def rows(store: Store, sql: str, **parameters: Any) -> list[tuple[Any, ...]]:
    """Look into the database."""
    return store.read(lambda tx: tx.all(sql, parameters))


def count(store: Store, table: str) -> int:
    """How many rows a table has."""
    ((number,),) = rows(store, f"SELECT count(*) FROM {table}")  # noqa: S608
    return int(number)


def audited(store: Store) -> list[tuple[str, Mapping[str, Any]]]:
    """The audit trail: actions with their details."""
    found = rows(store, "SELECT action, detail FROM audit ORDER BY seq")
    return [(action, json.loads(detail)) for action, detail in found]
