"""Words of texts for people."""

from __future__ import annotations


def counted(number: int, one: str, many: str = "") -> str:
    """A number and what is counted: ``1 certificate``, ``2 certificates``.

    :param many: the plural, where it is not `one` and an s.
    """
    return f"{number} {one if number == 1 else many or one + 's'}"
