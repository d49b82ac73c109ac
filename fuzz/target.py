"""The process that fuzzes one harness: `python -m fuzz.target NAME FOLDER... [-option=value...]`.

Needs atheris.  Most changes are the harness's own, the others libFuzzer's, whose options these are.
An input that
breaks the invariant ends the process and is written to where ``-artifact_prefix`` says.
"""

from __future__ import annotations

import random
import sys

import atheris

with atheris.instrument_imports(include=["scepkit"]):
    from fuzz.bounds import Bounds, run_within
    from fuzz.harnesses import Harness, harness

_OWN_CHANGES = 0.6
_GENEROUS = Bounds(milliseconds=60_000, megabytes=4096)


def main() -> None:
    """Fuzz until an option of libFuzzer's says stop, or something breaks."""
    name = sys.argv.pop(1)
    with atheris.instrument_imports(include=["scepkit"]):
        found = harness(name)

    def one_input(data: bytes) -> None:
        run_within(found.run, data, found.bounds)

    def change(data: bytes, most: int, seed: int) -> bytes:
        return _changed(found, data, most, seed)

    # The first call pays for what is loaded on demand.
    for seed in found.seeds():
        run_within(found.run, seed, _GENEROUS)
    atheris.Setup(sys.argv, one_input, custom_mutator=change)
    atheris.Fuzz()


def _changed(found: Harness, data: bytes, most: int, seed: int) -> bytes:
    chance = random.Random(seed)
    if chance.random() < _OWN_CHANGES:
        changed = found.mutate(data, chance)
        if len(changed) <= most:
            return changed
    changed = atheris.Mutate(data, most)
    return bytes(changed)


if __name__ == "__main__":
    main()
