"""What a database has to do for us: run functions of a transaction.

A transaction is a function that gets a `Tx`.  The driver may run it again after a rollback, and on
SQLite in another thread, so it must do nothing but use its `Tx` and compute.  SQL is written once,
in the words that both databases share: named parameters (``:name``), ``RETURNING`` and
``ON CONFLICT``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, Protocol, TypeVar

T = TypeVar("T")

#: One row of a result.  Integers, texts, bytes and None; the statement says which is where.
Row = tuple[Any, ...]
Parameters = Mapping[str, int | str | bytes | None]
Statement = tuple[str, Parameters]

#: Milliseconds that a statement waits for somebody else's lock before `StoreUnavailable`.
LOCK_TIMEOUT = 10_000


class Rollback(Exception):
    """Raised in a transaction to undo it: `write` then returns `value`.

    >>> def deny(tx):
    ...     if challenges.spend(tx, mac, profile, now) is None:
    ...         raise Rollback(Denied("no such challenge"))
    """

    def __init__(self, value: object) -> None:
        super().__init__()
        self.value = value


class Tx(Protocol):
    """A transaction, or for `Driver.read` a connection whose statements stand alone."""

    @property
    def node(self) -> str:
        """The name of this server."""
        ...

    def all(self, sql: str, parameters: Parameters = ...) -> list[Row]:
        """Run a statement: all rows of its result."""
        ...

    def one(self, sql: str, parameters: Parameters = ...) -> Row | None:
        """Run a statement: the first row of its result, or None when it has none."""
        ...

    def run(self, sql: str, parameters: Parameters = ...) -> int:
        """Run a statement without a result: how many rows it changed."""
        ...

    def send(self, sql: str, parameters: Parameters = ...) -> None:
        """Run a statement that nobody asks for an outcome.

        It may be run together with the next one, or with the commit, and raise there.
        """
        ...

    def together(self, *statements: Statement) -> list[int]:
        """Run statements in one round trip: how many rows each changed.

        All run, whatever came of those before.
        """
        ...

    def insert(self, sql: str, parameters: Parameters = ...) -> int | None:
        """Run an INSERT of one row: its `id`, or None when a conflict kept it out."""
        ...

    def insert_and(self, first: Statement, *others: Statement) -> tuple[int | None, list[int]]:
        """Run an INSERT of one row and other statements in one round trip.

        What `insert` says of the first, and `together` of the others.
        """
        ...

    def run_many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        """Run a statement once for each set of parameters."""
        ...

    def stream(
        self, sql: str, parameters: Parameters = ..., *, at_once: int = ...
    ) -> Iterator[Row]:
        """Run a query whose result may not fit in memory; only in `Driver.snapshot`.

        :param at_once: how many rows may be in memory; fewer than usual where they are long.
        """
        ...


class Driver(Protocol):
    """One kind of database.

    All of these raise `StoreUnavailable` when it cannot be used now and `StoreError` when it
    refuses; an error of the function itself undoes its transaction and is passed on.
    """

    @property
    def kind(self) -> Literal["sqlite", "postgresql"]:
        """Which one."""
        ...

    def write(self, function: Callable[[Tx], T]) -> T:
        """Run a transaction; its result is returned after it is on the disk."""
        ...

    def read(self, function: Callable[[Tx], T]) -> T:
        """Run queries, each of which sees the newest committed rows."""
        ...

    def snapshot(self, function: Callable[[Tx], T]) -> T:
        """Run queries that all see the rows of one moment."""
        ...

    def alone(self, function: Callable[[Tx], T]) -> T:
        """Run a transaction that no other `alone` runs beside, here or in any process."""
        ...

    def restored(self, tx: Tx, tables: Sequence[str]) -> None:
        """Let new rows get numbers above those of the rows that were copied into `tables`."""
        ...

    def close(self) -> None:
        """Finish what is waiting, then refuse more."""
        ...
