"""Debian's `scepclient` (micromdm) against our test CA: a foreign client reads our answers.

It encrypts with single DES whatever the CA announces, so the CA has to be told to take that.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import pytest

from scepkit.core.algorithms import Cipher
from scepkit.errors import FailInfo
from scepkit.keys import pem
from scepkit.testing import Policy, TestCa
from tests.interop.clients import (
    Device,
    Endpoint,
    Enrolled,
    Outcome,
    Refused,
    ScepClient,
    make_key,
)

pytestmark = pytest.mark.interop

LEGACY = Policy(ciphers=frozenset(Cipher))


def enrol(ca: TestCa, folder: Path, challenge: str) -> Outcome:
    """Enrol with a new key."""
    device = Device(folder, "router1", challenge)
    make_key(device.key_file)
    ca_file = folder / "ca.pem"
    ca_file.write_bytes(pem(ca.certificate))
    with ca.serve() as url:
        return ScepClient().enrol(Endpoint(url, ca_file, None), device)


@pytest.mark.parametrize("ra", ["none", "rsa", "split"])
def test_scepclient_reads_our_success(tmp_path: Path, ra: Literal["none", "rsa", "split"]) -> None:
    ca = TestCa(policy=LEGACY, ra=ra)
    result = enrol(ca, tmp_path, "secret")
    assert isinstance(result, Enrolled), result
    assert (result.certificate,) == ca.issued


def test_scepclient_reads_our_refusal_of_a_challenge(tmp_path: Path) -> None:
    ca = TestCa(policy=LEGACY)
    result = enrol(ca, tmp_path, "a guess")
    assert isinstance(result, Refused), result
    assert "failInfo: badRequest (2)" in result.said
    assert ca.issued == ()


def test_single_des_of_scepclient_is_refused_in_words_it_understands(tmp_path: Path) -> None:
    ca = TestCa()
    result = enrol(ca, tmp_path, "secret")
    assert isinstance(result, Refused), result
    assert "PKCSReq (19) request failed, failInfo: badAlg (0)" in result.said
    (message,) = ca.messages
    assert message.fail_info is FailInfo.BAD_ALG
    assert "des-cbc" in message.fail_info_text
    assert not (tmp_path / "cert.pem").exists()
