"""Certificates: reserved, published once, revoked, found."""

from __future__ import annotations

import hashlib
import json

import pytest

from scepkit.errors import InputError, StoreError
from scepkit.store import Store, Tx, audit, cas, certificates, operations
from scepkit.store.certificates import Reservation
from scepkit.store.rows import Certificate, Revoked
from scepkit.store.searching import floor
from tests.store.enrolling import (
    DAY,
    NOW,
    a_ca,
    a_certificate,
    a_claim,
    a_reservation,
    claimed,
    operation,
)


def reserve(store: Store, reservation: certificates.Reservation) -> Reservation | None:
    return store.write(lambda tx: certificates.reserve(tx, reservation, NOW))


def of_operation(store: Store, number: int) -> Certificate:
    found = store.read(lambda tx: certificates.of_operation(tx, number))
    assert found is not None
    return found


def publish(store: Store, number: int, der: bytes = b"der", now: int = NOW) -> bool:
    return store.write(lambda tx: certificates.publish(tx, number, der, now))


def revoke(store: Store, ca_id: int, serial: str, reason: int = 1) -> Certificate | None:
    return store.write(
        lambda tx: certificates.revoke(tx, ca_id, serial, reason=reason, actor="alice", now=NOW + 9)
    )


# -------------------------------------------------------------------------------------- publishing


def test_reservation_is_there_before_the_certificate(store: Store) -> None:
    ca, number = a_ca(store), claimed(store, a_claim())
    reserved = reserve(store, a_reservation(ca, "1f", operation_id=number))
    assert reserved == a_reservation(ca, "1f", operation_id=number)
    found = of_operation(store, number)
    assert (found.state, found.serial, found.der, found.sha256) == ("reserved", "1f", None, None)
    assert (found.frozen, found.issued_at) == ('{"serial":"1f"}', None)


def test_serial_number_is_reserved_once_for_a_ca(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    first, second = claimed(store, a_claim("r1")), claimed(store, a_claim("r2"))
    assert reserve(store, a_reservation(ca, "1f", operation_id=first))
    assert reserve(store, a_reservation(ca, "1f", operation_id=second)) is None
    assert reserve(store, a_reservation(other, "1f", operation_id=second))


def test_operation_keeps_its_first_reservation(store: Store) -> None:
    ca, number = a_ca(store), claimed(store, a_claim())
    first = reserve(store, a_reservation(ca, "1f", operation_id=number))
    assert reserve(store, a_reservation(ca, "2e", operation_id=number)) == first
    assert store.read(lambda tx: certificates.by_serial(tx, ca.id, "2e")) is None


def test_published_certificate_ends_its_operation(store: Store) -> None:
    ca, number = a_ca(store), claimed(store, a_claim())
    reserve(store, a_reservation(ca, operation_id=number))
    assert publish(store, number, b"the certificate", NOW + 3)
    found = of_operation(store, number)
    assert (found.state, found.der, found.issued_at) == ("issued", b"the certificate", NOW + 3)
    assert found.sha256 == hashlib.sha256(b"the certificate").digest()
    ended = operation(store, number)
    assert (ended.state, ended.finished_at, ended.lease_until) == ("issued", NOW + 3, None)


def test_what_was_to_be_signed_is_kept_until_it_is(store: Store) -> None:
    ca, number = a_ca(store), claimed(store, a_claim())
    reserve(store, a_reservation(ca, operation_id=number))
    assert of_operation(store, number).frozen
    publish(store, number)
    assert of_operation(store, number).frozen == ""


def test_certificate_is_published_once(store: Store) -> None:
    ca, number = a_ca(store), claimed(store, a_claim())
    reserve(store, a_reservation(ca, operation_id=number))
    assert publish(store, number, b"first")
    assert not publish(store, number, b"second")
    assert of_operation(store, number).der == b"first"


def test_nothing_is_published_without_a_reservation(store: Store) -> None:
    number = claimed(store, a_claim())
    with pytest.raises(StoreError, match=f"nothing was reserved for operation {number}"):
        publish(store, number)
    assert operation(store, number).state == "approved"


def test_nothing_is_published_for_a_failed_operation(store: Store) -> None:
    ca, number = a_ca(store), claimed(store, a_claim())
    reserve(store, a_reservation(ca, operation_id=number))
    store.write(
        lambda tx: operations.fail(tx, number, fail_info=0, reason="", actor="server", now=NOW)
    )
    assert not publish(store, number)
    assert of_operation(store, number).der is None


def test_certificate_without_an_operation_is_recorded_as_issued(store: Store) -> None:
    ca = a_ca(store)
    number = a_certificate(store, ca, "aa")
    found = store.read(lambda tx: certificates.by_id(tx, number))
    assert found is not None
    assert (found.state, found.der, found.operation_id) == ("issued", b"der aa", None)
    again = a_reservation(ca, "aa")
    assert store.write(lambda tx: certificates.record(tx, again, b"x", NOW)) is None
    assert reserve(store, again) is None


def test_reservation_for_an_unknown_ca_or_operation_is_refused(store: Store) -> None:
    ca = a_ca(store)
    with pytest.raises(StoreError, match="refuses"):
        reserve(store, a_reservation(ca, operation_id=99))
    with pytest.raises(StoreError, match="refuses"):
        reserve(store, a_reservation(ca, ca_id=99))


def test_reservation_with_a_nul_in_its_subject_is_an_input_error(store: Store) -> None:
    reservation = a_reservation(a_ca(store), subject="CN=\0")
    with pytest.raises(InputError, match="NUL"):
        reserve(store, reservation)


# -------------------------------------------------------------------------------------- revocation


def test_revoked_certificate_marks_its_ca(store: Store) -> None:
    ca = a_ca(store)
    a_certificate(store, ca, "aa")
    revoked = revoke(store, ca.id, "aa", reason=4)
    assert revoked is not None
    assert (revoked.state, revoked.revoked_at, revoked.revocation_reason) == ("revoked", NOW + 9, 4)
    assert revoked.der == b"der aa"
    marked = store.read(lambda tx: cas.find(tx, ca.id))
    assert marked is not None
    assert (marked.revocations, marked.crl_dirty_at) == (1, NOW + 9)
    (row,) = store.read(lambda tx: audit.listing(tx, action="certificate."))
    assert (row.actor, row.action, row.object) == (
        "alice",
        "certificate.revoke",
        f"certificate:{ca.id}/aa",
    )
    assert json.loads(row.detail) == {"subject": "CN=router1,O=Acme", "reason": 4}


def test_certificate_is_revoked_once(store: Store) -> None:
    ca = a_ca(store)
    a_certificate(store, ca, "aa")
    assert revoke(store, ca.id, "aa")
    assert revoke(store, ca.id, "aa", reason=5) is None
    assert revoke(store, ca.id, "bb") is None
    marked = store.read(lambda tx: cas.find(tx, ca.id))
    assert marked is not None
    assert marked.revocations == 1


def test_revoked_reservation_is_never_published(store: Store) -> None:
    ca, number = a_ca(store), claimed(store, a_claim())
    reserve(store, a_reservation(ca, "1f", operation_id=number))
    assert revoke(store, ca.id, "1f")
    assert not publish(store, number)
    found = of_operation(store, number)
    assert (found.state, found.der) == ("revoked", None)
    ended = operation(store, number)
    assert (ended.state, ended.reason) == ("failed", "revoked before it was issued")


def test_crl_lists_what_is_revoked_and_not_expired(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    for serial, ends in (("a1", NOW + 1), ("a2", NOW + DAY), ("a3", NOW + DAY)):
        a_certificate(store, ca, serial, not_after=ends)
    a_certificate(store, other, "b1")
    for one, serial in ((ca, "a1"), (ca, "a3"), (other, "b1")):
        revoke(store, one.id, serial)

    def listed(not_after_from: int) -> list[Revoked]:
        return store.snapshot(
            lambda tx: list(certificates.revoked(tx, ca.id, not_after_from=not_after_from))
        )

    assert [one.serial for one in listed(NOW)] == ["a1", "a3"]
    assert listed(NOW + 2) == [Revoked("a3", NOW + 9, 1)]


def test_many_revoked_are_read_in_portions(store: Store) -> None:
    ca = a_ca(store)

    def fill(tx: Tx) -> None:
        for n in range(1500):
            certificates.record(tx, a_reservation(ca, f"{n + 1:x}"), b"der", NOW)
            certificates.revoke(tx, ca.id, f"{n + 1:x}", reason=1, actor="alice", now=NOW)

    store.write(fill)

    def first_and_rest(tx: Tx) -> tuple[str, int]:
        rows = certificates.revoked(tx, ca.id, not_after_from=0)
        return next(rows).serial, sum(1 for _ in rows)

    assert store.snapshot(first_and_rest) == ("1", 1499)


# ----------------------------------------------------------------------------------------- finding


def test_certificate_is_found_by_ca_and_serial(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    number = a_certificate(store, ca, "aa")
    found = store.read(lambda tx: certificates.by_serial(tx, ca.id, "aa"))
    assert found is not None
    assert found.id == number
    assert store.read(lambda tx: certificates.by_serial(tx, other.id, "aa")) is None


def test_expiring_certificates_come_in_order_and_in_pages(store: Store) -> None:
    ca = a_ca(store)
    ends = {"a1": 30, "a2": 10, "a3": 20, "a4": 20, "a5": 40, "a6": 25}
    for serial, days in ends.items():
        a_certificate(store, ca, serial, not_after=NOW + days * DAY)
    revoke(store, ca.id, "a6")

    def page(after: tuple[int, int] | None = None) -> list[Certificate]:
        return store.read(
            lambda tx: certificates.expiring(
                tx, since=NOW + 10 * DAY, before=NOW + 40 * DAY, after=after, limit=2
            )
        )

    first = page()
    assert [one.serial for one in first] == ["a2", "a3"]
    second = page((first[-1].not_after, first[-1].id))
    assert [one.serial for one in second] == ["a4", "a1"]
    assert page((second[-1].not_after, second[-1].id)) == []


def test_certificates_are_searched_newest_first(store: Store) -> None:
    ca, other = a_ca(store), a_ca(store, "other")
    a_certificate(store, ca, "a1")
    a_certificate(store, ca, "b2", subject="CN=Camera,O=Acme", sans="dns:camera.acme.test")
    a_certificate(store, other, "c3", profile="printers")
    revoke(store, ca.id, "a1")

    def found(**how: object) -> list[str]:
        rows = store.read(lambda tx: certificates.search(tx, **how))  # type: ignore[arg-type]
        return [one.serial for one in rows]

    assert found() == ["c3", "b2", "a1"]
    assert found(state="revoked") == ["a1"]
    assert found(ca_id=ca.id, state="issued") == ["b2"]
    assert found(profile="printers") == ["c3"]
    assert found(text="CAMERA.acme") == ["b2"]
    assert found(text="o=camera") == []
    assert found(text="C3") == ["c3"]
    newest = store.read(lambda tx: certificates.search(tx, limit=1))
    assert found(before=newest[0].id) == ["b2", "a1"]


def test_pages_of_a_search_that_finds_little_lead_through_the_whole_table(store: Store) -> None:
    ca = a_ca(store)
    numbers = [a_certificate(store, ca, f"a{n}", subject=f"CN=d{n}") for n in range(10)]
    before, found, pages = None, [], 0
    while True:
        after = store.read(lambda tx: floor(tx, "certificate", before, window=4))  # noqa: B023
        rows = store.read(
            lambda tx: certificates.search(tx, text="cn=d2", before=before, after=after)  # noqa: B023
        )
        found += [one.id for one in rows]
        pages += 1
        if not after:
            break
        before = after + 1
    assert found == [numbers[2]]
    assert pages == 3


def test_search_in_an_empty_table_ends_at_once(store: Store) -> None:
    assert store.read(lambda tx: floor(tx, "operation", None)) == 0


def test_all_certificates_can_be_exported(store: Store) -> None:
    ca = a_ca(store)
    numbers = [a_certificate(store, ca, f"a{n}") for n in range(3)]
    rows = store.snapshot(lambda tx: list(certificates.every(tx)))
    assert [one.id for one in rows] == numbers
    assert rows[0].der == b"der a0"
