"""What goes between HTTP and the use cases: who asks, what is answered, what is to be logged.

The rule of this file: values only, so that either side can be tested without the other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks, and when.

    Attributes:
        now: when the request was complete (aware, UTC).
        address: of the client, or of its proxy when that is not trusted; "" when it has none.
        method: of the HTTP request.
    """

    now: datetime
    address: str = ""
    method: str = "POST"


class Record(Protocol):
    """What is known of a PKIOperation, for its line in the log and for the metrics."""

    @property
    def message_type(self) -> str:
        """The name of the messageType in RFC 8894, or what the client wrote instead."""

    @property
    def status(self) -> str:
        """The pkiStatus: "SUCCESS", "FAILURE", "PENDING", or "" when there was no CertRep."""

    @property
    def fail_info(self) -> str:
        """The failInfo's name in RFC 8894, or ""."""

    @property
    def stage(self) -> str:
        """How far it came: read, open, authorise, claim, sign, publish, seal."""

    @property
    def reason(self) -> str:
        """Why it was refused or held, or ""."""

    @property
    def replay(self) -> str:
        """ "", "same-transaction", "new-transaction" or "poll"."""

    @property
    def timings(self) -> Mapping[str, float]:
        """What each stage took, in milliseconds."""

    def fields(self) -> Mapping[str, object]:
        """All that is to be logged: no secret, and what the client wrote short and printable."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer.

    Attributes:
        status: the HTTP status: 200 for every CertRep.
        body: the whole body.
        content_type: exactly as it is to be sent.
        headers: further headers.
        record: for the log, for a PKIOperation.
    """

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()
    record: Record | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Something that is published: a CRL, or a CA's certificate.

    Attributes:
        body: its bytes, DER.
        content_type: exactly as it is to be sent.
        etag: names these bytes, in double quotes.
        last_modified: since when they are current (aware, UTC).
        expires: until when a copy is good, or None.
    """

    body: bytes
    content_type: str
    etag: str
    last_modified: datetime
    expires: datetime | None = None
