"""Words of texts for people."""

from __future__ import annotations

from scepkit.core.wording import counted


def test_only_one_is_singular() -> None:
    assert [counted(number, "row") for number in (0, 1, 2)] == ["0 rows", "1 row", "2 rows"]


def test_a_plural_of_its_own_can_be_given() -> None:
    said = [counted(number, "entry", "entries") for number in (1, 2)]
    assert said == ["1 entry", "2 entries"]
