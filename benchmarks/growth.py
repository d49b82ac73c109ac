"""The command behind `benchmarks/growth`: what a server costs when much is in its database.

Enrolments are measured with an empty and with a full database by turns, so that a change of the
machine's speed meets both: first the two transactions of each alone, then whole ones over HTTP.
Queries find other rows each time.  A CRL is made by a process of its own, as a server does it.
"""

from __future__ import annotations

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing import get_context
from pathlib import Path

from cryptography import x509

from benchmarks import enrolments, machine, page, servers, throughput
from benchmarks.filling import fill_postgres, fill_sqlite, near, noise, serial
from scepkit.ca.authority import CaIssuer
from scepkit.server import crl_job
from scepkit.server.roles import Authority, Generation
from scepkit.store import Store, Tx, certificates, open_store, operations, searching
from scepkit.store.rows import moment
from tests import pki
from tests.store.postgres_server import PostgresServer

NOW = enrolments.NOW
#: The only CA of a database that `scepkit init` made.
CA = 1
#: After this, and before the next end, a page has what was found.
#: Seconds for a round over HTTP.
_ROUND = 120.0
#: Between two enrolments beside the making of a CRL, in seconds.
_PAUSE = 0.01


@dataclass(frozen=True)
class Home:
    """A CA with its database: how it is opened, and the first process of PostgreSQL or 0."""

    config: Path
    url: str
    postgres: PostgresServer | None

    def fill(self, count: int, revoked: int) -> float:
        """Put so many certificates into the database, every nth revoked; the seconds it took."""
        began = time.perf_counter()
        if self.postgres is None:
            file = Path(self.url.removeprefix("sqlite:///"))
            fill_sqlite(file, count, NOW, revoked=revoked)
        else:
            fill_postgres(self.postgres, count, NOW, revoked=revoked)
        return time.perf_counter() - began


@contextmanager
def home(kind: str, place: Path | None) -> Iterator[Home]:
    """A new CA."""
    with tempfile.TemporaryDirectory(prefix="scepkit-bench-", dir=place) as made, ExitStack() as at:
        folder, postgres = Path(made), None
        options = []
        if kind == "postgresql":
            postgres = PostgresServer(fsync=True)
            at.callback(postgres.remove)
            options = ["--database", postgres.url("postgres")]
        config = servers.initialised(folder, *options)
        url = options[1] if options else f"sqlite:///{config.parent / 'scepkit.db'}"
        yield Home(config, url, postgres)


# ------------------------------------------------------------------------------------- measuring


def queries(store: Store, count: int) -> dict[str, list[float]]:
    """What clients and operators ask, in sorted milliseconds; other rows each time."""
    drawn = random.Random(7)

    def row() -> int:
        return drawn.randint(1, count)

    def get_cert(tx: Tx) -> object:
        found = certificates.by_serial(tx, CA, serial(row()))
        assert found is not None
        return found

    def poll(tx: Tx) -> object:
        n = row()
        found = operations.by_alias(tx, "default", noise("tid", n).hex(), noise("spki", n))
        assert found is not None
        return found

    def replay(tx: Tx) -> object:
        found = operations.by_key(tx, "default", near("op", row()))
        assert found is not None
        return found

    def containing(text: str) -> Callable[[Tx], object]:
        return lambda tx: certificates.search(
            tx, text=text, after=searching.floor(tx, "certificate", None)
        )

    asked: dict[str, tuple[Callable[[Tx], object], int]] = {
        "GetCert by serial number": (get_cert, 1000),
        "CertPoll by transactionID": (poll, 1000),
        "replay by key": (replay, 1000),
        "page of all certificates": (lambda tx: certificates.search(tx), 10),
        "page in the middle": (lambda tx: certificates.search(tx, before=row()), 10),
        "page of revoked ones": (lambda tx: certificates.search(tx, state="revoked"), 10),
        "page of expiring ones": (
            lambda tx: certificates.expiring(tx, since=NOW, before=NOW * 2), 10,
        ),
        "page of a search, found": (containing(f"device-{count - 5},"), 5),
        "page of a search, not found": (containing("zebra"), 5),
        "page of requests": (lambda tx: operations.search(tx), 10),
        "page of pending requests": (lambda tx: operations.search(tx, state="pending"), 10),
    }  # fmt: skip
    return {
        name: _milliseconds(store, question, times) for name, (question, times) in asked.items()
    }


def _milliseconds(store: Store, question: Callable[[Tx], object], times: int) -> list[float]:
    took = []
    for _ in range(times):
        began = time.perf_counter()
        store.read(question)
        took.append((time.perf_counter() - began) * 1000)
    return sorted(took)


@dataclass(frozen=True)
class CrlMade:
    """A CRL of all revoked certificates: size in bytes, memory in MB that its making took."""

    entries: int
    seconds: float
    cpu: float
    bytes: int
    memory: float


def make_crl(url: str) -> CrlMade:
    """Make a CRL, in a process that does nothing else."""
    identity = pki.root()
    issuer = CaIssuer(identity.certificate, identity.key)
    generation = Generation(CA, "bench", 1, "active", identity.certificate, (), issuer)
    authority = Authority("bench", (generation,), timedelta(days=7), timedelta(days=2))
    with open_store(url, node="crl") as store:
        store.check_schema()
        before = machine.most_megabytes()
        cpu, began = time.process_time(), time.perf_counter()
        made = crl_job.make_crl(store, authority, generation, moment(NOW), actor="bench")
        seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
        memory = machine.most_megabytes() - before
    assert made is not None
    entries = len(x509.load_der_x509_crl(made.der))
    return CrlMade(entries, seconds, cpu, len(made.der), memory)


def crl_beside(store: Store, url: str) -> tuple[CrlMade, list[float], list[float]]:
    """A CRL; and what enrolments one after the other took before it and beside it, sorted."""
    macs = enrolments.prepared(store, 20_000)

    def enrolled(enough: Callable[[int], bool]) -> list[float]:
        took: list[float] = []
        while not enough(len(took)) and (mac := next(macs, None)) is not None:
            began = time.perf_counter()
            enrolments.enrol(store, mac)
            took.append((time.perf_counter() - began) * 1000)
            time.sleep(_PAUSE)
        return sorted(took)

    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        pool.submit(int).result()
        alone = enrolled(lambda count: count >= 300)
        making = pool.submit(make_crl, url)
        beside = enrolled(lambda _: making.done())
        return making.result(), alone, beside


def over_http(
    empty: Home, full: Home, options: argparse.Namespace
) -> Iterator[tuple[throughput.Round, throughput.Round]]:
    """Rounds of whole enrolments, with the empty and with the full database."""
    with ExitStack() as stack:
        running = [
            stack.enter_context(
                servers.serving(
                    one.config, options.workers, one.postgres.pid if one.postgres else 0
                )
            )
            for one in (empty, full)
        ]
        for number in range(options.rounds):
            first, second = (
                throughput.one_round(one, options.enrolments, 64, number, _ROUND) for one in running
            )
            yield first, second


# ------------------------------------------------------------------------------------- telling


def report(kind: str, options: argparse.Namespace) -> Iterator[str]:
    """Fill, measure, tell."""
    with home(kind, options.folder) as empty, home(kind, options.folder) as full:
        seconds = full.fill(options.certificates, options.revoked)
        name = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}[kind]
        revoked = options.certificates // options.revoked
        yield (
            f"**{name}**, {options.certificates:,} certificates, {revoked:,} of"
            f" them revoked (filled in {seconds:.0f} s):"
        )
        yield ""
        with (
            open_store(empty.url, node="bench") as nothing,
            open_store(full.url, node="bench") as much,
        ):
            if not options.only_crl:
                yield from _enrolments(nothing, much, kind, options)
                yield from _queries(much, options.certificates)
            yield from _crl(much, full.url)
        if not options.only_crl:
            yield from _whole(empty, full, options)
        yield ""


def _enrolments(empty: Store, full: Store, kind: str, options: argparse.Namespace) -> Iterator[str]:
    for threads in (1, 32):
        ratios, rates = [], [0.0, 0.0]
        for _ in range(options.rounds):
            rates = [
                enrolments.measure(one, kind, threads=threads, pairs=options.pairs).pairs_a_second
                for one in (empty, full)
            ]
            ratios.append(rates[1] / rates[0])
        yield (
            f"* transactions of enrolments, {threads} threads: {_spread(ratios)} of an empty"
            f" database's rate, {rates[1]:.0f} a second"
        )


def _queries(full: Store, count: int) -> Iterator[str]:
    for name, took in queries(full, count).items():
        last = took[len(took) * 99 // 100]
        yield f"* {name}: {statistics.median(took):.2f} ms; 99 of 100 within {last:.2f} ms"


def _crl(full: Store, url: str) -> Iterator[str]:
    crl, alone, beside = crl_beside(full, url)
    yield (
        f"* a CRL of {crl.entries:,} entries: {crl.seconds:.1f} s, {crl.cpu:.1f} s of CPU,"
        f" {crl.bytes / 1e6:.0f} MB long, {crl.memory:.0f} MB of memory"
    )
    for when, took in (("before", alone), ("beside", beside)):
        yield (
            f"* transactions of an enrolment {when} it: {statistics.median(took):.1f} ms, 99 of 100"
            f" within {took[len(took) * 99 // 100]:.1f} ms, the slowest {took[-1]:.0f} ms"
        )


def _whole(empty: Home, full: Home, options: argparse.Namespace) -> Iterator[str]:
    rounds = list(over_http(empty, full, options))
    rates = _spread([b.rate / a.rate for a, b in rounds])
    cpu = _spread([b.cpu / a.cpu for a, b in rounds])
    faults = sum((b.faults for _, b in rounds), rounds[0][1].faults - rounds[0][1].faults)
    yield (
        f"* enrolments over HTTP, 64 connections, {options.workers} workers: {rates} of an empty"
        f" database's rate, {statistics.median(b.rate for _, b in rounds):.0f} a second;"
        f" {cpu} of its CPU; faults: {dict(faults) or 'none'}"
    )


def _spread(ratios: list[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def main() -> None:
    """Compare a server with much in its database with one with nothing in it."""
    parser = argparse.ArgumentParser(prog="benchmarks/growth", description=main.__doc__)
    parser.add_argument("--certificates", type=int, default=1_000_000, help="(default 1000000)")
    parser.add_argument("--revoked", type=int, default=10, help="every nth is (default 10)")
    parser.add_argument("--only-crl", action="store_true", help="measure nothing but a CRL")
    parser.add_argument("--only", choices=["sqlite", "postgresql"])
    parser.add_argument("--pairs", type=int, default=2000, help="in a round (default 2000)")
    parser.add_argument("--enrolments", type=int, default=1000, help="over HTTP (default 1000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument("--workers", type=int, default=1, help="(default 1)")
    parser.add_argument("--folder", type=Path, help="where SQLite's files are to be")
    parser.add_argument("--markdown", type=Path, help="a page where the figures are written anew")
    options = parser.parse_args()
    lines = [machine.described(), ""]
    print(lines[0])
    for kind in [options.only] if options.only else ["sqlite", "postgresql"]:
        for line in report(kind, options):
            print(line, flush=True)
            lines.append(line)
    if options.markdown:
        page.write(options.markdown, "growth", "\n".join(lines).strip())


if __name__ == "__main__":
    main()
