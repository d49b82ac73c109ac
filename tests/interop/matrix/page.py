"""docs/interop.md: each pair owns a section and a line of the overview, made of what was found.

The rule of this file: what it makes depends on the verdicts alone, so a run that finds the same
makes the same text.  The rest of the page is written by hand.
"""

from __future__ import annotations

import os
from pathlib import Path

from tests.interop.matrix.cells import (
    ALIASES,
    KEYS,
    USUAL_OPERATIONS,
    Found,
    Operation,
    summed,
    told,
)

PAGE = Path(__file__).parents[3] / "docs" / "interop.md"
#: Set in the environment, it makes a run write the page instead of comparing with it.
REWRITE = "SCEPKIT_WRITE_INTEROP"


def section(name: str, found: Found) -> str:
    """The section of a pair, from its heading to the last note."""
    notes: list[str] = []
    lines = [
        f"### {name}\n",
        "| | " + " | ".join(key.title for key in KEYS) + " |",
        "|---" * (len(KEYS) + 1) + "|",
    ]
    operations = dict.fromkeys(trial.operation for trial in found)
    for operation in operations:
        cells = [
            {
                trial: verdict
                for trial, verdict in found.items()
                if trial.operation is operation and trial.key == key
            }
            for key in KEYS
        ]
        # Where the key plays no part it was tried once, and stands for all.
        words = [told(cell or cells[0], notes) for cell in cells]
        lines.append(f"| {operation.value} | " + " | ".join(words) + " |")
    if notes:
        lines.append("")
        lines += [f"{number}. {note}" for number, note in enumerate(notes, 1)]
    return "\n".join(lines) + "\n"


def overview(name: str, found: Found) -> str:
    """The line of a pair in the overview."""
    words = []
    for operation in USUAL_OPERATIONS:
        if operation is not Operation.WRONG_CHALLENGE:
            kinds = [
                verdict.kind
                for trial, verdict in found.items()
                if ALIASES.get(trial.operation, trial.operation) is operation
            ]
            words.append(summed(kinds))
    return f"| {name} | " + " | ".join(words) + " |"


def settled(name: str, found: Found) -> None:
    """Compare the page with what was found, or write it where REWRITE is set.

    :raises AssertionError: the page says something else.
    """
    text = PAGE.read_text()
    made = _with(text, name, found)
    if os.environ.get(REWRITE):
        PAGE.write_text(made)
    else:
        assert text == made, f"docs/interop.md is stale: run these tests with {REWRITE}=1"


def sections(text: str) -> list[str]:
    """The pairs that a page has sections of."""
    return [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]


def _with(text: str, name: str, found: Found) -> str:
    """The page with a pair's section and line as they should be."""
    mine = section(name, found)
    start = text.find(f"### {name}\n")
    if start < 0:
        text = text.rstrip() + "\n\n" + mine
    else:
        end = text.find("\n### ", start)
        text = text[:start] + mine + (text[end:] if end >= 0 else "")
    line = overview(name, found)
    return "\n".join(line if one.startswith(f"| {name} |") else one for one in text.split("\n"))
