"""`scepkit init` and `scepkit serve` before a person: what they ask, and what they do not show."""

from __future__ import annotations

import json
import signal
from pathlib import Path

from tests.cli.test_terminal import at_terminal
from tests.cli_server.running import RunningServer

_ON_STDIN = "0"


def test_init_asks_for_a_name_and_a_passphrase(tmp_path: Path) -> None:
    with at_terminal("init", "acme", "--json", cwd=tmp_path, streams=_ON_STDIN) as running:
        running.wait_for("scepkit: the CA's name [CN=")
        running.type("CN=Acme Device CA,O=Acme")
        running.wait_for("new passphrase for the CA's keys")
        running.type("sesame open")
        running.wait_for("the same again")
        running.type("sesame open")
        code, stdout, stderr = running.end()
        assert "sesame" not in running.shown
    assert (code, stderr) == (0, "")
    made = json.loads(stdout)
    assert made["ca"]["subject"] == "CN=Acme Device CA,O=Acme"
    assert made["passphrase"] is None
    assert "sesame" not in (tmp_path / "acme" / "scepkit.toml").read_text()


def test_empty_answers_take_what_is_offered(tmp_path: Path) -> None:
    with at_terminal("init", "acme", "--json", cwd=tmp_path, streams=_ON_STDIN) as running:
        running.wait_for("scepkit: the CA's name [CN=")
        running.type("")
        running.wait_for("new passphrase for the CA's keys")
        running.type("")
        code, stdout, _ = running.end()
    assert code == 0
    assert json.loads(stdout)["passphrase"] == "keys/passphrase"


def test_two_different_passphrases_make_nothing(tmp_path: Path) -> None:
    with at_terminal("init", "acme", "--subject", "CN=x", cwd=tmp_path, streams=_ON_STDIN) as here:
        here.wait_for("new passphrase for the CA's keys")
        here.type("sesame")
        here.wait_for("the same again")
        here.type("semolina")
        code, _, stderr = here.end()
    assert code == 7
    assert "the two passphrases are not the same" in stderr
    assert not list(tmp_path.iterdir())


def test_nobody_is_asked_whose_stdin_is_no_terminal(tmp_path: Path) -> None:
    with at_terminal("init", "acme", cwd=tmp_path) as running:
        code, _, _ = running.end()
        assert running.shown == ""
    assert code == 0


def test_serve_asks_for_the_passphrase(tmp_path: Path) -> None:
    environment = {"SCEPKIT_PASSPHRASE": "sesame"}
    with at_terminal("init", "acme", "-q", cwd=tmp_path, environment=environment) as running:
        assert running.end()[0] == 0
    words = ("serve", "--config", "acme/scepkit.toml", "--bind", "127.0.0.1:0", "--workers", "1")
    with at_terminal(*words, cwd=tmp_path, streams="2") as running:
        running.wait_for("scepkit: passphrase of the CA's keys: ")
        running.type("sesame")
        running.wait_for("serving address=")
        running.process.send_signal(signal.SIGTERM)
        code, _, _ = running.end()
        assert "sesame" not in running.shown
    assert code == 0


def test_a_wrong_passphrase_is_told(tmp_path: Path) -> None:
    environment = {"SCEPKIT_PASSPHRASE": "sesame"}
    with at_terminal("init", "acme", "-q", cwd=tmp_path, environment=environment) as running:
        assert running.end()[0] == 0
    with at_terminal("check-config", "--config", "acme/scepkit.toml", cwd=tmp_path) as running:
        running.wait_for("scepkit: passphrase of the CA's keys: ")
        running.type("semolina")
        code, _, stderr = running.end()
    assert code == 2
    assert "is not opened by the passphrase" in stderr
    assert "semolina" not in stderr


def test_systemd_credentials_hold_the_passphrase(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "passphrase").write_text("sesame\n")
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    with at_terminal("init", "acme", cwd=tmp_path, environment=environment) as running:
        code, _, stderr = running.end()
    assert (code, stderr) == (0, "")
    assert not (tmp_path / "acme" / "keys" / "passphrase").exists()
    server = RunningServer(tmp_path / "acme" / "scepkit.toml", environment=environment)
    assert server.stop() == 0
