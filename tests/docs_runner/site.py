"""The server of a page: what its reader has made with `scepkit init`, running.

The page speaks of http://ca.example.test; the way there leads to the real server.
"""

from __future__ import annotations

import http.client
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from scepkit.core.trust import fingerprint
from scepkit.testing.answers import Answer
from tests.cli_server.running import RunningServer


def made_ca(directory: Path) -> Path | None:
    """The directory of a CA that the page has made."""
    found = sorted(directory.glob("*/scepkit.toml"))
    return found[0].parent if found else None


def made_fingerprint(directory: Path) -> str | None:
    """The fingerprint of the CA that the page has made."""
    home = made_ca(directory)
    if home is None:
        return None
    pem = (home / "keys" / "main.pem").read_bytes()
    return fingerprint(x509.load_pem_x509_certificate(pem))


class Site:
    """A running server.

    :param directory: where the page's files are.
    """

    def __init__(self, directory: Path) -> None:
        home = made_ca(directory)
        assert home is not None, "the page has made no CA"
        self._home = home
        self._server = RunningServer(home / "scepkit.toml")
        self._address = urlsplit(self._server.url).netloc

    def answer(self, method: str, target: str, body: bytes) -> Answer:
        """Pass a request on.

        :param target: as a proxy gets it: a whole URL.
        """
        connection = http.client.HTTPConnection(self._address, timeout=30)
        headers = {"Content-Type": "application/x-pki-message"} if body else {}
        try:
            connection.request(method, _local(target), body or None, headers)
            response = connection.getresponse()
            return Answer(
                response.read(),
                response.getheader("Content-Type", ""),
                response.status,
                retry_after=response.getheader("Retry-After", ""),
            )
        finally:
            connection.close()

    def reload(self) -> None:
        """Let it read the configuration again."""
        self._server.reload()

    def settle(self) -> None:
        """Let it take up what commands did: revocations, a rollover."""
        self._server.settle()

    def stop(self) -> None:
        """Stop it."""
        assert self._server.stop() == 0


def first_serial(directory: Path) -> str | None:
    """The serial number of the first certificate that a requester got."""
    home = made_ca(directory)
    if home is None or not (home / "scepkit.db").exists():
        return None
    with closing(sqlite3.connect(home / "scepkit.db")) as connection:
        try:
            row = connection.execute(
                "SELECT serial FROM certificate WHERE profile <> '' ORDER BY id"
            ).fetchone()
        except sqlite3.OperationalError:  # there are no tables
            return None
    return None if row is None else str(row[0])


def _local(target: str) -> str:
    return re.sub(r"^https?://[^/]+", "", target) or "/"
