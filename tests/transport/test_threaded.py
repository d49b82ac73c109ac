"""transport: ThreadedTransport under asyncio."""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from contextvars import ContextVar
from datetime import UTC, datetime

import pytest

from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.errors import InputError, TransportError
from scepkit.transport import HttpOptions, HttpTransport, ThreadedTransport
from tests.servers import Peer, answer, echo, serve, silent
from tests.transport.asking import get, post


def test_many_exchanges_run_at_once() -> None:
    async def main(url: str) -> list[bytes]:
        async with ThreadedTransport(HttpTransport(), max_threads=8) as transport:
            requests = [post(url, b"%d" % number) for number in range(50)]
            responses = await asyncio.gather(*map(transport.exchange, requests))
        return [response.body for response in responses]

    with serve(echo) as server:
        assert asyncio.run(main(server.url())) == [b"%d" % number for number in range(50)]
    assert server.connections <= 8


def test_an_error_is_raised_where_it_is_awaited() -> None:
    async def main(url: str) -> None:
        async with ThreadedTransport(HttpTransport(HttpOptions(timeout=0.2))) as transport:
            await transport.exchange(get(url))

    with serve(silent) as server, pytest.raises(TransportError) as caught:
        asyncio.run(main(server.url()))
    assert caught.value.kind == "timeout"


def test_the_event_loop_goes_on_meanwhile() -> None:
    went_on = threading.Event()

    def patient(peer: Peer) -> None:
        if peer.read() and went_on.wait(30):
            peer.send(answer(b"x"))

    async def main(url: str) -> bytes:
        async with ThreadedTransport(HttpTransport()) as transport:
            waiting = asyncio.create_task(transport.exchange(get(url)))
            for _ in range(10):
                await asyncio.sleep(0.01)
            assert not waiting.done()
            went_on.set()
            return (await waiting).body

    with serve(patient) as server:
        assert asyncio.run(main(server.url())) == b"x"


def test_a_cancelled_exchange_leaves_nothing_broken() -> None:
    asked, cancelled = threading.Event(), threading.Event()

    def slow_first(peer: Peer) -> None:
        while request := peer.read():
            if request.body == b"slow":
                asked.set()
                assert cancelled.wait(30)
            peer.send(answer(request.body))

    async def main(url: str) -> None:
        async with ThreadedTransport(HttpTransport(), max_threads=1) as transport:
            slow = asyncio.create_task(transport.exchange(post(url, b"slow")))
            queued = asyncio.create_task(transport.exchange(post(url, b"never")))
            assert await asyncio.to_thread(asked.wait, 30)
            for task in (slow, queued):
                task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            cancelled.set()
            for number in range(3):
                body = b"after %d" % number
                assert (await transport.exchange(post(url, body))).body == body

    with serve(slow_first) as server:
        asyncio.run(main(server.url()))
    assert [request.body for request in server.requests] == [
        b"slow",
        b"after 0",
        b"after 1",
        b"after 2",
    ]
    assert server.connections == 1


def test_a_timeout_of_asyncio_can_be_put_around_it() -> None:
    async def main(url: str) -> None:
        async with ThreadedTransport(HttpTransport()) as transport:
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.1):
                    await transport.exchange(get(url))

    started = time.monotonic()
    with serve(silent) as server:
        asyncio.run(main(server.url()))
    assert time.monotonic() - started < 25  # closing did not wait for the 30 s of the exchange


def test_one_transport_serves_several_event_loops() -> None:
    transport = ThreadedTransport(HttpTransport())

    async def main(url: str, last: bool) -> bytes:
        response = await transport.exchange(post(url, b"x"))
        if last:
            await transport.aclose()
        return response.body

    with serve(echo) as server:
        assert asyncio.run(main(server.url(), last=False)) == b"x"
        assert asyncio.run(main(server.url(), last=True)) == b"x"
    assert server.connections == 1


def test_no_more_threads_run_than_allowed_and_they_see_the_context() -> None:
    user: ContextVar[str] = ContextVar("user")

    class Probe:
        def __init__(self) -> None:
            self.running = self.most = 0
            self.seen: set[str] = set()
            self.lock = threading.Lock()

        def exchange(self, _: HttpRequest) -> HttpResponse:
            with self.lock:
                self.running += 1
                self.most = max(self.most, self.running)
                self.seen.add(user.get())
            time.sleep(0.02)
            with self.lock:
                self.running -= 1
            return HttpResponse(200, b"", datetime.now(UTC))

        def close(self) -> None:
            pass

    async def main(probe: Probe) -> None:
        user.set("jo")
        async with ThreadedTransport(probe, max_threads=3) as transport:
            await asyncio.gather(*(transport.exchange(get("http://x/")) for _ in range(12)))

    probe = Probe()
    asyncio.run(main(probe))
    assert probe.most == 3
    assert probe.seen == {"jo"}


def test_no_threads_at_all_are_refused() -> None:
    with pytest.raises(InputError, match="max_threads is 0"):
        ThreadedTransport(HttpTransport(), max_threads=0)


class Held:
    """A transport whose exchanges wait until `go` is set."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.started = threading.Event()
        self.exchanges = 0

    def exchange(self, _: HttpRequest) -> HttpResponse:
        self.exchanges += 1
        self.started.set()
        assert self.go.wait(60)
        return HttpResponse(200, b"", datetime.now(UTC))

    def close(self) -> None:
        self.go.set()


def test_what_waits_for_a_thread_when_the_transport_is_closed_is_cancelled() -> None:
    async def main(held: Held) -> None:
        transport = ThreadedTransport(held, max_threads=1)
        first = asyncio.create_task(transport.exchange(get("http://x/")))
        await asyncio.to_thread(held.started.wait, 60)
        second = asyncio.create_task(transport.exchange(get("http://x/")))
        await asyncio.sleep(0)  # it has been added
        await transport.aclose()
        assert (await first).status == 200
        with pytest.raises(asyncio.CancelledError):
            await second

    held = Held()
    asyncio.run(main(held))
    assert held.exchanges == 1


def test_nothing_is_exchanged_by_a_closed_transport() -> None:
    async def main() -> None:
        transport = ThreadedTransport(Held())
        await transport.aclose()
        with pytest.raises(RuntimeError, match="shutdown"):
            await transport.exchange(get("http://x/"))

    asyncio.run(main())


def test_an_exchange_whose_event_loop_has_gone_ends_by_itself() -> None:
    held = Held()
    transport = ThreadedTransport(held)

    async def leave() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await transport.exchange(get("http://x/"))

    async def again() -> None:
        assert (await transport.exchange(get("http://x/"))).status == 200
        await transport.aclose()

    asyncio.run(leave())
    held.go.set()
    asyncio.run(again())


def test_no_thread_stays_when_there_is_no_work() -> None:
    def threads() -> set[threading.Thread]:
        return {one for one in threading.enumerate() if one.name.startswith("scepkit")}

    async def main(held: Held) -> None:
        transport = ThreadedTransport(held, max_threads=4)
        held.go.set()
        for _ in range(3):
            await asyncio.gather(*(transport.exchange(get("http://x/")) for _ in range(8)))

    before = threads()
    held = Held()
    asyncio.run(main(held))
    assert held.exchanges == 24
    deadline = time.monotonic() + 60
    while threads() - before and time.monotonic() < deadline:
        gc.collect()  # it was not closed
        time.sleep(0.01)
    assert not threads() - before
