"""PostgreSQL alone: a server that goes away and comes back, limits, and its connections."""

from __future__ import annotations

import gc
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import psycopg
import pytest

from scepkit.errors import InputError, StoreError, StoreUnavailable
from scepkit.store import Store, Tx, audit, challenges, open_store, postgres, session
from scepkit.store.challenges import NewChallenge
from scepkit.store.claims import Claimed
from scepkit.store.driver import Rollback
from tests.server.benches import a_bench, all_of
from tests.store.enrolling import (
    HOUR,
    NOW,
    a_ca,
    a_challenge,
    a_claim,
    broken_promises,
    claimed,
    digest,
    first_transaction,
    second_transaction,
)
from tests.store.postgres_server import PostgresServer

pytestmark = pytest.mark.interop


@pytest.fixture
def url(postgres_server: PostgresServer, postgres_database: str) -> str:
    postgres_server.empty(postgres_database)
    return postgres_server.url(postgres_database)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    with open_store(url, node="node1") as store:
        yield store


@pytest.fixture(scope="module")
def restarting() -> Iterator[PostgresServer]:
    """A server that these tests may stop and start."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture
def restarting_url(restarting: PostgresServer) -> str:
    url = restarting.url(restarting.new_database())
    with open_store(url) as store:
        store.migrate()
    return url


def record(tx: Tx) -> str:
    audit.record(tx, now=NOW, actor="a", action="b", object="c")
    return "done"


def shown(store: Store, name: str) -> str:
    row = store.read(lambda tx: tx.one(f"SHOW {name}"))
    assert row is not None
    return str(row[0])


# ------------------------------------------------------------------------------- going and coming


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_idle_store_does_not_notice_a_restart(
    restarting: PostgresServer, restarting_url: str, mode: str
) -> None:
    with open_store(restarting_url) as store, ThreadPoolExecutor(4) as threads:
        # Several connections, all of which are dead afterwards.
        barrier = threading.Barrier(4)
        list(
            threads.map(lambda _: store.write(lambda tx: (record(tx), barrier.wait(10))), range(4))
        )
        restarting.stop(mode)
        restarting.start()
        assert store.write(record) == "done"
        restarting.stop(mode)
        restarting.start()
        assert len(store.read(audit.listing)) == 5


def test_store_is_unavailable_while_the_server_is_down(
    restarting: PostgresServer, restarting_url: str
) -> None:
    with open_store(restarting_url) as store:
        store.check_schema()
        restarting.stop()
        begun = time.monotonic()
        try:
            for attempt in (lambda: store.write(record), store.check_schema, store.migrate):
                with pytest.raises(StoreUnavailable, match="cannot be"):
                    attempt()
            # At once, and not each after waiting for a connection.
            assert time.monotonic() - begun < 3 * postgres.CONNECT_TIMEOUT
        finally:
            restarting.start()
        assert store.write(record) == "done"


def test_store_can_be_opened_while_the_server_is_down(
    restarting: PostgresServer, restarting_url: str
) -> None:
    restarting.stop()
    try:
        store = open_store(restarting_url)
        with pytest.raises(StoreUnavailable):
            store.check_schema()
    finally:
        restarting.start()
    store.check_schema()
    store.close()


def test_connection_that_was_not_made_is_forgotten_at_once(
    restarting: PostgresServer, restarting_url: str
) -> None:
    """Each has memory that the garbage collector does not see, and there may be many."""
    with open_store(restarting_url) as store:
        restarting.stop()
        gc.disable()
        try:
            with suppress(StoreUnavailable):
                store.check_schema()
            try:
                store.check_schema()
            except StoreUnavailable as problem:
                cause = weakref.ref(problem.__cause__ or problem)
            assert cause() is None
        finally:
            gc.enable()
            restarting.start()


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_server_restarted_under_load_loses_nothing(
    restarting: PostgresServer, restarting_url: str, mode: str
) -> None:
    with open_store(restarting_url, connections=4) as store:
        ca = a_ca(store)
        new = [
            NewChallenge(profile="routers", mac=digest(f"c{n}"), expires_at=NOW + HOUR)
            for n in range(6000)
        ]
        store.write(lambda tx: challenges.mint(tx, new, actor="test", now=NOW))
        stopped = threading.Event()
        numbers = iter(range(len(new)))
        mutex = threading.Lock()
        published: list[int] = []
        failures: list[StoreUnavailable] = []

        def enrol_on_and_on() -> None:
            while not stopped.is_set():
                with mutex:
                    n = next(numbers)
                try:
                    claim = first_transaction(store, ca, f"r{n}", f"c{n}", f"{n + 1:x}")
                    assert isinstance(claim, Claimed)
                    second_transaction(store, claim.operation_id, b"der")
                    published.append(claim.operation_id)
                except StoreUnavailable as problem:
                    failures.append(problem)
                    time.sleep(0.05)

        with ThreadPoolExecutor(6) as threads:
            work = [threads.submit(enrol_on_and_on) for _ in range(6)]
            for _ in range(2):
                before = len(published)
                while len(published) < before + 30:
                    time.sleep(0.01)
                restarting.stop(mode)
                time.sleep(0.2)
                restarting.start()
            before = len(published)
            while len(published) < before + 30:
                time.sleep(0.01)
            stopped.set()
            for one in work:
                one.result(30)
        assert failures
        assert broken_promises(store) == []
        issued = store.read(
            lambda tx: {n for (n,) in tx.all("SELECT id FROM operation WHERE state = 'issued'")}
        )
        assert set(published) <= issued


# ------------------------------------------------------------------------------------------ limits


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_transaction_that_collided_is_run_again_once(store: Store, state: str) -> None:
    runs: list[int] = []

    def collide(tx: Tx) -> str:
        runs.append(1)
        record(tx)
        if len(runs) == 1:
            fail_with(state)(tx)
        return "done"

    assert store.write(collide) == "done"
    assert len(runs) == 2
    assert len(store.read(audit.listing)) == 1


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_transaction_that_collides_again_is_unavailable(store: Store, state: str) -> None:
    with pytest.raises(StoreUnavailable, match=state):
        store.write(fail_with(state))
    assert store.write(record) == "done"


def fail_with(state: str) -> Callable[[Tx], int]:
    return lambda tx: tx.run(
        f"DO $$ BEGIN RAISE EXCEPTION 'told to' USING ERRCODE='{state}'; END $$"
    )


@pytest.mark.parametrize(
    ("state", "error"),
    [
        ("53100", StoreUnavailable),  # disk full
        ("53200", StoreUnavailable),  # out of memory
        ("53300", StoreUnavailable),  # too many connections
        ("55P03", StoreUnavailable),  # somebody has the lock
        ("57014", StoreUnavailable),  # took too long
        ("57P01", StoreUnavailable),  # shutting down
        ("58030", StoreUnavailable),  # I/O error
        ("25006", StoreUnavailable),  # a standby
        ("22001", InputError),  # value too long
        ("23505", StoreError),  # a constraint
        ("42P01", StoreError),  # no such table
        ("XX001", StoreError),  # damaged
    ],
)
def test_errors_are_told_apart(store: Store, state: str, error: type[Exception]) -> None:
    with pytest.raises(error, match="told to") as caught:
        store.write(fail_with(state))
    assert type(caught.value) is error
    assert store.write(record) == "done"


def test_lock_that_is_not_given_back_is_unavailable(url: str) -> None:
    impatient = f"{url}&options=-c%20lock_timeout%3D100"
    with open_store(impatient) as store, psycopg.connect(url) as other:
        a_challenge(store)
        other.execute("SELECT 1 FROM challenge FOR UPDATE")
        with pytest.raises(StoreUnavailable, match="55P03"):
            store.write(lambda tx: challenges.spend(tx, digest("secret"), "routers", NOW))
        other.rollback()
        assert store.write(lambda tx: challenges.spend(tx, digest("secret"), "routers", NOW))


def test_deadlock_is_resolved(store: Store) -> None:
    a_challenge(store, "a", uses=9)
    a_challenge(store, "b", uses=9)
    barrier = threading.Barrier(2)
    first_run: set[str] = set()

    def crosswise(first: str, second: str) -> object:
        def spend_both(tx: Tx) -> object:
            challenges.spend(tx, digest(first), "routers", NOW)
            if first not in first_run:
                first_run.add(first)
                barrier.wait(10)
            return challenges.spend(tx, digest(second), "routers", NOW)

        return store.write(spend_both)

    with ThreadPoolExecutor(2) as threads:
        results = [threads.submit(crosswise, "a", "b"), threads.submit(crosswise, "b", "a")]
        assert all(one.result(30) for one in results)
    left = store.read(lambda tx: tx.all("SELECT uses_left FROM challenge"))
    assert left == [(7,), (7,)]


def test_all_connections_in_use_is_unavailable(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "LOCK_TIMEOUT", 100)
    with open_store(url, connections=1) as store, ThreadPoolExecutor(1) as threads:
        begun, let_go = threading.Event(), threading.Event()

        def hold(tx: Tx) -> bool:
            begun.set()
            return let_go.wait(10)

        busy = threads.submit(store.read, hold)
        assert begun.wait(10)
        with pytest.raises(StoreUnavailable, match="all 1 connections"):
            store.check_schema()
        let_go.set()
        busy.result(10)
        store.check_schema()


def test_failing_transactions_give_their_connections_back(url: str) -> None:
    with open_store(url, connections=2) as store:
        for _ in range(5):
            with pytest.raises(StoreError):
                store.write(fail_with("23505"))
            with pytest.raises(StoreError):
                store.read(fail_with("23505"))
            with pytest.raises(ZeroDivisionError):
                store.write(lambda tx: 1 // 0)
            with pytest.raises(KeyboardInterrupt):
                store.write(_interrupt)
            with pytest.raises(StoreUnavailable):
                store.write(lambda tx: tx.one("SELECT pg_terminate_backend(pg_backend_pid())"))
        assert claimed(store, a_claim())


def _interrupt(tx: Tx) -> None:
    record(tx)
    raise KeyboardInterrupt


# -------------------------------------------------------------------------------------- statements


_BROKEN = "INSERT INTO node (name) VALUES ('x')"


def test_statement_that_nobody_waits_for_undoes_its_transaction(store: Store) -> None:
    def write(tx: Tx) -> None:
        record(tx)
        tx.send(_BROKEN)
        record(tx)

    with pytest.raises(StoreError, match="23502"):
        store.write(write)
    assert store.read(audit.listing) == []
    assert store.write(record) == "done"


def test_transaction_that_went_on_after_an_error_is_not_committed(store: Store) -> None:
    def write(tx: Tx) -> str:
        record(tx)
        with suppress(psycopg.Error):
            tx.run(_BROKEN)
        return "done"

    with pytest.raises(StoreError, match="25P02"):
        store.write(write)
    assert store.read(audit.listing) == []


def test_transaction_without_statements_is_nothing(store: Store) -> None:
    assert store.write(lambda _: "done") == "done"


def test_more_is_sent_at_once_than_fits_on_the_way(store: Store) -> None:
    row = {"name": "x" * 20_000}
    written = "UPDATE node SET version = :name WHERE name = 'n' RETURNING version"

    def write(tx: Tx) -> None:
        tx.run("INSERT INTO node (name, version, started_at, heartbeat_at) VALUES ('n', '', 0, 0)")
        tx.run_many(written, [row] * 1000)

    store.write(write)
    assert store.read(lambda tx: tx.one("SELECT version FROM node")) == (row["name"],)


def test_statement_has_one_name_in_all_processes(url: str) -> None:
    def prepared(first: str) -> dict[str, str]:
        session._statement.cache_clear()  # as in a process that has just begun
        with open_store(url) as store:
            store.read(lambda tx: tx.all(first))
            return dict(
                store.read(lambda tx: tx.all("SELECT statement, name FROM pg_prepared_statements"))
            )

    one, other = prepared("SELECT 1"), prepared("SELECT 2")
    shared = one.keys() & other.keys()
    assert shared
    assert {one[text] for text in shared} == {other[text] for text in shared}
    assert one["SELECT 1"] != other["SELECT 2"]


# ------------------------------------------------------------------------------------- connections


def test_asynchronous_commit_is_not_used(postgres_server: PostgresServer) -> None:
    name = postgres_server.new_database()
    postgres_server.sql(f"ALTER DATABASE {name} SET synchronous_commit = off")
    with open_store(postgres_server.url(name)) as store:
        assert shown(store, "synchronous_commit") == "on"


def test_stronger_commit_is_kept(postgres_server: PostgresServer) -> None:
    name = postgres_server.new_database()
    postgres_server.sql(f"ALTER DATABASE {name} SET synchronous_commit = remote_apply")
    with open_store(postgres_server.url(name)) as store:
        assert shown(store, "synchronous_commit") == "remote_apply"


def test_connections_have_limits_and_a_name(store: Store) -> None:
    assert shown(store, "lock_timeout") == "10s"
    assert shown(store, "statement_timeout") == "30s"
    assert shown(store, "idle_in_transaction_session_timeout") == "1min"
    assert shown(store, "transaction_isolation") == "read committed"
    assert shown(store, "application_name") == "scepkit node1"


def test_database_in_another_encoding_is_refused(postgres_server: PostgresServer) -> None:
    postgres_server.sql(
        "CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C' LOCALE_PROVIDER libc"
    )
    with (
        open_store(postgres_server.url("latin")) as store,
        pytest.raises(StoreError, match="encoding is LATIN1, expected UTF8"),
    ):
        store.migrate()


def test_reader_sees_one_moment_in_a_snapshot(store: Store, url: str) -> None:
    def count(tx: Tx) -> int:
        return len(tx.all("SELECT 1 FROM audit"))

    def twice(tx: Tx) -> tuple[int, int]:
        before = count(tx)
        with open_store(url) as other:
            other.write(record)
        return before, count(tx)

    assert store.snapshot(twice) == (0, 0)
    assert store.read(twice) == (1, 2)
    with pytest.raises(StoreUnavailable, match="read-only"):
        store.snapshot(record)


def test_password_is_used_and_never_told(restarting_url: str) -> None:
    with open_store(
        "postgresql://nobody@127.0.0.1:1/none?connect_timeout=1", password="s3cret!"
    ) as store:
        with pytest.raises(StoreUnavailable) as caught:
            store.check_schema()
        assert "s3cret" not in f"{caught.value!r} {caught.value} {caught.value.__cause__}"
        assert "s3cret" not in repr(vars(store.driver))
    with pytest.raises(InputError) as refused:
        open_store("postgresql://me:s3cret!@host/?nonsense=1")
    assert "s3cret" not in str(refused.value)


def test_closed_store_refuses(url: str) -> None:
    store = open_store(url)
    store.check_schema()
    store.close()
    store.close()
    for attempt in (store.migrate, store.check_schema):
        with pytest.raises(StoreError, match="closed"):
            attempt()


def test_closing_waits_for_what_is_under_way(url: str) -> None:
    store = open_store(url)
    begun, let_go = threading.Event(), threading.Event()

    def hold(tx: Tx) -> str:
        begun.set()
        assert let_go.wait(10)
        return record(tx)

    with ThreadPoolExecutor(2) as threads:
        result = threads.submit(store.write, hold)
        assert begun.wait(10)
        closed = threads.submit(store.close)
        time.sleep(0.05)
        assert not closed.done()
        let_go.set()
        assert result.result(10) == "done"
        closed.result(10)


# ------------------------------------------------------------------------------------ groups


def put(store: Store, word: str) -> str:
    def insert(tx: Tx) -> str:
        tx.run("INSERT INTO word (word) VALUES (:word)", {"word": word})
        return word

    return store.write(insert)


@pytest.fixture
def words(store: Store) -> Iterator[Callable[[], dict[str, str]]]:
    """A table, and which words are in it: each with the number of its transaction."""
    store.write(lambda tx: tx.run("CREATE TABLE word (word TEXT UNIQUE)"))
    assert isinstance(store.driver, postgres.PostgresDriver)
    store.driver._pool.round_trip = 0.0  # on a busy machine it may seem further away than it is

    def found() -> dict[str, str]:
        return dict(
            store.read(
                lambda tx: [
                    (word, number)
                    for word, number in tx.all("SELECT word, CAST(xmin AS text) FROM word")
                ]
            )
        )

    yield found
    store.write(lambda tx: tx.run("DROP TABLE word"))


def test_requests_that_take_turns_are_committed_together(
    store: Store, words: Callable[[], dict[str, str]]
) -> None:
    with a_bench() as bench:
        found = all_of(bench, *(partial(put, store, f"w{number}") for number in range(8)))
    assert found == [f"w{number}" for number in range(8)]
    assert set(words()) == set(found)
    assert len(set(words().values())) == 1


def test_a_transaction_of_a_group_that_fails_fails_alone(
    store: Store, words: Callable[[], dict[str, str]]
) -> None:
    def undo(tx: Tx) -> None:
        tx.run("INSERT INTO word (word) VALUES ('never')")
        raise Rollback("undone")

    put(store, "taken")
    with a_bench() as bench:
        first, failed, undone, last = all_of(
            bench,
            lambda: put(store, "first"),
            lambda: put(store, "taken"),
            lambda: store.write(undo),
            lambda: put(store, "last"),
        )
    assert (first, undone, last) == ("first", "undone", "last")
    assert isinstance(failed, StoreError)
    assert set(words()) == {"taken", "first", "last"}


def test_who_waits_for_a_lock_does_not_hold_up_its_group(
    store: Store, url: str, words: Callable[[], dict[str, str]]
) -> None:
    done: list[str] = []

    def late() -> None:
        put(store, "locked")
        done.append("late")

    def quick(other: psycopg.Connection[Any]) -> None:
        put(store, "free")
        done.append("quick")
        other.rollback()

    with psycopg.connect(url) as other:
        other.execute("INSERT INTO word (word) VALUES ('locked')")
        with a_bench() as bench:
            assert all_of(bench, late, partial(quick, other)) == [None, None]
    assert done == ["quick", "late"]
    assert set(words()) == {"locked", "free"}


def test_while_the_server_is_away_all_of_a_group_are_told(restarting: PostgresServer) -> None:
    with open_store(restarting.url(restarting.new_database())) as store:
        store.write(lambda tx: tx.run("CREATE TABLE word (word TEXT UNIQUE)"))
        restarting.stop()
        try:
            with a_bench() as bench:
                found = all_of(bench, *(partial(put, store, f"w{number}") for number in range(3)))
        finally:
            restarting.start()
        assert [type(one) for one in found] == [StoreUnavailable] * 3
        with a_bench() as bench:
            assert all_of(bench, lambda: put(store, "again")) == ["again"]


def test_who_waits_for_a_connection_lets_the_others_go_on() -> None:
    done: list[str] = []
    free = threading.Event()

    def read(store: Store) -> None:
        with suppress(StoreUnavailable):
            store.read(record)
        done.append("read")

    def quick() -> None:
        done.append("quick")
        free.set()

    with socket.create_server(("127.0.0.1", 0)) as silent:

        def hang_up() -> None:
            connection, _ = silent.accept()
            assert free.wait(60)
            connection.close()

        server = threading.Thread(target=hang_up)
        server.start()
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/x?connect_timeout=60"
        with open_store(f"{url}&sslmode=disable") as store, a_bench() as bench:
            assert all_of(bench, partial(read, store), quick) == [None, None]
        server.join()
    assert done == ["quick", "read"]


def test_what_is_of_one_moment_is_in_no_group(
    store: Store, words: Callable[[], dict[str, str]]
) -> None:
    def count(tx: Tx) -> object:
        return tx.one("SELECT count(*) FROM word")

    with a_bench() as bench:
        assert all_of(
            bench,
            lambda: store.snapshot(count),
            lambda: put(store, "a"),
            lambda: put(store, "b"),
        )[1:] == ["a", "b"]
    assert len(set(words().values())) == 1


@contextmanager
def far_away(server: PostgresServer, database: str, seconds: float) -> Iterator[str]:
    """A database each of whose answers is on its way that long."""

    def bring(source: socket.socket, target: socket.socket, pause: float) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                time.sleep(pause)
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)

    def connect(asking: socket.socket) -> None:
        with asking, socket.socket(socket.AF_UNIX) as answering:
            answering.connect(str(server.folder / ".s.PGSQL.5432"))
            there = threads.submit(bring, asking, answering, 0)
            bring(answering, asking, seconds)
            there.result()

    def accept(listening: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threads.submit(connect, listening.accept()[0])

    # Two for each connection there may be.
    with ThreadPoolExecutor(32) as threads, socket.create_server(("127.0.0.1", 0)) as listening:
        threads.submit(accept, listening)
        port = listening.getsockname()[1]
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/{database}?sslmode=disable"
        finally:
            listening.shutdown(socket.SHUT_RDWR)  # which ends `accept`


def test_a_database_that_is_far_away_is_waited_for_side_by_side(
    postgres_server: PostgresServer, postgres_database: str, words: Callable[[], dict[str, str]]
) -> None:
    away = far_away(postgres_server, postgres_database, 10 * postgres.NEAR)
    with away as url, open_store(url) as store, a_bench() as bench:
        store.check_schema()
        all_of(bench, *(partial(put, store, f"w{number}") for number in range(4)))
    assert len(set(words().values())) == 4
