"""Our own command, as a process like the others."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

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

_PENDING = 3


@dataclass(frozen=True, slots=True)
class Own:
    """`scepkit enrol`, `renew` and `poll`."""

    name: str = "scepkit"
    abilities: Abilities = Abilities(
        ciphers=(
            Cipher.AES128_CBC,
            Cipher.AES192_CBC,
            Cipher.AES256_CBC,
            Cipher.DES_EDE3_CBC,
        ),
        digests=(Digest.SHA256, Digest.SHA1, Digest.SHA384, Digest.SHA512),
        announced="POST",
        unannounced="GET",
        renews_with=MessageType.RENEWAL_REQ,
        polls_with=MessageType.CERT_POLL,
    )

    def version(self) -> str:
        """Name and version."""
        return _run(Path(), "--version").stdout.strip()

    def enrol(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Obtain a certificate for the device's key."""
        done = _enrol(endpoint, device, options)
        return outcome(device, done.returncode, done.stdout)

    def renew(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Renew with a new key."""
        files = ("--cert", device.certificate_file, "--key", device.key_file)
        words = _protocol(endpoint, options)
        done = _run(device.folder, "renew", endpoint.url, *files, "--force", *words)
        return outcome(device, done.returncode, done.stdout)

    def poll(
        self,
        endpoint: Endpoint,
        device: Device,
        decide: Callable[[], None],
        options: Options = ITS_OWN,
    ) -> Outcome:
        """Ask, end, and poll with another process."""
        done = _enrol(endpoint, device, options)
        assert done.returncode == _PENDING, done.stdout
        decide()
        done = _run(device.folder, "poll", device.folder / "pending.json", "--wait", "30")
        return outcome(device, done.returncode, done.stdout)


def _enrol(endpoint: Endpoint, device: Device, options: Options) -> CompletedProcess[str]:
    words: list[str | Path] = ["--subject", f"CN={device.name},O=Acme", "--key", device.key_file]
    if device.challenge:
        (device.folder / "challenge").write_text(device.challenge)
        words += ["--challenge-file", device.folder / "challenge"]
    words += ["--dir", device.folder, *_protocol(endpoint, options)]
    return _run(device.folder, "enrol", endpoint.url, *words)


def _protocol(endpoint: Endpoint, options: Options) -> list[str | Path]:
    words: list[str | Path] = ["--ca-cert", endpoint.ca_file]
    if options.cipher is not None:
        words += ["--cipher", options.cipher.value]
    if options.digest is not None:
        words += ["--digest", options.digest.value]
    return words


def _run(folder: Path, *words: str | Path) -> CompletedProcess[str]:
    return foreign.attempt([sys.executable, "-m", "scepkit", *words], folder=folder)
