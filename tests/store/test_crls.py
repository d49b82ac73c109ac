"""CRLs: numbers are unique (P4), and what is published never knows less than before."""

from __future__ import annotations

import pytest

from scepkit.errors import InputError, StoreError
from scepkit.store import Rollback, Store, Tx, cas, certificates, crls
from scepkit.store.rows import Ca, Crl
from tests.store.enrolling import DAY, NOW, a_ca, a_certificate, put_whole


def next_number(store: Store, ca: Ca) -> int:
    return store.write(lambda tx: crls.next_number(tx, ca.id))


def put(store: Store, ca: Ca, number: int, covers: int = 0) -> bool:
    return put_all(store, Crl(ca.id, number, NOW, NOW + DAY, covers, f"crl {number}".encode()))


def put_all(store: Store, crl: Crl) -> bool:
    return store.write(lambda tx: put_whole(tx, crl))


def put_piece(store: Store, crl: Crl, position: int) -> None:
    store.write(lambda tx: crls.put_piece(tx, crl, position))


def prune_pieces(store: Store, ca: Ca, number: int) -> int:
    return store.write(lambda tx: crls.prune_pieces(tx, ca.id, number))


def discard(store: Store, ca: Ca, number: int) -> int:
    return store.write(lambda tx: crls.discard(tx, ca.id, number))


def pieces(store: Store, ca: Ca) -> list[tuple[int, int]]:
    """The number of each CRL of which there are pieces, and how many."""
    of_ca = "SELECT number, count(*) FROM crl_piece WHERE ca_id = :ca_id GROUP BY number"
    return sorted(
        (int(n), int(k)) for n, k in store.read(lambda tx: tx.all(of_ca, {"ca_id": ca.id}))
    )


def revoke(store: Store, ca: Ca, serial: str) -> None:
    a_certificate(store, ca, serial)
    assert store.write(
        lambda tx: certificates.revoke(tx, ca.id, serial, reason=1, actor="alice", now=NOW)
    )


def found(store: Store, ca: Ca) -> Ca:
    ca_now = store.read(lambda tx: cas.find(tx, ca.id))
    assert ca_now is not None
    return ca_now


def newest(store: Store, ca: Ca) -> int | None:
    crl = store.read(lambda tx: crls.newest(tx, ca.id))
    return None if crl is None else crl.number


def kept(store: Store, ca: Ca) -> list[int]:
    """The numbers of the CRLs of a CA that are published and not pruned."""
    query = "SELECT number FROM crl WHERE ca_id = :ca_id ORDER BY number"
    return [number for (number,) in store.read(lambda tx: tx.all(query, {"ca_id": ca.id}))]


def test_numbers_of_a_ca_begin_at_one_and_rise(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    assert [next_number(store, ca) for _ in range(3)] == [1, 2, 3]
    assert next_number(store, other) == 1


def test_unknown_ca_has_no_numbers(store: Store) -> None:
    with pytest.raises(InputError, match="no CA with the number 99"):
        store.write(lambda tx: crls.next_number(tx, 99))


def test_published_crl_is_served(store: Store) -> None:
    ca = a_ca(store)
    assert newest(store, ca) is None
    assert put(store, ca, next_number(store, ca))
    assert put(store, ca, next_number(store, ca))
    crl = store.read(lambda tx: crls.newest(tx, ca.id))
    assert crl == Crl(ca.id, 2, NOW, NOW + DAY, 0, b"crl 2")
    assert kept(store, ca) == [1, 2]


def test_crl_of_many_pieces_is_read_whole(store: Store) -> None:
    ca = a_ca(store)
    crl = Crl(ca.id, 1, NOW, NOW + DAY, 0, bytes(range(251)) * 14_001)
    assert len(crls.positions(crl)) > 10
    assert put_all(store, crl)
    assert store.read(lambda tx: crls.newest(tx, ca.id)) == crl


def test_pieces_are_not_served_before_the_last_one_is_there_and_the_crl_is_published(
    store: Store,
) -> None:
    ca = a_ca(store)
    put(store, ca, 1)
    crl = Crl(ca.id, 2, NOW, NOW + DAY, 0, bytes(3 * crls.PIECE))
    for position in crls.positions(crl):
        put_piece(store, crl, position)
        assert newest(store, ca) == 1
        assert kept(store, ca) == [1]
    assert store.write(lambda tx: crls.put(tx, crl))
    assert newest(store, ca) == 2


def test_crl_of_a_transaction_that_is_undone_was_never_there(store: Store) -> None:
    ca = a_ca(store)
    crl = Crl(ca.id, 1, NOW, NOW + DAY, 0, bytes(3_000_000))

    def undone(tx: Tx) -> None:
        put_whole(tx, crl)
        raise Rollback(None)

    store.write(undone)
    assert newest(store, ca) is None
    assert put(store, ca, 1)


def test_piece_that_is_there_already_is_not_stored_by_anybody(store: Store) -> None:
    ca = a_ca(store)
    assert put(store, ca, 1)
    with pytest.raises(StoreError, match="refuses"):
        put_piece(store, Crl(ca.id, 1, NOW, NOW + DAY, 0, b"another"), 0)
    first = store.read(lambda tx: crls.newest(tx, ca.id))
    assert first is not None
    assert first.der == b"crl 1"


@pytest.mark.parametrize("first_missing", [0, crls.PIECE])
def test_crl_with_pieces_missing_is_an_error_and_never_served(
    store: Store, first_missing: int
) -> None:
    ca = a_ca(store)
    assert put_all(store, Crl(ca.id, 1, NOW, NOW + DAY, 0, bytes(2 * crls.PIECE)))
    delete = "DELETE FROM crl_piece WHERE position >= :first"
    store.write(lambda tx: tx.run(delete, {"first": first_missing}))
    with pytest.raises(
        StoreError, match=rf"the CRL 1 of .* is damaged: .* and {first_missing} are"
    ):
        newest(store, ca)


def test_dates_of_the_served_crl_are_read_without_it(store: Store) -> None:
    ca = a_ca(store)
    assert store.read(lambda tx: crls.newest_without_der(tx, ca.id)) is None
    put(store, ca, next_number(store, ca))
    crl = store.read(lambda tx: crls.newest_without_der(tx, ca.id))
    assert crl == Crl(ca.id, 1, NOW, NOW + DAY, 0, b"")


def test_number_is_published_once(store: Store) -> None:
    ca = a_ca(store)
    assert put(store, ca, 1)
    again = Crl(ca.id, 1, NOW, NOW + DAY, 0, b"crl 1")
    assert not store.write(lambda tx: crls.put(tx, again))


def test_crl_with_a_lower_number_comes_too_late(store: Store) -> None:
    ca = a_ca(store)
    slow, quick = next_number(store, ca), next_number(store, ca)
    assert put(store, ca, quick)
    assert not put(store, ca, slow)
    assert newest(store, ca) == quick


def test_crl_that_knows_less_than_the_published_one_is_refused(store: Store) -> None:
    ca = a_ca(store)
    first, second = next_number(store, ca), next_number(store, ca)
    knows = found(store, ca).revocations
    revoke(store, ca, "aa")
    assert put(store, ca, first, covers=found(store, ca).revocations)
    assert not put(store, ca, second, covers=knows)
    assert newest(store, ca) == first


def test_crl_with_all_revocations_unmarks_the_ca(store: Store) -> None:
    ca = a_ca(store)
    revoke(store, ca, "aa")
    revoke(store, ca, "bb")
    marked = found(store, ca)
    assert (marked.crl_dirty_at, marked.revocations) == (NOW, 2)
    put(store, ca, next_number(store, ca), covers=2)
    assert found(store, ca).crl_dirty_at is None


def test_revocation_while_a_crl_is_made_leaves_the_mark(store: Store) -> None:
    ca = a_ca(store)
    revoke(store, ca, "aa")
    number, covers = next_number(store, ca), found(store, ca).revocations
    revoke(store, ca, "bb")
    assert put(store, ca, number, covers=covers)
    assert found(store, ca).crl_dirty_at == NOW


def test_old_crls_are_pruned(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    for _ in range(5):
        put(store, ca, next_number(store, ca))
    put(store, other, next_number(store, other))
    assert store.write(lambda tx: crls.prune(tx, ca.id, keep=2)) == 3
    assert store.write(lambda tx: crls.prune(tx, ca.id, keep=2)) == 0
    assert kept(store, ca) == [4, 5]
    assert newest(store, other) == 1


def test_newest_crl_is_never_pruned(store: Store) -> None:
    ca = a_ca(store)
    with pytest.raises(InputError, match="newest"):
        store.write(lambda tx: crls.prune(tx, ca.id, keep=0))


def test_pieces_of_crls_that_are_gone_or_never_came_are_removed(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    put(store, other, 1)
    put(store, ca, 1)
    died = Crl(ca.id, 2, NOW, NOW + DAY, 0, bytes(9 * crls.PIECE))
    for position in crls.positions(died)[:-1]:
        put_piece(store, died, position)
    put(store, ca, 3)
    put(store, ca, 4)
    store.write(lambda tx: crls.prune(tx, ca.id, keep=2))
    while prune_pieces(store, ca, 4):
        pass
    assert pieces(store, ca) == [(3, 1), (4, 1)]
    assert pieces(store, other) == [(1, 1)]


def test_few_pieces_are_removed_at_once(store: Store) -> None:
    ca = a_ca(store)
    died = Crl(ca.id, 1, NOW, NOW + DAY, 0, bytes(9 * crls.PIECE))
    for position in crls.positions(died):
        put_piece(store, died, position)
    put(store, ca, 2)
    assert [prune_pieces(store, ca, 2) for _ in range(4)] == [4, 4, 1, 0]


def test_pieces_of_a_crl_that_may_still_be_published_stay(store: Store) -> None:
    ca = a_ca(store)
    first, later = (Crl(ca.id, n, NOW, NOW + DAY, 0, b"crl") for n in (1, 3))
    put_piece(store, first, 0)
    assert prune_pieces(store, ca, 1) == 0
    put(store, ca, 2)
    put_piece(store, later, 0)
    assert prune_pieces(store, ca, 3) == 1
    assert pieces(store, ca) == [(2, 1), (3, 1)]
    assert store.write(lambda tx: crls.put(tx, later))
    assert newest(store, ca) == 3


def test_pieces_of_makers_that_died_do_not_pile_up_where_nothing_is_published(store: Store) -> None:
    ca = a_ca(store)
    for _ in range(9):
        number = next_number(store, ca)
        prune_pieces(store, ca, number)
        put_piece(store, Crl(ca.id, number, NOW, NOW + DAY, 0, b"died"), 0)
    assert pieces(store, ca) == [(6, 1), (7, 1), (8, 1), (9, 1)]


def test_crl_whose_pieces_were_removed_meanwhile_is_not_published(store: Store) -> None:
    ca = a_ca(store)
    slow = Crl(ca.id, 1, NOW, NOW + DAY, 0, bytes(3 * crls.PIECE))
    first, second, third = crls.positions(slow)
    put_piece(store, slow, first)
    assert prune_pieces(store, ca, 5) == 1
    put_piece(store, slow, second)
    put_piece(store, slow, third)
    assert not store.write(lambda tx: crls.put(tx, slow))
    assert newest(store, ca) is None


def test_pieces_of_a_crl_that_is_given_up_are_removed_a_few_at_once(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    given_up = Crl(ca.id, 2, NOW, NOW + DAY, 0, bytes(6 * crls.PIECE))
    for position in crls.positions(given_up):
        put_piece(store, given_up, position)
    put_piece(store, Crl(ca.id, 1, NOW, NOW + DAY, 0, b"1"), 0)
    put_piece(store, Crl(other.id, 2, NOW, NOW + DAY, 0, b"2"), 0)
    assert [discard(store, ca, 2) for _ in range(3)] == [4, 2, 0]
    assert pieces(store, ca) == [(1, 1)]
    assert pieces(store, other) == [(2, 1)]


def test_crl_that_was_published_after_all_is_not_given_up(store: Store) -> None:
    ca = a_ca(store)
    assert put(store, ca, 1)
    assert discard(store, ca, 1) == 0
    assert newest(store, ca) == 1
