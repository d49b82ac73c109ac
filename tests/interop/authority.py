"""A CA as its operator has it: `scepkit init` made it, `scepkit serve` runs it, on SQLite.

One server has these profiles, besides what `scepkit init` writes (one-time challenges, renewal by
certificate):

    default     one-time challenges
    get         the same, and POST is not announced
    reviewed    a person decides
    asked       the same, and POST is not announced
    held        a person decides, about what has a one-time challenge
    modern      one-time challenges, and no single DES
    alone       one-time challenges, GetCACert sends the RA's certificate alone; none without an RA

All others read single DES, without which scepclient is refused; all renew at any time.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Literal

from cryptography import x509

from tests.cli_server.running import PATIENCE, RunningServer
from tests.interop import foreign
from tests.interop.clients import Device, Endpoint, make_key

Mode = Literal["ca", "ra", "ec"]
#: The CA's own RSA key answers; an RSA RA answers for an RSA CA; an RSA RA answers for an EC CA.
MODES: Mapping[Mode, tuple[str, ...]] = {
    "ca": (),
    "ra": ("--ra",),
    "ec": ("--key-type", "ec:p256"),
}
_PROFILES = """
accept_single_des_requests = true

[profile.get]
{ra}accept_single_des_requests = true
announce_post = false
auth = {{ challenge = {{}}, renewal = {{ window = "400d" }} }}

[profile.reviewed]
{ra}accept_single_des_requests = true

[profile.asked]
{ra}accept_single_des_requests = true
announce_post = false

[profile.held]
{ra}accept_single_des_requests = true
auth = {{ challenge = {{}}, approve_all = true, renewal = {{ window = "400d" }} }}

[profile.modern]
{ra}auth = {{ challenge = {{}}, renewal = {{ window = "400d" }} }}
"""
_ALONE = """
[profile.alone]
ra = "main"
accept_single_des_requests = true
get_ca_cert = "ra-only"
auth = { challenge = {}, renewal = { window = "400d" } }
"""
#: How many challenges are made at once.
_CHALLENGES = 20
_FIELD = re.compile(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)')


@dataclass(slots=True)
class Authority:
    """A CA with its server.

    Attributes:
        mode: whose keys answer.
        directory: of `scepkit init`.
        server: `scepkit serve`.
    """

    mode: Mode
    directory: Path
    server: RunningServer
    _challenges: dict[str, list[str]] = field(default_factory=dict)
    _folders: Iterator[int] = field(default_factory=lambda: iter(range(10_000)))

    def endpoint(self, profile: str = "default") -> Endpoint:
        """Where clients of a profile enrol."""
        keys = self.directory / "keys"
        ra_file = None if self.mode == "ca" else keys / "ra.pem"
        return Endpoint(f"{self.server.url}/scep/{profile}", keys / "main.pem", ra_file)

    def admin(self, *words: str) -> Any:
        """Run a command of `scepkit` for this CA; its JSON."""
        return _scepkit(*words, "--config", str(self.directory / "scepkit.toml"))

    def challenge(self, profile: str = "default") -> str:
        """A one-time challenge."""
        ready = self._challenges.setdefault(profile, [])
        if not ready:
            made = self.admin("challenge", "new", "--profile", profile, "--count", str(_CHALLENGES))
            ready.extend(one["secret"] for one in made["challenges"])
        return ready.pop()

    def device(self, challenge: str = "") -> Device:
        """A device with a folder, a name of its own and a new key."""
        number = next(self._folders)
        folder = self.directory.parent / f"{self.mode}-device{number}"
        folder.mkdir()
        # Not a PrintableString: certmonger writes it as one all the same.
        device = Device(folder, f"device_{number}", challenge)
        make_key(device.key_file)
        return device

    def decide(self, device: Device, verdict: Literal["approve", "reject"] = "approve") -> None:
        """Wait until the device's request is there, and decide about it."""
        deadline = time.monotonic() + PATIENCE
        search = ("requests", "list", "--state", "pending", "--search", device.name)
        while not (found := _of(device, self.admin(*search)["requests"])):
            assert time.monotonic() < deadline, f"there is no request of {device.name}"
        self.admin("requests", verdict, str(found[0]["id"]))

    def certificates_of(self, device: Device) -> int:
        """How many certificates the device was issued."""
        return len(
            _of(device, self.admin("certs", "list", "--search", device.name)["certificates"])
        )

    def log_of(self, device: Device) -> list[dict[str, str]]:
        """What the log says of the messages that were answered with the device's certificate."""
        serial = f"{device.certificate().serial_number:x}"
        pattern = re.compile(rf"serial={serial} ")
        if not any(pattern.search(line) for line in self.server.lines):
            self.server.wait_for(pattern)
        lines = [line for line in self.server.lines if pattern.search(line)]
        return [{name: text.strip('"') for name, text in _FIELD.findall(line)} for line in lines]

    def verify(self, device: Device) -> None:
        """Hold the certificate against the chain, and the CRL against the CA, with `openssl`."""
        openssl = foreign.program("openssl", "openssl")
        ca_file = self.endpoint().ca_file
        crl = device.folder / "ca.crl"
        crl.write_bytes(self.crl())
        said = foreign.run(
            [openssl, "crl", "-inform", "DER", "-in", crl, "-CAfile", ca_file, "-noout"]
        )
        assert said == b""
        pem = foreign.run([openssl, "crl", "-inform", "DER", "-in", crl])
        (device.folder / "ca.crl.pem").write_bytes(pem)
        foreign.run(
            [
                *(openssl, "verify", "-x509_strict", "-purpose", "sslclient", "-crl_check"),
                *("-CRLfile", device.folder / "ca.crl.pem", "-CAfile", ca_file),
                device.certificate_file,
            ]
        )

    def crl(self) -> bytes:
        """The CRL over HTTP, in DER."""
        connection = HTTPConnection(self.server.url.removeprefix("http://"), timeout=PATIENCE)
        with closing(connection):
            connection.request("GET", "/crl/main.crl")
            answer = connection.getresponse()
            assert answer.status == HTTPStatus.OK
            return answer.read()

    def ca_certificate(self) -> x509.Certificate:
        """The CA's certificate."""
        return x509.load_pem_x509_certificate(self.endpoint().ca_file.read_bytes())


@contextmanager
def authorities(folder: Path) -> Iterator[Mapping[Mode, Authority]]:
    """A running server for each mode."""
    with ExitStack() as stack:
        found: dict[Mode, Authority] = {}
        for mode in MODES:
            directory = folder / mode
            _make(mode, directory)
            server = RunningServer(directory / "scepkit.toml")
            stack.callback(_stop, server)
            found[mode] = Authority(mode, directory, server)
        yield found


def _stop(server: RunningServer) -> None:
    assert server.stop() == 0, "".join(server.lines)


def _of(device: Device, found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that are the device's: a search for device_1 also finds device_10."""
    return [one for one in found if f"CN={device.name}" in one["subject"].split(",")]


def _make(mode: Mode, directory: Path) -> None:
    _scepkit("init", str(directory), "--subject", f"CN=Test CA {mode},O=Acme", *MODES[mode])
    config = directory / "scepkit.toml"
    text = config.read_text()
    renewal = text.replace("renewal = {}", 'renewal = { window = "400d" }')
    profiles = _PROFILES.format(ra="" if mode == "ca" else 'ra = "main"\n')
    if mode != "ca":
        profiles += _ALONE
    first, rest = profiles.split("\n\n", 1)
    config.write_text(renewal.replace("[profile.default]\n", f"[profile.default]{first}\n") + rest)


def _scepkit(*words: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-m", "scepkit", *words, "--json"],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout)
