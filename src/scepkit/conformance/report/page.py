"""The report as one page of HTML: it needs no script, no network and no other file.

The rule of this file: everything goes through `_text`, which escapes; only this file's own markup
does not.
"""

from __future__ import annotations

from html import escape

from scepkit.conformance.exchanges import Exchange, as_base64
from scepkit.conformance.registry import Class
from scepkit.conformance.report.text import theme_title, verdict_line
from scepkit.conformance.runner import Report, Result
from scepkit.conformance.verdicts import Kind

#: Exchanges that are shown of a test that went well.
_MOST_OF_GOOD = 3

_STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --paper: #fff; --faint: #59636e; --rule: #d1d9e0;
  --box: #f6f8fa; --fail: #b42318; --warn: #8a5a00; --pass: #1a6b34; --other: #59636e; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6edf3; --paper: #0d1117; --faint: #9198a1;
  --rule: #3d444d; --box: #161b22; --fail: #ff8a80; --warn: #e3b341; --pass: #56d364;
  --other: #9198a1; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 70rem; padding: 2rem 1.2rem 4rem; color: var(--ink);
  background: var(--paper); font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 .6rem; }
.faint { color: var(--faint); } a { color: inherit; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1.2rem; }
dt { color: var(--faint); } dd { margin: 0; overflow-wrap: anywhere; }
table { border-collapse: collapse; } th, td { text-align: right; padding: .25rem .8rem;
  border-bottom: 1px solid var(--rule); } th:first-child, td:first-child { text-align: left; }
.verdict { border-left: 4px solid var(--rule); padding: .5rem 1rem; background: var(--box);
  font-weight: 600; overflow-wrap: anywhere; }
.test { border: 1px solid var(--rule); border-radius: 6px; margin: .5rem 0; padding: .55rem .9rem;
  break-inside: avoid; }
.test > header { display: flex; gap: .8rem; align-items: baseline; }
.mark { font-weight: 700; min-width: 5.5rem; font-size: .85rem; text-transform: uppercase; }
.fail .mark { color: var(--fail); } .warn .mark { color: var(--warn); }
.pass .mark { color: var(--pass); } .other .mark { color: var(--other); }
.test.fail { border-color: var(--fail); }
.id { font-variant-numeric: tabular-nums; color: var(--faint); white-space: nowrap; }
.test p { margin: .35rem 0; overflow-wrap: anywhere; } .test ul { margin: .3rem 0; }
.test li { overflow-wrap: anywhere; }
details { margin: .35rem 0; } summary { cursor: pointer; color: var(--faint); }
pre { background: var(--box); border: 1px solid var(--rule); border-radius: 4px; padding: .6rem;
  overflow-x: auto; font: 12.5px/1.45 ui-monospace, monospace; white-space: pre-wrap;
  overflow-wrap: anywhere; }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } .test { border-color: #999; }
  details:not([open]) { display: none; } }
"""


def as_html(report: Report) -> str:
    """The whole page."""
    title = f"Is this SCEP server right? {report.url}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
        "style-src 'unsafe-inline'\">\n"
        f"<title>{_text(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"{_head(report)}{_classes(report)}{_first(report)}{_all(report)}"
        "</body>\n</html>\n"
    )


def _text(text: str) -> str:
    """Text for HTML: escaped, and without control characters."""
    safe = "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)
    return escape(safe.encode("utf-8", "replace").decode())


def _head(report: Report) -> str:
    rows = [
        ("server", report.url),
        ("profile", report.profile or "the default"),
        ("tested", report.started.strftime("%Y-%m-%d %H:%M UTC")),
        ("took", f"{report.seconds:.0f} s"),
        ("announces", ", ".join(report.capabilities) or "nothing"),
        *(("certificate", one) for one in report.certificates),
        *(("note", one) for one in report.notes),
    ]
    listed = "".join(f"<dt>{_text(name)}</dt><dd>{_text(value)}</dd>\n" for name, value in rows)
    return (
        "<h1>SCEP conformance report</h1>\n"
        '<p class="faint">Black-box tests of a SCEP server (RFC 8894) by scepkit check.</p>\n'
        f'<p class="verdict">{_text(verdict_line(report))}</p>\n<dl>\n{listed}</dl>\n'
    )


def _classes(report: Report) -> str:
    kinds = (Kind.FAIL, Kind.WARN, Kind.INCONCLUSIVE, Kind.SKIPPED, Kind.WAIVED, Kind.PASS)
    heads = "".join(f"<th>{_text(kind.value)}</th>" for kind in kinds)
    rows = []
    for cls in Class:
        listed = report.of(cls)
        if listed:
            cells = "".join(f"<td>{report.count(kind, listed)}</td>" for kind in kinds)
            name = _text(f"{cls.value}: {cls.meaning}")
            rows.append(f"<tr><td>{name}</td>{cells}</tr>\n")
    return f"<h2>By class</h2>\n<table>\n<tr><th>class</th>{heads}</tr>\n{''.join(rows)}</table>\n"


def _first(report: Report) -> str:
    """What to change, before everything else."""
    wrong = [one for one in report.results if one.kind in (Kind.FAIL, Kind.WARN)]
    if not wrong:
        return "<h2>What to change</h2>\n<p>Nothing.</p>\n"
    wrong.sort(key=lambda one: one.kind is Kind.WARN)
    rows = "".join(
        f'<li><a href="#{_text(one.check.id)}">{_text(one.check.id)}</a> '
        f"({_text(one.kind.value)}, class {_text(one.check.cls.value)}): "
        f"{_text(one.check.remedy)}</li>\n"
        for one in wrong
    )
    return f"<h2>What to change</h2>\n<ul>\n{rows}</ul>\n"


def _all(report: Report) -> str:
    parts = []
    theme = ""
    seen: dict[int, str] = {}
    for result in report.results:
        if result.check.theme != theme:
            theme = result.check.theme
            parts.append(f"<h2>{_text(theme_title(theme))}</h2>\n")
        parts.append(_test(result, seen))
    return "".join(parts)


def _test(result: Result, seen: dict[int, str]) -> str:
    check, verdict = result.check, result.verdict
    look = result.kind.value if result.kind in (Kind.FAIL, Kind.WARN, Kind.PASS) else "other"
    head = (
        f'<section class="test {look}" id="{_text(check.id)}">\n<header>'
        f'<span class="mark">{_text(result.kind.value)}</span>'
        f'<span class="id">{_text(check.id)} {_text(check.cls.value)}</span>'
        f"<span>{_text(check.title)}</span></header>\n<p>{_text(verdict.text)}</p>\n"
    )
    parts = [head]
    if verdict.details:
        listed = "".join(f"<li>{_text(one)}</li>\n" for one in verdict.details)
        parts.append(f"<details><summary>each part</summary>\n<ul>\n{listed}</ul>\n</details>\n")
    if result.kind in (Kind.FAIL, Kind.WARN, Kind.WAIVED):
        parts.append(f"<p><strong>To change:</strong> {_text(check.remedy)}</p>\n")
        if check.disputed:
            words = f"{check.disputed}. Accept it with --waive {check.id}."
            parts.append(f"<p><strong>Disputed:</strong> {_text(words)}</p>\n")
    parts.append(f'<p class="faint">{_text(check.section)}; {_text(_effort(result))}</p>\n')
    parts += _exchanges(result, seen)
    return "".join([*parts, "</section>\n"])


def _effort(result: Result) -> str:
    plural = "" if result.requests == 1 else "s"
    return f"{result.requests} request{plural}, {result.seconds:.2f} s"


def _exchanges(result: Result, seen: dict[int, str]) -> list[str]:
    """What was sent and received; of a test that went well the beginning, and nothing twice."""
    most = _MOST_OF_GOOD if result.kind in (Kind.PASS, Kind.SKIPPED) else len(result.exchanges)
    parts = []
    for exchange in result.exchanges[:most]:
        before = seen.setdefault(id(exchange), result.check.id)
        if before == result.check.id:
            parts.append(_exchange(exchange, whole=result.kind is not Kind.PASS))
        else:
            link = f'<a href="#{_text(before)}">{_text(before)}</a>'
            parts.append(f'<p class="faint">{_text(exchange.what)}: as in {link}</p>\n')
    if (left := result.requests - min(most, len(result.exchanges))) > 0:
        parts.append(f'<p class="faint">{left} more requests are not shown</p>\n')
    return parts


def _exchange(exchange: Exchange, *, whole: bool) -> str:
    """One exchange; `whole` with the bytes, by which a fault can be looked into."""
    answer = f"HTTP {exchange.status}" if exchange.response else "no answer"
    milliseconds = f"{exchange.seconds * 1000:.0f} ms"
    sent, received = exchange.sent, exchange.body
    shown = [
        _block(exchange.at.strftime("sent %H:%M:%S.%f"), exchange.head),
        _block("request, decoded", exchange.request_view()),
        _block(f"request body, {len(sent)} bytes, base64", as_base64(sent) if whole else ""),
        _block("answer", _answer_head(exchange)),
        _block("answer, decoded and decrypted", exchange.answer_view()),
        _block(f"answer body, {len(received)} bytes, base64", as_base64(received) if whole else ""),
    ]
    summary = _text(f"{exchange.what}: {answer}, {milliseconds}")
    return f"<details><summary>{summary}</summary>\n{''.join(shown)}</details>\n"


def _answer_head(exchange: Exchange) -> str:
    if exchange.response is None:
        return exchange.error
    lines = [exchange.answer_text, f"Content-Type: {exchange.content_type or '(none)'}"]
    if exchange.response.retry_after:
        lines.append(f"Retry-After: {exchange.response.retry_after}")
    return "\n".join(lines)


def _block(title: str, text: str) -> str:
    if not text:
        return ""
    return f'<p class="faint">{_text(title)}</p>\n<pre>{_text(text)}</pre>\n'


__all__ = ["as_html"]
