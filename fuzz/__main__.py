"""The command behind `scripts/fuzz`."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from fuzz import report
from fuzz.harnesses import NAMES, harness
from fuzz.report import WORK, Outcome

_LONGEST_INPUT = 16 * 1024
#: An input that never ends; what is too slow is found by the harness's bounds before.
_HANGS = 60
# A database in memory: a write to a disk takes longer than all else.
_MEMORY = Path("/dev/shm")
_TOTALS = WORK / "totals.json"


def main() -> int:
    """Fuzz each harness for some time, and print what came of it; 1 when something was found."""
    parser = argparse.ArgumentParser(prog="scripts/fuzz", description=main.__doc__)
    parser.add_argument("harness", nargs="*", metavar="HARNESS", help=f"of: {', '.join(NAMES)}")
    parser.add_argument(
        "--seconds", type=int, default=60, help="for each harness (default 60; 0: do not fuzz)"
    )
    parser.add_argument("--rounds", type=int, default=1, help="so often over all of them")
    parser.add_argument("--keep", action="store_true", help="keep a small corpus in fuzz/corpus")
    parser.add_argument("--run", metavar="FILE", help="one input through one harness, and stop")
    parser.add_argument("--lines", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--choose", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for name in options.harness:
        if name not in NAMES:
            parser.error(f"there is no harness {name!r}; there are: {', '.join(NAMES)}")
    names = options.harness or NAMES
    if options.lines:
        met, total = report.lines_met(names[0], _corpus(names[0]))
        print(f"{met} {total}")
        return 0
    if options.choose:
        print(report.keep(names[0], _corpus(names[0])))
        return 0
    if options.run:
        harness(names[0]).run(Path(options.run).read_bytes())
        return 0
    found = False
    if options.seconds:
        for name in list(names) * options.rounds:
            outcome = _fuzz(name, options.seconds)
            _add(outcome)
            found |= bool(outcome.findings)
    if options.keep:
        for name in names:
            print(f"{name}: {_minimise(name)} bytes are kept")
    print(_table(names))
    return 1 if found else 0


def _corpus(name: str) -> Path:
    return WORK / "corpus" / name


def _fuzz(name: str, seconds: int) -> Outcome:
    corpus, kept, findings = _corpus(name), report.CORPUS / name, WORK / "findings" / name
    for folder in (corpus, kept, findings):
        folder.mkdir(parents=True, exist_ok=True)
    if not any(corpus.iterdir()):
        for number, seed in enumerate(harness(name).seeds()):
            (corpus / f"seed-{number:02}").write_bytes(seed)
    before = set(findings.iterdir())
    command = [sys.executable, "-m", "fuzz.target", name, str(corpus), str(kept)]
    command += [f"-max_total_time={seconds}", f"-max_len={_LONGEST_INPUT}", f"-timeout={_HANGS}"]
    command += [f"-artifact_prefix={findings}/", "-print_final_stats=1", "-rss_limit_mb=2048"]
    began = time.monotonic()
    log_file = WORK / f"{name}.log"
    # libFuzzer ends a process without its good-byes, so what it leaves behind is removed here.
    place = _MEMORY if _MEMORY.is_dir() else None
    with log_file.open("wb") as log, tempfile.TemporaryDirectory(dir=place) as temporary:
        environment = {**os.environ, "TMPDIR": temporary}
        status = subprocess.run(
            command, stdout=log, stderr=subprocess.STDOUT, check=False, env=environment
        )
    taken = time.monotonic() - began
    text = log_file.read_text("utf-8", errors="replace")
    new = sorted(set(findings.iterdir()) - before)
    outcome = report.read_log(name, text, taken, new)
    print(f"{name}: {outcome.executions} executions, {outcome.edges} edges in {taken:.0f} s")
    for path in new:
        print(f"  FOUND {path}\n{_traceback(text)}")
    if status.returncode and not new:
        print(f"  ended with {status.returncode}; {log_file} tells why\n{text[-2000:]}")
    sys.stdout.flush()
    return outcome


def _traceback(log: str) -> str:
    return log[log.find("=== Uncaught") :][:3000]


def _minimise(name: str) -> int:
    # In a process of its own, as it traces every line.
    command = [sys.executable, "-m", "fuzz", name, "--choose"]
    ended = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return int(ended.stdout)


# ------------------------------------------------------------------ figures


def _add(one: Outcome) -> None:
    totals = _read_totals()
    row = totals.setdefault(one.name, {"executions": 0, "seconds": 0.0, "edges": 0})
    row["executions"] += one.executions
    row["seconds"] += one.seconds
    row["edges"] = max(row["edges"], one.edges)
    WORK.mkdir(exist_ok=True)
    _TOTALS.write_text(json.dumps(totals, indent=1), encoding="utf-8")


def _read_totals() -> dict[str, dict[str, float]]:
    if not _TOTALS.exists():
        return {}
    totals: dict[str, dict[str, float]] = json.loads(_TOTALS.read_text("utf-8"))
    return totals


def _table(names: list[str] | tuple[str, ...]) -> str:
    """All runs so far; lines are counted with the corpus as it is."""
    totals = _read_totals()
    rows: list[tuple[str, ...]] = [
        ("harness", "minutes", "executions", "edges", "lines", "corpus", "kept bytes", "findings")
    ]
    sums = [0.0, 0.0]
    for name in names:
        row = totals.get(name, {"executions": 0, "seconds": 0.0, "edges": 0})
        sums = [sums[0] + row["seconds"], sums[1] + row["executions"]]
        kept = sum(len(one) for one in report.inputs(name))
        findings = WORK / "findings" / name
        rows.append(
            (
                name,
                f"{row['seconds'] / 60:.1f}",
                f"{row['executions']:,.0f}",
                f"{row['edges']:.0f}",
                _lines(name),
                str(len(report.inputs(name, _corpus(name)))),
                str(kept),
                str(len(list(findings.iterdir())) if findings.is_dir() else 0),
            )
        )
    rows.append(("all", f"{sums[0] / 60:.1f}", f"{sums[1]:,.0f}", "", "", "", "", ""))
    return report.table(rows)


def _lines(name: str) -> str:
    # In a process of its own: lines that run while a module is imported count, too.
    command = [sys.executable, "-m", "fuzz", name, "--lines"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        return "?"
    met, total = ended.stdout.split()
    return f"{met}/{total} ({100 * int(met) / int(total):.0f} %)"


if __name__ == "__main__":
    sys.exit(main())
