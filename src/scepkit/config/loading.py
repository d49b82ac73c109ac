"""Reads a TOML file into frozen dataclasses, and says all that is wrong with it at once.

The rule of this file: every error names the setting by its path in the file and says what was
expected and what was found, and never what a secret is.  Nothing is read half: either all settings
are good, or none is returned.
"""

from __future__ import annotations

import difflib
import errno
import os
import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from scepkit.config.environment import FromEnvironment, merged
from scepkit.config.schema import REQUIRED, FieldType, Setting, fields_of, taken_apart
from scepkit.config.values import Secret, format_duration, parse_duration, shown
from scepkit.errors import ConfigError, ConfigErrors, InputError

_T = TypeVar("_T")

#: A secret longer than this is a wrong file.
_MAX_SECRET = 64 * 1024
#: A configuration longer than this is a wrong file.
_MAX_FILE = 4 * 1024 * 1024
#: Names of profiles and CAs stand in URLs, metrics and logs.
NAME = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,62}[a-z0-9])?")
#: What `scepkit init` calls a configuration.
_USUAL_NAME = "scepkit.toml"
_CREDENTIALS = "$CREDENTIALS_DIRECTORY/"


class _Wrong(Exception):
    """A setting could not be read, and the error is in the list."""


def load(path: str | os.PathLike[str], schema: type[_T], environ: Mapping[str, str]) -> _T:
    """Read a configuration file.

    Variables of `environ` named ``SCEPKIT_TABLE__KEY`` stand above the file.  Relative paths are
    relative to the file.

    :param schema: a frozen dataclass whose fields are made with `setting`.
    :raises ConfigErrors: it cannot be read, is not TOML, or has wrong settings.
    """
    file = Path(path)
    try:
        data = _bytes_of(file)
        if len(data) > _MAX_FILE:
            raise ConfigErrors((ConfigError(f"{file} is too long to be a configuration"),))
        raw = tomllib.loads(data.decode())
    except OSError as error:
        reason = error.strerror or str(error)
        problem = f"the configuration {file} cannot be read: {reason}"
        raise ConfigErrors((ConfigError(problem, hint=_hint(file, error)),)) from error
    except UnicodeDecodeError as error:
        raise ConfigErrors((ConfigError(f"{file} is not UTF-8 text"),)) from error
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        problem = str(error) if isinstance(error, tomllib.TOMLDecodeError) else "it is too deep"
        raise ConfigErrors((ConfigError(f"{file} is not TOML: {problem}"),)) from error
    return read(raw, schema, directory=file.absolute().parent, environ=environ)


def _hint(file: Path, error: OSError) -> str:
    """What to do when a configuration cannot be read."""
    if isinstance(error, FileNotFoundError):
        return "name it with --config FILE; scepkit init makes a new CA"
    if isinstance(error, IsADirectoryError):
        within = file / _USUAL_NAME
        return f"name the file in it: --config {within if within.is_file() else 'FILE'}"
    return ""


def _bytes_of(file: Path) -> bytes:
    """Its first bytes; nobody waits for somebody to write into a pipe."""
    if file.is_fifo():
        raise OSError(errno.EINVAL, "it is a pipe, and a reload would have to read it again")
    with file.open("rb") as opened:
        return opened.read(_MAX_FILE + 1)


def read(
    raw: Mapping[str, object],
    schema: type[_T],
    *,
    directory: Path,
    environ: Mapping[str, str] | None = None,
) -> _T:
    """Read settings from what a TOML reader gave, or a program wrote; else as `load`.

    :param directory: what relative paths are relative to.
    :raises ConfigErrors: settings are wrong.
    """
    environ = environ or {}
    reader = _Reader(directory, environ)
    tree = merged(raw, schema, environ, reader.errors)
    try:
        settings = reader.table(schema, tree, "")
    except _Wrong:
        settings = None
    if reader.errors or settings is None:
        raise ConfigErrors(tuple(reader.errors))
    return settings


class _Reader:
    def __init__(self, directory: Path, environ: Mapping[str, str]) -> None:
        self.directory = directory
        self.environ = environ
        self.errors: list[ConfigError] = []

    def wrong(self, path: str, problem: str, hint: str = "") -> _Wrong:
        # What a file holds is shown as one line, whatever it holds.
        line = "".join(one if one.isprintable() else "?" for one in problem)
        self.errors.append(ConfigError(line, path=path, hint=hint))
        return _Wrong()

    # ----------------------------------------------------------------------------- tables

    def table(self, schema: type[_T], raw: object, path: str) -> _T:
        if not isinstance(raw, Mapping):
            raise self.wrong(path, f"expected a table of settings, found {kind_of(raw)}")
        before = len(self.errors)
        raw = self._with_preset(schema, raw, path)
        fields = fields_of(schema)  # type: ignore[arg-type]  # a class is hashable
        self._refuse_unknown(fields, raw, path)
        values = {}
        for name, (known, kind) in fields.items():
            try:
                values[name] = self._field(name, known, kind, raw, path)
            except _Wrong:
                continue
        if len(self.errors) > before:
            raise _Wrong
        try:
            return schema(**values)
        except ConfigErrors as errors:
            self.errors += [_under(path, error) for error in errors.errors]
        except ConfigError as error:
            self.errors.append(_under(path, error))
        raise _Wrong

    def _with_preset(
        self, schema: type, raw: Mapping[str, object], path: str
    ) -> Mapping[str, object]:
        """`raw`, with the preset it names under it."""
        presets: Mapping[str, Mapping[str, object]] = getattr(schema, "PRESETS", {})
        name = raw.get("preset", "generic")
        if not presets or not isinstance(name, str):
            return raw
        return _over(presets.get(str(name), {}), raw)

    def _refuse_unknown(
        self,
        fields: Mapping[str, tuple[Setting, FieldType]],
        raw: Mapping[str, object],
        path: str,
    ) -> None:
        known = [*fields, *(f"{n}_file" for n, (_, kind) in fields.items() if kind.inner is Secret)]
        for key in raw:
            if key not in known:
                hint = suggestion(key, known) or f"known here: {', '.join(sorted(known))}"
                self.wrong(_join(path, key), "there is no such setting", hint)

    def _field(
        self, name: str, known: Setting, kind: FieldType, raw: Mapping[str, object], path: str
    ) -> Any:
        here = _join(path, name)
        if kind.inner is Secret and kind.kind == "value":
            return self._secret(name, known, kind, raw, here)
        value = raw.get(name)
        if value is None:
            value = known.default
        if value is REQUIRED:
            example = f"; for example {known.example}" if known.example else ""
            raise self.wrong(here, f"is missing{example}")
        if value is None:
            return None
        return self._value(value, known, kind, here)

    # ----------------------------------------------------------------------------- values

    def _value(self, raw: object, known: Setting, kind: FieldType, path: str) -> Any:
        if isinstance(raw, FromEnvironment):
            raw = self._from_environment(raw, kind, path)
        match kind.kind:
            case "table":
                return self.table(kind.inner, raw, path)
            case "tables":
                return self._tables(kind, raw, path)
            case "pairs":
                return self._pairs(raw, known, kind, path)
            case "list":
                return self._list(raw, known, kind, path)
            case "literal":
                return self._literal(raw, kind.choices, path)
        value = self._scalar(raw, known, kind.inner, path)
        self._check_bounds(value, known, path)
        return value

    def _tables(self, kind: FieldType, raw: object, path: str) -> dict[str, Any]:
        if not isinstance(raw, Mapping):
            raise self.wrong(path, f"expected tables by name, found {kind_of(raw)}")
        found = {}
        for name, value in raw.items():
            here = _join(path, name)
            if not NAME.fullmatch(name):
                self.wrong(
                    here,
                    "is no name; expected up to 64 of a-z, 0-9, '-' and '_', "
                    "with a letter or digit at both ends",
                )
                continue
            try:
                found[name] = self.table(kind.inner, value, here)
            except _Wrong:
                continue
        return found

    def _pairs(
        self, raw: object, known: Setting, kind: FieldType, path: str
    ) -> dict[object, object]:
        if not isinstance(raw, Mapping):
            raise self.wrong(path, f"expected keys with a value each, found {kind_of(raw)}")
        found = {}
        for name, value in raw.items():
            here = _join(path, name)
            try:
                key = self._parsed(name, known.parse_key, here) if known.parse_key else name
                found[key] = self._scalar(value, known, kind.inner, here)
            except _Wrong:
                continue
        return found

    def _list(self, raw: object, known: Setting, kind: FieldType, path: str) -> Any:
        if not isinstance(raw, list | tuple):
            raise self.wrong(path, f"expected a list, found {kind_of(raw)}")
        inner = FieldType("table", kind.inner) if _is_table(kind.inner) else None
        found = []
        for number, item in enumerate(raw):
            here = f"{path}[{number}]"
            try:
                if inner is not None:
                    found.append(self.table(inner.inner, item, here))
                else:
                    found.append(self._scalar(item, known, kind.inner, here))
            except _Wrong:
                continue
        return kind.collect(found)

    def _literal(self, raw: object, choices: tuple[str, ...], path: str) -> str:
        if raw in choices:
            return str(raw)
        listed = ", ".join(f'"{choice}"' for choice in choices)
        raise self.wrong(
            path, f"expected one of {listed}, found {shown(raw)}", suggestion(str(raw), choices)
        )

    def _scalar(self, raw: object, known: Setting, wanted: Any, path: str) -> Any:
        if known.parse is not None and not (wanted is int and is_integer(raw)):
            return self._parsed(raw, known.parse, path)
        if wanted is bool:
            if not isinstance(raw, bool):
                raise self.wrong(path, f"expected true or false, found {kind_of(raw)}")
            return raw
        if wanted is int:
            if not is_integer(raw):
                raise self.wrong(path, f"expected a whole number, found {kind_of(raw)}")
            return raw
        if wanted is timedelta:
            return self._parsed(raw, parse_duration, path)
        if not isinstance(raw, str):
            raise self.wrong(path, f"expected text in quotes, found {kind_of(raw)}")
        if not raw.strip() or not raw.isprintable():
            found = "text with control characters" if raw.strip() else "nothing"
            raise self.wrong(path, f"expected text, found {found}")
        return self._path(raw, path) if wanted is Path else str(raw)

    def _parsed(self, raw: object, parse: Any, path: str) -> Any:
        if not isinstance(raw, str):
            hint = ""
            if parse is parse_duration and is_integer(raw):
                hint = f'write the unit too: "{raw}s" is seconds'
            raise self.wrong(path, f"expected text in quotes, found {kind_of(raw)}", hint)
        try:
            return parse(str(raw))
        except InputError as error:
            raise self.wrong(path, str(error), error.hint) from None

    def _check_bounds(self, value: Any, known: Setting, path: str) -> None:
        for limit, below, word in ((known.minimum, True, "least"), (known.maximum, False, "most")):
            if limit is not None and (value < limit if below else value > limit):
                bound, found = (
                    format_duration(v) if isinstance(v, timedelta) else v for v in (limit, value)
                )
                raise self.wrong(path, f"expected at {word} {bound}, found {found}")

    def _path(self, text: str, path: str) -> Path:
        if not text.startswith(_CREDENTIALS):
            return self.directory / text
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        if not directory:
            raise self.wrong(
                path,
                "CREDENTIALS_DIRECTORY is not set: this is no systemd service with credentials",
                "LoadCredential= in the unit gives it some",
            )
        return Path(directory) / text.removeprefix(_CREDENTIALS)

    def _from_environment(self, raw: FromEnvironment, kind: FieldType, path: str) -> object:
        try:
            return raw.as_kind(kind)
        except InputError as error:
            raise self.wrong(path, str(error), error.hint) from None

    # ---------------------------------------------------------------------------- secrets

    def _secret(
        self, name: str, known: Setting, kind: FieldType, raw: Mapping[str, object], path: str
    ) -> Secret | None:
        inline, file = raw.get(name), raw.get(f"{name}_file")
        hint = _sources(known, path)
        if inline is not None and file is not None:
            raise self.wrong(path, f"is given twice: remove it or {name}_file")
        if inline is not None:
            if not isinstance(inline, str):
                raise self.wrong(path, "expected text in quotes, found something else")
            source = getattr(inline, "variable", "the configuration file")
            return self._checked(str(inline).encode(), source, path, hint)
        if file is not None:
            if not isinstance(file, str):
                raise self.wrong(f"{path}_file", f"expected a path, found {kind_of(file)}")
            where = f"{path}_file"
            return self._secret_file(self._path(str(file), where), where, hint)
        if known.variable in self.environ and known.variable:
            value = os.fsencode(self.environ[known.variable])
            return self._checked(value, known.variable, known.variable, hint)
        return self._credential(known, kind, path)

    def _credential(self, known: Setting, kind: FieldType, path: str) -> Secret | None:
        directory = self.environ.get("CREDENTIALS_DIRECTORY")
        name = known.credential or path
        if directory and (Path(directory) / name).is_file():
            return self._secret_file(Path(directory) / name, path, _sources(known, path))
        if kind.optional:
            return None
        raise self.wrong(
            path,
            "is missing",
            f"{path.rpartition('.')[2]}_file names a file that holds it; "
            f"a systemd credential may be named {name}",
        )

    def _secret_file(self, file: Path, path: str, hint: str) -> Secret:
        try:
            with file.open("rb") as opened:
                value = opened.read(_MAX_SECRET + 1)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise self.wrong(path, f"{file} cannot be read: {reason}", hint) from None
        if value.endswith(b"\n"):
            value = value[:-1].removesuffix(b"\r")
        return self._checked(value, str(file), path, hint)

    def _checked(self, value: bytes, source: str, path: str, hint: str) -> Secret:
        if not value:
            raise self.wrong(path, f"the secret of {source} is empty", hint)
        if len(value) > _MAX_SECRET:
            raise self.wrong(path, f"the secret of {source} is longer than {_MAX_SECRET} bytes")
        return Secret(value, source)


def _sources(known: Setting, path: str) -> str:
    """Where a secret can come from, the first that is there."""
    others = [known.variable] if known.variable else []
    others.append(f"the systemd credential `{known.credential or path}`")
    return f"the secret comes from {path}_file, or without that line from {' or '.join(others)}"


def suggestion(word: str, known: Iterable[str]) -> str:
    """A hint that names the known word nearest to `word`, or ""."""
    near = difflib.get_close_matches(word.lower(), list(known), n=1)
    return f"did you mean {near[0]}?" if near else ""


def kind_of(value: object) -> str:
    """What a TOML value is, in words, without what a text says."""
    match value:
        case bool():
            return str(value).lower()
        case int() | float():
            return f"the number {value}"
        case str():
            return "text" if value else "empty text"
        case list() | tuple():
            return "a list"
        case Mapping():
            return "a table"
    return "a date or time"


def is_integer(value: object) -> bool:
    """Whether it is a whole number, which true and false are not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _is_table(hint: Any) -> bool:
    return taken_apart(hint).kind == "table"


def _join(path: str, name: str) -> str:
    name = name if re.fullmatch(r"[A-Za-z0-9_-]{1,80}", name) else shown(name)
    return f"{path}.{name}" if path else name


def _under(path: str, error: ConfigError) -> ConfigError:
    inner = f"{path}.{error.path}" if path and error.path else path or error.path
    return ConfigError(error.problem, path=inner, hint=error.hint)


def _over(under: Mapping[str, object], over: Mapping[str, object]) -> dict[str, object]:
    """Both tables as one; what `over` says counts, tables within are joined as well."""
    both = dict(under)
    for key, value in over.items():
        below = both.get(key)
        both[key] = (
            _over(below, value)
            if isinstance(below, Mapping) and isinstance(value, Mapping)
            else value
        )
    return both
