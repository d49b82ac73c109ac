"""Values: frozen dataclasses, made in another way."""

from __future__ import annotations

import copy
import inspect
import pickle
from dataclasses import FrozenInstanceError, fields, is_dataclass, replace

import pytest

from scepkit.values import field, frozen, kept


@frozen
class Point:
    """A point."""

    x: int
    y: int = 0
    label: str = field(default="", repr=False, compare=False)
    tags: list[str] = field(default_factory=list, hash=False)


@frozen
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number <= 0:
            raise ValueError("not positive")


@frozen(eq=False)
class Handle:
    name: str

    def __repr__(self) -> str:
        return "<handle>"


@frozen(kw_only=True)
class Named:
    name: str
    size: int = 1


@frozen
class Unused:
    """Nobody makes one of these."""

    x: int
    y: str = "a"


@frozen
class Nothing:
    """No fields at all."""


def test_fields_are_given_by_place_by_name_and_by_default() -> None:
    point = Point(1, label="a")
    assert (point.x, point.y, point.label, point.tags) == (1, 0, "a", [])
    assert Point(x=1, y=2).y == 2
    with pytest.raises(TypeError):
        Point()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        Point(1, z=1)  # type: ignore[call-arg]


def test_fields_can_be_given_by_name_only() -> None:
    assert (Named(name="a").name, Named(name="a").size) == ("a", 1)
    with pytest.raises(TypeError, match="positional"):
        Named("a")  # type: ignore[call-arg]


def test_signature_is_there_before_the_first_one_is_made() -> None:
    assert str(inspect.signature(Unused)) == "(x, y='a')"


def test_default_made_by_a_factory_is_made_anew() -> None:
    assert Point(1).tags is not Point(1).tags
    assert Point(1, tags=["a"]).tags == ["a"]


def test_field_is_neither_set_nor_deleted() -> None:
    point = Point(1)
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'x'"):
        point.x = 2  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot assign to field 'z'"):
        point.z = 2  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError, match="cannot delete field 'x'"):
        del point.x
    assert point.x == 1


def test_equal_values_are_equal_and_hash_alike() -> None:
    assert Point(1, 2, "a") == Point(1, 2, "b")
    assert hash(Point(1, 2, "a", ["x"])) == hash(Point(1, 2, "b", ["y"]))
    assert Point(1) != Point(2)
    assert Point(1, tags=["x"]) != Point(1)
    assert Point(1) != object()
    assert Nothing() == Nothing()


def test_value_without_equality_is_itself_only() -> None:
    one = Handle("a")
    assert one == one
    assert one != Handle("a")
    assert len({one, Handle("a")}) == 2


def test_representation_leaves_out_what_is_hidden() -> None:
    assert repr(Point(1, label="secret")) == "Point(x=1, y=0, tags=[])"
    assert repr(Handle("a")) == "<handle>"
    assert repr(Nothing()) == "Nothing()"


def test_checks_of_its_own_are_made() -> None:
    assert Positive(1).number == 1
    with pytest.raises(ValueError, match="not positive"):
        Positive(0)


def test_it_is_a_dataclass() -> None:
    assert is_dataclass(Nothing)
    assert [one.name for one in fields(Point)] == ["x", "y", "label", "tags"]
    assert replace(Point(1, 2), y=3) == Point(1, 3)
    match Point(1, 2):
        case Point(x, y):
            assert (x, y) == (1, 2)


def test_it_is_copied_and_pickled() -> None:
    point = Point(1, 2, "a", ["x"])
    for other in (copy.copy(point), copy.deepcopy(point), pickle.loads(pickle.dumps(point))):  # noqa: S301
        assert other == point
        assert other.label == "a"


class Counting:
    made = 0

    @kept
    def number(self) -> int:
        """How often it was made."""
        self.made += 1
        return self.made


def test_a_kept_property_is_made_once_for_each_object() -> None:
    one, other = Counting(), Counting()
    assert (one.number, one.number, other.number) == (1, 1, 1)
    assert (one.made, other.made) == (1, 1)


def test_a_kept_property_has_its_documentation() -> None:
    assert Counting.number.__doc__ == "How often it was made."
