"""`scepkit check` as a command."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scepkit.testing import Policy, TestCa
from tests.cli.transcript import run_scepkit

ENROL = ["--allow-issue", "--challenge-file", "challenge.txt"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "challenge.txt").write_text("secret\n")


def test_a_right_server_ends_in_0(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCa()
    with ca.serve() as url:
        pin = ["--ca-fingerprint", ca.fingerprint]
        ran = run_scepkit(["check", url, *pin, *ENROL, "--only", "T0*,T20"], monkeypatch)
    assert ran.code == 0, ran.stdout
    assert b"pass    T20   M" in ran.stdout
    assert b"nothing failed" in ran.stdout


@pytest.mark.parametrize(
    ("faults", "policy", "code"),
    [
        (("caps-html",), Policy(), 10),
        ((), Policy(open=True), 11),
        (("caps-mixed-case",), Policy(open=True), 12),
    ],
)
def test_failures_end_in_a_code_by_class(
    faults: tuple[str, ...], policy: Policy, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = TestCa(faults=faults, policy=policy)
    with ca.serve() as url:
        pin = ["--ca-fingerprint", ca.fingerprint]
        ran = run_scepkit(["check", url, *pin, *ENROL, "--only", "T01,T03,T52"], monkeypatch)
    assert ran.code == code, ran.stdout


def test_a_challenge_command_that_fails_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCa()
    with ca.serve() as url:
        words = ["check", url, "--ca-fingerprint", ca.fingerprint, "--only", "T2*"]
        given = ["--allow-issue", "--challenge-command", "nosuchcommand"]
        ran = run_scepkit([*words, *given], monkeypatch)
    assert (ran.code, ran.stdout) == (2, b"")
    assert "--challenge-command: the command ended with exit code 127" in ran.stderr
    assert "hint: its stderr says: " in ran.stderr
    assert "nosuchcommand" in ran.stderr


def test_a_run_without_a_challenge_says_so_first(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCa()
    with ca.serve() as url:
        words = ["check", url, "--ca-fingerprint", ca.fingerprint, "--only", "T20", "--allow-issue"]
        ran = run_scepkit(words, monkeypatch)
        opened = run_scepkit([*words, "--open"], monkeypatch)
    assert ran.code == 10
    assert ran.stderr.startswith("scepkit: warning: no challenge is given, and ")
    assert b"--challenge-file" in ran.stdout
    assert "no challenge is given" not in opened.stderr


def test_a_challenge_that_the_server_says_is_wrong_ends_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        words = ["check", url, "--ca-fingerprint", ca.fingerprint, "--only", "T01,T2*"]
        given = ["--allow-issue", "--challenge-command", "echo wrong"]
        ran = run_scepkit([*words, *given], monkeypatch)
    assert ran.code == 2
    assert b"FAIL" not in ran.stdout
    assert (
        "the server refuses the challenge of the plain enrolment: FAILURE badRequest" in ran.stderr
    )
    assert "--challenge-command" in ran.stderr


def test_a_waived_failure_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCa(faults=("caps-mixed-case",))
    with ca.serve() as url:
        words = ["check", url, "--ca-fingerprint", ca.fingerprint, "--only", "T03"]
        ran = run_scepkit([*words, "--waive", "t03"], monkeypatch)
    assert ran.code == 0
    assert b"waived  T03" in ran.stdout


def test_reports_are_written(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    ca = TestCa()
    files = ["--html", "r.html", "--junit", "r.xml", "--json-file", "r.json"]
    with ca.serve() as url:
        pin = ["--ca-fingerprint", ca.fingerprint]
        words = ["check", url, *pin, "--only", "T01", *files, "--json"]
        ran = run_scepkit(words, monkeypatch)
    assert json.loads(ran.stdout) == json.loads((tmp_path / "r.json").read_text())
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert (tmp_path / "r.xml").read_text().startswith("<?xml")


def test_the_list_needs_no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    ran = run_scepkit(["check", "--list"], monkeypatch)
    assert ran.code == 0
    assert len(ran.stdout.splitlines()) == 104
    listed = json.loads(run_scepkit(["check", "--list", "--json"], monkeypatch).stdout)
    assert {one["class"] for one in listed["tests"]} == set("MXSOQ")


@pytest.mark.parametrize(
    "words",
    [
        ["check"],
        ["check", "http://127.0.0.1:1/", "--only", "T999"],
        ["check", "http://127.0.0.1:1/", "--class", "Z"],
        ["check", "http://127.0.0.1:1/", "--subject", "CN={who}"],
        ["check", "http://127.0.0.1:1/", "--challenge", "a", "--challenge-file", "challenge.txt"],
    ],
)
def test_wrong_usage_ends_before_anything_is_sent(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_scepkit(words, monkeypatch).code == 2


def test_a_ca_that_is_not_trusted_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    with TestCa().serve() as url:
        pin = ["--ca-fingerprint", "sha256:" + "0" * 64]
        assert run_scepkit(["check", url, *pin], monkeypatch).code == 6


def test_a_server_that_is_not_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["check", "http://127.0.0.1:9/scep", "--insecure-trust-on-first-use"]
    assert run_scepkit(words, monkeypatch).code == 5


def test_the_challenge_is_in_no_output(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    secret = "correct horse battery staple"
    ca = TestCa(policy=Policy(challenge=secret))
    (tmp_path / "challenge.txt").write_text(secret)
    with ca.serve() as url:
        words = ["check", url, "--ca-fingerprint", ca.fingerprint, *ENROL, "--html", "r.html"]
        ran = run_scepkit([*words, "--only", "T2*,T5*,T7*", "-vv"], monkeypatch)
    page = (tmp_path / "r.html").read_text()
    assert secret not in f"{ran.stdout!r}{ran.stderr!r}{page}"
