"""What a configuration is warned of, which works all the same."""

from __future__ import annotations

from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, PrivateFormat
from cryptography.hazmat.primitives.serialization import Encoding as Form

from scepkit.config import Secret
from scepkit.server import backend
from scepkit.server.cautions import cautions, other_challenge_keys
from scepkit.server.logs import TextFormatter
from scepkit.server.pepper import Pepper
from scepkit.store import Store, jobs
from scepkit.store.rows import milliseconds
from tests import pki
from tests.server.service.test_assembly import configured, files, started
from tests.server.service.world import NOW

BARE = "holds a private key that is not encrypted"
PASSPHRASE = {"challenge_key": "p" * 32, "passphrase": "s" * 16}


def said(store: Store, folder: Path, changes: dict[str, Any] | None = None) -> str:
    settings = configured(folder, changes)
    return "\n".join(cautions(settings, started(settings, store), NOW))


def beat(store: Store, name: str, key: bytes) -> None:
    """A node with this challenge key is alive."""
    now = milliseconds(NOW)
    fingerprint = Pepper(key).fingerprint
    store.write(
        lambda tx: jobs.heartbeat(
            tx, name, version="1", started_at=now, now=now, challenge_key=fingerprint
        )
    )


def test_another_challenge_key_is_noticed_where_it_matters(store: Store) -> None:
    own, other = b"p" * 32, b"q" * 32
    beat(store, "this", own)
    beat(store, "same", own)
    assert list(other_challenge_keys(store, "this", Pepper(own), NOW)) == []
    beat(store, "wrong", other)
    (found,) = other_challenge_keys(store, "this", Pepper(own), NOW)
    assert "than that of the node wrong, which runs on the same database" in found
    # Who is silent is over; but what this server itself had last counts however long ago.
    beat(store, "this", other)
    (found,) = other_challenge_keys(store, "this", Pepper(own), NOW + timedelta(minutes=2))
    assert "than when this server last ran" in found


def test_a_server_says_at_its_start_that_its_challenge_key_is_another(tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    settings = configured(tmp_path)
    backend.prepare(settings)
    with closing(backend.ScepBackend(settings)) as serving:
        (job,) = (job for job in serving.jobs if job.name == "heartbeat")
        job.run(datetime.now(UTC))
        assert "challenge_key" not in "".join(serving.cautions())
    changed = replace(settings, secrets=replace(settings.secrets, challenge_key=Secret(b"q" * 32)))
    with closing(backend.ScepBackend(changed)) as serving:
        assert "than when this server last ran" in "".join(serving.cautions())


def test_a_running_server_says_once_that_another_challenge_key_has_come(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, pki.root())
    settings = configured(tmp_path)
    backend.prepare(settings)

    def said_at(now: datetime) -> list[str]:
        caplog.clear()
        job.run(now)
        return [TextFormatter().format(one) for one in caplog.records]

    with closing(backend.ScepBackend(settings)) as serving:
        (job,) = (job for job in serving.jobs if job.name == "heartbeat")
        assert said_at(NOW) == []
        with backend.open_database(settings) as store:
            beat(store, "newcomer", b"q" * 32)
            (told,) = said_at(NOW)
            assert "caution" in told
            assert "than that of the node newcomer" in told
            assert said_at(NOW) == []
            assert said_at(NOW + timedelta(minutes=5)) == []
            assert len(said_at(NOW)) == 1


def test_a_server_that_begins_with_an_empty_database_says_what_is_not_in_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files(tmp_path, pki.root())
    settings = configured(tmp_path)
    for _ in range(2):
        backend.prepare(settings)
    (warning,) = (one for one in caplog.records if one.levelname == "WARNING")
    line = TextFormatter().format(warning)
    assert "the database is empty" in line
    assert "certificates, challenges and an audit trail" in line
    assert "scepkit restore" in line


def auth(**who: Any) -> dict[str, Any]:
    return {"profile": {"default": {"auth": who}}}


def test_a_private_key_that_is_not_encrypted_is_named(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    assert f"{tmp_path / 'ca.key'} {BARE}" in said(lite, tmp_path)


def test_nothing_is_said_of_a_good_key_that_is_encrypted(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    encrypted = pki.key().private_bytes(
        Form.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"s" * 16)
    )
    (tmp_path / "ca.key").write_bytes(encrypted)
    (tmp_path / "ca.key").chmod(0o600)
    assert said(lite, tmp_path, {"secrets": PASSPHRASE}) == ""


def test_a_ca_key_that_is_too_short_is_named(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root("rsa1024"), "rsa1024")
    assert "has 1024 bits only" in said(lite, tmp_path)


def test_a_profile_that_lets_requests_name_accounts_is_named(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    found = said(lite, tmp_path, {"profile": {"default": {"san": {"requested_sid": True}}}})
    assert "names the Windows account to become" in found


@pytest.mark.parametrize(
    ("url", "warned"),
    [
        ("http://mdm.example/scep", True),
        ("https://mdm.example/scep", False),
        ("http://127.0.0.1:9000/scep", False),
        ("http://[::1]:9000/scep", False),
        ("http://127.0.0.1.mdm.example/scep", True),
    ],
)
def test_a_webhook_without_tls_is_named_unless_it_is_on_this_machine(
    url: str, warned: bool, lite: Store, tmp_path: Path
) -> None:
    files(tmp_path, pki.root())
    assert ("is asked without TLS" in said(lite, tmp_path, auth(webhook={"url": url}))) is warned


def test_a_program_that_cannot_be_run_is_named(lite: Store, tmp_path: Path) -> None:
    files(tmp_path, pki.root())
    program = tmp_path / "decide"
    changes = auth(program={"argv": [str(program)]})
    assert "is not there, or this user may not run it" in said(lite, tmp_path, changes)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert str(program) not in said(lite, tmp_path, changes)


@pytest.mark.parametrize(
    ("pattern", "warned"),
    [
        ("(a+)+", True),
        ("([a-z]*)*x", True),
        ("([a-z0-9]+-?[a-z]+){2,}", True),
        (r"([a-z0-9-]+\.)+example\.com", False),
        ("router[0-9]+", False),
        (r"(a\+)+", False),
    ],
)
def test_a_pattern_that_may_take_for_ever_is_named(
    pattern: str, warned: bool, lite: Store, tmp_path: Path
) -> None:
    files(tmp_path, pki.root())
    for table in (
        {"subject": {"patterns": {"CN": pattern}}},
        {"san": {"patterns": {"dns": pattern}}},
    ):
        found = said(lite, tmp_path, {"profile": {"default": table}})
        assert ("keep the server busy for ever" in found) is warned
