"""`scepkit init` is killed before each of its system calls: there is a whole CA, or none."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.cli import main
from tests import pki
from tests.cli.transcript import run_scepkit
from tests.cli_server.transcript import outer_root

#: Where the process may end; what is only looked at changes nothing.
_CALLS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "sqlite3.connect"}
_KILLED = 9


def words(target: Path, files: Path) -> list[str]:
    # With a CA that exists, because making a key is the slowest part.
    return ["init", str(target), "--ca-cert", str(files / "ca.pem"), "--ca-key",
            str(files / "ca.key"), "-q", "--no-input"]  # fmt: skip


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("files")
    pem = outer_root().certificate.public_bytes(Encoding.PEM)
    (directory / "ca.pem").write_bytes(pem)
    (directory / "ca.key").write_bytes(pki.key_pem("rsa2048-a"))
    return directory


def killed_at(call: int, target: Path, files: Path) -> bool:
    """Run `scepkit init` in a process that ends before its call number `call` that matters."""
    child = os.fork()
    if child == 0:
        count = 0

        def hook(event: str, arguments: tuple[object, ...]) -> None:
            nonlocal count
            if event in _CALLS and str(target.parent) in str(arguments[:2]):
                count += 1
                if count == call:
                    os._exit(_KILLED)

        os.dup2(os.open(os.devnull, os.O_RDWR), 1)
        sys.addaudithook(hook)
        code = 1
        try:
            code = main(words(target, files))
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert code in (0, _KILLED)
    return code == _KILLED


@pytest.mark.parametrize("exists", [False, True], ids=["new", "empty"])
def test_there_is_a_whole_ca_or_none(
    tmp_path: Path, files: Path, exists: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, kills, completed = 0, 0, 0
    while True:
        call += 1
        target = tmp_path / str(call) / "ca"
        target.parent.mkdir()
        if exists:
            target.mkdir()
        killed = killed_at(call, target, files)
        config = target / "scepkit.toml"
        if config.exists():
            completed += 1
        else:
            ran = run_scepkit(words(target, files), monkeypatch)
            assert ran.code == 0, ran.shown()
        for command in (["check-config"], ["challenge", "new"]):
            # Before the first start there may be no row of the CA, and after it there is.
            ran = run_scepkit([*command, "--config", str(config)], monkeypatch)
            assert ran.code == 0, ran.shown()
        assert [path.name for path in target.parent.iterdir()] == ["ca"]
        kills += killed
        if not killed:
            break
    assert kills > 20
    assert completed > 1
