"""strongSwan's `pki --scep`.

It fetches over HTTP with the plugin `curl` only, which is in a package of its own.  Where that is
unpacked and not installed, the plugin is loaded before the program, which then finds it in itself.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

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
    make_key,
    outcome,
)

_CIPHERS = {Cipher.AES128_CBC: "aes", Cipher.DES_EDE3_CBC: "des3"}
_FETCHER = "usr/lib/ipsec/plugins/libstrongswan-curl.so"
#: Seconds between polls.
_INTERVAL = 1


@dataclass(frozen=True, slots=True)
class StrongSwan:
    """`pki --scep`.

    Attributes:
        renewal_via_pkcs_req: its setting of that name, for CAs that know no RenewalReq.
    """

    name: str = "strongswan"
    renewal_via_pkcs_req: bool = False
    abilities: Abilities = Abilities(
        ciphers=tuple(_CIPHERS),
        digests=(Digest.SHA256, Digest.SHA1, Digest.SHA384, Digest.SHA512),
        # It takes POST for announced when AES, 3DES, SHA-256 or SHA-384 is.
        announced="POST",
        unannounced="POST",
        renews_with=MessageType.RENEWAL_REQ,
        polls_with=MessageType.CERT_POLL,
    )

    def version(self) -> str:
        """The first line of the help."""
        said = foreign.attempt([_program(), "--help"], environment=self.environment()).stdout
        return next(line for line in said.splitlines() if line.startswith("strongSwan"))

    def enrol(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Obtain a certificate."""
        with self._start(endpoint, device, options) as asking:
            return _finish(device, asking)

    def renew(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Renew with a new key."""
        old = device.folder / "old.pem", device.folder / "old.key.pem"
        device.certificate_file.rename(old[0])
        device.key_file.rename(old[1])
        make_key(device.key_file)
        more = ("--cert", old[0], "--key", old[1])
        if self.renewal_via_pkcs_req:
            _settings(device).write_text("pki { scep { renewal_via_pkcs_req = yes } }\n")
        with self._start(endpoint, device, options, *more) as asking:
            return _finish(device, asking)

    def poll(
        self,
        endpoint: Endpoint,
        device: Device,
        decide: Callable[[], None],
        options: Options = ITS_OWN,
    ) -> Outcome:
        """Ask; it polls by itself."""
        with self._start(endpoint, device, options) as asking:
            try:
                decide()
            except BaseException:
                asking.kill()
                raise
            return _finish(device, asking)

    def environment(self) -> Mapping[str, str]:
        """What loads its HTTP fetcher."""
        fetcher = foreign.file(_FETCHER, "libstrongswan-extra-plugins")
        return {"LD_PRELOAD": str(fetcher)} if fetcher.is_relative_to(foreign.UNPACKED) else {}

    def ca_certificates(self, endpoint: Endpoint, folder: Path) -> None:
        """Write ca.pem, and ra.pem if there is an RA."""
        files = ("--caout", folder / "ca.pem", "--raout", folder / "ra.pem", "--outform", "pem")
        done = foreign.attempt(
            [_program(), "--scepca", "--url", endpoint.url, *files], environment=self.environment()
        )
        assert done.returncode == 0, done.stdout

    def _start(
        self, endpoint: Endpoint, device: Device, options: Options, *more: str | Path
    ) -> subprocess.Popen[str]:
        command = [
            *(_program(), "--scep", "--url", endpoint.url, "--in", device.key_file),
            *("--dn", f"O=Acme, CN={device.name}", "--outform", "pem"),
            *("--cacert-enc", endpoint.recipient_file, "--cacert-sig", endpoint.recipient_file),
            *("--cacert", endpoint.ca_file),
            *("--interval", str(_INTERVAL), "--maxpolltime", str(int(foreign.TIMEOUT))),
            *more,
        ]
        if device.challenge:
            command += ["--password", device.challenge]
        if options.cipher is not None:
            command += ["--cipher", _CIPHERS[options.cipher]]
        if options.digest is not None:
            command += ["--digest", options.digest.value]
        _settings(device).touch()
        # The certificate is what it writes to stdout.
        with device.certificate_file.open("wb") as written:
            return subprocess.Popen(
                list(map(str, command)),
                stdin=subprocess.DEVNULL,
                stdout=written,
                stderr=subprocess.PIPE,
                env={**os.environ, **self.environment(), "STRONGSWAN_CONF": str(_settings(device))},
                text=True,
            )


def _program() -> str:
    return foreign.program("pki", "strongswan-pki")


def _settings(device: Device) -> Path:
    """Its configuration for this device; an empty one is all defaults."""
    return device.folder / "strongswan.conf"


def _finish(device: Device, asking: subprocess.Popen[str]) -> Outcome:
    _, said = asking.communicate(timeout=2 * foreign.TIMEOUT)
    return outcome(device, asking.returncode, said)
