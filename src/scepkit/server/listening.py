"""One process that listens: uvicorn, with limits for what comes before a request is whole.

The rule of this file: a connection that does not get on is closed, whether it is sending or
reading, and what a client may make us keep in memory is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

#: Beside the URL: what browsers and proxies send as headers, generously, in bytes.  asyncio reads
#: up to 256 KiB at once, which may be the head of a request and the begin of its body.
_HEADERS = 256 * 1024 + 32 * 1024
#: How many connections are taken from the queue at once: more would leave nothing to the other
#: worker processes.
_ACCEPT = 16
#: How many connections may wait to be accepted.
QUEUE = 1024
#: How long a connection may be idle between two requests, in seconds.
_KEEP_ALIVE = 5
#: How long connections that have sent nothing yet are listened to when the server stops, in
#: seconds: their request may be on its way.
_LAST_CALL = 0.5


def connection_class(*, head_limit: int, seconds: float) -> type[HttpToolsProtocol]:
    """The protocol of a connection.

    :param head_limit: the most bytes of a URL and headers.
    :param seconds: how long a client may take for them, and to read some of an answer.
    """

    class Connection(HttpToolsProtocol):
        _timer: asyncio.TimerHandle | None = None
        _in_head = True
        _head_size = 0

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)  # type: ignore[arg-type]  # narrower there
            # Whatever the client does not read is noticed at once.
            self.transport.set_write_buffer_limits(high=0)
            self._start_timer()

        def connection_lost(self, exc: Exception | None) -> None:
            self._stop_timer()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            if self._in_head:
                self._head_size += len(data)
                if self._head_size > head_limit + _HEADERS:
                    self.send_400_response("The head of the request is too long.")
                    return
                if self._timer is None:
                    self._start_timer()
            super().data_received(data)

        def on_headers_complete(self) -> None:
            self._stop_timer()
            self._in_head = False
            super().on_headers_complete()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self._in_head, self._head_size = True, 0

        def on_response_complete(self) -> None:
            super().on_response_complete()
            if not self._in_head:
                # It is still sending a body that nobody wants.
                self.transport.close()

        def pause_writing(self) -> None:
            super().pause_writing()
            self._start_timer()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._stop_timer()
            if self._in_head and self._head_size:
                # The next request has begun to come while this answer was going out.
                self._start_timer()

        def _start_timer(self) -> None:
            self._stop_timer()
            self._timer = self.loop.call_later(seconds, self.transport.abort)

        def _stop_timer(self) -> None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None

    return Connection


class Listener(uvicorn.Server):
    """uvicorn's server, whose signals are somebody else's business."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        await super().startup(sockets)
        for listening in sockets or ():
            # asyncio made the queue as short as the number it accepts at once.
            listening.listen(QUEUE)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let what is under way end, close."""
        for server in self.servers:
            server.close()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _LAST_CALL
        while loop.time() < deadline and self._somebody_is_new():  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # nobody tells of a first byte
        await super().shutdown(sockets)

    def _somebody_is_new(self) -> bool:
        """Whether there is a connection that has not sent a request yet."""
        return any(
            getattr(connection, "cycle", None) is None
            for connection in self.server_state.connections
        )


def make_listener(
    app: Callable[..., Awaitable[None]],
    *,
    max_body: int,
    request_seconds: float,
    stop_seconds: float,
) -> Listener:
    """A server for an ASGI application; `serve(sockets=[...])` runs it until `should_exit`."""
    connection = connection_class(head_limit=2 * max_body, seconds=request_seconds)
    config = uvicorn.Config(
        cast(Any, app),
        http=connection,
        ws="none",
        lifespan="off",
        loop="asyncio",
        interface="asgi3",
        # We log requests ourselves, and uvicorn's loggers pass on to ours.
        access_log=False,
        log_config=None,
        # `asking` knows whom to believe.
        proxy_headers=False,
        server_header=False,
        backlog=_ACCEPT,
        timeout_keep_alive=_KEEP_ALIVE,
        timeout_graceful_shutdown=max(1, round(stop_seconds)),
    )
    return Listener(config)
