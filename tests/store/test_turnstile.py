"""Processes that write to one SQLite file take turns."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest

from scepkit.store import Store, Tx, audit, open_store
from scepkit.store.turnstile import Turnstile
from tests.store.enrolling import NOW
from tests.store.processes import begun, event

#: Threads of another process that write all the time.
NEIGHBOURS = 8


def record(tx: Tx) -> None:
    audit.record(tx, now=NOW, actor="a", action="b", object="c")


def newest(tx: Tx) -> int:
    """How many records there are."""
    ((number,),) = tx.all("SELECT coalesce(max(seq), 0) FROM audit")
    return int(number)


def write_for_ever(url: str, writing: threading.Event) -> None:
    """Keep a file's only place for a writer as busy as one process can."""
    with open_store(url) as store:

        def on_and_on() -> None:
            while True:
                store.write(record)
                writing.set()

        for _ in range(NEIGHBOURS):
            threading.Thread(target=on_and_on, daemon=True).start()
        threading.Event().wait()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(f"sqlite:///{tmp_path}/scepkit.db") as store:
        store.migrate()
        yield store


@pytest.fixture
def neighbour(store: Store, tmp_path: Path) -> Iterator[BaseProcess]:
    writing = event()
    process = begun(write_for_ever, f"sqlite:///{tmp_path}/scepkit.db", writing)
    assert writing.wait(30)
    yield process
    process.kill()
    process.join()


@pytest.mark.usefixtures("neighbour")
def test_process_is_not_starved_by_one_that_writes_all_the_time(store: Store) -> None:
    def mine(tx: Tx) -> int:
        record(tx)
        return newest(tx)

    passed = []
    for _ in range(50):
        before = store.read(newest)
        passed.append(store.write(mine) - before - 1)
    # The group that was there first, and those that begin before this process is awake again.
    # SQLite's own waiting lets thousands pass, and gives up at some time.
    assert sorted(passed)[25] < 10 * NEIGHBOURS


def test_turnstile_lets_one_in_at_a_time(tmp_path: Path) -> None:
    first, second = Turnstile(tmp_path / "queue"), Turnstile(tmp_path / "queue")
    first.enter(time.monotonic() + 10)
    entered = threading.Event()

    def enter() -> None:
        second.enter(time.monotonic() + 10)
        entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.05)
    first.leave()
    assert entered.wait(10)
    waiting.join()
    first.close()
    second.close()


def test_turnstile_keeps_nobody_for_ever(tmp_path: Path) -> None:
    first, second = Turnstile(tmp_path / "queue"), Turnstile(tmp_path / "queue")
    first.enter(time.monotonic() + 10)
    second.enter(time.monotonic() + 0.01)
    first.close()
    second.close()


def test_turnstile_that_cannot_be_made_lets_everybody_in(tmp_path: Path) -> None:
    turnstile = Turnstile(tmp_path / "none" / "queue")
    turnstile.enter(time.monotonic())
    turnstile.leave()
    turnstile.close()
