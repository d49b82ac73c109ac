"""What one process commits stays when another one opens the file for a moment and leaves.

POSIX locks belong to a process and a file: closing any descriptor of the file ends all of them.  A
driver that opened the file once more, even only to see whether it is there, would let the process
that leaves believe that it is the last one, and remove the write-ahead log of the others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from scepkit.store import Store, Tx, audit, open_store
from tests.store.processes import at_once


def record(action: str) -> Callable[[Tx], None]:
    return lambda tx: audit.record(tx, now=1, actor="x", action=action, object="x", detail=None)


def actions(store: Store) -> list[str]:
    return [row.action for row in store.read(lambda tx: audit.listing(tx))]


def visit(directory: str) -> list[str]:
    """What a command of an operator does: open, write, look, leave."""
    with open_store("sqlite:///data.db", relative_to=Path(directory)) as store:
        store.write(record("other"))
        return actions(store)


def test_what_was_committed_survives_a_visitor(tmp_path: Path) -> None:
    with open_store("sqlite:///data.db", relative_to=tmp_path) as store:
        store.migrate()
        for number in range(3):
            store.write(record(f"mine {number}"))
            assert len(actions(store)) == 2 * number + 1
            ((seen,),) = [at_once(visit, [(str(tmp_path),)])]
            assert seen[:2] == ["other", f"mine {number}"]
            assert (tmp_path / "data.db-wal").exists()
        expected = actions(store)
    with open_store("sqlite:///data.db", relative_to=tmp_path) as store:
        assert actions(store) == expected
        assert len(expected) == 6
