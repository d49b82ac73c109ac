"""CRLs: numbered, stored in pieces, published, served.

A CRL is made in this order: take a number (committed), read the revocations in one snapshot, sign,
store it in pieces, publish.  Each piece has a transaction of its own, so that nobody waits long on
SQLite, where one writes at a time.

What is published has a higher number than all before it and knows no less; whatever was revoked
after its snapshot leaves the CA marked for the next.  Numbers are unique by constraint (promise
P4); a crash leaves a gap, which RFC 5280 section 5.2.3 allows, and pieces that are of no use, which
`prune_pieces` removes.  Whoever fails and lives removes its own at once (`discard`): on a disk that
has no room for a CRL, they would take the room of all else.
"""

from __future__ import annotations

from scepkit.errors import InputError, StoreError
from scepkit.store.driver import Parameters, Row, Tx
from scepkit.store.rows import Crl

#: Bytes of a CRL that one transaction stores: some milliseconds, for which others wait.
PIECE = 1 << 18

#: Pieces that one transaction deletes.
_DELETED = 4

#: CRLs of one CA that may be in the making at once.
_AT_WORK = 3

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


_PUT_PIECE = """
    INSERT INTO crl_piece (ca_id, number, position, der) VALUES (:ca_id, :number, :position, :der)
"""


def positions(crl: Crl) -> range:
    """Where the pieces of a CRL begin."""
    return range(0, len(crl.der), PIECE)


def put_piece(tx: Tx, crl: Crl, position: int) -> None:
    """Store the piece that begins at `position`; its number is its maker's alone."""
    piece: Parameters = {
        "ca_id": crl.ca_id,
        "number": crl.number,
        "position": position,
        "der": crl.der[position : position + PIECE],
    }
    tx.send(_PUT_PIECE, piece)


# Whoever publishes waits here for others who do, so that the next statement sees what they did.
_LOCK = "UPDATE ca SET next_crl_number = next_crl_number WHERE id = :ca_id"

_BETTER = """
    SELECT 1 FROM crl WHERE ca_id = :ca_id AND (number >= :number OR covers > :covers) LIMIT 1
"""

_STORED = "SELECT count(*) FROM crl_piece WHERE ca_id = :ca_id AND number = :number"

_COVERED = """
    UPDATE ca SET crl_dirty_at = NULL
    WHERE id = :ca_id AND revocations = :covers AND crl_dirty_at IS NOT NULL
"""


_PUT = """
    INSERT INTO crl (ca_id, number, this_update, next_update, covers, size)
    VALUES (:ca_id, :number, :this_update, :next_update, :covers, :size)
"""


def put(tx: Tx, crl: Crl) -> bool:
    """Publish a CRL whose pieces are stored.

    The CA is unmarked when nothing was revoked since the CRL's entries were read.

    False when a CRL was published meanwhile that has a higher number or knows more, or so many were
    begun that its pieces were taken for those of a dead maker: throw this one away.
    """
    tx.run(_LOCK, {"ca_id": crl.ca_id})
    values = {
        "ca_id": crl.ca_id,
        "number": crl.number,
        "this_update": crl.this_update,
        "next_update": crl.next_update,
        "covers": crl.covers,
        "size": len(crl.der),
    }
    if tx.one(_BETTER, values) is not None or tx.one(_STORED, values) != (len(positions(crl)),):
        return False
    tx.run(_PUT, values)
    tx.run(_COVERED, {"ca_id": crl.ca_id, "covers": crl.covers})
    return True


_DISCARD = """
    DELETE FROM crl_piece WHERE (ca_id, number, position) IN (
        SELECT piece.ca_id, piece.number, piece.position FROM crl_piece piece
        WHERE piece.ca_id = :ca_id AND piece.number = :number
            AND NOT EXISTS (SELECT 1 FROM crl WHERE crl.ca_id = :ca_id AND crl.number = :number)
        ORDER BY piece.position LIMIT :some
    )
"""


def discard(tx: Tx, ca_id: int, number: int) -> int:
    """Delete some pieces of a CRL that its maker gives up; 0 when none are left.

    None of one that was published: a commit may have succeeded without saying so.
    """
    tx.run(_LOCK, {"ca_id": ca_id})
    return tx.run(_DISCARD, {"ca_id": ca_id, "number": number, "some": _DELETED})


# One statement, so that nobody deletes a piece meanwhile.
_NEWEST = """
    SELECT piece.position, piece.der,
        crl.ca_id, crl.number, crl.this_update, crl.next_update, crl.covers, crl.size
    FROM crl LEFT JOIN crl_piece piece ON piece.ca_id = crl.ca_id AND piece.number = crl.number
    WHERE crl.ca_id = :ca_id
        AND crl.number = (SELECT max(number) FROM crl WHERE ca_id = :ca_id)
"""


def newest(tx: Tx, ca_id: int) -> Crl | None:
    """The CRL to serve: the one with the highest number."""
    return _whole(tx.all(_NEWEST, {"ca_id": ca_id}))


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


def _whole(rows: list[Row]) -> Crl | None:
    if not rows:
        return None
    ca_id, number, this_update, next_update, covers, size = rows[0][2:]
    der = b"".join(piece for _, piece, *_ in sorted(rows) if piece is not None)
    if len(der) != size:
        raise StoreError(
            f"the CRL {number} of the CA with the number {ca_id} is damaged: it has {size}"
            f" bytes, and {len(der)} are in the database",
            hint="make a new one with scepkit crl make",
        )
    return Crl(ca_id, number, this_update, next_update, covers, der)


_PRUNE = """
    DELETE FROM crl WHERE ca_id = :ca_id AND number <= (
        SELECT number FROM crl WHERE ca_id = :ca_id ORDER BY number DESC LIMIT 1 OFFSET :keep
    )
"""


def prune(tx: Tx, ca_id: int, *, keep: int) -> int:
    """Delete all but the newest CRLs, without their pieces; returns how many went."""
    if keep < 1:
        raise InputError("at least the newest CRL is kept")
    return tx.run(_PRUNE, {"ca_id": ca_id, "keep": keep})


# Above the newest number somebody may be at work; below it nothing is published any more.
_PRUNE_PIECES = """
    DELETE FROM crl_piece WHERE (ca_id, number, position) IN (
        SELECT piece.ca_id, piece.number, piece.position FROM crl_piece piece
        WHERE piece.ca_id = :ca_id
            AND (piece.number < (SELECT max(number) FROM crl WHERE ca_id = :ca_id)
                OR piece.number < :nobodys)
            AND NOT EXISTS (
                SELECT 1 FROM crl WHERE crl.ca_id = :ca_id AND crl.number = piece.number
            )
        ORDER BY piece.number, piece.position LIMIT :some
    )
"""


def prune_pieces(tx: Tx, ca_id: int, number: int) -> int:
    """Delete some pieces that are of no CRL that is published or can be; 0 when none are left.

    Whoever took a number long before `number`, which is the newest, is taken for dead.
    """
    tx.run(_LOCK, {"ca_id": ca_id})  # nobody publishes them meanwhile
    nobodys = number - _AT_WORK
    return tx.run(_PRUNE_PIECES, {"ca_id": ca_id, "nobodys": nobodys, "some": _DELETED})
