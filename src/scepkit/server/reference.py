"""Writes the reference of settings, `docs/configuration.md`, from the settings themselves.

    python -m scepkit.server.reference > docs/configuration.md

The rule of this file: it knows no setting; what is said of one is beside its declaration.
"""

from __future__ import annotations

import inspect
import sys
import textwrap
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from scepkit.config import Secret, format_duration
from scepkit.config.schema import REQUIRED, FieldType, Setting, fields_of
from scepkit.server.presets import PRESETS
from scepkit.server.settings import Settings

_INTRODUCTION = """\
# Configuration

<!-- Made by `python -m scepkit.server.reference`; change it there or beside the settings. -->

The server and the commands that work on its database read one TOML file, `scepkit.toml`. `scepkit
init` writes one; `scepkit check-config` says what is wrong with it, each setting by its path, and
the server does not start before nothing is. After a change, `SIGHUP` (`systemctl reload scepkit`)
makes a running server take it up; if something is wrong with it, the server says so and goes on
with what it has.

```toml
{example}```

## How things are written

* **Durations** have a unit: `90s`, `15m`, `1h30m`, `30d`, `2w`.
* **Sizes** are bytes, or have a unit: `65536`, `64KiB`, `1MiB`.
* **Rates** are so many in a second, minute or hour: `10/s`, `600/m`, `1000/h`.
* **Paths** are relative to the file they stand in. A path that begins with
  `$CREDENTIALS_DIRECTORY/` is in the directory where systemd puts the credentials of a service.
* **Secrets** need not stand in the file. Instead of `static_secret = "..."` write
  `static_secret_file = "PATH"`; a line break at the end of that file does not count. A secret that
  is not given is looked for among the systemd credentials of the service, under the name that is
  listed below.
* **Names** of CAs, RAs and profiles have up to 64 of `a-z`, `0-9`, `-` and `_`.
* **Variables**: `SCEPKIT_SERVER__WORKERS=4` in the environment stands above `workers` in
  `[server]`, and `SCEPKIT_PROFILE__ROUTERS__VALIDITY=30d` above `validity` in
  `[profile.routers]`. A list is `a,b` or `["a", "b"]`. A variable that names no setting is an
  error, as an unknown setting is.
"""

EXAMPLE = """\
[server]
bind = "0.0.0.0:8080"
public_url = "http://ca.example"

[database]
url = "postgresql://scepkit@db.example/scepkit"
password_file = "secrets/database-password"

[secrets]
challenge_key_file = "secrets/challenge-key"
passphrase_file = "secrets/passphrase"

[ca.main]
key = "keys/main.key.pem"
certificate = "keys/main.pem"

# Served at /scep/routers: one-time challenges, then renewal by certificate.
[profile.routers]
preset = "cisco"
validity = "90d"
auth = { challenge = { ttl = "2h" }, renewal = {} }

# Served at /scep and /scep/default: a person decides.
[profile.default]
"""

_PRESETS = """
## Presets

A preset is a set of defaults; whatever a profile says itself stands above it. `generic` changes
nothing. The others stand for:
"""

_WORDS: dict[Any, str] = {
    bool: "true or false",
    int: "number",
    str: "text",
    timedelta: "duration",
    Path: "path",
    Secret: "secret",
}
_PARSED = {
    "parse_address": "address",
    "parse_size": "size",
    "parse_network": "network",
    "parse_rate": "rate",
    "parse_url": "URL",
    "parse_public_url": "URL",
    "parse_database_url": "URL",
    "parse_subject": "name, as `CN=a,O=b`",
    "parse_pattern": "regular expression",
}


def reference() -> str:
    """The whole page, in Markdown."""
    parts = [_INTRODUCTION.format(example=EXAMPLE)]
    for name, (known, kind) in fields_of(Settings).items():
        heading = f"{name}.NAME" if kind.kind == "tables" else name
        parts += _table(heading, known, kind.inner)
    parts.append(_PRESETS)
    for name, preset in PRESETS.items():
        if preset:
            parts.append(f"\n`{name}`:\n\n```toml\n{''.join(_toml(preset))}```\n")
    return "".join(parts)


def _table(heading: str, known: Setting, schema: type, *, optional: bool = False) -> Iterator[str]:
    # The class says more than the field, and never less.
    yield f"\n## `[{heading}]`\n\n{inspect.getdoc(schema) or known.doc}\n\n"
    fields = fields_of(schema)
    if optional:
        needs = any(s.default is REQUIRED and k.inner is not Secret for s, k in fields.values())
        yield "Off without this table" + ("." if needs else "; an empty one turns it on.") + "\n\n"
    for name, (setting, kind) in fields.items():
        if kind.kind != "table" and not (kind.kind == "list" and _is_table(kind.inner)):
            yield _line(name, setting, kind, f"{heading}.{name}")
    for name, (setting, kind) in fields.items():
        if kind.kind == "table":
            yield from _table(f"{heading}.{name}", setting, kind.inner, optional=kind.optional)
        elif kind.kind == "list" and _is_table(kind.inner):
            yield from _table(f"[{heading}.{name}]", setting, kind.inner)


def _line(name: str, known: Setting, kind: FieldType, path: str) -> str:
    facts = [_kind_words(known, kind)]
    secret = kind.inner is Secret
    if (not kind.optional) if secret else (known.default is REQUIRED):
        facts.append("required")
    elif known.default is not None and known.default is not REQUIRED:
        facts.append(f"default `{_value(known.default)}`")
    if known.minimum is not None and known.minimum != timedelta():
        facts.append(f"at least `{_value(known.minimum)}`")
    if known.maximum is not None:
        facts.append(f"at most `{_value(known.maximum)}`")
    text = f"* **`{name}`** ({', '.join(facts)}). {known.doc}"
    if secret:
        credential = known.credential or path
        also = f", or the variable `{known.variable}`" if known.variable else ""
        text += f" Also as `{name}_file`, the credential `{credential}`{also}."
    if known.example:
        text += f" For example `{name} = {known.example}`."
    return (
        textwrap.fill(
            text,
            100,
            subsequent_indent="  ",
            break_long_words=False,
            break_on_hyphens=False,
        )
        + "\n"
    )


def _kind_words(known: Setting, kind: FieldType) -> str:
    if kind.kind == "literal":
        return " or ".join(f"`{_value(choice)}`" for choice in kind.choices)
    parser = getattr(known.parse, "__name__", "")
    one = _PARSED.get(parser) or _WORDS.get(kind.inner, "text")
    if kind.kind == "list":
        return f"list of {one}s" if one != "text" else "list of texts"
    return f"table with a {one} each" if kind.kind == "pairs" else one


def _value(value: object) -> str:
    match value:
        case bool():
            return str(value).lower()
        case timedelta():
            return f'"{format_duration(value)}"'
        case str():
            return f'"{value}"'
        case list() | tuple():
            return f"[{', '.join(_value(item) for item in value)}]"
        case Mapping():
            return f"{{ {', '.join(f'{k} = {_value(v)}' for k, v in value.items())} }}".replace(
                "{  }", "{}"
            )
    return str(value)


def _toml(table: Mapping[str, object]) -> Iterator[str]:
    for name, value in table.items():
        yield f"{name} = {_value(value)}\n"


def _is_table(hint: Any) -> bool:
    return isinstance(hint, type) and hasattr(hint, "__dataclass_fields__")


if __name__ == "__main__":
    sys.stdout.write(reference())
