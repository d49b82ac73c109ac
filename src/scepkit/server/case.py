"""One request that is being worked at, and what an answer to it is made of.

The rule of this file: an `Answer` says all that leaves the server, so that one function (`sealing`)
makes every CertRep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.core.algorithms import KeyTransport
from scepkit.core.certificates import CertificateView
from scepkit.core.envelope import Password
from scepkit.core.messages import CertRep, Failure, MessageType, Protection, Request
from scepkit.errors import AlgorithmError, FailInfo
from scepkit.server.deployment import Deployment, ServedProfile
from scepkit.server.records import OperationRecord
from scepkit.server.replies import Context
from scepkit.store import Store, turns
from scepkit.store.rows import milliseconds
from scepkit.values import kept

_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True, eq=False)
class Desk:
    """What every request is worked at with.

    Attributes:
        lease: milliseconds after which another process may go on with what this one began.
        patience: seconds to wait for another process that works at the same request.
        sleep: waits that long; a test may wait in another way.
    """

    store: Store
    deployment: Deployment
    lease: int = 30_000
    patience: float = 0.6
    sleep: Callable[[float], None] = field(default=turns.pause, repr=False)


@dataclass(frozen=True, eq=False)
class Case:
    """A message whose signature is good, in a profile."""

    desk: Desk
    profile: ServedProfile
    request: Request
    context: Context
    record: OperationRecord

    @property
    def store(self) -> Store:
        """The database."""
        return self.desk.store

    @property
    def now(self) -> datetime:
        """When the request came (aware)."""
        return self.context.now

    @kept
    def now_ms(self) -> int:
        """The same as the database has it."""
        return milliseconds(self.context.now)

    @property
    def message_type(self) -> MessageType:
        """What it is; unknown types are answered before."""
        assert self.request.message_type is not None  # noqa: S101
        return self.request.message_type

    @kept
    def signer_spki(self) -> bytes:
        """The SHA-256 of the signer's public key."""
        return hashlib.sha256(self.request.signer.spki).digest()

    @property
    def actor(self) -> str:
        """Who acts, for the audit: nobody but the protocol."""
        return "scep"


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered.

    Attributes:
        reply: the CertRep.
        recipient: whom a SUCCESS is encrypted to; None: the signer.
    """

    reply: CertRep
    recipient: CertificateView | Password | None = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A refusal before it is written down.

    Attributes:
        reason: for log and audit.
        text: for the client, "" for none.
        fail_info: why, in RFC 8894's words.
        action: for the audit.
    """

    reason: str
    text: str
    fail_info: FailInfo = FailInfo.BAD_REQUEST
    action: str = "request.deny"

    def answer(self) -> Answer:
        """As an answer."""
        return Answer(Failure(self.fail_info, self.text))


def milliseconds_of(span: timedelta) -> int:
    """A span of time as the database has it."""
    return span // _MILLISECOND


def recipient_for(
    signer: CertificateView, protection: Protection, secret: str | None
) -> CertificateView | Password:
    """Whom a SUCCESS is encrypted to (RFC 8894 sections 2.3 and 3.1).

    :param secret: the challengePassword, for a signer whose key cannot decrypt.
    :raises AlgorithmError: nothing can be encrypted to that requester.
    """
    key = signer.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        if not secret:
            raise AlgorithmError(
                "the requester's key cannot decrypt an answer, and there is no challengePassword "
                "to encrypt it with",
                algorithm="password",
            )
        return Password(secret.encode("utf-8", "surrogatepass"))
    transport = protection.key_transport or KeyTransport.RSA_PKCS1V15
    overhead = (
        11 if transport.oaep_digest is None else 2 * transport.oaep_digest.hash().digest_size + 2
    )
    if protection.cipher.key_bytes + overhead > key.key_size // 8:
        raise AlgorithmError(
            f"the requester's RSA key of {key.key_size} bits is too short for an answer",
            algorithm=transport.value,
        )
    return signer
