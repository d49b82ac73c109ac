"""Values: frozen dataclasses that are quick to define and quick to make.

``@dataclass(frozen=True)`` compiles six functions for every class, which takes half a millisecond;
with the fifty classes of an enrolment that is a sixth of the time the whole command may take.  And
what it compiles sets every field by way of ``object.__setattr__``, which shows in a server.
`frozen` compiles ``__init__`` only, when it is first needed, and shares the rest.

The rule of this file: what `frozen` makes is a frozen dataclass to everybody, to ``replace``,
``fields``, ``match``, ``pickle`` and type checkers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, FrozenInstanceError, dataclass, field, fields
from typing import Any, Generic, NoReturn, TypeVar, dataclass_transform, overload

__all__ = ["field", "frozen", "kept"]

T = TypeVar("T")


@overload
def frozen(cls: type[T], /) -> type[T]: ...
@overload
def frozen(*, eq: bool = True, kw_only: bool = False) -> Callable[[type[T]], type[T]]: ...
@dataclass_transform(frozen_default=True, field_specifiers=(field,))
def frozen(cls: type[T] | None = None, /, *, eq: bool = True, kw_only: bool = False) -> Any:
    """Make a class a frozen dataclass.

    What the class has itself of ``__repr__``, ``__eq__`` and ``__hash__`` stays.

    :param eq: False to compare by identity.
    :param kw_only: True to have all fields given by name.
    """
    if cls is None:
        return lambda decorated: _made(decorated, eq, kw_only)
    return _made(cls, eq, kw_only)


def _made(cls: type[T], eq: bool, kw_only: bool) -> type[T]:
    made: Any = dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
    made.__init__ = _LateInit(made)
    made.__setattr__ = _refuse_to_set
    made.__delattr__ = _refuse_to_delete
    if eq and "__eq__" not in cls.__dict__:
        made.__eq__, made.__hash__ = _equal, _hash
    if "__repr__" not in cls.__dict__:
        made.__repr__ = _repr
    return cls


class _LateInit:
    """Stands in a class for its ``__init__``, and makes it when somebody asks for it."""

    def __init__(self, cls: Any) -> None:
        self._cls = cls

    def __get__(self, instance: object, owner: object) -> Any:
        self._cls.__init__ = made = _initialiser(self._cls)
        return made if instance is None else made.__get__(instance)


def _initialiser(cls: Any) -> Any:
    """An ``__init__`` that writes into the instance's dictionary, past `_refuse_to_set`."""
    scope: dict[str, object] = {"MISSING": MISSING}
    parameters, lines = ["self"], ["into = self.__dict__"]
    for one in fields(cls):
        name, given = one.name, one.name
        if one.kw_only and "*" not in parameters:
            parameters.append("*")
        if one.default_factory is not MISSING:
            scope[f"make_{name}"] = one.default_factory
            parameters.append(f"{name}=MISSING")
            given = f"make_{name}() if {name} is MISSING else {name}"
        elif one.default is not MISSING:
            scope[f"default_{name}"] = one.default
            parameters.append(f"{name}=default_{name}")
        else:
            parameters.append(name)
        lines.append(f"into[{name!r}] = {given}")
    if hasattr(cls, "__post_init__"):
        lines.append("self.__post_init__()")
    text = "\n ".join([f"def __init__({', '.join(parameters)}):", *lines])
    exec(text, scope)  # noqa: S102 - as `dataclasses` does
    return scope["__init__"]


def _refuse_to_set(self: object, name: str, new: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: object, name: str) -> NoReturn:
    raise FrozenInstanceError(f"cannot delete field {name!r}")


def _equal(self: Any, other: Any) -> bool:
    if other.__class__ is not self.__class__:
        return NotImplemented  # type: ignore[no-any-return]
    return all(
        getattr(self, one.name) == getattr(other, one.name) for one in fields(self) if one.compare
    )


def _hash(self: Any) -> int:
    return hash(
        tuple(
            getattr(self, one.name)
            for one in fields(self)
            if (one.compare if one.hash is None else one.hash)
        )
    )


def _repr(self: Any) -> str:
    shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
    return f"{type(self).__qualname__}({shown})"


class kept(Generic[T]):  # noqa: N801 - a decorator, like `property`
    """A property that is made once for an object, which keeps it.

    As `functools.cached_property`, without the lock that it takes before Python 3.12: two threads
    may both make it, and as values are, either is as good.
    """

    def __init__(self, make: Callable[[Any], T]) -> None:
        self._make = make
        self._name = make.__name__
        self.__doc__ = make.__doc__

    @overload
    def __get__(self, instance: None, owner: type) -> kept[T]: ...
    @overload
    def __get__(self, instance: object, owner: type) -> T: ...
    def __get__(self, instance: object | None, owner: type) -> kept[T] | T:
        if instance is None:
            return self
        # From now on it is found in the instance before this is asked.
        made = instance.__dict__[self._name] = self._make(instance)
        return made
