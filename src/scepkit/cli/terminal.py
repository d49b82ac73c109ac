"""The person at the terminal: questions, secrets, and one line of progress.

The rule of this file: a question goes to the terminal itself, so that it is seen when stdout and
stderr are redirected and answered by a person when stdin is a pipe.  Without a terminal nothing
is ever asked.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import TextIO

from scepkit.cli.output import Output, printable


@contextmanager
def terminal() -> Iterator[tuple[TextIO, TextIO] | None]:
    """The controlling terminal, to read and to write, or None when there is none."""
    try:
        # Two objects, because text that is both read and written has to be seekable.
        reader = open("/dev/tty", encoding="utf-8")  # noqa: SIM115
        writer = open("/dev/tty", "w", encoding="utf-8")  # noqa: SIM115
    except OSError:
        yield None
        return
    with reader, writer:
        yield reader, writer


def has_terminal(out: Output) -> bool:
    """Whether there is someone to ask, and who wants to be asked."""
    if out.no_input:
        return False
    with terminal() as streams:
        return streams is not None


def ask_secret(question: str) -> str:
    """Ask on the terminal for something that is not shown while it is typed."""
    from getpass import getpass

    return getpass(f"scepkit: {question}: ")


def ask(question: str, default: str) -> str:
    """Ask on the terminal; an empty answer, or none, is `default`."""
    with terminal() as streams:
        if streams is None:
            return default
        reader, writer = streams
        writer.write(f"scepkit: {question} [{printable(default)}]: ")
        writer.flush()
        return reader.readline().strip() or default


class Progress:
    """One line on stderr that is written over and over, and gone at the end.

    It shows nothing when stderr is not a terminal, or when `enabled` is False.
    """

    def __init__(self, *, enabled: bool = True) -> None:
        self._stream = sys.stderr if enabled and sys.stderr.isatty() else None

    def show(self, text: str) -> None:
        """Write `text` over what stood there."""
        if self._stream is not None:
            self._stream.write(f"\r\x1b[Kscepkit: {printable(text)}")
            self._stream.flush()

    def clear(self) -> None:
        """Take the line away, for something else to be written."""
        if self._stream is not None:
            self._stream.write("\r\x1b[K")
            self._stream.flush()

    def __enter__(self) -> Progress:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.clear()
