"""Foreign clients against the test CA."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from scepkit.core.algorithms import Cipher
from scepkit.core.messages import PkiStatus
from scepkit.testing import Policy
from tests import pki
from tests.interop import foreign
from tests.testing.driving import make_ca

pytestmark = pytest.mark.interop


@pytest.mark.parametrize("kind", [{}, {"ra": "split"}], ids=str)
def test_micromdms_client_enrols(kind: dict[str, Any], tmp_path: Path) -> None:
    client = foreign.program("scepclient", "scep")
    # It sends single DES.
    ca = make_ca(policy=Policy(ciphers=frozenset(Cipher)), **kind)
    key = tmp_path / "key.pem"
    key.write_bytes(
        pki.key("rsa2048-c").private_bytes(
            Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()
        )
    )
    with ca.serve() as url:
        foreign.run(
            [
                *(client, "-server-url", url, "-challenge", "secret", "-cn", "router1"),
                *("-private-key", key, "-certificate", tmp_path / "cert.pem"),
            ]
        )
    certificate = x509.load_pem_x509_certificate((tmp_path / "cert.pem").read_bytes())
    assert certificate == ca.issued[0]
    assert ca.messages[-1].status is PkiStatus.SUCCESS
    assert ca.messages[-1].challenge_matched
