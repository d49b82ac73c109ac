"""What `scripts/fuzz` makes of libFuzzer's words, and which inputs it keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from fuzz import report
from fuzz.harnesses import harness

LOG = """\
#2\tINITED cov: 20 ft: 24 corp: 2/543b exec/s: 0 rss: 69Mb
#70\tNEW    cov: 28 ft: 35 corp: 4/1383b lim: 16384 exec/s: 0 rss: 69Mb L: 471/471 MS: 2 Custom-
"""


def test_figures_are_those_of_libfuzzer() -> None:
    found = report.read_log("crl", f"{LOG}stat::number_of_executed_units: 1234\n", 5.0, [])
    assert (found.executions, found.edges, found.findings) == (1234, 28, ())


def test_a_run_that_ended_early_has_the_figures_until_then() -> None:
    found = report.read_log("crl", LOG, 5.0, [Path("crash-1")])
    assert (found.executions, found.edges) == (70, 28)
    assert report.read_log("crl", "", 0.0, []).executions == 0


def test_an_input_is_kept_if_it_runs_what_no_smaller_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "CORPUS", tmp_path / "kept")
    found = tmp_path / "found"
    found.mkdir()
    (found / "new").write_bytes(b"AES\n" + b"x" * 5000)  # longer than any body that is read whole
    (found / "longer").write_bytes(b"AES\n" + b"x" * 5001)
    (found / "old").write_bytes(next(iter(harness("capabilities").seeds())))
    assert report.keep("capabilities", found) == 5004
    (path,) = (tmp_path / "kept" / "capabilities").iterdir()
    assert len(path.read_bytes()) == 5004


def test_lines_are_counted_for_the_modules_of_a_harness() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "fuzz", "capabilities", "--lines"],
        cwd=Path(report.__file__).parents[1],
        capture_output=True,
        text=True,
        check=True,
    )
    met, total = map(int, done.stdout.split())
    assert 0 < met <= total


def test_columns_stand_under_each_other() -> None:
    assert report.table([("a", "b"), ("cc", "100")]) == "a     b\ncc  100"
