"""Debian's `scepclient` (micromdm) against our test CA: a foreign client reads our answers.

It encrypts with single DES whatever the CA announces, so the CA has to be told to take that.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scepkit.core.algorithms import Cipher
from scepkit.errors import FailInfo
from scepkit.testing import Policy, TestCa
from tests import pki
from tests.interop import foreign

pytestmark = pytest.mark.interop

KEY = pki.rsa_key("rsa2048-c")


def scepclient(ca: TestCa, folder: Path, challenge: str) -> subprocess.CompletedProcess[bytes]:
    """Enrol with `KEY`; the certificate goes to cert.pem in the folder."""
    program = foreign.program("scepclient", "scep")
    # PKCS#1: it reads nothing else.
    form = PrivateFormat.TraditionalOpenSSL
    (folder / "key.pem").write_bytes(KEY.private_bytes(Encoding.PEM, form, NoEncryption()))
    files = ("-private-key", str(folder / "key.pem"), "-certificate", str(folder / "cert.pem"))
    with ca.serve() as url:
        return subprocess.run(
            [program, "-server-url", url, "-challenge", challenge, "-cn", "router1", *files],
            cwd=folder,
            capture_output=True,
            timeout=foreign.TIMEOUT,
            check=False,
        )


@pytest.mark.parametrize("ra", ["none", "rsa"])
def test_scepclient_reads_our_success(tmp_path: Path, ra: str) -> None:
    policy = Policy(ciphers=frozenset(Cipher))
    ca = TestCa(policy=policy, ra="rsa" if ra == "rsa" else "none")
    done = scepclient(ca, tmp_path, "secret")
    assert (done.returncode, done.stdout) == (0, b"")
    found = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    assert (found,) == ca.issued
    assert found.public_key() == KEY.public_key()


def test_scepclient_reads_our_refusal_of_a_challenge(tmp_path: Path) -> None:
    ca = TestCa(policy=Policy(ciphers=frozenset(Cipher)))
    done = scepclient(ca, tmp_path, "a guess")
    assert done.returncode == 1
    assert b"failInfo: badRequest (2)" in done.stdout
    assert ca.issued == ()


def test_single_des_of_scepclient_is_refused_in_words_it_understands(tmp_path: Path) -> None:
    ca = TestCa()
    done = scepclient(ca, tmp_path, "secret")
    assert done.returncode == 1
    assert b"PKCSReq (19) request failed, failInfo: badAlg (0)" in done.stdout
    (message,) = ca.messages
    assert message.fail_info is FailInfo.BAD_ALG
    assert "des-cbc" in message.fail_info_text
    assert not (tmp_path / "cert.pem").exists()
