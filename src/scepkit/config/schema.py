"""How a frozen dataclass says what its settings are.

    @dataclass(frozen=True, slots=True, kw_only=True)
    class ServerSettings:
        bind: Address = setting("Where to listen.", default="127.0.0.1:8080", parse=parse_address)

The type of a field says what is read into it: ``str``, ``int``, ``bool``, ``timedelta``, ``Path``,
`Secret`, a ``Literal``, another such dataclass (a table), ``tuple[X, ...]`` (a list),
``dict[str, X]`` (tables by name), ``dict[K, V]`` with two parsers (pairs), or any type that has a
`parse`; each may be ``| None``.

The rule of this file: all that the loader and the reference of settings know of a setting is said
here, once, beside the field.
"""

from __future__ import annotations

import dataclasses
import functools
import types
import typing
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

_KEY = "scepkit"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What is known of one field besides its type.

    Attributes:
        doc: what it is for, in whole sentences (Markdown).
        default: as it would be written in the file, or `REQUIRED`, or None when it may be absent.
        parse: reads the text of one value (of each element, for a list or pairs), raising
            `InputError`.
        parse_key: reads each key, for pairs.
        example: a value to show in the reference where the default shows nothing.
        minimum: smallest number or duration.
        maximum: largest number or duration.
        credential: the name of a systemd credential that holds a secret, or "" for its path.
        variable: an environment variable, besides the general one, that holds a secret.
        internal: not read from the file; the loader leaves the field's own default.
    """

    doc: str = ""
    default: object = None
    parse: Callable[[str], object] | None = None
    parse_key: Callable[[str], object] | None = None
    example: str = ""
    minimum: Any = None
    maximum: Any = None
    credential: str = ""
    variable: str = ""
    internal: bool = False


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


#: The default of a setting that has none: its absence is an error.
REQUIRED = _Required()


def setting(
    doc: str,
    *,
    default: object = REQUIRED,
    parse: Callable[[str], object] | None = None,
    parse_key: Callable[[str], object] | None = None,
    example: str = "",
    minimum: object = None,
    maximum: object = None,
    credential: str = "",
    variable: str = "",
) -> Any:
    """A field that is read from the configuration; the parameters are those of `Setting`."""
    known = Setting(
        doc=doc,
        default=default,
        parse=parse,
        parse_key=parse_key,
        example=example,
        minimum=minimum,
        maximum=maximum,
        credential=credential,
        variable=variable,
    )
    return dataclasses.field(metadata={_KEY: known})


def internal(default: object) -> Any:
    """A field that is not read from the configuration."""
    return dataclasses.field(
        default=default, metadata={_KEY: Setting(internal=True)}, repr=False, compare=False
    )


@dataclass(frozen=True, slots=True)
class FieldType:
    """A field's type, taken apart.

    Attributes:
        kind: "value", "literal", "list", "pairs" (keys and values), "tables" (by name) or "table".
        inner: the type itself; of the elements for "list", "pairs" and "tables".
        optional: whether None is allowed.
        choices: the texts of a "literal".
        collect: builds the list: ``tuple`` or ``frozenset``.
    """

    kind: str
    inner: Any
    optional: bool = False
    choices: tuple[str, ...] = ()
    collect: Callable[..., Any] = tuple


@functools.cache
def fields_of(schema: type) -> dict[str, tuple[Setting, FieldType]]:
    """The settings of a dataclass by name, in its order."""
    hints = typing.get_type_hints(schema)
    found = {}
    for field in dataclasses.fields(schema):
        known: Setting = field.metadata[_KEY]
        if not known.internal:
            found[field.name] = (known, taken_apart(hints[field.name]))
    return found


def taken_apart(hint: Any) -> FieldType:
    """What kind of field an annotation makes.

    :raises TypeError: the annotation is none that a configuration can be read into.
    """
    optional = False
    if isinstance(hint, types.UnionType) and types.NoneType in typing.get_args(hint):
        optional = True
        others = [arg for arg in typing.get_args(hint) if arg is not types.NoneType]
        hint = functools.reduce(lambda left, right: left | right, others)
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return FieldType("literal", str, optional, choices=args)
    if origin in (tuple, frozenset):
        return FieldType("list", args[0], optional, collect=origin)
    if origin is dict:
        return FieldType("tables" if _has_settings(args[1]) else "pairs", args[1], optional)
    if _has_settings(hint):
        return FieldType("table", hint, optional)
    return FieldType("value", hint, optional)


def _has_settings(hint: Any) -> bool:
    return dataclasses.is_dataclass(hint) and any(
        _KEY in field.metadata for field in dataclasses.fields(hint)
    )
