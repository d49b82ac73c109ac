"""What must outlive the process, in SQLite or PostgreSQL.

`open_store` opens a database.  What can be done in a transaction is in the modules by subject:
`claims`, `operations`, `challenges`, `certificates`, `crls`, `cas`, `audit`, `outbox`, `jobs`.
Their functions take the transaction first and can be put together freely.

Nothing here knows cryptography or HTTP: certificates and requests are bytes, moments are
milliseconds (`rows.milliseconds`, `rows.moment`).
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from scepkit.errors import InputError, StoreError
from scepkit.store.driver import Driver, Rollback, Tx
from scepkit.store.store import Store

__all__ = ["Rollback", "Store", "Tx", "open_store"]


def open_store(
    url: str,
    *,
    node: str = "",
    relative_to: Path | None = None,
    password: str | None = None,
    connections: int = 10,
) -> Store:
    """A store for a database; it is connected to when it is first used.

    Args:
        url: ``sqlite:///file.db`` (relative to `relative_to`), ``sqlite:////var/lib/file.db`` or
            ``postgresql://user@host/database``, with all that libpq knows behind a ``?``.
        node: this server's name, for the audit.
        password: PostgreSQL's, when it is not in the URL.
        connections: PostgreSQL connections that may be open at a time.

    Raises:
        InputError: the URL is not one of these.
        StoreError: this Python cannot use that kind of database.
    """
    parts = urlsplit(url)
    driver: Driver
    match parts.scheme:
        case "sqlite":
            driver = _sqlite(url, relative_to or Path(), node)
        case "postgresql" | "postgres":
            driver = _postgres(url, node, password, connections)
        case _:
            raise InputError(
                "a database's URL starts with sqlite:/// or postgresql://, found"
                f" {parts.scheme or 'no scheme'}"
            )
    return Store(driver)


def _sqlite(url: str, directory: Path, node: str) -> Driver:
    from scepkit.store.sqlite import SqliteDriver

    parts = urlsplit(url)
    name = unquote(parts.path[1:])
    if parts.netloc or parts.query or parts.fragment or not name or name.startswith(":"):
        raise InputError(
            "an SQLite URL names a file: sqlite:///relative.db or sqlite:////absolute/path.db"
        )
    return SqliteDriver(directory / name, node=node)


def _postgres(url: str, node: str, password: str | None, connections: int) -> Driver:
    try:
        from scepkit.store.postgres import PostgresDriver
    except ImportError as problem:
        raise StoreError(
            f"PostgreSQL needs psycopg, which is not installed: {problem}",
            hint="pip install 'scepkit[postgres]'",
        ) from problem
    return PostgresDriver(url, node=node, password=password, connections=connections)
