"""What the server answers to HTTP requests: SCEP's operations, and what it publishes beside them.

The rules of this file: bad input is answered with a 4xx, or a CertRep by the use cases, and never
with a 5xx; what a client sent is in no answer and in no log but printable and short; an error of
our own is told to the log and not to the client.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol, TypeVar

from scepkit.config import Network
from scepkit.core import http
from scepkit.errors import DecodeError, KeyUnavailable, ScepError, StoreUnavailable
from scepkit.server.asking import (
    ClientGone,
    Receive,
    Refusal,
    Scope,
    Send,
    client_address,
    read_body,
    throw_away,
)
from scepkit.server.bench import Bench
from scepkit.server.limits import Buckets, bucket_of
from scepkit.server.profile_settings import RateLimit
from scepkit.server.replies import Context, Document, Reply
from scepkit.server.settings import Settings
from scepkit.server.threads import Busy, Threads

log = logging.getLogger("scepkit.server")

_T = TypeVar("_T")

#: What devices append to the URL they are given (RFC 8894 section 4.1; Q02, Q06).
_CLIENT_SUFFIXES = frozenset({"pkiclient.exe", "mscep.dll", "mscep", "cgi-bin", "certsrv"})
_OPERATIONS = {
    name.lower(): name for name in ("GetCACaps", "GetCACert", "GetNextCACert", "PKIOperation")
}
#: When to come again, in seconds: a database that restarts, and a burst of requests, take a while.
_RETRY_WITHOUT_DATABASE = "10"
_RETRY_WHEN_BUSY = "5"
TEXT = "text/plain"


class Service(Protocol):
    """The use cases behind HTTP; all of them may be called from any thread."""

    @property
    def profile_names(self) -> Collection[str]:
        """The profiles that are served."""

    def pki_operation(self, profile: str, body: bytes, context: Context) -> Reply:
        """Answer a pkiMessage."""

    def get_ca_caps(self, profile: str) -> Reply:
        """Answer GetCACaps, without database and key."""

    def get_ca_cert(self, profile: str) -> Reply:
        """Answer GetCACert, without database and key."""

    def get_next_ca_cert(self, profile: str) -> Reply:
        """Answer GetNextCACert."""

    def crl(self, ca: str, now: datetime, known: Document | None) -> Document | None:
        """The newest CRL of a generation of a CA ("main", "main~2"), or None.

        :param known: what this returned last: returned when there is none newer.
        """

    def ca_certificate(self, ca: str) -> Document | None:
        """The certificate of a generation of a CA, or None."""


@dataclass(frozen=True, slots=True, eq=False)
class Site:
    """What is served, and with which limits; a reload puts another one in its place."""

    service: Service
    default_profile: str | None
    max_body: int
    trusted_proxies: tuple[Network, ...]
    metrics_from: tuple[Network, ...]
    rate_limits: Mapping[str, RateLimit]


def site_of(settings: Settings, service: Service) -> Site:
    """The site that the settings describe."""
    server = settings.server
    return Site(
        service,
        settings.default_profile,
        server.max_body,
        server.trusted_proxies,
        server.metrics_from,
        {name: profile.rate_limit for name, profile in settings.profile.items()},
    )


@dataclass(slots=True)
class Exchange:
    """One request on its way to an answer.

    Attributes:
        site: what was served when it came: a reload does not change it under way.
        address: of the client.
        operation: what was asked for, for the log and the metrics; one of few words.
        profile: a profile that exists, or "".
        scep: whether it came to an address of SCEP.
        was_read: whether its body was read to the end.
    """

    scope: Scope
    receive: Receive
    site: Site
    address: str
    operation: str = ""
    profile: str = ""
    scep: bool = False
    was_read: bool = False

    @property
    def method(self) -> str:
        """The HTTP method."""
        found: str = self.scope["method"]
        return found

    @property
    def path(self) -> str:
        """The path, decoded."""
        found: str = self.scope["path"]
        return found

    @property
    def query(self) -> str:
        """The query as it came, without "?"; bytes outside ASCII are one character each."""
        found: bytes = self.scope["query_string"]
        return found.decode("latin-1")


class Journal(Protocol):
    """Where answered requests are noted."""

    def note(self, exchange: Exchange, reply: Reply, seconds: float) -> None:
        """An answer was sent, or, with status 0, the client was gone."""


Handler = Callable[[Exchange], Awaitable[Reply]]


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Front:
    """The server's answers; one for each process.

    Attributes:
        site: what is served; may be replaced at any time.
    """

    def __init__(
        self,
        site: Site,
        *,
        threads: Threads,
        bench: Bench,
        buckets: Buckets,
        journal: Journal,
        clock: Callable[[], datetime] = _utc_now,
    ) -> None:
        self.site = site
        self.threads = threads
        self.bench = bench
        self.buckets = buckets
        self.journal = journal
        self.clock = clock

    @property
    def open(self) -> int:
        """How many calls are being worked on or waiting."""
        return self.threads.open + self.bench.open

    # ------------------------------------------------------------------ SCEP

    async def scep(self, exchange: Exchange) -> Reply:
        """Any operation of SCEP (RFC 8894 section 4), for the profile that the path names."""
        exchange.scep, exchange.operation = True, "unknown"
        exchange.profile = _profile_of(exchange.path, exchange.site)
        if exchange.method not in ("GET", "POST"):
            raise not_allowed("GET, POST")
        if len(exchange.scope["query_string"]) > 2 * exchange.site.max_body:
            raise Refusal(414, "the URL is too long; send the message by POST")
        try:
            parameters = http.parse_query(exchange.query)
            # Many clients send POST without an operation, and there is but one (R95).
            asked = parameters.get("operation", "PKIOperation" if exchange.method == "POST" else "")
            operation = _OPERATIONS.get(asked.lower())
            if operation is None:
                what = "unknown" if asked else "missing"
                raise Refusal(400, f"the operation is {what}")
            exchange.operation = operation
            if operation == "PKIOperation":
                return await self._pki_operation(exchange, parameters.get("message"))
        except DecodeError as error:
            raise Refusal(400, str(error)) from None
        if exchange.method == "POST":
            raise Refusal(400, f"{operation} is asked for by GET")
        return await self._read_only(exchange)

    async def _read_only(self, exchange: Exchange) -> Reply:
        # `message=` is not looked at: clients put all kinds of words there (Q02).
        service, profile = exchange.site.service, exchange.profile
        match exchange.operation:
            case "GetCACaps":
                return service.get_ca_caps(profile)
            case "GetCACert":
                return service.get_ca_cert(profile)
        return await self.work(lambda: service.get_next_ca_cert(profile))

    async def _pki_operation(self, exchange: Exchange, message: str | None) -> Reply:
        site, method = exchange.site, exchange.method
        # No content type is asked for: clients send none, octet-stream, or a form's (Q11, Q14).
        body = await read_body(exchange.scope, exchange.receive, limit=site.max_body)
        exchange.was_read = True
        if method == "GET":
            if message is None:
                raise Refusal(400, "PKIOperation by GET needs a message parameter")
            body = http.decode_get_message(message)
            if len(body) > site.max_body:
                raise Refusal(414, f"the message is too long; at most {site.max_body} bytes")
        self._limit(exchange)
        context = Context(self.clock(), exchange.address, method)
        return await self.work(
            lambda: site.service.pki_operation(exchange.profile, body, context), self.bench
        )

    def _limit(self, exchange: Exchange) -> None:
        limit = exchange.site.rate_limits.get(exchange.profile)
        if limit is None:
            return
        now, wait = time.monotonic(), 0.0
        if limit.per_address is not None:
            key = (exchange.profile, bucket_of(exchange.address))
            wait = self.buckets.take(key, limit.per_address, limit.address_burst, now)
        if not wait and limit.total is not None:
            wait = self.buckets.take((exchange.profile,), limit.total, limit.total_burst, now)
        if wait:
            raise Refusal(
                429, "too many requests; come again later", headers=_retry(str(int(wait) + 1))
            )

    async def work(self, call: Callable[[], _T], place: Threads | Bench | None = None) -> _T:
        """Run something that waits (for the database, for a key) in a thread, or in that place."""
        try:
            return await (place or self.threads).run(call)
        except Busy:
            raise Refusal(
                503, "too much to do; come again later", headers=_retry(_RETRY_WHEN_BUSY)
            ) from None
        except (StoreUnavailable, KeyUnavailable) as error:
            # A CertRep FAILURE would be final for the client (RFC 8894 section 3.2.1.4).
            log.warning("not available: %s", error)
            raise Refusal(
                503, "not available now; come again later", headers=_retry(_RETRY_WITHOUT_DATABASE)
            ) from None

    # ------------------------------------------------------------------ answering

    async def answer(self, handler: Handler, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one HTTP request with what `handler` gives, whatever happens."""
        started = time.perf_counter()
        site = self.site
        exchange = Exchange(scope, receive, site, client_address(scope, site.trusted_proxies))
        try:
            reply = await handler(exchange)
        except Refusal as refusal:
            reply = text_reply(refusal.status, refusal.text, refusal.headers)
        except ClientGone:
            self.journal.note(exchange, Reply(0, b"", ""), time.perf_counter() - started)
            return
        except asyncio.CancelledError:
            # A stop has waited for it until `stop_timeout`, and waits no more for its body either.
            exchange.was_read = True
            headers = _retry(_RETRY_WHEN_BUSY)
            reply = text_reply(503, "the server stops; come again later", headers)
        except ScepError as error:
            # Bad input does not raise: this is ours to repair, and not the client's to know.
            log.error("cannot answer: %s", error, exc_info=error)
            reply = text_reply(500, "internal error")
        except Exception as error:  # the last place where anything is caught
            log.error("cannot answer", exc_info=error)
            reply = text_reply(500, "internal error")
        with suppress(asyncio.CancelledError):  # a stop waits no more for who does not read it
            await send_reply(reply, exchange, send)
        self.journal.note(exchange, reply, time.perf_counter() - started)


def _profile_of(path: str, site: Site) -> str:
    """The profile that a path means: ``/scep/NAME/anything``, or the default one."""
    first, _, rest = path.lstrip("/").partition("/")
    name = rest.partition("/")[0] if first.lower() == "scep" else ""
    if name in site.service.profile_names:
        return name
    if (not name or name.lower() in _CLIENT_SUFFIXES) and site.default_profile is not None:
        return site.default_profile
    raise Refusal(404, "there is no such profile")


def not_allowed(methods: str) -> Refusal:
    """405 with the methods that are allowed."""
    return Refusal(405, f"this is asked for by {methods}", headers=(("allow", methods),))


def text_reply(status: int, text: str, headers: tuple[tuple[str, str], ...] = ()) -> Reply:
    """A short answer for people."""
    return Reply(status, f"{text}\n".encode(), TEXT, headers)


def _retry(seconds: str) -> tuple[tuple[str, str], ...]:
    return (("retry-after", seconds),)


_REFUSED = 400
#: Larger bodies are sent in pieces of this size, as fast as the client reads them.
_PIECE = 64 * 1024
_ALWAYS = ((b"x-content-type-options", b"nosniff"),)
# A cache in between must not hand one client's answer to another.
_NOT_STORED = (*_ALWAYS, (b"cache-control", b"no-store"))


async def send_reply(reply: Reply, exchange: Exchange, send: Send) -> None:
    """Send an answer, with its exact Content-Length (Q32)."""
    # A client that is still sending is let finish, so that it sees why it is refused.
    linger = reply.status >= _REFUSED and not exchange.was_read
    headers = [(name.encode(), value.encode()) for name, value in reply.headers]
    published = any(name == b"cache-control" for name, _ in headers)
    headers += _ALWAYS if published else _NOT_STORED
    if reply.status != 304:
        headers.append((b"content-type", reply.content_type.encode()))
        headers.append((b"content-length", str(len(reply.body)).encode()))
    if linger:
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    body = b"" if exchange.method == "HEAD" or reply.status == 304 else reply.body
    if len(body) > _PIECE:
        for start in range(0, len(body), _PIECE):
            piece = body[start : start + _PIECE]
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        body = b""
    if linger:
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await throw_away(exchange.receive)
        body = b""
    await send({"type": "http.response.body", "body": body})
