"""Fills a database with what millions of enrolments leave in it.

Names, keys and certificates are noise of the usual sizes, so that indexes are as deep and as
scattered as after so many enrolments: for each an operation, its alias, a used challenge and a
certificate, of which every tenth, or nth, is revoked.  The audit trail, which only grows at its
end, and the outbox, which is emptied, are left out.  What is not unique is indexed afterwards.
"""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from scepkit.server.pepper import NEAR
from tests.store.postgres_server import PostgresServer

BATCH = 100_000
#: Challenges that are made in one minute: their MACs begin alike, and so do the op_keys.
EACH_MINUTE = 1000
#: KiB of the file that are kept in memory while it is filled: an index fits.
_CACHE = 3_000_000


@dataclass(frozen=True)
class _Dialect:
    """How a database makes rows of noise: SQL expressions of the row's number `n`."""

    series: str
    noise: Callable[[str], str]
    near: Callable[[str], str]
    blob: Callable[[int], str]
    hex: Callable[[str], str]


_SQLITE = _Dialect(
    "WITH RECURSIVE series (n) AS (VALUES (:first) UNION ALL"
    " SELECT n + 1 FROM series WHERE n < :last)",
    lambda label: f"noise('{label}', n)",
    lambda label: f"near('{label}', n)",
    lambda size: f"randomblob({size})",
    lambda value: f"lower(hex({value}))",
)
_POSTGRES = _Dialect(
    "WITH series AS (SELECT generate_series(:first, :last) AS n)",
    lambda label: f"sha256(('{label}:' || n)::bytea)",
    lambda label: (
        f"substr(sha256(('minute:' || n / {EACH_MINUTE})::bytea), 1, {NEAR})"
        f" || substr(sha256(('{label}:' || n)::bytea), {NEAR + 1})"
    ),
    # So small that PostgreSQL does not compress them, whatever is in them.
    lambda size: f"decode(repeat(md5(n::text), {size // 16 + 1}), 'hex')",
    lambda value: f"encode({value}, 'hex')",
)


def noise(label: str, number: int) -> bytes:
    """32 bytes that are the same each time they are asked for."""
    return sha256(f"{label}:{number}".encode()).digest()


def near(label: str, number: int) -> bytes:
    """The same, with a beginning that it shares with others of its minute."""
    return noise("minute", number // EACH_MINUTE)[:NEAR] + noise(label, number)[NEAR:]


def serial(number: int) -> str:
    """The serial number of a row."""
    return "1234567"[number % 7] + noise("serial", number).hex()[:39]


def _statements(dialect: _Dialect) -> list[str]:
    """What fills the tables with the rows from :first to :last; every :revoked-th is revoked."""
    subject = "'CN=device-' || n || ',O=Acme'"
    random = f"substr({dialect.hex(dialect.noise('serial'))}, 1, 39)"
    number = f"substr('1234567', CAST(1 + n % 7 AS INTEGER), 1) || {random}"
    return [
        f"""{dialect.series} INSERT INTO challenge (
                id, profile, mac, bind, label, uses, uses_left, expires_at, created_at, created_by)
            SELECT n, 'default', {dialect.near("mac")}, '{{}}', '', 1, 0, :now, :now, 'bench'
            FROM series""",
        f"""{dialect.series} INSERT INTO operation (
                id, profile, op_key, epoch, kind, state, transaction_id, subject, sans, reason,
                attempts, created_at, decided_at, decided_by, finished_at, challenge_id, csr,
                signer)
            SELECT n, 'default', {dialect.near("op")}, 0, 'enrol', 'issued',
                {dialect.hex(dialect.noise("tid"))}, {subject}, '', '', 1, :now, :now,
                'challenge', :now, n, {dialect.blob(600)}, {dialect.blob(600)}
            FROM series""",
        f"""{dialect.series} INSERT INTO transaction_alias (
                profile, transaction_id, signer_spki, operation_id, first_seen, last_seen, seen)
            SELECT 'default', {dialect.hex(dialect.noise("tid"))},
                {dialect.noise("spki")}, n, :now, :now, 1 FROM series""",
        f"""{dialect.series} INSERT INTO certificate (
                id, ca_id, serial, operation_id, state, profile, subject, sans, not_before,
                not_after, created_at, issued_at, revoked_at, revocation_reason, spki_sha256,
                sha256, frozen, der)
            SELECT n, 1, {number}, n,
                CASE WHEN n % :revoked = 0 THEN 'revoked' ELSE 'issued' END, 'default',
                {subject}, '', :now, :now + 31536000000, :now, :now,
                CASE WHEN n % :revoked = 0 THEN :now END, CASE WHEN n % :revoked = 0 THEN 1 END,
                {dialect.blob(32)}, {dialect.blob(32)}, '{{}}', {dialect.blob(900)}
            FROM series""",
    ]


def _insert(
    execute: Callable[[str], object],
    dialect: _Dialect,
    count: int,
    now: int,
    revoked: int,
    say: str,
) -> None:
    """Table by table, so that no more than one index is written at random places at a time."""
    began = time.perf_counter()
    execute("DELETE FROM challenge")  # `scepkit init` makes one
    for number, statement in enumerate(_statements(dialect), 1):
        execute("BEGIN")
        for first in range(1, count + 1, BATCH):
            text = statement
            last = min(count, first + BATCH - 1)
            values = {"first": first, "last": last, "now": now, "revoked": revoked}
            for name, value in values.items():
                text = re.sub(rf":{name}\b", str(value), text)
            execute(text)
        execute("COMMIT")
        print(f"  {say}: {number} of 4 tables in {time.perf_counter() - began:.0f} s", flush=True)


def fill_sqlite(file: Path, count: int, now: int, *, revoked: int = 10) -> None:
    """Fill a database that nobody has open, and whose CA has the number 1."""
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        for setting in ("journal_mode = OFF", "synchronous = OFF", f"cache_size = -{_CACHE}"):
            database.execute(f"PRAGMA {setting}").fetchall()
        database.create_function("noise", 2, noise, deterministic=True)
        database.create_function("near", 2, near, deterministic=True)
        indexes = database.execute(
            "SELECT name, sql FROM sqlite_schema WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            database.execute(f"DROP INDEX {name}")
        _insert(database.execute, _SQLITE, count, now, revoked, "SQLite")
        for _, made_by in indexes:
            database.execute(made_by)
        database.execute("PRAGMA journal_mode = WAL").fetchall()
        _read_indexes(database)


def _read_indexes(database: sqlite3.Connection) -> None:
    """Bring the indexes back into the system's memory, as where enrolments go on all the time.

    The tables that were filled after them have driven them out.
    """
    found = database.execute(
        "SELECT name, tbl_name FROM sqlite_schema WHERE type = 'index' AND sql IS NULL"
    ).fetchall()
    for name, table in found:
        database.execute(f'SELECT count(*) FROM {table} INDEXED BY "{name}"').fetchall()
    database.execute("SELECT count(*) FROM transaction_alias").fetchall()


_CONSTRAINTS = """
    SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint
    WHERE contype = ANY ('{kinds}') AND connamespace = 'public'::regnamespace
        AND conrelid = ANY ('{{challenge,operation,transaction_alias,certificate}}'::regclass[])
"""
_INDEXES = """
    SELECT indexname, indexdef FROM pg_indexes
    WHERE tablename IN ('challenge', 'operation', 'transaction_alias', 'certificate')
"""


def fill_postgres(server: PostgresServer, count: int, now: int, *, revoked: int = 10) -> None:
    """Fill a database whose CA has the number 1."""
    foreign = server.sql(_CONSTRAINTS.format(kinds="{f}"))
    unique = server.sql(_CONSTRAINTS.format(kinds="{u,p}"))
    for table, name, _ in foreign + unique:
        server.sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    indexes = server.sql(_INDEXES)
    for name, _ in indexes:
        server.sql(f"DROP INDEX {name}")
    server.sql("ALTER SYSTEM SET max_wal_size = '8GB'")
    server.sql("ALTER SYSTEM SET synchronous_commit = off")
    server.sql("ALTER SYSTEM SET maintenance_work_mem = '1GB'")
    server.sql("SELECT pg_reload_conf()")
    _insert(server.sql, _POSTGRES, count, now, revoked, "PostgreSQL")
    for table, name, definition in unique + foreign:
        server.sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")
    for _, made_by in indexes:
        server.sql(made_by)
    for table in ("challenge", "operation", "certificate"):
        server.sql(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {count})")
    server.sql("VACUUM ANALYZE")
    for name in ("max_wal_size", "synchronous_commit", "maintenance_work_mem"):
        server.sql(f"ALTER SYSTEM RESET {name}")
    server.sql("SELECT pg_reload_conf()")
    server.sql("CHECKPOINT")
