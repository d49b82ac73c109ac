"""The PostgreSQL server of the store's tests, for the commands' tests."""

from __future__ import annotations

from tests.store.conftest import postgres_server

__all__ = ["postgres_server"]
