"""SQLite: one file, any number of threads and processes, one writer at a time.

Waiting transactions of a process are committed in groups: while one group is being forced to the
disk, the next one gathers, so that many callers share one fsync.  There is no writer thread: the
first caller of a group runs it while the others sleep until theirs is on the disk, and a caller who
is alone waits for nobody.

WAL with synchronous=FULL: what `write` returned survives a loss of power.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from scepkit.errors import InputError, StoreError, StoreUnavailable
from scepkit.store.driver import LOCK_TIMEOUT, Parameters, Rollback, Row, Tx

T = TypeVar("T")

#: STRICT tables are the newest thing that we use.
OLDEST = (3, 37, 0)

#: Transactions in one group: a bound on how long the first of them waits for the last.
MAX_GROUP = 256

#: Pages (4 KiB each) in the write-ahead log before they are copied into the file.
CHECKPOINT_PAGES = 4000

_PRAGMAS = f"""
    PRAGMA synchronous = FULL;
    PRAGMA foreign_keys = ON;
    PRAGMA wal_autocheckpoint = {CHECKPOINT_PAGES};
    PRAGMA journal_size_limit = {4 * 4096 * CHECKPOINT_PAGES};
    PRAGMA cache_size = -16000;
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

    def insert(self, sql: str, parameters: Parameters = _NOTHING) -> int | None:
        # RETURNING would cost as much as the row itself.
        cursor = self._cursor.execute(sql, parameters)
        return cursor.lastrowid if cursor.rowcount else None

    def run_many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        self._cursor.executemany(sql, parameters)

    def stream(self, sql: str, parameters: Parameters = _NOTHING) -> Iterator[Row]:
        cursor = self.connection.execute(sql, parameters)
        try:
            yield from cursor
        finally:
            cursor.close()


class _Job:
    """A transaction somebody waits for; `gate` is shut while the caller sleeps."""

    __slots__ = ("done", "function", "gate", "problem", "value")

    def __init__(self, function: Callable[[Tx], Any]) -> None:
        self.function = function
        self.gate: threading.Lock | None = None
        self.done = False
        self.value: Any = None
        self.problem: BaseException | None = None

    def run(self, tx: SqliteTx) -> None:
        """Run it as a part of the group's transaction that can be undone alone."""
        tx.run("SAVEPOINT job")
        try:
            self.value = self.function(tx)
        except Rollback as undone:
            self.value = undone.value
            tx.run("ROLLBACK TO job")
        except KeyboardInterrupt:
            raise  # meant for the thread that leads, whoever's job this is
        except BaseException as problem:
            if not tx.connection.in_transaction:
                raise  # SQLite gave up the whole group
            self.problem = _told(problem)
            tx.run("ROLLBACK TO job")
        tx.run("RELEASE job")

    def fail(self, problem: BaseException) -> None:
        """Let the caller know that the group was undone, whatever came of this part of it."""
        if isinstance(problem, Exception):
            self.problem = _told(problem)
        else:
            self.problem = StoreUnavailable("the transaction was interrupted")

    def outcome(self) -> Any:
        if self.problem is not None:
            raise self.problem
        return self.value


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
        self._mutex = threading.Lock()
        self._idle = threading.Condition(self._mutex)
        self._waiting: deque[_Job] = deque()
        self._leader: int | None = None
        self._closed = False
        self._writer: SqliteTx | None = None
        self._readers: list[SqliteTx] = []

    # ---------------------------------------------------------------------------------- writing

    def write(self, function: Callable[[Tx], T]) -> T:
        job = _Job(function)
        me = threading.get_ident()
        with self._mutex:
            if self._closed:
                raise StoreError("the store is closed")
            if self._leader == me:
                raise StoreError("a transaction was begun within a transaction")
            self._waiting.append(job)
            if self._leader is None:
                self._leader = me
            else:
                job.gate = threading.Lock()
                job.gate.acquire()
        if job.gate is not None:
            try:
                job.gate.acquire()
            except BaseException:
                # Interrupted, but under way: others may wait for this caller to lead.
                job.gate.acquire()
                if not job.done:
                    self._lead()
                raise
        if not job.done:
            self._lead()
        result: T = job.outcome()
        return result

    def alone(self, function: Callable[[Tx], T]) -> T:
        return self.write(function)

    def _lead(self) -> None:
        """Commit a group, of which the caller's job is the first, and name the next leader."""
        self._leader = threading.get_ident()
        jobs: list[_Job] = []
        try:
            self._commit_group(jobs)
        except BaseException as problem:
            if not jobs:  # it could not even begin: the others need not try in vain
                jobs.extend(self._waiting)
                self._waiting.clear()
            for job in jobs:
                job.fail(problem)
            if not isinstance(problem, Exception):
                raise
        finally:
            self._hand_over(jobs)

    def _commit_group(self, jobs: list[_Job]) -> None:
        tx = self._writer
        if tx is None:
            tx = self._writer = self._connect()
        try:
            tx.run("BEGIN IMMEDIATE")
            while self._waiting and len(jobs) < MAX_GROUP:
                jobs.append(self._waiting.popleft())
                jobs[-1].run(tx)
            tx.run("COMMIT")
        except BaseException:
            if tx.connection.in_transaction:
                tx.run("ROLLBACK")
            raise

    def _hand_over(self, jobs: list[_Job]) -> None:
        with self._mutex:
            if self._waiting:
                self._leader = 0  # nobody yet, but somebody is called
                following = self._waiting[0].gate
            else:
                self._leader = following = None
                self._idle.notify_all()
        if following is not None:
            following.release()
        for job in jobs:
            job.done = True
            if job.gate is not None:
                job.gate.release()

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
            ((mode,),) = connection.execute("PRAGMA journal_mode = WAL")
            if mode != "wal":
                raise StoreError(
                    f"{self.path}: SQLite cannot keep a write-ahead log here",
                    hint="put the database on a local file system",
                )
            connection.executescript(_PRAGMAS)
        except BaseException:
            connection.close()
            raise
        return SqliteTx(connection, self._node)

    def restored(self, tx: Tx, tables: Sequence[str]) -> None:
        """Nothing to do: SQLite numbers new rows after the highest there is."""

    def close(self) -> None:
        with self._mutex:
            self._closed = True
            while self._leader is not None:
                self._idle.wait()
            connections = [tx.connection for tx in self._readers]
            self._readers.clear()
            # Last: closing it copies the log into the file.
            if self._writer is not None:
                connections.append(self._writer.connection)
                self._writer = None
        for connection in connections:
            connection.close()


def _told(problem: BaseException) -> BaseException:
    """What a caller should get for what sqlite3 raised."""
    if isinstance(problem, UnicodeEncodeError | OverflowError):
        return InputError(f"a value cannot be stored: {problem}")
    if not isinstance(problem, sqlite3.Error):
        return problem
    code = getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
    name = getattr(problem, "sqlite_errorname", type(problem).__name__)
    if code in _UNAVAILABLE:
        return StoreUnavailable(f"the database cannot be used now: {problem} ({name})")
    if code in _DAMAGED:
        return StoreError(
            f"the database is damaged: {problem} ({name})", hint="restore it from a backup"
        )
    return StoreError(f"the database refuses: {problem} ({name})")
