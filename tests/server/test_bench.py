"""Calls that are worked on by turns in one thread."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
import traceback
import weakref
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from scepkit.errors import StoreError
from scepkit.server.bench import TOGETHER, Bench
from scepkit.server.threads import Busy, Threads
from scepkit.store import Store, open_store, turns
from scepkit.store.driver import Rollback, Tx
from scepkit.store.sqlite import SqliteDriver
from tests.server.benches import PATIENCE, a_bench, all_of


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path / 's.db'}", node="n") as opened:
        opened.write(lambda tx: tx.run("CREATE TABLE word (word TEXT UNIQUE) STRICT"))
        yield opened


def put(store: Store, word: str) -> str:
    def insert(tx: Tx) -> str:
        tx.run("INSERT INTO word VALUES (:word)", {"word": word})
        return word

    return store.write(insert)


def words(store: Store) -> set[str]:
    return {word for (word,) in store.read(lambda tx: tx.all("SELECT word FROM word"))}


def commits(store: Store) -> list[str]:
    """The COMMITs from now on."""
    assert isinstance(store.driver, SqliteDriver)
    assert store.driver._writer is not None
    seen: list[str] = []
    store.driver._writer.connection.set_trace_callback(
        lambda statement: seen.append(statement) if statement == "COMMIT" else None
    )
    return seen


def test_calls_that_come_together_go_from_stage_to_stage_together() -> None:
    seen: list[tuple[str, int]] = []

    def work(number: int) -> int:
        for stage in ("read", "open", "seal"):
            turns.step()
            seen.append((stage, number))
        return number

    with a_bench() as bench:
        assert all_of(bench, *(lambda n=n: work(n) for n in range(4))) == [0, 1, 2, 3]
    assert [stage for stage, _ in seen] == ["read"] * 4 + ["open"] * 4 + ["seal"] * 4


def test_nobody_new_begins_while_others_are_under_way() -> None:
    seen: list[str] = []

    def work() -> None:
        seen.append("begins")
        turns.step()
        seen.append("ends")

    with a_bench() as bench:
        all_of(bench, *[work] * (TOGETHER + 1))
    assert seen == ["begins"] * TOGETHER + ["ends"] * TOGETHER + ["begins", "ends"]


def test_what_they_write_is_committed_together(store: Store) -> None:
    seen = commits(store)
    with a_bench() as bench:
        found = all_of(bench, *(lambda n=n: put(store, f"w{n}") for n in range(8)))
    assert found == [f"w{n}" for n in range(8)]
    assert words(store) == set(found)
    assert len(seen) == 1


def test_a_transaction_that_fails_fails_alone(store: Store) -> None:
    class OwnError(Exception):
        pass

    def fail(tx: Tx) -> None:
        tx.run("INSERT INTO word VALUES ('never')")
        raise OwnError

    def undo(tx: Tx) -> None:
        tx.run("INSERT INTO word VALUES ('neither')")
        raise Rollback("undone")

    with a_bench() as bench:
        first, failed, undone, last = all_of(
            bench,
            lambda: put(store, "first"),
            lambda: store.write(fail),
            lambda: store.write(undo),
            lambda: put(store, "last"),
        )
    assert (first, undone, last) == ("first", "undone", "last")
    assert isinstance(failed, OwnError)
    assert words(store) == {"first", "last"}


def test_two_stores_are_written_to_each_for_itself(store: Store, tmp_path: Path) -> None:
    with open_store(f"sqlite:///{tmp_path / 'other.db'}", node="n") as other:
        other.write(lambda tx: tx.run("CREATE TABLE word (word TEXT UNIQUE) STRICT"))
        with a_bench() as bench:
            all_of(bench, lambda: put(store, "here"), lambda: put(other, "there"))
        assert (words(store), words(other)) == ({"here"}, {"there"})


def test_other_threads_write_beside_it(store: Store) -> None:
    def many(thread: int) -> None:
        for number in range(50):
            put(store, f"t{thread}-{number}")

    others = [threading.Thread(target=many, args=[number]) for number in range(4)]
    for thread in others:
        thread.start()
    for turn in range(20):
        expected = [f"b{turn}-{number}" for number in range(8)]
        with a_bench() as bench:
            assert all_of(bench, *(partial(put, store, word) for word in expected)) == expected
    for thread in others:
        thread.join(PATIENCE)
    assert len(words(store)) == 4 * 50 + 20 * 8


def test_who_finds_the_store_closed_is_told(store: Store) -> None:
    store.driver.groups.close()  # type: ignore[attr-defined]
    with a_bench() as bench:
        found = all_of(bench, lambda: put(store, "a"), lambda: put(store, "b"))
    assert [type(one) for one in found] == [StoreError, StoreError]
    assert "closed" in str(found[1])


def test_a_transaction_within_a_transaction_is_refused(store: Store) -> None:
    def within(tx: Tx) -> None:
        put(store, "inner")

    with a_bench() as bench:
        (found,) = all_of(bench, lambda: store.write(within))
    assert isinstance(found, StoreError)
    assert words(store) == set()


def test_who_waits_elsewhere_lets_the_others_go_on() -> None:
    waits = threading.Event()
    in_threads: list[str] = []

    def slow() -> str:
        def wait() -> str:
            in_threads.append(threading.current_thread().name)
            assert waits.wait(PATIENCE)
            return "slow"

        return turns.elsewhere(wait)

    def quick() -> str:
        in_threads.append(threading.current_thread().name)
        waits.set()
        return "quick"

    with a_bench() as bench:
        assert all_of(bench, slow, quick) == ["slow", "quick"]
    assert len(set(in_threads)) == 2


def test_what_is_raised_elsewhere_is_raised_where_it_was_asked_for() -> None:
    def fail() -> None:
        raise LookupError("elsewhere")

    def work() -> str:
        try:
            turns.elsewhere(fail)
        except LookupError as error:
            return str(error)
        return ""

    with a_bench() as bench:
        assert all_of(bench, work) == ["elsewhere"]


def test_an_error_from_elsewhere_says_where_it_was_raised() -> None:
    def fail_there() -> None:
        raise LookupError

    with a_bench() as bench:
        (found,) = all_of(bench, lambda: turns.elsewhere(fail_there))
    assert traceback.extract_tb(found.__traceback__)[-1].name == "fail_there"


def test_an_error_from_elsewhere_is_forgotten_when_it_was_handled() -> None:
    class Gone(Exception):
        pass

    def fail() -> None:
        raise Gone

    def work() -> weakref.ref[Gone]:
        try:
            turns.elsewhere(fail)
        except Gone as error:
            return weakref.ref(error)
        raise AssertionError

    gc.disable()
    try:
        with a_bench() as bench:
            (found,) = all_of(bench, work)
        deadline = time.monotonic() + PATIENCE
        while found() is not None:  # the thread that raised it lets go of it a moment later
            assert time.monotonic() < deadline, gc.get_referrers(found())
            time.sleep(0.01)
    finally:
        gc.enable()


def test_an_error_that_no_future_takes_holds_up_nobody() -> None:
    def stop() -> None:
        raise StopIteration

    with a_bench() as bench:
        failed, other = all_of(bench, stop, lambda: "other")
        assert bench.open == 0
    assert isinstance(failed, RuntimeError)
    assert other == "other"


def test_when_its_thread_cannot_go_on_somebody_is_told(caplog: pytest.LogCaptureFixture) -> None:
    told = threading.Event()

    async def run() -> None:
        bench = Bench(1, 1, Threads(1, 1), failed=told.set)
        # No clock has a time for that.
        kept = asyncio.ensure_future(bench.run(lambda: turns.pause(float("inf"))))
        assert await asyncio.to_thread(told.wait, PATIENCE)
        kept.cancel()

    asyncio.run(run())
    assert "requests cannot be worked on any more" in caplog.messages


def test_who_pauses_lets_the_others_go_on() -> None:
    seen: list[str] = []

    def late(seconds: float) -> None:
        turns.pause(seconds)
        seen.append(f"{seconds:g}")

    with a_bench() as bench:
        all_of(bench, lambda: late(0.2), lambda: late(0.1), lambda: seen.append("at once"))
    assert seen == ["at once", "0.1", "0.2"]


def test_calls_that_wait_for_others_do_not_keep_new_ones_out() -> None:
    waits, begun = threading.Event(), threading.Semaphore(0)

    def slow() -> bool:
        begun.release()
        return turns.elsewhere(lambda: waits.wait(PATIENCE))

    async def run() -> None:
        with a_bench(most=3, waiting=3) as bench:
            kept = [asyncio.ensure_future(bench.run(slow)) for _ in range(2)]
            await asyncio.to_thread(begun.acquire)
            await asyncio.to_thread(begun.acquire)
            assert await asyncio.wait_for(bench.run(lambda: "new"), PATIENCE) == "new"
            assert bench.open == 2
            waits.set()
            assert await asyncio.gather(*kept) == [True, True]
            assert bench.open == 0

    asyncio.run(run())


def test_no_more_wait_than_may() -> None:
    async def run() -> None:
        waits = threading.Event()
        with a_bench(most=1, waiting=1) as bench:
            kept = [asyncio.ensure_future(bench.run(lambda: waits.wait(PATIENCE))) for _ in "ab"]
            await asyncio.sleep(0)
            with pytest.raises(Busy):
                await bench.run(lambda: None)
            waits.set()
            assert await asyncio.gather(*kept) == [True, True]
            assert await bench.run(lambda: "again") == "again"

    asyncio.run(run())


def test_what_waits_is_done_before_it_closes() -> None:
    done: list[str] = []

    def work(word: str) -> None:
        turns.elsewhere(lambda: done.append(word))

    async def run() -> None:
        with a_bench() as bench:
            calls = [asyncio.ensure_future(bench.run(partial(work, word))) for word in "abc"]
            await asyncio.sleep(0)
            bench.close()
            await asyncio.wait_for(asyncio.gather(*calls), PATIENCE)

    asyncio.run(run())
    assert sorted(done) == ["a", "b", "c"]


def test_its_thread_ends_when_it_is_closed() -> None:
    def benches() -> list[threading.Thread]:
        return [one for one in threading.enumerate() if one.name == "scepkit-bench"]

    before = benches()
    with a_bench() as bench:
        assert all_of(bench, lambda: "x") == ["x"]
        (mine,) = [one for one in benches() if one not in before]
    mine.join(PATIENCE)
    assert not mine.is_alive()


def test_elsewhere_than_on_a_bench_nothing_is_handed_over() -> None:
    me = threading.current_thread()
    turns.step()
    turns.pause(0)
    assert turns.elsewhere(threading.current_thread) is me
