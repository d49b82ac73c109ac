"""The report for a terminal.

The rule of this file: lines without colours or control characters; who prints them may add colours.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from scepkit.conformance.registry import Class
from scepkit.conformance.runner import Report, Result
from scepkit.conformance.verdicts import Kind
from scepkit.core.http import printable
from scepkit.core.wording import counted

_WIDTH = 96
WORDS = {
    Kind.PASS: "pass",
    Kind.WAIVED: "waived",
    Kind.SKIPPED: "skip",
    Kind.INCONCLUSIVE: "?",
    Kind.WARN: "warn",
    Kind.FAIL: "FAIL",
}
_MOST_DETAILS = 12
#: Longer texts of a server are cut.
_LONGEST = 600


def theme_title(theme: str) -> str:
    """A theme's heading."""
    return TITLES.get(theme, theme)


TITLES = {
    "http": "HTTP",
    "caps": "Capabilities",
    "ca_certs": "CA certificates",
    "enrolment": "A plain enrolment",
    "issued": "The certificate it gives",
    "transports": "Ways to send a message",
    "tolerance": "What devices in the field send",
    "algorithms": "Algorithms",
    "requests": "Certificate requests",
    "challenges": "Challenges",
    "authorisation": "Who may have a certificate",
    "signatures": "Signatures",
    "contents": "What is in a request",
    "renewal": "Renewal",
    "polling": "Waiting and polling",
    "queries": "Queries and rollover",
    "robustness": "Robustness",
    "timing": "Timing",
    "load": "Load",
}


def result_line(result: Result) -> str:
    """One test on one line."""
    check = result.check
    title = printable(check.title, _LONGEST)
    return f"{WORDS[result.kind]:<6}  {check.id:<4}  {check.cls.value}  {title}"


def result_lines(result: Result, *, verbose: bool = False) -> Iterator[str]:
    """One test: its line, and what was found if that is not simply right."""
    yield result_line(result)
    quiet = result.kind in (Kind.PASS, Kind.SKIPPED)
    if quiet and not verbose:
        return
    yield from _wrapped(result.verdict.text)
    details = result.verdict.details
    for line in details[:_MOST_DETAILS]:
        yield from _wrapped(line, mark="- ")
    if len(details) > _MOST_DETAILS:
        yield from _wrapped(f"... {len(details) - _MOST_DETAILS} more")
    if result.kind in (Kind.FAIL, Kind.WARN):
        yield from _wrapped(f"to change: {result.check.remedy} ({result.check.section})")
        if result.check.disputed:
            yield from _wrapped(
                f"disputed: {result.check.disputed}; to accept it: --waive {result.check.id}"
            )


def _wrapped(text: str, mark: str = "") -> Iterator[str]:
    indent = " " * 8
    yield from textwrap.wrap(
        printable(text, _LONGEST),
        _WIDTH,
        initial_indent=indent + mark,
        subsequent_indent=indent + " " * len(mark),
        break_long_words=False,
        break_on_hyphens=False,
    )


def summary_lines(report: Report) -> Iterator[str]:
    """The table of classes, and the verdict."""
    yield ""
    yield f"{'class':<8}{'fail':>6}{'warn':>6}{'?':>6}{'skip':>6}{'waived':>8}{'pass':>6}"
    for cls in Class:
        listed = report.of(cls)
        if not listed:
            continue
        counts = {kind: report.count(kind, listed) for kind in Kind}
        yield (
            f"{cls.value:<8}{counts[Kind.FAIL]:>6}{counts[Kind.WARN]:>6}"
            f"{counts[Kind.INCONCLUSIVE]:>6}{counts[Kind.SKIPPED]:>6}"
            f"{counts[Kind.WAIVED]:>8}{counts[Kind.PASS]:>6}   {cls.meaning}"
        )
    for note in report.notes:
        yield f"note: {printable(note, _LONGEST)}"
    yield verdict_line(report)


def verdict_line(report: Report) -> str:
    """The whole run in one sentence."""
    parts = []
    for cls in (Class.MUST, Class.SECURITY, Class.OPTIONAL):
        listed = report.failed(cls)
        if listed:
            numbers = ", ".join(one.check.id for one in listed)
            parts.append(f"{len(listed)} of class {cls.value} failed ({numbers})")
    warnings = report.count(Kind.WARN)
    told = "; ".join(parts) or "nothing failed"
    more = f"; {counted(warnings, 'warning')}" if warnings else ""
    undecided = report.count(Kind.INCONCLUSIVE)
    rest = f", {undecided} undecided" if undecided else ""
    passes = report.count(Kind.PASS)
    return f"{printable(report.url, _LONGEST)}: {told}{more}, {passes} passed{rest}"


def as_text(report: Report, *, verbose: bool = False) -> str:
    """The whole report."""
    lines: list[str] = []
    theme = ""
    for result in report.results:
        if result.check.theme != theme:
            theme = result.check.theme
            lines += ["", theme_title(theme)]
        lines += result_lines(result, verbose=verbose)
    return "\n".join([*lines, *summary_lines(report)]).lstrip("\n") + "\n"
