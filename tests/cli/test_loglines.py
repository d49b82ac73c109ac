"""What the library logs comes out of a command like everything else, or not at all."""

from __future__ import annotations

import logging
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit import logs
from scepkit.core import cms
from scepkit.testing import TestCa
from tests import pki
from tests.cli.transcript import run_scepkit
from tests.servers import always, answer, serve

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
FAR_AWAY = datetime(2049, 1, 1, tzinfo=UTC)


def process(*words: str, cwd: Path) -> list[str]:
    """The lines on stderr of the command in a process of its own, where nobody imported logging."""
    done = subprocess.run(
        [sys.executable, "-m", "scepkit", *words],
        capture_output=True,
        text=True,
        cwd=cwd,
        check=True,
        start_new_session=True,
    )
    return done.stderr.splitlines()


def test_a_warning_is_one_line_of_the_command_also_in_a_fresh_process(tmp_path: Path) -> None:
    ca = TestCa(faults=["caps-empty"])
    with ca.serve() as url:
        words = ["crl", url, "--ca-fingerprint", ca.fingerprint]
        (line,) = process(*words, cwd=tmp_path)
        assert line.startswith("scepkit: warning: CA announces nothing url=http://")
        assert process(*words, "-q", cwd=tmp_path) == []


def notes(stderr: str, text: str) -> list[str]:
    return [line for line in stderr.splitlines() if text in line]


@pytest.mark.parametrize("command", ["ca", "crl"])
def test_a_note_on_the_certificates_is_said_once(
    command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ca = TestCa(ra="rsa")
    agent = tmp_path / "agent.pem"
    agent.write_bytes(ca.offered[0].public_bytes(Encoding.PEM))
    with ca.serve() as url:
        ran = run_scepkit([command, url, "--ca-cert", str(agent)], monkeypatch)
    (note,) = notes(ran.stderr, "is not a CA's certificate")
    assert note.startswith("scepkit: warning: CA certificates url=http://")


def test_a_note_on_an_offer_that_is_not_verified_is_said_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = pki.root(not_before=LONG_AGO, not_after=FAR_AWAY)
    agent = pki.ra(ca, eku=(), not_before=LONG_AGO, not_after=FAR_AWAY)
    with serve(always(answer(cms.certs_only([agent.der, ca.der])))) as server:
        ran = run_scepkit(["ca", server.url()], monkeypatch)
    (note,) = notes(ran.stderr, "counts as an RA's certificate")
    assert note.startswith("scepkit: warning: CN=Test RA,O=Acme counts ")


def test_the_logging_of_a_program_around_is_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    logger = logging.getLogger("scepkit.client")
    before = logger.level, logger.propagate, list(logger.handlers)
    with TestCa(faults=["caps-empty"]).serve() as url:
        run_scepkit(["caps", url, "-v"], monkeypatch)
        run_scepkit(["caps", url], monkeypatch)
    assert (logger.level, logger.propagate, logger.handlers) == before
    assert logs.before_warning is None
