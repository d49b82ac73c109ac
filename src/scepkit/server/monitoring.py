"""For the machines that watch the server: is it alive, is it ready, what are its numbers.

The rule of this file: whoever may not see the numbers learns no more than yes or no, and watching
costs the database no more than one look a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from scepkit.errors import StoreError
from scepkit.server.asking import Refusal, is_among, is_direct
from scepkit.server.front import Exchange, Front, not_allowed, text_reply
from scepkit.server.metrics import Gauge, Metrics
from scepkit.server.replies import Reply
from scepkit.server.threads import Busy, Threads

_T = TypeVar("_T")

log = logging.getLogger("scepkit.server")

#: How old what is known may be, in seconds.
_FRESH = 1.0
#: The database has this long to answer, in seconds; probes usually give up after a few.
_PATIENCE = 5.0
_NO_DATABASE = "the database cannot be used now; the log says why"
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Health(Protocol):
    """What is known of the server's health; all may be called from any thread."""

    def not_ready(self, now: datetime) -> Sequence[str]:
        """Why requests cannot be answered now: short sentences; none when they can.

        :raises StoreError: the database cannot be used.
        """

    def impaired(self, now: datetime) -> Sequence[str]:
        """What cannot be done now, though the rest can."""

    def gauges(self, now: datetime) -> Sequence[Gauge]:
        """Numbers of the database and of the certificates in use.

        :raises StoreError: the database cannot be used.
        """


@dataclass(slots=True)
class _Known(Generic[_T]):
    """Something that takes a while to find out, kept for a second."""

    find_out: Callable[[], _T]
    threads: Threads
    value: _T | None = None
    known_at: float = -_FRESH
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def get(self) -> _T:
        """What is known.

        :raises TimeoutError: it took too long.
        """
        async with self.lock:
            if self.value is None or time.monotonic() - self.known_at >= _FRESH:
                async with asyncio.timeout(_PATIENCE):
                    self.value = await self.threads.run(self.find_out)
                self.known_at = time.monotonic()
            return self.value


class Monitor:
    """The three pages."""

    def __init__(self, front: Front, metrics: Metrics, health: Health) -> None:
        self._front = front
        self._metrics = metrics
        self._health = health
        # Threads of its own: whether requests wait for the database is what is to be found out.
        self._threads = Threads(2, 16, name="scepkit-monitor")
        self._reasons = _Known(self._find_reasons, self._threads)
        self._gauges = _Known(self._find_gauges, self._threads)
        self._logged = ""

    async def healthz(self, exchange: Exchange) -> Reply:
        """200 while the process answers at all."""
        _begin(exchange, "healthz")
        return text_reply(200, "ok")

    async def readyz(self, exchange: Exchange) -> Reply:
        """200 when requests can be answered, else 503, to some with the reasons."""
        _begin(exchange, "readyz")
        try:
            reasons = await self._reasons.get()
        except (TimeoutError, Busy):
            reasons = ("the database does not answer in time",)
        status, word = (503, "not ready") if reasons else (200, "ready")
        if not _may_see(exchange):
            return text_reply(status, word)
        shown = reasons or self._health.impaired(self._front.clock())
        return text_reply(status, "\n".join((word, *shown)))

    async def metrics(self, exchange: Exchange) -> Reply:
        """The numbers, for those who may see them."""
        _begin(exchange, "metrics")
        if not _may_see(exchange):
            raise Refusal(404, "not found")
        try:
            gauges = await self._gauges.get()
        except (TimeoutError, Busy):
            gauges = (Gauge("scep_ready", "Whether requests can be answered.", 0),)
        open_calls = self._front.open
        gauges = (*gauges, Gauge("scep_worker_requests", "Requests under way here.", open_calls))
        return Reply(200, self._metrics.page(gauges), _METRICS_TYPE)

    def _find_reasons(self) -> tuple[str, ...]:
        try:
            reasons = tuple(self._health.not_ready(self._front.clock()))
        except StoreError as error:
            # Where the database is, and as whom it is used, is nothing for a page.
            if str(error) != self._logged:  # said once, however often somebody asks
                self._logged = str(error)
                log.warning("not ready: %s", error)
            return (_NO_DATABASE,)
        self._logged = ""
        return reasons

    def _find_gauges(self) -> tuple[Gauge, ...]:
        ready = Gauge(
            "scep_ready", "Whether requests can be answered.", float(not self._find_reasons())
        )
        try:
            return (ready, *self._health.gauges(self._front.clock()))
        except StoreError:
            # The database is down; that is what scep_ready says.
            return (ready,)


def _begin(exchange: Exchange, operation: str) -> None:
    exchange.operation = operation
    if exchange.method not in ("GET", "HEAD"):
        raise not_allowed("GET, HEAD")


def _may_see(exchange: Exchange) -> bool:
    site = exchange.site
    if not is_direct(exchange.scope, site.trusted_proxies):
        return False
    # At a Unix socket without a proxy's word there is no address: whoever may connect may see.
    return not exchange.address or is_among(exchange.address, site.metrics_from)
