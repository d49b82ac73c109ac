"""Rows of the database as tables for people and as JSON for programs.

The rules of this file: the names in JSON are those of the client's commands where the thing is the
same (`scepkit.cli.describe`); a time is RFC 3339 in UTC; a page of a list says how to get the next.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Literal

from scepkit.cli.describe import rfc3339
from scepkit.cli.output import Output, printable
from scepkit.server.naming import Binding
from scepkit.store import searching
from scepkit.store.rows import moment

if TYPE_CHECKING:
    from scepkit.store import Store
    from scepkit.store.outbox import State
    from scepkit.store.rows import (
        AuditRow,
        Ca,
        Certificate,
        Challenge,
        Crl,
        Operation,
        OutboxItem,
    )

    HasId = Certificate | Challenge | Operation | OutboxItem

_GAP = "  "
EMPTY = "-"

# What the trail keeps as milliseconds since 1970.
_MOMENTS = frozenset({"notAfter", "expires"})

#: RFC 5280's CRLReason, by number; 7 is not used.
REASONS = {
    0: "unspecified",
    1: "keyCompromise",
    2: "cACompromise",
    3: "affiliationChanged",
    4: "superseded",
    5: "cessationOfOperation",
    6: "certificateHold",
    8: "removeFromCRL",
    9: "privilegeWithdrawn",
    10: "aACompromise",
}


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Rows under a heading, the columns under each other."""
    lines = [list(heading), *([printable(cell) or EMPTY for cell in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(heading))]
    return "".join(
        _GAP.join(f"{cell:<{width}}" for cell, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def more(out: Output, following: object, option: str = "--before") -> None:
    """Say how the next page is to be had."""
    if following is not None:
        out.note(f"there may be more: {option} {following} shows the next ones")


def last_of(rows: Sequence[HasId], limit: int, after: int = 0) -> int | None:
    """What `--before` takes for the next page, or None when this is the last.

    `after` is the row at which the search for this page ended, 0 for the oldest.
    """
    if len(rows) == limit:
        return rows[-1].id
    return after + 1 if after else None


def search_floor(
    store: Store, of: Literal["certificate", "operation"], text: str | None, before: int | None
) -> int:
    """The row at which a page ends its search for a text; 0 for the oldest."""
    return store.read(lambda tx: searching.floor(tx, of, before)) if text is not None else 0


def when(milliseconds: int | None) -> str:
    """A stored time for people; "" for none."""
    return "" if milliseconds is None else rfc3339(moment(milliseconds))


def time_or_none(milliseconds: int | None) -> str | None:
    """A stored time for JSON."""
    return None if milliseconds is None else rfc3339(moment(milliseconds))


def audit_detail(row: AuditRow) -> str:
    """The detail of a row of the audit trail for people: what is in it, moments as times."""
    import json

    told = _detail(row)
    try:
        told = told | {name: when(told[name]) for name in _MOMENTS & told.keys()}
    except (AttributeError, TypeError, ValueError, OverflowError):
        return row.detail  # somebody changed it: it is shown as it stands
    return json.dumps(told, ensure_ascii=False, separators=(",", ":"))


def _detail(row: AuditRow) -> Any:
    """What is in the detail of a row; the text itself if somebody made it no JSON."""
    import json

    try:
        return json.loads(row.detail)
    except ValueError:
        return row.detail


# ------------------------------------------------------------------ rows as JSON


def notice_values(row: OutboxItem) -> dict[str, Any]:
    """What ``--json`` says of a notice."""
    from scepkit.errors import FailInfo

    about = _payload(row)
    state, code = notice_state(row), about.get("code")
    return {
        "id": row.id,
        "state": state,
        "kind": row.kind.removeprefix("notify."),
        "request": about.get("operation"),
        "profile": about.get("profile"),
        "transactionID": about.get("transactionID"),
        "failInfo": None if code is None else FailInfo(code).rfc_name,
        "created": time_or_none(row.created_at),
        "tries": row.attempts,
        "next": time_or_none(row.not_before) if state == "waiting" else None,
        "told": time_or_none(row.done_at),
        "givenUp": time_or_none(row.dead_at),
        "error": row.last_error or None,
    }


def notice_state(row: OutboxItem) -> State:
    """How a notice stands, as `--state` of the list names it."""
    if row.done_at is not None:
        return "told"
    return "waiting" if row.dead_at is None else "given-up"


def notice_about(row: OutboxItem) -> str:
    """What a notice says, in short."""
    about = _payload(row)
    kind = row.kind.removeprefix("notify.")
    if "operation" in about:
        return f"{kind}: request {about['operation']}"
    return f"{kind}: transactionID {about.get('transactionID')} in {about.get('profile')}"


def _payload(row: OutboxItem) -> dict[str, Any]:
    import json

    found: dict[str, Any] = json.loads(row.payload)
    return found


def challenge_values(row: Challenge, now: int) -> dict[str, Any]:
    """What ``--json`` says of a challenge."""
    bound = Binding.from_json(row.bind)
    return {
        "id": row.id,
        "profile": row.profile,
        "state": challenge_state(row, now),
        "label": row.label,
        "subject": bound.subject,
        "subjectAltName": None if bound.san is None else list(bound.san),
        "uses": row.uses,
        "usesLeft": row.uses_left,
        "expires": time_or_none(row.expires_at),
        "revoked": time_or_none(row.revoked_at),
        "created": time_or_none(row.created_at),
        "createdBy": row.created_by,
    }


def challenge_state(row: Challenge, now: int) -> str:
    """``usable``, or why not."""
    if row.revoked_at is not None:
        return "revoked"
    if not row.uses_left:
        return "used"
    return "usable" if row.expires_at > now else "expired"


def request_values(row: Operation) -> dict[str, Any]:
    """What ``--json`` says of a request in a list."""
    return {
        "id": row.id,
        "profile": row.profile,
        "kind": row.kind,
        "state": row.state,
        "subject": row.subject,
        "subjectAltName": row.sans.splitlines(),
        "transactionID": row.transaction_id,
        "reason": row.reason,
        "created": time_or_none(row.created_at),
        "waitsUntil": time_or_none(row.pending_until),
        "decided": time_or_none(row.decided_at),
        "decidedBy": row.decided_by,
        "finished": time_or_none(row.finished_at),
    }


def stored_values(row: Certificate, ca: str) -> dict[str, Any]:
    """What ``--json`` says of a certificate of the server's, without the certificate itself."""
    reason = row.revocation_reason
    return {
        "id": row.id,
        "ca": ca,
        "profile": row.profile or None,
        "state": row.state,
        "serialNumber": row.serial,
        "subject": row.subject,
        "subjectAltName": row.sans.splitlines(),
        "notBefore": time_or_none(row.not_before),
        "notAfter": time_or_none(row.not_after),
        "issued": time_or_none(row.issued_at),
        "revoked": time_or_none(row.revoked_at),
        "revocationReason": None if reason is None else REASONS.get(reason, str(reason)),
        "sha256": None if row.sha256 is None else row.sha256.hex(),
        "request": row.operation_id,
    }


def ca_values(row: Ca) -> dict[str, Any]:
    """What ``--json`` says of a generation of a CA."""
    from scepkit.cli.describe import certificate_values
    from scepkit.core.certificates import load_certificate
    from scepkit.server.registry import label

    return {
        "label": label(row),
        "name": row.name,
        "generation": row.generation,
        "status": row.status,
        "key": row.key_ref,
        "created": time_or_none(row.created_at),
        "certificate": certificate_values(load_certificate(row.certificate)),
    }


def crl_row_values(row: Crl, ca: str) -> dict[str, Any]:
    """What ``--json`` says of a CRL of the server's."""
    from cryptography import x509

    from scepkit.cli.describe import crl_values

    return {"ca": ca, **crl_values(x509.load_der_x509_crl(row.der))}


def audit_values(row: AuditRow) -> dict[str, Any]:
    """What ``--json`` says of a row of the audit trail."""
    return {
        "seq": row.seq,
        "position": row.position,
        "time": time_or_none(row.at),
        "node": row.node,
        "actor": row.actor,
        "action": row.action,
        "object": row.object,
        "detail": _detail(row),
        "hash": None if row.hash is None else row.hash.hex(),
    }
