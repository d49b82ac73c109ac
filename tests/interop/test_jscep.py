"""jscep, live: its client at our server in every mode, and our command at its servlet.

Which algorithms work with which keys is in the matrix; here is what a person would do.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from tests import pki
from tests.interop import foreign
from tests.interop.authority import Authority
from tests.interop.jscep_peer import CHALLENGE, Jscep, JscepError, JscepServer, certificates, serve

# The first test of all compiles it.
pytestmark = [pytest.mark.interop, pytest.mark.timeout(300)]

KEY = pki.rsa_key("rsa2048-c")
MINE = {"key": KEY, "public_key": KEY.public_key()}


# ------------------------------------------------------------------ its client, our server


def test_its_client_enrols_in_every_mode(jvm: Jscep, authority: Authority) -> None:
    order = {"url": authority.endpoint().url, "trust": authority.ca_certificate()}
    name = pki.name(f"jscep-{authority.mode}")
    enrolled = jvm.ask("enrol", **order, subject=name, challenge=authority.challenge(), **MINE)
    (certificate,) = certificates(enrolled)
    assert certificate.public_key() == KEY.public_key()
    certificate.verify_directly_issued_by(authority.ca_certificate())
    me = {"certificate": certificate, "key": KEY}
    again = jvm.ask("certificate", **order, **me, serial=str(certificate.serial_number))
    assert certificates(again) == (certificate,)


def test_its_client_finds_our_capabilities(jvm: Jscep, authority: Authority) -> None:
    found = jvm.ask("capabilities", url=authority.endpoint().url)
    assert {"AES", "DES3", "POSTPKIOperation", "Renewal", "SHA-1", "SHA-512"} <= set(
        found["capabilities"]
    )
    assert (found["cipher"], found["signature"]) == ("AES", "SHA512withRSA")


def test_its_client_names_a_profile(jvm: Jscep, authority: Authority) -> None:
    order = {"url": authority.endpoint().url, "trust": authority.ca_certificate()}
    name = pki.name(f"jscep-{authority.mode}-profile")
    enrolled = jvm.ask(
        "enrol", **order, subject=name, profile="any", challenge=authority.challenge(), **MINE
    )
    assert "certificates" in enrolled


def test_its_client_believes_no_other_ca(jvm: Jscep, authority: Authority) -> None:
    stranger = pki.root("rsa2048-b").certificate
    with pytest.raises(JscepError, match="could not be verified"):
        jvm.ask("ca", url=authority.endpoint().url, trust=stranger)


def test_its_client_understands_that_a_certificate_is_unknown(
    jvm: Jscep, authority: Authority
) -> None:
    order = {"url": authority.endpoint().url, "trust": authority.ca_certificate()}
    name = pki.name(f"jscep-{authority.mode}-query")
    enrolled = jvm.ask("enrol", **order, subject=name, challenge=authority.challenge(), **MINE)
    (certificate,) = certificates(enrolled)
    answer = jvm.ask("certificate", **order, certificate=certificate, key=KEY, serial="17")
    assert answer == {"refused": "badCertId"}


# ------------------------------------------------------------------ our command, its servlet


class Shell:
    """`scepkit` in a folder, for a user who knows the CA's fingerprint."""

    def __init__(self, server: JscepServer, folder: Path) -> None:
        self.server = server
        self.folder = folder
        (folder / "challenge").write_text(CHALLENGE)
        self.trust = f"sha256:{server.ca.certificate.fingerprint(hashes.SHA256()).hex()}"

    def scepkit(self, command: str, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command; its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "scepkit", command, *words, "--json", "--quiet"],
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=foreign.TIMEOUT,
            check=False,
        )
        assert done.returncode == code, (done.stdout, done.stderr)
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def at(self, command: str, *words: str, code: int = 0) -> dict[str, Any]:
        """Run a command that talks to the servlet."""
        trust = ("--ca-fingerprint", self.trust)
        return self.scepkit(command, self.server.url, *trust, *words, code=code)

    def enrol(self, subject: str, *, code: int = 0) -> dict[str, Any]:
        """``scepkit enrol``; the certificate goes to cert.pem."""
        return self.at("enrol", "--subject", subject, "--challenge-file", "challenge", code=code)

    def certificate(self) -> x509.Certificate:
        """What is in cert.pem."""
        return x509.load_pem_x509_certificate((self.folder / "cert.pem").read_bytes())


@pytest.fixture(scope="module")
def servlet(jvm: Jscep) -> JscepServer:
    return serve(jvm)


@pytest.fixture
def shell(servlet: JscepServer, tmp_path: Path) -> Shell:
    return Shell(servlet, tmp_path)


def test_our_command_enrols_and_renews_at_its_servlet(shell: Shell) -> None:
    shell.enrol("CN=router1,O=Acme")
    first = shell.certificate()
    shell.at("renew", "--force", "--cert", "cert.pem", "--key", "key.pem")
    second = shell.certificate()
    assert second.subject == first.subject
    assert second.serial_number != first.serial_number
    second.verify_directly_issued_by(shell.server.ca.certificate)


def test_our_command_says_what_to_do_where_a_renewal_req_is_not_known(shell: Shell) -> None:
    shell.enrol("CN=router4,O=Acme")
    words = ("renew", "--force", "--cert", "cert.pem", "--key", "key.pem", "--message-type")
    error = shell.at(*words, "RenewalReq", code=5)["error"]
    assert "--message-type PKCSReq" in error["hint"]
    shell.at(*words, "PKCSReq")


def test_our_command_polls_at_its_servlet(shell: Shell) -> None:
    shell.enrol("CN=slow-router,O=Acme", code=3)
    shell.scepkit("poll", "pending.json", code=3)
    shell.scepkit("poll", "pending.json")
    assert shell.certificate().subject == pki.name("slow-router")


def test_our_command_asks_its_servlet_about_certificates(shell: Shell) -> None:
    shell.enrol("CN=router2,O=Acme")
    mine = ("--cert", "cert.pem", "--key", "key.pem")
    serial = f"{shell.certificate().serial_number:x}"
    found = shell.at("cert", serial, *mine)
    assert found["certificate"]["serialNumber"] == serial
    assert shell.at("crl", *mine)["crl"]["entries"] == 0


def test_our_command_takes_the_next_certificate_only_by_its_fingerprint(shell: Shell) -> None:
    # jscep signs a message without content, and the next certificate lies beside it.
    shell.at("next-ca", code=6)
    digest = shell.server.next_ca.certificate.fingerprint(hashes.SHA256()).hex()
    found = shell.at("next-ca", "--next-ca-fingerprint", f"sha256:{digest}")
    assert [one["sha256"] for one in found["certificates"]] == [digest]


def test_our_command_understands_the_refusal_of_its_servlet(shell: Shell) -> None:
    (shell.folder / "challenge").write_text("a guess")
    assert shell.enrol("CN=router3,O=Acme", code=4)["error"]["failInfo"] == "badRequest"
