"""Texts to search for, as both databases compare them: only ASCII letters in any case."""

from __future__ import annotations

from typing import Literal

from scepkit.store.driver import Tx

#: Rows that one page of a search looks through at most: half a second on a small machine, however
#: many there are.
WINDOW = 100_000

_LAST = "\U0010ffff"


def folded(text: str) -> str:
    """The text as SQL's ``lower`` makes it in both databases."""
    return "".join(character.lower() if character.isascii() else character for character in text)


def containing(text: str) -> str:
    """A pattern for ``lower(column) LIKE :pattern ESCAPE '!'``."""
    escaped = folded(text).replace("!", "!!").replace("%", "!%").replace("_", "!_")
    return f"%{escaped}%"


def after_all(prefix: str) -> str:
    """The end of the range of texts that start with `prefix` (folded), for ``<=``."""
    return prefix + _LAST


def floor(
    tx: Tx,
    table: Literal["certificate", "operation"],
    before: int | None,
    window: int = WINDOW,
) -> int:
    """The `id` above which a page of a search looks; 0 when it looks to the end.

    `before` is where the page begins, None for the newest row; the next page is before the floor
    and one.
    """
    if before is None:
        newest = tx.one(f"SELECT id FROM {table} ORDER BY id DESC LIMIT 1")
        before = newest[0] + 1 if newest else 0
    return max(0, before - 1 - window)
