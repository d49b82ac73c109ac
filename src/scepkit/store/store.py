"""The store: a database with our schema in it, whichever kind it is."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import TypeVar

from scepkit.errors import StoreUnavailable
from scepkit.store import dump, jobs, migrations
from scepkit.store.driver import Driver, Tx

T = TypeVar("T")

#: Milliseconds that the lock which is taken as a trial holds when its process dies.
_TRIAL = 1000


class Store:
    """What a server knows.  Any number of threads may use one; processes open their own.

    What can be done in a transaction is in the modules beside this one:

    >>> store.write(lambda tx: operations.approve(tx, 17, actor="alice", now=now))

    All methods raise `StoreUnavailable` when the database cannot be used at the moment.
    """

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self._takes_writes = True

    def write(self, function: Callable[[Tx], T]) -> T:
        """Run a transaction: returns when its result is on the disk.

        The function may be run twice, and by another thread: it does nothing but compute and use
        its transaction.  What it raises undoes the transaction and is passed on; `Rollback` undoes
        it and gives a result.
        """
        try:
            value = self.driver.write(function)
        except StoreUnavailable:
            self._takes_writes = False
            raise
        self._takes_writes = True
        return value

    def read(self, function: Callable[[Tx], T]) -> T:
        """Run queries, each of which sees the newest rows."""
        return self.driver.read(function)

    def snapshot(self, function: Callable[[Tx], T]) -> T:
        """Run queries that all see the rows of one moment; iterators are used up in there."""
        return self.driver.snapshot(function)

    def migrate(self) -> list[str]:
        """Make the schema, or bring it up to date; returns the names of the steps this took.

        Raises:
            StoreError: the schema is that of a newer version of scepkit.
        """
        return migrations.migrate(self.driver, migrations.known())

    def check_schema(self) -> None:
        """Raises `StoreError` when the schema is not the one that this version works with."""
        migrations.check(self.driver, migrations.known())

    def check_writable(self, now: int) -> None:
        """Raises `StoreUnavailable` when nothing can be written, as on a full disk.

        Costs nothing while writing works: only when the last write of this process could not be
        made, another one is tried.
        """
        if not self._takes_writes:
            with self.job_lock("try-to-write", now=now, lease=_TRIAL):
                pass

    @contextmanager
    def job_lock(self, name: str, *, now: int, lease: int) -> Iterator[bool]:
        """Do a job that only one process may do at a time: the result is False in all others.

        A process that dies leaves the job to the others `lease` milliseconds after `now`; one that
        needs longer has to expect company.
        """
        holder = secrets.token_hex(8)
        held = self.write(lambda tx: jobs.acquire(tx, name, holder, now, lease))
        try:
            yield held
        finally:
            if held:
                # A database that is down now ends the lease by itself.
                with suppress(StoreUnavailable):
                    self.write(lambda tx: jobs.release(tx, name, holder))

    def backup(self, path: Path) -> dict[str, int]:
        """Write all rows of one moment to a new file; returns how many there are in each table.

        Everybody may go on writing.  The file is an SQLite database, whatever this one is.

        Raises:
            InputError: the file exists already, or cannot be written.
        """
        return dump.backup(self.driver, path)

    def restore(self, path: Path) -> dict[str, int]:
        """Fill this database, which must be empty, from a backup of either kind of database.

        Raises:
            StoreError: the database is not empty, or the file is not a backup that this version
                can read.
        """
        return dump.restore(self.driver, path)

    def close(self) -> None:
        """Finish the transactions that wait, then accept no more."""
        self.driver.close()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()
