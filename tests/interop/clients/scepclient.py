"""Debian's `scepclient` (micromdm).

It encrypts with single DES whatever is announced.  While a request is pending it sends it again
every 30 seconds for ever; stopped and started again it does so at once, with the request that it
keeps in csr.pem.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.messages import MessageType
from tests.interop import foreign
from tests.interop.clients.client import (
    ITS_OWN,
    Abilities,
    Device,
    Endpoint,
    Options,
    Outcome,
    outcome,
)


@dataclass(frozen=True, slots=True)
class ScepClient:
    """`scepclient`."""

    name: str = "scepclient"
    abilities: Abilities = Abilities(
        ciphers=(Cipher.DES_CBC,),
        digests=(Digest.SHA1,),
        announced="POST",
        unannounced="GET",
        renews_with=MessageType.RENEWAL_REQ,
        polls_with=MessageType.PKCS_REQ,
    )

    def version(self) -> str:
        """The version alone."""
        return foreign.run([_program(), "-version"]).decode().strip()

    def enrol(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Obtain a certificate; it takes no options."""
        assert options == ITS_OWN
        done = foreign.attempt(_command(endpoint, device), folder=device.folder)
        return outcome(device, done.returncode, done.stdout)

    def renew(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Renew with the key of the certificate: where a certificate is, it renews."""
        (device.folder / "csr.pem").unlink()
        return self.enrol(endpoint, device, options)

    def poll(
        self,
        endpoint: Endpoint,
        device: Device,
        decide: Callable[[], None],
        options: Options = ITS_OWN,
    ) -> Outcome:
        """Ask, stop, and ask again with the same request."""
        assert options == ITS_OWN
        command = list(map(str, _command(endpoint, device)))
        with subprocess.Popen(
            command, cwd=device.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as asking:
            try:
                decide()
            finally:
                asking.kill()
        return self.enrol(endpoint, device, options)


def _program() -> str:
    return foreign.program("scepclient", "scep")


def _command(endpoint: Endpoint, device: Device) -> list[str | Path]:
    command: list[str | Path] = [
        *(_program(), "-server-url", endpoint.url, "-cn", device.name, "-organization", "Acme"),
        *("-private-key", device.key_file, "-certificate", device.certificate_file),
        *("-challenge", device.challenge),
    ]
    if endpoint.ra_file is not None:
        # Otherwise it encrypts for every certificate of GetCACert, and panics at an EC key.
        agent = x509.load_pem_x509_certificate(endpoint.ra_file.read_bytes())
        command += ["-ca-fingerprint", agent.fingerprint(hashes.SHA256()).hex()]
    return command
