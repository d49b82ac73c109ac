"""The page that figures are written to: each benchmark has a place there, between two marks."""

from __future__ import annotations

from pathlib import Path

_END = "<!-- end -->"


class NoPlaceError(Exception):
    """The page has no marks for that benchmark."""


def write(page: Path, name: str, text: str) -> None:
    """Put a text between the marks of the benchmark of that name.

    :raises NoPlaceError: there are none; nothing is written.
    """
    begin = f"<!-- benchmarks/{name} -->"
    before, found, rest = page.read_text().partition(begin)
    _, ended, after = rest.partition(_END)
    if not (found and ended):
        raise NoPlaceError(f"{page} has no {begin} with {_END} after it")
    page.write_text(f"{before}{begin}\n\n{text}\n\n{_END}{after}")
