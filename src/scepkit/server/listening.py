"""One process that listens: uvicorn, with limits for what comes before a request is whole.

The rule of this file: a connection that does not get on is closed, whether it is sending or
reading, and what a client may make us keep in memory is bounded.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from scepkit.server.accepting import Door, OpenConnections
from scepkit.server.logs import with_fields
from scepkit.server.settings import Settings

log = logging.getLogger("scepkit.request")

#: Beside the URL: what browsers and proxies send as headers, generously, in bytes.  asyncio reads
#: up to 256 KiB at once, which may be the head of a request and the begin of its body.
_HEADERS = 256 * 1024 + 32 * 1024
#: How long a connection may be idle between two requests, in seconds.
_KEEP_ALIVE = 5
#: How long connections are listened to when the server stops, in seconds: a request may be on its
#: way, or the next one of an enrolment.  And how long each answer says then that it is the last.
_LAST_CALL, _FAREWELL = 0.5, 0.5

#: httptools counts the bytes of a URL in 16 bits.
_LONGEST_URL = 0xFFFF

_CONTINUE = b"HTTP/1.1 100 "


def _refusal(status: str, text: str) -> bytes:
    head = f"HTTP/1.1 {status}\r\ncontent-type: text/plain\r\ncontent-length: {len(text) + 1}\r\n"
    return f"{head}connection: close\r\n\r\n{text}\n".encode()


_TIMEOUT = _refusal("408 Request Timeout", "the request did not come in time")
_LONG_URL = _refusal("414 URI Too Long", "the URL is too long; send the message by POST")
_LONG_HEAD = _refusal("431 Request Header Fields Too Large", "the head of the request is too long")
_NOT_HTTP = _refusal("400 Bad Request", "this is no HTTP request")


class _Joining:
    """A transport that writes the head of an answer together with the begin of its body.

    uvicorn writes them one after the other, which costs a second system call and often a second
    packet for each answer.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head = b""
        self.is_closing = transport.is_closing
        self.get_extra_info = transport.get_extra_info

    def write(self, data: bytes) -> None:
        if not self._head and data.endswith(b"\r\n\r\n") and not data.startswith(_CONTINUE):
            self._head = data
            return
        self._transport.write(self._head + data)
        self._head = b""

    def flush(self) -> None:
        if self._head:
            self._transport.write(self._head)
            self._head = b""

    def close(self) -> None:
        self.flush()
        self._transport.close()


class Connection(HttpToolsProtocol):
    """uvicorn's connection, which is given up when it does not get on.

    :param ended: called when it has ended.

    Attributes:
        head_limit: the most bytes of a URL and headers.
        seconds: how long a client may take for a request, and to read some of an answer.
        deadline: when it is given up, on the loop's clock, or None.
    """

    head_limit = 0
    seconds = 0.0
    deadline: float | None = None
    _opened: asyncio.Transport
    _whole = True
    _head_size = 0

    def __init__(
        self, config: uvicorn.Config, state: ServerState, ended: Callable[[], None]
    ) -> None:
        super().__init__(config, state, {})
        self._ended = ended

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin to wait for a request."""
        self._opened = cast(asyncio.Transport, transport)
        super().connection_made(self._opened)
        self.transport = cast(Any, _Joining(self._opened))
        _send_at_once(self._opened)
        # Whatever the client does not read is noticed at once.
        self._opened.set_write_buffer_limits(high=0)
        self._begin()

    def connection_lost(self, exc: Exception | None) -> None:
        """It is over, whoever ended it."""
        super().connection_lost(exc)
        self._ended()

    def _begin(self) -> None:
        self._whole, self._head_size = False, 0
        self.deadline = self.loop.time() + self.seconds

    def data_received(self, data: bytes) -> None:
        """Read some more of a request."""
        if self._whole:
            self._begin()
        if self._head_size >= 0:
            self._head_size += len(data)
            if self._head_size > self.head_limit + _HEADERS:
                self._refuse(_LONG_HEAD)
                return
        super().data_received(data)

    def send_400_response(self, msg: str) -> None:
        """Refuse what the parser does not understand."""
        self._refuse(_LONG_URL if len(getattr(self, "url", b"")) > _LONGEST_URL else _NOT_HTTP)

    def _refuse(self, answer: bytes) -> None:
        self._opened.write(answer)
        self._opened.close()
        said, _, reason = answer.decode().partition("\r\n")
        fields = {
            "http": int(said.split()[1]),
            "asked": "",
            "address": self.client[0] if self.client else "",
            "reason": reason.rpartition("\r\n\r\n")[2].strip(),
        }
        log.info("request", extra=with_fields(fields))

    def on_headers_complete(self) -> None:
        """The head is whole; what follows is a body, which others limit."""
        self._head_size = -1
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """The request is whole."""
        super().on_message_complete()
        self._whole, self._head_size, self.deadline = True, 0, None

    def on_response_complete(self) -> None:
        """The answer was given."""
        cast(_Joining, self.transport).flush()  # one to HEAD has no body
        super().on_response_complete()
        if not self._whole:
            # It is still sending a body that nobody wants.
            self.transport.close()

    def pause_writing(self) -> None:
        """The client does not read."""
        super().pause_writing()
        self.deadline = self.loop.time() + self.seconds

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self.deadline = None if self._whole else self.loop.time() + self.seconds

    def give_up(self) -> None:
        """The deadline has passed: say so, if there is no answer yet, and close."""
        self.deadline = None
        if self.flow.write_paused:
            # `close` would wait for ever until the client has read everything.
            self._opened.abort()
            return
        started = cast(Any, self.cycle) is not None and self.cycle.response_started
        if not self._whole and not started:
            self._refuse(_TIMEOUT)
        self._opened.close()


def _send_at_once(transport: asyncio.Transport) -> None:
    """Switch off Nagle's algorithm, which asyncio leaves on for sockets it did not make itself.

    An answer is written in two parts, and the second would wait for the client's acknowledgement.
    """
    with contextlib.suppress(OSError):
        opened = transport.get_extra_info("socket")
        if opened.family != socket.AF_UNIX:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may do, and for how long; a reload changes it.

    Attributes:
        max_body: of a request, in bytes.
        request_seconds: for sending it.
        stop_seconds: how long requests under way may go on when the server stops.
    """

    max_body: int
    request_seconds: float
    stop_seconds: float


def limits_of(settings: Settings) -> Limits:
    """The limits that the settings describe."""
    server = settings.server
    return Limits(
        server.max_body,
        server.request_timeout.total_seconds(),
        server.stop_timeout.total_seconds(),
    )


class Listener(uvicorn.Server):
    """uvicorn's server, whose signals and whose listening are somebody else's business.

    :param connections: of all workers that listen at the same socket.
    :param place: this one's in there.
    """

    def __init__(self, config: uvicorn.Config, connections: OpenConnections, place: int) -> None:
        super().__init__(config)
        self._connections, self._place = connections, place
        self._doors: list[Door] = []

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals alone."""
        yield

    def set_limits(self, limits: Limits) -> None:
        """Change the limits, also of connections that are open."""
        connection = cast(type[Connection], self.config.http)
        connection.head_limit = 2 * limits.max_body
        connection.seconds = limits.request_seconds
        self.config.timeout_graceful_shutdown = max(1, round(limits.stop_seconds))

    async def on_tick(self, counter: int) -> bool:
        """What uvicorn does ten times a second, and, once a second, look for the dead."""
        if counter % 10 == 0:
            now = asyncio.get_running_loop().time()
            for connection in list(self.server_state.connections):
                deadline = getattr(connection, "deadline", None)
                if deadline is not None and deadline < now:
                    cast(Connection, connection).give_up()
        return await super().on_tick(counter)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Begin to accept connections."""
        self.servers = []  # uvicorn's own: it has none
        make = partial(cast(type[Connection], self.config.http), self.config, self.server_state)
        for listening in sockets or ():
            door = Door(listening, self._connections, self._place, make)
            door.open()
            self._doors.append(door)
        self.started = True

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop accepting, let what is under way end, close."""
        for door in self._doors:
            door.close()
        for listening in sockets or ():
            listening.close()
        await self._until_all_have_gone(_LAST_CALL)
        self._say_farewell()
        await self._until_all_have_gone(_FAREWELL)
        await super().shutdown(sockets)

    def _say_farewell(self) -> None:
        headers = self.server_state.default_headers
        headers.append((b"connection", b"close"))
        for connection in self.server_state.connections:
            # uvicorn makes new headers each second; a request has those of the one it came in.
            if (cycle := cast(Connection, connection).cycle) is not None:
                cycle.default_headers = headers

    async def _until_all_have_gone(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while loop.time() < deadline and any(one.number for one in self._doors):  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # nobody tells when the last connection has ended


def make_listener(
    app: Callable[..., Awaitable[None]],
    connections: OpenConnections,
    place: int,
    limits: Limits,
) -> Listener:
    """A server for an ASGI application; `serve(sockets=[...])` runs it until `should_exit`.

    :param connections: of all workers that listen at the same sockets.
    :param place: this one's in there.
    """
    connection = type("LimitedConnection", (Connection,), {})
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
        timeout_keep_alive=_KEEP_ALIVE,
    )
    # It would warn of each request that is none; that is said beside the others.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    listener = Listener(config, connections, place)
    listener.set_limits(limits)
    return listener
