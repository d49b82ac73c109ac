"""Stores to test: every test that asks for `store` or `url` runs on SQLite and on PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from scepkit.store import Store, open_store
from tests.store.postgres_server import PostgresServer

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.interop)]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A server that the tests of this process share; nobody may stop it."""
    server = PostgresServer()
    yield server
    server.remove()


@pytest.fixture(scope="session")
def postgres_database(postgres_server: PostgresServer) -> str:
    """A database with our schema, which tests share one after the other."""
    name = postgres_server.new_database()
    with open_store(postgres_server.url(name)) as store:
        store.migrate()
    return name


@pytest.fixture(params=DATABASES)
def kind(request: pytest.FixtureRequest) -> str:
    """Which of the two databases."""
    kind: str = request.param
    return kind


@pytest.fixture
def empty_url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a database that has nothing in it."""
    if kind == "sqlite":
        return f"sqlite:///{tmp_path}/scepkit.db"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url(server.new_database())


@pytest.fixture
def url(kind: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    """The URL of a database that has our schema and no rows."""
    if kind == "sqlite":
        url = f"sqlite:///{tmp_path}/scepkit.db"
        with open_store(url) as store:
            store.migrate()
        return url
    server: PostgresServer = request.getfixturevalue("postgres_server")
    name: str = request.getfixturevalue("postgres_database")
    server.empty(name)
    return server.url(name)


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    """An open store with our schema and no rows."""
    with open_store(url, node="node1") as store:
        yield store
