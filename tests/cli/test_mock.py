"""`scepkit mock`, as a process that a client is tried on; and that no known fault is missing."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import scepkit
from scepkit.cli.program import COMMANDS
from scepkit.testing import Fault
from tests.cli.faults_table import GROUPS, PAGE, with_table
from tests.cli.transcript import Ran, run_scepkit
from tests.testing.test_faults import ca_with, ending

#: What servers and those between are known to do wrong, and the fault that shows it.
KNOWN = {
    "wrong fingerprint": ["ca-cert-other-ca"],
    "GetCACaps 404, 500, empty, closed, HTML": [
        "caps-404", "caps-500", "caps-empty", "caps-closed", "caps-html",
    ],
    "capabilities in mixed case, CR only, unknown": [
        "caps-mixed-case", "caps-cr-only", "caps-unknown-words",
    ],
    "capabilities are taken back": ["caps-downgrade"],
    "GetCACert in PEM, of the wrong type": ["ca-cert-pem", "ca-cert-wrong-type"],
    "GetCACert with an expired intermediate, a stranger, the root alone": [
        "ca-cert-expired-intermediate", "ca-cert-stranger", "ca-cert-root-only",
    ],
    "POST is answered 405": ["post-405"],
    "3DES only, DES, OAEP, BER": ["3des-only", "des-reply", "oaep-reply", "ber-reply"],
    "odd failures": ["empty-econtent-in-failure", "failure-without-fail-info", "fail-info-7"],
    "odd successes": [
        "pki-status-1", "success-without-envelope", "issued-for-other-key", "leaf-last",
    ],
    "another conversation's reply": [
        "recipient-nonce-wrong", "nonce-missing", "transaction-id-wrong", "message-type-wrong",
    ],
    "another signer's reply": [
        "signer-unknown", "signer-expired", "signer-is-end-entity", "reply-unsigned",
        "attributes-only-unsigned",
    ],
    "pending": [
        "pending-forever", "pending-then-failure", "pending-then-reset", "retry-after",
    ],
    "HTTP": [
        "reply-50mb", "redirect-other-host", "redirect-to-http", "gzip", "login-page-200",
    ],
    "the clock": ["clock-ahead"],
    "GetNextCACert by a wrong key": ["next-ca-signed-by-wrong-key"],
}  # fmt: skip
#: Those that are tried over HTTP where the way itself is tested; one of them takes a second a byte.
_ELSEWHERE = {Fault.REPLY_SLOW, Fault.REPLY_50MB}


@contextmanager
def mock(*words: str) -> Iterator[dict[str, Any]]:
    """A mock while the context lasts; gives what it prints with --json."""
    running = subprocess.Popen(
        [sys.executable, "-m", "scepkit", "mock", "--bind", "127.0.0.1:0", "--json", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert running.stdout is not None
    try:
        lines = []
        for line in running.stdout:
            lines.append(line)
            if line == "}\n":
                break
        found: dict[str, Any] = json.loads("".join(lines))
        yield found
    finally:
        running.send_signal(signal.SIGTERM)
        _, said = running.communicate(timeout=30)
    assert running.returncode == 0, said
    found["said"] = said


def client_of(found: dict[str, Any]) -> scepkit.Client:
    return scepkit.Client(found["url"], trust=scepkit.Fingerprint(found["sha256"]))


def enrol(found: dict[str, Any]) -> scepkit.EnrolmentResult:
    key = scepkit.generate_key("ec:p256" if found["challenge"] else "rsa:2048")
    csr = scepkit.build_csr(key, "CN=router1", challenge=found["challenge"])
    with client_of(found) as client:
        return client.enrol(csr, key)


@pytest.mark.parametrize("known", KNOWN)
def test_there_is_a_fault_for_all_that_servers_do_wrong(known: str) -> None:
    for name in KNOWN[known]:
        assert Fault.named(name) in Fault


def test_a_mock_without_a_fault_is_right() -> None:
    with mock("--no-challenge", "--ra", "split") as found:
        assert found["challenge"] is None
        assert isinstance(enrol(found), scepkit.Issued)
    assert "POST PKIOperation: 200" in found["said"]
    assert "scepkit: PKCSReq " in found["said"]
    assert ": SUCCESS\n" in found["said"]
    assert "certificates issued: 1" in found["said"]


def test_a_mock_has_its_faults_and_says_what_a_right_client_does(tmp_path: Path) -> None:
    written = tmp_path / "ca.pem"
    words = ["--fault", "signer-unknown", "--fault", "caps-cr-only", "--write-ca", str(written)]
    with mock(*words) as found:
        names = {one["name"]: one["ends"] for one in found["faults"]}
        assert names == {"signer-unknown": "refused", "caps-cr-only": "works"}
        with pytest.raises(scepkit.SignatureError):
            enrol(found)
        (certificate,) = scepkit.load_certificates(written.read_bytes())
        assert certificate.fingerprint(scepkit.Digest.SHA256.hash()).hex() == found["sha256"]


def test_a_fault_that_needs_more_has_it() -> None:
    with (
        mock("--fault", "ca-cert-root-only", "--fault", "next-ca-unsigned") as found,
        client_of(found) as client,
        pytest.raises(scepkit.ScepError),
    ):
        client.get_next_ca_certificates()


@pytest.mark.parametrize(
    "fault", [one for one in Fault if one not in _ELSEWHERE], ids=lambda fault: fault.plain_name
)
def test_our_client_ends_as_a_right_one_does_over_http(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    ca = ca_with(fault)
    with ca.serve() as url:
        assert ending(fault, ca, url) == fault.ends


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--fault", "signer-unknwon"], "did you mean signer-unknown"),
        (["--bind", "8099"], "--bind must be ADDRESS:PORT, found '8099'"),
        (["--tls-cert", "cert.pem"], "--tls-cert and --tls-key belong together"),
        (["--tls-cert", "no.pem", "--tls-key", "no.pem"], "cannot be used for TLS"),
        (["--bind", "192.0.2.1:1"], "cannot listen on 192.0.2.1:1"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_is_refused(
    words: list[str], said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = refused(words, monkeypatch)
    assert ran.code == 2
    assert said in ran.stderr


def refused(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Ran:
    """How a mock ends that does not begin."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        return run_scepkit(["mock", *words], monkeypatch)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def test_a_port_in_use_has_a_hint(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with mock("--write-ca", str(tmp_path / "ca.pem")) as found:
        bind = found["url"].removeprefix("http://").removesuffix("/scep")
        written = (tmp_path / "ca.pem").read_bytes()
        again = ["--bind", bind, "--write-ca", str(tmp_path / "ca.pem")]
        ran = refused(again, monkeypatch)
        assert (tmp_path / "ca.pem").read_bytes() == written
    assert ran.code == 2
    assert f"cannot listen on {bind}" in ran.stderr
    assert "hint: another program, or a mock that still runs, listens there" in ran.stderr
    assert f"scepkit: wrote {tmp_path / 'ca.pem'}\n" in found["said"]


def test_the_list_names_every_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    text = run_scepkit(["mock", "--list"], monkeypatch).stdout.decode()
    listed = json.loads(run_scepkit(["mock", "--list", "--json"], monkeypatch).stdout)
    for fault, found in zip(Fault, listed["faults"], strict=True):
        assert f"{fault.plain_name} " in text
        assert f"-> {fault.ends}: {fault.right}\n" in text
        assert found["name"] == fault.plain_name


def test_the_page_has_every_fault() -> None:
    page = PAGE.read_text("utf-8")
    assert with_table(page) == page, "run: python -m tests.cli.faults_table"
    assert list(GROUPS.values()) == [one for one in Fault if one in GROUPS.values()]
    assert next(iter(GROUPS.values())) is next(iter(Fault))
    assert "mock" in COMMANDS
