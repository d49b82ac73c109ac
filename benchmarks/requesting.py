"""The command behind `benchmarks/client`: many enrolments through one client.

The CA is the embedded test CA, over HTTP on loopback, in a process of its own.  What is measured is
the processor time of the client's process, per enrolment; the unit is the cryptography that an
enrolment cannot do without, measured in the same run before, between and after: the signatures of
the self-signed certificate and of the message, the encryption of its key, the decryption of the
reply's, the verification of the reply and of the issued certificate: 3 private operations, 1
encryption, 2 verifications.  The keys that verify and encrypt are the CA's, used before.  Digests
and AES, some 10 microseconds, do not count.  Keys and requests (PKCS #10) are made beforehand, and
are in neither figure: whoever has 10,000 devices gets them from the devices.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import resource
import statistics
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from benchmarks import machine, page
from scepkit import AsyncClient, Client, Fingerprint, HttpRequest, HttpResponse, Issued, build_csr
from scepkit.testing import Policy, TestCa
from scepkit.transport import HttpOptions, HttpTransport, ThreadedTransport

#: Requests are made for so many keys; each enrolment has a subject of its own.
_KEYS = 32
#: RSS counts from here: until then pools and caches fill.
_WARM = 500
_SPEEDS = 9


@dataclass(frozen=True)
class Work:
    """One enrolment to be: a request (DER) and its key."""

    csr: bytes
    key: rsa.RSAPrivateKey


EnrolAll = Callable[[list[Work]], None]
#: Gets the URL, the fingerprint, the transport, and how many at once.
Driver = Callable[[str, str, "Counting", int], AbstractContextManager[EnrolAll]]


@dataclass(frozen=True)
class Measured:
    """What a run took; times in microseconds of processor time per enrolment."""

    enrolments: int
    ours: float
    bare: float
    requests: int
    megabytes: float
    growth: float
    seconds: float


class Counting:
    """A transport that counts the exchanges of another."""

    def __init__(self, transport: HttpTransport) -> None:
        self._transport = transport
        self._lock = threading.Lock()
        self.requests = 0

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Count, and pass on."""
        with self._lock:
            self.requests += 1
        return self._transport.exchange(request)

    def close(self) -> None:
        """Close the other."""
        self._transport.close()


def main() -> None:
    """Print what a client adds to the cryptography of its enrolments."""
    parser = argparse.ArgumentParser(prog="benchmarks/client", description=main.__doc__)
    parser.add_argument("--enrolments", type=int, default=10_000, help="(default 10,000)")
    parser.add_argument("--rounds", type=int, default=3, help="(default 3)")
    parser.add_argument("--parallel", type=int, default=16, help="at once (default 16)")
    parser.add_argument("--driver", choices=list(DRIVERS), help="only one of them")
    parser.add_argument("--markdown", type=Path, help="a page whose table is written anew")
    options = parser.parse_args()
    load = os.getloadavg()[0]
    rows: list[tuple[str, ...]] = [_HEADS]
    drivers = [options.driver] if options.driver else list(DRIVERS)
    runs: dict[str, list[Measured]] = {name: [] for name in drivers}
    for _ in range(options.rounds):
        for name in drivers:
            runs[name].append(measure(DRIVERS[name], options.enrolments, options.parallel))
    rows += [_row(name, runs[name]) for name in drivers]
    title = (
        f"{machine.described()}\n\n"
        f"{options.enrolments:,} enrolments over HTTP with {options.parallel} at once (RSA-2048); "
        f"median of {options.rounds} (lowest to highest); load average before: {load:.1f}."
    )
    print("\n".join([title, "", *("".join(f"{cell:>22}" for cell in row) for row in rows)]))
    if options.markdown:
        rows.insert(1, ("---", *["---:"] * (len(_HEADS) - 1)))
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        page.write(options.markdown, "client", f"{title}\n\n{table}")


def _row(name: str, runs: list[Measured]) -> tuple[str, ...]:
    """A line of the table: medians, and the spread of the ratio and the rate."""

    def middle(of: Callable[[Measured], float]) -> float:
        return statistics.median(map(of, runs))

    def spread(of: Callable[[Measured], float], form: str) -> str:
        values = sorted(map(of, runs))
        return f"{middle(of):{form}} ({values[0]:{form}} to {values[-1]:{form}})"

    return (
        name,
        f"{middle(lambda one: one.ours):.0f}",
        f"{middle(lambda one: one.bare):.0f}",
        spread(lambda one: one.ours / one.bare, ".2f"),
        f"{max(one.requests for one in runs):,}",
        f"{middle(lambda one: one.megabytes):.1f}",
        f"{middle(lambda one: one.growth):.1f}",
        spread(lambda one: one.enrolments / one.seconds, ".0f"),
    )


_HEADS = ("", "CPU µs", "floor µs", "ratio", "requests", "RSS MB", "growth MB", "each second")


def measure(drive: Driver, enrolments: int, parallel: int) -> Measured:
    """Enrol so often, so many at once, against a fresh CA."""
    keys = [rsa.generate_private_key(65537, 2048) for _ in range(_KEYS)]
    with _ca() as (url, fingerprint):
        transport = Counting(HttpTransport(HttpOptions(max_connections=parallel)))
        todo = iter(list(_todo(keys, enrolments)))  # all of them now, or they would be growth
        speeds: list[float] = []
        resident: list[float] = []
        spent = seconds = 0.0

        def between() -> None:
            speeds.extend(bare_microseconds(keys[0], keys[1]) for _ in range(_SPEEDS))

        between()
        with drive(url, fingerprint, transport, parallel) as enrol_all:
            for portion in (_WARM, (enrolments - _WARM) // 2, enrolments - _WARM):
                work = list(islice(todo, max(0, min(portion, enrolments))))
                started, before = perf_counter(), _cpu()
                enrol_all(work)
                spent += _cpu() - before
                seconds += perf_counter() - started
                resident.append(_resident())
                between()
    return Measured(
        enrolments=enrolments,
        ours=spent / enrolments * 1e6,
        bare=statistics.median(speeds),
        requests=transport.requests,
        megabytes=resident[-1],
        growth=resident[-1] - resident[0],
        seconds=seconds,
    )


def _todo(keys: list[rsa.RSAPrivateKey], enrolments: int) -> Iterator[Work]:
    for number, key in zip(range(enrolments), cycle(keys), strict=False):
        csr = build_csr(key, f"CN=device{number},O=Acme", challenge="secret")
        yield Work(csr.public_bytes(Encoding.DER), key)


def bare_microseconds(key: rsa.RSAPrivateKey, peer: rsa.RSAPrivateKey) -> float:
    """Processor time of the RSA operations of one enrolment, at the client's side."""
    data, content_key, pkcs1, sha256 = bytes(300), bytes(16), padding.PKCS1v15(), hashes.SHA256()
    signature = peer.sign(data, pkcs1, sha256)
    public, encrypted = peer.public_key(), key.public_key().encrypt(content_key, pkcs1)
    before = _cpu()
    for _ in range(20):
        key.sign(data, pkcs1, sha256)
        key.sign(data, pkcs1, sha256)
        public.encrypt(content_key, pkcs1)
        public.verify(signature, data, pkcs1, sha256)
        key.decrypt(encrypted, pkcs1)
        public.verify(signature, data, pkcs1, sha256)
    return (_cpu() - before) / 20 * 1e6


# ------------------------------------------------------------------ the two drivers


@contextmanager
def _by_asyncio(
    url: str, fingerprint: str, transport: Counting, parallel: int
) -> Iterator[EnrolAll]:
    with asyncio.Runner() as runner:
        client = AsyncClient(
            url,
            trust=Fingerprint(fingerprint),
            transport=ThreadedTransport(transport, max_threads=parallel),
        )

        async def enrol_all(works: list[Work]) -> None:
            waiting = iter(works)

            async def enrol_next() -> None:
                for work in waiting:
                    _expect_issued(await client.enrol(work.csr, work.key))

            async with asyncio.TaskGroup() as group:
                for _ in range(parallel):
                    group.create_task(enrol_next())

        yield lambda works: runner.run(enrol_all(works))
        runner.run(client.aclose())


@contextmanager
def _by_threads(
    url: str, fingerprint: str, transport: Counting, parallel: int
) -> Iterator[EnrolAll]:
    with (
        Client(url, trust=Fingerprint(fingerprint), transport=transport) as client,
        ThreadPoolExecutor(parallel) as threads,
    ):

        def enrol(work: Work) -> None:
            _expect_issued(client.enrol(work.csr, work.key))

        yield lambda works: list(threads.map(enrol, works)).clear()


def _expect_issued(result: object) -> None:
    if not isinstance(result, Issued):
        raise SystemExit(f"the CA answered with {result}")


DRIVERS = {"AsyncClient": _by_asyncio, "threads": _by_threads}

# ------------------------------------------------------------------ the CA


@contextmanager
def _ca() -> Iterator[tuple[str, str]]:
    """A test CA in a process of its own: (URL, fingerprint)."""
    ours, its = get_context("spawn").Pipe()
    process = get_context("spawn").Process(target=serve, args=(its,), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        ours.send(None)
        process.join()


def serve(orders: Connection) -> None:
    """Be the CA until something is said."""
    ca = TestCa(policy=Policy(challenge="secret"))
    with ca.serve() as url:
        orders.send((url, ca.fingerprint))
        orders.recv()


def _cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def _resident() -> float:
    with open("/proc/self/statm") as file:  # noqa: PTH123
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


if __name__ == "__main__":
    main()
