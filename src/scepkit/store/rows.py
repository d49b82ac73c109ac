"""The stored things, as they are in the tables (schema/0001_initial.sql).

Every time is in milliseconds since 1970, UTC; serial numbers are lower-case hex without leading
zeros; hashes are bytes.  A class's fields are the columns that are read for it, in their order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import Literal, NamedTuple

CaStatus = Literal["staged", "active", "retired"]
OperationKind = Literal["enrol", "renew"]
OperationState = Literal["pending", "approved", "issued", "rejected", "failed", "expired"]
CertificateState = Literal["reserved", "issued", "revoked"]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)

#: Milliseconds that are longer than any lease, of an operation or a job: `server.lease` is an hour
#: at most.
LONGEST_LEASE = 2 * 60 * 60 * 1000


def milliseconds(moment: datetime) -> int:
    """A moment (aware) as the database has it."""
    return (moment - _EPOCH) // _MILLISECOND


def moment(milliseconds: int) -> datetime:
    """The moment (UTC) that the database has as `milliseconds`."""
    return _EPOCH + milliseconds * _MILLISECOND


def columns(row: type, table: str = "") -> str:
    """The columns of a row class, for a SELECT; with their table's name where there are several."""
    return ", ".join(f"{table}.{field.name}" if table else field.name for field in fields(row))


@dataclass(frozen=True, slots=True)
class Ca:
    """One generation of a CA; `key_ref` says where its key is, `chain` is the caller's."""

    id: int
    name: str
    generation: int
    status: CaStatus
    key_ref: str
    next_crl_number: int
    revocations: int
    crl_dirty_at: int | None
    created_at: int
    certificate: bytes
    chain: bytes


@dataclass(frozen=True, slots=True)
class Challenge:
    """A challenge that was handed out; of the secret there is a MAC only."""

    id: int
    profile: str
    bind: str
    label: str
    uses: int
    uses_left: int
    expires_at: int
    revoked_at: int | None
    created_at: int
    created_by: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One logical enrolment or renewal, whatever number of messages were sent for it.

    `transaction_id` is that of the first request.  `lease_until` is set while it is approved: until
    then somebody works at it.
    """

    id: int
    profile: str
    op_key: bytes
    epoch: int
    kind: OperationKind
    state: OperationState
    transaction_id: str
    subject: str
    sans: str
    challenge_id: int | None
    renews_ca: int | None
    renews_serial: str | None
    reason: str
    fail_info: int | None
    attempts: int
    lease_until: int | None
    pending_until: int | None
    created_at: int
    decided_at: int | None
    decided_by: str | None
    finished_at: int | None
    csr: bytes
    signer: bytes


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate; `der` is None while its serial number is only reserved.

    A revoked one may have none either: its signature was never made, or never stored.
    """

    id: int
    ca_id: int
    serial: str
    operation_id: int | None
    state: CertificateState
    profile: str
    subject: str
    sans: str
    not_before: int
    not_after: int
    created_at: int
    issued_at: int | None
    revoked_at: int | None
    revocation_reason: int | None
    spki_sha256: bytes
    sha256: bytes | None
    frozen: str
    der: bytes | None


# A tuple, because a CRL may have a million of them: each is made in a third of the time.
class Revoked(NamedTuple):
    """An entry of a CRL; `reason` is RFC 5280's CRLReason."""

    serial: str
    revoked_at: int
    reason: int


@dataclass(frozen=True, slots=True)
class Crl:
    """A CRL that was published; `covers` is `Ca.revocations` when its entries were read."""

    ca_id: int
    number: int
    this_update: int
    next_update: int
    covers: int
    der: bytes


@dataclass(frozen=True, slots=True)
class OutboxItem:
    """Something to be told to somebody; `payload` is JSON."""

    id: int
    kind: str
    attempts: int
    not_before: int
    created_at: int
    done_at: int | None
    dead_at: int | None
    last_error: str
    payload: str


@dataclass(frozen=True, slots=True)
class AuditRow:
    """A decision: who did what to what.  `position` and the hashes come with sealing."""

    seq: int
    at: int
    node: str
    actor: str
    action: str
    object: str
    detail: str
    position: int | None
    prev_hash: bytes | None
    hash: bytes | None


@dataclass(frozen=True, slots=True)
class Node:
    """A server process that said it is alive.

    Attributes:
        challenge_key: a fingerprint of the key that challenges are kept under; "" if unknown.
    """

    name: str
    version: str
    started_at: int
    heartbeat_at: int
    challenge_key: str = ""
