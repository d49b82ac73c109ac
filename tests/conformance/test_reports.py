"""The report in its four forms."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser
from xml.etree import ElementTree

import pytest

from scepkit.conformance.exchanges import Exchange
from scepkit.conformance.registry import Check, Class
from scepkit.conformance.report.page import as_html
from scepkit.conformance.report.text import as_text
from scepkit.conformance.report.values import as_junit, as_values
from scepkit.conformance.runner import Report, Result
from scepkit.conformance.verdicts import (
    Kind,
    Verdict,
    failed,
    inconclusive,
    passed,
    skipped,
    together,
    warned,
)
from scepkit.core.http import HttpResponse
from scepkit.testing import TestCa
from tests.conformance.running import checks, results_of, session_for

NOW = datetime(2026, 6, 1, 12, 30, tzinfo=UTC)
EVIL = "<script>alert('x')</script>\x1b[31m&\u202e"


def check(number: int, cls: Class, title: str = "a title") -> Check:
    return Check(
        f"T{number}", cls, title, "RFC 8894 3", "change it", frozenset(), "opinions differ", 60.0,
        "http", lambda probe: passed(),
    )  # fmt: skip


def exchange(body: bytes) -> Exchange:
    response = HttpResponse(400, body, NOW, "text/html", "7")
    return Exchange("a request", "POST http://ca/scep", b"0\x03", response, "", NOW, 0.0123)


def report(*pairs: tuple[Class, Verdict], body: bytes = b"no") -> Report:
    results = tuple(
        Result(check(20 + place, cls, f"title {EVIL}"), verdict, 0.5, (exchange(body),), 3)
        for place, (cls, verdict) in enumerate(pairs)
    )
    return Report(
        f"http://ca.test/scep?{EVIL}", None, NOW, 12.3, ("AES",), ("'CN=CA'",), results, ("a note",)
    )


ALL_KINDS = report(
    (Class.MUST, failed(f"it says {EVIL}", "one part", "another part")),
    (Class.SECURITY, passed()),
    (Class.SHOULD, warned("nearly")),
    (Class.OPTIONAL, skipped("it is not there")),
    (Class.QUIRK, inconclusive("nobody knows")),
    (Class.QUIRK, Verdict(Kind.WAIVED, "accepted")),
    body=EVIL.encode(),
)


class Page(HTMLParser):
    """Notes what is on a page, and that every element is closed."""

    VOID = ("meta", "br")

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_is_whole_and_runs_nothing() -> None:
    page = Page(as_html(ALL_KINDS))
    assert page.open == []
    tags = {tag for tag, _ in page.elements}
    assert "details" in tags
    assert not tags & {"script", "img", "link", "iframe", "object", "form"}
    for _, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on")]
        assert all(
            value is None or not value.startswith(("http:", "https:", "javascript:", "//"))
            for name, value in attributes.items()
            if name in ("href", "src")
        )


def test_what_a_server_says_is_text_on_the_page() -> None:
    html = as_html(ALL_KINDS)
    assert "<script" not in html
    assert "\x1b" not in html
    assert "\u202e" not in html
    assert "<script>alert('x')</script>" in Page(html).text


def test_the_page_fits_dark_screens_and_paper() -> None:
    html = as_html(ALL_KINDS)
    assert "prefers-color-scheme: dark" in html
    assert "@media print" in html
    assert "url(" not in html


def test_the_page_says_what_to_change_failures_first() -> None:
    text = Page(as_html(ALL_KINDS)).text
    wanted = text.split("What to change")[1].split("HTTP")[0]
    assert wanted.index("T20 (fail") < wanted.index("T22 (warn")
    assert "Nothing." in Page(as_html(report((Class.MUST, passed())))).text


def test_the_terminal_shows_no_control_characters() -> None:
    text = as_text(ALL_KINDS, verbose=True)
    assert "\x1b" not in text
    assert "\u202e" not in text
    assert "FAIL    T20   M" in text
    assert "--waive T20" in text
    assert "1 of class M failed (T20)" in text


def test_junit_is_xml_with_a_suite_for_each_class() -> None:
    root = ElementTree.fromstring(as_junit(ALL_KINDS))
    suites = {suite.get("name", "")[:7]: suite for suite in root}
    assert set(suites) == {"class M", "class X", "class S", "class O", "class Q"}
    (case,) = suites["class M"]
    (failure,) = case
    assert failure.tag == "failure"
    assert suites["class M"].get("failures") == "1"
    assert suites["class Q"].get("skipped") == "1"
    assert [one.tag for one in suites["class S"][0]] == ["system-out"]


def test_json_holds_everything() -> None:
    values = json.loads(json.dumps(as_values(ALL_KINDS)))
    assert values["exitCode"] == 10
    assert values["classes"]["M"]["fail"] == 1
    assert values["results"][0]["exchanges"][0]["response"]["status"] == 400
    assert values["results"][0]["requests"] == 3


@pytest.mark.parametrize(
    ("classes", "code"),
    [
        ((), 0),
        ((Class.MUST,), 10),
        ((Class.OPTIONAL,), 10),
        ((Class.SECURITY,), 11),
        ((Class.SECURITY, Class.MUST), 12),
    ],
)
def test_the_exit_code_follows_from_the_classes(classes: tuple[Class, ...], code: int) -> None:
    assert report(*((cls, failed("no")) for cls in classes)).exit_code == code


def test_the_worst_part_decides() -> None:
    parts = [("a", passed()), ("b", warned("w")), ("c", failed("f")), ("d", skipped("s"))]
    verdict = together(parts)
    assert (verdict.kind, verdict.text) == (Kind.FAIL, "c: f")
    assert verdict.details == ("a: as expected", "b: w", "c: f", "d: s")
    assert together([("a", skipped("s")), ("b", skipped("t"))]).kind is Kind.SKIPPED
    assert together([("a", skipped("s")), ("b", passed())]).kind is Kind.PASS
    assert together([]).kind is Kind.INCONCLUSIVE


def test_a_report_of_a_real_run_shows_the_decrypted_reply() -> None:
    ca = TestCa()
    from scepkit.conformance.challenges import Static

    with (
        ca.serve() as url,
        session_for(url, challenges=Static("secret"), allow_issue=True) as session,
    ):
        found = results_of(session, checks("T20"))
    html = as_html(found)
    assert "CN=scepkit-check-" in html
    assert "CertRep" in html
    assert "challenge" in Page(html).text.split("encrypted:")[1]
    (result,) = as_values(found)["results"]
    assert "secret" not in json.dumps(result)


def test_an_exchange_is_shown_once() -> None:
    shared = exchange(b"no")
    results = tuple(
        Result(check(number, Class.MUST), failed("no"), 0.1, (shared,), 0) for number in (20, 21)
    )
    whole = report()
    page = Page(as_html(replace(whole, results=results))).text
    assert page.count("a request: HTTP 400") == 1
    assert "as in T20" in " ".join(page.split())
    assert "more requests" not in page
