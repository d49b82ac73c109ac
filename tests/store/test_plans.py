"""Which statements use an index: those that a server runs for every request or over all rows."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import pytest

from scepkit.store import (
    Store,
    Tx,
    audit,
    cas,
    certificates,
    challenges,
    claims,
    crls,
    jobs,
    operations,
    outbox,
    searching,
)
from scepkit.store.certificates import Reservation
from scepkit.store.driver import Parameters, Row, Statement
from scepkit.store.rows import Ca, Crl
from tests.store.enrolling import DAY, NOW, a_ca, a_claim, a_reservation, digest

NOTHING: Parameters = {}


class Explaining:
    """A transaction that asks for each statement's plan and does not run it."""

    node = "node1"

    def __init__(self, tx: Tx, explain: str) -> None:
        self._tx = tx
        self._explain = explain
        self.plans: list[str] = []

    def _plan(self, sql: str, parameters: Parameters) -> None:
        rows = self._tx.all(f"{self._explain} {sql}", parameters)
        self.plans.append("\n".join(str(row[-1]) for row in rows))

    def all(self, sql: str, parameters: Parameters = NOTHING) -> list[Row]:
        self._plan(sql, parameters)
        return []

    def one(self, sql: str, parameters: Parameters = NOTHING) -> Row | None:
        self._plan(sql, parameters)
        return None

    def run(self, sql: str, parameters: Parameters = NOTHING) -> int:
        self._plan(sql, parameters)
        return 0

    def send(self, sql: str, parameters: Parameters = NOTHING) -> None:
        self._plan(sql, parameters)

    def together(self, *statements: Statement) -> list[int]:
        return [self.run(sql, parameters) for sql, parameters in statements]

    def insert(self, sql: str, parameters: Parameters = NOTHING) -> int | None:
        self._plan(sql, parameters)
        return 1

    def insert_and(self, first: Statement, *others: Statement) -> tuple[int | None, list[int]]:
        return self.insert(*first), [self.run(*one) or 1 for one in others]

    def run_many(self, sql: str, parameters: Iterable[Parameters]) -> None:
        for one in parameters:
            self._plan(sql, one)

    def stream(
        self, sql: str, parameters: Parameters = NOTHING, *, at_once: int = 1
    ) -> Iterator[Row]:
        self._plan(sql, parameters)
        return iter(())


def plans(store: Store, function: Callable[[Tx], Any]) -> list[str]:
    """The plans of all statements that a function begins with."""
    kind = store.driver.kind

    def explained(tx: Tx) -> list[str]:
        if kind == "postgresql":
            # With so few rows it would read them all, whatever indexes there are.
            tx.run("SET LOCAL enable_seqscan = off")
            tx.run("SET LOCAL enable_sort = off")
        explaining = Explaining(tx, "EXPLAIN" if kind == "postgresql" else "EXPLAIN QUERY PLAN")
        result = function(explaining)
        if isinstance(result, Iterator):
            list(result)
        return explaining.plans

    return store.write(explained)


def is_indexed(kind: str, plan: str) -> bool:
    """Whether a plan finds its rows by an index, in the order that is asked for."""
    if kind == "postgresql":
        return "Seq Scan" not in plan and "Sort" not in plan
    lines = plan.splitlines()
    return not any(
        (
            line.startswith("SCAN")
            and not any(word in line for word in ("USING", "CONSTANT", "one_row"))
        )
        or "TEMP B-TREE" in line
        for line in lines
    )


def before(tx: Tx) -> Row | None:
    parameters: Parameters = {"profile": "routers", "op_key": b"", "mac": digest("x")}
    return tx.one(claims._BEFORE, parameters)


_CA = Ca(1, "main", 1, "active", "", 1, 0, None, NOW, b"", b"")


def accepted(tx: Tx, reservation: Reservation) -> int:
    request = a_claim(challenge_mac=digest("x"))
    return claims.accept(tx, request, NOW, spend=digest("x"), reservation=reservation)


#: By the name of what they are for.
STATEMENTS: dict[str, Callable[[Tx], Any]] = {
    "claim": lambda tx: claims.claim(tx, a_claim(challenge_mac=digest("x")), NOW),
    "accept": lambda tx: accepted(tx, a_reservation(_CA)),
    "operation by number": lambda tx: operations.find(tx, 1),
    "operation by op_key": lambda tx: operations.by_key(tx, "routers", digest("x")),
    "operation by alias": lambda tx: operations.by_alias(tx, "routers", "tid", digest("x")),
    "waiting operations": operations.waiting,
    "take over": lambda tx: operations.take_over(tx, 1, NOW, DAY),
    "abandoned operations": lambda tx: operations.abandoned(tx, NOW),
    "unfinished operations": lambda tx: operations.unfinished(tx, NOW),
    "approve": lambda tx: operations.approve(tx, 1, actor="a", now=NOW),
    "expire": lambda tx: operations.expire_pending(tx, NOW, actor="a"),
    "challenge by MAC": lambda tx: challenges.find(tx, digest("x")),
    "spend": lambda tx: challenges.spend(tx, digest("x"), "routers", NOW),
    "certificate by serial number": lambda tx: certificates.by_serial(tx, 1, "1f"),
    "certificate of an operation": lambda tx: certificates.of_operation(tx, 1),
    "publish": lambda tx: certificates.publish(tx, 1, b"", NOW),
    "what is there before a claim": before,
    "revoke": lambda tx: certificates.revoke(tx, 1, "1f", reason=1, actor="a", now=NOW),
    "revoked certificates": lambda tx: certificates.revoked(tx, 1, not_after_from=NOW),
    "expiring certificates": lambda tx: certificates.expiring(tx, since=NOW, before=NOW + DAY),
    "page of a search": lambda tx: certificates.search(tx, text="a", before=9, after=1),
    "page of a search for requests": lambda tx: operations.search(tx, text="a", before=9, after=1),
    "page of revoked certificates": lambda tx: certificates.search(tx, state="revoked"),
    "page of a CA's revoked ones": lambda tx: certificates.search(tx, state="revoked", ca_id=1),
    "publish a CRL": lambda tx: crls.put(tx, Crl(1, 1, NOW, NOW, 0, b"")),
    "newest CRL": lambda tx: crls.newest(tx, 1),
    "dates of the newest CRL": lambda tx: crls.newest_without_der(tx, 1),
    "store a piece of a CRL": lambda tx: crls.put_piece(tx, Crl(1, 1, NOW, NOW, 0, b"x"), 0),
    "old CRLs": lambda tx: crls.prune(tx, 1, keep=20),
    "pieces of no CRL": lambda tx: crls.prune_pieces(tx, 1, 1),
    "pieces of a CRL that is given up": lambda tx: crls.discard(tx, 1, 1),
    "active CA": lambda tx: cas.active(tx, "main"),
    "due outbox items": lambda tx: outbox.take(tx, NOW, lease=DAY),
    "outbox items that wait": lambda tx: outbox.listing(tx, state="waiting"),
    "outbox items that were given up": lambda tx: outbox.listing(tx, state="given-up"),
    "retry of what was given up": lambda tx: tx.run(outbox._RETRY_GIVEN_UP, {"now": NOW}),
    "outbox items to forget": lambda tx: outbox.prune(tx, NOW),
    "outbox in numbers": lambda tx: tx.all(outbox._BACKLOG),
    "unsealed audit rows": audit.seal,
    "audit chain": lambda tx: tx.stream(audit._SEALED),
    "CRL number": lambda tx: tx.run(crls._NEXT_NUMBER, {"ca_id": 1}),
    "job": lambda tx: jobs.acquire(tx, "crl", "me", NOW, DAY),
}

#: Pages of a list, newest first: the table is read from its end until the page is full.
LISTS: dict[str, Callable[[Tx], Any]] = {
    "operations": operations.search,
    "challenges": challenges.listing,
    "certificates": certificates.search,
    "audit rows": audit.listing,
    "outbox items": outbox.listing,
    "where a search ends": lambda tx: searching.floor(tx, "operation", None),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_statement_uses_an_index(store: Store, name: str) -> None:
    found = plans(store, STATEMENTS[name])
    assert found
    for plan in found:
        assert is_indexed(store.driver.kind, plan), plan


@pytest.mark.parametrize("name", LISTS)
def test_page_of_a_list_needs_no_sorting(store: Store, name: str) -> None:
    (plan,) = plans(store, LISTS[name])
    assert "TEMP B-TREE" not in plan
    assert "Sort" not in plan


def test_reservation_is_one_statement(store: Store) -> None:
    reservation = a_reservation(a_ca(store))
    assert len(plans(store, lambda tx: certificates.reserve(tx, reservation, NOW))) == 1


def test_enrolment_is_few_statements(store: Store) -> None:
    """T1 and T2 as a server runs them, without their audit rows."""
    ca = a_ca(store)
    assert len(plans(store, before)) == 1
    assert len(plans(store, lambda tx: accepted(tx, a_reservation(ca)))) == 4
    assert len(plans(store, lambda tx: certificates.publish(tx, 1, b"", NOW))) == 2
