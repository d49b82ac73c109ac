"""SQLite alone: groups that share a commit, and files that are locked, full, damaged or closed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from scepkit.errors import StoreError, StoreUnavailable
from scepkit.store import Rollback, Store, Tx, audit, challenges, groups, open_store, sqlite
from scepkit.store.sqlite import READER_CACHE, WRITER_CACHE, SqliteDriver
from tests.store.enrolling import (
    NOW,
    a_ca,
    a_challenge,
    a_claim,
    broken_promises,
    claimed,
    digest,
    first_transaction,
)
from tests.store.processes import at_once


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scepkit.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{path}", node="node1") as store:
        store.migrate()
        yield store


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting for a lock is over soon."""
    monkeypatch.setattr(sqlite, "LOCK_TIMEOUT", 100)


def record(action: str) -> Callable[[Tx], str]:
    """A transaction that writes an audit row and returns its action."""

    def write(tx: Tx) -> str:
        audit.record(tx, now=NOW, actor="a", action=action, object="x")
        return action

    return write


def actions(store: Store) -> list[str]:
    return [row.action for row in reversed(store.read(lambda tx: audit.listing(tx, limit=1000)))]


class Holding:
    """A transaction that holds the writer until it is let go, so that a group gathers behind it."""

    def __init__(self, store: Store, threads: ThreadPoolExecutor) -> None:
        self._begun, self._let_go = threading.Event(), threading.Event()
        self._store = store
        self._result = threads.submit(store.write, self._hold)
        assert self._begun.wait(10)

    def _hold(self, tx: Tx) -> None:
        self._begun.set()
        assert self._let_go.wait(30)

    def wait(self, waiting: int) -> None:
        """Until so many transactions wait."""
        driver = self._store.driver
        assert isinstance(driver, SqliteDriver)
        deadline = time.monotonic() + 30
        while driver.groups.waiting < waiting:
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def let_go(self, waiting: int) -> None:
        """Go on when so many transactions wait."""
        self.wait(waiting)
        self._let_go.set()
        self.problem = self._result.exception(30)


# ------------------------------------------------------------------------------------------ groups


def count_commits(store: Store) -> list[str]:
    """A list that gets a word for each commit from now on."""
    commits: list[str] = []
    driver = store.driver
    assert isinstance(driver, SqliteDriver)
    assert driver._writer is not None

    def trace(statement: str) -> None:
        if statement == "COMMIT":
            commits.append(statement)

    driver._writer.connection.set_trace_callback(trace)
    return commits


def test_transactions_that_wait_share_one_commit(store: Store) -> None:
    commits = count_commits(store)
    with ThreadPoolExecutor(33) as threads:
        holding = Holding(store, threads)
        results = [threads.submit(store.write, record(f"a{n}")) for n in range(32)]
        holding.let_go(32)
        assert sorted(one.result(30) for one in results) == sorted(actions(store))
    # The holder's group took those that came while it ran, or they were the next.
    assert len(commits) <= 2


def test_busy_store_commits_far_less_often_than_it_is_written_to(store: Store) -> None:
    commits = count_commits(store)
    with ThreadPoolExecutor(32) as threads:
        list(threads.map(lambda n: store.write(record(f"a{n}")), range(1000)))
    assert len(set(actions(store))) == 1000
    assert len(commits) < 500


def test_lone_transaction_is_committed_at_once(store: Store) -> None:
    commits = count_commits(store)
    for n in range(5):
        store.write(record(f"a{n}"))
    assert len(commits) == 5


def test_result_is_returned_when_everybody_can_see_it(store: Store, path: Path) -> None:
    def write_and_look(n: int) -> bool:
        store.write(record(f"a{n}"))
        with closing(sqlite3.connect(path, timeout=10)) as other:
            return bool(
                other.execute("SELECT 1 FROM audit WHERE action = ?", (f"a{n}",)).fetchone()
            )

    with ThreadPoolExecutor(16) as threads:
        assert all(threads.map(write_and_look, range(200)))


def test_undone_transaction_leaves_the_others_of_its_group(store: Store) -> None:
    def fail(tx: Tx) -> None:
        record("failed")(tx)
        raise ZeroDivisionError

    def undo(tx: Tx) -> None:
        record("undone")(tx)
        raise Rollback("value")

    def break_a_rule(tx: Tx) -> None:
        record("broken")(tx)
        tx.run("INSERT INTO node (name) VALUES ('x')")

    with ThreadPoolExecutor(8) as threads:
        holding = Holding(store, threads)
        functions: list[Callable[[Tx], Any]] = [
            record("first"),
            fail,
            undo,
            break_a_rule,
            record("last"),
        ]
        results: list[Future[Any]] = [threads.submit(store.write, one) for one in functions]
        holding.let_go(len(functions))
        first, failed, undone, broken, last = results
        assert (first.result(30), last.result(30)) == ("first", "last")
        assert isinstance(failed.exception(30), ZeroDivisionError)
        assert undone.result(30) == "value"
        assert isinstance(broken.exception(30), StoreError)
    assert sorted(actions(store)) == ["first", "last"]


def test_transactions_of_a_group_see_one_another(store: Store) -> None:
    a_challenge(store)
    with ThreadPoolExecutor(9) as threads:
        holding = Holding(store, threads)
        results = [
            threads.submit(
                store.write, lambda tx: challenges.spend(tx, digest("secret"), "routers", NOW)
            )
            for _ in range(8)
        ]
        holding.let_go(8)
        assert sum(one.result(30) for one in results) == 1


def test_very_many_waiting_transactions_are_all_served(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(groups, "MAX_GROUP", 3)
    with ThreadPoolExecutor(41) as threads:
        holding = Holding(store, threads)
        results = [threads.submit(store.write, record(f"a{n}")) for n in range(40)]
        holding.let_go(40)
        assert len({one.result(30) for one in results}) == 40


def test_transaction_within_a_transaction_is_refused(store: Store) -> None:
    with pytest.raises(StoreError, match="within a transaction"):
        store.write(lambda tx: store.write(record("inner")))
    assert store.write(record("after")) == "after"


def test_exit_raised_in_a_transaction_reaches_its_caller_only(store: Store) -> None:
    def leave(tx: Tx) -> None:
        raise SystemExit(3)

    with ThreadPoolExecutor(4) as threads:
        holding = Holding(store, threads)
        good = threads.submit(store.write, record("good"))
        bad = threads.submit(store.write, leave)
        holding.let_go(2)
        assert isinstance(bad.exception(30), SystemExit)
        assert good.result(30) == "good"


def test_interrupted_leader_loses_nobody(store: Store) -> None:
    begun, followers = threading.Event(), ThreadPoolExecutor(4)
    driver = store.driver
    assert isinstance(driver, SqliteDriver)

    def interrupted(tx: Tx) -> None:
        begun.set()
        while driver.groups.waiting < 3:
            time.sleep(0.001)
        raise KeyboardInterrupt

    def follow(n: int) -> str:
        assert begun.wait(10)
        return store.write(record(f"a{n}"))

    with followers as threads:
        results = [threads.submit(follow, n) for n in range(3)]
        with pytest.raises(KeyboardInterrupt):
            store.write(interrupted)
        assert [one.result(30) for one in results] == ["a0", "a1", "a2"]


def test_nobody_is_forgotten_while_no_transaction_can_begin() -> None:
    def down(following: groups.Next) -> None:
        raise StoreUnavailable("it is locked")

    queue, calls, interval = groups.Groups(down), 1500, sys.getswitchinterval()

    def call_often() -> int:
        told = 0
        for _ in range(calls):
            try:
                queue.run(lambda tx: None)
            except StoreUnavailable:
                told += 1
        return told

    threads = ThreadPoolExecutor(8)
    sys.setswitchinterval(1e-6)  # so that threads take turns everywhere
    try:
        results = [threads.submit(call_often) for _ in range(8)]
        assert [one.result(60) for one in results] == [calls] * 8
    finally:
        sys.setswitchinterval(interval)
        threads.shutdown(wait=False)


def test_interrupted_caller_is_served_before_it_leaves(store: Store) -> None:
    with ThreadPoolExecutor(4) as threads:
        holding = Holding(store, threads)

        def interrupt() -> None:
            holding.wait(1)
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.05)
            holding.let_go(1)

        threads.submit(interrupt)
        with pytest.raises(KeyboardInterrupt):
            store.write(record("begun"))
        assert threads.submit(store.write, record("after")).result(30) == "after"
    assert actions(store) == ["begun", "after"]


# ------------------------------------------------------------------------------- what can be wrong


@pytest.mark.usefixtures("impatient")
def test_locked_file_is_unavailable_and_then_available_again(path: Path) -> None:
    with (
        open_store(f"sqlite:///{path}") as store,
        closing(sqlite3.connect(path, isolation_level=None)) as other,
    ):
        store.migrate()
        other.execute("BEGIN IMMEDIATE")
        with ThreadPoolExecutor(8) as threads:
            results = [threads.submit(store.write, record(f"a{n}")) for n in range(8)]
            for one in results:
                problem = one.exception(30)
                assert isinstance(problem, StoreUnavailable)
                assert "locked" in str(problem)
        assert store.read(audit.listing) == []  # readers wait for nobody
        other.execute("ROLLBACK")
        assert store.write(record("after")) == "after"


def test_new_file_that_somebody_else_is_writing_to_is_waited_for(path: Path) -> None:
    # SQLite itself does not wait here: several processes that began with one new file, as
    # `serve --workers` does, were told that it is locked.
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as other:
        other.execute("BEGIN IMMEDIATE")
        with open_store(f"sqlite:///{path}") as store, ThreadPoolExecutor(1) as threads:
            migrating = threads.submit(store.migrate)
            with pytest.raises(TimeoutError):
                migrating.result(0.2)
            other.execute("ROLLBACK")
            assert migrating.result(30) == ["initial"]


def test_file_that_somebody_reads_cannot_become_a_single_one_now(path: Path) -> None:
    with open_store(f"sqlite:///{path}") as store:
        store.migrate()
        with pytest.raises(StoreUnavailable, match="locked"):
            sqlite.as_one_file(path)


def fill_the_disk(store: Store) -> None:
    """Write until there is no room; what was written before stays."""
    n = 0
    with pytest.raises(StoreUnavailable, match="cannot be used now"):
        while n < 2000:
            n += 1
            claimed(store, a_claim(f"r{n}", csr=bytes(20_000)))
    assert n > 1
    assert len(store.read(lambda tx: tx.all("SELECT id FROM operation"))) == n - 1
    assert len(store.read(lambda tx: tx.all("SELECT 1 FROM transaction_alias"))) == n - 1


def test_full_database_is_unavailable_and_nothing_is_half_written(store: Store) -> None:
    driver = store.driver
    assert isinstance(driver, SqliteDriver)
    assert driver._writer is not None
    ((pages,),) = driver._writer.all("PRAGMA page_count")
    driver._writer.all(f"PRAGMA max_page_count = {pages + 40}")
    fill_the_disk(store)
    driver._writer.all("PRAGMA max_page_count = 1000000")
    assert claimed(store, a_claim("after"))


def test_deleting_much_writes_little(store: Store) -> None:
    parameters = {"zeros": bytes(1_000_000)}
    store.write(lambda tx: tx.run("CREATE TABLE big (value BLOB)"))
    store.write(lambda tx: tx.run("INSERT INTO big VALUES (:zeros)", parameters))
    driver = store.driver
    assert isinstance(driver, SqliteDriver)
    assert driver._writer is not None
    driver._writer.all("PRAGMA wal_checkpoint(TRUNCATE)")
    store.write(lambda tx: tx.run("DELETE FROM big"))
    log = driver.path.with_name(f"{driver.path.name}-wal")
    assert log.stat().st_size < 100_000


def test_store_knows_that_it_cannot_be_written_to_and_that_it_can_again(store: Store) -> None:
    driver = store.driver
    assert isinstance(driver, SqliteDriver)
    store.check_writable(NOW)
    assert driver._writer is not None
    driver._writer.all("PRAGMA query_only = ON")
    store.check_writable(NOW)  # nobody has tried
    for _ in range(2):
        with pytest.raises(StoreUnavailable, match="readonly"):
            claimed(store, a_claim("refused"))
        with pytest.raises(StoreUnavailable, match="readonly"):
            store.check_writable(NOW)
    driver._writer.all("PRAGMA query_only = OFF")
    store.check_writable(NOW)


def test_transaction_that_fills_the_disk_fails_alone_or_with_its_group(store: Store) -> None:
    driver = store.driver
    assert isinstance(driver, SqliteDriver)
    assert driver._writer is not None
    ((pages,),) = driver._writer.all("PRAGMA page_count")
    driver._writer.all(f"PRAGMA max_page_count = {pages + 5}")

    def fill(tx: Tx) -> None:
        audit.record(tx, now=NOW, actor="a", action="big", object="x" * 100_000)

    with ThreadPoolExecutor(8) as threads:
        holding = Holding(store, threads)
        small = [threads.submit(store.write, record(f"a{n}")) for n in range(3)]
        big = threads.submit(store.write, fill)
        holding.let_go(4)
        assert isinstance(big.exception(30), StoreUnavailable)
        assert isinstance(holding.problem, StoreUnavailable | None)
        done = [one.result(30) for one in small if one.exception(30) is None]
        assert all(
            isinstance(one.exception(30), StoreUnavailable) for one in small if one.exception(30)
        )
    assert sorted(actions(store)) == sorted(done)


def run_into_a_limit(path: Path) -> str:
    """In a process of its own: files may not grow beyond a size, then they may."""
    with open_store(f"sqlite:///{path}") as store:
        store.migrate()
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (1_500_000, hard))
        fill_the_disk(store)
        resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        claimed(store, a_claim("after"))
        ca = a_ca(store)
        a_challenge(store)
        assert first_transaction(store, ca, "r", "secret", "1f") is not None
        return str(store.read(lambda tx: tx.one("PRAGMA integrity_check")))


def test_writes_that_the_system_refuses_leave_the_file_sound(path: Path) -> None:
    assert at_once(run_into_a_limit, [(path,)]) == ["('ok',)"]


@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small file system needs root")
def test_full_file_system_is_survived(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m", "scepkit-test", str(small)]
    if not shutil.which("mount") or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        with open_store(f"sqlite:///{small}/scepkit.db") as store:
            store.migrate()
            ballast = small / "ballast"
            ballast.write_bytes(bytes(700_000))
            fill_the_disk(store)
            with pytest.raises(StoreUnavailable):
                claimed(store, a_claim("still full", csr=bytes(20_000)))
            ballast.unlink()
            assert claimed(store, a_claim("after", csr=bytes(20_000)))
            assert store.read(lambda tx: tx.one("PRAGMA integrity_check")) == ("ok",)
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_damaged_file_is_an_error_that_says_so(path: Path) -> None:
    path.write_bytes(b"not a database at all, though long enough" * 200)
    with open_store(f"sqlite:///{path}") as store:
        for attempt in (store.migrate, store.check_schema):
            with pytest.raises(StoreError, match="damaged") as caught:
                attempt()
            assert not isinstance(caught.value, StoreUnavailable)
            assert "backup" in caught.value.hint


def test_missing_folder_is_unavailable(tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path}/none/scepkit.db") as store:
        for attempt in (store.migrate, store.check_schema):
            with pytest.raises(StoreUnavailable, match=r"none/scepkit.db: No such file"):
                attempt()


@pytest.mark.parametrize("empty", [True, False])
def test_log_of_a_database_that_was_moved_is_not_lost(
    store: Store, path: Path, tmp_path: Path, empty: bool
) -> None:
    store.write(record("a"))
    moved = tmp_path / "moved.db"
    path.rename(moved)
    if empty:
        path.touch()
    with open_store(f"sqlite:///{path}") as other:
        for attempt in (other.migrate, other.check_schema):
            with pytest.raises(StoreUnavailable, match=r"but scepkit\.db-wal is") as caught:
                attempt()
            assert "scepkit.db*" in caught.value.hint
    store.write(record("b"))
    moved.replace(path)
    with open_store(f"sqlite:///{path}") as again:
        assert actions(again) == ["a", "b"]


def test_file_is_for_its_owner_only(store: Store, path: Path) -> None:
    store.write(record("a"))
    modes = {one.name: stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()}
    assert modes == {
        "scepkit.db": 0o600,
        "scepkit.db-wal": 0o600,
        "scepkit.db-shm": 0o600,
        "scepkit.db-queue": 0o600,
    }


def test_reader_cannot_write(store: Store) -> None:
    with pytest.raises(StoreError, match="readonly"):
        store.read(record("a"))
    with pytest.raises(StoreError, match="readonly"):
        store.snapshot(record("a"))
    assert actions(store) == []


def test_durability_is_what_it_should_be(store: Store) -> None:
    settings = {
        name: store.write(lambda tx, n=name: tx.one(f"PRAGMA {n}"))  # type: ignore[misc]
        for name in ("journal_mode", "synchronous", "foreign_keys")
    }
    assert settings == {"journal_mode": ("wal",), "synchronous": (2,), "foreign_keys": (1,)}


def test_memory_that_connections_keep_is_small(store: Store) -> None:
    """A server has one that writes and one for each of its threads that reads."""
    driver = store.driver
    assert isinstance(driver, SqliteDriver)
    ((writing,),) = store.write(lambda tx: tx.all("PRAGMA cache_size"))
    ((reading,),) = store.read(lambda tx: tx.all("PRAGMA cache_size"))
    assert (writing, reading) == (-WRITER_CACHE, -READER_CACHE)
    threads = 8 + 3
    assert WRITER_CACHE + threads * READER_CACHE < 50_000


def test_other_processes_write_to_the_same_file(store: Store, path: Path) -> None:
    ca = a_ca(store)
    for n in range(40):
        a_challenge(store, f"c{n}")
    results = at_once(enrol_some, [(path, first) for first in range(0, 40, 10)])
    assert results == [10, 10, 10, 10]
    assert ca == a_ca(store)
    assert broken_promises(store) == []


def enrol_some(path: Path, first: int) -> int:
    with open_store(f"sqlite:///{path}") as store:
        ca = a_ca(store)
        done = [
            first_transaction(store, ca, f"r{n}", f"c{n}", f"{n + 1:x}")
            for n in range(first, first + 10)
        ]
    return sum(one is not None for one in done)


# ----------------------------------------------------------------------------------------- closing


def test_closing_finishes_what_waits(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    with ThreadPoolExecutor(12) as threads:
        holding = Holding(store, threads)
        results = [threads.submit(store.write, record(f"a{n}")) for n in range(10)]
        holding.wait(10)
        closed = threads.submit(store.close)
        time.sleep(0.05)
        assert not closed.done()
        with pytest.raises(StoreError, match="closed"):
            store.write(record("too late"))
        holding.let_go(10)
        closed.result(30)
        assert len({one.result(30) for one in results}) == 10
    assert {one.name for one in path.parent.iterdir()} == {"scepkit.db", "scepkit.db-queue"}


def test_closed_store_refuses(path: Path) -> None:
    store = open_store(f"sqlite:///{path}")
    store.migrate()
    store.close()
    store.close()
    for attempt in (store.migrate, store.check_schema):
        with pytest.raises(StoreError, match="closed"):
            attempt()
