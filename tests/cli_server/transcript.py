"""What transcripts of the server's commands can say besides those of the client's.

contains FILE PATTERN    a regular expression that is found in the file; ! in front: that is not
mkdir DIR
root CERTIFICATE KEY [OF]  write a root CA that is not ours, with the key OF of tests.pki
certify CSR FILE         let that root certify a CA
device CERTIFICATE KEY   write a certificate that is no CA's, and its key
sql FILE STATEMENT       change a database behind scepkit's back
"""

from __future__ import annotations

import re
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import ClassVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from tests import pki
from tests.cli.transcript import Transcript

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_FAR_AWAY = datetime(2049, 1, 1, tzinfo=UTC)


@dataclass
class ServerTranscript(Transcript):
    """A transcript of the commands for who runs a CA."""

    negatable: ClassVar[frozenset[str]] = Transcript.negatable | {"contains"}

    def _do_contains(self, name: str, pattern: str, wanted: bool = True) -> None:
        text = (self.directory / name).read_bytes().decode("latin-1")
        found = re.search(pattern, text, re.MULTILINE) is not None
        assert found is wanted, f"{'found' if found else 'not found'} in {name}: {pattern}"

    def _do_mkdir(self, name: str) -> None:
        (self.directory / name).mkdir()

    def _do_root(self, certificate: str, key: str, of: str = "rsa2048-a") -> None:
        (self.directory / certificate).write_bytes(_pem(outer_root(of)))
        (self.directory / key).write_bytes(pki.key_pem(of))

    def _do_certify(self, request: str, certificate: str) -> None:
        csr = x509.load_pem_x509_csr((self.directory / request).read_bytes())
        builder = (
            x509.CertificateBuilder()
            .subject_name(csr.subject)
            .issuer_name(outer_root().certificate.subject)
            .public_key(csr.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(_LONG_AGO)
            .not_valid_after(_FAR_AWAY)
        )
        for extension in csr.extensions:
            builder = builder.add_extension(extension.value, critical=extension.critical)
        signed = builder.sign(pki.key("rsa2048-a"), hashes.SHA256())
        pem = signed.public_bytes(Encoding.PEM)
        (self.directory / certificate).write_bytes(pem)

    def _do_device(self, certificate: str, key: str) -> None:
        made = pki.device(outer_root(), "device", "rsa2048-b")
        (self.directory / certificate).write_bytes(_pem(made))
        (self.directory / key).write_bytes(pki.key_pem("rsa2048-b"))

    def _do_sql(self, name: str, statement: str) -> None:
        with sqlite3.connect(self.directory / name) as connection:
            connection.execute(statement)
        connection.close()


def outer_root(of: str = "rsa2048-a") -> pki.Identity:
    """The root of another CA."""
    return pki.root(of, "Outer Root", not_before=_LONG_AGO, not_after=_FAR_AWAY)


def _pem(identity: pki.Identity) -> bytes:
    return identity.certificate.public_bytes(Encoding.PEM)
