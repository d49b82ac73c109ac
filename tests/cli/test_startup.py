"""What a command loads: the time of a start is mostly the time of imports."""

from __future__ import annotations

import gc
import subprocess
import sys
from pathlib import Path

import pytest

from scepkit.cli import main
from scepkit.cli.program import COMMANDS
from scepkit.testing import TestCa
from tests import pki

PROGRAM = """
import sys
from scepkit.cli import main
code = main(sys.argv[1:])
sys.stderr.write("\\n".join(["", *sorted(sys.modules)]))
sys.exit(code)
"""


def loaded_by(*words: str, cwd: Path | None = None) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=True,
        start_new_session=True,
    )
    return set(done.stderr.split("\n"))


@pytest.mark.parametrize(
    "words", [("--help",), ("--version",), *((name, "--help") for name in COMMANDS)], ids=" ".join
)
def test_help_loads_neither_cryptography_nor_the_client(words: tuple[str, ...]) -> None:
    found = loaded_by(*words)
    assert not {name for name in found if name.split(".")[0] == "cryptography"}
    assert not {name for name in found if name.startswith(("scepkit.core", "scepkit.client"))}
    assert not found & {"ssl", "socket", "http.client", "json", "logging", "asyncio"}


def test_the_program_itself_loads_no_command() -> None:
    modules = {home.partition(":")[0] for home, _ in COMMANDS.values()}
    assert not loaded_by("--help") & modules


def test_enrol_loads_nothing_it_does_not_use(tmp_path: Path) -> None:
    ca = TestCa()
    (tmp_path / "key.pem").write_bytes(pki.key_pem("rsa2048-a"))
    with ca.serve() as url:
        found = loaded_by(
            "enrol", url, "--subject", "CN=router1", "--ca-fingerprint", ca.fingerprint,
            "--challenge", "secret", "--key", "key.pem", cwd=tmp_path,
        )  # fmt: skip
    assert "scepkit.client" in found
    unused = {
        "asyncio", "json", "logging", "urllib.request", "subprocess", "tempfile", "getpass",
        "getopt", "encodings.idna", "unittest", "pdb", "xml", "sqlite3", "concurrent.futures",
        "cryptography.hazmat.primitives.serialization.pkcs12", "ssl", "http.client", "email.parser",
        "scepkit.async_client", "scepkit.verifiers", "scepkit.ca", "scepkit.testing",
        "scepkit.core.inspect", "scepkit.cli.tracing", "scepkit.cli.pending_file",
    }  # fmt: skip
    assert not found & unused


def test_a_call_from_python_leaves_the_garbage_collection_as_it_was(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = gc.get_threshold(), gc.get_freeze_count()
    assert main(["--version"]) == 0
    assert (gc.get_threshold(), gc.get_freeze_count()) == before


def test_a_process_does_not_collect_garbage_at_its_end() -> None:
    program = (
        "import gc, sys; from scepkit.cli import main; sys.argv[1:] = ['--version']; main(); "
        "print(gc.get_freeze_count() > 0)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert done.stdout.endswith(b"True\n")
