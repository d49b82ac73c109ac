"""Settings from environment variables: ``SCEPKIT_SERVER__WORKERS=4`` is ``server.workers``.

The rule of this file: a variable with two underscores between its parts is a setting, and one that
names none is an error, because a setting that is silently not there is worse than no start.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping

from scepkit.config.schema import FieldType, fields_of
from scepkit.config.values import Secret
from scepkit.errors import ConfigError, InputError

PREFIX = "SCEPKIT_"
_TRUTHS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class FromEnvironment(str):
    """A value as text, from the variable `variable`: it has no type yet."""

    variable: str

    def __new__(cls, text: str, variable: str) -> FromEnvironment:
        """The text of `variable`."""
        made = super().__new__(cls, text)
        made.variable = variable
        return made

    def as_kind(self, kind: FieldType) -> object:
        """The value as the TOML reader would have given it for such a field.

        :raises InputError: the text does not fit the field.
        """
        text = str(self).strip()
        if kind.kind == "list":
            if text.startswith("["):
                return self._as_toml(text)
            return [part.strip() for part in text.split(",") if part.strip()]
        if kind.kind in ("table", "tables", "pairs"):
            return self._as_toml(text)
        if kind.inner is bool:
            if text.lower() not in _TRUTHS:
                raise InputError(f"expected true or false in {self.variable}")
            return _TRUTHS[text.lower()]
        if kind.inner is int and text.isascii() and text.lstrip("-").isdigit() and len(text) < 20:
            return int(text)
        return str(self)

    def _as_toml(self, text: str) -> object:
        try:
            return tomllib.loads(f"value = {text}")["value"]
        except (tomllib.TOMLDecodeError, RecursionError):
            raise InputError(
                f"expected a value in TOML's form in {self.variable}",
                hint='such as ["a", "b"] for a list, or {key = "value"} for a table',
            ) from None


def merged(
    raw: Mapping[str, object],
    schema: type,
    environ: Mapping[str, str],
    errors: list[ConfigError],
) -> dict[str, object]:
    """A copy of `raw` with the settings of `environ` in it; what is wrong goes to `errors`."""
    tree: dict[str, object] = {**raw}
    # A table as a whole comes before what is in it.
    for variable in sorted(environ, key=lambda name: (name.count("__"), name)):
        name = variable.removeprefix(PREFIX)
        if name == variable or "__" not in name:
            continue
        if not _put(tree, schema, name.lower().split("__"), environ[variable], variable):
            errors.append(ConfigError("names no setting", path=variable))
    return tree


def _put(tree: dict[str, object], schema: type, parts: list[str], text: str, variable: str) -> bool:
    """Write one variable into the tree; False when there is no such setting."""
    fields = fields_of(schema)
    name, rest = parts[0], parts[1:]
    if not rest and name.endswith("_file") and name not in fields:
        secret = fields.get(name.removesuffix("_file"))
        if secret is None or secret[1].inner is not Secret:
            return False
        tree.pop(name.removesuffix("_file"), None)
        tree[name] = FromEnvironment(text, variable)
        return True
    if name not in fields:
        return False
    kind = fields[name][1]
    if not rest:
        tree.pop(f"{name}_file", None)
        tree[name] = FromEnvironment(text, variable)
        return True
    if kind.kind == "table":
        below = _within(tree, name)
        return below is not None and _put(below, kind.inner, rest, text, variable)
    if kind.kind == "tables" and len(rest) > 1:
        named = _within(tree, name)
        below = named if named is None else _within(named, _existing(named, rest[0]))
        return below is not None and _put(below, kind.inner, rest[1:], text, variable)
    return False


def _within(tree: dict[str, object], name: str) -> dict[str, object] | None:
    """The table `name` in `tree`, as a copy that may be changed; None when it is no table."""
    below = tree.get(name, {})
    if not isinstance(below, Mapping):
        return None
    copy: dict[str, object] = {**below}
    tree[name] = copy
    return copy


def _existing(named: Mapping[str, object], part: str) -> str:
    """The table that a part of a variable means: names have hyphens, variables cannot."""
    for name in named:
        if name.lower().replace("-", "_") == part:
            return name
    return part
