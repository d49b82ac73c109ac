"""core.shown: texts for people."""

from __future__ import annotations

from scepkit.core.shown import one_line


def test_what_an_exception_says_becomes_one_printable_line() -> None:
    assert one_line(ValueError("first\nsecond")) == "first"
    assert one_line(ValueError("\x1b[2J")) == "?[2J"
    assert one_line(ValueError()) == "ValueError"
