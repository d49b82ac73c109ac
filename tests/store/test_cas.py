"""CAs and their generations."""

from __future__ import annotations

import pytest

from scepkit.errors import StoreError
from scepkit.store import Store, audit, cas
from scepkit.store.rows import Ca
from tests.store.enrolling import NOW, a_ca


def stage(store: Store, name: str = "main", **changes: object) -> Ca | None:
    return store.write(
        lambda tx: cas.add(
            tx,
            name=name,
            status="staged",
            key_ref="new.key",
            certificate=b"new",
            actor="a",
            now=NOW,
        )
    )


def staged(store: Store) -> Ca:
    ca = stage(store)
    assert ca is not None
    return ca


def activate(store: Store, ca: Ca) -> Ca | None:
    return store.write(lambda tx: cas.activate(tx, ca.id, actor="alice", now=NOW))


def test_first_generation_is_made_once(store: Store) -> None:
    first, again = a_ca(store), a_ca(store)
    assert first == again
    assert (first.generation, first.status, first.next_crl_number) == (1, "active", 1)
    assert (first.key_ref, first.certificate, first.chain) == ("main.key", b"certificate", b"")
    rows = store.read(audit.listing)
    assert [(row.action, row.object) for row in rows] == [("ca.active", "ca:main/1")]


def test_next_generation_is_staged_beside_the_active_one(store: Store) -> None:
    first = a_ca(store)
    second = staged(store)
    assert (second.generation, second.status, second.certificate) == (2, "staged", b"new")
    assert store.read(lambda tx: cas.active(tx, "main")) == first
    assert store.read(lambda tx: cas.staged(tx, "main")) == second
    assert store.read(lambda tx: cas.find(tx, second.id)) == second


def test_only_one_generation_is_staged_at_a_time(store: Store) -> None:
    a_ca(store)
    assert stage(store)
    assert stage(store) is None
    a_ca(store, "other")
    assert stage(store, "other")


def test_only_one_generation_is_active_at_a_time(store: Store) -> None:
    a_ca(store)
    added = store.write(
        lambda tx: cas.add(
            tx, name="main", status="active", key_ref="k", certificate=b"", actor="a", now=NOW
        )
    )
    assert added is None


def test_activating_retires_the_active_generation(store: Store) -> None:
    first, second = a_ca(store), staged(store)
    activated = activate(store, second)
    assert activated is not None
    assert store.read(lambda tx: cas.active(tx, "main")) == activated
    assert store.read(lambda tx: cas.staged(tx, "main")) is None
    assert [ca.status for ca in store.read(lambda tx: cas.listing(tx, "main"))] == [
        "retired",
        "active",
    ]
    retired = store.read(lambda tx: cas.find(tx, first.id))
    assert retired is not None
    assert retired.status == "retired"
    assert a_ca(store) == retired  # the settings name the first generation for ever


def test_only_a_staged_generation_is_activated(store: Store) -> None:
    first = a_ca(store)
    assert activate(store, first) is None
    assert store.read(lambda tx: cas.active(tx, "main")) == first


def test_rollover_is_called_off(store: Store) -> None:
    first, second = a_ca(store), staged(store)
    assert store.write(lambda tx: cas.retire(tx, second.id, actor="alice", now=NOW))
    assert activate(store, second) is None
    assert store.read(lambda tx: cas.active(tx, "main")) == first
    assert not store.write(lambda tx: cas.retire(tx, first.id, actor="alice", now=NOW))
    third = staged(store)
    assert third.generation == 3


def test_rollover_is_audited(store: Store) -> None:
    a_ca(store)
    activate(store, staged(store))
    rows = store.read(lambda tx: audit.listing(tx, action="ca."))
    assert [(row.action, row.object) for row in reversed(rows)] == [
        ("ca.active", "ca:main/1"),
        ("ca.staged", "ca:main/2"),
        ("ca.activate", "ca:main/2"),
    ]


def test_cas_are_listed_by_name_and_age(store: Store) -> None:
    a_ca(store, "b")
    a_ca(store, "a")
    stage(store, "b")
    listed = store.read(cas.listing)
    assert [(ca.name, ca.generation) for ca in listed] == [("a", 1), ("b", 1), ("b", 2)]


def test_two_active_generations_are_refused_by_the_database(store: Store) -> None:
    a_ca(store)
    staged(store)
    with pytest.raises(StoreError, match="refuses"):
        store.write(lambda tx: tx.run("UPDATE ca SET status = 'active' WHERE name = 'main'"))
