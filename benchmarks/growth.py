"""The command behind `benchmarks/growth`: what a server's store costs when much is in it.

The rows are made by statements of the database itself; names, keys and certificates in them are
noise of the usual sizes, so that indexes are as deep and as scattered as after so many enrolments.
Enrolments (the two transactions of each, without cryptography) are measured in an empty and in a
full database by turns, so that a change of the machine's speed meets both.
"""

from __future__ import annotations

import argparse
import random
import re
import resource
import sqlite3
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path

from cryptography import x509

from benchmarks import enrolments
from scepkit.ca.authority import CaIssuer
from scepkit.server import crl_job
from scepkit.server.roles import Authority, Generation
from scepkit.store import Store, Tx, cas, certificates, open_store, operations
from scepkit.store.rows import moment
from tests import pki
from tests.store.postgres_server import PostgresServer

NOW = enrolments.NOW
BATCH = 100_000


@dataclass(frozen=True)
class Dialect:
    """How a database makes rows of noise: SQL expressions of the row's number `n`."""

    series: str
    noise: Callable[[str, int], str]
    hex: Callable[[str], str]


def _sqlite_noise(label: str, size: int) -> str:
    return f"randomblob({size})" if size != 32 else f"noise('{label}', n)"


def _postgres_noise(label: str, size: int) -> str:
    each = [f"sha256(('{label}{at}:' || n)::bytea)" for at in range((size + 31) // 32)]
    if size == 32:
        each = [f"sha256(('{label}:' || n)::bytea)"]
    return " || ".join(each)


DIALECTS = {
    "sqlite": Dialect(
        "WITH RECURSIVE series (n) AS (VALUES (:first) UNION ALL"
        " SELECT n + 1 FROM series WHERE n < :last)",
        _sqlite_noise,
        lambda value: f"lower(hex({value}))",
    ),
    "postgresql": Dialect(
        "WITH series AS (SELECT generate_series(:first, :last) AS n)",
        _postgres_noise,
        lambda value: f"encode({value}, 'hex')",
    ),
}


def noise(label: str, number: int) -> bytes:
    """32 bytes that are the same each time they are asked for."""
    return sha256(f"{label}:{number}".encode()).digest()


def statements(dialect: Dialect) -> list[str]:
    """What fills the tables with the rows from :first to :last; every tenth is revoked."""
    subject = "'CN=device-' || n || ',O=Acme'"
    serial = f"'1' || substr({dialect.hex(dialect.noise('serial', 32))}, 1, 38)"
    return [
        f"""{dialect.series} INSERT INTO operation (
                id, profile, op_key, epoch, kind, state, transaction_id, subject, sans, reason,
                attempts, created_at, decided_at, decided_by, finished_at, csr, signer)
            SELECT n, 'default', {dialect.noise("op", 32)}, 0, 'enrol', 'issued',
                {dialect.hex(dialect.noise("tid", 32))}, {subject}, '', '', 1, :now, :now,
                'challenge', :now, {dialect.noise("csr", 600)}, {dialect.noise("signer", 600)}
            FROM series""",
        f"""{dialect.series} INSERT INTO transaction_alias (
                profile, transaction_id, signer_spki, operation_id, first_seen, last_seen, seen)
            SELECT 'default', {dialect.hex(dialect.noise("tid", 32))},
                {dialect.noise("spki", 32)}, n, :now, :now, 1 FROM series""",
        f"""{dialect.series} INSERT INTO certificate (
                id, ca_id, serial, operation_id, state, profile, subject, sans, not_before,
                not_after, created_at, issued_at, revoked_at, revocation_reason, spki_sha256,
                sha256, frozen, der)
            SELECT n, :ca_id, {serial}, n,
                CASE WHEN n % 10 = 0 THEN 'revoked' ELSE 'issued' END, 'default', {subject}, '',
                :now, :now + 31536000000, :now, :now,
                CASE WHEN n % 10 = 0 THEN :now END, CASE WHEN n % 10 = 0 THEN 1 END,
                {dialect.noise("spki", 32)}, {dialect.noise("sha", 32)}, '{{}}',
                {dialect.noise("der", 900)}
            FROM series""",
    ]


@dataclass(frozen=True)
class Database:
    """A store, and a way into its database that needs no transactions of ours."""

    kind: str
    store: Store
    execute: Callable[[str], object]


@contextmanager
def database(kind: str, folder: Path | None) -> Iterator[Database]:
    """A new database with a CA."""
    if kind == "sqlite":
        with tempfile.TemporaryDirectory(dir=folder) as place:
            file = Path(place) / "scepkit.db"
            with open_store(f"sqlite:///{file}", node="bench") as store:
                store.migrate()
                beside = sqlite3.connect(file, isolation_level=None)
                beside.execute("PRAGMA synchronous = OFF")
                beside.execute("PRAGMA cache_size = -4000000")
                beside.create_function("noise", 2, noise, deterministic=True)
                yield Database(kind, store, beside.execute)
                beside.close()
        return
    server = PostgresServer(fsync=True)
    try:
        with open_store(server.url("postgres"), node="bench") as store:
            store.migrate()
            yield Database(kind, store, server.sql)
    finally:
        server.remove()


def a_ca(store: Store) -> int:
    """The CA that has issued everything."""
    identity = pki.root()
    row = store.write(
        lambda tx: cas.ensure(
            tx, name="bench", key_ref="none", certificate=identity.der, actor="bench", now=NOW
        )
    )
    return row.id


def fill(into: Database, ca_id: int, count: int) -> float:
    """Put so many certificates into the database; the seconds it took."""
    began = time.perf_counter()
    for first in range(1, count + 1, BATCH):
        last = min(count, first + BATCH - 1)
        for statement in statements(DIALECTS[into.kind]):
            text = statement
            for name, value in (("first", first), ("last", last), ("now", NOW), ("ca_id", ca_id)):
                text = re.sub(rf":{name}\b", str(value), text)
            into.execute(text)
    if into.kind == "postgresql":
        for table in ("operation", "certificate"):
            into.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {count})")
        into.execute("VACUUM ANALYZE")
    else:
        into.execute("ANALYZE")
        into.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return time.perf_counter() - began


# ------------------------------------------------------------------------------------- measuring


def milliseconds_of(function: Callable[[], object], times: int) -> float:
    """The median of so many calls."""
    took = []
    for _ in range(times):
        began = time.perf_counter()
        function()
        took.append(time.perf_counter() - began)
    return statistics.median(took) * 1000


def queries(store: Store, ca_id: int, count: int) -> dict[str, float]:
    """What clients and operators ask, in milliseconds; other rows each time."""
    drawn = random.Random(7)

    def row() -> int:
        return drawn.randint(1, count)

    def get_cert(tx: Tx) -> object:
        found = certificates.by_serial(tx, ca_id, "1" + noise("serial", row()).hex()[:38])
        assert found is not None
        return found

    def poll(tx: Tx) -> object:
        n = row()
        found = operations.by_alias(tx, "default", noise("tid", n).hex(), noise("spki", n))
        assert found is not None
        return found

    def replay(tx: Tx) -> object:
        found = operations.by_key(tx, "default", noise("op", row()))
        assert found is not None
        return found

    asked: dict[str, tuple[Callable[[Tx], object], int]] = {
        "GetCert by serial number": (get_cert, 300),
        "CertPoll by transactionID": (poll, 300),
        "replay by key": (replay, 300),
        "page of all certificates": (lambda tx: certificates.search(tx), 10),
        "page in the middle": (lambda tx: certificates.search(tx, before=count // 2), 10),
        "page of revoked ones": (lambda tx: certificates.search(tx, state="revoked"), 10),
        "page of expiring ones": (
            lambda tx: certificates.expiring(tx, since=NOW, before=NOW * 2), 10,
        ),
        "subject by its beginning": (
            lambda tx: certificates.by_subject(tx, f"CN=device-{row()}"), 10,
        ),
        "text in any subject, there": (
            lambda tx: certificates.search(tx, text=f"device-{count - 5}"), 3,
        ),
        "text in any subject, not there": (lambda tx: certificates.search(tx, text="zebra"), 3),
        "numbers of certificates": (lambda tx: certificates.counts(tx), 3),
    }  # fmt: skip
    return {
        name: milliseconds_of(lambda question=question: store.read(question), times)  # type: ignore[misc]
        for name, (question, times) in asked.items()
    }


@dataclass(frozen=True)
class CrlMade:
    """A CRL of all revoked certificates, made while devices enrol."""

    entries: int
    seconds: float
    bytes: int
    memory: float
    slowest: float


def make_crl(store: Store, ca_id: int) -> CrlMade:
    """Make it, and see how long the slowest enrolment beside it took, in milliseconds."""
    identity = pki.root()
    issuer = CaIssuer(identity.certificate, identity.key)
    generation = Generation(ca_id, "bench", 1, "active", identity.certificate, (), issuer)
    authority = Authority("bench", (generation,), timedelta(days=7), timedelta(days=2))
    waits: list[float] = []
    done = threading.Event()
    macs = enrolments.prepared(store, 20_000)

    def enrol() -> None:
        while not done.is_set() and (mac := next(macs, None)) is not None:
            began = time.perf_counter()
            enrolments.enrol(store, mac)
            waits.append(time.perf_counter() - began)
            time.sleep(0.01)

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    beside = threading.Thread(target=enrol)
    beside.start()
    began = time.perf_counter()
    try:
        made = crl_job.make_crl(store, authority, generation, moment(NOW), actor="bench")
        seconds = time.perf_counter() - began
    finally:
        done.set()
        beside.join()
    assert made is not None
    found = x509.load_der_x509_crl(made.der)
    after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return CrlMade(len(found), seconds, len(made.der), (after - before) / 1024, max(waits) * 1000)


def main() -> None:
    """Compare a store with much in it with an empty one."""
    parser = argparse.ArgumentParser(prog="benchmarks/growth", description=main.__doc__)
    parser.add_argument("--certificates", type=int, default=1_000_000, help="(default 1000000)")
    parser.add_argument("--only", choices=list(DIALECTS))
    parser.add_argument("--pairs", type=int, default=2000, help="enrolments a round (default 2000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument("--folder", type=Path, help="where SQLite's file is to be")
    options = parser.parse_args()
    for kind in [options.only] if options.only else list(DIALECTS):
        with database(kind, options.folder) as empty, database(kind, options.folder) as full:
            report(empty, full, options.certificates, options.pairs, options.rounds)


def report(empty: Database, full: Database, count: int, pairs: int, rounds: int) -> None:
    """Fill, measure, print."""
    a_ca(empty.store)
    ca_id = a_ca(full.store)
    seconds = fill(full, ca_id, count)
    print(f"{full.kind}: {count} certificates, {count // 10} revoked; filled in {seconds:.0f} s")
    for threads in (1, 32):
        ratios = []
        for _ in range(rounds):
            rates = [
                enrolments.measure(one.store, one.kind, threads=threads, pairs=pairs).pairs_a_second
                for one in (empty, full)
            ]
            ratios.append(rates[1] / rates[0])
        shown = ", ".join(f"{ratio:.2f}" for ratio in ratios)
        print(
            f"  enrolments, {threads} threads: {statistics.median(ratios):.2f} of an empty one's"
            f" ({shown}); {rates[1]:.0f} a second"
        )
    for name, took in queries(full.store, ca_id, count).items():
        print(f"  {name:<32}{took:10.3f} ms")
    crl = make_crl(full.store, ca_id)
    print(
        f"  CRL of {crl.entries} entries: {crl.seconds:.1f} s, {crl.bytes / 1e6:.0f} MB,"
        f" {crl.memory:.0f} MB of memory more; slowest enrolment beside it {crl.slowest:.0f} ms"
    )


if __name__ == "__main__":
    main()
