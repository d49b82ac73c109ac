"""The commands to measure: ours against the embedded test CA, and beside Debian's `scepclient`.

`scepclient` encrypts with single DES, which the test CA refuses as RFC 8894 wants it.  So it is
measured against Debian's `scepserver`, with `scepkit enrol` beside it against the same server; both
run under `nsenter`, because the server is in a network namespace of its own.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from benchmarks.processes import Command, CommandFailedError, Samples, measure
from scepkit.testing import TestCa

PYTHON = "python -c pass"
X509 = "python -c 'from cryptography import x509'"
CHALLENGE = "a challenge"
SCEPKIT = str(Path(sys.executable).with_name("scepkit"))


def own(folder: Path, rounds: int) -> dict[str, Samples]:
    """Python itself, the library everything stands on, and `scepkit` against the test CA."""
    ca = TestCa(challenge=CHALLENGE)
    with ca.serve() as url:
        enrol, fresh = _enrol(folder, url, ca.fingerprint)
        commands = [
            Command(PYTHON, [sys.executable, "-c", "pass"]),
            Command(X509, [sys.executable, "-c", "from cryptography import x509"]),
            Command("scepkit --help", [SCEPKIT, "--help"]),
            Command("scepkit caps", [SCEPKIT, "caps", url]),
            Command("scepkit enrol (existing RSA-2048 key)", enrol, fresh),
        ]
        return measure(commands, rounds)


def beside_scepclient(folder: Path, rounds: int) -> dict[str, Samples]:
    """`scepkit enrol` and `scepclient` against the same `scepserver`.

    :raises CommandFailedError: a foreign program is not here, or did not start.
    """
    for name in ("scepserver", "scepclient", "unshare", "nsenter"):
        if shutil.which(name) is None:
            raise CommandFailedError(f"{name} is not here")
    from tests.interop.micromdm import scepserver

    with scepserver(folder, challenge=CHALLENGE) as server:
        fingerprint = server.ca_certificate.fingerprint(hashes.SHA256()).hex()
        enrol, fresh = _enrol(folder, server.url, fingerprint)
        client = ["scepclient", "-server-url", server.url, "-challenge", CHALLENGE]
        client += ["-private-key", str(folder / "key.pem"), "-cn", "router1"]
        client += ["-certificate", str(folder / "scepclient.pem")]
        inside = server.namespace.command
        commands = [
            Command("scepkit enrol, scepserver", inside(*enrol, "--accept-legacy-replies"), fresh),
            Command("scepclient, scepserver", inside(*client), _forget(folder)),
        ]
        return measure(commands, rounds)


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


def _forget(folder: Path) -> Callable[[], None]:
    """Removes what scepclient would use again."""

    def forget() -> None:
        for name in ("scepclient.pem", "csr.pem", "self.pem"):
            (folder / name).unlink(missing_ok=True)

    return forget
