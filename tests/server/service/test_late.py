"""A CA whose certificate is out of date: its profiles cannot issue, and all others can."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from scepkit.errors import ConfigErrors, FailInfo, InputError
from scepkit.server import assembly, backend, succession
from scepkit.server.cautions import cautions
from scepkit.server.health import ServiceHealth
from scepkit.server.roles import KeyPair, RaKeys, make_roles
from scepkit.server.service import ScepService
from scepkit.server.settings import Settings
from scepkit.store import Store, cas
from scepkit.store.rows import milliseconds
from tests import pki
from tests.server.service.test_assembly import PEM, configured
from tests.server.service.test_roles import authority
from tests.server.service.world import DAY, NOW, World, certificate_of, ra_keys, refusal_of
from tests.server.serving import running

FIRST, LAST = datetime(2020, 1, 1, tzinfo=UTC), datetime(2049, 1, 1, tzinfo=UTC)
#: For any clock, and for the tests' own.
PAST = datetime(2021, 1, 1, tzinfo=UTC)
LATE = NOW - DAY
KEYS = ("rsa2048-a", "rsa2048-b", "rsa3072")


def two_cas(folder: Path, **ends: datetime) -> Settings:
    """The CAs "main", of the profile default, and "other", with a profile; and when they end."""
    ends = {"main": LAST, "other": LATE, **ends}
    for (name, end), key in zip(ends.items(), KEYS, strict=False):
        ca = pki.root(key, f"{name} CA", not_before=FIRST, not_after=end)
        (folder / f"{name}.pem").write_bytes(ca.certificate.public_bytes(PEM))
        (folder / f"{name}.key").write_bytes(pki.key_pem(key))
    profiles = {"default" if name == "main" else name: name for name in ends}
    return configured(
        folder,
        {
            "ca": {name: {"key": f"{name}.key", "certificate": f"{name}.pem"} for name in ends},
            "profile": {
                name: {"ca": ca, "auth": {"challenge": {}}} for name, ca in profiles.items()
            },
        },
    )


def started(settings: Settings, store: Store) -> World:
    """As `scepkit serve` starts."""
    assembly.register(settings, store, actor="test", now=NOW)
    deployment = assembly.assemble(settings, store, NOW, late=settings.ca)
    return World(store, ScepService(store, deployment))


def test_a_ca_that_has_ended_keeps_no_other_from_starting(lite: Store, tmp_path: Path) -> None:
    settings = two_cas(tmp_path)
    world = started(settings, lite)
    certificate_of(world.ask(world.device().enrol(world.mint())))
    world.crl()
    health = ServiceHealth(world.service)
    assert health.not_ready(NOW) == ()
    said = "profile other: the certificate of the CA CN=other CA,O=Acme has expired"
    assert health.impaired(NOW) == (said,)
    gauges = {
        one.labels["profile"]: one.value for one in health.gauges(NOW) if "in_date" in one.name
    }
    assert gauges == {"default": 1, "other": 0}
    found = cautions(settings, world.service.deployment, NOW)
    assert any("the CA other has ended on 2026-05-31" in one for one in found)


def test_a_request_to_a_ca_that_has_ended_is_refused_for_the_time(
    lite: Store, tmp_path: Path
) -> None:
    world = started(two_cas(tmp_path, main=LATE, other=LAST), lite)
    reply = world.ask(world.device().enrol(world.mint()))
    assert refusal_of(reply)[0] is FailInfo.BAD_TIME


def test_nobody_is_ready_where_every_ca_has_ended(lite: Store, tmp_path: Path) -> None:
    world = started(two_cas(tmp_path, main=LATE), lite)
    assert len(ServiceHealth(world.service).not_ready(NOW)) == 2


def test_a_ca_that_has_not_begun_is_named(lite: Store, tmp_path: Path) -> None:
    settings = two_cas(tmp_path)
    world = started(settings, lite)
    early = FIRST - DAY
    assert "is not valid yet" in ServiceHealth(world.service).not_ready(early)[0]
    found = cautions(settings, world.service.deployment, early)
    assert any("is this machine's clock right?" in one for one in found)


def test_who_is_near_hears_what_cannot_be_done(lite: Store, tmp_path: Path) -> None:
    world = started(two_cas(tmp_path), lite)
    world.crl()
    health = ServiceHealth(world.service)
    with running(world.service, clock=lambda: NOW, health=health) as server:
        answer = server.ask("/readyz")
        assert answer.status == 200
        assert answer.text.startswith("ready\nprofile other: the certificate of the CA")
        stranger = server.ask("/readyz", headers=["Host: a", "X-Forwarded-For: 192.0.2.1"])
        assert (stranger.status, stranger.text) == (200, "ready\n")


@pytest.mark.parametrize(("begins", "refused"), [(FIRST, 0), (NOW + DAY, 1)])
def test_another_ca_can_roll_over_meanwhile_to_one_that_is_valid(
    lite: Store, tmp_path: Path, begins: datetime, refused: int
) -> None:
    settings = two_cas(tmp_path)
    started(settings, lite)
    following = pki.root(KEYS[0], "main CA", not_before=begins, not_after=LAST + DAY)
    lite.write(
        lambda tx: cas.add(
            tx,
            name="main",
            status="staged",
            key_ref="main.key",
            certificate=following.der,
            actor="test",
            now=milliseconds(NOW),
        )
    )
    assert len(succession.check_activation(settings, lite, "main", now=NOW)) == refused


@pytest.mark.parametrize("when", [NOW + 4000 * DAY, NOW - 4000 * DAY])
def test_all_else_is_looked_at_where_certificates_are_out_of_date(when: datetime) -> None:
    ca = pki.root()
    assert make_roles(authority(ca), now=when, late=True).offered == (ca.certificate,)
    make_roles(authority(ca), ra_keys(ca, "rsa3072"), now=when, late=True)
    other = ra_keys(pki.root("rsa2048-b", "Other CA"), "rsa3072")
    with pytest.raises(InputError, match="was not issued by the CA main"):
        make_roles(authority(ca), other, now=when, late=True)


def test_a_ca_and_an_ra_that_were_never_valid_together_are_refused() -> None:
    ca = pki.root()
    early = pki.ra(ca, "rsa3072", not_before=NOW - 4000 * DAY, not_after=NOW - 3000 * DAY)
    keys = RaKeys((KeyPair(early.certificate, early.key),))
    with pytest.raises(InputError, match="is not valid today"):
        make_roles(authority(ca), keys, now=NOW, late=True)


def test_a_reload_takes_what_was_out_of_date_before_and_nothing_new_that_is(
    tmp_path: Path,
) -> None:
    settings = two_cas(tmp_path, other=PAST)
    backend.prepare(settings)
    with closing(backend.ScepBackend(settings)) as serving:
        serving.prepare(settings)
        serving.commit()
        before = serving.service.deployment
        with pytest.raises(ConfigErrors, match=r"profile\.third: .* which today is not"):
            serving.prepare(two_cas(tmp_path, other=PAST, third=PAST))
        assert serving.service.deployment is before
