"""docs/cli.md says what the commands for who runs a CA do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.reference import PAGE
from tests.cli.test_docs import keys_of
from tests.cli.transcript import run_scepkit
from tests.cli_server.test_program import LEAVES

TEXT = PAGE.read_text()
#: What is in `detail` is the server's own matter.
_OPEN = {"detail"}


@pytest.mark.parametrize("words", LEAVES, ids=" ".join)
def test_every_command_is_explained(words: tuple[str, ...]) -> None:
    assert f"<!-- options of {' '.join(words)} -->" in TEXT
    assert f"\n    scepkit {words[0]}" in TEXT


def names_in(value: object) -> set[str]:
    if isinstance(value, dict):
        value = {key: None if key in _OPEN | {"rows"} else one for key, one in value.items()}
        return set(value) | {name for one in value.values() for name in names_in(one)}
    if isinstance(value, list):
        return {name for one in value for name in names_in(one)}
    return keys_of(value)


def test_every_name_in_the_json_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for line in (
        "init ca --key-type ec:p256",
        "init waiting --csr-out ca.csr",
        "check-config",
        "challenge new",
        "challenge list",
        "challenge revoke 1",
        "requests list",
        "certs list",
        "certs export --out certs.pem",
        "crl make",
        "crl show",
        "crl show --out ca.crl",
        "ca new other --subject CN=Other --ra",
        "ca rollover stage main",
        "ca rollover status",
        "ca rollover cancel",
        "ra new",
        "audit list",
        "audit verify",
        "backup kept.db",
    ):
        # Not init, which makes it.
        config = [] if line.startswith("init") else ["--config", "ca/scepkit.toml"]
        ran = run_scepkit([*line.split(), *config, "--json"], monkeypatch)
        assert ran.code == 0, ran.shown()
        found = json.loads(ran.stdout)
        for name in names_in(found):
            assert f"`{name}`" in TEXT, f"{name} of {line}"
