"""Backup and restore: all rows of one moment, in an SQLite file, from and to either database.

One routine copies all tables from a snapshot of one database into a transaction of another: a
backup goes into a new file, a restore comes from such a file.  So a backup of one kind of database
can be restored into the other, and can be looked into with SQLite's own tools.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory

from scepkit.errors import InputError, StoreError
from scepkit.store import migrations
from scepkit.store.driver import Driver, Parameters, Tx
from scepkit.store.sqlite import SqliteDriver, as_one_file, copied

#: Rows that are copied at once.
_BATCH = 500
#: ... and of a table whose rows are as long as a thousand others.
_LONG_BATCH = 16
_LONG = "crl_piece"
#: How an SQLite database begins; one in which nothing is yet is empty.
_MAGIC = b"SQLite format 3\0"
_OTHER = "name a file that scepkit backup wrote"


def backup(source: Driver, path: Path) -> dict[str, int]:
    """Write all rows to a new file.  It appears under its name when it is complete and on disk."""
    try:
        with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as directory:
            written = Path(directory) / "backup.db"
            counts = _write(source, written)
            as_one_file(written)
            _to_disk(written)
            os.link(written, path)  # unlike a renaming, this never replaces a file
    except FileExistsError:
        raise InputError(
            f"{path} exists already", hint="name a new file: a backup never replaces one"
        ) from None
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from problem
    _to_disk(path.parent)
    return counts


def _write(source: Driver, path: Path) -> dict[str, int]:
    target = SqliteDriver(path, node="")
    try:
        steps = migrations.known()
        migrations.migrate(target, steps)
        migrations.check(source, steps)

        def copy(reading: Tx) -> dict[str, int]:
            return target.write(lambda writing: _copy(reading, writing, _tables(writing)))

        return source.snapshot(copy)
    finally:
        target.close()


def restore(target: Driver, path: Path) -> dict[str, int]:
    """Copy a backup's rows into an empty database, all or nothing."""
    if not path.is_file():
        raise InputError(f"{path}: there is no such file")
    with TemporaryDirectory(prefix="scepkit-restore-") as directory:
        # A backup of an older version is brought up to date here, not where it lies.
        copy = Path(directory) / "backup.db"
        with _opened(path, copy) as source:
            return _read(source, target)


@contextmanager
def _opened(path: Path, copy: Path) -> Iterator[SqliteDriver]:
    """A copy of a backup, if it is one and whole."""
    try:
        with path.open("rb") as file:
            begin = file.read(len(_MAGIC))
    except OSError as problem:
        raise InputError(f"{path}: {problem.strerror}") from None
    if begin not in {b"", _MAGIC}:
        raise StoreError(f"{path} is not a backup of scepkit", hint=_OTHER)
    source = None
    try:
        try:
            copied(path, copy)
            source = SqliteDriver(copy, node="")
            verdict = source.read(lambda tx: tx.one("PRAGMA quick_check(1)"))
            ours = source.read(lambda tx: migrations.found(tx, "sqlite"))
        except StoreError as error:
            raise StoreError(f"the backup {path} cannot be read: {error}", hint=_OTHER) from None
        if verdict is None or verdict[0] != "ok":
            raise StoreError(f"the backup {path} is damaged: {verdict and verdict[0]}", hint=_OTHER)
        if not ours:
            raise StoreError(
                f"{path} is an SQLite database, but not a backup of scepkit", hint=_OTHER
            )
        yield source
    finally:
        if source is not None:
            source.close()


def _read(source: SqliteDriver, target: Driver) -> dict[str, int]:
    steps = migrations.known()
    migrations.migrate(source, steps)
    migrations.migrate(target, steps)

    def copy(reading: Tx) -> dict[str, int]:
        tables = _tables(reading)

        def fill(writing: Tx) -> dict[str, int]:
            for table in tables:
                if writing.one(f"SELECT 1 FROM {table} LIMIT 1"):
                    raise StoreError(
                        f"the database is not empty: there are rows in {table}",
                        hint="restore into a new database",
                    )
            counts = _copy(reading, writing, tables)
            target.restored(writing, list(tables))
            return counts

        return target.alone(fill)

    return source.snapshot(copy)


def _tables(tx: Tx) -> dict[str, list[str]]:
    """The tables of an SQLite database and their columns, in the order they were made.

    So a table comes after those that its rows refer to.
    """
    names = tx.all(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND substr(name, 1, 7) <> 'sqlite_'"
        " AND name <> 'schema_version' ORDER BY rowid"
    )
    return {
        name: [column for (column,) in tx.all(f"SELECT name FROM pragma_table_info('{name}')")]
        for (name,) in names
    }


def _copy(reading: Tx, writing: Tx, tables: dict[str, list[str]]) -> dict[str, int]:
    counts = {}
    for table, columns in tables.items():
        names = ", ".join(columns)
        places = ", ".join(f":{column}" for column in columns)
        insert = f"INSERT INTO {table} ({names}) VALUES ({places})"
        at_once = _LONG_BATCH if table == _LONG else _BATCH
        rows = reading.stream(f"SELECT {names} FROM {table}", at_once=at_once)
        counts[table] = 0
        for batch in _batches((dict(zip(columns, row, strict=True)) for row in rows), at_once):
            writing.run_many(insert, batch)
            counts[table] += len(batch)
    return counts


def _batches(rows: Iterator[Parameters], at_once: int) -> Iterator[list[Parameters]]:
    while batch := list(islice(rows, at_once)):
        yield batch


def _to_disk(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
