"""scepkit's own client against the service, through a transport without a socket."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from scepkit.ca import CaIssuer, make_ca
from scepkit.client import Client
from scepkit.core.csr_builder import build_csr
from scepkit.core.enrolment import Issued, Pending, Rejected, Requester
from scepkit.core.http import HttpRequest, HttpResponse, decode_get_message, parse_query
from scepkit.core.trust import PinnedCertificate
from scepkit.errors import FailInfo, RequestRejectedError
from scepkit.server import admin, jobs, offers
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.gate import Authorisers
from scepkit.server.replies import Context, Reply
from scepkit.store import Store
from tests import pki
from tests.server.service.world import DAY, World, ra_keys

SERVED = Authorisers(challenge=ChallengePolicy(), renewal=RenewalPolicy(window=3650 * DAY))


def now() -> datetime:
    """The client has a clock of its own, so these worlds live today."""
    return datetime.now(UTC)


@dataclass
class InMemory:
    """A `Transport` into a world; loses an answer where it is told to."""

    world: World
    lost: int = 0
    operations: list[str] = field(default_factory=list)

    def exchange(self, request: HttpRequest) -> HttpResponse:
        query = parse_query(urlsplit(request.url).query)
        operation = query["operation"]
        self.operations.append(f"{request.method} {operation}")
        service = self.world.service
        match operation:
            case "GetCACaps":
                reply = service.get_ca_caps("default")
            case "GetCACert":
                reply = service.get_ca_cert("default")
            case "GetNextCACert":
                reply = service.get_next_ca_cert("default")
            case _:
                reply = self._pki(request, query.get("message", ""))
        return HttpResponse(reply.status, reply.body, now(), reply.content_type)

    def _pki(self, request: HttpRequest, message: str) -> Reply:
        body = request.body if request.method == "POST" else decode_get_message(message)
        return self.world.service.pki_operation("default", body, Context(now(), "192.0.2.9"))

    def close(self) -> None:
        """Do nothing."""


def served(
    store: Store, auth: Authorisers = SERVED, ca_key: str = "rsa2048-a", ra: str | None = None
) -> tuple[World, Client]:
    ca = pki.root(ca_key)
    agent = None if ra is None else ra_keys(ca, "rsa3072", split=ra == "split")
    world = World.made(store, auth, ca=ca, ra=agent, now=now())
    client = Client(
        "http://ca.example/scep",
        trust=PinnedCertificate(ca.certificate),
        transport=InMemory(world),
    )
    return world, client


@pytest.mark.parametrize(
    ("ca_key", "ra"),
    [("rsa2048-a", None), ("rsa2048-a", "one"), ("ec256-a", "one"), ("ec384", "split")],
)
@pytest.mark.parametrize("key", ["rsa2048-c", "ec256-b"])
def test_our_client_enrols(lite: Store, ca_key: str, ra: str | None, key: str) -> None:
    world, client = served(lite, ca_key=ca_key, ra=ra)
    challenge = world.mint("CN=router1", ["dns:router1.example"])
    csr = build_csr(pki.key(key), "CN=router1", challenge=challenge, san=["dns:router1.example"])
    result = client.enrol(csr, pki.key(key))
    assert isinstance(result, Issued)
    assert result.certificate.public_key() == pki.key(key).public_key()
    assert result.chain[-1] == world.authority.active.certificate
    assert result.warnings == ()


def test_our_client_enrols_by_password_where_the_ca_cannot_decrypt(lite: Store) -> None:
    auth = Authorisers(challenge=ChallengePolicy(recoverable=True))
    ca = pki.root("ec256-a")
    world = World.made(lite, auth, ca=ca, by_password=True, now=now())
    client = Client(
        "http://ca.example/scep",
        trust=PinnedCertificate(ca.certificate),
        transport=InMemory(world),
    )
    key = pki.key("ec256-b")
    csr = build_csr(key, "CN=router1", challenge=world.mint("CN=router1", recoverable=True))
    assert isinstance(client.enrol(csr, key), Issued)


def test_our_client_renews_and_asks_for_certificate_and_crl(lite: Store) -> None:
    world, client = served(lite)
    key = pki.key("rsa2048-c")
    first = client.enrol(build_csr(key, "CN=router1", challenge=world.mint()), key)
    assert isinstance(first, Issued)
    requester = Requester(first.certificate, key)
    second = client.renew(requester, pki.key("rsa3072"))
    assert isinstance(second, Issued)
    assert second.certificate.subject == first.certificate.subject
    serial = second.certificate.serial_number
    assert client.get_certificate(serial, requester)[0] == second.certificate
    with pytest.raises(RequestRejectedError):
        client.get_certificate(12345, requester)
    jobs.make_due_crls(world.service, now())
    admin.revoke_certificate(lite, None, f"{serial:x}", actor="alice", now=now())
    jobs.make_due_crls(world.service, now())
    crl = client.get_crl(serial, requester)
    assert crl.get_revoked_certificate_by_serial_number(serial) is not None


def test_our_client_waits_for_a_person(lite: Store) -> None:
    world, client = served(lite, Authorisers(manual=True))
    key = pki.key("rsa2048-c")
    pending = client.enrol(build_csr(key, "CN=router1"), key)
    assert isinstance(pending, Pending)
    assert isinstance(client.poll(pending, key), Pending)
    admin.approve_request(lite, 1, actor="alice", now=now())
    jobs.sweep(world.service, now())
    assert isinstance(client.poll(pending, key), Issued)


def test_our_client_is_told_no(lite: Store) -> None:
    _, client = served(lite)
    key = pki.key("rsa2048-c")
    result = client.enrol(build_csr(key, "CN=router1", challenge="a guess"), key)
    assert isinstance(result, Rejected)
    assert result.fail_info is FailInfo.BAD_REQUEST


def test_our_client_reads_the_next_ca(lite: Store) -> None:
    world, client = served(lite)
    ca = pki.root()
    following = make_ca("CN=Next", pki.key("rsa2048-b"), now=now() - timedelta(days=1))
    issuer = CaIssuer(ca.certificate, ca.key)
    world.change(next_ca=offers.next_ca(issuer, following.certificate, (), now()))
    assert client.get_next_ca_certificates() == (following.certificate,)


def test_everything_goes_by_post_but_questions_about_the_ca(lite: Store) -> None:
    world = World.made(lite, now=now())
    transport = InMemory(world)
    ca = world.authority.active.certificate
    client = Client("http://ca.example/scep", trust=PinnedCertificate(ca), transport=transport)
    key = pki.key("rsa2048-c")
    client.enrol(build_csr(key, "CN=router1", challenge=world.mint()), key)
    assert sorted(transport.operations) == [
        "GET GetCACaps",
        "GET GetCACert",
        "POST PKIOperation",
    ]


def test_the_same_key_may_have_two_names(lite: Store) -> None:
    world, client = served(lite)
    key = pki.key("rsa2048-c")
    names = set()
    for name in ("CN=a", "CN=b"):
        result = client.enrol(build_csr(key, name, challenge=world.mint()), key)
        assert isinstance(result, Issued)
        names.add(result.certificate.subject)
    assert len(names) == 2
