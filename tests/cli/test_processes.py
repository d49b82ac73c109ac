"""The command line as a process among others: pipes that close, two at once, no terminal."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from scepkit.cli import swap
from scepkit.cli.destination import alone_in
from scepkit.cli.failures import Unfit
from scepkit.keys import read_key_file
from scepkit.testing import TestCa
from tests.cli.transcript import run_scepkit


def scepkit(*words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "scepkit", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        start_new_session=True,
        check=False,
    )


def test_python_m_is_the_same(tmp_path: Path) -> None:
    done = scepkit("--version", cwd=tmp_path)
    assert done.returncode == 0
    assert done.stdout.startswith("scepkit ")


def test_without_a_terminal_nobody_is_asked(tmp_path: Path) -> None:
    with TestCa().serve() as url:
        done = scepkit("enrol", url, "--subject", "CN=x", cwd=tmp_path)
    assert done.returncode == 6
    assert "nothing says which CA to trust" in done.stderr


def test_warnings_of_python_are_for_those_who_ask_for_them(tmp_path: Path) -> None:
    (tmp_path / "program.py").write_text(
        "import sys, warnings, scepkit.cli, scepkit.cli.program\n"
        "scepkit.cli.program.run = lambda _: warnings.warn('mind the gap') or 0\n"
        "sys.exit(scepkit.cli.main())\n"
    )
    for options, heard in (([], False), (["-W", "always"], True)):
        done = subprocess.run(
            [sys.executable, *options, "program.py"],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            check=True,
        )
        assert ("mind the gap" in done.stderr) is heard


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    running = subprocess.Popen(
        [sys.executable, "-m", "scepkit", "completion", "bash"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=tmp_path,
    )
    assert running.stdout is not None
    running.stdout.close()
    assert running.stderr is not None
    assert running.stderr.read() == b""
    running.stderr.close()
    assert running.wait() == 141


def test_two_do_not_work_in_one_directory_at_once(tmp_path: Path) -> None:
    with (
        alone_in(str(tmp_path)),
        pytest.raises(Unfit, match="another scepkit"),
        alone_in(str(tmp_path)),
    ):
        pass
    with alone_in(str(tmp_path)):
        pass


def test_a_renewal_beside_another_ends_with_a_file_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    descriptor = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    words = ["renew", "http://127.0.0.1:1/", "--cert", "cert.pem", "--key", "key.pem"]
    monkeypatch.chdir(tmp_path)
    try:
        ran = run_scepkit(words, monkeypatch)
    finally:
        os.close(descriptor)
    assert ran.code == 7
    assert "another scepkit is at work" in ran.stderr


class Stopped(BaseException):
    """The power fails."""


@pytest.mark.parametrize("where", ["before", "amidst"])
def test_a_certificate_that_had_arrived_is_put_in_place_without_asking(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    ca = TestCa()
    monkeypatch.chdir(tmp_path)

    def stop(*_: object) -> None:
        raise Stopped

    with ca.serve() as url:
        words = ["--ca-fingerprint", ca.fingerprint, "--challenge", "secret"]
        assert run_scepkit(["enrol", url, "--subject", "CN=x", *words], monkeypatch).code == 0
        renew = ["renew", url, "--cert", "cert.pem", "--key", "key.pem", "--days", "60"]
        with monkeypatch.context() as patch:
            patch.setattr(swap, *(("replace_together", stop) if where == "before" else
                                  ("_complete", stop)))  # fmt: skip
            with pytest.raises(Stopped):
                run_scepkit([*renew, "--force"], monkeypatch)
        new_key, new_certificate = (
            (tmp_path / name).read_bytes() for name in ("key.pem.new", "cert.pem.new")
        )
        assert len(ca.issued) == 2
        ran = run_scepkit(renew, monkeypatch)
    assert ran.code == 0
    assert "completed a renewal that had been interrupted" in ran.stderr
    assert "nothing to do" in ran.stdout.decode()
    assert len(ca.issued) == 2
    assert (tmp_path / "key.pem").read_bytes() == new_key
    assert (tmp_path / "cert.pem").read_bytes() == new_certificate
    assert sorted(os.listdir(tmp_path)) == ["cert.pem", "chain.pem", "key.pem"]  # noqa: PTH208


def test_the_key_of_a_request_that_left_survives_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = TestCa(faults=["reply-slow"])
    monkeypatch.chdir(tmp_path)
    with ca.serve() as url:
        words = ["enrol", url, "--subject", "CN=x", "--challenge", "secret",
                 "--ca-fingerprint", ca.fingerprint]  # fmt: skip
        running = subprocess.Popen([sys.executable, "-m", "scepkit", *words], cwd=tmp_path)
        deadline = time.monotonic() + 20
        while not ca.issued and time.monotonic() < deadline:
            time.sleep(0.01)
        running.kill()
        running.wait()
        assert len(ca.issued) == 1
        assert os.listdir(tmp_path) == ["key.pem"]  # noqa: PTH208
        ca.heal()
        ran = run_scepkit(words, monkeypatch)
    assert ran.code == 0
    assert "using the key of an earlier attempt" in ran.stderr
    key = read_key_file("key.pem")
    assert all(one.public_key() == key.public_key() for one in ca.issued)
