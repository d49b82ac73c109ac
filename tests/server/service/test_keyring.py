"""Keys that are in no file: a function of the operator's loads them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.errors import ConfigErrors
from scepkit.server import assembly
from scepkit.server.service import ScepService
from scepkit.server.settings import Settings
from scepkit.store import Store
from tests import pki
from tests.server.service.test_assembly import configured, started
from tests.server.service.world import NOW, World, certificate_of

MODULE = """
from tests import pki
from tests.server.service.test_roles import Token

def load_key(path, passphrase):
    if path.suffix != ".token":
        return None
    assert passphrase == b"1234 is the PIN"
    return Token(pki.rsa_key(path.read_text()))

def away(path, passphrase):
    raise OSError("the token is not there")

def nonsense(path, passphrase):
    return "a key"
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A module of the operator's."""
    (tmp_path / "acme_tokens.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    sys.modules.pop("acme_tokens", None)


def settings_with(loader: str, folder: Path, key: str = "ca.token") -> Settings:
    (folder / "ca.pem").write_bytes(pki.root().certificate.public_bytes(Encoding.PEM))
    (folder / "ca.token").write_text("rsa2048-a")
    (folder / "ca.key").write_bytes(pki.key_pem("rsa2048-a"))
    return configured(
        folder,
        {
            "secrets": {
                "challenge_key": "p" * 32,
                "passphrase": "1234 is the PIN",
                "key_loader": loader,
            },
            "ca": {"main": {"key": key, "certificate": "ca.pem"}},
        },
    )


def test_a_key_in_a_token_serves(lite: Store, tmp_path: Path) -> None:
    deployment = started(settings_with("acme_tokens:load_key", tmp_path), lite)
    world = World(lite, ScepService(lite, deployment))
    certificate_of(world.ask(world.device().enrol(world.mint())))


def test_a_key_that_the_function_does_not_know_is_in_a_file(lite: Store, tmp_path: Path) -> None:
    settings = settings_with("acme_tokens:load_key", tmp_path, key="ca.key")
    authority = started(settings, lite).authorities["main"]
    assert authority.active.issuer is not None


@pytest.mark.parametrize(
    ("loader", "problem"),
    [
        ("acme_tokens:away", "OSError: the token is not there"),
        ("acme_tokens:nonsense", "gives str for"),
        ("acme_tokens:missing", "cannot be imported"),
        ("no_such_module:load_key", "cannot be imported"),
    ],
)
def test_a_function_that_gives_no_key_is_a_configuration_error(
    loader: str, problem: str, lite: Store, tmp_path: Path
) -> None:
    settings = settings_with(loader, tmp_path)
    assembly.register(settings, lite, actor="test", now=NOW)
    with pytest.raises(ConfigErrors) as caught:
        assembly.assemble(settings, lite, NOW)
    assert [one.path for one in caught.value.errors] == ["ca.main.key"]
    assert problem in str(caught.value)


@pytest.mark.parametrize("loader", ["acme_tokens", "a b:c", "os.system('x'):y", ":load", "a:b:c"])
def test_what_names_no_function_is_refused(loader: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigErrors, match="module:function"):
        settings_with(loader, tmp_path)
