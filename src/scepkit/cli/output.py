"""Where the words of a command go: the result to stdout, everything else to stderr.

The rule of this file: whatever came from the network is shown without its control characters, so
that no certificate name or failInfoText can drive the terminal.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import click

STDIO = "-"


class ReaderGoneError(Exception):
    """Whoever read our stdout does so no longer (`scepkit ... | head`)."""


class Output:
    """The two streams of one command, and how much it may say.

    Attributes:
        as_json: the result is one JSON object instead of text.
        quiet: nothing but errors on stderr.
        verbosity: 0; 1 adds the steps; 2 adds headers and ASN.1 outlines.
        no_input: the user does not want to be asked anything.
    """

    def __init__(
        self,
        *,
        as_json: bool = False,
        quiet: bool = False,
        verbosity: int = 0,
        no_input: bool = False,
    ) -> None:
        self.as_json = as_json
        self.quiet = quiet
        self.verbosity = verbosity
        self.no_input = no_input

    def note(self, text: str) -> None:
        """Say something on stderr that the user wants to know without asking."""
        if not self.quiet:
            stderr_line(text)

    def warn(self, text: str) -> None:
        """Say on stderr that something is done, but not as it should be."""
        if not self.quiet:
            stderr_line(f"warning: {text}")

    def step(self, text: str) -> None:
        """Say on stderr what is being done, when `-v` asks for it."""
        if self.verbosity and not self.quiet:
            stderr_line(text)

    def result(self, values: Mapping[str, Any], text: Callable[[], str]) -> None:
        """Write the result: `values` with ``--json``, else what `text` returns."""
        if self.as_json:
            write_json(values)
        else:
            write_text(text())

    def document(
        self, data: bytes, path: str | None, *, binary: bool, values: Mapping[str, Any]
    ) -> None:
        """Write a result that is itself a file (a certificate, a CRL).

        It goes to the file `path`; to stdout when that is None or ``-``.  With ``--json`` stdout
        carries `values` only, and the file is written if there is one.  Call `check_target` before
        the work, so that binary data does not go to a terminal.
        """
        if path == STDIO:
            path = None
        if path is not None:
            from scepkit.keys import write_file

            write_file(path, data, force=True)
            self.note(f"wrote {path}")
        if self.as_json:
            write_json({**values, "file": path})
        elif path is None:
            write_bytes(data, binary=binary)


def check_target(path: str | None, *, binary: bool) -> None:
    """Refuse early what `write_bytes` would refuse at the end."""
    if binary and path in (None, STDIO) and sys.stdout.isatty():
        raise click.UsageError("binary output does not go to a terminal; use --out FILE or a pipe")


def printable(text: str) -> str:
    """`text` with every control and direction-changing character as an escape."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        # U+202A to U+202E and U+2066 to U+2069 turn the reading direction of what follows.
        # isprintable() is false for those, for C0 and C1, and for line and paragraph separators.
        character if character.isprintable() else character.encode("unicode_escape").decode()
        for character in text
    )


def fields(pairs: Iterable[tuple[str, str]]) -> str:
    """Lines of ``name  value``, the values under each other."""
    listed = [(name, printable(value)) for name, value in pairs]
    width = max((len(name) for name, _ in listed), default=0)
    return "".join(f"{name:<{width}}  {value}\n" for name, value in listed)


def indented(text: str) -> str:
    """`text` with each line two columns further right."""
    return "".join(f"  {line}\n" for line in text.splitlines())


def stderr_line(text: str, *, alarming: bool = False) -> None:
    """Write one line ``scepkit: text`` to stderr; nothing when nobody can read it."""
    prefix = "scepkit:"
    if alarming and coloured(sys.stderr):
        prefix = click.style(prefix, fg="red", bold=True)
    try:
        sys.stderr.write(f"{prefix} {printable(text)}\n")
        sys.stderr.flush()
    except (OSError, ValueError):
        # stderr is closed or its disk is full.  The exit code still says what happened.
        pass


def coloured(stream: Any) -> bool:
    """Whether `stream` is a terminal whose user wants colour (https://no-color.org)."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb" and stream.isatty()


def write_json(values: Mapping[str, Any]) -> None:
    """Write one JSON object to stdout, ASCII only, so that any locale can carry it."""
    import json

    write_text(json.dumps(values, indent=2) + "\n")


def write_text(text: str) -> None:
    """Write text to stdout; what its encoding lacks goes out as a backslash escape."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    try:
        sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding))
        sys.stdout.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error


def write_bytes(data: bytes, *, binary: bool) -> None:
    """Write bytes to stdout."""
    if not binary:
        write_text(data.decode("ascii"))
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError as error:
        raise ReaderGoneError from error
