"""What is known of one PKIOperation while it is worked at: for its line in the log, for metrics.

The rule of this file: nothing secret is ever put in, and what a client wrote comes out short and
printable.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal

from scepkit.core.http import printable
from scepkit.core.messages import PkiStatus, Protection, Request

_LONGEST = 256

Stage = Literal["read", "open", "authorise", "claim", "sign", "publish", "seal"]
Replay = Literal["", "same-transaction", "new-transaction", "poll"]


class _Timed:
    """Adds the time spent within it; a generator would cost three times as much."""

    __slots__ = ("_began", "_stage", "_timings")

    def __init__(self, timings: dict[str, float], stage: Stage) -> None:
        self._timings, self._stage = timings, stage

    def __enter__(self) -> None:
        self._began = perf_counter()

    def __exit__(self, *_: object) -> None:
        spent = (perf_counter() - self._began) * 1000
        self._timings[self._stage] = self._timings.get(self._stage, 0.0) + spent


@dataclass(slots=True)
class OperationRecord:
    """One PKIOperation; `scepkit.server.replies.Record`.

    Attributes:
        profile, address, method: as asked.
        message_type: its name in RFC 8894, or what the client wrote.
        transaction_id: as the client wrote it.
        signer_key: the first digits of the SHA-256 of the signer's public key.
        cipher, key_transport, digest: how the request is protected.
        status: the pkiStatus, or "" when there is no CertRep.
        fail_info: its name in RFC 8894, or "".
        stage: how far it came: where it was refused or held, or "seal" for a SUCCESS.
        reason: why it was refused or held.
        replay: whether the answer is that of an earlier request.
        by: which authoriser allowed or held it.
        operation, serial, subject: what it led to.
        timings: milliseconds by stage.
    """

    profile: str
    address: str = ""
    method: str = ""
    message_type: str = ""
    transaction_id: str = ""
    signer_key: str = ""
    cipher: str = ""
    key_transport: str = ""
    digest: str = ""
    status: str = ""
    fail_info: str = ""
    stage: Stage = "read"
    reason: str = ""
    replay: Replay = ""
    by: str = ""
    operation: int | None = None
    serial: str = ""
    subject: str = ""
    timings: dict[str, float] = field(default_factory=dict)

    def timed(self, stage: Stage) -> _Timed:
        """Measure a stage, which is then the one reached; every answer is sealed, so not that."""
        if stage != "seal":
            self.stage = stage
        return _Timed(self.timings, stage)

    def about(self, request: Request) -> None:
        """Note what a message says of itself."""
        known = request.message_type
        self.message_type = known.rfc_name if known else request.message_type_text
        self.transaction_id = request.transaction_id
        self.signer_key = hashlib.sha256(request.signer.spki).hexdigest()[:16]
        self.digest = request.digest.value

    def protected(self, protection: Protection) -> None:
        """Note how a request was protected."""
        self.cipher = protection.cipher.value
        transport = protection.key_transport
        self.key_transport = "password" if transport is None else transport.value

    def ended(self, status: PkiStatus, fail_info: str = "") -> None:
        """Note the answer."""
        self.status, self.fail_info = status.name, fail_info
        if status is PkiStatus.SUCCESS:
            self.stage = "seal"

    def fields(self) -> dict[str, object]:
        """All that is to be logged."""
        # What is not a word of ours is made printable.
        texts = {
            "profile": self.profile,
            "address": self.address,
            "method": self.method,
            "messageType": printable(self.message_type, _LONGEST),
            "transactionID": printable(self.transaction_id, _LONGEST),
            "signerKey": self.signer_key,
            "cipher": self.cipher,
            "keyTransport": self.key_transport,
            "digest": self.digest,
            "pkiStatus": self.status,
            "failInfo": self.fail_info,
            "stage": self.stage,
            "reason": printable(self.reason, _LONGEST),
            "replay": self.replay,
            "by": self.by,
            "serial": self.serial,
            "subject": printable(self.subject, _LONGEST),
        }
        found: dict[str, object] = {name: text for name, text in texts.items() if text}
        if self.operation is not None:
            found["operation"] = self.operation
        found["ms"] = {stage: round(spent, 3) for stage, spent in self.timings.items()}
        return found
