"""Promises P1 to P6 with servers as they are run: nodes that die, a database that restarts.

`scripts/soak` does the same for as long as one likes.
"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from scepkit.core.messages import CertRep, Failure, StillPending, Success
from tests.server.fleet.clients import SHAPES, Answer, Fleet, ask, enrolment, post
from tests.server.fleet.sites import Node, Site
from tests.server.fleet.verdict import verdict
from tests.server.service.world import Message, audited, count, rows
from tests.store.conftest import empty_url, kind, postgres_server
from tests.store.postgres_server import PostgresServer

__all__ = ["empty_url", "kind", "postgres_server"]

pytestmark = pytest.mark.timeout(180)


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as found:
        yield found


def started(site: Site, stack: ExitStack, name: str = "node1") -> Node:
    node = Node(site, name).start()
    stack.callback(node.stop)
    return node


def faults(site: Site, fleet: Fleet) -> dict[str, int]:
    """What is not as it was promised."""
    with site.opened() as store:
        found = {what: number for what, number in verdict(fleet, store).items() if number}
    assert fleet.failures == []
    return found


@pytest.mark.interop
def test_one_of_two_nodes_dies_under_load_and_nothing_is_lost(
    postgres_server: PostgresServer, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, postgres_server.url(postgres_server.new_database()))
    first, second = started(site, stack, "node1"), started(site, stack, "node2")
    with Fleet(site, [first, second]) as fleet:
        fleet.until(15)
        first.kill()
        fleet.until(15)
        first.start()
        fleet.until(15)
    assert faults(site, fleet) == {}
    assert fleet.counts["no answer"] > 0, "nobody noticed"


@pytest.mark.interop
def test_postgresql_restarts_under_load_and_nothing_is_lost(
    tmp_path: Path, stack: ExitStack
) -> None:
    """It is stopped as by a power cut; meanwhile the server says what it can say."""
    database = PostgresServer(fsync=True)
    stack.callback(database.remove)
    site = Site(tmp_path, database.url(database.new_database()))
    node = started(site, stack)
    with Fleet(site, [node]) as fleet:
        fleet.until(15)
        database.stop("immediate")
        try:
            message = enrolment(site, "somebody", "rsa2048-c", "x" * 20).first
            refused = post(node.port, message)
            assert (refused.status, refused.retry_after) == (503, "10")
            caps = ask(node.port, "GET", "/scep?operation=GetCACaps")
            assert (caps.status, b"SCEPStandard" in caps.body) == (200, True)
            assert ask(node.port, "GET", "/scep?operation=GetCACert").status == 200
            assert ask(node.port, "GET", "/healthz").status == 200
            ready = ask(node.port, "GET", "/readyz")
            assert (ready.status, b"database" in ready.body) == (503, True)
        finally:
            database.start()
        fleet.until(15)
        assert ask_until_ready(node).status == 200
    assert faults(site, fleet) == {}
    assert fleet.counts["503"] > 0


def ask_until_ready(node: Node) -> Answer:
    """What is known of the database is up to a second old."""
    deadline = time.monotonic() + 20
    while (answer := ask(node.port, "GET", "/readyz")).status != 200:
        assert time.monotonic() < deadline, answer
        time.sleep(0.1)
    return answer


# ------------------------------------------------------------------ many requests at one moment

REQUESTS, WORKERS = 50, 4


def replies_at_once(site: Site, node: Node, messages: list[Message]) -> list[CertRep]:
    """Send all of them at the same moment, each over its own connection."""
    barrier = threading.Barrier(len(messages))
    replies: list[CertRep] = []

    def send(message: Message) -> None:
        barrier.wait()
        answer = post(node.port, message)
        assert answer.status == 200, answer
        replies.append(message.open(answer.body, [site.recipient]))

    with ThreadPoolExecutor(len(messages)) as threads:
        for sent in [threads.submit(send, one) for one in messages]:
            sent.result(60)
    return replies


def test_of_fifty_devices_with_one_challenge_exactly_one_is_served(
    empty_url: str, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, empty_url, workers=WORKERS)
    node = started(site, stack)
    with site.opened() as store:
        (secret,) = site.mint(store, 1)
        keys = ("rsa2048-c", "rsa3072", "rsa4096")
        messages = [
            enrolment(site, f"device{n}", keys[n % 3], secret).first for n in range(REQUESTS)
        ]
        replies = replies_at_once(site, node, messages)
        served = [one for one in replies if isinstance(one, Success)]
        refused = [one for one in replies if isinstance(one, Failure)]
        assert (len(served), len(refused)) == (1, REQUESTS - 1)
        assert rows(store, "SELECT state FROM certificate") == [("issued",)]
        assert rows(store, "SELECT uses_left FROM challenge") == [(0,)]
        assert count(store, "operation") == 1
        actions = [action for action, _ in audited(store)]
        assert actions.count("challenge.reuse") == REQUESTS - 1


def test_fifty_copies_of_one_request_lead_to_one_certificate(
    empty_url: str, tmp_path: Path, stack: ExitStack
) -> None:
    site = Site(tmp_path, empty_url, workers=WORKERS)
    node = started(site, stack)
    draw = random.Random(1)
    with site.opened() as store:
        (secret,) = site.mint(store, 1)
        wanted = enrolment(site, "device", "rsa2048-c", secret)
        messages = [wanted.again(SHAPES[n % 4], draw) for n in range(REQUESTS)]
        replies = replies_at_once(site, node, messages)
        assert all(isinstance(one, Success | StillPending) for one in replies)
        assert len({one.certificates for one in replies if isinstance(one, Success)}) == 1
        assert rows(store, "SELECT state FROM certificate") == [("issued",)]
        assert [action for action, _ in audited(store)].count("certificate.issue") == 1


# ------------------------------------------------------------------ for longer


def test_under_load_while_processes_die_nothing_is_lost_for_a_while() -> None:
    """`scripts/soak`, which does it for as long as one likes."""
    command = [sys.executable, "-m", "tests.server.fleet.soak", "--json", "--minutes", "0.1"]
    done = subprocess.run(
        [*command, "--kill-every", "1", "--lease", "1s", "--devices", "6"],
        capture_output=True,
        timeout=170,
        check=False,
    )
    assert done.stdout, done.stderr.decode()
    figures = json.loads(done.stdout)
    assert (figures["wrong"], done.returncode) == ([], 0), figures
    assert figures["kills"] >= 1
    assert figures["certificates"] >= 12
