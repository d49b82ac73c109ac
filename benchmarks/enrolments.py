"""What the two transactions of an enrolment cost in the store, apart from all cryptography.

T1 claims the request, spends its challenge, reserves the serial number and writes an audit row; T2
publishes the certificate, writes an audit row and an outbox item.  Each pair is of random bytes of
the usual sizes, so that indexes grow as they do in a server.
"""

from __future__ import annotations

import os
import resource
import secrets
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from scepkit.server.issuing import serial_number
from scepkit.server.pepper import NEAR, Pepper
from scepkit.store import Store, Tx, audit, cas, certificates, challenges, claims, outbox
from scepkit.store.certificates import Reservation
from scepkit.store.challenges import NewChallenge
from scepkit.store.claims import Claim

NOW = 1_780_000_000_000
DAY = 86_400_000
CSR, SIGNER, DER = os.urandom(900), os.urandom(800), os.urandom(1000)
FROZEN = '{"tbs":"' + os.urandom(560).hex() + '"}'


def prepared(store: Store, pairs: int) -> Iterator[bytes]:
    """Makes a CA and the challenges; gives the MACs of these."""
    store.migrate()
    store.write(
        lambda tx: cas.ensure(
            tx, name="bench", key_ref="none", certificate=b"", actor="bench", now=NOW
        )
    )
    pepper = Pepper(os.urandom(32))
    minted = [pepper.challenge(pepper.new_nonce(datetime.now(UTC))) for _ in range(pairs)]
    macs = [pepper.mac(challenge) for challenge in minted]
    new = [NewChallenge(profile="default", mac=mac, expires_at=NOW + DAY) for mac in macs]
    for start in range(0, pairs, 500):
        batch = new[start : start + 500]
        store.write(lambda tx, batch=batch: challenges.mint(tx, batch, actor="bench", now=NOW))  # type: ignore[misc]
    return iter(macs)


def enrol(store: Store, mac: bytes, beside: Callable[[], object] | None = None) -> None:
    """One pair of transactions, and what is done between them."""
    subject = f"CN=device-{secrets.token_hex(6)},O=Acme"
    serial = f"{serial_number(datetime.now(UTC)):x}"
    spki, op_key = os.urandom(32), mac[:NEAR] + os.urandom(32 - NEAR)
    claim = Claim(
        profile="default",
        op_key=op_key,
        kind="enrol",
        state="approved",
        csr=CSR,
        signer=SIGNER,
        signer_spki=spki,
        transaction_id=spki.hex(),
        subject=subject,
        sans="dns:" + subject[3:20],
        lease=30_000,
        replay_window=None,
        challenge_mac=mac,
    )

    reservation = Reservation(
        ca_id=1,
        serial=serial,
        operation_id=None,
        profile="default",
        subject=subject,
        sans=claim.sans,
        not_before=NOW,
        not_after=NOW + 365 * DAY,
        spki_sha256=spki,
        frozen=FROZEN,
    )

    def begin(tx: Tx) -> int:
        operation_id = claims.accept(tx, claim, NOW, spend=mac, reservation=reservation)
        audit.record(
            tx,
            now=NOW,
            actor="challenge",
            action="request.allow",
            object=f"operation:{operation_id}",
            detail={"subject": subject, "profile": "default", "transactionID": spki.hex()},
        )
        return operation_id

    operation_id = store.write(begin)
    if beside is not None:
        beside()

    def publish(tx: Tx) -> None:
        assert certificates.publish(tx, operation_id, DER, NOW)
        audit.record(
            tx,
            now=NOW,
            actor="server",
            action="certificate.issue",
            object=f"certificate:1/{serial}",
            detail={"subject": subject, "operation": operation_id},
        )
        outbox.add(tx, "certificate.issued", {"operation": operation_id, "serial": serial}, NOW)

    store.write(publish)


@dataclass(frozen=True)
class Measured:
    """One run; CPU is the time of this process for one pair, without what `beside` takes."""

    name: str
    pairs_a_second: float
    cpu: float
    median: float
    worst: float


def measure(
    store: Store, name: str, *, threads: int, pairs: int, beside: Callable[[], object] | None = None
) -> Measured:
    """Run pairs in threads of this process; `beside` is run between the two transactions."""
    macs = prepared(store, pairs)
    took: list[float] = []

    def one(mac: bytes) -> None:
        begun = time.perf_counter()
        enrol(store, mac, beside)
        took.append(time.perf_counter() - begun)

    wall, cpu = _run(threads, one, macs)
    if beside is not None:
        cpu -= _run(threads, lambda _: beside(), iter([b""] * pairs))[1]
    return Measured(
        f"{name}, {threads} thread{'s' if threads > 1 else ''}{', RSA' if beside else ''}",
        pairs / wall,
        cpu / pairs * 1000,
        statistics.median(took) * 1000,
        max(took) * 1000,
    )


def _run(
    threads: int, work: Callable[[bytes], object], inputs: Iterator[bytes]
) -> tuple[float, float]:
    """Work through the inputs; wall time and the process's CPU time in seconds."""
    mutex = threading.Lock()

    def take() -> None:
        while True:
            with mutex:
                one = next(inputs, None)
            if one is None:
                return
            work(one)

    workers = [threading.Thread(target=take) for _ in range(threads)]
    wall, used = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    after = resource.getrusage(resource.RUSAGE_SELF)
    cpu = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
    return time.perf_counter() - wall, cpu


def table(results: Sequence[Measured]) -> str:
    """The results for people."""
    lines = [f"{'':28}{'pairs/s':>9}{'CPU ms':>9}{'median ms':>11}{'worst ms':>10}"]
    lines += [
        f"{one.name:28}{one.pairs_a_second:9.0f}{one.cpu:9.3f}{one.median:11.2f}{one.worst:10.1f}"
        for one in results
    ]
    return "\n".join(lines)
