"""What the server tells Prometheus; the names are promised in `docs/server/monitoring.md`.

The rule of this file: labels are words of ours, never of a client, so the number of time series is
bounded by the configuration.  There is a registry of our own, so that nothing else gets in.

prometheus_client writes the page.  Its counters for several processes cost ten times as much for
each request as those of `counting`.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from scepkit.server.counting import Board, Counts, Histogram, Labels, added_up, decoded
from scepkit.server.replies import Record

_Value = TypeVar("_Value")

#: In seconds, from what a request without RSA takes to what only a sick server takes.
_BOUNDS = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

_REQUESTS = "scep_requests"
_SECONDS = "scep_request_seconds"
_REPLAYS = "scep_replays"
_HTTP = "scep_http_responses"
_JOBS = "scep_jobs"
_JOB_SECONDS = "scep_job_seconds"

_COUNTERS = {
    _REQUESTS: (
        "Answered PKIOperations and other operations of SCEP.",
        ("profile", "op", "message_type", "result", "fail_info", "stage"),
    ),
    _REPLAYS: ("Requests that got the answer of an earlier one.", ("profile", "shape")),
    _HTTP: ("HTTP responses.", ("status",)),
    _JOBS: ("Passes of background jobs.", ("job", "result")),
}
_HISTOGRAMS = {
    _SECONDS: ("Time spent on PKIOperations, in whole and by stage.", ("stage",)),
    _JOB_SECONDS: ("Time spent on background jobs.", ("job",)),
}
_MESSAGE_TYPES = frozenset({"PKCSReq", "RenewalReq", "CertPoll", "GetCert", "GetCRL"})


@dataclass(frozen=True, slots=True)
class Gauge:
    """A number that is true now.

    Attributes:
        name: of the metric.
        help: what it says.
        value: the number.
        labels: names and values.
    """

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)


class Metrics:
    """The counters of this process, and the page with those of all."""

    def __init__(self, board: Board, place: int) -> None:
        self._board = board
        self._place = place
        # Requests are counted in one thread, jobs in many.
        self._lock = threading.Lock()
        before = board.read(place)
        # Who was in this place before is not forgotten: a counter never goes back.
        self.counts = decoded(before) if before else Counts()
        self._stages = _Stages(self.counts)

    def request(self, profile: str, op: str, http_status: int, record: Record | None) -> None:
        """Count an answered request to SCEP."""
        message_type = result = fail_info = stage = ""
        if record is not None:
            result, fail_info, stage = record.status, record.fail_info, record.stage
            kind = record.message_type
            message_type = kind if kind in _MESSAGE_TYPES or not kind else "other"
            if record.replay:
                self.counts.add(_REPLAYS, (profile, record.replay))
        result = result or f"HTTP {http_status}"
        self.counts.add(_REQUESTS, (profile, op, message_type, result, fail_info, stage))

    def http(self, status: int) -> None:
        """Count any HTTP response."""
        self.counts.add(_HTTP, (str(status),))

    def seconds(self, stage: str, seconds: float) -> None:
        """Note what a PKIOperation, or a stage of it, took."""
        self._stages[stage].observe(seconds, _BOUNDS)

    def job(self, name: str, result: str, seconds: float) -> None:
        """Note a pass of a background job; from any thread, unlike the others."""
        with self._lock:
            self.counts.add(_JOBS, (name, result))
            self.counts.observe(_JOB_SECONDS, (name,), seconds, _BOUNDS)

    def publish(self) -> None:
        """Let the other processes see the counters of this one."""
        with self._lock:
            self._board.write(self._place, self.counts.encoded())

    def page(self, gauges: Iterable[Gauge]) -> bytes:
        """All numbers of all processes, in Prometheus' text format."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(_Page(added_up(self._board, {self._place: self.counts}), gauges))
        return generate_latest(registry)


class _Stages(dict[str, Histogram]):
    """What stages took, by their name alone: it is asked for seven times for each request."""

    def __init__(self, counts: Counts) -> None:
        super().__init__()
        self._counts = counts

    def __missing__(self, stage: str) -> Histogram:
        found = self[stage] = self._counts.histogram(_SECONDS, (stage,), _BOUNDS)
        return found


class _Page(Collector):
    def __init__(self, counts: Counts, gauges: Iterable[Gauge]) -> None:
        self._counts = counts
        self._gauges = gauges

    def collect(self) -> Iterator[Metric]:
        """The families of the page."""
        for name, (text, names) in _COUNTERS.items():
            counter = CounterMetricFamily(name, text, labels=names)
            for labels, amount in _of(self._counts.counters, name):
                counter.add_metric(labels, amount)
            yield counter
        for name, (text, names) in _HISTOGRAMS.items():
            histogram = HistogramMetricFamily(name, text, labels=names)
            for labels, found in _of(self._counts.histograms, name):
                histogram.add_metric(labels, _buckets(found.counts), found.total)
            yield histogram
        yield from _gauge_families(self._gauges)


def _of(table: Mapping[tuple[str, Labels], _Value], name: str) -> Iterator[tuple[Labels, _Value]]:
    for (found, labels), value in sorted(table.items(), key=lambda item: item[0]):
        if found == name:
            yield labels, value


def _buckets(counts: list[int]) -> list[tuple[str, float]]:
    found, below = [], 0
    for bound, count in zip((*(str(b) for b in _BOUNDS), "+Inf"), counts, strict=False):
        below += count
        found.append((bound, float(below)))
    return found


def _gauge_families(gauges: Iterable[Gauge]) -> Iterator[Metric]:
    families: dict[str, GaugeMetricFamily] = {}
    for gauge in gauges:
        family = families.get(gauge.name)
        if family is None:
            family = GaugeMetricFamily(gauge.name, gauge.help, labels=tuple(gauge.labels))
            families[gauge.name] = family
        family.add_metric(tuple(gauge.labels.values()), gauge.value)
    return iter(families.values())
