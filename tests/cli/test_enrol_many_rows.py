"""`scepkit enrol-many`: rows that wait for the CA, rows from stdin, and requests made elsewhere."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit import build_csr
from scepkit.cli.many.rows import Row
from scepkit.cli.many.run import JOURNAL
from scepkit.cli.many.waiting import Job, Waiting
from scepkit.core.enrolment import PollPolicy
from scepkit.testing import TestCa
from tests import pki
from tests.cli.test_enrol_many import (
    assert_all_have_their_own,
    command,
    pending,
    started,
    until,
    write_rows,
)
from tests.cli.transcript import run_scepkit

WAIT = ("--wait", "600", "--poll-interval", "0.05")


def write_csr(directory: Path, name: str = "router1.csr", key: str = "ec256-a") -> None:
    csr = build_csr(pki.key(key), "CN=made-elsewhere", challenge="secret")
    (directory / name).write_bytes(csr.public_bytes(Encoding.PEM))
    (directory / "own.key").write_bytes(pki.key_pem("ec256-a"))


def polls(ca: TestCa) -> dict[str, int]:
    """How often each request was asked for again."""
    return {
        one: count - 1 for one, count in Counter(one.transaction_id for one in ca.messages).items()
    }


# ------------------------------------------------------------------ waiting


def test_rows_that_are_pending_are_polled_until_the_ca_decides(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 5)
    ca = TestCa(pending_polls=2)
    with ca.serve() as url:
        done = run_scepkit([*command(url, ca), *WAIT, "--parallel", "2", "--json"], monkeypatch)
    assert done.code == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["status"], found["issued"], found["pending"]) == ("issued", 5, 0)
    assert_all_have_their_own(tmp_path, ca, 5)
    assert len({one.transaction_id for one in ca.messages}) == 5


def test_rows_that_stay_pending_are_waited_for_no_longer_than_was_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 3)
    ca = TestCa(manual=True)
    with ca.serve() as url:
        words = [*command(url, ca), "--wait", "0.3", "--poll-interval", "0.05", "--json"]
        waited = run_scepkit(words, monkeypatch)
        assert waited.code == 3, waited.stderr
        found = json.loads(waited.stdout)
        assert (found["pending"], found["left"]) == (3, 0)
        assert len(ca.messages) >= 6  # each was polled
        journal = (tmp_path / "out" / JOURNAL).read_text().splitlines()
        assert [json.loads(line)["event"] for line in journal].count("pending") == 3
        for transaction in {one.transaction_id for one in ca.messages}:
            ca.approve(transaction)
        assert run_scepkit(words, monkeypatch).code == 0
    assert_all_have_their_own(tmp_path, ca, 3)


def test_a_refusal_ends_the_wait_of_its_row_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 2)
    with (tmp_path / "rows.csv").open("a") as file:
        file.write("wrong,CN=wrong,not-the-secret\n")
    ca = TestCa(pending_polls=1)
    with ca.serve() as url:
        ran = run_scepkit([*command(url, ca), *WAIT, "--json"], monkeypatch)
    assert ran.code == 4
    found = json.loads(ran.stdout)
    assert (found["issued"], found["refused"], found["pending"]) == (2, 1, 0)


def test_killed_while_it_waits_it_goes_on_with_the_same_requests(tmp_path: Path) -> None:
    write_rows(tmp_path, 4)
    ca = TestCa(manual=True)
    with ca.serve() as url:
        words = [*command(url, ca), *WAIT]
        with started(words, tmp_path) as process:
            until(lambda: min(polls(ca).values(), default=0) > 0 and len(polls(ca)) == 4)
            process.send_signal(signal.SIGKILL)
        asked = set(polls(ca))
        for transaction in asked:
            ca.approve(transaction)
        subprocess.run(
            [sys.executable, "-m", "scepkit", *words],
            cwd=tmp_path,
            check=True,
            stdout=subprocess.DEVNULL,
        )
    assert {one.transaction_id for one in ca.messages} == asked
    assert_all_have_their_own(tmp_path, ca, 4)


def test_a_server_that_goes_away_ends_the_wait_and_tells_what_is_pending(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("scepkit.cli.many.work._WAITS", (0.01,))
    write_rows(tmp_path, 3)
    ca = TestCa(manual=True)
    with ca.serve() as url:
        words = [*command(url, ca), "--parallel", "1", "--json"]
        assert run_scepkit(words, monkeypatch).code == 3
        ca.inject("http-500")
        ran = run_scepkit([*words, *WAIT], monkeypatch)
    assert ran.code == 5
    found = json.loads(ran.stdout)
    assert found["failed"] == 1
    assert found["pending"] + found["left"] == 2


def test_the_wait_for_a_row_ends_where_the_policy_ends() -> None:
    row = Row(1, "a", "CN=a", (), (), None, None, None)
    waiting = Waiting(PollPolicy(interval=0, max_polls=2))
    assert waiting.seconds() is None
    assert waiting.put(Job(row), pending())
    first = waiting.take()
    assert (first.pending, first.polls) == (pending(), 1)
    assert waiting.put(first, pending())
    second = waiting.take()
    assert second.since == first.since
    assert not waiting.put(second, pending())
    assert len(waiting) == 0


# ------------------------------------------------------------------ a rollover


def test_what_was_under_way_before_a_rollover_comes_after_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 2)
    ca = TestCa(manual=True)
    with ca.serve() as url:
        assert run_scepkit(command(url, ca), monkeypatch).code == 3
        old = ca.certificate
        for one in ca.transactions:
            ca.approve(one.transaction_id)
        ca.stage_next_ca()
        ca.activate_next_ca()
        untrusted = run_scepkit(
            [*command(url, ca)[:6], "sha256:" + old.fingerprint(hashes.SHA256()).hex()],
            monkeypatch,
        )
        assert untrusted.code == 6
        after = run_scepkit(command(url, ca), monkeypatch)
        assert after.code == 0, after.stderr
    for number in range(2):
        pem = (tmp_path / "out" / f"device{number}" / "cert.pem").read_bytes()
        x509.load_pem_x509_certificate(pem).verify_directly_issued_by(old)
    events = [
        json.loads(line)["event"] for line in (tmp_path / "out" / JOURNAL).read_text().splitlines()
    ]
    assert events.count("trusted") == 2


# ------------------------------------------------------------------ rows of other kinds


def test_rows_come_from_stdin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(tmp_path, 3)
    ca = TestCa()
    with ca.serve() as url:
        words = command(url, ca)
        words[2] = "-"
        rows = (tmp_path / "rows.csv").read_bytes()
        done = run_scepkit(words, monkeypatch, stdin=rows)
        assert done.code == 0, done.stderr
        wrong = run_scepkit(words, monkeypatch, stdin=b"name,subject\na,CN=a\n/,CN=b\n")
    assert wrong.code == 7
    assert "stdin, line 3: " in wrong.stderr
    assert_all_have_their_own(tmp_path, ca, 3)


def test_a_request_made_elsewhere_is_sent_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csr(tmp_path)
    (tmp_path / "rows.csv").write_text("csr,key,challenge\nrouter1.csr,own.key,secret\n")
    ca = TestCa()
    with ca.serve() as url:
        done = run_scepkit(command(url, ca), monkeypatch)
    assert done.code == 0, done.stderr
    folder = tmp_path / "out" / "router1"
    (issued,) = ca.issued
    assert issued.subject.rfc4514_string() == "CN=made-elsewhere"
    assert x509.load_pem_x509_certificate((folder / "cert.pem").read_bytes()) == issued
    assert not (folder / "key.pem").exists()
    assert (tmp_path / "own.key").read_bytes() == pki.key_pem("ec256-a")


def test_a_request_made_elsewhere_may_have_its_key_in_the_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csr(tmp_path)
    folder = tmp_path / "out" / "router1"
    folder.mkdir(parents=True)
    (folder / "key.pem").write_bytes(pki.key_pem("ec256-a"))
    (tmp_path / "rows.csv").write_text('{"csr": "router1.csr", "challenge": "secret"}')
    ca = TestCa()
    with ca.serve() as url:
        assert run_scepkit(command(url, ca), monkeypatch).code == 0
    assert (folder / "cert.pem").exists()


def test_a_key_that_is_there_already_is_used_and_left_where_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csr(tmp_path)
    (tmp_path / "rows.csv").write_text("subject,key,challenge\nCN=router2,own.key,secret\n")
    ca = TestCa()
    with ca.serve() as url:
        assert run_scepkit(command(url, ca), monkeypatch).code == 0
    (issued,) = ca.issued
    assert issued.public_key() == pki.key("ec256-a").public_key()
    assert not (tmp_path / "out" / "router2" / "key.pem").exists()


def test_a_key_of_another_request_fails_its_row_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csr(tmp_path, key="ec256-b")
    text = "subject,csr,key,challenge\n,router1.csr,own.key,secret\nCN=router2,,,secret\n"
    (tmp_path / "rows.csv").write_text(text)
    ca = TestCa()
    with ca.serve() as url:
        ran = run_scepkit([*command(url, ca), "--json"], monkeypatch)
    assert ran.code == 2
    found = json.loads(ran.stdout)
    assert (found["issued"], found["failed"]) == (1, 1)
    assert "does not belong to the certification request" in found["failures"][0]["message"]


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("router1.csr,,", "there is no key for the request router1.csr"),
        ("router1.csr,nowhere.key,", "nowhere.key"),
        ("own.key,own.key,", "own.key"),
        ("router1.csr,own.key,CN=x", "a csr says itself what subject, san and eku would say"),
        ("-,own.key,", "the csr cannot be stdin"),
        ("router1.csr,-,", "the key cannot be stdin"),
    ],
)
def test_what_is_wrong_with_requests_and_keys_is_said_before_anything_is_sent(
    row: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_csr(tmp_path)
    (tmp_path / "rows.csv").write_text(f"csr,key,subject\n{row}\n")
    ca = TestCa()
    with ca.serve() as url:
        ran = run_scepkit(command(url, ca), monkeypatch)
    assert ran.code == 7
    assert "rows.csv, line 2: " in ran.stderr
    assert message in ran.stderr
    assert not ca.messages
