"""Foreign programs: found, started, and required where they must not be missing.

A test that needs a program which is not there is skipped, so that anyone can run the tests; with
SCEPKIT_REQUIRE_INTEROP=1, as in `.ci/run`, it fails.

Some are unpacked instead of installed, into the folder `UNPACKED`: `.ci/foreign` does that where an
installation would start a daemon or replace half of the machine.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

import pytest

#: Seconds one foreign command may take.
TIMEOUT = 30.0

#: Packages that are not installed, as a tree like / itself.
UNPACKED = Path(__file__).parents[2] / ".foreign"


def program(name: str, package: str) -> str:
    """The path of a program, which is in the Debian package `package`."""
    places = [os.environ.get("PATH", ""), "/usr/sbin", "/sbin"]
    places += [str(UNPACKED / "usr" / one) for one in ("bin", "sbin")]
    found = shutil.which(name, path=":".join(places))
    if found is None:
        missing(f"{name} is not here (Debian package {package})")
    return found


def file(path: str, package: str) -> Path:
    """A file of a Debian package, by its path without the first slash."""
    found = Path("/", path)
    if not found.exists():
        found = UNPACKED / path
    if not found.exists():
        missing(f"/{path} is not here (Debian package {package})")
    return found


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where interop tests are required."""
    if os.environ.get("SCEPKIT_REQUIRE_INTEROP") == "1":
        pytest.fail(f"an interop test cannot run: {what}")
    pytest.skip(what)


def attempt(
    command: Sequence[str | Path],
    *,
    folder: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a foreign command, which may fail; what it says on stderr is in stdout too."""
    return subprocess.run(
        [str(part) for part in command],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=TIMEOUT,
        check=False,
    )


def run(command: Sequence[str | Path], *, stdin: bytes = b"") -> bytes:
    """What a foreign command prints; it must succeed."""
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        capture_output=True,
        timeout=TIMEOUT,
        check=False,
    )
    assert done.returncode == 0, (
        f"{' '.join(map(str, command))} ended with {done.returncode}:\n{done.stderr.decode()}"
    )
    return done.stdout
