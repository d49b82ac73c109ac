"""What is away makes clients come back and never fail: a full disk, keys; what a server then says.

A database that is down is in `test_nodes`.
"""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from scepkit.core.messages import CertRep
from scepkit.server import jobs
from scepkit.server.health import ServiceHealth
from scepkit.store import Store
from tests import pki
from tests.server.fleet.clients import Fleet, ask
from tests.server.fleet.sites import Node, Site
from tests.server.fleet.verdict import verdict
from tests.server.service.conftest import lite
from tests.server.service.test_roles import FaultyKey, token_ra
from tests.server.service.world import (
    Message,
    World,
    certificate_of,
    is_pending,
    ra_keys,
    rows,
)
from tests.server.serving import Running, logged, running
from tests.store.conftest import kind, postgres_database, postgres_server, store, url

__all__ = ["kind", "lite", "postgres_database", "postgres_server", "store", "url"]

PKI_OPERATION = "/scep?operation=PKIOperation"

# ------------------------------------------------------------------ a full disk


class Limit:
    """The processes of a node may write to no file."""

    def __init__(self, node: Node) -> None:
        self._node = node

    def set(self) -> None:
        self._limit(1)

    def lift(self) -> None:
        self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        self._node.read_log()
        for pid in self._node.pids.values():
            _, hard = resource.prlimit(pid, resource.RLIMIT_FSIZE)
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (size if size == 1 else hard, hard))


class Ballast:
    """The file system is full."""

    def __init__(self, directory: Path) -> None:
        self._file = directory / "ballast"

    def set(self) -> None:
        with self._file.open("wb", buffering=0) as file:
            for size in (65536, 4096):
                try:
                    while file.write(bytes(size)) == size:
                        pass
                except OSError:
                    pass

    def lift(self) -> None:
        self._file.unlink()


@pytest.fixture(params=["file system", "limit"])
def small(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A folder: a file system of its own, which can be filled, or any."""
    if request.param == "limit":
        yield tmp_path
        return
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "scepkit-test", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a small file system cannot be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.timeout(180)
def test_a_full_disk_loses_nothing_and_all_is_well_when_there_is_room(
    small: Path, tmp_path: Path
) -> None:
    site = Site(tmp_path, f"sqlite:///{small}/scepkit.db", workers=1)
    node = Node(site).start()
    full = Limit(node) if small == tmp_path else Ballast(small)
    with ExitStack() as stack:
        stack.callback(node.stop)
        with Fleet(site, [node], devices=4) as fleet:
            fleet.until(10)
            full.set()
            try:
                before = fleet.counts["503"]
                wait_until(lambda: fleet.counts["503"] > before + 5)
                assert ask(node.port, "GET", "/scep?operation=GetCACaps").status == 200
                assert ask(node.port, "GET", "/scep?operation=GetCACert").status == 200
                assert ask(node.port, "GET", "/healthz").status == 200
                wait_until(lambda: ask(node.port, "GET", "/readyz").status == 503)
                assert b"cannot be used now" in ask(node.port, "GET", "/readyz").body
            finally:
                full.lift()
            wait_until(lambda: ask(node.port, "GET", "/readyz").status == 200)
            fleet.until(10)
        with site.opened() as store:
            broken = {what: number for what, number in verdict(fleet, store).items() if number}
            assert (fleet.failures, broken) == ([], {})
            assert rows(store, "PRAGMA integrity_check") == [("ok",)]
    log = (tmp_path / "node1.log").read_text()
    assert "Traceback" not in log
    if small != tmp_path:  # else the log could not be written to either, and nobody minded
        assert "WARNING not available: the database cannot be used now" in log


def wait_until(true: Callable[[], bool], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_without_room_from_the_beginning_a_server_does_not_start_and_says_why(
    tmp_path: Path,
) -> None:
    site = Site(tmp_path, f"sqlite:///{tmp_path}/missing/scepkit.db")
    node = Node(site)
    with pytest.raises(AssertionError, match=r"cannot start reason=.*missing/scepkit.db"):
        node.start()
    assert node.process is not None
    assert node.process.wait(60) == 5


# ------------------------------------------------------------------ keys that are away


def served(stack: ExitStack, world: World) -> Running:
    """The service over HTTP, with its health."""
    health = ServiceHealth(world.service)
    return stack.enter_context(
        running(world.service, clock=lambda: world.now, health=health, profile={"default": {}})
    )


def told(server: Running, world: World, message: Message) -> CertRep:
    answer = server.ask(PKI_OPERATION, message.body)
    assert answer.status == 200, answer
    return message.open(answer.body, world.signers)


def state(server: Running) -> tuple[int, int, int]:
    """What /readyz, /healthz and GetCACert say."""
    targets = ("/readyz", "/healthz", "/scep?operation=GetCACert")
    ready, alive, certificate = (server.ask(target).status for target in targets)
    return ready, alive, certificate


def unfinished(server: Running) -> str:
    (line,) = [x for x in server.ask("/metrics").text.splitlines() if x.startswith("scep_unfin")]
    return line


def test_while_the_ca_key_is_away_clients_hear_pending_and_then_get_their_certificate(
    store: Store,
) -> None:
    identity = pki.root()
    token = FaultyKey(pki.rsa_key("rsa2048-a"))
    world = World.made(
        store, ca=pki.Identity(identity.certificate, token), ra=ra_keys(identity, "rsa3072")
    )
    world.crl()
    first, second = (replace(world.device(x), transaction_id=x) for x in ("first", "second"))
    token.allowed = set()
    with ExitStack() as stack:
        server = served(stack, world)
        assert state(server) == (200, 200, 200)
        messages = [first.enrol(world.mint()), second.enrol(world.mint())]
        with logged() as records:
            assert all(is_pending(told(server, world, one)) for one in messages)
        said = [one.getMessage() for one in records if one.levelname == "WARNING"]
        assert any("the key of the CA main cannot sign" in text for text in said)
        assert is_pending(told(server, world, first.poll()))
        assert jobs.sweep(world.service, world.now) == 0
        assert state(server) == (200, 200, 200)
        wait_until(lambda: unfinished(server) == "scep_unfinished 2.0")
        token.allowed = {"sign"}
        # One comes back before the sweeper does, the other after it.
        certificate_of(told(server, world, first.poll()))
        assert jobs.sweep(world.service, world.now) == 1
        certificate_of(told(server, world, messages[1]))
        wait_until(lambda: unfinished(server) == "scep_unfinished 0.0")
    assert rows(store, "SELECT state FROM certificate") == [("issued",)] * 2
    assert rows(store, "SELECT uses_left FROM challenge") == [(0,)] * 2


@pytest.mark.parametrize("left", ["sign", "rsa"])
def test_while_a_key_of_the_ra_is_away_clients_are_told_to_come_again(
    lite: Store, left: str
) -> None:
    ca = pki.root()
    ra, token = token_ra(ca)
    world = World.made(lite, ca=ca, ra=ra)
    world.crl()
    message = world.device().enrol(world.mint())
    with ExitStack() as stack:
        server = served(stack, world)
        assert state(server) == (200, 200, 200)
        token.allowed = {left}
        with logged() as records:
            answer = server.ask(PKI_OPERATION, message.body)
        assert (answer.status, answer.headers["retry-after"]) == (503, "10")
        assert any("not available: the key that" in one.getMessage() for one in records)
        wait_until(lambda: state(server) == (503, 200, 200))
        assert "a key of the profile default does not answer" in server.ask("/readyz").text
        token.allowed = {"rsa", "sign"}
        wait_until(lambda: state(server) == (200, 200, 200))
        certificate_of(told(server, world, message))
    assert rows(lite, "SELECT uses_left FROM challenge") == [(0,)]
