"""Debian's `scepserver` (micromdm) as a real process.

It binds every address, hence the namespace of its own.  Its replies are signed with SHA-1 and
encrypted with single DES, whatever the request used.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509

from tests.interop import foreign
from tests.interop.namespace import Namespace, serve

#: In a namespace of its own every port is free.
PORT = 8080
CHALLENGE = "an interop challenge"


@dataclass(frozen=True)
class ScepServer:
    """A running scepserver; `url` is reached from inside `namespace` only."""

    url: str
    namespace: Namespace
    depot: Path
    ca_certificate: x509.Certificate
    log: Path


@contextmanager
def scepserver(folder: Path, *, challenge: str = CHALLENGE) -> Iterator[ScepServer]:
    """A scepserver with a fresh RSA-2048 CA that allows renewal at any time."""
    path = foreign.program("scepserver", "scep")
    depot = folder / "depot"
    foreign.run([path, "ca", "-init", "-depot", depot, "-keySize", "2048"])
    options = ("-allowrenew", "0", "-challenge", challenge, "-debug")
    log = folder / "scepserver.log"
    with serve([path, "-port", str(PORT), "-depot", depot, *options], PORT, log) as namespace:
        yield ScepServer(
            url=f"http://127.0.0.1:{PORT}/scep",
            namespace=namespace,
            depot=depot,
            ca_certificate=x509.load_pem_x509_certificate((depot / "ca.pem").read_bytes()),
            log=log,
        )
