"""Reads tests/vectors: real messages, as they went over the wire.

`tests/vectors/README.md` says where they are from.  The reader finds the files of a conversation
and hands out their bytes, keys and certificates; `transaction` alone looks into a message.
"""

from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from scepkit.core import cms, messages
from scepkit.core.asn1 import content_of

FOLDER = Path(__file__).with_name("vectors")
SERVERS = ("ca", "ra", "des-md5-get")
CHALLENGE = "password"

_RESPONSE = re.compile(r"(\d\d)-(\w+)-response\.(der|txt)")


@dataclass(frozen=True, slots=True)
class Message:
    """What went one way in one HTTP exchange.

    Attributes:
        wire: the whole body (BER where jscep wrote it).
        enveloped: the eContent of the SignedData, an EnvelopedData; None when there is none.
        plain: the decrypted messageData; None when there is none.
    """

    wire: bytes
    enveloped: bytes | None = None
    plain: bytes | None = None


@dataclass(frozen=True, slots=True)
class Step:
    """One HTTP exchange; `request` is None but for PKIOperation."""

    number: int
    operation: str
    request: Message | None
    response: Message
    content_type: str


@dataclass(frozen=True, slots=True)
class Server:
    """The keys of the server that answered; `ra_*` are None where the CA answers for itself."""

    name: str
    folder: Path

    @property
    def ca_key(self) -> RSAPrivateKey:
        return _rsa_key(self.folder / "ca.key.pem")

    @property
    def ca_certificate(self) -> x509.Certificate:
        return _certificates(self.folder / "ca.cert.pem")[0]

    @property
    def next_ca_certificate(self) -> x509.Certificate:
        return _certificates(self.folder / "next-ca.cert.pem")[0]

    @property
    def recipient_key(self) -> RSAPrivateKey:
        """The key that opens requests and signs replies: the RA's, if there is one."""
        ra = self.folder / "ra.key.pem"
        return _rsa_key(ra) if ra.exists() else self.ca_key

    @property
    def recipient_certificate(self) -> x509.Certificate:
        """The certificate of `recipient_key`."""
        ra = self.folder / "ra.cert.pem"
        return _certificates(ra)[0] if ra.exists() else self.ca_certificate


@dataclass(frozen=True, slots=True)
class Conversation:
    """All exchanges of one operation of jscep's client, in order."""

    server: Server
    name: str
    steps: tuple[Step, ...]
    folder: Path

    def __str__(self) -> str:
        return f"{self.server.name}/{self.name}"

    @property
    def result(self) -> dict[str, Any]:
        """What jscep's client made of it."""
        found: dict[str, Any] = json.loads((self.folder / "result.json").read_text("utf-8"))
        return found

    @property
    def pki_operations(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.operation == "PKIOperation")

    @property
    def requester_key(self) -> RSAPrivateKey:
        """Signs the request and decrypts the reply."""
        return _rsa_key(self._requester("requester.key.pem", "entity.key.pem"))

    @property
    def requester_certificate(self) -> x509.Certificate:
        return _certificates(self._requester("requester.cert.pem", "issued.pem"))[0]

    @property
    def entity_key(self) -> RSAPrivateKey | EllipticCurvePrivateKey:
        """The key in the CSR."""
        return _key(self.folder / "entity.key.pem")

    @property
    def issued(self) -> tuple[x509.Certificate, ...]:
        """The certificates jscep got, in the order of the reply; empty when it got none."""
        path = self.folder / "issued.pem"
        return _certificates(path) if path.exists() else ()

    def _requester(self, own: str, got: str) -> Path:
        # Queries were made with what enrol-success got.
        path = self.folder / own
        return path if path.exists() else self.folder.parent / "enrol-success" / got


@functools.cache
def conversations() -> tuple[Conversation, ...]:
    """Every recorded conversation."""
    return tuple(
        _conversation(Server(name, FOLDER / "jscep" / name), folder)
        for name in SERVERS
        for folder in sorted((FOLDER / "jscep" / name).iterdir())
        if folder.is_dir()
    )


def conversation(name: str) -> Conversation:
    """One conversation by its name, such as ``ra/enrol-success``."""
    (found,) = (one for one in conversations() if str(one) == name)
    return found


def rfc8894(name: str) -> bytes:
    """One of the vectors RFC 8894 section 3 points at, such as ``scep_req2.der``."""
    return (FOLDER / "rfc8894" / name).read_bytes()


def transaction(step: Step) -> tuple[str, bytes]:
    """transactionID and senderNonce of a recorded request, which its answer repeats."""
    assert step.request is not None
    (info,) = cms.read_signed(step.request.wire).signers
    values = {oid: content_of(value) for oid, [value] in info.attributes}
    return (
        values[messages.ID_TRANSACTION_ID].decode("ascii"),
        values[messages.ID_SENDER_NONCE],
    )


def _conversation(server: Server, folder: Path) -> Conversation:
    steps = []
    for path in sorted(folder.iterdir()):
        match = _RESPONSE.fullmatch(path.name)
        if match is None:
            continue
        stem = f"{match[1]}-{match[2]}"
        request = folder / f"{stem}-request.der"
        steps.append(
            Step(
                number=int(match[1]),
                operation=match[2],
                request=_message(request) if request.exists() else None,
                response=_message(path),
                content_type=(folder / f"{stem}-response.contenttype").read_text("ascii").strip(),
            )
        )
    return Conversation(server, folder.name, tuple(steps), folder)


def _message(path: Path) -> Message:
    def layer(suffix: str) -> bytes | None:
        beside = path.with_name(f"{path.stem}.{suffix}.der")
        return beside.read_bytes() if beside.exists() else None

    return Message(path.read_bytes(), layer("layer2-enveloped"), layer("layer3-plain"))


def _rsa_key(path: Path) -> RSAPrivateKey:
    key = _key(path)
    assert isinstance(key, RSAPrivateKey)
    return key


@functools.cache
def _key(path: Path) -> RSAPrivateKey | EllipticCurvePrivateKey:
    key = load_pem_private_key(path.read_bytes(), None)
    assert isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey)
    return key


@functools.cache
def _certificates(path: Path) -> tuple[x509.Certificate, ...]:
    return tuple(x509.load_pem_x509_certificates(path.read_bytes()))
