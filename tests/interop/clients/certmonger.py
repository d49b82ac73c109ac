"""certmonger: the daemon for one device, its helper `scep-submit`, and `getcert`.

The daemon makes the messages, the helper only carries them, so both run, as a user's own daemon
with all its files in the device's folder and with a socket instead of a bus.  It runs for the
length of a few commands; what it knows is in its files, as over a restart.
"""

from __future__ import annotations

import re
import shlex
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.messages import MessageType
from tests.interop import foreign
from tests.interop.clients.client import (
    ITS_OWN,
    Abilities,
    Device,
    Endpoint,
    Enrolled,
    Options,
    Outcome,
    Refused,
)

_PACKAGE = "certmonger"
#: Where the helper is in the package.
HELPER = "usr/lib/certmonger/scep-submit"
#: Folders that the daemon wants, by the environment variable that names them.
_FOLDERS = {
    "CERTMONGER_REQUESTS_DIR": "requests",
    "CERTMONGER_CAS_DIR": "cas",
    "CERTMONGER_TMPDIR": "tmp",
    "CERTMONGER_CONFIG_DIR": "config",
    "CERTMONGER_LOCAL_CA_DIR": "local",
}
#: Exit code of `getcert status` while the CA has not decided.
_WORKING = 5
#: The CertPoll in a file of the daemon: continued lines begin with a blank.
_CERT_POLL = re.compile(r"^scep_gic=(.+\n(?: .+\n)+)", re.MULTILINE)
_STATUS = re.compile(r"^\s*status: (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Certmonger:
    """certmonger.

    Attributes:
        finds_ca: let it find out by itself which certificate signs, also where there is no RA.
    """

    name: str = "certmonger"
    finds_ca: bool = False
    abilities: Abilities = Abilities(
        ciphers=(Cipher.AES256_CBC,),
        digests=(Digest.SHA256,),
        announced="GET",
        unannounced="GET",
        # Signed with the old certificate where the CA announces Renewal.
        renews_with=MessageType.PKCS_REQ,
        # It makes a CertPoll, forgets it, and sends the request again; see `cert_poll`.
        polls_with=MessageType.PKCS_REQ,
    )

    def version(self) -> str:
        """Name and version."""
        return foreign.attempt([_program("certmonger"), "-v"]).stdout.strip()

    def enrol(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Obtain a certificate; it takes no options."""
        assert options == ITS_OWN
        return _outcome(device, self.converse(device, self._add(endpoint), _request(device)))

    def renew(self, endpoint: Endpoint, device: Device, options: Options = ITS_OWN) -> Outcome:
        """Renew with a new key, at the CA that it knows by now."""
        assert options == ITS_OWN
        return _outcome(device, self.converse(device, _getcert("rekey", "-w", "-i", "device")))

    def poll(
        self,
        endpoint: Endpoint,
        device: Device,
        decide: Callable[[], None],
        options: Options = ITS_OWN,
    ) -> Outcome:
        """Ask, and let the daemon ask again when it is started the next time."""
        assert options == ITS_OWN
        self.ask(endpoint, device)
        decide()
        # Started again it waits for minutes first; `refresh` is to do it now, and does not wait.
        refresh = _getcert("refresh", "-i", "device")
        status = _getcert("status", "-i", "device")
        until = f"while {status}; [ $? = {_WORKING} ]; do sleep 0.1; done"
        return _outcome(device, self.converse(device, refresh, until))

    def resubmit(self, device: Device) -> Outcome:
        """Renew with the same key, as the daemon does by itself when the certificate gets old."""
        return _outcome(device, self.converse(device, _getcert("resubmit", "-w", "-i", "device")))

    def ask(self, endpoint: Endpoint, device: Device) -> str:
        """Ask once, where a person decides; what it says."""
        said = self.converse(device, self._add(endpoint), _request(device))
        assert _status(said) == "CA_WORKING", said
        return said

    def cert_poll(self, endpoint: Endpoint, device: Device) -> subprocess.CompletedProcess[str]:
        """Let the helper send the CertPoll that the daemon made for it."""
        (request,) = (device.folder / "requests").iterdir()
        found = _CERT_POLL.search(request.read_text())
        assert found, request.read_text()
        message = device.folder / "certpoll.pem"
        message.write_text(found[1].replace("\n ", "\n"))
        helper = foreign.file(HELPER, _PACKAGE)
        files = ("-r", endpoint.recipient_file, "-N", endpoint.ca_file)
        return foreign.attempt([helper, "-u", endpoint.url, *files, "-g", message])

    def converse(self, device: Device, *commands: str) -> str:
        """Run the daemon for the length of some commands; what these say."""
        for name in _FOLDERS.values():
            (device.folder / name).mkdir(exist_ok=True)
        said = device.folder / "said"
        script = device.folder / "script"
        first, last = f"exec > {shlex.quote(str(said))} 2>&1", _getcert("list")
        script.write_text("\n".join([first, *commands, last, ""]))
        done = foreign.attempt(
            [
                *(_program("certmonger"), "-L", "-P", device.folder / "socket", "-n", "-d", "2"),
                *("-c", shlex.join(["/bin/sh", str(script)])),
            ],
            folder=device.folder,
            environment=_environment(device),
        )
        assert said.exists(), done.stdout
        return said.read_text()

    def _add(self, endpoint: Endpoint) -> str:
        """What `getcert add-scep-ca` does, for a helper that may be elsewhere."""
        helper = foreign.file(HELPER, _PACKAGE)
        words = [str(helper), "-u", endpoint.url]
        if endpoint.ra_file is None and not self.finds_ca:
            words += ["-N", str(endpoint.ca_file), "-r", str(endpoint.ca_file)]
        return _getcert("add-ca", "-c", "scep", "-e", shlex.join(words))


def _program(name: str) -> str:
    return foreign.program(name, _PACKAGE)


def _getcert(*words: str) -> str:
    """A command for the shell."""
    return shlex.join([_program("getcert"), *words])


def _request(device: Device) -> str:
    words = ["request", "-w", "-I", "device", "-c", "scep", "-N", f"CN={device.name},O=Acme"]
    words += ["-k", str(device.key_file), "-f", str(device.certificate_file)]
    if device.challenge:
        words += ["-L", device.challenge]
    return _getcert(*words)


def _environment(device: Device) -> Mapping[str, str]:
    found = {variable: str(device.folder / name) for variable, name in _FOLDERS.items()}
    return {**found, "CERTMONGER_SYSTEM_LOCK_FILE": str(device.folder / "lock")}


def _status(said: str) -> str:
    """The last status that `getcert list` shows."""
    *_, last = _STATUS.finditer(said)
    return last[1]


def _outcome(device: Device, said: str) -> Outcome:
    if _status(said) == "MONITORING":
        return Enrolled(device.certificate(), said)
    return Refused(1, said)
