"""A command that is killed after the CA has answered is completed by the same command."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import pkcs12

from scepkit.cli import outcome, swap
from scepkit.testing import TestCa
from tests.cli.transcript import Ran, run_scepkit

PASSWORD = {"SCEPKIT_P12_PASSWORD": "sesame"}


class Killed(BaseException):
    """The process is no more."""


def stop(*_: object) -> None:
    raise Killed


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def killed_before(step: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a command that is gone when it comes to a step of `outcome`."""
    with monkeypatch.context() as patch:
        patch.setattr(outcome, step, stop)
        with pytest.raises(Killed):
            run_scepkit(words, monkeypatch, environment=PASSWORD)


def run(words: list[str], monkeypatch: pytest.MonkeyPatch) -> Ran:
    return run_scepkit(words, monkeypatch, environment=PASSWORD)


def enrolment(ca: TestCa, url: str, *more: str) -> list[str]:
    return ["enrol", url, "--subject", "CN=x", "--ca-fingerprint", ca.fingerprint,
            "--challenge", "secret", *more]  # fmt: skip


def renewal(url: str, *more: str) -> list[str]:
    return ["renew", url, "--cert", "cert.pem", "--key", "key.pem", *more]


def renewed_by_a_killed_poll(ca: TestCa, url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run(enrolment(ca, url), monkeypatch).code == 0
    ca.policy.manual = True
    assert run(renewal(url, "--force"), monkeypatch).code == 3
    ca.approve()
    killed_before("_forget", ["poll", "pending.json"], monkeypatch)
    assert Path("pending.json").exists()
    assert len(ca.issued) == 2


def test_renewal_goes_on_after_the_swap_of_a_pending_one(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCa()
    with ca.serve() as url:
        renewed_by_a_killed_poll(ca, url, monkeypatch)
        ca.policy.manual = False
        assert run(renewal(url, "--force"), monkeypatch).code == 0
    assert len(ca.issued) == 3
    assert not Path("pending.json").exists()


def test_poll_is_done_where_the_certificate_is_in_place(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCa()
    with ca.serve() as url:
        renewed_by_a_killed_poll(ca, url, monkeypatch)
        ran = run(["poll", "pending.json", "--json"], monkeypatch)
    assert ran.code == 0
    assert json.loads(ran.stdout)["status"] == "present"
    assert not Path("pending.json").exists()


def test_renewal_that_keeps_the_key_is_still_pending(monkeypatch: pytest.MonkeyPatch) -> None:
    ca = TestCa()
    with ca.serve() as url:
        assert run(enrolment(ca, url), monkeypatch).code == 0
        ca.policy.manual = True
        again = renewal(url, "--force", "--same-key")
        assert run(again, monkeypatch).code == 3
        assert run(again, monkeypatch).code == 3
        assert Path("pending.json").exists()
        ca.approve()
        assert run(again, monkeypatch).code == 0
    assert len(ca.issued) == 2


def test_another_enrolment_for_the_same_key_is_still_pending(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        assert run(enrolment(ca, url), monkeypatch).code == 0
        ca.policy.manual = True
        again = enrolment(ca, url, "--key", "key.pem", "--force")
        again[again.index("CN=x")] = "CN=y"  # the CA would know the same request again
        assert run(again, monkeypatch).code == 3
        assert run(["poll", "pending.json"], monkeypatch).code == 3
        assert Path("pending.json").exists()


def test_enrolment_is_done_where_the_certificate_is_in_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa(manual=True)
    with ca.serve() as url:
        words = enrolment(ca, url)
        assert run(words, monkeypatch).code == 3
        ca.approve()
        killed_before("_forget", ["poll", "pending.json"], monkeypatch)
        ran = run(words, monkeypatch)
    assert ran.code == 0
    assert "nothing to do" in ran.stdout.decode()
    assert not Path("pending.json").exists()


def certificate_in(path: str) -> x509.Certificate:
    found = pkcs12.load_pkcs12(Path(path).read_bytes(), b"sesame").cert
    assert found is not None
    return found.certificate


def certificate_in_place() -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path("cert.pem").read_bytes())


def test_pkcs12_file_that_was_not_come_to_is_written_by_the_same_command(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        words = enrolment(ca, url, "--p12", "x.p12")
        killed_before("_write_p12", words, monkeypatch)
        assert Path("cert.pem").exists()
        assert not Path("x.p12").exists()
        assert run(words, monkeypatch).code == 0
    assert len(ca.issued) == 1
    assert certificate_in("x.p12") == certificate_in_place()


def test_pkcs12_file_of_a_renewal_is_there_before_its_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        assert run(enrolment(ca, url, "--p12", "x.p12"), monkeypatch).code == 0
        before = certificate_in_place()
        with monkeypatch.context() as patch:
            patch.setattr(swap, "replace_together", stop)
            with pytest.raises(Killed):
                run(renewal(url, "--force", "--p12", "x.p12"), monkeypatch)
    assert certificate_in_place() == before
    assert certificate_in("x.p12") != before
    assert certificate_in("x.p12") in ca.issued


def test_pkcs12_file_that_cannot_be_written_costs_no_certificate(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        assert run(enrolment(ca, url, "--p12", "no/x.p12"), monkeypatch).code == 7
        assert run(renewal(url, "--force", "--p12", "no/x.p12"), monkeypatch).code == 7
        Path("no").mkdir()
        assert run(enrolment(ca, url, "--p12", "no/x.p12"), monkeypatch).code == 0
    assert len(ca.issued) == 2
    assert certificate_in("no/x.p12") == certificate_in_place()


def renewed_but_for_the_pkcs12_file(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Renew while the file of the certificate before cannot be replaced."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "x.p12")

    before = certificate_in("x.p12")
    with monkeypatch.context() as patch:
        patch.setattr(outcome, "_write_p12", full)
        code = run(renewal(url, "--force", "--p12", "x.p12"), monkeypatch).code
        assert code in {3, 7}
        if code == 3:
            assert run(["poll", "pending.json"], patch).code == 7
    assert certificate_in("x.p12") == before != certificate_in_place()


def test_renewal_again_replaces_a_pkcs12_file_that_could_not_be_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        assert run(enrolment(ca, url, "--p12", "x.p12"), monkeypatch).code == 0
        renewed_but_for_the_pkcs12_file(url, monkeypatch)
        assert run(renewal(url, "--p12", "x.p12"), monkeypatch).code == 0
    assert len(ca.issued) == 2
    assert certificate_in("x.p12") == certificate_in_place()


def test_poll_again_replaces_a_pkcs12_file_that_could_not_be_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        assert run(enrolment(ca, url, "--p12", "x.p12"), monkeypatch).code == 0
        ca.policy.pending_polls = 1
        renewed_but_for_the_pkcs12_file(url, monkeypatch)
        assert run(["poll", "pending.json"], monkeypatch).code == 0
    assert len(ca.issued) == 2
    assert certificate_in("x.p12") == certificate_in_place()
    assert not Path("pending.json").exists()


def test_pkcs12_file_with_another_password_is_left_with_a_warning(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    ca = TestCa()
    with ca.serve() as url:
        assert run(enrolment(ca, url, "--p12", "x.p12"), monkeypatch).code == 0
        before = Path("x.p12").read_bytes()
        environment = {"SCEPKIT_P12_PASSWORD": "another"}
        words = renewal(url, "--p12", "x.p12")
        ran = run_scepkit(words, monkeypatch, environment=environment)
        assert run_scepkit(words, monkeypatch, environment={}).stderr == ""
    assert ran.code == 0
    assert "whether x.p12 holds the present certificate cannot be said" in ran.stderr
    assert Path("x.p12").read_bytes() == before
