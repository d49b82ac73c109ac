"""Backup and restore, between either kind of database."""

from __future__ import annotations

import sqlite3
import stat
import threading
import tracemalloc
from pathlib import Path

import pytest

from scepkit.errors import InputError, StoreError
from scepkit.store import Store, audit, cas, certificates, crls, jobs, migrations, open_store
from scepkit.store.rows import Crl
from scepkit.store.sqlite import SqliteDriver
from tests.store.enrolling import (
    DAY,
    NOW,
    a_ca,
    a_challenge,
    a_claim,
    broken_promises,
    claimed,
    digest,
    first_transaction,
    put_whole,
    second_transaction,
)
from tests.store.postgres_server import PostgresServer
from tests.store.test_migrations import NEXT

TABLES = [
    "ca",
    "challenge",
    "operation",
    "transaction_alias",
    "certificate",
    "crl",
    "crl_piece",
    "outbox",
    "audit",
    "audit_head",
    "audit_pruned",
    "job",
    "node",
]


def fill(store: Store) -> None:
    """Something in every table."""
    ca = a_ca(store)
    a_challenge(store, "c1")
    a_challenge(store, "c2")
    claim = first_transaction(store, ca, "Zoë", "c1", "1f")
    assert claim is not None
    second_transaction(store, 1, bytes(range(256)))
    claimed(store, a_claim("router2"))
    store.write(lambda tx: certificates.revoke(tx, ca.id, "1f", reason=1, actor="a", now=NOW))
    store.write(lambda tx: put_whole(tx, Crl(ca.id, 1, NOW, NOW + DAY, 0, b"crl")))
    store.write(lambda tx: jobs.acquire(tx, "crl", "me", NOW, DAY))
    store.write(lambda tx: jobs.heartbeat(tx, "n", version="1", started_at=NOW, now=NOW))
    store.write(audit.seal)
    last = store.read(lambda tx: audit.oldest(tx, NOW + 1))
    assert last is not None
    store.write(lambda tx: audit.tell_pruned(tx, last, {}, actor="a", now=NOW))
    store.write(lambda tx: audit.prune(tx, last, 1))
    store.write(audit.seal)


def contents(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """All rows of all tables."""
    return {
        table: sorted(store.read(lambda tx, t=table: tx.all(f"SELECT * FROM {t}")), key=repr)  # type: ignore[misc]  # noqa: S608
        for table in TABLES
    }


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.interop)])
def other_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database of either kind, to restore into."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/restored.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url(server.new_database())


def test_everything_is_restored_into_either_kind(
    store: Store, other_url: str, tmp_path: Path
) -> None:
    fill(store)
    counts = store.backup(tmp_path / "backup")
    assert list(counts) == TABLES
    assert min(counts.values()) >= 1
    with open_store(other_url) as restored:
        assert restored.restore(tmp_path / "backup") == counts
        assert contents(restored) == contents(store)
        found = restored.snapshot(audit.verify)
        assert (found.sealed, found.faults) == (counts["audit"], ())


def test_restored_database_goes_on(store: Store, other_url: str, tmp_path: Path) -> None:
    fill(store)
    store.backup(tmp_path / "backup")
    with open_store(other_url) as restored:
        restored.restore(tmp_path / "backup")
        ca = restored.read(lambda tx: cas.active(tx, "main"))
        assert ca is not None
        assert first_transaction(restored, ca, "new", "c2", "2e") is not None
        assert claimed(restored, a_claim("newer")) > 3
        assert restored.write(audit.seal) >= 1
        assert restored.snapshot(audit.verify).faults == ()


def test_backup_can_be_restored_into_a_migrated_empty_database(
    store: Store, tmp_path: Path
) -> None:
    store.backup(tmp_path / "backup")
    with open_store(f"sqlite:///{tmp_path}/restored.db") as restored:
        restored.migrate()
        assert set(restored.restore(tmp_path / "backup").values()) == {0}


def test_backup_is_not_restored_over_rows(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.backup(tmp_path / "backup")
    before = contents(store)
    with pytest.raises(StoreError, match="not empty: there are rows in ca"):
        store.restore(tmp_path / "backup")
    assert contents(store) == before


def test_backup_is_consistent_while_many_write(store: Store, tmp_path: Path) -> None:
    ca = a_ca(store)
    for n in range(400):
        a_challenge(store, f"c{n}")
    stopped, begun = threading.Event(), threading.Event()
    numbers = iter(range(400))
    mutex = threading.Lock()

    def write() -> None:
        while not stopped.is_set():
            with mutex:
                n = next(numbers, None)
            if n is None:
                return
            result = first_transaction(store, ca, f"r{n}", f"c{n}", f"{n + 1:x}")
            assert result is not None
            second_transaction(store, result.operation_id, b"der")  # type: ignore[union-attr]
            if n > 20:
                begun.set()

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    assert begun.wait(30)
    try:
        counts = [store.backup(tmp_path / f"backup{n}") for n in range(3)]
    finally:
        stopped.set()
        for writer in writers:
            writer.join()
    assert counts[0]["operation"] >= 20
    for n in range(3):
        with open_store(f"sqlite:///{tmp_path}/backup{n}") as backup:
            assert broken_promises(backup) == []


def test_backup_never_replaces_a_file(store: Store, tmp_path: Path) -> None:
    path = tmp_path / "backup"
    path.write_text("precious")
    with pytest.raises(InputError, match="exists already"):
        store.backup(path)
    assert path.read_text() == "precious"


def test_backup_into_a_missing_folder_is_an_input_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file or directory"):
        store.backup(tmp_path / "none" / "backup")


def test_backup_is_one_file_for_its_owner_only(store: Store, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    store.backup(folder / "backup")
    assert [path.name for path in folder.iterdir()] == ["backup"]
    assert stat.S_IMODE((folder / "backup").stat().st_mode) == 0o600


def test_backup_can_be_looked_into_with_sqlite(store: Store, tmp_path: Path) -> None:
    fill(store)
    store.backup(tmp_path / "backup")
    connection = sqlite3.connect(tmp_path / "backup")
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert connection.execute("PRAGMA foreign_key_check").fetchall() == []
        assert connection.execute("SELECT mac FROM challenge WHERE id = 1").fetchone() == (
            digest("c1"),
        )
    finally:
        connection.close()


def test_backup_needs_no_file_beside_it(store: Store, tmp_path: Path) -> None:
    store.backup(tmp_path / "backup")
    connection = sqlite3.connect(f"file:{tmp_path}/backup?mode=ro&immutable=1", uri=True)
    try:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)
        assert connection.execute("SELECT count(*) FROM ca").fetchone() == (0,)
    finally:
        connection.close()


def test_copy_of_the_files_of_a_server_that_died_can_be_restored(tmp_path: Path) -> None:
    live, rescued = tmp_path / "live", tmp_path / "rescued"
    live.mkdir()
    rescued.mkdir()
    with open_store(f"sqlite:///{live}/scepkit.db") as store:
        store.migrate()
        fill(store)
        for name in ("scepkit.db", "scepkit.db-wal"):
            (rescued / name).write_bytes((live / name).read_bytes())
        with open_store(f"sqlite:///{tmp_path}/restored.db") as restored:
            restored.restore(rescued / "scepkit.db")
            assert contents(restored) == contents(store)


def test_missing_file_is_an_input_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        store.restore(tmp_path / "backup")


def test_file_that_is_no_database_is_refused(store: Store, tmp_path: Path) -> None:
    (tmp_path / "backup").write_bytes(b"not a database, but quite long all the same" * 100)
    with pytest.raises(StoreError, match="is not a backup of scepkit"):
        store.restore(tmp_path / "backup")


def test_damaged_backup_is_refused_before_a_row_of_it_is_restored(
    store: Store, other_url: str, tmp_path: Path
) -> None:
    fill(store)
    store.backup(tmp_path / "backup")
    whole = (tmp_path / "backup").read_bytes()
    halved = whole[: len(whole) // 2]
    holed = whole[:8192] + bytes(len(whole) - 8192)
    for damaged in (halved, holed):
        (tmp_path / "damaged").write_bytes(damaged)
        with open_store(other_url) as restored:
            restored.migrate()
            with pytest.raises(
                StoreError, match=r"the backup .*damaged (is damaged|cannot be read)"
            ):
                restored.restore(tmp_path / "damaged")
            assert all(rows == [] for rows in contents(restored).values())


def test_another_programs_database_is_refused(store: Store, tmp_path: Path) -> None:
    connection = sqlite3.connect(tmp_path / "backup")
    connection.execute("CREATE TABLE mine (id)")
    connection.close()
    with pytest.raises(StoreError, match="not a backup"):
        store.restore(tmp_path / "backup")


def test_backup_of_a_newer_version_is_refused(store: Store, tmp_path: Path) -> None:
    newer = SqliteDriver(tmp_path / "newer", node="")
    migrations.migrate(newer, [*migrations.known(), NEXT])
    newer.close()
    with pytest.raises(StoreError, match=r"has schema 2, and .* knows 1"):
        store.restore(tmp_path / "newer")


def test_database_of_an_older_version_is_not_backed_up(empty_url: str, tmp_path: Path) -> None:
    with open_store(empty_url) as store, pytest.raises(StoreError, match="empty"):
        store.backup(tmp_path / "backup")
    assert not (tmp_path / "backup").exists()


def test_interrupted_restore_leaves_the_database_empty(
    store: Store, other_url: str, tmp_path: Path
) -> None:
    fill(store)
    store.backup(tmp_path / "backup")
    connection = sqlite3.connect(tmp_path / "backup")
    connection.execute("UPDATE job SET name = 'x'")
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("UPDATE transaction_alias SET operation_id = 99")
    connection.commit()
    connection.close()
    with open_store(other_url) as restored:
        with pytest.raises(StoreError, match="refuses"):
            restored.restore(tmp_path / "backup")
        assert all(rows == [] for rows in contents(restored).values())


def test_long_crls_are_copied_with_little_memory(store: Store, tmp_path: Path) -> None:
    ca = a_ca(store)
    crl = Crl(ca.id, 1, NOW, NOW + DAY, 0, bytes(100 * crls.PIECE))
    store.write(lambda tx: put_whole(tx, crl))
    tracemalloc.start()
    try:
        store.backup(tmp_path / "backup.db")
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 50 * crls.PIECE
