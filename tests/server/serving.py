"""A server in a thread, over real HTTP, with a service that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from scepkit.server.accepting import OpenConnections
from scepkit.server.app import create_app
from scepkit.server.bench import Bench
from scepkit.server.counting import Board
from scepkit.server.front import Front, site_of
from scepkit.server.journal import RequestJournal
from scepkit.server.limits import Buckets
from scepkit.server.listening import Listener, limits_of, make_listener
from scepkit.server.metrics import Gauge, Metrics
from scepkit.server.monitoring import Monitor
from scepkit.server.replies import Context, Document, Reply
from scepkit.server.threads import Threads
from tests.server.written import settings_of

PKI_MESSAGE = "application/x-pki-message"


@dataclass
class Script:
    """A service whose answers are given; it remembers what it was asked."""

    profile_names: tuple[str, ...] = ("default", "routers")
    pki: Callable[[str, bytes, Context], Reply] = lambda profile, body, context: Reply(
        200, profile.encode() + b":" + body, PKI_MESSAGE
    )
    next_ca: Reply = field(default_factory=lambda: Reply(404, b"none\n", "text/plain"))
    documents: dict[str, Document] = field(default_factory=dict)
    failure: Exception | None = None
    contexts: list[Context] = field(default_factory=list)
    known_crls: list[Document | None] = field(default_factory=list)

    def pki_operation(self, profile: str, body: bytes, context: Context) -> Reply:
        self.contexts.append(context)
        return self.pki(profile, body, context)

    def get_ca_caps(self, profile: str) -> Reply:
        return Reply(200, f"caps of {profile}\n".encode(), "text/plain")

    def get_ca_cert(self, profile: str) -> Reply:
        return Reply(200, f"certificate of {profile}".encode(), "application/x-x509-ca-cert")

    def get_next_ca_cert(self, profile: str) -> Reply:
        return self.next_ca

    def crl(self, ca: str, now: datetime, known: Document | None) -> Document | None:
        if self.failure is not None:
            raise self.failure
        self.known_crls.append(known)
        return self.documents.get(f"{ca}.crl")

    def ca_certificate(self, ca: str) -> Document | None:
        return self.documents.get(f"{ca}.cer")

    def not_ready(self, now: datetime) -> Sequence[str]:
        if self.failure is not None:
            raise self.failure
        return ()

    def impaired(self, now: datetime) -> Sequence[str]:
        return ()

    def gauges(self, now: datetime) -> Sequence[Gauge]:
        return [Gauge("scep_pending", "Requests that wait.", 3, {"profile": "routers"})]


@dataclass
class Answer:
    """An HTTP response, taken apart."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()


@dataclass
class Running:
    """A server that runs."""

    port: int
    script: Any
    front: Front
    metrics: Metrics
    listener: Listener

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=20)

    def raw(self, *parts: bytes) -> bytes:
        """All that comes back on one connection, after sending these bytes."""
        with self.connect() as connection:
            for part in parts:
                connection.sendall(part)
            return everything(connection)

    def ask(
        self,
        target: str,
        body: bytes | None = None,
        *,
        method: str | None = None,
        version: str = "1.1",
        headers: Sequence[str] = ("Host: ca.test",),
    ) -> Answer:
        lines = [f"{method or ('GET' if body is None else 'POST')} {target} HTTP/{version}"]
        lines += headers
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if version == "1.1":
            lines.append("Connection: close")
        head = "\r\n".join([*lines, "", ""]).encode("latin-1")
        return taken_apart(self.raw(head + (body or b"")))


def everything(connection: socket.socket) -> bytes:
    """What comes until the other end closes or resets the connection."""
    parts = []
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def taken_apart(data: bytes) -> Answer:
    """The first response in some bytes, whose length must be what its header says."""
    head, blank, body = data.partition(b"\r\n\r\n")
    assert blank, data
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)}
    return Answer(int(first.split()[1]), headers, body)


def settings_for(**server: Any) -> Any:
    profiles = server.pop("profile", {"default": {}, "routers": {}})
    return settings_of(
        {
            "server": server,
            "secrets": {"challenge_key": "k" * 16},
            "ca": {"main": {"key": "a", "certificate": "b"}},
            "profile": profiles,
        },
        Path("/nowhere"),
    )


@contextlib.contextmanager
def running(
    script: Any = None,
    *,
    threads: int = 4,
    clock: Callable[[], datetime] | None = None,
    health: Any = None,
    connections: OpenConnections | None = None,
    **server: Any,
) -> Iterator[Running]:
    """A server with these `[server]` settings; `profile` gives other profiles.

    :param connections: of other workers too; it is in their first place.
    """
    script = script or Script()
    waiting = server.get("waiting", 128)
    settings = settings_for(**{"stop_timeout": "5s", **server})
    site = site_of(settings, script)
    metrics = Metrics(Board(1), 0)
    elsewhere = Threads(threads, waiting)
    front = Front(
        site,
        threads=elsewhere,
        bench=Bench(threads, waiting, elsewhere),
        buckets=Buckets(),
        journal=RequestJournal(metrics),
    )
    if clock is not None:
        front.clock = clock
    app = create_app(front, Monitor(front, metrics, health or script))
    listener = make_listener(
        app,
        connections or OpenConnections(1),
        0,
        limits_of(settings),
    )
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(
            target=lambda: asyncio.run(listener.serve(sockets=[listening])), daemon=True
        )
        thread.start()
        while not listener.started:
            time.sleep(0.005)
        try:
            yield Running(listening.getsockname()[1], script, front, metrics, listener)
        finally:
            listener.should_exit = True
            thread.join(20)
            assert not thread.is_alive()
            front.threads.close()


@contextlib.contextmanager
def logged(name: str = "scepkit") -> Iterator[list[logging.LogRecord]]:
    """The events that are logged meanwhile, by loggers of that name."""
    records: list[logging.LogRecord] = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            records.append(record)

    logger, handler = logging.getLogger(name), Keep()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    try:
        yield records
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
