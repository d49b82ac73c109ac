"""Texts to search for, as both databases compare them: only ASCII letters in any case."""

from __future__ import annotations

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
