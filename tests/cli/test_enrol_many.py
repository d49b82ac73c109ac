"""`scepkit enrol-many` against kills, lost answers and servers that go away."""

from __future__ import annotations

import json
import os
import pty
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from scepkit.cli.failures import Unfit
from scepkit.cli.many.journal import Journal
from scepkit.cli.many.run import JOURNAL, Pace, _duration
from scepkit.core.enrolment import Pending
from scepkit.keys import load_key
from scepkit.testing import TestCa
from tests.cli.transcript import run_scepkit

ROWS = 24
DEADLINE = 60.0


def command(url: str, ca: TestCa, *more: str) -> list[str]:
    return [
        "enrol-many", url, "rows.csv", "--dir", "out", "--ca-fingerprint", ca.fingerprint,
        "--key-type", "ec:p256", *more,
    ]  # fmt: skip


def write_rows(directory: Path, count: int = ROWS) -> None:
    lines = [f"device{number},CN=device{number},secret\n" for number in range(count)]
    (directory / "rows.csv").write_text("name,subject,challenge\n" + "".join(lines))


@contextmanager
def started(words: list[str], directory: Path, **options: Any) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-m", "scepkit", *words], cwd=directory, start_new_session=True, **options
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def until(condition: Any) -> None:
    end = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.01)


def assert_all_have_their_own(directory: Path, ca: TestCa, count: int = ROWS) -> None:
    serial_numbers = set()
    for number in range(count):
        folder = directory / "out" / f"device{number}"
        certificate = x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes())
        key = load_key((folder / "key.pem").read_bytes())
        assert certificate.public_key() == key.public_key()
        assert certificate.subject.rfc4514_string() == f"CN=device{number}"
        serial_numbers.add(certificate.serial_number)
    assert serial_numbers == {one.serial_number for one in ca.issued}
    assert len(ca.issued) == count


def test_killed_again_and_again_it_gets_each_row_one_certificate(tmp_path: Path) -> None:
    write_rows(tmp_path)
    ca = TestCa(challenge="secret")
    with ca.serve() as url:
        words = command(url, ca, "--parallel", "4")
        for kill_at in (1, 5, 11, 18):
            with started(words, tmp_path) as process:
                until(lambda: len(ca.issued) >= kill_at or process.poll() is not None)  # noqa: B023
                process.send_signal(signal.SIGKILL)
        done = subprocess.run(
            [sys.executable, "-m", "scepkit", *words, "--json"],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
    counts = json.loads(done.stdout)
    assert counts["issued"] + counts["present"] == ROWS
    assert_all_have_their_own(tmp_path, ca)


@pytest.mark.parametrize("fault", ["closed", "reset", "reply-truncated"])
def test_row_whose_answer_was_lost_is_asked_for_and_not_enrolled_twice(
    fault: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scepkit.cli.many.work._WAITS", (0.01,))
    write_rows(tmp_path, 3)
    ca = TestCa(challenge="secret")
    with ca.serve() as url:
        ca.inject(fault)
        lost = run_scepkit([*command(url, ca), "--parallel", "1", "--json"], monkeypatch)
        assert lost.code == 5
        found = json.loads(lost.stdout)
        assert (found["failed"], found["left"]) == (1, 2)
        asked = len(ca.messages)
        ca.heal()
        again = run_scepkit([*command(url, ca), "--parallel", "1", "--json"], monkeypatch)
    assert again.code == 0, again.stderr
    assert json.loads(again.stdout)["issued"] == 3
    first = {one.transaction_id for one in ca.messages[:asked]}
    assert len(first) == 1
    assert ca.messages[asked].transaction_id in first
    assert_all_have_their_own(tmp_path, ca, 3)


def test_request_that_the_ca_never_got_is_sent_again_with_its_transaction(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 1)
    ca = TestCa(challenge="secret")
    with ca.serve() as url:
        assert run_scepkit(command(url, ca), monkeypatch).code == 0
        # As after a kill between the journal and the request.
        (tmp_path / "out" / "device0" / "cert.pem").unlink()
        journal = tmp_path / "out" / JOURNAL
        trusted, begun, *_ = journal.read_text().splitlines(keepends=True)
        forgetful = TestCa(challenge="secret")
        with forgetful.serve() as other:
            begun = begun.replace(url, other)
            before = json.loads(begun)["pending"]
            own = forgetful.fingerprint.removeprefix("sha256:")
            journal.write_text(trusted + begun.replace(before["caFingerprintSha256"], own))
            done = run_scepkit(command(other, forgetful), monkeypatch)
    assert done.code == 0, done.stderr
    assert [one.transaction_id for one in forgetful.messages] == [before["transactionID"]] * 2
    assert_all_have_their_own(tmp_path, forgetful, 1)


def test_server_that_is_away_ends_the_command_and_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scepkit.cli.many.work._WAITS", (0.01,))
    write_rows(tmp_path, 5)
    ca = TestCa(challenge="secret")
    with ca.serve() as url:
        ca.inject("http-500")
        away = run_scepkit([*command(url, ca), "--parallel", "2", "--json"], monkeypatch)
        assert away.code == 5
        found = json.loads(away.stdout)
        assert found["issued"] == 0
        assert found["left"] >= 3
        assert {one["kind"] for one in found["failures"]} == {"http"}
        ca.heal()
        assert run_scepkit(command(url, ca), monkeypatch).code == 0
    assert_all_have_their_own(tmp_path, ca, 5)


def test_interrupt_ends_the_requests_under_way_and_the_command_goes_on_later(
    tmp_path: Path,
) -> None:
    write_rows(tmp_path)
    ca = TestCa(challenge="secret")
    with ca.serve() as url:
        slowly = command(url, ca, "--rate", "4", "--parallel", "2", "--json")
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with started(slowly, tmp_path, **pipes) as process:
            until(lambda: len(ca.issued) >= 2)
            process.send_signal(signal.SIGINT)
            stdout, stderr = process.communicate(timeout=DEADLINE)
        assert process.returncode == 130
        assert json.loads(stdout)["error"]["kind"] == "interrupted"
        assert b"the same command goes on from here" in stderr
        assert len(ca.issued) < ROWS
        subprocess.run(
            [sys.executable, "-m", "scepkit", *command(url, ca)],
            cwd=tmp_path,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    assert_all_have_their_own(tmp_path, ca)


def test_terminal_shows_a_bar(tmp_path: Path) -> None:
    write_rows(tmp_path, 6)
    ca = TestCa(challenge="secret")
    ours, its = pty.openpty()
    shown = b""
    with (
        ca.serve() as url,
        started(
            command(url, ca, "--rate", "8"), tmp_path, stderr=its, stdout=subprocess.DEVNULL
        ) as process,
    ):
        os.close(its)
        try:
            while chunk := os.read(ours, 4096):
                shown += chunk
        except OSError:  # the end of a terminal
            pass
        assert process.wait(DEADLINE) == 0
    os.close(ours)
    assert b"scepkit: [" in shown
    assert b"/6" in shown
    assert shown.endswith(b"\r\x1b[K")


# ------------------------------------------------------------------ journal and pace


def pending(transaction_id: str = "t") -> Pending:
    return Pending(
        url="http://ca.test/scep", profile=None, transaction_id=transaction_id, subject=b"\x30\x00",
        spki_sha256=bytes(32), requester=b"r", requester_chain=(), ca_fingerprint=bytes(32),
    )  # fmt: skip


def test_journal_remembers_what_is_under_way_and_nothing_else(tmp_path: Path) -> None:
    path = str(tmp_path / "journal")
    with Journal(path) as journal:
        for name in ("lost", "waits", "has", "denied"):
            journal.started(name, pending(name))
        journal.pending("waits", pending("waits"))
        journal.issued("has", "has", 5)
        journal.refused("denied", "denied", "no")
    with Journal(path) as journal:
        lost, waits = journal.unsettled("lost"), journal.unsettled("waits")
        assert lost is not None
        assert (lost.pending, lost.answered) == (pending("lost"), False)
        assert waits is not None
        assert waits.answered
        assert journal.unsettled("has") is None
        assert journal.unsettled("denied") is None


@pytest.mark.parametrize("cut", [1, 5, 40])
def test_line_that_was_cut_off_never_happened(cut: int, tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path)) as journal:
        journal.started("a", pending())
        whole = path.stat().st_size
        journal.issued("a", "t", 1)
    path.write_bytes(path.read_bytes()[:-cut])
    with Journal(str(path)) as journal:
        assert path.stat().st_size == whole
        assert journal.unsettled("a") is not None
        journal.issued("a", "t", 1)
    with Journal(str(path)) as journal:
        assert journal.unsettled("a") is None


def test_line_for_which_the_disk_has_no_room_never_happened(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path)) as journal:
        journal.started("a", pending())
        whole = path.stat().st_size
        _, most = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (whole + 20, most))
        try:
            with pytest.raises(OSError, match="File too large"):
                journal.issued("a", "t", 1)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
        assert path.stat().st_size == whole
        journal.started("b", pending())
    with Journal(str(path)) as journal:
        assert journal.unsettled("a") is not None
        assert journal.unsettled("b") is not None


def test_journal_that_is_damaged_in_the_middle_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    path.write_bytes(b'{"name": "a", "event": "started"}\n{"name": "a", "event": "issued"}\n')
    with pytest.raises(Unfit, match="line 1: this is not a line of a journal"):
        Journal(str(path))


def test_threads_write_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "journal"
    with Journal(str(path)) as journal:

        def write(name: str) -> None:
            for number in range(20):
                journal.issued(name, "t", number)

        threads = [threading.Thread(target=write, args=(f"{n}",)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    for n in range(4):
        assert [one["serialNumber"] for one in lines if one["name"] == f"{n}"] == [
            f"{i:x}" for i in range(20)
        ]


def test_pace_spreads_the_requests_evenly() -> None:
    pace = Pace(100, threading.Event())
    begun = time.monotonic()
    for _ in range(11):
        pace.wait()
    assert time.monotonic() - begun >= 0.1


def test_pace_keeps_nobody_when_everything_is_to_stop() -> None:
    stop = threading.Event()
    stop.set()
    pace = Pace(0.001, stop)
    begun = time.monotonic()
    pace.wait()
    pace.wait()
    assert time.monotonic() - begun < DEADLINE


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.2, "0 s"), (59, "59 s"), (61, "1 min 1 s"), (3720, "1 h 2 min")]
)
def test_duration_is_short(seconds: float, text: str) -> None:
    assert _duration(seconds) == text
