"""Lines of the log: text for people, or JSON for programs, on standard error.

The rule of this file: one event is one line of ASCII, whatever is in it.  Values that come from
clients are quoted and escaped here, so no client can write a line, or move a terminal's cursor.
"""

from __future__ import annotations

import json
import logging
import re
import sys
import traceback
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import IO

from scepkit.server.settings import LogSettings

#: What needs no quotes in a line of text.
_PLAIN = re.compile(r"[A-Za-z0-9._:/+@,~-]+")
#: A single value is not longer than this: no client fills the disk with one request.
_LONGEST = 500
_LONGEST_TRACEBACK = 20_000

_encode = json.JSONEncoder(ensure_ascii=True, separators=(",", ":"), default=str).encode


def with_fields(fields: Mapping[str, object]) -> dict[str, Mapping[str, object]]:
    """The `extra` argument that gives a line fields of its own."""
    return {"fields": fields}


class TextFormatter(logging.Formatter):
    """``2026-06-01T12:00:00.123Z INFO request profile=routers status=SUCCESS ms=4.1``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one event."""
        parts = [_moment(record.created), record.levelname, _ascii(record.getMessage())]
        parts += [f"{name}={_shown(value)}" for name, value in _fields(record).items()]
        parts += [f"{name}={_shown(text, None)}" for name, text in _origin(record).items()]
        return " ".join(parts)


class JsonFormatter(logging.Formatter):
    """``{"time":"2026-06-01T12:00:00.123Z","level":"info","event":"request",...}``."""

    def format(self, record: logging.LogRecord) -> str:
        """The line for one event."""
        line: dict[str, object] = {
            "time": _moment(record.created),
            "level": record.levelname.lower(),
            "event": record.getMessage()[:_LONGEST],
        }
        for name, value in _fields(record).items():
            line[name] = value[:_LONGEST] if isinstance(value, str) else value
        line.update(_origin(record))
        return _encode(line)


def _fields(record: logging.LogRecord) -> Mapping[str, object]:
    """What a line says besides its event."""
    found: Mapping[str, object] = getattr(record, "fields", {})
    return found


def _origin(record: logging.LogRecord) -> dict[str, str]:
    """Of a line that is not ours, its logger; of one about an error, where it was raised."""
    found = {}
    if record.name.partition(".")[0] != "scepkit":
        found["logger"] = record.name
    if record.exc_info and record.exc_info[1] is not None:
        # No values of variables: only our own source lines and the error's text.
        told = "".join(traceback.format_exception(record.exc_info[1]))
        found["traceback"] = told[-_LONGEST_TRACEBACK:]
    return found


def _moment(created: float) -> str:
    seconds, fraction = divmod(created, 1)
    return f"{_second(seconds)}.{int(fraction * 1000):03d}Z"


@lru_cache(maxsize=2)  # hundreds of lines are of the same second
def _second(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")


def _shown(value: object, limit: int | None = _LONGEST) -> str:
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if not isinstance(value, str | int) and isinstance(value, Mapping):
        return ",".join(f"{name}:{_shown(item)}" for name, item in value.items()) or '""'
    text = value if isinstance(value, str) else str(value)
    text = text[:limit]
    return text if _PLAIN.fullmatch(text) else _encode(text)


def _ascii(text: str) -> str:
    """The text of an event on one line; what is not printable ASCII is escaped."""
    text = text[: 2 * _LONGEST]
    if text.isascii() and text.isprintable():
        return text
    return _encode(text)[1:-1].replace('\\"', '"')


def set_up(settings: LogSettings, stream: IO[str] | None = None) -> None:
    """Send what this process logs to standard error, in the form of the settings."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.format == "json" else TextFormatter())
    root = logging.getLogger()
    for old in root.handlers[:]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(logging.WARNING)
    logging.getLogger("scepkit").setLevel(settings.level.upper())
    # A line that cannot be written is no reason to fail a request.
    logging.raiseExceptions = False
    logging.captureWarnings(True)
    # Nothing of this is in our lines, and finding it out takes half as long as all the rest
    # (as the manual of `logging` says under "Optimization").
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
