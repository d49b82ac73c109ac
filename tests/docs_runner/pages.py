"""Reads a page of Markdown as far as its tests need it: code blocks, notes, headings and links.

Only fenced blocks count as code.  A note is a comment that no reader of the rendered page sees:

    <!-- meanwhile: WORDS -->    something happens elsewhere before the next block (`world.EVENTS`)
    <!-- not run: REASON -->     the next block is not executed

Comments that do not begin like these, with words and a colon, are somebody else's.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^( {0,3})(`{3,}|~{3,})\s*(\S*)\s*$")
_NOTE = re.compile(r"^<!-- (meanwhile|not run): (.+) -->$")
_COMMENT = re.compile(r"^\s*<!--[\w ]*:")
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$")
_CODE_SPAN = re.compile(r"`[^`]*`")
_LINK = re.compile(r"!?\[(?:[^\]\[]|\[[^\]]*\])*\]\(([^()\s]+)\)")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced code block.

    Attributes:
        language: the word behind the fence, or "".
        text: the lines inside, each with its line break.
        line: the number of the first of them, from 1.
        follows: there are only blank lines between this block and the one before.
    """

    language: str
    text: str
    line: int
    follows: bool


@dataclass(frozen=True, slots=True)
class Note:
    """A ``meanwhile`` or ``not run`` comment."""

    kind: str
    words: str
    line: int


@dataclass(frozen=True, slots=True)
class Page:
    """A page.

    Attributes:
        path: the file.
        items: its blocks and notes, in order.
        prose: its other lines, by number.
    """

    path: Path
    items: tuple[Block | Note, ...]
    prose: dict[int, str]

    @property
    def blocks(self) -> list[Block]:
        """The code blocks."""
        return [item for item in self.items if isinstance(item, Block)]

    @property
    def headings(self) -> list[str]:
        """The texts of the headings, without their marks."""
        found = (_HEADING.match(line) for line in self.prose.values())
        return [match[2] for match in found if match]

    @property
    def anchors(self) -> set[str]:
        """What a link can name behind ``#``, as GitHub makes it."""
        seen: dict[str, int] = {}
        anchors = set()
        for heading in self.headings:
            plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").lower()
            anchor = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
            count = seen.get(anchor, 0)
            seen[anchor] = count + 1
            anchors.add(f"{anchor}-{count}" if count else anchor)
        return anchors

    @property
    def links(self) -> list[tuple[int, str]]:
        """The targets of links, with their line numbers."""
        return [
            (number, target)
            for number, line in self.prose.items()
            for target in _LINK.findall(_CODE_SPAN.sub("", line))
        ]

    def section(self, heading: str) -> str:
        """The prose under a heading, up to the next one of the same level or above.

        :raises KeyError: there is no such heading.
        """
        level = 0
        lines = []
        for line in self.prose.values():
            match = _HEADING.match(line)
            if level and match and len(match[1]) <= level:
                break
            if level:
                lines.append(line)
            elif match and match[2] == heading:
                level = len(match[1])
        if not level:
            raise KeyError(heading)
        return "\n".join(lines)


def read_page(path: Path) -> Page:
    """Read a page."""
    return parse_page(path, path.read_text("utf-8"))


def parse_page(path: Path, text: str) -> Page:
    """Read a page from its text.

    :raises ValueError: a fence is never closed, or a comment is none of the known notes.
    """
    items: list[Block | Note] = []
    prose: dict[int, str] = {}
    lines = text.splitlines()
    number = 0
    only_blank = False
    while number < len(lines):
        line = lines[number]
        number += 1
        fence = _FENCE.match(line)
        if fence is None:
            if _COMMENT.match(line):
                items.append(_note(path, line, number))
            else:
                prose[number] = line
            only_blank = only_blank and not line.strip()
            continue
        start = number
        while number < len(lines) and lines[number].strip() != fence[2]:
            number += 1
        if number == len(lines):
            raise ValueError(f"{path.name}:{start}: this block is never closed")
        body = "".join(f"{inner.removeprefix(fence[1])}\n" for inner in lines[start:number])
        items.append(Block(fence[3], body, start + 1, only_blank))
        number += 1
        only_blank = True
    return Page(path, tuple(items), prose)


def _note(path: Path, line: str, number: int) -> Note:
    match = _NOTE.match(line)
    if match is None:
        raise ValueError(f"{path.name}:{number}: this comment is no note that is known: {line}")
    return Note(match[1], match[2], number)
