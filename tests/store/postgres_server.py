"""A PostgreSQL server of our own: in a temporary folder, on a Unix socket, without a password.

Debian's package is enough (`apt-get install postgresql`).  The server refuses to run as root, and
so it runs as the package's user when the tests do.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import psycopg

from tests.interop.foreign import missing

USER = "postgres"

_SETTINGS = {
    "listen_addresses": "''",
    "max_connections": "200",
    "autovacuum": "off",
    "deadlock_timeout": "100ms",
}


def _programs() -> Path:
    """The folder with initdb and pg_ctl."""
    found = shutil.which("initdb")
    if found:
        return Path(found).resolve().parent
    folders = sorted(
        Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name)
    )
    if not folders:
        missing("PostgreSQL is not here (Debian package postgresql)")
    return folders[-1]


class PostgresServer:
    """A running server; `stop` and `start` keep its data, and with `fsync` so does a power cut."""

    def __init__(self, *, fsync: bool = False) -> None:
        self._settings = {**_SETTINGS, "fsync": "on" if fsync else "off"}
        self._programs = _programs()
        self._as_user = ["runuser", "-u", USER, "--"] if os.geteuid() == 0 else []
        # Not below pytest's folder: the server's user may not go there.
        self.folder = Path(tempfile.mkdtemp(prefix="scepkit-pg-"))
        if self._as_user:
            shutil.chown(self.folder, USER)
        self._data = self.folder / "data"
        self._databases = 0
        self._connections: dict[str, psycopg.Connection[tuple[Any, ...]]] = {}
        # A language's order of letters, as most servers have: ours must not depend on it.
        language = ["--locale=C.UTF-8", "--locale-provider=icu", "--icu-locale=en"]
        self._run(
            "initdb", "-D", self._data, "-U", USER, "-A", "trust", "-E", "UTF8", "-N", *language
        )
        self.start()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        options = f"-k {self.folder} {settings}"
        self._run(
            "pg_ctl", "-D", self._data, "-o", options, "-l", self.folder / "log", "-w", "start"
        )

    def stop(self, mode: str = "fast") -> None:
        """Stop the server: "fast" ends connections, "immediate" is a crash."""
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()
        self._run("pg_ctl", "-D", self._data, "-m", mode, "-w", "stop")

    def remove(self) -> None:
        """Stop the server and delete its data."""
        self.stop("immediate")
        shutil.rmtree(self.folder)

    def url(self, database: str) -> str:
        return f"postgresql://{USER}@/{database}?host={self.folder}"

    @property
    def pid(self) -> int:
        """The first of its processes; the others are its children."""
        return int((self._data / "postmaster.pid").read_text().split("\n", 1)[0])

    def new_database(self) -> str:
        """Make a database; returns its name."""
        self._databases += 1
        name = f"scepkit_{self._databases}"
        self.sql(f"CREATE DATABASE {name}")
        return name

    def empty(self, database: str) -> None:
        """Delete all rows of all our tables; much quicker than making a new database."""
        ((tables,),) = self.sql(
            "SELECT string_agg(tablename, ', ') FROM pg_tables"
            " WHERE schemaname = 'public' AND tablename <> 'schema_version'",
            database,
        )
        self.sql(f"TRUNCATE {tables} RESTART IDENTITY", database)

    def sql(self, text: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        """Run a statement by the administrator's connection."""
        connection = self._connections.get(database)
        if connection is None or connection.closed:
            connection = psycopg.connect(self.url(database), autocommit=True)
            self._connections[database] = connection
        cursor = connection.execute(text.encode())
        return cursor.fetchall() if cursor.description else []

    def _run(self, program: str, *arguments: str | Path) -> str:
        command = [*self._as_user, str(self._programs / program), *map(str, arguments)]
        done = subprocess.run(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            cwd="/",
            timeout=60,
            check=False,
        )
        text = done.stdout.decode(errors="replace")
        assert done.returncode == 0, f"{' '.join(command)}:\n{text}"
        return text
