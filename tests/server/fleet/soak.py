"""A server under load for as long as one likes, while its processes are killed at random.

    python -m tests.server.fleet.soak --minutes 30

Devices enrol and renew with one-time challenges; first as many as can be, to learn how much the
machine does, then at a part of that (80 %).  Meanwhile processes are killed with SIGKILL; with
several nodes also whole nodes, which are started again; with `--restart-database` PostgreSQL is
stopped as by a power cut.  One worker is never killed, so that its memory can be watched over the
whole time; that of the others begins anew with each kill.  In the end the database and the devices
are asked whether the promises were kept.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.server.fleet.clients import Fleet
from tests.server.fleet.memory import SPAN, Memory, resident
from tests.server.fleet.sites import Node, Site
from tests.server.fleet.verdict import verdict
from tests.store.postgres_server import PostgresServer

#: The process of the first node that is never killed.
SPARED = "worker-1"
#: What a worker may grow by in `memory.SPAN` certificates and still be called flat, and what it may
#: have at all, in MiB.
FLAT_MIB, MOST_MIB = 8.0, 120.0
#: Shorter runs are not judged by it: the cache of SQLite fills for the first 50,000 certificates of
#: a worker, most of which is to be in the first quarter.
_LONG = 150_000
#: Seconds between two lines about how it goes.
_TELL = 60.0
#: What is logged as an error because of what was done to the server.
_MEANT = ("a process ended that should not have", 'cannot work reason="the database cannot be')


class Soak:
    """One run."""

    def __init__(self, options: argparse.Namespace, site: Site, stack: ExitStack) -> None:
        self.options = options
        self.site = site
        self.random = random.Random(options.seed)
        self.began = time.monotonic()
        self.kills: dict[str, int] = {}
        self.memory: dict[str, Memory] = {}
        self._tell_at = self.began + _TELL
        self.nodes = []
        self._stop = threading.Event()
        for number in range(options.nodes):
            node = Node(site, f"node{number + 1}")
            stack.callback(node.stop)
            self.nodes.append(node.start())

    def run(self, database: PostgresServer | None) -> dict[str, Any]:
        """Load, kill, watch; then the figures."""
        options = self.options
        seconds = options.minutes * 60
        with Fleet(self.site, self.nodes, devices=options.devices, seed=options.seed) as fleet:
            capacity = self._capacity(fleet, min(20.0, seconds / 5))
            fleet.rate = capacity * options.load
            self.began = time.monotonic()
            before, requests = fleet.issued, fleet.counts["requests"]
            own, servers = time.process_time(), cpu_seconds(self.nodes[0])
            self._disturb(fleet, seconds, database)
            lasted = time.monotonic() - self.began
            own, servers = time.process_time() - own, cpu_seconds(self.nodes[0]) - servers
            issued, requests = fleet.issued - before, fleet.counts["requests"] - requests
        with self.site.opened() as store:
            found = verdict(fleet, store)
        return {
            "seconds": round(lasted),
            "certificates a second, at most": round(capacity, 1),
            "certificates a second, under load": round(issued / lasted, 1),
            "ms of CPU of the devices, each certificate": round(own / issued * 1000, 2),
            "ms of CPU of the first node, each certificate": round(servers / issued * 1000, 2),
            "certificates": fleet.issued,
            "requests": fleet.counts["requests"],
            "requests under load": requests,
            "kills": sum(self.kills.values()),
            "killed": self.kills,
            "retries": sum(times for what, times in fleet.counts.items() if "retry" in what),
            "thefts refused": fleet.ledger.thefts,
            "what happened": dict(sorted(fleet.counts.items())),
            "memory in MiB": {name: one.summary() for name, one in self.memory.items()},
            "what failed": fleet.failures[:20],
            "logged": self._logged(),
            **found,
        }

    def _capacity(self, fleet: Fleet, seconds: float) -> float:
        """How many certificates a second there are when everybody asks as fast as he can."""
        fleet.until(2 * self.options.devices)
        before, began = fleet.issued, time.monotonic()
        time.sleep(seconds)
        return max(1.0, (fleet.issued - before) / (time.monotonic() - began))

    def _disturb(self, fleet: Fleet, seconds: float, database: PostgresServer | None) -> None:
        options = self.options
        end = self.began + seconds
        kill_at = self.began + options.kill_every
        restart_at = self.began + options.restart_database if database else end
        while (now := time.monotonic()) < end:
            if now >= kill_at:
                self._kill((now - self.began) / seconds)
                # A process that dies young is started again ever later.
                kill_at = now + options.kill_every * self.random.uniform(0.5, 1.5)
            if database is not None and now >= restart_at:
                self._restart(database)
                restart_at = time.monotonic() + options.restart_database
            self._sample(fleet.issued)
            self._tell(fleet, now - self.began)
            time.sleep(min(1.0, options.kill_every / 4))

    def _kill(self, progress: float) -> None:
        node = self.random.choice(self.nodes)
        first = node is self.nodes[0]
        if not first and self.random.random() < 1 / 3:
            node.kill()
            self._count("a whole node")
            time.sleep(self.random.uniform(0, 2))
            node.start()
            return
        node.read_log()
        names = sorted(node.pids)
        if first:
            names.remove(SPARED)
            if progress > 1 / 2:  # its memory is to be watched, too
                names.remove("jobs")
        if names:
            name = self.random.choice(names)
            if node.kill_process(name):
                self._count("jobs" if name == "jobs" else "worker")

    def _restart(self, database: PostgresServer) -> None:
        database.stop("immediate")
        time.sleep(self.random.uniform(0, 3))
        database.start()
        self._count("PostgreSQL")

    def _count(self, what: str) -> None:
        self.kills[what] = self.kills.get(what, 0) + 1

    def _sample(self, issued: int) -> None:
        node = self.nodes[0]
        node.read_log()
        supervisor = node.process
        assert supervisor is not None
        for name, pid in {"supervisor": supervisor.pid, **node.pids}.items():
            mib = resident(pid)
            if mib is not None:
                self.memory.setdefault(name, Memory()).samples.append((issued, mib))

    def _tell(self, fleet: Fleet, at: float) -> None:
        """Say now and then how it goes."""
        if self.began + at < self._tell_at:
            return
        self._tell_at += _TELL
        sizes = [f"{name} {one.samples[-1][1]:.1f}" for name, one in self.memory.items()]
        sys.stderr.write(
            f"{at:5.0f} s: {fleet.issued} certificates, {sum(self.kills.values())} kills,"
            f" {len(fleet.failures)} failures; MiB: {', '.join(sizes)}\n"
        )

    def _logged(self) -> list[str]:
        """What servers logged as errors, without what was meant."""
        for node in self.nodes:
            node.read_log()
        return [
            line
            for node in self.nodes
            for line in node.problems
            if not any(words in line for words in _MEANT)
        ][:20]


def cpu_seconds(node: Node) -> float:
    """What the processes of a node have used, with those that are dead."""
    assert node.process is not None
    supervisor = _times(node.process.pid)
    return sum(supervisor) + sum(sum(_times(pid)[:2]) for pid in node.pids.values())


def _times(pid: int) -> list[float]:
    """User, system, and both of the children that are gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:15]
    except OSError:
        return [0.0]
    return [int(one) / os.sysconf("SC_CLK_TCK") for one in fields]


def verdict_is_good(figures: dict[str, Any], memory: dict[str, Memory]) -> bool:
    """Whether nothing is what may not be, and memory is as it should be."""
    wrong = [
        name for name, value in list(figures.items())[list(figures).index("what failed") :] if value
    ]
    line = memory[SPARED].line()
    long = figures["certificates"] >= _LONG
    if long and line is not None and line.over(SPAN)[1] > FLAT_MIB:
        wrong.append(f"{SPARED} grows by more than {FLAT_MIB} MiB in {SPAN} certificates")
    wrong += [
        f"{name} had {one.most:.1f} MiB" for name, one in memory.items() if one.most > MOST_MIB
    ]
    figures["wrong"] = wrong
    return not wrong


@contextmanager
def _database(named: str) -> Iterator[PostgresServer | None]:
    if named != "postgresql":
        yield None
        return
    server = PostgresServer(fsync=True)
    try:
        yield server
    finally:
        server.remove()


def main() -> int:
    """Print the figures; 0 when all is as it should be."""
    parser = argparse.ArgumentParser(prog="scripts/soak", description=main.__doc__)
    parser.add_argument("--minutes", type=float, default=30.0, help="under load (default 30)")
    parser.add_argument("--workers", type=int, default=2, help="of each node (default 2)")
    parser.add_argument("--nodes", type=int, default=1, help="more than one need PostgreSQL")
    parser.add_argument("--devices", type=int, default=12, help="that ask at once (default 12)")
    parser.add_argument("--load", type=float, default=0.8, help="of what can be (default 0.8)")
    parser.add_argument(
        "--kill-every", type=float, default=10.0, metavar="SECONDS", help="(default 10)"
    )
    parser.add_argument(
        "--database", default="", help='"postgresql" for a server of its own; else SQLite'
    )
    parser.add_argument(
        "--restart-database", type=float, default=1e9, metavar="SECONDS", help="between restarts"
    )
    parser.add_argument("--lease", default="5s", help="`server.lease` (default 5s)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with (
        _database(options.database) as database,
        tempfile.TemporaryDirectory(prefix="scepkit-soak-") as folder,
        ExitStack() as stack,
    ):
        url = "sqlite:///scepkit.db"
        if database is not None:
            url = database.url(database.new_database())
        site = Site(Path(folder), url, workers=options.workers, lease=options.lease)
        soak = Soak(options, site, stack)
        figures = soak.run(database)
    good = verdict_is_good(figures, soak.memory)
    if options.json:
        sys.stdout.write(json.dumps(figures))
    else:
        show(figures)
    return 0 if good else 1


def show(figures: dict[str, Any]) -> None:
    """Print figures for people."""
    for name, value in figures.items():
        if isinstance(value, dict):
            sys.stdout.write(f"{name}\n")
            for key, one in value.items():
                sys.stdout.write(f"  {one!s:>8}  {key}\n")
        else:
            sys.stdout.write(f"{value!s:>8}  {name}\n")


if __name__ == "__main__":
    raise SystemExit(main())
