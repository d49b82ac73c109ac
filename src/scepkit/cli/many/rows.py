"""The rows of `scepkit enrol-many`: who wants a certificate, in a CSV or JSON Lines file.

The rules of this file: all rows are read and checked before anything is sent, but never held at
once; and no error shows what stands in a row, because its challenge does too.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Sequence
from typing import TextIO

from scepkit.cli.failures import Unfit
from scepkit.core.names import parse_eku, parse_san, parse_subject
from scepkit.errors import InputError
from scepkit.values import field, frozen

#: The columns; those without a second word are texts, the others lists.
_TEXTS = ("name", "subject", "challenge")
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
    """

    line: int
    name: str
    subject: str
    san: tuple[str, ...]
    eku: tuple[str, ...]
    challenge: str | None = field(repr=False)


def read_rows(path: str) -> Iterator[Row]:
    """The rows of a file, one at a time.

    It is JSON Lines if its first character is ``{``, else CSV with the columns' names first.

    Raises:
        Unfit: it is neither, or a row lacks something or has something that is not known.
        OSError: the file cannot be read.
    """
    with open(path, encoding="utf-8-sig", newline="") as file:
        try:
            first = file.read(1)
            file.seek(0)
            for line, values in (_json_lines if first == "{" else _csv)(file, path):
                yield _row(path, line, values)
        except UnicodeDecodeError as error:
            raise Unfit(f"{path}: not UTF-8 text (byte {error.start})", path=path) from None


def check_rows(path: str) -> int:
    """How many rows there are, if all of them can be asked for.

    Raises:
        Unfit: a row cannot, or two have one name.
        OSError: the file cannot be read.
    """
    lines: dict[str, int] = {}
    for row in read_rows(path):
        # As file systems do that do not tell a from A.
        other = lines.setdefault(row.name.lower(), row.line)
        if other != row.line:
            raise _unfit(path, row.line, f"the name {row.name} is that of line {other} too")
        try:
            parse_subject(row.subject)
            for san in row.san:
                parse_san(san)
            for eku in row.eku:
                parse_eku(eku)
        except InputError as error:
            raise _unfit(path, row.line, str(error), error.hint) from None
    if not lines:
        raise Unfit(f"{path}: there are no rows in it", path=path)
    return len(lines)


def _row(path: str, line: int, values: dict[str, str | Sequence[str]]) -> Row:
    unknown = [name for name in values if name not in (*_TEXTS, *_LISTS)]
    if unknown:
        known = ", ".join((*_TEXTS, *_LISTS))
        raise _unfit(path, line, f"{unknown[0]!r} is not known; expected {known}")
    texts = {name: values.get(name, "") for name in _TEXTS}
    lists = {name: values.get(name, ()) for name in _LISTS}
    for name, text in texts.items():
        if not isinstance(text, str):
            raise _unfit(path, line, f"the {name} is not a text")
    subject, challenge = str(texts["subject"]), str(texts["challenge"])
    found = {
        name: tuple(several.split() if isinstance(several, str) else several)
        for name, several in lists.items()
    }
    if not subject and not found["san"]:
        raise _unfit(path, line, "there is neither a subject nor a san")
    name = str(texts["name"]) or _common_name(subject)
    if not _NAME.fullmatch(name):
        raise _unfit(
            path,
            line,
            "there is no name that a folder can have",
            "give a column name: letters, digits and . _ - + @, at most 100, a letter or digit "
            "first; without one, the common name of the subject is taken",
        )
    return Row(line, name, subject, found["san"], found["eku"], challenge or None)


def _common_name(subject: str) -> str:
    match = re.search(r"(?:^|[,/])\s*CN=([^,/+]+)", subject)
    return match[1].strip() if match else ""


def _csv(file: TextIO, path: str) -> Iterator[tuple[int, dict[str, str | Sequence[str]]]]:
    rows = csv.reader(_bounded(file, path), strict=True)
    try:
        heads = [head.strip().lower() for head in next(rows, [])]
        if len(set(heads)) < len(heads):
            raise _unfit(path, 1, "a column is there twice")
        for cells in rows:
            if not any(cell.strip() for cell in cells):
                continue
            if len(cells) != len(heads):
                message = f"there are {len(cells)} cells, expected {len(heads)}, as in line 1"
                raise _unfit(path, rows.line_num, message)
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
