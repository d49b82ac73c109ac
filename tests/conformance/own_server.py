"""Our own server under test: `scepkit init` and `scepkit serve`, and its operator at hand.

Challenges are minted, requests decided and certificates revoked in the server's database, as the
commands do it, but without starting a process for each.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from scepkit.cli.output import Output
from scepkit.cli.server.office import Office, open_office
from scepkit.server import admin
from tests.cli_server.running import RunningServer

#: Renewal is possible from the first second, so that it can be tested.
_RENEWAL = "renewal = {}"
_ANY_TIME = 'renewal = { window = "3650d" }'


@dataclass
class Operator:
    """Who runs the CA."""

    office: Office

    def mint(
        self, subject: str = "", sans: Sequence[str] = (), age: timedelta = timedelta()
    ) -> str:
        """A one-time challenge; it is good for an hour, of which `age` is over."""
        (minted,) = admin.mint_challenges(
            self.office.store,
            self.office.settings,
            "default",
            subject=subject,
            san=sans,
            ttl=timedelta(hours=1),
            actor="test",
            now=datetime.now(UTC) - age,
        )
        return minted.secret

    def waiting(self, transaction_id: str) -> int:
        """The number of the request that waits under a transactionID."""
        found = [
            one.id
            for one in admin.list_requests(self.office.store, text=transaction_id)
            if one.transaction_id == transaction_id
        ]
        return found[0]

    def approve(self, transaction_id: str) -> None:
        admin.approve_request(
            self.office.store,
            self.waiting(transaction_id),
            actor="test",
            now=datetime.now(UTC),
        )

    def deny(self, transaction_id: str) -> None:
        admin.reject_request(
            self.office.store,
            self.office.settings,
            self.waiting(transaction_id),
            actor="test",
            now=datetime.now(UTC),
        )

    def revoke(self, serial: str) -> None:
        admin.revoke_certificate(
            self.office.store, None, serial, actor="test", now=datetime.now(UTC)
        )


@dataclass
class Minted:
    """Challenges of the operator's, for anybody or for a name."""

    operator: Operator
    bound: bool = False
    one_time: bool = True

    def get(self, subject: str, sans: Sequence[str]) -> str:
        return self.operator.mint(subject, sans) if self.bound else self.operator.mint()


@dataclass
class OwnServer:
    """A running server of ours."""

    url: str
    ca: x509.Certificate
    operator: Operator
    process: RunningServer

    def reload(self) -> None:
        """Let it read its configuration again."""
        self.process.reload()


@contextmanager
def own_server(
    folder: Path, *init: str, changes: Sequence[tuple[str, str]] = ()
) -> Iterator[OwnServer]:
    """`scepkit init` with these options and `scepkit serve`.

    :param changes: of the configuration's text: what stands there, and what instead.
    """
    home = folder / "ca"
    subprocess.run(
        [sys.executable, "-m", "scepkit", "init", str(home), "--subject", "CN=Acme CA", *init,
         "--quiet", "--public-url", "http://ca.example.test"],
        check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=60,
    )  # fmt: skip
    config = home / "scepkit.toml"
    text = config.read_text()
    for old, new in ((_RENEWAL, _ANY_TIME), *changes):
        assert old in text, old
        text = text.replace(old, new)
    config.write_text(text)
    certificate = x509.load_pem_x509_certificate((home / "keys" / "main.pem").read_bytes())
    server = RunningServer(config)
    try:
        with open_office(Output(quiet=True), str(config), "test") as office:
            yield OwnServer(f"{server.url}/scep", certificate, Operator(office), server)
    finally:
        server.stop()
