"""How new connections fall on the workers of a server."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import logging
import socket
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from scepkit.server import accepting
from scepkit.server.accepting import Door, OpenConnections

_PATIENCE = 30


class Connection(asyncio.Protocol):
    """Says which worker has it."""

    def __init__(self, name: bytes, ended: Callable[[], None]) -> None:
        self._name, self._ended = name, ended

    def connection_made(self, transport: Any) -> None:
        transport.write(self._name)

    def connection_lost(self, exc: Exception | None) -> None:
        self._ended()


class Full(socket.socket):
    """A listening socket in a process that has no more room for files, once."""

    refused = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.refused:
            self.refused += 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


class Aborting(socket.socket):
    """A listening socket whose first connection is gone when it is taken."""

    aborted = 0

    def accept(self) -> tuple[socket.socket, Any]:
        if not self.aborted:
            self.aborted += 1
            raise ConnectionAbortedError
        return super().accept()


@contextlib.asynccontextmanager
async def doors(
    connections: OpenConnections, *places: int, kind: type[socket.socket] = socket.socket
) -> AsyncIterator[tuple[list[Door], tuple[str, int]]]:
    """Workers of one event loop, in these places, and where they listen."""
    with contextlib.ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        made = []
        for place in places:
            listening = stack.enter_context(kind(fileno=first.dup().detach()))

            def make(ended: Callable[[], None], name: bytes = b"%d" % place) -> Connection:
                return Connection(name, ended)

            made.append(Door(listening, connections, place, make))
        for door in made:
            door.open()
        try:
            yield made, first.getsockname()
        finally:
            for door in made:
                door.close()


async def connect(address: tuple[str, int]) -> tuple[int, asyncio.StreamWriter]:
    """A connection, and which worker has it."""
    reader, writer = await asyncio.open_connection(*address)
    async with asyncio.timeout(_PATIENCE):
        return int(await reader.read(1)), writer


async def close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


@pytest.mark.parametrize("number", [2, 8, 64])
def test_connections_that_stay_are_shared_out_evenly(
    number: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accepting, "_PATIENCE", _PATIENCE)

    async def share_out() -> list[int]:
        async with doors(OpenConnections(2), 0, 1) as (_, address):
            found = await asyncio.gather(*(connect(address) for _ in range(number)))
            for _, writer in found:
                await close(writer)
        return [place for place, _ in found]

    places = asyncio.run(share_out())
    assert abs(places.count(0) - places.count(1)) <= 1 + number // 16


def test_who_takes_nothing_holds_nobody_up() -> None:
    async def take_all() -> list[int]:
        connections = OpenConnections(2)
        connections.tell(1, 0)  # it never takes any
        async with doors(connections, 0) as (_, address):
            found = [await connect(address) for _ in range(3)]
            for _, writer in found:
                await close(writer)
        return [place for place, _ in found]

    assert asyncio.run(take_all()) == [0, 0, 0]


def test_who_did_not_find_another_willing_does_not_wait_again_soon(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(accepting, "_IMPATIENCE", 3600)

    async def take_two() -> None:
        connections = OpenConnections(2)
        connections.tell(1, -5)  # it has fewer than anybody
        async with doors(connections, 0) as (_, address):
            _, first = await connect(address)
            monkeypatch.setattr(accepting, "_PATIENCE", 3600)
            _, second = await connect(address)
            await close(first)
            await close(second)

    asyncio.run(take_two())


def test_a_worker_that_is_no_longer_ahead_takes_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "_PATIENCE", 3600)
    monkeypatch.setattr(accepting, "_MOMENT", 3600)

    async def take_after_the_end_of_another() -> int:
        connections = OpenConnections(2)
        async with doors(connections, 0) as (_, address):
            _, writer = await connect(address)
            connections.tell(1, 0)
            waiting = asyncio.create_task(connect(address))
            await asyncio.sleep(
                0.05
            )  # were it too short, nothing would be tested, and nothing fail
            await close(writer)
            place, writer = await waiting
            await close(writer)
            return place

    assert asyncio.run(take_after_the_end_of_another()) == 0


def test_a_door_that_closes_takes_what_waits_already(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accepting, "_PATIENCE", 3600)
    monkeypatch.setattr(accepting, "_MOMENT", 3600)

    async def take_at_the_end() -> int:
        connections = OpenConnections(2)
        async with doors(connections, 0) as ([door], address):
            connections.tell(0, 1)
            connections.tell(1, -1000)  # it has fewer than anybody, and takes none
            with socket.create_connection(address) as waiting:
                await asyncio.sleep(0.05)  # as above
                door.close()
                reader, writer = await asyncio.open_connection(sock=waiting)
                async with asyncio.timeout(_PATIENCE):
                    place = int(await reader.read(1))
                await close(writer)
                return place

    assert asyncio.run(take_at_the_end()) == 0


def test_a_door_that_closes_takes_who_waits_behind_one_that_is_gone() -> None:
    async def close_at_once() -> int:
        async with doors(OpenConnections(1), 0, kind=Aborting) as ([door], address):
            with socket.create_connection(address):
                door.close()
                return door.number

    assert asyncio.run(close_at_once()) == 1


def test_a_connection_that_cannot_be_served_is_closed_and_the_log_says_so(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(ended: Callable[[], None]) -> asyncio.Protocol:
        raise MemoryError("no memory for a protocol")

    async def knock() -> int:
        with socket.create_server(("127.0.0.1", 0)) as listening:
            door = Door(listening, OpenConnections(1), 0, fail)
            door.open()
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            async with asyncio.timeout(_PATIENCE):
                assert await reader.read(1) == b""
            await close(writer)
            door.close()
            return door.number

    with caplog.at_level(logging.ERROR, "scepkit.server"):
        assert asyncio.run(knock()) == 0
    assert "no memory for a protocol" in caplog.text


def test_nobody_waits_for_a_worker_that_has_left() -> None:
    connections = OpenConnections(3)
    connections.tell(0, 5)
    connections.tell(1, 1)
    assert connections.is_ahead(0)
    connections.leave(1)
    assert not connections.is_ahead(0)


def test_without_room_for_files_connections_wait_and_the_log_says_so(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(accepting, "_NO_ROOM", 0.01)

    async def take() -> int:
        async with doors(OpenConnections(1), 0, kind=Full) as (_, address):
            place, writer = await connect(address)
            await close(writer)
            return place

    with caplog.at_level(logging.ERROR, "scepkit.server"):
        assert asyncio.run(take()) == 0
    assert "Too many open files" in caplog.text


def test_a_closed_door_takes_nothing() -> None:
    async def knock() -> None:
        async with doors(OpenConnections(2), 0, 1) as (made, address):
            made[0].close()
            found = [await connect(address) for _ in range(4)]
            assert {place for place, _ in found} == {1}
            for _, writer in found:
                await close(writer)

    asyncio.run(knock())
