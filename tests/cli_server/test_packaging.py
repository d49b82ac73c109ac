"""The units and the Containerfile call commands that exist, and do what the manual says."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest

from tests.cli.reference import named
from tests.interop.foreign import missing

ROOT = Path(__file__).parents[2]
UNITS = sorted((ROOT / "packaging" / "systemd").iterdir())
CONTAINERFILE = (ROOT / "packaging" / "Containerfile").read_text("utf-8")
DEPLOYMENT = (ROOT / "docs" / "server" / "deployment.md").read_text("utf-8")
_CALL = re.compile(r"/opt/scepkit/bin/scepkit ([^'\n]*)")

by_unit = pytest.mark.parametrize("path", UNITS, ids=lambda path: path.name)


def check_call(line: str) -> None:
    """The command is one of ours, with options that it has."""
    words = shlex.split(line.replace('"', ""))
    options = [word for word in words if word.startswith("--")]
    command = named(" ".join(words[: words.index(options[0])] if options else words))
    known = {name for one in command.params if isinstance(one, click.Option) for name in one.opts}
    assert set(options) <= known


@by_unit
def test_a_unit_calls_commands_that_exist(path: Path) -> None:
    for call in _CALL.findall(path.read_text("utf-8")):
        check_call(call.partition(" $")[0])


@by_unit
def test_a_unit_is_named_in_the_documentation(path: Path) -> None:
    assert path.name.removesuffix(".timer").removesuffix(".service") in DEPLOYMENT


@pytest.mark.interop
@by_unit
def test_systemd_understands_a_unit(path: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        missing("systemd-analyze is not here (Debian package systemd)")
    for unit in UNITS:
        text = unit.read_text("utf-8").replace("/opt/scepkit/bin/scepkit", "/bin/true")
        (tmp_path / unit.name).write_text(text, "utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(tmp_path / path.name)],
        capture_output=True, text=True, timeout=50, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_service_may_do_little_and_is_not_started_again_with_a_faulty_configuration() -> None:
    text = (ROOT / "packaging" / "systemd" / "scepkit.service").read_text("utf-8")
    for line in (
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "MemoryDenyWriteExecute=yes",
        "CapabilityBoundingSet=",
        "SystemCallFilter=@system-service",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "UMask=0077",
        "Type=notify",
        "Restart=on-failure",
        "RestartPreventExitStatus=2",
        "LoadCredential=passphrase:/etc/scepkit/passphrase",
    ):
        assert f"\n{line}\n" in text


def test_the_container_serves_as_somebody_without_rights() -> None:
    assert re.search(r"^USER [1-9]\d+$", CONTAINERFILE, re.MULTILINE)
    assert 'ENTRYPOINT ["scepkit"]\nCMD ["serve"]\n' in CONTAINERFILE
    assert named("serve").name == "serve"
    # What the documentation says of it.
    assert "USER 10001" in CONTAINERFILE
    assert "the user in the container is 10001" in DEPLOYMENT
