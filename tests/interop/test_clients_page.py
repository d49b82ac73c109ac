"""docs/server/clients.md: its commands for scepclient, strongSwan and certmonger do their work."""

from __future__ import annotations

import shlex
from collections.abc import Mapping

import pytest

from tests.docs_runner.pages import ROOT
from tests.interop import foreign
from tests.interop.authority import MODES, Authority, Mode
from tests.interop.clients import CLIENTS, Certmonger, Device, ScepClient, StrongSwan
from tests.interop.clients.certmonger import HELPER

pytestmark = pytest.mark.interop

PAGE = (ROOT / "docs" / "server" / "clients.md").read_text("utf-8")
URL = "http://ca.example.test"


def cells() -> dict[str, list[str]]:
    """The table of what the tests do: for each client a cell for each mode."""
    (table,) = [part for part in PAGE.split("\n\n") if part.startswith("| client | the CA's")]
    rows = [row.strip("| ").split(" | ") for row in table.splitlines()[2:]]
    return {name.partition(" ")[0]: found for name, *found in rows}


def test_the_table_says_what_the_tests_do() -> None:
    """`test_clients.py` has each client enrol, renew and poll, by each method, in each mode."""
    found = cells()
    assert list(found) == ["scepkit", "scepclient", "strongSwan", "certmonger"]
    for name, in_modes in found.items():
        able = CLIENTS[name.lower()].abilities
        methods = ", ".join(dict.fromkeys((able.announced, able.unannounced)))
        assert len(in_modes) == len(MODES)
        for cell in in_modes:
            assert cell.split("; ")[:2] == ["enrols, renews, polls", methods], name


def commands(heading: str) -> list[str]:
    """The indented lines below a heading."""
    (section,) = [part for part in PAGE.split("\n## ")[1:] if part.startswith(f"{heading}\n")]
    return [line[4:] for line in section.splitlines() if line.startswith("    ")]


def script(heading: str, authority: Authority, device: Device) -> str:
    """What somebody types in the device's folder."""
    lines = [
        f"cd {shlex.quote(str(device.folder))}",
        f"CHALLENGE={shlex.quote(device.challenge)}",
        *commands("The CA's certificate"),
        *commands(heading),
    ]
    ra_file = authority.endpoint().ra_file
    if ra_file is not None:
        (device.folder / "ra.pem").write_bytes(ra_file.read_bytes())
    text = "\n".join(lines).replace("router1", device.name)
    assert text.count(URL) > 1
    return text.replace(URL, authority.server.url)


def newcomer(authority: Authority) -> Device:
    """A device that makes its key itself."""
    foreign.program("curl", "curl")
    device = authority.device(authority.challenge())
    device.key_file.unlink()
    return device


def test_scepclient_enrols_and_renews(authorities: Mapping[Mode, Authority]) -> None:
    ScepClient().version()
    authority = authorities["ca"]
    device = newcomer(authority)
    foreign.run(["bash", "-euc", script("scepclient", authority, device)])
    assert authority.certificates_of(device) == 2
    authority.verify(device)


@pytest.mark.parametrize("mode", ["ra", "ec"])
def test_scepclient_enrols_behind_an_ra(authorities: Mapping[Mode, Authority], mode: Mode) -> None:
    ScepClient().version()
    authority = authorities[mode]
    device = newcomer(authority)
    foreign.run(["bash", "-euc", script("scepclient behind an RA", authority, device)])
    authority.verify(device)


def strongswan(heading: str, authority: Authority, device: Device) -> None:
    """Type what is below a heading, where `pki` has its fetcher."""
    settings = " ".join(f"{name}={value}" for name, value in StrongSwan().environment().items())
    function = f'pki() {{ env {settings} pki "$@"; }}\n'
    foreign.run(["bash", "-euc", function + script(heading, authority, device)])


def test_strongswan_enrols_and_renews(authorities: Mapping[Mode, Authority]) -> None:
    authority = authorities["ca"]
    device = newcomer(authority)
    strongswan("strongSwan", authority, device)
    authority.verify(device)
    assert authority.certificates_of(device) == 2


@pytest.mark.parametrize("mode", ["ra", "ec"])
def test_strongswan_enrols_behind_an_ra(authorities: Mapping[Mode, Authority], mode: Mode) -> None:
    authority = authorities[mode]
    device = newcomer(authority)
    (device.folder / "ra.pem").touch()
    strongswan("strongSwan behind an RA", authority, device)
    authority.verify(device)


def certmonger(heading: str, authority: Authority, device: Device) -> str:
    """Type what is below a heading, while the daemon runs; what `getcert` says."""
    getcert = foreign.program("getcert", "certmonger")
    helper = foreign.file(HELPER, "certmonger")
    # add-scep-ca is add-ca with the helper in the place where it is installed.
    function = f"""
        getcert() {{
            case $1 in
            add-scep-ca) shift; add "$@" ;;
            *) {getcert} "$@" ;;
            esac
        }}
        add() {{
            name=$2; shift 2
            {getcert} add-ca -c "$name" -e "{helper} $*"
        }}
    """
    return Certmonger().converse(device, function + script(heading, authority, device))


def test_certmonger_enrols_and_renews(authorities: Mapping[Mode, Authority]) -> None:
    authority = authorities["ca"]
    device = newcomer(authority)
    said = certmonger("certmonger", authority, device)
    assert authority.certificates_of(device) == 2, said
    authority.verify(device)


@pytest.mark.parametrize("mode", ["ra", "ec"])
def test_certmonger_enrols_behind_an_ra(authorities: Mapping[Mode, Authority], mode: Mode) -> None:
    authority = authorities[mode]
    device = newcomer(authority)
    said = certmonger("certmonger behind an RA", authority, device)
    assert device.certificate_file.exists(), said
    authority.verify(device)
