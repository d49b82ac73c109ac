"""Every page of the documentation goes as it is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.docs_runner.pages import ROOT, read_page
from tests.docs_runner.running import run_page

PAGES = sorted([*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")])


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_a_page_goes_as_written(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_page(read_page(path), tmp_path, monkeypatch)
