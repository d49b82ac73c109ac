"""What operators do, and that each of it is in the audit trail under their name."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import make_ca
from scepkit.core.certificates import load_certificate
from scepkit.errors import InputError
from scepkit.server import admin, registry
from scepkit.server.gate import Authorisers
from scepkit.server.naming import Binding
from scepkit.server.pepper import Pepper
from scepkit.server.settings import Settings
from scepkit.store import Store, cas
from tests import pki
from tests.server.service.world import (
    DAY,
    NOW,
    World,
    audited,
    certificate_of,
    is_pending,
    rows,
)
from tests.server.written import settings_of

KEY = "p" * 32


def settings(folder: Path, ca: pki.Identity | None = None, **profile: Any) -> Settings:
    """Settings whose challenge key is that of the worlds."""
    identity = ca or pki.root()
    (folder / "ca.pem").write_bytes(identity.certificate.public_bytes(Encoding.PEM))
    return settings_of(
        {
            "secrets": {"challenge_key": KEY},
            "ca": {"main": {"key": "ca.key", "certificate": "ca.pem"}},
            "profile": {"default": {"auth": {"challenge": {"ttl": "2h", "uses": 3}}, **profile}},
        },
        folder,
    )


# ------------------------------------------------------------------ challenges


def test_a_minted_challenge_works_and_is_nowhere_in_the_clear(store: Store, tmp_path: Path) -> None:
    world = World.made(store)
    (one,) = admin.mint_challenges(
        store, settings(tmp_path), "default", label="lab", actor="alice", now=NOW
    )
    assert one.expires_at == NOW + timedelta(hours=2)
    assert one.secret not in repr(one)
    certificate_of(world.ask(world.device().enrol(one.secret)))
    (row,) = admin.list_challenges(store)
    assert (row.uses, row.uses_left, row.label, row.created_by) == (3, 2, "lab", "alice")
    for table in ("challenge", "audit"):
        assert one.secret not in str(rows(store, f"SELECT * FROM {table}"))  # noqa: S608


def test_many_challenges_are_all_different_and_all_in_one_transaction(
    lite: Store, tmp_path: Path
) -> None:
    minted = admin.mint_challenges(
        lite, settings(tmp_path), "default", count=100, uses=1, ttl=DAY, actor="alice", now=NOW
    )
    assert len({one.secret for one in minted}) == 100
    assert all(len(one.secret) == 28 for one in minted)
    assert len(audited(lite)) == 100


def test_a_binding_is_kept_and_a_bad_one_refused(lite: Store, tmp_path: Path) -> None:
    ours = settings(tmp_path)
    admin.mint_challenges(
        lite, ours, "default", subject="CN=a", san=["dns:a.b"], actor="alice", now=NOW
    )
    (row,) = admin.list_challenges(lite)
    assert Binding.from_json(row.bind) == Binding("CN=a", ("dns:a.b",))
    for wrong in ({"subject": "nonsense"}, {"san": ["a.b"]}, {"count": 0}, {"uses": 0}):
        given: dict[str, Any] = wrong
        with pytest.raises(InputError):
            admin.mint_challenges(lite, ours, "default", actor="alice", now=NOW, **given)
    with pytest.raises(InputError, match="there is no profile 'x'"):
        admin.mint_challenges(lite, ours, "x", actor="alice", now=NOW)


def test_a_profile_without_challenges_mints_none(lite: Store, tmp_path: Path) -> None:
    ours = settings(tmp_path, auth={"manual": True})
    with pytest.raises(InputError, match="takes no challenges"):
        admin.mint_challenges(lite, ours, "default", actor="alice", now=NOW)


def test_challenges_can_be_got_back_only_where_requests_come_encrypted_with_them(
    lite: Store, tmp_path: Path
) -> None:
    (plain,) = admin.mint_challenges(lite, settings(tmp_path), "default", actor="a", now=NOW)
    ec = settings(tmp_path, pki.root("ec256-a"))
    (derived,) = admin.mint_challenges(lite, ec, "default", actor="a", now=NOW)
    second, first = (Binding.from_json(row.bind) for row in admin.list_challenges(lite))
    assert first.nonce is None
    assert second.nonce is not None
    assert Pepper(KEY.encode()).challenge(second.nonce) == derived.secret
    assert plain.secret != derived.secret


def test_a_revoked_challenge_buys_nothing(store: Store, tmp_path: Path) -> None:
    world = World.made(store)
    (one,) = admin.mint_challenges(store, settings(tmp_path), "default", actor="a", now=NOW)
    admin.revoke_challenge(store, one.id, actor="bob", now=NOW)
    world.ask(world.device().enrol(one.secret))
    assert audited(store)[-1][1]["reason"] == "challenge 1: the challenge was revoked"
    with pytest.raises(InputError, match="was revoked before"):
        admin.revoke_challenge(store, one.id, actor="bob", now=NOW)
    with pytest.raises(InputError, match="there is no challenge 9"):
        admin.revoke_challenge(store, 9, actor="bob", now=NOW)
    assert admin.list_challenges(store, usable_at=NOW) == []


# ------------------------------------------------------------------ requests


def test_an_operator_sees_what_is_asked_and_what_the_profile_says(
    lite: Store, tmp_path: Path
) -> None:
    world = World.made(lite, Authorisers(manual=True))
    device = world.device()
    csr = device.csr("a challenge", san=["dns:router1.example"])
    assert is_pending(world.ask(device.enrol(csr=csr)))
    (waiting,) = admin.list_requests(lite, state="pending")
    assert (waiting.subject, waiting.sans) == ("CN=router1,O=Acme", "dns:router1.example")
    view = admin.show_request(lite, settings(tmp_path), waiting.id)
    assert view.csr is not None
    assert view.csr.public_key == device.key.public_key()
    assert view.csr.challenge is None
    assert (view.problem, view.certificate) == ("", None)
    strict = settings(tmp_path, subject={"patterns": {"CN": "switch.*"}})
    assert "not of the form" in admin.show_request(lite, strict, waiting.id).problem
    big = settings(tmp_path, keys={"rsa_min": 4096})
    assert "2048 bits" in admin.show_request(lite, big, waiting.id).problem
    with pytest.raises(InputError, match="there is no request 5"):
        admin.show_request(lite, strict, 5)
    assert admin.list_requests(lite, text="router1") == [waiting]


# ------------------------------------------------------------------ certificates


def test_a_certificate_is_found_and_revoked_by_any_spelling_of_its_number(
    store: Store,
) -> None:
    world = World.made(store)
    certificate = certificate_of(world.ask(world.device().enrol(world.mint())))
    spelt = f"{certificate.serial_number:X}"
    colons = ":".join(spelt[at : at + 2] for at in range(0, len(spelt), 2))
    assert registry.find_certificate(store, None, colons).serial == spelt.lower()
    revoked = admin.revoke_certificate(
        store, "main", "00" + spelt, reason="superseded", actor="alice", now=NOW
    )
    assert (revoked.state, revoked.revocation_reason) == ("revoked", 4)
    with pytest.raises(InputError, match="was revoked before"):
        admin.revoke_certificate(store, None, spelt, actor="alice", now=NOW)
    assert audited(store)[-1][0] == "certificate.revoke"


@pytest.mark.parametrize(
    ("serial", "reason", "match"),
    [
        ("abc", "unspecified", "no certificate has the serial number abc"),
        ("xyz", "unspecified", "is not a serial number in hex"),
        ("1", "because", "there is no reason 'because'"),
        ("1", "removeFromCRL", "there is no reason"),
    ],
)
def test_what_is_no_certificate_or_reason_is_said(
    lite: Store, serial: str, reason: str, match: str
) -> None:
    World.made(lite)
    with pytest.raises(InputError, match=match):
        admin.revoke_certificate(lite, None, serial, reason=reason, actor="a", now=NOW)


# ------------------------------------------------------------------ rollover


def test_a_rollover_is_staged_activated_and_written_down(store: Store) -> None:
    World.made(store)
    following = make_ca("CN=Next", pki.key("rsa2048-b"), now=NOW)
    der = following.certificate.public_bytes(Encoding.DER)
    staged = admin.stage_ca(
        store, name="main", certificate=der, key_ref="keys/main~2.pem", actor="alice", now=NOW
    )
    assert (staged.generation, staged.status) == (2, "staged")
    with pytest.raises(InputError, match="has a staged generation already"):
        admin.stage_ca(store, name="main", certificate=der, key_ref="x", actor="a", now=NOW)
    with pytest.raises(InputError, match="there is no CA 'other'"):
        admin.stage_ca(store, name="other", certificate=der, key_ref="x", actor="a", now=NOW)
    activated = admin.activate_ca(store, "main", actor="bob", now=NOW)
    assert load_certificate(activated.certificate) == following.certificate
    assert [one.status for one in store.read(lambda tx: cas.listing(tx))] == ["retired", "active"]
    with pytest.raises(InputError, match="has no staged generation"):
        admin.activate_ca(store, "main", actor="bob", now=NOW)
    assert [action for action, _ in audited(store)][-2:] == ["ca.staged", "ca.activate"]


def test_a_rollover_is_called_off(lite: Store) -> None:
    World.made(lite)
    following = make_ca("CN=Next", pki.key("rsa2048-b"), now=NOW + 3 * DAY)
    der = following.certificate.public_bytes(Encoding.DER)
    admin.stage_ca(lite, name="main", certificate=der, chain=[der], key_ref="x", actor="a", now=NOW)
    with pytest.raises(InputError, match="is not valid at this time"):
        admin.activate_ca(lite, "main", actor="a", now=NOW)
    assert admin.cancel_rollover(lite, "main", actor="a", now=NOW).status == "retired"
    with pytest.raises(InputError, match="has no staged generation"):
        admin.cancel_rollover(lite, "main", actor="a", now=NOW)
