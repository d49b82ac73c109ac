"""PostgreSQL: any number of processes on any number of machines.

Transactions are READ COMMITTED: every statement that decides something names the state it starts
from, and a unique constraint stands behind it.  Locks and statements have time limits, so that a
stuck neighbour is an error here and not a standstill.

Connections are made in the thread that needs one.  So a database that is down is an error at once,
and one that is back is used by the next call.
"""

from __future__ import annotations

import math
import random
import threading
import time
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from re import sub
from typing import Literal, TypeVar, cast

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from scepkit.errors import InputError, StoreError, StoreUnavailable
from scepkit.store import turns
from scepkit.store.driver import LOCK_TIMEOUT, Parameters, Rollback, Row, Statement, Tx
from scepkit.store.groups import Groups, Job, Next
from scepkit.store.session import Connection, Session, changed, rows_of

T = TypeVar("T")

#: Milliseconds that one statement may take, with the waiting for locks; copying is exempt.
STATEMENT_TIMEOUT = 3 * LOCK_TIMEOUT

#: Milliseconds that a transaction may do nothing before the server ends it.
IDLE_TIMEOUT = 60_000

#: Seconds to wait for the server to accept a connection.
CONNECT_TIMEOUT = 5

#: Rows that a stream fetches at once.
STREAM_ROWS = 500

#: Milliseconds that a group of transactions waits for a lock: then each waits for itself, and
#: groups that stand crosswise do not wait for PostgreSQL to notice.
GROUP_LOCK_TIMEOUT = 30
_GROUP_LOCKS = f"SET LOCAL lock_timeout = {GROUP_LOCK_TIMEOUT}"

#: Seconds for a round trip up to which requests that take turns ask the database one by one: it
#: costs less than changing threads.  They wait for one that is further away side by side.
NEAR = 0.000_3

_ALONE = zlib.crc32(b"scepkit.alone")

# What holds for every connection; a URL that says otherwise comes later and wins.
_OPTIONS = (
    f"-c lock_timeout={LOCK_TIMEOUT} -c statement_timeout={STATEMENT_TIMEOUT}"
    f" -c idle_in_transaction_session_timeout={IDLE_TIMEOUT}"
    " -c default_transaction_isolation=read\\ committed -c client_encoding=UTF8"
)
# For a server that went away without a word (milliseconds and seconds, as libpq has them).
_KEEPALIVE = {"tcp_user_timeout": 15_000, "keepalives_idle": 30, "keepalives_interval": 5}

# Asynchronous commit would forget what was promised; stronger settings are the administrator's.
_DURABLE = """
    SELECT set_config('synchronous_commit', 'on', false)
    WHERE current_setting('synchronous_commit') = 'off'
"""

# How often a new connection is asked, to find out how far away its database is.
_TRIPS = 3

_NOTHING: Parameters = {}

_AGAIN = (psycopg.errors.SerializationFailure, psycopg.errors.DeadlockDetected)

# Seconds, at most, before each further try.  Who lost a deadlock and comes back at once may take
# its first lock before the other is awake, and both stand crosswise again: chance parts them.
_PAUSES = (0.01, 0.04, 0.16)


@cache
def _translated(sql: str) -> bytes:
    """The statement with psycopg's kind of parameters; our statements have no other colons."""
    return sub(r":([a-z_0-9]+)", r"%(\1)s", sql.replace("%", "%%")).encode()


class PostgresTx:
    """A transaction, or a connection whose statements stand alone."""

    def __init__(self, session: Session, node: str) -> None:
        self.node = node
        self._session = session

    def all(self, sql: str, parameters: Parameters = _NOTHING) -> list[Row]:
        return rows_of(self._session.run(sql, parameters))

    def one(self, sql: str, parameters: Parameters = _NOTHING) -> Row | None:
        rows = self.all(sql, parameters)
        return rows[0] if rows else None

    def run(self, sql: str, parameters: Parameters = _NOTHING) -> int:
        return changed(self._session.run(sql, parameters))

    def send(self, sql: str, parameters: Parameters = _NOTHING) -> None:
        self._session.send(sql, parameters)

    def together(self, *statements: Statement) -> list[int]:
        return [changed(result) for result in self._session.run_all(statements)]

    def insert(self, sql: str, parameters: Parameters = _NOTHING) -> int | None:
        return self.insert_and((sql, parameters))[0]

    def insert_and(self, first: Statement, *others: Statement) -> tuple[int | None, list[int]]:
        sql, parameters = first
        made, *results = self._session.run_all([(f"{sql} RETURNING id", parameters), *others])
        rows = rows_of(made)
        return (rows[0][0] if rows else None), [changed(result) for result in results]

    def run_many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        for one in parameters:
            self._session.send(sql, one)

    def stream(
        self, sql: str, parameters: Parameters = _NOTHING, *, at_once: int = STREAM_ROWS
    ) -> Iterator[Row]:
        with self._session.connection.cursor("stream") as cursor:
            cursor.itersize = at_once
            cursor.execute(_translated(sql), parameters)
            yield from cursor


class _NotCommitted(Exception):
    """The server was not asked to commit, and the reason of the failure may be gone by now."""

    def __init__(self, problem: psycopg.Error) -> None:
        super().__init__()
        self.problem = problem


class _Alone(Exception):
    """A transaction has to be run for itself."""


class _Pool:
    """Connections that are open and not in use, and how many more there may be.

    Attributes:
        round_trip: the quickest that was seen, in seconds.
    """

    def __init__(self, conninfo: str, size: int) -> None:
        self._conninfo = conninfo
        self._places = threading.Semaphore(size)
        self._mutex = threading.Lock()
        self._idle: list[Session] = []
        self._closed = False
        self._size = size
        self.round_trip = math.inf

    @property
    def ready(self) -> bool:
        """Whether one is to be had at once, whose database answers at once."""
        return bool(self._idle) and self.round_trip <= NEAR

    def take(self) -> Session:
        if self._closed:
            raise StoreError("the store is closed")
        if not self._places.acquire(timeout=LOCK_TIMEOUT / 1000):
            raise StoreUnavailable(f"all {self._size} connections to the database are in use")
        try:
            with self._mutex:
                if self._closed:
                    raise StoreError("the store is closed")
                if self._idle:
                    return self._idle.pop()
            return self._connect()
        except BaseException:
            self._places.release()
            raise

    def give(self, session: Session) -> None:
        with self._mutex:
            keep = not self._closed and session.idle
            if keep:
                self._idle.append(session)
        if not keep:
            session.connection.close()
        self._places.release()

    def forget(self) -> None:
        """Close what is not in use: one connection broke, so the others did too."""
        with self._mutex:
            stale, self._idle = self._idle, []
        for session in stale:
            session.connection.close()

    def _connect(self) -> Session:
        try:
            connection: Connection = psycopg.connect(self._conninfo, autocommit=True)
        except psycopg.Error as problem:
            # psycopg's frame has the error, which has the frame and the memory of a connection:
            # together they would stay until the garbage collector comes, which sees little of it.
            raise problem.with_traceback(None)  # noqa: B904  # it is the same error
        try:
            encoding = connection.info.parameter_status("server_encoding")
            if encoding != "UTF8":
                raise StoreError(
                    f"the database's encoding is {encoding}, expected UTF8",
                    hint="make it with CREATE DATABASE ... ENCODING 'UTF8' TEMPLATE template0",
                )
            connection.execute(_DURABLE)
            for _ in range(_TRIPS):
                began = time.perf_counter()
                connection.execute("SELECT 1")
                self.round_trip = min(self.round_trip, time.perf_counter() - began)
        except BaseException:
            connection.close()
            raise
        return Session(connection)

    def close(self) -> None:
        """Wait until nobody uses a connection, then close them."""
        with self._mutex:
            if self._closed:
                return
            self._closed = True
        self.forget()
        for _ in range(self._size):
            self._places.acquire()


class PostgresDriver:
    """The driver for one database.

    Raises:
        InputError: the URL cannot be read.
    """

    kind: Literal["postgresql"] = "postgresql"

    def __init__(self, url: str, *, node: str, password: str | None, connections: int) -> None:
        try:
            given = conninfo_to_dict(url)
        except psycopg.ProgrammingError as problem:
            raise InputError(f"the database's URL cannot be read: {problem}".strip()) from None
        if password is not None:
            given["password"] = password
        options = f"{_OPTIONS} {given.pop('options', None) or ''}".strip()
        settings = {
            "connect_timeout": CONNECT_TIMEOUT,
            "application_name": f"scepkit {node}".strip(),
            **_KEEPALIVE,
            **given,
            "options": options,
        }
        self._node = node
        self._pool = _Pool(make_conninfo("", **settings), connections)
        self.groups = Groups(self._commit_group)

    def write(self, function: Callable[[Tx], T]) -> T:
        if turns.current() is not None and self._pool.ready:
            with suppress(_Alone):
                return self.groups.run(function)
        return self._for_itself(function)

    def _for_itself(self, function: Callable[[Tx], T]) -> T:
        return turns.elsewhere(lambda: self._run(function, commit=True))

    def alone(self, function: Callable[[Tx], T]) -> T:
        def locked(tx: Tx) -> T:
            tx.run("SET LOCAL lock_timeout = 0")
            tx.run("SET LOCAL statement_timeout = 0")
            tx.one("SELECT pg_advisory_xact_lock(:key)", {"key": _ALONE})
            return function(tx)

        return self._for_itself(locked)

    def read(self, function: Callable[[Tx], T]) -> T:
        return self._run(function, commit=False)

    def snapshot(self, function: Callable[[Tx], T]) -> T:
        def of_one_moment(tx: Tx) -> T:
            tx.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            tx.run("SET LOCAL statement_timeout = 0")
            return function(tx)

        return self._for_itself(of_one_moment)

    def _run(self, function: Callable[[Tx], T], *, commit: bool) -> T:
        """Run a function, again while a try fails for a reason that is gone a moment later."""
        try:
            for pause in _PAUSES:
                try:
                    return self._try(function, commit=commit)
                except _NotCommitted:
                    turns.pause(random.uniform(0, pause))  # noqa: S311  # nothing secret
            return self._try(function, commit=commit)
        except _NotCommitted as undone:
            raise _told(undone.problem) from undone.problem
        except psycopg.Error as problem:
            raise _told(problem) from problem
        except (UnicodeEncodeError, OverflowError) as problem:
            raise InputError(f"a value cannot be stored: {problem}") from problem

    def _try(self, function: Callable[[Tx], T], *, commit: bool) -> T:
        """Run a function once; elsewhere, if it has to wait for a connection first."""
        if self._pool.ready:
            return self._once(function, commit=commit)
        return turns.elsewhere(lambda: self._once(function, commit=commit))

    def _once(self, function: Callable[[Tx], T], *, commit: bool) -> T:
        session = self._pool.take()
        committing = False
        try:
            if commit:
                session.begin()
            value = function(PostgresTx(session, self._node))
            if commit:
                committing = True
                session.commit()
            return value
        except Rollback as undone:
            return cast("T", undone.value)
        except psycopg.Error as problem:
            if session.closed:
                self._pool.forget()
            # Who lost a deadlock has committed nothing, whatever was asked for.
            if isinstance(problem, _AGAIN) or (session.closed and not committing):
                raise _NotCommitted(problem) from problem
            raise
        finally:
            with suppress(psycopg.Error):
                session.settle()
            self._pool.give(session)

    # ------------------------------------------------------------------------------------ groups

    def _commit_group(self, following: Next) -> None:
        """Commit the transactions of requests that take turns in a thread as one."""
        jobs = list(iter(following, None))
        try:
            committed = self._together(jobs)
        except psycopg.Error as problem:
            raise _told(problem) from problem
        if not committed:
            for job in jobs:
                job.problem = _Alone()

    def _together(self, jobs: Sequence[Job]) -> bool:
        """Whether one transaction did all jobs; if not, nothing of them was committed."""
        session = self._pool.take()
        committing = False
        try:
            session.begin(_GROUP_LOCKS)
            tx = PostgresTx(session, self._node)
            for job in jobs:
                job.value = job.function(tx)
            committing = True
            session.commit()
        except Exception:
            if session.closed:
                self._pool.forget()
                if committing:  # nobody knows what became of it
                    raise
            return False
        finally:
            with suppress(psycopg.Error):
                session.settle()
            self._pool.give(session)
        return True

    # ----------------------------------------------------------------------------- administration

    def restored(self, tx: Tx, tables: Sequence[str]) -> None:
        """Move the numbers of each table's rows on, behind those that were copied."""
        for table, column in tx.all(_IDENTITIES):
            if table in tables:
                tx.one(
                    "SELECT setval(pg_get_serial_sequence(:table, :column),"
                    f" (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)",
                    {"table": table, "column": column},
                )

    def close(self) -> None:
        self._pool.close()


_IDENTITIES = """
    SELECT CAST(table_name AS text), CAST(column_name AS text) FROM information_schema.columns
    WHERE table_schema = current_schema() AND is_identity = 'YES'
"""


# SQLSTATE classes that say: not now.  The server is starting or stopping, somebody holds a lock,
# it took too long, memory, disk or connections are used up, a standby cannot write.
_UNAVAILABLE = ("08", "53", "55", "57", "58", "40", "25006", "28")


_UNREACHED = "see that PostgreSQL runs there and lets this machine in; the URL is in database.url"


def _told(problem: psycopg.Error) -> BaseException:
    """What a caller should get for what psycopg raised."""
    state = problem.sqlstate
    text = str(problem).strip().partition("\n")[0]
    if isinstance(problem, psycopg.DataError):
        return InputError(f"a value cannot be stored: {text}")
    if state is None and isinstance(problem, psycopg.OperationalError | psycopg.InterfaceError):
        return StoreUnavailable(f"the database cannot be reached: {text}", hint=_UNREACHED)
    if state is not None and state.startswith(_UNAVAILABLE):
        return StoreUnavailable(f"the database cannot be used now: {text} ({state})")
    return StoreError(f"the database refuses: {text} ({state or type(problem).__name__})")
