"""Rows of any number into a file or to stdout: PEM, CSV, or one JSON object a line.

The rule of this file: nothing is held back in memory, and a file has its name when it is complete,
on the disk too: `scepkit audit prune` then removes what is in it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from scepkit.cli.output import STDIO, Output, write_text
from scepkit.keys.writing import sync_directory

Form = str


class Sink:
    """Where the rows of an export go; `count` of them have."""

    def __init__(self, form: Form, write: Callable[[str], None]) -> None:
        self.count = 0
        self._form = form
        self._write = write

    def add(self, row: Mapping[str, Any] | str | None) -> None:
        """Write one row; None is left out."""
        if row is None:
            return
        if isinstance(row, str):
            self._write(row)
        elif self._form == "csv":
            if not self.count:
                self._write(_csv(row))
            self._write(_csv(row.values()))
        else:
            import json

            self._write(json.dumps(row, separators=(",", ":")) + "\n")
        self.count += 1


@contextmanager
def exported(out: Output, path: str | None, form: Form) -> Iterator[Sink]:
    """A place for rows; says what was written, with ``--json`` as the result on stdout.

    Raises:
        click.UsageError: stdout is wanted for the rows and for ``--json``.
    """
    if path in (None, STDIO):
        import click

        if out.as_json:
            raise click.UsageError("--json needs --out FILE here: the rows go to stdout otherwise")
        yield Sink(form, write_text)
        return
    assert path is not None
    temporary = os.path.join(
        os.path.dirname(path), f".{os.path.basename(path)[:200]}.{os.urandom(8).hex()}.tmp"
    )
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            sink = Sink(form, lambda text: _to(file, text))
            yield sink
            file.flush()
            os.fsync(descriptor)
        os.replace(temporary, path)
        sync_directory(os.path.dirname(path) or os.curdir)
    except BaseException:
        with suppress(OSError):
            os.unlink(temporary)
        raise
    out.note(f"wrote {path}")
    if out.as_json:
        out.result({"file": path, "rows": sink.count}, str)


def _to(file: Any, text: str) -> None:
    file.write(text)


def _csv(cells: Any) -> str:
    """A line of CSV (RFC 4180)."""
    import csv
    import io

    line = io.StringIO()
    csv.writer(line).writerow([_cell(cell) for cell in cells])
    return line.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, list):
        text = " ".join(value)
    elif isinstance(value, Mapping):
        import json

        text = json.dumps(value)
    else:
        text = "" if value is None else str(value)
    # What a spreadsheet would take for a formula (https://owasp.org/www-community/attacks/CSV_Injection).
    return f"'{text}" if text[:1] in {"=", "+", "-", "@", "\t", "\r"} else text
