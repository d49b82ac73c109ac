"""SQLite: one file, any number of threads and processes, one writer at a time.

The transactions of a process are committed in groups (groups.py), so that many callers share one
fsync; the processes take turns (turnstile.py).  WAL with synchronous=FULL: what `write` returned
survives a loss of power.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from itertools import chain
from pathlib import Path
from typing import Literal, TypeVar

from scepkit.errors import InputError, StoreError, StoreUnavailable
from scepkit.store.driver import LOCK_TIMEOUT, Parameters, Rollback, Row, Statement, Tx
from scepkit.store.groups import Groups, Job, Next
from scepkit.store.turnstile import Turnstile

T = TypeVar("T")

#: STRICT tables are the newest thing that we use.
OLDEST = (3, 37, 0)

#: Seconds between two tries to have what another process has.
_AGAIN = 0.000_25

#: Pages (4 KiB each) in the write-ahead log before they are copied into the file.
CHECKPOINT_PAGES = 4000

#: KiB of the file that a connection keeps in memory.  There is one that writes, which changes the
#: same inner pages of the indexes again and again, and as many that read as requests are worked at
#: once: what these need is in the system's cache, which all processes share.
WRITER_CACHE, READER_CACHE = 20_000, 2_000

# What is deleted frees its pages without writing into them, as where SQLite does that by itself:
# Debian's writes as many zeros as there was, for which a full disk has no room.
_PRAGMAS = f"""
    PRAGMA secure_delete = FAST;
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
    PRAGMA journal_size_limit = {4 * 4096 * CHECKPOINT_PAGES};
    PRAGMA temp_store = MEMORY;
"""

# Primary result codes (sqlite.org/rescode.html) that say: not now.
_UNAVAILABLE = {
    sqlite3.SQLITE_PERM,
    sqlite3.SQLITE_BUSY,
    sqlite3.SQLITE_LOCKED,
    sqlite3.SQLITE_NOMEM,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_IOERR,
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
    sqlite3.SQLITE_PROTOCOL,
}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}

# What sqlite3 raises for a statement: its own errors, and Python's for values it cannot store.
_Refused = (sqlite3.Error, UnicodeEncodeError, OverflowError)

_NOTHING: Parameters = {}


class SqliteTx:
    """A transaction; one cursor does for all statements, because each is read to its end."""

    def __init__(self, connection: sqlite3.Connection, node: str) -> None:
        self.node = node
        self.connection = connection
        self._cursor = connection.cursor()

    def all(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        return self._cursor.execute(sql, parameters).fetchall()

    def one(self, sql: str, parameters: Parameters = _NOTHING) -> Row | None:
        rows = self._cursor.execute(sql, parameters).fetchall()
        return rows[0] if rows else None

    def run(self, sql: str, parameters: Parameters = _NOTHING) -> int:
        return self._cursor.execute(sql, parameters).rowcount

    def send(self, sql: str, parameters: Parameters = _NOTHING) -> None:
        self._cursor.execute(sql, parameters)

    def together(self, *statements: Statement) -> list[int]:
        execute = self._cursor.execute
        return [execute(sql, parameters).rowcount for sql, parameters in statements]

    def insert(self, sql: str, parameters: Parameters = _NOTHING) -> int | None:
        # RETURNING would cost as much as the row itself.
        cursor = self._cursor.execute(sql, parameters)
        return cursor.lastrowid if cursor.rowcount else None

    def insert_and(self, first: Statement, *others: Statement) -> tuple[int | None, list[int]]:
        return self.insert(*first), self.together(*others)

    def run_many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        self._cursor.executemany(sql, parameters)

    def stream(
        self, sql: str, parameters: Parameters = _NOTHING, *, at_once: int = 1
    ) -> Iterator[Row]:
        cursor = self.connection.execute(sql, parameters)
        try:
            yield from cursor
        finally:
            cursor.close()


def _run(job: Job, tx: SqliteTx) -> None:
    """Run a job as a part of its group's transaction that can be undone alone."""
    tx.run("SAVEPOINT job")
    try:
        job.value = job.function(tx)
    except Rollback as undone:
        job.value = undone.value
        tx.run("ROLLBACK TO job")
    except BaseException as problem:
        _raise_if_all_fail(tx, problem)
        job.problem = _told(problem)
        tx.run("ROLLBACK TO job")
    tx.run("RELEASE job")


def _raise_if_all_fail(tx: SqliteTx, problem: BaseException) -> None:
    """Raise what a job raised when its group cannot go on without it."""
    if isinstance(problem, KeyboardInterrupt):
        raise problem  # meant for the thread that leads, whoever's job this is
    if not tx.connection.in_transaction:  # SQLite gave up the whole group
        if isinstance(problem, sqlite3.Error):
            raise problem
        raise StoreUnavailable(f"the transaction was given up: {problem}") from problem


class SqliteDriver:
    """The driver for one file.

    Raises:
        StoreError: this Python's SQLite is too old.
    """

    kind: Literal["sqlite"] = "sqlite"

    def __init__(self, path: Path, *, node: str) -> None:
        if sqlite3.sqlite_version_info < OLDEST:
            raise StoreError(
                f"this Python has SQLite {sqlite3.sqlite_version}, and scepkit needs"
                f" {'.'.join(map(str, OLDEST))} or newer",
                hint="use a newer Python, or PostgreSQL",
            )
        self.path = path
        self._node = node
        self.groups = Groups(self._commit_group)
        self._mutex = threading.Lock()
        self._closed = False
        self._writer: SqliteTx | None = None
        self._readers: list[SqliteTx] = []

    # ---------------------------------------------------------------------------------- writing

    def write(self, function: Callable[[Tx], T]) -> T:
        return self.groups.run(function)

    def alone(self, function: Callable[[Tx], T]) -> T:
        return self.write(function)

    def _commit_group(self, following: Next) -> None:
        try:
            tx = self._writer or self._open_writer()
            try:
                self._run_group(tx, following)
                tx.run("COMMIT")
            except BaseException:
                if tx.connection.in_transaction:
                    tx.run("ROLLBACK")
                raise
        except sqlite3.Error as problem:
            raise _told(problem) from problem

    def _run_group(self, tx: SqliteTx, following: Next) -> None:
        """Run jobs as if all will succeed, and again, each for itself, if one does not.

        Being ready to undo one alone would cost every job a copy of all pages that it changes.
        """
        self._begin(tx)
        jobs: list[Job] = []
        try:
            while job := following():
                jobs.append(job)
                job.value = job.function(tx)
        except BaseException as problem:
            if not isinstance(problem, Rollback):
                _raise_if_all_fail(tx, problem)
        else:
            return
        tx.run("ROLLBACK")
        self._begin(tx)
        for job in chain(jobs, iter(following, None)):
            _run(job, tx)

    def _open_writer(self) -> SqliteTx:
        tx = self._connect()
        tx.run(f"PRAGMA cache_size = -{WRITER_CACHE}")
        tx.run("PRAGMA busy_timeout = 0")  # `_begin` waits, and nothing else has to
        self._turnstile = Turnstile(self._beside("queue"))
        self._writer = tx
        return tx

    def _begin(self, tx: SqliteTx) -> None:
        """Get SQLite's lock, after the processes that came before."""
        deadline = time.monotonic() + LOCK_TIMEOUT / 1000
        self._turnstile.enter(deadline)
        try:
            while True:
                try:
                    tx.run("BEGIN IMMEDIATE")
                except sqlite3.OperationalError as problem:
                    if _code(problem) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                        raise
                else:
                    return
                time.sleep(_AGAIN)
        finally:
            self._turnstile.leave()

    # ---------------------------------------------------------------------------------- reading

    def read(self, function: Callable[[Tx], T]) -> T:
        tx = self._take_reader()
        try:
            return function(tx)
        except _Refused as problem:
            raise _told(problem) from problem
        finally:
            self._give_reader(tx)

    def snapshot(self, function: Callable[[Tx], T]) -> T:
        def of_one_moment(tx: Tx) -> T:
            tx.run("BEGIN")
            try:
                return function(tx)
            finally:
                tx.run("ROLLBACK")

        return self.read(of_one_moment)

    def _take_reader(self) -> SqliteTx:
        with self._mutex:
            if self._closed:
                raise StoreError("the store is closed")
            if self._readers:
                return self._readers.pop()
        try:
            tx = self._connect()
            tx.run(f"PRAGMA cache_size = -{READER_CACHE}")
            tx.run("PRAGMA query_only = ON")
        except sqlite3.Error as problem:
            raise _told(problem) from problem
        return tx

    def _give_reader(self, tx: SqliteTx) -> None:
        with self._mutex:
            if not self._closed:
                self._readers.append(tx)
                return
        tx.connection.close()

    # ----------------------------------------------------------------------------- connections

    def _connect(self) -> SqliteTx:
        self._refuse_to_replace()
        # Nobody else may read it: SQLite gives its other files the same mode.  An existing file is
        # not opened: closing it would end all locks that this process has on it, and the next
        # process to leave would then remove the write-ahead log (sqlite.org/howtocorrupt.html 2.2).
        try:
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        except FileExistsError:
            pass
        except OSError as problem:
            raise StoreUnavailable(f"{self.path}: {problem.strerror}") from problem
        connection = sqlite3.connect(
            self.path,
            timeout=LOCK_TIMEOUT / 1000,
            isolation_level=None,
            check_same_thread=False,
            cached_statements=256,
        )
        try:
            if _with_log(connection) != "wal":
                raise StoreError(
                    f"{self.path}: SQLite cannot keep a write-ahead log here",
                    hint="put the database on a local file system",
                )
            connection.executescript(_PRAGMAS)
        except BaseException:
            connection.close()
            raise
        return SqliteTx(connection, self._node)

    def _refuse_to_replace(self) -> None:
        """Refuse to begin a new database where another one's newest transactions are.

        It was moved or lost without its write-ahead log; SQLite would delete that, also under the
        server that goes on writing into it.
        """
        # In this order: whoever makes a database writes the file first.
        beside = [name for name in ("wal", "shm") if _size(self._beside(name))]
        if beside and not _size(self.path):
            file = self._beside(beside[0])
            raise StoreUnavailable(
                f"{self.path} is empty or not there, but {file.name} is, which belongs to another "
                "database, and may hold its newest transactions",
                hint="stop the server; then put the files of the old database together again, or "
                f"all of them away ({self.path.name}*)",
            )

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(f"{self.path.name}-{ending}")

    def restored(self, tx: Tx, tables: Sequence[str]) -> None:
        """Nothing to do: SQLite numbers new rows after the highest there is."""

    def close(self) -> None:
        self.groups.close()
        with self._mutex:
            self._closed = True
            readers, self._readers = self._readers, []
            writer, self._writer = self._writer, None
        for reader in readers:
            reader.connection.close()
        if writer is not None:  # last: closing it copies the log into the file
            writer.connection.close()
            self._turnstile.close()


def _with_log(connection: sqlite3.Connection) -> str:
    """Let the database have a write-ahead log; returns what kind of journal it has then.

    Where several do this at once with a new database, SQLite does not wait.
    """
    deadline = time.monotonic() + LOCK_TIMEOUT / 1000
    while True:
        try:
            ((mode,),) = connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as problem:
            if _code(problem) != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
        else:
            return str(mode)
        time.sleep(_AGAIN)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0


def copied(source: Path, target: Path) -> None:
    """Copy a database, with what is still in its write-ahead log, into a new file."""
    try:
        with (
            closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as reading,
            closing(sqlite3.connect(target)) as writing,
        ):
            reading.backup(writing)
    except sqlite3.Error as problem:
        raise _told(problem) from problem


def as_one_file(path: Path) -> None:
    """Let a database that nobody has open be read without files beside it."""
    try:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA journal_mode = DELETE")
    except sqlite3.Error as problem:
        raise _told(problem) from problem


def _told(problem: BaseException) -> BaseException:
    """What a caller should get for what sqlite3 raised."""
    if isinstance(problem, UnicodeEncodeError | OverflowError):
        return InputError(f"a value cannot be stored: {problem}")
    if not isinstance(problem, sqlite3.Error):
        return problem
    code = _code(problem)
    name = getattr(problem, "sqlite_errorname", type(problem).__name__)
    if code in _UNAVAILABLE:
        return StoreUnavailable(f"the database cannot be used now: {problem} ({name})")
    if code in _DAMAGED:
        return StoreError(
            f"the database is damaged: {problem} ({name})", hint="restore it from a backup"
        )
    return StoreError(f"the database refuses: {problem} ({name})")


def _code(problem: sqlite3.Error) -> int:
    """SQLite's primary result code."""
    code: int = getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR)
    return code & 0xFF
