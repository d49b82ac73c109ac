"""Stores for the tests of the service: on SQLite and on PostgreSQL."""

from __future__ import annotations

from tests.store.conftest import (
    empty_url,
    kind,
    postgres_database,
    postgres_server,
    store,
    url,
)

__all__ = ["empty_url", "kind", "postgres_database", "postgres_server", "store", "url"]
