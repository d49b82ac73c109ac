"""docs/cli.md says what the command line does."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from scepkit.cli import failures
from scepkit.cli.failures import ExitCode
from scepkit.cli.program import COMMANDS
from scepkit.testing import TestCa
from tests.cli.reference import PAGE, with_tables
from tests.cli.transcript import run_scepkit

TEXT = PAGE.read_text()


def section(title: str) -> str:
    return TEXT.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_option_is_in_the_tables() -> None:
    assert with_tables(TEXT) == TEXT, "run: python -m tests.cli.reference"


def test_every_command_has_a_section() -> None:
    for name in COMMANDS:
        assert f"<!-- options of {name} -->" in section(f"scepkit {name}")
        assert f"\n    scepkit {name} " in TEXT


def test_every_exit_code_is_explained() -> None:
    explained = {int(code) for code in re.findall(r"^\| (\d+) \|", section("Exit codes"), re.M)}
    # 141 is not ours: it is how a shell shows SIGPIPE.
    assert explained == {int(code) for code in ExitCode} | {141}


def test_every_kind_of_error_is_explained() -> None:
    explained = set(re.findall(r"^\| `([a-z-]+)` \| [0-9]", section("JSON"), re.M))
    from_scep_errors = {kind for _, kind, _ in failures._SCEP_ERRORS}
    assert explained == from_scep_errors | {"interrupted"}
    for name in failures._EVIDENCE.values():
        assert f"`{name}`" in section("JSON")


def keys_of(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys_of, value.values()))
    if isinstance(value, list):
        return set().union(*map(keys_of, value))
    return set()


def test_every_name_in_the_json_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ca = TestCa(intermediate=True)
    ca.stage_next_ca()
    waiting = TestCa(manual=True)
    with ca.serve() as url, waiting.serve() as slow:
        pin = ["--ca-fingerprint", ca.fingerprint]
        words = ["--subject", "CN=x", "--challenge", "secret"]
        for command in (
            ["caps", url],
            ["ca", url],
            ["enrol", url, *words, *pin],
            ["enrol", slow, *words, "--ca-fingerprint", waiting.fingerprint, "--dir", "slow"],
            ["renew", url, "--cert", "cert.pem", "--key", "key.pem"],
            ["cert", url, "SERIAL", *pin],
            ["crl", url, *pin],
            ["next-ca", url, *pin],
        ):
            if "SERIAL" in command:
                command[2] = f"{ca.issued[0].serial_number:x}"
            ran = run_scepkit([*command, "--json"], monkeypatch)
            found = json.loads(ran.stdout)
            assert "error" not in found, found
            for name in keys_of(found):
                assert f"`{name}`" in TEXT, f"{name} of {command[0]}"
