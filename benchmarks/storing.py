"""The command behind `benchmarks/store`."""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from benchmarks import enrolments
from scepkit.store import Store, open_store


def main() -> None:
    """Print how many enrolments a second the store takes, and what each costs."""
    parser = argparse.ArgumentParser(prog="benchmarks/store", description=main.__doc__)
    parser.add_argument("--pairs", type=int, default=4000, help="enrolments a run (default 4000)")
    parser.add_argument("--threads", type=int, nargs="*", default=[1, 32], help="(default 1 32)")
    parser.add_argument("--only", choices=["sqlite", "postgresql"], help="one of the databases")
    parser.add_argument("--folder", type=Path, help="where SQLite's file is to be")
    options = parser.parse_args()
    rsa_operations = three_private_operations()
    results = []
    for kind in [options.only] if options.only else ["sqlite", "postgresql"]:
        for threads in options.threads:
            for beside in (None, rsa_operations):
                with STORES[kind](options.folder) as store:
                    results.append(
                        enrolments.measure(
                            store, kind, threads=threads, pairs=options.pairs, beside=beside
                        )
                    )
    print(enrolments.table(results))


def three_private_operations() -> Callable[[], object]:
    """What an enrolment costs in RSA at least."""
    key = rsa.generate_private_key(65537, 2048)

    def run() -> None:
        for _ in range(3):
            key.sign(b"x", padding.PKCS1v15(), hashes.SHA256())

    return run


@contextmanager
def _sqlite(folder: Path | None) -> Iterator[Store]:
    with (
        tempfile.TemporaryDirectory(dir=folder) as name,
        open_store(f"sqlite:///{name}/store.db", node="bench") as store,
    ):
        yield store


@contextmanager
def _postgresql(folder: Path | None) -> Iterator[Store]:
    from tests.store.postgres_server import PostgresServer

    server = PostgresServer(fsync=True)
    try:
        with open_store(server.url(server.new_database()), node="bench") as store:
            yield store
    finally:
        server.remove()


STORES = {"sqlite": _sqlite, "postgresql": _postgresql}


if __name__ == "__main__":
    main()
