"""From `scepkit.toml` to a deployment that serves, and every reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import make_ca
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.certificates import view_of
from scepkit.errors import ConfigErrors, StoreUnavailable
from scepkit.server import admin, assembly, cautions, jobs
from scepkit.server.auth_static import static_secret
from scepkit.server.deployment import Deployment
from scepkit.server.service import ScepService
from scepkit.server.settings import Settings
from scepkit.store import Store, cas, open_store
from tests import pki
from tests.server.service.world import NOW, World, certificate_of
from tests.server.written import settings_of

PEM = Encoding.PEM


def files(folder: Path, ca: pki.Identity, key: str = "rsa2048-a") -> None:
    (folder / "ca.pem").write_bytes(ca.certificate.public_bytes(PEM))
    (folder / "ca.key").write_bytes(pki.key_pem(key))


def configured(folder: Path, changes: Mapping[str, Any] | None = None) -> Settings:
    """Settings of one CA and one profile, with whole tables replaced."""
    raw: dict[str, Any] = {
        "server": {"public_url": "http://ca.example"},
        "secrets": {"challenge_key": "p" * 32},
        "ca": {"main": {"key": "ca.key", "certificate": "ca.pem"}},
        "profile": {"default": {"auth": {"challenge": {}}}},
    }
    return settings_of({**raw, **(changes or {})}, folder)


def started(settings: Settings, store: Store) -> Deployment:
    assembly.register(settings, store, actor="test", now=NOW)
    return assembly.assemble(settings, store, NOW)


def errors(settings: Settings, store: Store) -> dict[str, str]:
    with pytest.raises(ConfigErrors) as caught:
        assembly.assemble(settings, store, NOW)
    return {one.path: one.problem for one in caught.value.errors}


def test_a_small_configuration_serves(store: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    deployment = started(configured(tmp_path), store)
    world = World(store, ScepService(store, deployment))
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    text = str(certificate.extensions)
    assert "http://ca.example/crl/main.crl" in text
    assert "http://ca.example/ca/main.cer" in text
    jobs.make_due_crls(world.service, NOW)
    assert world.service.crl("main", NOW) is not None
    deployment.close()


def test_registering_twice_changes_nothing(store: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    settings = configured(tmp_path)
    for _ in range(2):
        assembly.register(settings, store, actor="test", now=NOW)
    (row,) = store.read(cas.listing)
    assert (row.name, row.generation, row.status) == ("main", 1, "active")


def test_assembling_writes_nothing_and_shows_what_will_be(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    deployment = assembly.assemble(configured(tmp_path), lite, NOW)
    assert deployment.authorities["main"].active.status == "active"
    assert lite.read(cas.listing) == []


def test_every_setting_of_a_profile_arrives(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    (tmp_path / "secret").write_text("everybody's secret")
    auth = {
        "challenge": {"ttl": "5m", "uses": 2, "return_unused": True},
        "static_secret_file": "secret",
        "webhook": {"url": "https://hook.example/x", "secret": "a2V5", "id": "h", "timeout": "3s"},
        "program": {"argv": ["/bin/true"], "timeout": "4s"},
        "renewal": {"window": "30d", "allowed": ["main"], "same_key": False},
        "manual": True,
        "approve_all": True,
        "notify": {"url": "https://hook.example/n", "bearer": "t0k3n"},
    }
    profile = {
        "auth": auth,
        "accept_3des": False,
        "accept_sha1": False,
        "accept_single_des_requests": True,
        "announce_post": False,
        "reply_certificates": "chain",
        "max_pending": 7,
        "pending_for": "2d",
        "subject": {"patterns": {"CN": "r.*"}},
    }
    settings = configured(tmp_path, {"profile": {"default": profile}})
    found = started(settings, lite).profiles["default"]
    who = found.auth
    assert who.challenge is not None
    assert who.renewal is not None
    assert who.webhook is not None
    assert who.program is not None
    assert found.notify is not None
    assert (who.challenge.ttl, who.challenge.uses) == (timedelta(minutes=5), 2)
    assert (who.challenge.return_unused, who.challenge.recoverable) == (True, False)
    assert who.static == static_secret(
        started(settings, lite).pepper, "everybody's secret", recoverable=False
    )
    assert (who.webhook.url, who.webhook.key, who.webhook.id) == (
        "https://hook.example/x",
        b"key",
        "h",
    )
    assert who.program.timeout == timedelta(seconds=4)
    assert (who.renewal.allowed, who.renewal.same_key) == (frozenset({"main"}), False)
    assert (who.manual, who.approve_all) == (True, True)
    assert found.notify.url == "https://hook.example/n"
    assert Cipher.DES_EDE3_CBC not in found.ciphers
    assert Cipher.DES_CBC in found.ciphers
    assert Digest.SHA1 not in found.digests
    assert (found.reply_certificates, found.max_pending) == ("chain", 7)
    assert found.announce_post is False
    assert (found.pending_for, found.replay_window) == (timedelta(days=2), timedelta(days=7))
    assert len(found.patterns.subject) == 1
    assert "t0k3n" not in repr(found.notify)
    assert "everybody" not in repr(found)


def test_nothing_under_auth_means_a_person(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    found = started(configured(tmp_path, {"profile": {"default": {}}}), lite).profiles["default"]
    assert found.auth.manual
    assert not found.auth.know_challenges


def test_an_ec_ca_behind_an_rsa_ra(store: Store, tmp_path: Path) -> None:
    ca = pki.root("ec256-a")
    files(tmp_path, ca, "ec256-a")
    agent = pki.ra(ca, "rsa3072")
    (tmp_path / "ra.pem").write_bytes(agent.certificate.public_bytes(PEM))
    (tmp_path / "ra.key").write_bytes(pki.key_pem("rsa3072"))
    ra = {"decrypt": [{"key": "ra.key", "certificate": "ra.pem"}]}
    settings = configured(
        tmp_path,
        {
            "ra": {"agent": ra},
            "profile": {"default": {"ra": "agent", "auth": {"challenge": {}}}},
        },
    )
    world = World(store, ScepService(store, started(settings, store)))
    assert world.signers == [view_of(agent.certificate)]
    certificate_of(world.ask(world.device().enrol(world.mint())))


def test_an_intermediate_sends_its_chain(lite: Store, tmp_path: Path) -> None:
    root = pki.root("ec256-a")
    ca = pki.intermediate(root, "rsa2048-a")
    files(tmp_path, ca)
    (tmp_path / "chain.pem").write_bytes(root.certificate.public_bytes(PEM))
    main = {"key": "ca.key", "certificate": "ca.pem", "chain": "chain.pem"}
    found = started(configured(tmp_path, {"ca": {"main": main}}), lite)
    assert found.profiles["default"].roles.offered == (ca.certificate, root.certificate)


# ------------------------------------------------------------------ what is refused


def test_all_that_is_wrong_is_said_at_once_with_its_path(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    (tmp_path / "other.pem").write_bytes(pki.root("ec256-a").certificate.public_bytes(PEM))
    found = errors(
        configured(
            tmp_path,
            {
                "ca": {
                    "main": {"key": "ca.key", "certificate": "ca.pem"},
                    "two": {"key": "ca.key", "certificate": "other.pem"},
                    "three": {"key": "nowhere.key", "certificate": "other.pem"},
                    "four": {"key": "ca.key", "certificate": "ca.pem", "chain": "other.pem"},
                },
                "profile": {
                    "a": {
                        "ca": "main",
                        "auth": {"webhook": {"url": "http://x", "secret": "not base64!"}},
                    },
                },
            },
        ),
        lite,
    )
    assert set(found) == {
        "ca.two",
        "ca.three.key",
        "ca.four.chain",
        "profile.a.auth.webhook.secret",
    }
    assert "does not belong to the CA certificate" in found["ca.two"]


def test_an_ec_ca_without_a_way_in_is_refused(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root("ec256-a"), "ec256-a")
    found = errors(configured(tmp_path, {"profile": {"default": {}}}), lite)
    assert "configure an RA with an RSA key" in found["profile.default"]
    by_password = started(configured(tmp_path), lite).profiles["default"]
    assert by_password.auth.challenge is not None
    assert by_password.auth.challenge.recoverable


def test_the_ra_is_sent_alone_only_where_there_is_one(lite: Store, tmp_path: Path) -> None:
    ca = pki.root("ec256-a")
    files(tmp_path, ca, "ec256-a")
    agent = pki.ra(ca, "rsa3072")
    (tmp_path / "ra.pem").write_bytes(agent.certificate.public_bytes(PEM))
    (tmp_path / "ra.key").write_bytes(pki.key_pem("rsa3072"))
    alone = {"get_ca_cert": "ra-only", "auth": {"challenge": {}}}
    ra = {"main": {"decrypt": [{"certificate": "ra.pem", "key": "ra.key"}]}}
    settings = configured(tmp_path, {"ra": ra, "profile": {"default": {**alone, "ra": "main"}}})
    deployment = started(settings, lite)
    reply = ScepService(lite, deployment).get_ca_cert("default")
    assert (reply.body, reply.content_type) == (agent.der, "application/x-x509-ca-cert")
    assert any("no CA certificate" in one for one in cautions.cautions(settings, deployment, NOW))
    without = configured(tmp_path, {"profile": {"default": alone}})
    assert "needs an RA" in errors(without, lite)["profile.default"]


def test_another_certificate_than_the_databases_is_refused(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    started(configured(tmp_path), lite)
    files(tmp_path, pki.root("rsa2048-b", "Other"), "rsa2048-b")
    found = errors(configured(tmp_path), lite)
    assert "is not the certificate of this CA's first generation" in found["ca.main.certificate"]


def test_a_database_that_is_down_is_no_configuration_error(tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    with open_store("sqlite:////nonexistent/x.db") as store, pytest.raises(StoreUnavailable):
        assembly.assemble(configured(tmp_path), store, NOW)


# ------------------------------------------------------------------ rollover


def test_a_rollover_is_noticed_announced_and_done(store: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    settings = configured(tmp_path)
    deployment = started(settings, store)
    assert not assembly.outdated(deployment, store)
    following = make_ca("CN=Next", pki.key("rsa2048-b"), now=NOW)
    (tmp_path / "next.key").write_bytes(pki.key_pem("rsa2048-b"))
    admin.stage_ca(
        store,
        name="main",
        certificate=view_of(following.certificate).der,
        key_ref="next.key",
        actor="alice",
        now=NOW,
    )
    assert assembly.outdated(deployment, store)
    staged = assembly.assemble(settings, store, NOW)
    assert staged.profiles["default"].next_ca is not None
    assert staged.profiles["default"].roles.authority.active.number == 1
    admin.activate_ca(store, "main", actor="alice", now=NOW)
    assert assembly.outdated(staged, store)
    world = World(store, ScepService(store, assembly.assemble(settings, store, NOW)))
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    certificate.verify_directly_issued_by(following.certificate)
    assert "http://ca.example/crl/main~2.crl" in str(certificate.extensions)
    assert world.service.get_next_ca_cert("default").status == 404
    assert jobs.make_due_crls(world.service, NOW) == ["main", "main~2"]


def test_a_missing_key_of_a_staged_generation_hurts_only_when_it_is_active(
    lite: Store, tmp_path: Path
) -> None:
    files(tmp_path, pki.root())
    settings = configured(tmp_path)
    started(settings, lite)
    following = make_ca("CN=Next", pki.key("rsa2048-b"), now=NOW)
    der = view_of(following.certificate).der
    admin.stage_ca(
        lite, name="main", certificate=der, key_ref="missing.key", actor="alice", now=NOW
    )
    assembly.assemble(settings, lite, NOW)
    admin.activate_ca(lite, "main", actor="alice", now=NOW)
    assert "generation 2 cannot be used" in errors(settings, lite)["ca.main.key"]
