"""What the tester found, on the terminal and in files."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.output import Output, coloured, write_text

if TYPE_CHECKING:
    from scepkit.conformance.runner import Report

_COLOURS = {"FAIL": "red", "warn": "yellow", "pass": "green"}


def write_lines(lines: list[str]) -> None:
    """Write lines of a report to stdout, with colours where somebody looks."""
    if coloured(sys.stdout):
        lines = [_coloured(line) for line in lines]
    write_text("".join(f"{line}\n" for line in lines))


def _coloured(line: str) -> str:
    word, _, rest = line.partition(" ")
    return f"{click.style(word, fg=_COLOURS[word])} {rest}" if word in _COLOURS else line


def write_reports(out: Output, report: Report, options: dict[str, Any]) -> None:
    """Write the report to the files that the options name."""
    from scepkit.keys import write_file

    for name in ("html", "junit", "json_file"):
        path = options[name]
        if path is None:
            continue
        if name == "html":
            from scepkit.conformance.report.page import as_html

            text = as_html(report)
        elif name == "junit":
            from scepkit.conformance.report.values import as_junit

            text = as_junit(report)
        else:
            import json

            from scepkit.conformance.report.values import as_values

            text = json.dumps(as_values(report), indent=2) + "\n"
        write_file(path, text.encode(), force=True)
        out.note(f"wrote {path}")
