"""The command `scepkit` as a process, against Debian's `scepserver`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.interop import foreign
from tests.interop.micromdm import CHALLENGE, ScepServer, scepserver

pytestmark = pytest.mark.interop

#: A challenge that is not the server's.
GUESS = "aGuessThatIsWrong"


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def json(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.stdout)
        return found


class Shell:
    """Runs `scepkit` inside the server's namespace, in a folder with the challenge in a file."""

    def __init__(self, server: ScepServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        (folder / "challenge.txt").write_text(CHALLENGE + "\n")
        (folder / "wrong.txt").write_text(GUESS + "\n")

    @property
    def fingerprint(self) -> str:
        return "sha256:" + self.server.ca_certificate.fingerprint(hashes.SHA256()).hex()

    def scepkit(self, command: str, *arguments: str) -> Ran:
        """``scepkit COMMAND URL ARGUMENTS``."""
        words = [sys.executable, "-m", "scepkit", command, self.server.url, *arguments]
        environment = {name: os.environ[name] for name in os.environ if "SCEPKIT" not in name}
        done = subprocess.run(
            self.server.namespace.command(*words),
            cwd=self.folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=foreign.TIMEOUT,
            check=False,
        )
        return Ran(done.returncode, done.stdout.decode(), done.stderr.decode())

    def enrol(self, *arguments: str, challenge: str = "challenge.txt") -> Ran:
        """``scepkit enrol`` for a CA known by its fingerprint."""
        trust = ("--ca-fingerprint", self.fingerprint)
        return self.scepkit("enrol", *trust, "--challenge-file", challenge, *arguments)

    def certificate(self, path: str = "cert.pem") -> x509.Certificate:
        return x509.load_pem_x509_certificate((self.folder / path).read_bytes())

    def public_key(self, path: str = "key.pem") -> object:
        return load_pem_private_key((self.folder / path).read_bytes(), None).public_key()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ScepServer]:
    with scepserver(tmp_path_factory.mktemp("scepserver")) as running:
        yield running


@pytest.fixture
def shell(server: ScepServer, tmp_path: Path) -> Shell:
    return Shell(server, tmp_path)


def test_caps_shows_what_the_server_announces(shell: Shell) -> None:
    ran = shell.scepkit("caps", "--json")
    assert ran.code == 0
    assert {"AES", "POSTPKIOperation", "Renewal", "SCEPStandard"} <= set(ran.json["capabilities"])


def test_ca_shows_the_fingerprint(shell: Shell) -> None:
    ran = shell.scepkit("ca")
    assert ran.code == 0
    shown = ran.stdout.replace(":", "").lower()
    assert shell.fingerprint.removeprefix("sha256:") in shown


def test_enrol_writes_key_certificate_and_chain(shell: Shell) -> None:
    ran = shell.enrol("--subject", "CN=router1,O=Acme", "--accept-legacy-replies")
    assert (ran.code, ran.stderr) == (0, ran.stderr)
    certificate = shell.certificate()
    assert certificate.public_key() == shell.public_key()
    assert certificate.subject.rfc4514_string() == "CN=router1,O=Acme"
    assert shell.certificate("chain.pem") == shell.server.ca_certificate
    assert (shell.folder / "key.pem").stat().st_mode & 0o777 == 0o600
    openssl = foreign.program("openssl", "openssl")
    chain = ("-CAfile", shell.folder / "chain.pem", shell.folder / "cert.pem")
    assert foreign.run([openssl, "verify", *chain]).endswith(b"cert.pem: OK\n")


def test_enrol_refuses_a_reply_in_single_des_and_names_the_setting(shell: Shell) -> None:
    ran = shell.enrol("--subject", "CN=router2")
    assert ran.code == 6
    assert "single DES" in ran.stderr
    assert "hint: " in ran.stderr
    assert "micromdm" in ran.stderr
    assert "--accept-legacy-replies" in ran.stderr
    assert not (shell.folder / "cert.pem").exists()


def test_enrol_with_a_wrong_challenge_is_refused_by_the_ca(shell: Shell) -> None:
    ran = shell.enrol(
        *("--subject", "CN=intruder", "--accept-legacy-replies", "--json"), challenge="wrong.txt"
    )
    assert ran.code == 4
    assert ran.json["error"]["kind"] == "refused"
    assert ran.json["error"]["failInfo"] == "badRequest"
    assert GUESS not in ran.stdout + ran.stderr
    assert not (shell.folder / "cert.pem").exists()


def test_enrol_with_another_fingerprint_sends_nothing(shell: Shell) -> None:
    before = shell.server.log.read_text().count("parsed scep pkiMessage")
    ran = shell.scepkit(
        *("enrol", "--subject", "CN=careful", "--challenge-file", "challenge.txt"),
        *("--ca-fingerprint", "sha256:" + "00" * 32),
    )
    assert ran.code == 6
    assert shell.server.log.read_text().count("parsed scep pkiMessage") == before


def test_renew_replaces_key_and_certificate(shell: Shell) -> None:
    assert shell.enrol("--subject", "CN=renewed", "--accept-legacy-replies").code == 0
    old, old_key = shell.certificate(), shell.public_key()
    files = ("--cert", "cert.pem", "--key", "key.pem")

    idle = shell.scepkit("renew", *files)
    assert idle.code == 0
    assert shell.certificate() == old

    # This server wants the challenge in a renewal too.
    ran = shell.scepkit(
        *("renew", *files, "--days", "400", "--accept-legacy-replies"),
        *("--challenge-file", "challenge.txt"),
    )
    assert (ran.code, ran.stderr) == (0, ran.stderr)
    new = shell.certificate()
    assert new.serial_number != old.serial_number
    assert new.subject == old.subject
    assert new.public_key() == shell.public_key() != old_key


def test_a_server_that_is_not_there_is_unreachable(shell: Shell) -> None:
    # The same address in our own namespace, where nobody listens.
    done = subprocess.run(
        [sys.executable, "-m", "scepkit", "caps", shell.server.url],
        capture_output=True,
        timeout=foreign.TIMEOUT,
        check=False,
    )
    assert done.returncode == 5
