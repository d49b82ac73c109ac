"""`scepkit serve` as a process, and commands that work on its database meanwhile."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.cli.transcript import run_scepkit
from tests.cli_server.running import RunningServer

_ENROLMENTS = 6


class Site:
    """A CA in a directory, and its server."""

    def __init__(self, directory: Path, database: str) -> None:
        self.directory = directory
        self.config = directory / "acme" / "scepkit.toml"
        options = ["--database", database] if database else []
        self.made = self.run("init", str(directory / "acme"), "--subject", "CN=Acme CA", *options)
        text = self.config.read_text()
        self.config.write_text(f"{text}\n[profile.slow]\n")

    def run(self, *words: str, code: int = 0) -> Any:
        """Run a command in a process of its own; its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "scepkit", *words, "--json"],
            capture_output=True, text=True, timeout=50, stdin=subprocess.DEVNULL,
            start_new_session=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{words}\n{done.stdout}\n{done.stderr}"
        return json.loads(done.stdout)

    def admin(self, *words: str, code: int = 0) -> Any:
        """Run a command for who runs the CA."""
        return self.run(*words, "--config", str(self.config), code=code)

    def enrol(self, url: str, name: str, *words: str, code: int = 0) -> Any:
        """Enrol as a client."""
        return self.run(
            "enrol", url, "--subject", f"CN={name}", "--ca-fingerprint", self.made["fingerprint"],
            "--dir", str(self.directory / name), *words, code=code,
        )  # fmt: skip


def test_a_database_that_does_not_answer_ends_check_config_and_the_server_alike(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, "")
    text = site.config.read_text()
    wrong = text.replace('"sqlite:///scepkit.db"', '"sqlite:///keys"')  # a directory
    assert wrong != text
    site.config.write_text(wrong)
    assert site.admin("check-config", code=5)["error"]["kind"] == "store"
    words = ["serve", "--config", str(site.config), "--bind", "127.0.0.1:0"]
    done = subprocess.run(
        [sys.executable, "-m", "scepkit", *words],
        capture_output=True, text=True, timeout=50, stdin=subprocess.DEVNULL, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (5, "")
    assert 'cannot start reason="the database cannot be used now' in done.stderr


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.interop)])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    if request.param == "sqlite":
        return Site(tmp_path, "")
    server = request.getfixturevalue("postgres_server")
    return Site(tmp_path, server.url(server.new_database()))


@pytest.fixture
def server(site: Site) -> Iterator[RunningServer]:
    running = RunningServer(site.config, workers=2)
    yield running
    assert running.stop() == 0


def test_a_certificate_lives_and_is_revoked(site: Site, server: RunningServer) -> None:
    url = f"{server.url}/scep"
    secret = site.admin("challenge", "new")["challenges"][0]["secret"]
    issued = site.enrol(url, "router1", "--challenge", secret)["certificate"]
    found = site.admin("certs", "show", issued["serialNumber"])["certificate"]
    assert found["pem"] == issued["pem"]
    assert found["state"] == "issued"
    site.admin("certs", "revoke", issued["serialNumber"], "--reason", "keyCompromise")
    # Empty when the server was quicker.
    assert all(one["entries"] == 1 for one in site.admin("crl", "make")["crls"])
    crl = site.run("crl", url, "--ca-fingerprint", site.made["fingerprint"])["crl"]
    assert crl["entries"] == 1


def test_a_person_decides(site: Site, server: RunningServer) -> None:
    url = f"{server.url}/scep/slow"
    for name in ("yes", "no"):
        site.enrol(url, name, code=3)
    pending = site.admin("requests", "list", "--state", "pending")["requests"]
    numbers = {one["subject"]: str(one["id"]) for one in pending}
    site.admin("requests", "approve", numbers["CN=yes"])
    site.admin("requests", "reject", numbers["CN=no"])
    polled = site.run("poll", str(site.directory / "yes" / "pending.json"), "--wait", "20",
                      "--poll-interval", "0.2")  # fmt: skip
    assert polled["certificate"]["subject"] == "CN=yes"
    site.run("poll", str(site.directory / "no" / "pending.json"), code=4)


def test_commands_and_enrolments_at_the_same_time_lose_nothing(
    site: Site, server: RunningServer
) -> None:
    url = f"{server.url}/scep"
    minted = site.admin("challenge", "new", "--count", str(_ENROLMENTS))["challenges"]

    def enrol(number: int) -> str:
        issued = site.enrol(url, f"router{number}", "--challenge", minted[number]["secret"])
        # Another process opens and closes the database at once.
        serial: str = issued["certificate"]["serialNumber"]
        assert site.admin("certs", "show", serial)["certificate"]["state"] == "issued"
        return serial

    with ThreadPoolExecutor(3) as pool:
        serials = set(pool.map(enrol, range(_ENROLMENTS)))
    listed = site.admin("certs", "list")["certificates"]
    assert {one["serialNumber"] for one in listed} == serials
    assert len(serials) == _ENROLMENTS
    usable = site.admin("challenge", "list", "--usable")["challenges"]
    assert [one["id"] for one in usable] == [1]
    assert site.admin("audit", "verify")["intact"]


def test_a_rollover_is_taken_up_by_the_running_server(site: Site, server: RunningServer) -> None:
    staged = site.admin("ca", "rollover", "stage")["generations"][0]
    site.admin("ca", "rollover", "activate")
    following = f"sha256:{staged['certificate']['sha256']}"
    deadline = 60
    while site.run("ca", f"{server.url}/scep")["fingerprint"] != following:
        deadline -= 1
        assert deadline, "the server did not take it up"


def test_a_backup_moves_to_the_other_kind_of_database(
    site: Site, server: RunningServer, request: pytest.FixtureRequest
) -> None:
    url = f"{server.url}/scep"
    site.enrol(url, "router1", "--challenge", site.made["challenge"]["secret"])
    kept = site.directory / "kept.db"
    rows = site.admin("backup", str(kept))["rows"]
    assert rows["certificate"] == 1
    other = site.directory / "other"
    shutil.copytree(site.config.parent, other, ignore=shutil.ignore_patterns("*.db*"))
    text = (other / "scepkit.toml").read_text()
    lines = ["url = \"sqlite:///new.db\"" if line.startswith("url = ") else line
             for line in text.splitlines()]  # fmt: skip
    (other / "scepkit.toml").write_text("\n".join(lines))
    restored = site.run("restore", str(kept), "--config", str(other / "scepkit.toml"))["rows"]
    assert restored == rows
    listed = site.run("certs", "list", "--config", str(other / "scepkit.toml"))["certificates"]
    assert [one["subject"] for one in listed] == ["CN=router1"]


def test_init_refuses_the_database_of_another_ca(
    site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = site.config.read_text()
    url = next(line for line in text.splitlines() if line.startswith("url = "))[7:-1]
    if url.startswith("sqlite:"):
        url = f"sqlite:///{site.config.parent}/scepkit.db"
    ran = run_scepkit(["init", str(tmp_path / "second"), "--database", url], monkeypatch)
    assert ran.code == 2
    assert "the database belongs to the CA 'main' of another configuration" in ran.stderr
    assert not (tmp_path / "second").exists()


def test_init_leaves_nothing_when_the_database_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["init", str(tmp_path / "ca"), "--database", "postgresql://x@/y?host=/nowhere"]
    ran = run_scepkit(words, monkeypatch)
    assert ran.code == 5
    assert not list(tmp_path.iterdir())
