"""Stores for the tests of the service: on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scepkit.store import Store, open_store
from tests.store.conftest import (
    empty_url,
    kind,
    postgres_database,
    postgres_server,
    store,
    url,
)

__all__ = ["empty_url", "kind", "lite", "postgres_database", "postgres_server", "store", "url"]


@pytest.fixture
def lite(tmp_path: Path) -> Iterator[Store]:
    """A store on SQLite, for what does not depend on the kind of database."""
    with open_store(f"sqlite:///{tmp_path}/scepkit.db", node="node1") as opened:
        opened.migrate()
        yield opened
