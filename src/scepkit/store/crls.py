"""CRLs: numbered, published, served.

A CRL is made in this order: take a number (committed), read the revocations in one snapshot, sign,
publish.  What is published has a higher number than all before it and knows no less; whatever was
revoked after its snapshot leaves the CA marked for the next.  Numbers are unique by constraint
(promise P4); a crash leaves a gap, which RFC 5280 section 5.2.3 allows.
"""

from __future__ import annotations

from scepkit.errors import InputError
from scepkit.store.driver import Tx
from scepkit.store.rows import Crl, columns

_COLUMNS = columns(Crl)
_SELECT = f"SELECT {_COLUMNS} FROM crl"

_NEXT_NUMBER = """
    UPDATE ca SET next_crl_number = next_crl_number + 1 WHERE id = :ca_id
    RETURNING next_crl_number - 1
"""


def next_number(tx: Tx, ca_id: int) -> int:
    """A number for a CRL that no other CRL of the CA has or will have."""
    row = tx.one(_NEXT_NUMBER, {"ca_id": ca_id})
    if row is None:
        raise InputError(f"there is no CA with the number {ca_id}")
    number: int = row[0]
    return number


# Whoever publishes waits here for others who do, so that the next statement sees what they did.
_LOCK = "UPDATE ca SET next_crl_number = next_crl_number WHERE id = :ca_id"

_BETTER = """
    SELECT 1 FROM crl WHERE ca_id = :ca_id AND (number >= :number OR covers > :covers) LIMIT 1
"""

_COVERED = """
    UPDATE ca SET crl_dirty_at = NULL
    WHERE id = :ca_id AND revocations = :covers AND crl_dirty_at IS NOT NULL
"""


def put(tx: Tx, crl: Crl) -> bool:
    """Publish a CRL, and unmark the CA when nothing was revoked since its entries were read.

    False when a CRL was published meanwhile that has a higher number or knows more: throw this one
    away.
    """
    tx.run(_LOCK, {"ca_id": crl.ca_id})
    values = {
        "ca_id": crl.ca_id,
        "number": crl.number,
        "this_update": crl.this_update,
        "next_update": crl.next_update,
        "covers": crl.covers,
    }
    if tx.one(_BETTER, values) is not None:
        return False
    tx.insert_large("crl", values, "der", crl.der)
    tx.run(_COVERED, {"ca_id": crl.ca_id, "covers": crl.covers})
    return True


def newest(tx: Tx, ca_id: int) -> Crl | None:
    """The CRL to serve: the one with the highest number."""
    row = tx.one(f"{_SELECT} WHERE ca_id = :ca_id ORDER BY number DESC LIMIT 1", {"ca_id": ca_id})
    return None if row is None else Crl(*row)


def newest_without_der(tx: Tx, ca_id: int) -> Crl | None:
    """The CRL to serve, with an empty `der`: for looking at its dates again and again."""
    row = tx.one(
        "SELECT ca_id, number, this_update, next_update, covers FROM crl"
        " WHERE ca_id = :ca_id ORDER BY number DESC LIMIT 1",
        {"ca_id": ca_id},
    )
    if row is None:
        return None
    found, number, this_update, next_update, covers = row
    return Crl(
        ca_id=found,
        number=number,
        this_update=this_update,
        next_update=next_update,
        covers=covers,
        der=b"",
    )


def by_number(tx: Tx, ca_id: int, number: int) -> Crl | None:
    """The CRL with that number, while it is kept."""
    row = tx.one(
        f"{_SELECT} WHERE ca_id = :ca_id AND number = :number", {"ca_id": ca_id, "number": number}
    )
    return None if row is None else Crl(*row)


_PRUNE = """
    DELETE FROM crl WHERE ca_id = :ca_id AND number <= (
        SELECT number FROM crl WHERE ca_id = :ca_id ORDER BY number DESC LIMIT 1 OFFSET :keep
    )
"""


def prune(tx: Tx, ca_id: int, *, keep: int) -> int:
    """Delete all but the newest CRLs; returns how many went."""
    if keep < 1:
        raise InputError("at least the newest CRL is kept")
    return tx.run(_PRUNE, {"ca_id": ca_id, "keep": keep})
