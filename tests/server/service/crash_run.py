"""The crash test: so many kills, then the question whether the promises were kept.

    python -m tests.server.service.crash_run --kills 1000 --database postgresql

It is a program because it forks: nothing else may have threads in its process.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any

from cryptography import x509

from scepkit.server import jobs
from scepkit.server.service import ScepService
from scepkit.store import Store, certificates, crls
from scepkit.store.rows import milliseconds
from tests.server.service.crashing import ANYWHERE, LEASE, STEPS, Crash
from tests.server.service.world import DAY, NOW
from tests.server.verdict import broken

#: A server that is that broken need not be tried further.
MOST_FAULTS = 20

Work = Callable[[], object]


def each_step_once(crash: Crash) -> Iterator[Work]:
    """Kill once at every step of everything."""
    for step in STEPS["enrol"]:
        yield partial(crash.enrol, [step])
    for step in STEPS["renew"]:
        yield partial(crash.renew, [step])
    for step in STEPS["hold"]:
        yield partial(crash.approve, [step], (), ())
    for step in STEPS["decide"]:
        yield partial(crash.approve, (), [step], ())
    for step in STEPS["pick up"]:
        yield partial(crash.approve, (), (), [step])
    for step in STEPS["crl"]:
        yield partial(crash.revoke_and_publish, [step])
    for step in STEPS["outbox"]:
        yield partial(crash.tell, [step])
    for step in STEPS["deny"]:
        yield partial(crash.be_robbed, [step])


def at_random(crash: Crash, kills: int) -> Iterator[Work]:
    """Work that is killed up to four times each, until there were so many kills."""
    draw = crash.random

    def plan(kind: str) -> list[str | None]:
        steps = STEPS.get(kind, ())
        choice = (*steps, *[ANYWHERE] * (1 + len(steps) // 3))
        return [draw.choice(choice) for _ in range(draw.randint(1, 4))]

    def approve() -> None:
        crash.approve(plan("hold"), plan("decide"), plan("pick up"))

    kinds: tuple[Work, ...] = (
        lambda: crash.enrol(plan("enrol")),
        lambda: crash.renew(plan("renew")),
        approve,
        lambda: crash.revoke_and_publish(plan("crl")),
        lambda: crash.tell(plan("outbox")),
        lambda: crash.be_robbed(plan("deny")),
        lambda: crash.seal(plan("seal")),
    )
    while sum(crash.kills.values()) < kills:
        yield draw.choices(kinds, (4, 3, 3, 1, 1, 1, 1))[0]


# ------------------------------------------------------------------ the verdict


def figures(crash: Crash) -> dict[str, Any]:
    """Let what is left be done, then count; everything under "broken" has to be 0."""
    crash.later(DAY)
    with crash.opened() as store:
        service = ScepService(store, crash.world.service.deployment, lease=LEASE)
        swept = jobs.sweep(service, crash.now)
        while jobs.deliver_outbox(service, crash.now):
            crash.later(timedelta(minutes=6))
        jobs.make_due_crls(service, crash.now)
        jobs.seal_audit(store, crash.now)
        return {
            "kills": sum(crash.kills.values()),
            "by step": {f"{kind}: {step}": n for (kind, step), n in sorted(crash.kills.items())},
            "retries": dict(crash.shapes),
            "requests": len(crash.ledger.asked),
            "certificates": _one(store, "SELECT count(*) FROM certificate"),
            "challenges": crash.ledger.challenges,
            "thefts refused": crash.ledger.thefts,
            "finished by the last sweep": swept,
            "what failed": crash.faults,
            "broken": {
                "faults": len(crash.faults),
                **broken(crash.ledger, store),
                **_untold(crash, store),
                "CRL numbers twice": _one(
                    store,
                    "SELECT count(*) FROM (SELECT number FROM crl GROUP BY ca_id, number"
                    " HAVING count(*) > 1) x",
                ),
                "revocations in no CRL": _unlisted(crash, store),
            },
        }


def _untold(crash: Crash, store: Store) -> dict[str, int]:
    """Notices: one for each certificate is written, and at least one of each is heard."""
    all_of_them = "SELECT der FROM certificate WHERE der IS NOT NULL"
    stored = store.read(lambda tx: {bytes(der) for (der,) in tx.all(all_of_them)})
    return {
        "notices, more or less than certificates": _one(
            store, "SELECT count(*) FROM outbox WHERE kind = 'notify.issued'"
        )
        - len(stored),
        "notices not told": _one(store, "SELECT count(*) FROM outbox WHERE done_at IS NULL"),
        "certificates never told": len(stored - crash.notices.heard()),
    }


def _unlisted(crash: Crash, store: Store) -> int:
    ca_id = crash.world.authority.active.ca_id
    newest = store.read(lambda tx: crls.newest(tx, ca_id))
    listed = set()
    if newest is not None:
        listed = {f"{one.serial_number:x}" for one in x509.load_der_x509_crl(newest.der)}
    revoked = store.snapshot(
        lambda tx: [
            one.serial for one in certificates.revoked(tx, ca_id, not_after_from=milliseconds(NOW))
        ]
    )
    return len(set(revoked) - listed)


def _one(store: Store, sql: str) -> int:
    ((number,),) = store.read(lambda tx: tx.all(sql))
    return int(number)


# ------------------------------------------------------------------ the program


def run(url: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill so often (and at each step at least once), then look."""
    with tempfile.TemporaryDirectory() as folder:
        crash = Crash(url, seed, Path(folder))
        for work in chain(each_step_once(crash), at_random(crash, kills)):
            try:
                work()
            except Exception as problem:  # the verdict will say what came of it
                crash.faults.append(f"{type(problem).__name__}: {problem}")
            if len(crash.faults) >= MOST_FAULTS:
                break
        return figures(crash)


@contextmanager
def _database(named: str) -> Iterator[str]:
    """The URL: as it was given, or of a database of our own."""
    if named == "postgresql":
        from tests.store.postgres_server import PostgresServer

        server = PostgresServer()
        try:
            yield server.url(server.new_database())
        finally:
            server.remove()
    elif named:
        yield named
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/scepkit.db"


def main() -> int:
    """Print the figures; 0 when nothing is broken."""
    parser = argparse.ArgumentParser(prog="scripts/crash-test", description=main.__doc__)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument(
        "--database",
        default="",
        help='URL, or "postgresql" for a server of its own; without it a temporary SQLite file',
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with _database(options.database) as url:
        found = run(url, options.kills, options.seed)
    if options.json:
        sys.stdout.write(json.dumps(found))
    else:
        show(found)
    return 1 if any(found["broken"].values()) else 0


def show(found: dict[str, Any]) -> None:
    """Print figures for people."""
    for name, value in found.items():
        if isinstance(value, dict):
            sys.stdout.write(f"{name}\n")
            for key, one in value.items():
                sys.stdout.write(f"  {one!s:>6}  {key}\n")
        else:
            sys.stdout.write(f"{value!s:>8}  {name}\n")


if __name__ == "__main__":
    raise SystemExit(main())
