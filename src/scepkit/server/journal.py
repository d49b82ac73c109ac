"""One line in the log, and some counters, for each request that was answered.

The rule of this file: it is the only place that says what became of a request, and says it once.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from scepkit.core.http import printable
from scepkit.server.logs import with_fields
from scepkit.server.replies import Reply

if TYPE_CHECKING:
    from scepkit.server.front import Exchange
    from scepkit.server.metrics import Metrics

log = logging.getLogger("scepkit.request")

_LONGEST_PATH = 120
#: Asked for every few seconds by machines: not worth a line while all is well.
_PROBES = frozenset({"healthz", "readyz", "metrics"})
_ERROR = 500


class RequestJournal:
    """Notes what was answered."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def note(self, exchange: Exchange, reply: Reply, seconds: float) -> None:
        """Log and count one request; status 0 says that the client was gone before the answer."""
        record, operation = reply.record, exchange.operation
        if exchange.scep:
            self._metrics.request(exchange.profile, operation, reply.status, record)
        self._metrics.http(reply.status)
        if record is not None:
            self._metrics.seconds("all", seconds)
            for stage, spent in record.timings.items():
                self._metrics.seconds(stage, spent / 1000)
        level = logging.INFO if reply.status < _ERROR else logging.WARNING
        if operation in _PROBES and level == logging.INFO:
            level = logging.DEBUG
        if not log.isEnabledFor(level):
            return
        fields: dict[str, object] = {"http": reply.status, "asked": operation}
        if record is None:
            fields |= {"method": exchange.method, "path": printable(exchange.path, _LONGEST_PATH)}
            fields["address"] = exchange.address
            if exchange.profile:
                fields["profile"] = exchange.profile
            if reply.status >= 400:
                fields["reason"] = printable(reply.body[:200].decode("utf-8", "replace"), 200)
        else:
            fields |= record.fields()
        fields["bytes"] = len(reply.body)
        fields["total_ms"] = round(seconds * 1000, 3)
        log.log(level, "request" if reply.status else "client gone", extra=with_fields(fields))
