"""The command line, `scepkit`.

Here is only the door.  The rules of this package:

- stdout carries the result and nothing else (`output`).
- Everything else goes to stderr with the prefix ``scepkit: ``, no capital, no full stop.
- A question goes to the terminal itself, never to a pipe (`terminal`).
- An error may be followed by one ``scepkit: hint: ...`` that says what to type next (`failures`).
- A command imports what it needs when it runs: `scepkit --help` loads neither cryptography nor the
  client, and `scepkit enrol` is to cost no more than twice the import of ``cryptography.x509``.
"""

from __future__ import annotations

import gc
import sys
import warnings
from collections.abc import Sequence


def main(args: Sequence[str] | None = None) -> int:
    """Run `scepkit` and return its exit code.

    Args:
        args: the words after the program's name; those of the process when None.
    """
    if args is None and not sys.warnoptions:
        # Those of Python are for programmers, who ask for them (-W, PYTHONWARNINGS).
        warnings.simplefilter("ignore")
    # Most of a command is imports, which leave little garbage: looking for it takes 6 of 120 ms.
    before = gc.get_threshold()
    gc.set_threshold(100_000)
    try:
        from scepkit.cli.program import run

        return run(args)
    finally:
        if args is None:
            # The process ends: to look through everything a last time takes as long again.
            gc.freeze()
        else:
            gc.set_threshold(*before)
