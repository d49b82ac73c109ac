"""`scepkit serve` as it is used: devices enrol while workers die and credentials change."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID

import scepkit
from scepkit.errors import TransportError
from scepkit.keys import pem, private_key_pem
from scepkit.store import open_store
from tests import pki
from tests.cli_server.running import RunningServer
from tests.server.service.world import count

SECRET = "a secret for everybody"
COMMON_NAME = NameOID.COMMON_NAME
#: Real processes have the real time.
TODAY = datetime.now(UTC).replace(microsecond=0)
MONTH = timedelta(days=30)


#: A lease of the server is half a minute.
POLLS = scepkit.PollPolicy(interval=0.5, factor=1.0, max_seconds=60)


@dataclass
class Site:
    """An EC CA behind an RSA RA, in files."""

    directory: Path
    ca: pki.Identity
    agents: dict[str, pki.Identity] = field(default_factory=dict)

    @property
    def config(self) -> Path:
        return self.directory / "scepkit.toml"

    def write(self, name: str, identity: pki.Identity) -> None:
        (self.directory / f"{name}.pem").write_bytes(pem(identity.certificate))
        (self.directory / f"{name}.key.pem").write_bytes(private_key_pem(identity.key))

    def configure(self, *agents: str, extra: str = "") -> None:
        """The configuration with these RA credentials, newest first."""
        pairs = "".join(
            f'[[ra.main.decrypt]]\nkey = "{name}.key.pem"\ncertificate = "{name}.pem"\n'
            for name in agents
        )
        text = f"""
            [secrets]
            challenge_key = "{"k" * 32}"
            [ca.main]
            key = "ca.key.pem"
            certificate = "ca.pem"
            {pairs}
            [profile.default]
            ra = "main"
            auth = {{ static_secret = "{SECRET}" }}
            {extra}
            """
        new = self.directory / "new.toml"
        new.write_text(text)
        new.rename(self.config)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    ca = pki.root("ec256-a", not_before=TODAY - MONTH, not_after=TODAY + 12 * MONTH)
    found = Site(tmp_path, ca)
    found.write("ca", ca)
    for name, key in (("old", "rsa2048-a"), ("new", "rsa2048-b")):
        agent = pki.ra(ca, key, f"{name} RA", not_before=TODAY - MONTH, not_after=TODAY + 6 * MONTH)
        found.write(name, agent)
        found.agents[name] = agent
    found.configure("old")
    return found


@pytest.fixture
def server(site: Site) -> Iterator[RunningServer]:
    running = RunningServer(site.config, workers=2)
    try:
        yield running
    finally:
        assert running.stop() == 0


class Fleet:
    """Devices that enrol again and again, each time with a new CSR and from the beginning."""

    def __init__(self, site: Site, url: str, devices: int = 3) -> None:
        self.issued: list[x509.Certificate] = []
        self.failures: list[BaseException] = []
        self.lost = 0
        #: Set when there will be no server: what was not answered is not asked again.
        self.given_up = threading.Event()
        self._site, self._url = site, url
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._enrol_on, args=(number,)) for number in range(devices)
        ]

    def __enter__(self) -> Fleet:
        for thread in self._threads:
            thread.start()
        return self

    def finish(self) -> None:
        """Begin no more enrolments."""
        self._done.set()

    def __exit__(self, *_: object) -> None:
        self.finish()
        for thread in self._threads:
            thread.join()

    def until(self, more: int, seconds: float = 30) -> None:
        """Wait until so many more certificates were issued."""
        goal, deadline = len(self.issued) + more, time.monotonic() + seconds
        while len(self.issued) < goal:
            assert time.monotonic() < deadline, self.failures
            time.sleep(0.02)

    def _enrol_on(self, number: int) -> None:
        key = pki.key("rsa2048-c")
        turn = 0
        while not self._done.is_set():
            turn += 1
            csr = scepkit.build_csr(key, f"CN=device{number}-{turn}", challenge=SECRET)
            try:
                if issued := self._enrol(csr, key):
                    self.issued.append(issued)
            except Exception as error:
                self.failures.append(error)

    def _enrol(
        self, csr: x509.CertificateSigningRequest, key: pki.PrivateKey
    ) -> x509.Certificate | None:
        while True:
            trust = scepkit.PinnedCertificate(self._site.ca.certificate)
            with scepkit.Client(self._url, trust=trust) as client:
                try:
                    result = client.enrol(csr, key)
                except TransportError:
                    if self.given_up.is_set():
                        return None
                    self.lost += 1  # the process that had it in hand was killed: once more
                    continue
                if isinstance(result, scepkit.Pending):
                    # Whoever had it in hand is dead; somebody finishes it when the lease is over.
                    result = client.wait(result, key, POLLS)
            assert isinstance(result, scepkit.Issued), result
            return result.certificate


def certificates_in_database(site: Site) -> int:
    with open_store("sqlite:///scepkit.db", relative_to=site.directory) as store:
        return count(store, "certificate")


def announced(server: RunningServer, site: Site) -> set[str]:
    trust = scepkit.PinnedCertificate(site.ca.certificate)
    with scepkit.Client(f"{server.url}/scep", trust=trust) as client:
        offered = client.get_ca_certificates().certificates
    return {one.subject.get_attributes_for_oid(COMMON_NAME)[0].value for one in offered}  # type: ignore[misc]


def test_ra_credentials_are_replaced_without_a_failure(site: Site, server: RunningServer) -> None:
    with Fleet(site, f"{server.url}/scep") as fleet:
        fleet.until(5)
        assert "old RA" in announced(server, site)
        site.configure("new", "old")
        server.reload()
        fleet.until(10)
        assert "new RA" in announced(server, site)
        site.configure("broken", "new")
        server.reload()
        fleet.until(5)
        assert "new RA" in announced(server, site)
    assert fleet.failures == []
    assert fleet.lost == 0
    assert certificates_in_database(site) == len(fleet.issued)
    (said,) = [line for line in server.lines if "old settings are kept" in line]
    assert "broken" in said


@pytest.mark.timeout(150)
def test_workers_die_and_every_device_has_one_certificate(
    site: Site, server: RunningServer
) -> None:
    with Fleet(site, f"{server.url}/scep") as fleet:
        for _ in range(4):
            fleet.until(4)
            started = [re.search(r"process=worker-1 pid=(\d+)", line) for line in server.lines]
            os.kill(int([found[1] for found in started if found][-1]), signal.SIGKILL)
            server.wait_for(re.compile(r"started process=worker-1 "))
        fleet.until(4)
    assert fleet.failures == []
    assert certificates_in_database(site) == len(fleet.issued)
    assert len({one.serial_number for one in fleet.issued}) == len(fleet.issued)


def test_a_stop_loses_nothing_that_was_begun(site: Site) -> None:
    server = RunningServer(site.config, workers=2)
    with Fleet(site, f"{server.url}/scep") as fleet:
        fleet.until(5)
        fleet.finish()
        fleet.given_up.set()
        stopper = threading.Thread(target=server.stop)
        stopper.start()
    stopper.join()
    assert server.process.returncode == 0
    assert fleet.failures == []
    assert certificates_in_database(site) == len(fleet.issued)
    # Stopped in order, the database is one file again.
    assert not (site.directory / "scepkit.db-wal").exists()
