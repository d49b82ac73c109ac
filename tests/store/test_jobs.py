"""Jobs for one process at a time, and the processes that are there."""

from __future__ import annotations

import pytest

from scepkit.store import Store, jobs
from scepkit.store.rows import Node
from tests.store.enrolling import MINUTE, NOW


def acquire(store: Store, holder: str, now: int = NOW) -> bool:
    return store.write(lambda tx: jobs.acquire(tx, "crl", holder, now, MINUTE))


def test_job_is_held_by_one(store: Store) -> None:
    assert acquire(store, "a")
    assert not acquire(store, "b")
    assert acquire(store, "a", NOW + 1)


def test_job_of_somebody_who_died_is_free_when_the_lease_is_over(store: Store) -> None:
    assert acquire(store, "a")
    assert not acquire(store, "b", NOW + MINUTE - 1)
    assert acquire(store, "b", NOW + MINUTE)
    assert not acquire(store, "a", NOW + MINUTE)


def test_job_of_somebody_whose_clock_was_ahead_is_free(store: Store) -> None:
    assert acquire(store, "a", NOW + 24 * 60 * MINUTE)
    assert acquire(store, "b")


def test_released_job_is_free_at_once(store: Store) -> None:
    assert acquire(store, "a")
    store.write(lambda tx: jobs.release(tx, "crl", "b"))
    assert not acquire(store, "b")
    store.write(lambda tx: jobs.release(tx, "crl", "a"))
    assert acquire(store, "b")


def test_lock_is_had_by_one_and_given_back(store: Store) -> None:
    with store.job_lock("crl", now=NOW, lease=MINUTE) as first:
        with store.job_lock("crl", now=NOW, lease=MINUTE) as second:
            assert (first, second) == (True, False)
        with store.job_lock("outbox", now=NOW, lease=MINUTE) as other:
            assert other
        assert not acquire(store, "a")
    assert acquire(store, "a")


def test_lock_is_given_back_after_an_error(store: Store) -> None:
    with pytest.raises(ZeroDivisionError), store.job_lock("crl", now=NOW, lease=MINUTE):
        raise ZeroDivisionError
    assert acquire(store, "a")


def test_nodes_say_that_they_are_alive(store: Store) -> None:
    for name, now, key in (("b", NOW, ""), ("a", NOW + 1, ""), ("b", NOW + 2, "key")):
        store.write(
            lambda tx, name=name, now=now, key=key: jobs.heartbeat(  # type: ignore[misc]
                tx, name, version="1", started_at=NOW, now=now, challenge_key=key
            )
        )
    assert store.read(jobs.nodes) == [
        Node("a", "1", NOW, NOW + 1),
        Node("b", "1", NOW, NOW + 2, "key"),
    ]
    assert store.write(lambda tx: jobs.forget(tx, NOW + 2)) == 1
    assert [node.name for node in store.read(jobs.nodes)] == ["b"]
