"""The rows of `scepkit enrol-many`: who wants a certificate, in a CSV or JSON Lines file.

The rules of this file: all rows are read and checked before anything is sent, but never held at
once; and no error shows what stands in a row, because its challenge does too, but for the names of
files.
"""

from __future__ import annotations

import csv
import json
import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import BinaryIO, Self, TextIO

import click

from scepkit.cli.failures import Unfit, describe
from scepkit.cli.output import STDIO
from scepkit.cli.request import read_csr_file
from scepkit.core.names import parse_eku, parse_san, parse_subject
from scepkit.errors import InputError, ScepError
from scepkit.values import field, frozen

#: The columns; those without a second word are texts, the others lists.
_TEXTS = ("name", "subject", "challenge", "csr", "key")
_LISTS = ("san", "eku")
#: Names of folders, on every file system; no hidden ones, because the journal is one.
_NAME = re.compile(r"[\w][\w.@+-]{0,99}", re.ASCII)
#: Characters of one row; longer is no row but the wrong file.
_LONGEST = 65536


@frozen
class Row:
    """One certificate that is wanted.

    Attributes:
        line: where it stands in the file.
        name: of the folder for its files.
        subject: as ``--subject`` takes it.
        san: alternative names, as ``--san`` takes them.
        eku: extended key usages, as ``--eku`` takes them.
        challenge: the challengePassword, or None for that of all rows.
        csr: the file of a request that is made already, or None; then there is no subject.
        key: the file of a key that is there already, or None for the one in the folder.
    """

    line: int
    name: str
    subject: str
    san: tuple[str, ...]
    eku: tuple[str, ...]
    challenge: str | None = field(repr=False)
    csr: str | None
    key: str | None


class RowFile:
    """A file of rows, which can be read more than once; ``-`` is stdin, kept in a nameless file.

    Attributes:
        name: what errors call it.
        is_stdin: it is read from there.

    Raises:
        OSError: stdin cannot be read, or not be kept.
    """

    def __init__(self, path: str) -> None:
        self.is_stdin = path == STDIO
        self.name = "stdin" if self.is_stdin else path
        self._path: str = path
        self._kept: BinaryIO | None = None
        if self.is_stdin:
            from shutil import copyfileobj
            from tempfile import TemporaryFile

            # It has challenges in it: only this process can open a file that has no name.
            self._kept = TemporaryFile()  # noqa: SIM115
            copyfileobj(sys.stdin.buffer, self._kept)
            self._kept.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._kept is not None:
            self._kept.close()

    def open(self) -> TextIO:
        """The file from its beginning; not twice at a time."""
        if self._kept is None:
            return open(self._path, encoding="utf-8-sig", newline="")
        self._kept.seek(0)
        return open(os.dup(self._kept.fileno()), encoding="utf-8-sig", newline="")


def read_rows(source: RowFile) -> Iterator[Row]:
    """The rows of a file, one at a time.

    It is JSON Lines if its first character is ``{``, else CSV with the columns' names first.

    Raises:
        Unfit: it is neither, or a row lacks something or has something that is not known.
        OSError: the file cannot be read.
    """
    path = source.name
    with source.open() as file:
        try:
            first = file.read(1)
            file.seek(0)
            for line, values in (_json_lines if first == "{" else _csv)(file, path):
                yield _row(path, line, values)
        except UnicodeDecodeError as error:
            raise Unfit(f"{path}: not UTF-8 text (byte {error.start})", path=path) from None


def check_rows(source: RowFile, directory: str) -> int:
    """How many rows there are, if all of them can be asked for.

    Args:
        source: where they stand.
        directory: in which each has a folder, perhaps with its key.

    Raises:
        Unfit: a row cannot, or two have one name.
        OSError: the file cannot be read.
    """
    path = source.name
    lines: dict[str, int] = {}
    for row in read_rows(source):
        # As file systems do that do not tell a from A.
        other = lines.setdefault(row.name.lower(), row.line)
        if other != row.line:
            raise _unfit(
                path,
                row.line,
                f"the name {row.name} is that of line {other} too",
                "give each row a name of its own, in a column `name`",
            )
        try:
            _check(row, directory)
        except (ScepError, OSError, click.ClickException) as error:
            _, description = describe(error)
            raise _unfit(path, row.line, description["message"], description["hint"]) from None
    if not lines:
        raise Unfit(f"{path}: there are no rows in it", path=path)
    return len(lines)


def _check(row: Row, directory: str) -> None:
    """Return if the row can be asked for, as far as that can be seen from here."""
    if row.key is not None:
        with open(row.key, "rb"):
            pass
    if row.csr is not None:
        read_csr_file(row.csr)
        own = os.path.join(directory, row.name, "key.pem")
        if row.key is None and not os.path.lexists(own):
            raise InputError(
                f"there is no key for the request {row.csr}",
                hint=f"name its file in a column key, or put it into {own}",
            )
    parse_subject(row.subject)
    for san in row.san:
        parse_san(san)
    for eku in row.eku:
        parse_eku(eku)


def _row(path: str, line: int, values: dict[str, str | Sequence[str]]) -> Row:
    _refuse_unknown(path, line, values)
    texts = {name: values.get(name, "") for name in _TEXTS}
    lists = {name: values.get(name, ()) for name in _LISTS}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise _unfit(path, line, f"the {name} is not a text")
    subject, challenge, csr, key = (
        str(texts[one]) for one in ("subject", "challenge", "csr", "key")
    )
    found = {
        name: tuple(several.split() if isinstance(several, str) else several)
        for name, several in lists.items()
    }
    if csr and (subject or found["san"] or found["eku"]):
        raise _unfit(path, line, "a csr says itself what subject, san and eku would say")
    if not csr and not subject and not found["san"]:
        raise _unfit(path, line, "there is neither a subject nor a san, nor a csr")
    for column, file in (("csr", csr), ("key", key)):
        if file == STDIO:
            raise _unfit(path, line, f"the {column} cannot be stdin")
    name = str(texts["name"]) or _common_name(subject) or _stem(csr)
    if not _NAME.fullmatch(name):
        raise _unfit(
            path,
            line,
            "there is no name that a folder can have",
            "give a column name: letters, digits and . _ - + @, at most 100, a letter or digit "
            "first; without one, the common name of the subject is taken, or the name of the csr "
            "file",
        )
    lists_of = found["san"], found["eku"]
    return Row(line, name, subject, *lists_of, challenge or None, csr or None, key or None)


#: Spreadsheets of many countries write semicolons.
_COMMAS = "separate the columns with commas"


def _refuse_unknown(path: str, line: int, names: Iterable[str]) -> None:
    unknown = [name for name in names if name not in (*_TEXTS, *_LISTS)]
    if unknown:
        known = ", ".join((*_TEXTS, *_LISTS))
        hint = _COMMAS if ";" in unknown[0] or "\t" in unknown[0] else ""
        raise _unfit(path, line, f"{unknown[0]!r} is not known; expected {known}", hint)


def _stem(path: str) -> str:
    return os.path.splitext(os.path.basename(path))[0]


def _common_name(subject: str) -> str:
    match = re.search(r"(?:^|[,/])\s*CN=([^,/+]+)", subject)
    return match[1].strip() if match else ""


def _csv(file: TextIO, path: str) -> Iterator[tuple[int, dict[str, str | Sequence[str]]]]:
    rows = csv.reader(_bounded(file, path), strict=True)
    try:
        heads = [head.strip().lower() for head in next(rows, [])]
        if len(set(heads)) < len(heads):
            raise _unfit(path, 1, "a column is there twice")
        # Spreadsheets write columns without a name and without anything in them.
        _refuse_unknown(path, 1, filter(None, heads))
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(heads):
                there = "is 1 cell" if len(cells) == 1 else f"are {len(cells)} cells"
                message = f"there {there}, expected {len(heads)}, as in line 1"
                # The usual name has several parts.
                hint = (
                    "put a subject with commas in double quotes" if len(cells) > len(heads) else ""
                )
                raise _unfit(path, rows.line_num, message, hint)
            yield (
                rows.line_num,
                {
                    head: cell.strip()
                    for head, cell in zip(heads, cells, strict=True)
                    if cell.strip()
                },
            )
    except csv.Error as error:
        raise _unfit(path, rows.line_num, f"this is not CSV: {error}") from None


def _json_lines(file: TextIO, path: str) -> Iterator[tuple[int, dict[str, str | Sequence[str]]]]:
    for line, text in enumerate(_bounded(file, path), 1):
        if not text.strip():
            continue
        try:
            values = json.loads(text)
        except (ValueError, RecursionError):
            # Not chained: that exception holds the line.
            raise _unfit(path, line, "this is not a JSON object on one line") from None
        if not isinstance(values, dict):
            raise _unfit(path, line, "this is not a JSON object")
        for name in _LISTS:
            several = values.get(name, [])
            if not isinstance(several, str) and not (
                isinstance(several, list) and all(isinstance(one, str) for one in several)
            ):
                raise _unfit(path, line, f"{name} is neither a text nor a list of texts")
        yield line, {name: value for name, value in values.items() if value is not None}


def _bounded(file: TextIO, path: str) -> Iterator[str]:
    line = 0
    while text := file.readline(_LONGEST):
        line += 1
        if len(text) == _LONGEST:
            raise _unfit(path, line, f"longer than {_LONGEST} characters")
        yield text


def _unfit(path: str, line: int, message: str, hint: str = "") -> Unfit:
    return Unfit(f"{path}, line {line}: {message}", hint=hint, path=path)
