"""The command line before a person: questions, secrets, progress, colour.

Each command here is a real process with a terminal of its own (a pty).
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.keys import private_key_pem, read_key_file, write_private_key
from scepkit.testing import TestCa
from tests import pki

if sys.platform == "win32":
    pytest.skip("pseudo-terminals", allow_module_level=True)

#: How long a command may take that is only waiting for a processor, in seconds: on a loaded machine
#: its start alone takes many.
PATIENCE = 100
pytestmark = pytest.mark.timeout(3 * PATIENCE)

# Opening a terminal as the leader of a session without one makes it the controlling terminal.
PROGRAM = """
import os, sys
os.setsid()
terminal = os.open(sys.argv[1], os.O_RDWR)
for stream in sys.argv[2]:
    os.dup2(terminal, int(stream))
from scepkit.cli import main
sys.exit(main(sys.argv[3:]))
"""


class AtTerminal:
    """A command that runs with a terminal."""

    def __init__(
        self, words: list[str], cwd: Path, streams: str, environment: dict[str, str]
    ) -> None:
        self.master, slave = os.openpty()
        self._slave = slave
        self.shown = ""
        kept = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM, os.ttyname(slave), streams, *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**kept, "TERM": "xterm", **environment},
        )

    def wait_for(self, text: str) -> None:
        """Read what the terminal shows until `text` is there."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.shown:
            left = deadline - time.monotonic()
            assert left > 0, f"{text!r} never came: {self.shown!r}"
            if select.select([self.master], [], [], 0.2)[0]:
                self.shown += os.read(self.master, 4096).decode()
            elif self.process.poll() is not None:
                raise AssertionError(f"it ended: {self.shown!r} {self.process.communicate()!r}")

    def type(self, text: str) -> None:
        """Type a line."""
        os.write(self.master, text.encode() + b"\n")

    def end(self) -> tuple[int, str, str]:
        """Exit code, stdout and stderr."""
        stdout, stderr = self.process.communicate(timeout=PATIENCE)
        while select.select([self.master], [], [], 0.1)[0]:
            self.shown += os.read(self.master, 4096).decode()
        return self.process.returncode, stdout.decode(), stderr.decode()

    def close(self) -> None:
        """Leave nothing behind."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.communicate()
        os.close(self.master)
        os.close(self._slave)


@contextmanager
def at_terminal(
    *words: str, cwd: Path, streams: str = "", environment: dict[str, str] | None = None
) -> Iterator[AtTerminal]:
    """Start a command; those of its `streams` (as "12") that are the terminal too."""
    running = AtTerminal(list(words), cwd, streams, environment or {})
    try:
        yield running
    finally:
        running.close()


@pytest.fixture
def ca() -> TestCa:
    return TestCa()


@pytest.fixture
def url(ca: TestCa) -> Iterator[str]:
    with ca.serve() as served:
        yield served


def enrolment(url: str, *more: str) -> list[str]:
    return ["enrol", url, "--subject", "CN=router1", "--challenge", "secret", *more]


def test_a_person_compares_the_fingerprint(ca: TestCa, url: str, tmp_path: Path) -> None:
    with at_terminal(*enrolment(url, "--json"), cwd=tmp_path) as running:
        running.wait_for('Type "yes" or "no": ')
        shown = running.shown.replace(":", "").replace("\r\n", "").replace(" ", "").lower()
        assert ca.fingerprint in shown
        assert "SHA-512" in running.shown
        assert not ca.issued
        running.type("yes")
        code, stdout, stderr = running.end()
    assert code == 0
    assert stdout.startswith('{\n  "status": "issued"')
    assert stderr == ""
    assert (tmp_path / "cert.pem").exists()


def test_a_person_says_no(ca: TestCa, url: str, tmp_path: Path) -> None:
    with at_terminal(*enrolment(url), cwd=tmp_path) as running:
        running.wait_for('Type "yes" or "no": ')
        running.type("no")
        code, stdout, stderr = running.end()
    assert (code, stdout) == (6, "")
    assert "was not accepted" in stderr
    assert not (tmp_path / "key.pem").exists()


def test_nobody_is_asked_who_does_not_want_to_be(url: str, tmp_path: Path) -> None:
    with at_terminal(*enrolment(url, "--no-input"), cwd=tmp_path) as running:
        code, _, stderr = running.end()
        assert running.shown == ""
    assert code == 6
    assert "nothing says which CA to trust" in stderr


def test_the_challenge_is_asked_for_and_not_shown(ca: TestCa, url: str, tmp_path: Path) -> None:
    words = ["enrol", url, "--subject", "CN=router1", "--ask-challenge"]
    with at_terminal(*words, "--ca-fingerprint", ca.fingerprint, cwd=tmp_path) as running:
        running.wait_for("scepkit: challenge password: ")
        running.type("secret")
        code, _, _ = running.end()
        assert "secret" not in running.shown
    assert code == 0
    assert ca.messages[-1].challenge_matched


def test_the_password_of_a_key_is_asked_for(ca: TestCa, url: str, tmp_path: Path) -> None:
    write_private_key(tmp_path / "mine.key", pki.key(), b"sesame")
    words = enrolment(url, "--ca-fingerprint", ca.fingerprint, "--key", "mine.key")
    with at_terminal(*words, cwd=tmp_path) as running:
        running.wait_for("scepkit: password of mine.key: ")
        running.type("sesame")
        code, _, _ = running.end()
        assert "sesame" not in running.shown
    assert code == 0


def test_a_password_that_is_typed_is_for_the_key_it_was_asked_for(
    ca: TestCa, url: str, tmp_path: Path
) -> None:
    certificate, key = ca.issue("CN=router1", key=pki.key())
    (tmp_path / "signer.pem").write_bytes(
        certificate.public_bytes(Encoding.PEM) + private_key_pem(key, b"sesame")
    )
    # A key of EC is made at once; one of RSA takes seconds where the processors are busy.
    words = enrolment(url, "--ca-fingerprint", ca.fingerprint, "--signer-cert", "signer.pem",
                      "--key-type", "ec:p256")  # fmt: skip
    with at_terminal(*words, cwd=tmp_path) as running:
        running.wait_for("scepkit: password of signer.pem: ")
        running.type("sesame")
        code, _, stderr = running.end()
    assert code == 0, stderr
    read_key_file(tmp_path / "key.pem")  # is not encrypted


def test_the_password_of_the_key_for_tls_is_asked_for(tmp_path: Path) -> None:
    (tmp_path / "tls.pem").write_bytes(pki.self_signed().certificate.public_bytes(Encoding.PEM))
    write_private_key(tmp_path / "tls.key", pki.key("rsa2048-c"), b"sesame")
    words = ["caps", "https://127.0.0.1:1/", "--tls-cert", "tls.pem", "--tls-key", "tls.key"]
    with at_terminal(*words, cwd=tmp_path) as running:
        running.wait_for("scepkit: password of tls.key: ")
        running.type("sesame")
        code, _, stderr = running.end()
    assert code == 5, stderr  # the key was opened: nobody listens there


def test_a_long_wait_shows_one_line_that_is_rewritten(tmp_path: Path) -> None:
    ca = TestCa(pending_polls=3)
    with ca.serve() as url:
        words = enrolment(url, "--ca-fingerprint", ca.fingerprint, "--wait", "100",
                          "--poll-interval", "0.1")  # fmt: skip
        with at_terminal(*words, cwd=tmp_path, streams="2") as running:
            code, stdout, _ = running.end()
            assert "\r\x1b[Kscepkit: pending; poll 1 in " in running.shown
            assert "\r\x1b[Kscepkit: pending; poll 3 in " in running.shown
            assert running.shown.endswith("\r\x1b[K")
            assert "\n" not in running.shown
    assert code == 0
    assert "subject" in stdout


def test_without_a_terminal_for_stderr_there_is_no_progress(tmp_path: Path) -> None:
    ca = TestCa(pending_polls=1)
    with ca.serve() as url:
        words = enrolment(url, "--ca-fingerprint", ca.fingerprint, "--wait", "100",
                          "--poll-interval", "0.1")  # fmt: skip
        with at_terminal(*words, cwd=tmp_path) as running:
            code, _, stderr = running.end()
            assert running.shown == ""
    assert code == 0
    assert stderr == ""


def test_an_interrupted_wait_can_be_taken_up(tmp_path: Path) -> None:
    ca = TestCa(manual=True)
    with ca.serve() as url:
        words = enrolment(url, "--ca-fingerprint", ca.fingerprint, "--wait", "60")
        with at_terminal(*words, cwd=tmp_path, streams="2") as running:
            running.wait_for("poll 1 in ")
            running.process.send_signal(signal.SIGINT)
            code, stdout, _ = running.end()
            assert "scepkit: scepkit poll ./pending.json goes on from here" in running.shown
            assert "scepkit: interrupted" in running.shown.replace("\x1b[31m\x1b[1m", "").replace(
                "\x1b[0m", ""
            )
    assert (code, stdout) == (130, "")
    assert (tmp_path / "pending.json").exists()


def test_binary_output_does_not_go_to_a_terminal(tmp_path: Path) -> None:
    words = ["crl", "http://127.0.0.1:1/scep", "--outform", "der", "--ca-fingerprint", "0" * 64]
    with at_terminal(*words, cwd=tmp_path, streams="1") as running:
        code, _, stderr = running.end()
        assert running.shown == ""
    assert code == 2
    assert "binary output does not go to a terminal" in stderr


@pytest.mark.parametrize("no_color", [None, "1"])
def test_colour_is_for_terminals_whose_user_wants_it(tmp_path: Path, no_color: str | None) -> None:
    environment = {} if no_color is None else {"NO_COLOR": no_color}
    with at_terminal("nonsense", cwd=tmp_path, streams="2", environment=environment) as running:
        running.end()
        assert ("\x1b[" in running.shown) is (no_color is None)
    with at_terminal("nonsense", cwd=tmp_path, environment=environment) as running:
        assert "\x1b[" not in running.end()[2]
