"""Lines of the log: one each, whatever is in it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.server import logs
from scepkit.server.logs import JsonFormatter, TextFormatter, with_fields
from tests.server.serving import settings_for

NASTY = 'a"b\\c\r\nGET / HTTP/1.1\x1b[31m\x00\u202e\ud800 <script>'


def event(message: str, **fields: object) -> logging.LogRecord:
    record = logging.LogRecord("scepkit.request", logging.INFO, "x.py", 1, message, (), None)
    record.created = 1780315200.1234
    record.fields = fields
    return record


def test_a_line_of_text_is_for_people() -> None:
    line = TextFormatter().format(
        event("request", profile="routers", ms={"sign": 1.25, "claim": 2.0}, subject="CN=a b", n=5)
    )
    assert line == (
        "2026-06-01T12:00:00.123Z INFO request profile=routers ms=sign:1.25,claim:2 "
        'subject="CN=a b" n=5'
    )


def test_a_line_of_json_is_for_programs() -> None:
    line = JsonFormatter().format(event("request", profile="routers", ms={"sign": 1.25}, ok=True))
    assert json.loads(line) == {
        "time": "2026-06-01T12:00:00.123Z",
        "level": "info",
        "event": "request",
        "profile": "routers",
        "ms": {"sign": 1.25},
        "ok": True,
    }


@pytest.mark.parametrize("formatter", [TextFormatter(), JsonFormatter()])
def test_what_a_client_wrote_stays_within_its_value(formatter: logging.Formatter) -> None:
    line = formatter.format(event(f"odd {NASTY}", transactionID=NASTY, x={"y": NASTY}))
    assert line.isascii()
    assert line.isprintable()


@given(st.text(), st.text())
def test_any_text_is_one_printable_line(message: str, value: str) -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        line = formatter.format(event(message, value=value))
        assert line.isascii()
        assert line.isprintable()
    assert json.loads(JsonFormatter().format(event("x", value=value)))["value"] == value[:500]


def test_a_long_value_is_cut() -> None:
    for formatter in (TextFormatter(), JsonFormatter()):
        assert len(formatter.format(event("x" * 10_000, value="y" * 10_000))) < 2000


def test_an_error_is_told_with_its_place_on_one_line() -> None:
    try:
        raise RuntimeError("broken\nin two")
    except RuntimeError as error:
        record = event("cannot answer")
        record.exc_info = (type(error), error, error.__traceback__)
    line = TextFormatter().format(record)
    assert "\n" not in line
    assert "RuntimeError: broken" in line
    assert "test_logs.py" in line


def test_other_loggers_are_named() -> None:
    record = event("warned")
    record.name = "py.warnings"
    assert TextFormatter().format(record).endswith("warned logger=py.warnings")


@pytest.fixture
def put_back() -> Iterator[None]:
    root, ours = logging.getLogger(), logging.getLogger("scepkit")
    before: Any = (root.handlers[:], root.level, ours.level, logging.raiseExceptions)
    flags = (logging.logThreads, logging.logProcesses, logging.logMultiprocessing)
    source = logging._srcfile
    yield
    root.handlers[:], root.level, ours.level, logging.raiseExceptions = before
    logging.logThreads, logging.logProcesses, logging.logMultiprocessing = flags
    logging._srcfile = source
    logging.captureWarnings(False)


@pytest.mark.usefixtures("put_back")
def test_a_process_logs_as_it_is_told() -> None:
    stream = io.StringIO()
    settings = settings_for().log
    logs.set_up(settings, stream)
    logging.getLogger("scepkit.request").info("seen", extra=with_fields({"a": 1}))
    logging.getLogger("scepkit.request").debug("not seen")
    logging.getLogger("other").info("not seen")
    logging.getLogger("other").warning("seen")
    assert stream.getvalue().count("\n") == 2
    assert "INFO seen a=1\n" in stream.getvalue()
    logs.set_up(settings, stream)
    logging.getLogger("scepkit").info("once")
    assert stream.getvalue().count("once") == 1
