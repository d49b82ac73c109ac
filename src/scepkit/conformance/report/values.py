"""The report as values for JSON, and as JUnit XML.

The rule of this file: the names are a promise; a key may be added, none may change.
"""

from __future__ import annotations

from typing import Any
from xml.sax.saxutils import quoteattr

from scepkit.conformance.exchanges import Exchange, as_base64
from scepkit.conformance.registry import Class
from scepkit.conformance.runner import Report, Result
from scepkit.conformance.verdicts import Kind


def as_values(report: Report) -> dict[str, Any]:
    """What goes into JSON."""
    return {
        "url": report.url,
        "profile": report.profile,
        "started": report.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "seconds": round(report.seconds, 3),
        "exitCode": report.exit_code,
        "capabilities": list(report.capabilities),
        "certificates": list(report.certificates),
        "notes": list(report.notes),
        "classes": {
            cls.value: {kind.value: report.count(kind, report.of(cls)) for kind in Kind}
            for cls in Class
        },
        "results": [_result(one) for one in report.results],
    }


def _result(result: Result) -> dict[str, Any]:
    check = result.check
    return {
        "id": check.id,
        "class": check.cls.value,
        "theme": check.theme,
        "title": check.title,
        "section": check.section,
        "verdict": result.kind.value,
        "text": result.verdict.text,
        "details": list(result.verdict.details),
        "remedy": check.remedy,
        "disputed": check.disputed,
        "seconds": round(result.seconds, 3),
        "requests": result.requests,
        "exchanges": [_exchange(one) for one in result.exchanges],
    }


def _exchange(exchange: Exchange) -> dict[str, Any]:
    return {
        "what": exchange.what,
        "at": exchange.at.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "milliseconds": round(exchange.seconds * 1000, 1),
        "request": {
            "head": exchange.head,
            "body": as_base64(exchange.sent).replace("\n", ""),
            "view": exchange.request_view(),
        },
        "response": None
        if exchange.response is None
        else {
            "status": exchange.status,
            "contentType": exchange.content_type,
            "body": as_base64(exchange.body).replace("\n", ""),
            "view": exchange.answer_view(),
        },
        "error": exchange.error,
    }


def as_junit(report: Report) -> str:
    """JUnit XML: a suite for each class; warnings are what a passed test has to say."""
    suites = []
    for cls in Class:
        listed = report.of(cls)
        if not listed:
            continue
        failures = report.count(Kind.FAIL, listed)
        skips = report.count(Kind.SKIPPED, listed) + report.count(Kind.INCONCLUSIVE, listed)
        cases = "".join(_case(one) for one in listed)
        seconds = sum(one.seconds for one in listed)
        suites.append(
            f"  <testsuite name={quoteattr(f'class {cls.value}: {cls.meaning}')} "
            f'tests="{len(listed)}" failures="{failures}" skipped="{skips}" errors="0" '
            f'time="{seconds:.3f}">\n{cases}  </testsuite>\n'
        )
    head = f"<testsuites name={_attribute(f'scepkit check {report.url}')}>\n"
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{"".join(suites)}</testsuites>\n'


def _case(result: Result) -> str:
    check = result.check
    name = _attribute(f"{check.id} {check.title}")
    head = f'    <testcase classname="scep.{check.theme}" name={name} time="{result.seconds:.3f}"'
    text = _attribute(result.verdict.text)
    body = _attribute("\n".join(result.verdict.details))[1:-1]
    match result.kind:
        case Kind.FAIL:
            inner = f"<failure message={text}>{body}</failure>"
        case Kind.SKIPPED | Kind.INCONCLUSIVE:
            inner = f"<skipped message={text}/>"
        case Kind.PASS:
            return f"{head}/>\n"
        case _:
            words = _attribute(f"{result.kind.value}: {result.verdict.text}")[1:-1]
            inner = f"<system-out>{words}</system-out>"
    return f"{head}>{inner}</testcase>\n"


def _attribute(text: str) -> str:
    """A quoted attribute; XML has no place for control characters at all."""
    safe = "".join(c if c.isprintable() or c == "\n" else "?" for c in text)
    return quoteattr(safe.encode("utf-8", "replace").decode())
