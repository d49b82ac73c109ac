"""Migrations: applied once, by one process, never backwards."""

from __future__ import annotations

import pytest

from scepkit.errors import StoreError
from scepkit.store import migrations, open_store
from scepkit.store.migrations import Migration
from tests.store.enrolling import a_ca, a_claim, claimed
from tests.store.processes import at_once

NEXT = Migration(
    len(migrations.known()) + 1,
    "next",
    "-- A comment; with a semicolon.\n"
    "CREATE TABLE next (id INTEGER PRIMARY KEY, name TEXT, seen BLOB) STRICT;\n"
    "INSERT INTO next (name, seen) VALUES ('x;y', NULL);\n",
)


def migrate(url: str) -> list[str]:
    with open_store(url) as store:
        return store.migrate()


def test_empty_database_gets_the_schema(empty_url: str) -> None:
    with open_store(empty_url) as store:
        assert store.migrate() == ["initial"]
        store.check_schema()
        a_ca(store)
        claimed(store, a_claim())


def test_second_migration_does_nothing(empty_url: str) -> None:
    assert migrate(empty_url) == ["initial"]
    assert migrate(empty_url) == []


def test_many_processes_migrate_at_once(empty_url: str) -> None:
    results = at_once(migrate, [(empty_url,)] * 8)
    assert sorted(results) == [[]] * 7 + [["initial"]]


def test_missing_step_is_applied_to_what_is_there(empty_url: str) -> None:
    steps = [*migrations.known(), NEXT]
    with open_store(empty_url) as store:
        store.migrate()
        claimed(store, a_claim())
        with pytest.raises(StoreError, match=rf"has schema 1 and .* needs {NEXT.version}"):
            migrations.check(store.driver, steps)
        assert migrations.migrate(store.driver, steps) == ["next"]
        migrations.check(store.driver, steps)
        assert store.read(lambda tx: tx.all("SELECT id, name, seen FROM next")) == [
            (1, "x;y", None)
        ]


def test_newer_schema_is_refused(empty_url: str) -> None:
    with open_store(empty_url) as store:
        migrations.migrate(store.driver, [*migrations.known(), NEXT])
        for attempt in (store.migrate, store.check_schema):
            with pytest.raises(StoreError, match=r"has schema 2, and .* knows 1") as caught:
                attempt()
            assert "newer" in caught.value.hint


def test_failed_step_leaves_nothing(empty_url: str) -> None:
    broken = Migration(2, "broken", "CREATE TABLE half (id INTEGER) STRICT;\nSELECT nonsense;\n")
    with open_store(empty_url) as store:
        with pytest.raises(StoreError, match="refuses"):
            migrations.migrate(store.driver, [*migrations.known(), broken])
        with pytest.raises(StoreError, match="empty"):
            store.check_schema()
        assert store.migrate() == ["initial"]


def test_empty_database_does_not_fit(empty_url: str) -> None:
    with open_store(empty_url) as store, pytest.raises(StoreError, match="empty") as caught:
        store.check_schema()
    assert "start the server" in caught.value.hint


def test_steps_are_numbered_without_gaps() -> None:
    assert [step.version for step in migrations.known()] == [*range(1, len(migrations.known()) + 1)]


def test_postgresql_gets_its_own_words() -> None:
    text = " ".join(" ".join(step.statements("postgresql")) for step in migrations.known())
    assert "STRICT" not in text
    assert "BLOB" not in text
    assert "INTEGER" not in text
