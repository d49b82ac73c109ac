"""What import-linter cannot see: submodules of foreign packages, and packages it is not told of.

The layers themselves and everything else is in pyproject.toml, and `scripts/check` looks at it.
Here are also the maps of packages, which are to name every module.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

import scepkit

PACKAGE = Path(scepkit.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# `_typeshed` exists for type checkers only.
ALLOWED = {"scepkit", "cryptography", "_typeshed", *sys.stdlib_module_names}


def imported(path: Path) -> Iterator[str]:
    """Every module that a file imports, at its top or in a function, as dotted names."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        match node:
            case ast.Import(names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str(module), names=names, level=0):
                yield module
                yield from (f"{module}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                yield "a relative import"


def modules(*parts: str) -> list[Path]:
    return [path for path in MODULES if path.relative_to(PACKAGE).parts[: len(parts)] == parts]


def test_the_modules_are_found() -> None:
    assert len(modules("core")) > 5
    assert len(modules("cli")) > 1


@pytest.mark.parametrize("path", modules("core"), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_core_imports_no_http(path: Path) -> None:
    assert not {"urllib.request", "urllib.response", "http.client", "http.server"} & {
        *imported(path)
    }


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_each_foreign_package_has_one_home(path: Path) -> None:
    homes = {
        "click": modules("cli"),
        "psycopg": [*modules("store", "postgres.py"), *modules("store", "session.py")],
        "greenlet": modules("server", "bench.py"),
        "httptools": modules("server", "listening.py"),
        "prometheus_client": modules("server", "metrics.py"),
        "uvicorn": modules("server", "listening.py"),
        "pytest": modules("testing"),
    }
    for name in imported(path):
        root = name.partition(".")[0]
        assert root in ALLOWED or path in homes.get(root, []), f"{path} imports {name}"


@pytest.mark.parametrize("package", ["core", "server"])
def test_the_map_of_a_large_package_has_all_its_modules(package: str) -> None:
    map_ = import_module(f"scepkit.{package}").__doc__
    assert map_ is not None
    own = {path.relative_to(PACKAGE / package).parts[0] for path in modules(package)}
    names = {name.removesuffix(".py") for name in own} - {"__init__"}
    assert names <= set(re.findall(r"\w+", map_))
