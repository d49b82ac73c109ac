"""The commands to measure: ours, and Debian's `scepclient`, against the embedded test CA.

`scepclient` encrypts with single DES; the test CA is told to take that.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.processes import Command, Samples, measure
from scepkit.core.algorithms import Cipher
from scepkit.testing import Policy, TestCa

PYTHON = "python -c pass"
X509 = "python -c 'from cryptography import x509'"
CHALLENGE = "a challenge"
SCEPKIT = str(Path(sys.executable).with_name("scepkit"))


def run(folder: Path, rounds: int) -> dict[str, Samples]:
    """Python itself, the library everything stands on, then the commands against one test CA."""
    ca = TestCa(policy=Policy(challenge=CHALLENGE, ciphers=frozenset(Cipher)))
    with ca.serve() as url:
        enrol, fresh = _enrol(folder, url, ca.fingerprint)
        commands = [
            Command(PYTHON, [sys.executable, "-c", "pass"]),
            Command(X509, [sys.executable, "-c", "from cryptography import x509"]),
            Command("scepkit --help", [SCEPKIT, "--help"]),
            Command("scepkit caps", [SCEPKIT, "caps", url]),
            Command("scepkit enrol (existing RSA-2048 key)", enrol, fresh),
        ]
        if shutil.which("scepclient"):
            commands.append(_scepclient(folder, url))
        return measure(commands, rounds)


def _scepclient(folder: Path, url: str) -> Command:
    files = ["-private-key", str(folder / "key.pem")]
    files += ["-certificate", str(folder / "scepclient.pem")]

    def forget() -> None:
        # What it would use again.
        for name in ("scepclient.pem", "csr.pem", "self.pem"):
            (folder / name).unlink(missing_ok=True)

    argv = ["scepclient", "-server-url", url, "-challenge", CHALLENGE, "-cn", "router1", *files]
    return Command("scepclient (the same key)", argv, forget)


def _enrol(folder: Path, url: str, fingerprint: str) -> tuple[list[str], Callable[[], None]]:
    """``scepkit enrol`` with an existing key, and what makes room for the next one."""
    key, challenge, into = folder / "key.pem", folder / "challenge.txt", folder / "enrolled"
    if not key.exists():
        private = rsa.generate_private_key(65537, 2048)
        # PKCS#1: scepclient reads nothing else.
        form = PrivateFormat.TraditionalOpenSSL
        key.write_bytes(private.private_bytes(Encoding.PEM, form, NoEncryption()))
    challenge.write_text(CHALLENGE + "\n")

    def fresh() -> None:
        shutil.rmtree(into, ignore_errors=True)
        into.mkdir()

    command = [SCEPKIT, "enrol", url, "--subject", "CN=router1,O=Acme", "--key", str(key)]
    command += ["--ca-fingerprint", f"sha256:{fingerprint}", "--dir", str(into)]
    return [*command, "--challenge-file", str(challenge)], fresh
