"""Debian's `scepclient` (micromdm) against our test CA.

It encrypts with single DES whatever the CA announces, so there is one thing to see: that it is
refused, and that a foreign client reads our refusal.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scepkit.errors import FailInfo
from scepkit.testing import TestCa
from tests import pki
from tests.interop import foreign

pytestmark = pytest.mark.interop


def test_single_des_of_scepclient_is_refused_in_words_it_understands(tmp_path: Path) -> None:
    program = foreign.program("scepclient", "scep")
    key = tmp_path / "key.pem"
    # PKCS#1: it reads nothing else.
    form = PrivateFormat.TraditionalOpenSSL
    key.write_bytes(pki.rsa_key("rsa2048-c").private_bytes(Encoding.PEM, form, NoEncryption()))
    ca = TestCa(challenge="secret")
    with ca.serve() as url:
        done = subprocess.run(
            [program, "-server-url", url, "-challenge", "secret", "-private-key", key]
            + ["-certificate", tmp_path / "cert.pem", "-cn", "router1"],
            cwd=tmp_path,
            capture_output=True,
            timeout=foreign.TIMEOUT,
            check=False,
        )
    assert done.returncode == 1
    assert b"PKCSReq (19) request failed, failInfo: badAlg (0)" in done.stdout
    (message,) = ca.messages
    assert message.fail_info is FailInfo.BAD_ALG
    assert "single DES" in message.fail_info_text
    assert not (tmp_path / "cert.pem").exists()
