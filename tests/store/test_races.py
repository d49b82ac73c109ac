"""Several processes and threads at one database: every race has one winner.

P1 (claims), P2 (challenges), P4 (serial and CRL numbers) and the leases.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from scepkit.store import (
    Rollback,
    Store,
    Tx,
    audit,
    cas,
    certificates,
    challenges,
    claims,
    crls,
    jobs,
    open_store,
    operations,
    outbox,
)
from scepkit.store.claims import Claimed, Known, TransactionIdInUse
from scepkit.store.rows import Crl
from tests.store.enrolling import (
    DAY,
    HOUR,
    MINUTE,
    NOW,
    a_ca,
    a_certificate,
    a_challenge,
    a_claim,
    a_reservation,
    claimed,
    digest,
    operation,
    pending,
    put_whole,
    states,
)
from tests.store.processes import at_once

PROCESSES, THREADS = 4, 13  # 52 that try at once


def in_threads(url: str, work: Callable[[Store, int], Any], process: int) -> list[Any]:
    """Run `work` in many threads of one store, begun together."""
    barrier = threading.Barrier(THREADS)

    def one(thread: int) -> Any:
        barrier.wait(30)
        return work(store, process * THREADS + thread)

    with open_store(url, node=f"process {process}") as store:
        store.check_schema()
        with ThreadPoolExecutor(THREADS) as threads:
            return list(threads.map(one, range(THREADS)))


def everywhere(url: str, work: Callable[[Store, int], Any]) -> list[Any]:
    """Run `work` with numbers from 0 in many threads of several processes."""
    results = at_once(in_threads, [(url, work, process) for process in range(PROCESSES)])
    return [result for some in results for result in some]


# ------------------------------------------------------------------------------ work in processes


def spend_alone(store: Store, n: int) -> bool:
    return store.write(lambda tx: challenges.spend(tx, digest("secret"), "routers", NOW))


def enrol(store: Store, n: int) -> str:
    """T1 of another device with the same challenge."""
    request = a_claim(f"device {n}", challenge_mac=digest("secret"))
    reservation = a_reservation(a_ca(store), f"{n + 1:x}")

    def begin(tx: Tx) -> int | claims.Overtaken:
        return claims.accept(tx, request, NOW, spend=digest("secret"), reservation=reservation)

    return "issued" if isinstance(store.write(begin), int) else "denied"


def retry(store: Store, n: int) -> str:
    """T1 of the same request, under several transactionIDs, with the same challenge."""
    request = a_claim(transaction_id=f"tid {n % 5}", challenge_mac=digest("secret"))

    def begin(tx: Tx) -> str:
        result = claims.claim(tx, request, NOW)
        if isinstance(result, Known):
            return "known"
        if not challenges.spend(tx, digest("secret"), "routers", NOW):
            raise Rollback("denied")
        return "claimed"

    return store.write(begin)


def claim_one_transaction_id(store: Store, n: int) -> bool:
    request = a_claim(op_key=digest(f"request {n}"))
    result = store.write(lambda tx: claims.claim(tx, request, NOW))
    assert isinstance(result, Claimed | TransactionIdInUse)
    return isinstance(result, Claimed)


def claim_again(store: Store, n: int) -> bool:
    later = NOW + 10 * DAY
    return isinstance(store.write(lambda tx: claims.claim(tx, a_claim(), later)), Claimed)


def reserve(store: Store, n: int) -> bool:
    reservation = a_reservation(a_ca(store), "1f")
    return store.write(lambda tx: certificates.reserve(tx, reservation, NOW)) is not None


def reserve_for_one(store: Store, n: int) -> str:
    reservation = a_reservation(a_ca(store), f"{n + 1:x}", operation_id=1)
    reserved = store.write(lambda tx: certificates.reserve(tx, reservation, NOW))
    assert reserved is not None
    return reserved.serial


def take_over(store: Store, n: int) -> bool:
    return store.write(lambda tx: operations.take_over(tx, 1, NOW + HOUR, MINUTE)) is not None


def publish(store: Store, n: int) -> bool:
    der = f"der {n}".encode()
    return store.write(lambda tx: certificates.publish(tx, 1, der, NOW))


def decide(store: Store, n: int) -> bool:
    def either(tx: Tx) -> object:
        if n % 2:
            return operations.approve(tx, 1, actor=f"{n}", now=NOW)
        return operations.reject(tx, 1, actor=f"{n}", fail_info=2, now=NOW)

    return store.write(either) is not None


def revoke(store: Store, n: int) -> bool:
    return (
        store.write(lambda tx: certificates.revoke(tx, 1, "aa", reason=1, actor=f"{n}", now=NOW))
        is not None
    )


def publish_or_revoke(store: Store, n: int) -> bool:
    return publish(store, n) if n % 2 else revoke(store, n)


def make_crl(store: Store, n: int) -> tuple[int, bool]:
    number = store.write(lambda tx: crls.next_number(tx, 1))
    ca = store.snapshot(lambda tx: cas.find(tx, 1))
    assert ca is not None
    crl = Crl(1, number, NOW, NOW + DAY, ca.revocations, b"crl")
    return number, store.write(lambda tx: put_whole(tx, crl))


def lock_job(store: Store, n: int) -> bool:
    return store.write(lambda tx: jobs.acquire(tx, "crl", f"{n}", NOW, MINUTE))


def take_items(store: Store, n: int) -> list[int]:
    items = store.write(lambda tx: outbox.take(tx, NOW, lease=MINUTE, limit=3))
    return [item.id for item in items]


def make_ca(store: Store, n: int) -> int:
    return a_ca(store, "new").id


def activate_or_call_off(store: Store, n: int) -> bool:
    change = cas.activate if n % 2 else cas.retire
    return store.write(lambda tx: change(tx, 2, actor=f"{n}", now=NOW)) is not None


def record_and_seal(store: Store, n: int) -> int:
    for k in range(5):
        store.write(
            lambda tx, k=k: audit.record(  # type: ignore[misc]
                tx, now=NOW, actor=f"{n}", action=f"action.{k}", object="x"
            )
        )
    return store.write(audit.seal)


# ----------------------------------------------------------------------------------------- races


def test_challenge_is_spent_once(url: str, store: Store) -> None:
    a_challenge(store)
    assert Counter(everywhere(url, spend_alone))[True] == 1


def test_challenge_with_uses_is_spent_that_often(url: str, store: Store) -> None:
    a_challenge(store, uses=7)
    assert Counter(everywhere(url, spend_alone))[True] == 7


def test_one_of_many_devices_enrols_with_a_challenge(url: str, store: Store) -> None:
    a_ca(store)
    a_challenge(store)
    outcomes = Counter(everywhere(url, enrol))
    assert outcomes == {"issued": 1, "denied": PROCESSES * THREADS - 1}
    assert store.read(states) == {"reserved": 1}
    assert len(store.read(operations.search)) == 1


def test_retries_of_one_request_all_end_at_one_operation(url: str, store: Store) -> None:
    a_challenge(store)
    outcomes = Counter(everywhere(url, retry))
    assert outcomes == {"claimed": 1, "known": PROCESSES * THREADS - 1}
    aliases = store.read(lambda tx: tx.all("SELECT operation_id, seen FROM transaction_alias"))
    assert sum(seen for _, seen in aliases) == PROCESSES * THREADS
    assert len({number for number, _ in aliases}) == 1


def test_transaction_id_leads_to_one_unfinished_request(url: str, store: Store) -> None:
    assert Counter(everywhere(url, claim_one_transaction_id))[True] == 1
    assert len(store.read(operations.search)) == 1


def test_new_epoch_begins_once(url: str, store: Store) -> None:
    number = pending(store)
    store.write(lambda tx: operations.reject(tx, number, actor="a", fail_info=2, now=NOW))
    assert Counter(everywhere(url, claim_again))[True] == 1
    assert [one.epoch for one in store.read(operations.search)] == [1, 0]


def test_serial_number_is_reserved_once(url: str, store: Store) -> None:
    a_ca(store)
    assert Counter(everywhere(url, reserve))[True] == 1


def test_operation_gets_one_reservation(url: str, store: Store) -> None:
    a_ca(store)
    claimed(store, a_claim())
    assert len(set(everywhere(url, reserve_for_one))) == 1
    assert store.read(states) == {"reserved": 1}


def test_operation_is_taken_over_by_one(url: str, store: Store) -> None:
    claimed(store, a_claim())
    assert Counter(everywhere(url, take_over))[True] == 1
    assert operation(store, 1).attempts == 1


def test_certificate_is_published_by_one(url: str, store: Store) -> None:
    reservation = a_reservation(a_ca(store), operation_id=claimed(store, a_claim()))
    store.write(lambda tx: certificates.reserve(tx, reservation, NOW))
    assert Counter(everywhere(url, publish))[True] == 1


def test_pending_operation_is_decided_once(url: str, store: Store) -> None:
    pending(store)
    assert Counter(everywhere(url, decide))[True] == 1
    assert len(store.read(audit.listing)) == 1


def test_certificate_is_revoked_once(url: str, store: Store) -> None:
    a_certificate(store, a_ca(store), "aa")
    assert Counter(everywhere(url, revoke))[True] == 1
    ca = store.read(lambda tx: cas.find(tx, 1))
    assert ca is not None
    assert ca.revocations == 1


def test_certificate_that_is_published_and_revoked_at_once_ends_revoked(
    url: str, store: Store
) -> None:
    number = claimed(store, a_claim())
    reservation = a_reservation(a_ca(store), "aa", operation_id=number)
    store.write(lambda tx: certificates.reserve(tx, reservation, NOW))
    results = everywhere(url, publish_or_revoke)
    assert results[::2].count(True) == 1
    published = results[1::2].count(True)
    assert published <= 1
    found = store.read(lambda tx: certificates.of_operation(tx, number))
    assert found is not None
    assert (found.state, found.der is not None) == ("revoked", published == 1)
    assert operation(store, number).state == ("issued" if published else "failed")


def test_crl_numbers_are_unique_and_published_in_order(url: str, store: Store) -> None:
    a_ca(store)
    results = everywhere(url, make_crl)
    assert sorted(number for number, _ in results) == list(range(1, PROCESSES * THREADS + 1))
    published = max(number for number, done in results if done)
    newest = store.read(lambda tx: crls.newest(tx, 1))
    assert newest is not None
    assert newest.number == published


def test_job_is_held_by_one(url: str, store: Store) -> None:
    assert Counter(everywhere(url, lock_job))[True] == 1


def test_outbox_item_is_taken_by_one(url: str, store: Store) -> None:
    for n in range(100):
        store.write(lambda tx, n=n: outbox.add(tx, "x", {"n": n}, NOW))  # type: ignore[misc]
    taken = [number for numbers in everywhere(url, take_items) for number in numbers]
    assert len(taken) == len(set(taken))
    rest = store.write(lambda tx: outbox.take(tx, NOW, lease=MINUTE, limit=100))
    assert len(taken) + len(rest) == 100


def test_first_generation_of_a_ca_is_made_once(url: str, store: Store) -> None:
    assert len(set(everywhere(url, make_ca))) == 1
    assert len(store.read(cas.listing)) == 1


def test_staged_generation_is_activated_or_called_off_and_one_is_active(
    url: str, store: Store
) -> None:
    a_ca(store)
    assert store.write(
        lambda tx: cas.add(
            tx, name="main", status="staged", key_ref="", certificate=b"", actor="a", now=NOW
        )
    )
    results = everywhere(url, activate_or_call_off)
    assert results.count(True) == 1
    active = store.read(lambda tx: cas.active(tx, "main"))
    assert active is not None
    assert active.generation == (2 if results.index(True) % 2 else 1)


def test_audit_is_sealed_without_a_gap_by_many(url: str, store: Store) -> None:
    everywhere(url, record_and_seal)
    while store.write(audit.seal):
        pass
    found = store.snapshot(audit.verify)
    assert (found.sealed, found.unsealed, found.faults) == (PROCESSES * THREADS * 5, 0, ())


@pytest.mark.parametrize("name", ["secret"])
def test_revoked_challenge_is_spent_by_nobody(url: str, store: Store, name: str) -> None:
    number = a_challenge(store, name)
    store.write(lambda tx: challenges.revoke(tx, number, actor="a", now=NOW))
    assert not any(everywhere(url, spend_alone))
