"""Where a key, its certificate and its chain go, and how they get there.

The rules of this file:

- The key is on the disk before a request for it leaves, and is never overwritten before its
  successor's certificate is there.
- Readers find a key and a certificate that belong together, also after a crash (`swap`).
- ``cert.pem`` is the last to appear: where it is, all is.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from cryptography import x509

from scepkit.cli import swap
from scepkit.cli.describe import pem_bundle
from scepkit.cli.failures import Unfit
from scepkit.keys import write_file


class Destination(NamedTuple):
    """The files of one certificate.

    Attributes:
        key: the file with its private key.
        certificate: the file for the certificate.
        chain: the file for the issuers' certificates, or None for none.
        staged: the key still waits in `swap.successor(key)` and takes its place together with
            the certificate.
        with_chain: `certificate` holds the chain too.
    """

    key: str
    certificate: str
    chain: str | None
    staged: bool = False
    with_chain: bool = False

    @property
    def present_key(self) -> str:
        """Where the key is until the certificate comes."""
        return swap.successor(self.key) if self.staged else self.key

    def install(self, certificate: x509.Certificate, chain: Sequence[x509.Certificate]) -> None:
        """Write the certificate and its chain; a staged key takes its place with them."""
        content = {self.certificate: pem_bundle((certificate, *(chain if self.with_chain else ())))}
        if self.chain is not None and chain:
            content[self.chain] = pem_bundle(chain)
        # The certificate last: `swap.finish` looks beside it, and its presence says "complete".
        paths = [path for path in (self.chain, self.certificate) if path in content]
        if not self.staged and not os.path.exists(self.certificate):
            for path in paths:
                write_file(os.path.realpath(path), content[path], force=True)
            return
        for path in paths:
            write_file(swap.successor(path), content[path], force=True)
            swap.as_before(path, private=False)
        if self.staged:
            swap.as_before(self.key, private=True)
            paths.insert(0, self.key)
        swap.replace_together(paths)


@contextlib.contextmanager
def alone_in(directory: str) -> Iterator[None]:
    """Keep other scepkit processes out of `directory` meanwhile.

    Raises:
        Unfit: another one is in there.
        OSError: there is no such directory.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Unfit(
                f"another scepkit is at work in {directory}",
                hint="wait until it has ended",
                path=directory,
            ) from None
        yield
    finally:
        os.close(descriptor)
