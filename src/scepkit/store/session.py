"""Statements over one connection to PostgreSQL: prepared, and several in one round trip.

psycopg makes the connection, and reads and writes what goes in portions; the statements of
transactions go through its `pq`, which is PostgreSQL's own library.  psycopg's cursors would take
three times as long for them, and they are most of what the database costs an enrolment.

The rule of this file: statements are answered in the order they were queued, and after the first
that fails, none is run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import psycopg
from psycopg import pq
from psycopg.waiting import Ready, Wait

from scepkit.store.driver import Parameters, Row, Statement

Connection = psycopg.Connection[tuple[Any, ...]]

#: Statements that are sent before their answers are read, when there are many.
_MOST_QUEUED = 200

_NOTHING: Parameters = {}

# PostgreSQL's two ways to write a value: as text, and as it is sent by its binary functions.
_TEXT, _BINARY = 0, 1

_IDLE, _IN_TRANSACTION = pq.TransactionStatus.IDLE, pq.TransactionStatus.INTRANS
_DONE = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


@dataclass(frozen=True, slots=True)
class _Statement:
    """A statement as PostgreSQL has it: its name when it is prepared, parameters in order.

    The name says which text it is: where a pooler lends one connection to several processes after
    all, none of them runs what another one prepared under its name.
    """

    name: bytes
    text: bytes
    parameters: tuple[str, ...]


@cache
def _statement(sql: str) -> _Statement:
    """The statement with PostgreSQL's kind of parameters; ours have no other colons."""
    order: list[str] = []

    def number(found: re.Match[str]) -> str:
        if found[1] not in order:
            order.append(found[1])
        return f"${order.index(found[1]) + 1}"

    text = re.sub(r":([a-z_0-9]+)", number, sql).encode()
    name = f"scepkit_{hashlib.sha256(text).hexdigest()[:32]}"
    return _Statement(name.encode(), text, tuple(order))


# A statement, its values as they are sent, and in which of the two ways each is written.
_Queued = tuple[_Statement, list[bytes | None], list[int]]


def _queued(sql: str, parameters: Parameters = _NOTHING) -> _Queued:
    statement = _statement(sql)
    values = [parameters[name] for name in statement.parameters]
    return (
        statement,
        [_written(value) for value in values],
        [_TEXT if isinstance(value, int) else _BINARY for value in values],
    )


def _written(value: int | str | bytes | None) -> bytes | None:
    if isinstance(value, str):
        return value.encode()
    return b"%d" % value if isinstance(value, int) else value


_BEGIN, _COMMIT, _ROLLBACK = _queued("BEGIN"), _queued("COMMIT"), _queued("ROLLBACK")


class Session:
    """A connection, and what was prepared on it.  One thread uses it at a time.

    What its methods raise is `psycopg.Error`; the connection is closed by those that leave it in
    the middle of something.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._pgconn = connection.pgconn
        self._prepared: set[bytes] = set()
        self._queue: list[_Queued] = []

    @property
    def closed(self) -> bool:
        """Whether the connection is of no more use."""
        return self.connection.closed

    @property
    def idle(self) -> bool:
        """Whether it is open and no transaction is."""
        return self._pgconn.transaction_status == _IDLE

    def begin(self, *settings: str) -> None:
        """Begin a transaction, with its first statement; `settings` are for it alone."""
        self._queue += [_BEGIN, *map(_queued, settings)]

    def send(self, sql: str, parameters: Parameters) -> None:
        """Run a statement with the next one that is waited for; what it raises comes then.

        A transaction's first statement is waited for: a connection that broke while it was not used
        shows before anything can have been committed.
        """
        self._queue.append(_queued(sql, parameters))
        if self.idle or len(self._queue) >= _MOST_QUEUED:
            self._exchange()

    def run(self, sql: str, parameters: Parameters) -> pq.abc.PGresult:
        """Run a statement, and those that were sent before."""
        self._queue.append(_queued(sql, parameters))
        return self._exchange()[-1]

    def run_all(self, statements: Sequence[Statement]) -> list[pq.abc.PGresult]:
        """Run statements, and those that were sent before; the result of each of these."""
        self._queue += [_queued(sql, parameters) for sql, parameters in statements]
        return self._exchange()[-len(statements) :]

    def commit(self) -> None:
        """End the transaction: returns when it is on the disk."""
        if self.idle:  # there was no statement in it
            self._queue.clear()
            return
        self._queue.append(_COMMIT)
        if self._exchange()[-1].command_status != b"COMMIT":
            raise psycopg.errors.InFailedSqlTransaction("one of its statements had failed")

    def settle(self) -> None:
        """Undo what was not committed; a connection that cannot be used is closed."""
        self._queue.clear()
        if self._pgconn.transaction_status not in (_IDLE, pq.TransactionStatus.UNKNOWN):
            self._queue.append(_ROLLBACK)
            self._exchange()

    def _exchange(self) -> list[pq.abc.PGresult]:
        """Send what is queued and read all answers; those of the statements."""
        queue, self._queue = self._queue, []
        try:
            prepared = self._put(queue)
            results = self.connection.wait(_answers(self._pgconn))
            self._pgconn.exit_pipeline_mode()
        except BaseException:
            self.connection.close()
            raise
        answers = []
        for name, result in zip(prepared, results, strict=True):
            if result.status not in _DONE:
                raise _problem(result)
            if name is None:
                answers.append(result)
            else:
                self._prepared.add(name)
        return answers

    def _put(self, queue: Sequence[_Queued]) -> list[bytes | None]:
        """Send statements; for each answer that will come, the name of what it prepares."""
        pgconn = self._pgconn
        pgconn.enter_pipeline_mode()
        prepared: list[bytes | None] = []
        for statement, values, formats in queue:
            name = statement.name
            if name not in self._prepared and name not in prepared:
                pgconn.send_prepare(name, statement.text)
                prepared.append(name)
            pgconn.send_query_prepared(name, values, formats, _BINARY)
            prepared.append(None)
        pgconn.pipeline_sync()
        return prepared


def _answers(pgconn: pq.abc.PGconn) -> Generator[Wait, Ready | int, list[pq.abc.PGresult]]:
    """Read what comes until all that was sent is answered; psycopg waits whenever this yields."""
    while pgconn.flush():
        if (yield Wait.RW) & Ready.R:
            pgconn.consume_input()
    results: list[pq.abc.PGresult] = []
    while True:
        while pgconn.is_busy():
            yield Wait.R
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            if pgconn.status == pq.ConnStatus.BAD:
                raise psycopg.OperationalError("the connection was lost")
        elif result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        else:
            results.append(result)


def _problem(result: pq.abc.PGresult) -> psycopg.Error:
    """What PostgreSQL says went wrong."""
    if result.error_field(pq.DiagnosticField.SQLSTATE) is None:
        return psycopg.OperationalError(result.get_error_message())
    return psycopg.errors.error_from_result(result)


# ------------------------------------------------------------------------------------- results


def _integer(data: bytes) -> int:
    return int.from_bytes(data, "big", signed=True)


# By PostgreSQL's number of a type (pg_type.oid).
_READ: dict[int, Callable[[bytes], Any]] = {
    16: lambda data: data == b"\x01",  # boolean
    17: bytes,  # bytea
    19: bytes.decode,  # name
    20: _integer,  # bigint
    21: _integer,  # smallint
    23: _integer,  # integer
    25: bytes.decode,  # text
    1043: bytes.decode,  # varchar
    2278: lambda _: None,  # void
}


def changed(result: pq.abc.PGresult) -> int:
    """How many rows a statement changed."""
    return result.command_tuples or 0


def rows_of(result: pq.abc.PGresult) -> list[Row]:
    """The rows of a result."""
    if not result.ntuples:
        return []
    value = result.get_value
    columns = [(number, _READ[result.ftype(number)]) for number in range(result.nfields)]
    return [
        tuple(
            None if (data := value(row, number)) is None else read(data) for number, read in columns
        )
        for row in range(result.ntuples)
    ]
