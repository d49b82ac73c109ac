"""Foreign programs: found, started, and required where they must not be missing.

A test that needs a program which is not there is skipped, so that anyone can run the tests; with
SCEPKIT_REQUIRE_INTEROP=1, as in `.ci/run`, it fails.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

import pytest

#: Seconds one foreign command may take.
TIMEOUT = 30.0


def program(name: str, package: str) -> str:
    """The path of a program, which is in the Debian package `package`."""
    found = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
    if found is None:
        missing(f"{name} is not here (Debian package {package})")
    return found


def missing(what: str) -> NoReturn:
    """Skip the test, or fail it where interop tests are required."""
    if os.environ.get("SCEPKIT_REQUIRE_INTEROP") == "1":
        pytest.fail(f"an interop test cannot run: {what}")
    pytest.skip(what)


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
