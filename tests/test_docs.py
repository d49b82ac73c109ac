"""The documentation is true: its code runs, its links lead somewhere, and nothing is left out."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import scepkit
from scepkit import errors
from scepkit.cli.failures import describe
from tests.docs_runner.pages import ROOT, Note, read_page
from tests.docs_runner.running import run_page
from tests.docs_runner.world import EVENTS

PAGES = sorted([*(ROOT / "docs").glob("**/*.md"), *ROOT.glob("*.md")])
ERRORS = [
    kind
    for kind in vars(errors).values()
    if inspect.isclass(kind) and issubclass(kind, errors.ScepError)
]

by_page = pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
by_error = pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)


# ------------------------------------------------------------------ code


@by_page
def test_a_page_goes_as_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(read_page(path), tmp_path, monkeypatch)


def test_only_the_installation_is_not_run() -> None:
    notes = [item for path in PAGES for item in read_page(path).items if isinstance(item, Note)]
    assert [note.words for note in notes if note.kind == "not run"] == [
        "it needs a package index; CI installs the wheel alone on each Python"
    ]


def test_what_can_happen_happens_on_some_page() -> None:
    notes = [item for path in PAGES for item in read_page(path).items if isinstance(item, Note)]
    assert {note.words for note in notes if note.kind == "meanwhile"} == set(EVENTS)


def test_the_demo_plays_the_life_of_a_ca() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    for name in ("scripts/demo", "scripts/test"):
        assert f"    {name} " in readme
        assert os.access(ROOT / name, os.X_OK)
    assert "examples/demo.py" in (ROOT / "scripts" / "demo").read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "examples/demo.py"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert "http://127.0.0.1:" in done.stdout
    for command in ("init", "serve", "challenge new", "requests approve", "certs revoke"):
        assert f"\n$ scepkit {command} " in done.stdout
    assert done.stdout.count("  rejected: ") == 2
    assert "  pending, transactionID" in done.stdout
    assert "  poll 1 in" in done.stdout
    assert done.stdout.count("  issued: CN=router1,O=Acme\n") == 2
    assert done.stdout.count("  issued: CN=router2,O=Acme\n") == 1
    assert "  it is the one it has: True\n" in done.stdout
    assert re.search(r"^  number \d+ has [0-9a-f]+$", done.stdout, re.MULTILINE)
    assert re.search(r"^  chain +intact$", done.stdout, re.MULTILINE)
    assert done.stderr == ""


def test_the_client_example_needs_no_extra() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "examples/client.py"],
        cwd=ROOT,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("  issued: CN=router1,O=Acme\n") == 2
    assert done.stderr == ""


# ------------------------------------------------------------------ links


@by_page
def test_links_lead_somewhere(path: Path) -> None:
    for line, target in read_page(path).links:
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        there = (path.parent / name).resolve() if name else path
        assert there.is_relative_to(ROOT), f"{path.name}:{line}: {target} is elsewhere"
        assert there.exists(), f"{path.name}:{line}: there is no {target}"
        if anchor:
            assert anchor in read_page(there).anchors, f"{path.name}:{line}: there is no {target}"


@by_page
def test_a_challenge_is_written_into_a_file_that_its_owner_alone_can_read(path: Path) -> None:
    text = path.read_text("utf-8")
    written, _, _ = text.partition("> challenge.txt")
    assert written == text or "install -m 600 /dev/null challenge.txt" in written


def test_the_index_names_every_page_of_the_manual() -> None:
    docs = ROOT / "docs"
    pages = {str(path.relative_to(docs)) for path in docs.glob("**/*.md")} - {"index.md"}
    assert pages - {target for _, target in read_page(ROOT / "docs" / "index.md").links} == set()


def test_the_readme_names_the_index_and_every_page_beside_it() -> None:
    pages = {path.name for path in ROOT.glob("*.md")} - {"README.md"} | {"docs/index.md"}
    assert pages - {target for _, target in read_page(ROOT / "README.md").links} == set()


# ------------------------------------------------------------------ completeness


@pytest.mark.parametrize("name", scepkit.__all__)
def test_a_public_name_is_explained(name: str) -> None:
    texts = [path.read_text("utf-8") for path in (ROOT / "docs").glob("*.md")]
    assert any(re.search(rf"(?<!\w){name}(?!\w)", text) for text in texts)


@by_error
def test_an_error_has_its_section(kind: type[errors.ScepError]) -> None:
    section = errors_page().section(f"`{kind.__name__}`")
    code, description = describe(example(kind))
    assert f"*Exit code {code.value}, kind `{description['kind']}`.*" in section
    for attribute in documented_attributes(kind):
        assert f"`{attribute}`: " in section


@by_error
def test_a_section_has_no_attribute_that_the_error_has_not(kind: type[errors.ScepError]) -> None:
    section = errors_page().section(f"`{kind.__name__}`")
    listed = re.findall(r"^\* `(\w+)`: ", section, re.MULTILINE)
    assert listed == documented_attributes(kind)
    for attribute in listed:
        assert hasattr(example(kind), attribute)


def test_every_kind_of_transport_error_is_listed() -> None:
    docstring = inspect.getdoc(errors.TransportError) or ""
    kinds = set(re.findall(r'"([a-z-]+)"', docstring))
    section = errors_page().section("`TransportError`")
    assert kinds == set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))


def test_every_reason_of_a_key_load_error_is_listed() -> None:
    docstring = inspect.getdoc(errors.KeyLoadError) or ""
    reasons = set(re.findall(r'"([a-z-]+)"', docstring))
    section = errors_page().section("`KeyLoadError`")
    assert reasons == set(re.findall(r"^\| `([a-z-]+)` \|", section, re.MULTILINE))


def test_every_fail_info_is_listed() -> None:
    section = errors_page().section("Not errors: Rejected and Pending")
    for one in errors.FailInfo:
        assert f"| `{one.name}` | {one.rfc_name} ({one.value}) |" in section


def test_the_changelog_has_a_place_for_the_next_change() -> None:
    assert read_page(ROOT / "CHANGELOG.md").headings[:3] == ["Changelog", "[Unreleased]", "Added"]


def errors_page() -> Any:
    return read_page(ROOT / "docs" / "errors.md")


def documented_attributes(kind: type[errors.ScepError]) -> list[str]:
    """The attributes that the class's docstring lists, in its order."""
    docstring = inspect.getdoc(kind) or ""
    return re.findall(r"^    (\w+): ", docstring.partition("Attributes:")[2], re.MULTILINE)


def example(kind: type[errors.ScepError]) -> errors.ScepError:
    """An error of this class."""
    if kind is errors.ConfigErrors:
        return errors.ConfigErrors((errors.ConfigError("x"),))
    known: dict[str, Any] = {"status": 503, "fail_info": None}
    arguments = {
        name: known.get(name, "x")
        for name, parameter in inspect.signature(kind).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is parameter.empty
    }
    return kind("x", **arguments)
