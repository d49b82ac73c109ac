"""Taking old rows out of the audit trail: only what was written out is removed."""

from __future__ import annotations

import pytest

from scepkit.errors import StoreError, StoreUnavailable
from scepkit.server import pruning, registry
from scepkit.store import Store, audit, open_store
from scepkit.store.driver import Tx
from scepkit.store.rows import AuditRow, milliseconds
from tests.server.service.world import DAY, NOW
from tests.store.postgres_server import PostgresServer


def recorded(store: Store, rows: int) -> None:
    for _ in range(rows):
        store.write(
            lambda tx: audit.record(
                tx, now=milliseconds(NOW), actor="alice", action="a", object="b"
            )
        )


def test_what_is_written_out_is_removed_and_told_of(store: Store) -> None:
    recorded(store, 3)
    last = pruning.last_before(store, NOW + DAY)
    assert last is not None
    found: list[AuditRow] = []
    assert pruning.write_out(store, last, found.append) == 3
    assert found[-1].hash == last.hash
    pruning.remove(store, last, rows=3, file="old.jsonl", actor="bob", now=NOW)
    (row,) = registry.list_audit(store)
    assert (row.actor, row.action, row.object) == ("bob", "audit.prune", "audit:3")
    assert registry.verify_audit(store).faults == ()


@pytest.mark.interop
def test_what_was_cut_off_while_it_was_written_out_is_not_written_out_again(
    postgres_server: PostgresServer,
) -> None:
    with open_store(postgres_server.url(postgres_server.new_database()), node="a") as store:
        store.migrate()
        recorded(store, 2)
        written: list[int] = []

        def walk(tx: Tx) -> int:
            written.append(1)
            tx.one("SELECT pg_terminate_backend(pg_backend_pid())")
            raise AssertionError("the connection is there")

        with pytest.raises(StoreUnavailable, match="lost in the middle"):
            registry.walked_once(store, walk)
        assert written == [1]


def test_nothing_is_old_enough(store: Store) -> None:
    recorded(store, 1)
    assert pruning.last_before(store, NOW) is None


def test_rows_that_somebody_else_removes_meanwhile_are_not_taken_for_written(store: Store) -> None:
    recorded(store, 2)
    last = pruning.last_before(store, NOW + DAY)
    assert last is not None
    pruning.remove(store, last, rows=2, file="theirs.jsonl", actor="eve", now=NOW)
    with pytest.raises(StoreError, match="somebody else prunes"):
        pruning.write_out(store, last, lambda row: None)
