"""The fuzzing harnesses, a little and without atheris; `scripts/fuzz` runs them for long."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz import bounds, grammar, report
from fuzz.bounds import Bounds, TooExpensiveError, run_within
from fuzz.harnesses import NAMES, Harness, harness
from scepkit.core import cms
from scepkit.errors import DecodeError
from tests import mutations
from tests.core import exchange

FOLDER = Path(bounds.__file__).parent
#: What only the first input of a process pays for: imports, keys that are made.
WARM = Bounds(milliseconds=60_000, megabytes=1024)
#: Of inputs in the repository, all harnesses together.
MOST_BYTES = 200 * 1024

each_harness = pytest.mark.parametrize("name", NAMES)


def test_every_module_is_a_named_harness_with_its_invariant_in_the_first_line() -> None:
    modules = {path.stem for path in (FOLDER / "harnesses").glob("*.py")} - {"__init__"}
    assert modules == set(NAMES)
    for name in NAMES:
        first = (FOLDER / "harnesses" / f"{name}.py").read_text("utf-8").partition("\n")[0]
        assert first.startswith('"""Invariant: '), name


def test_the_inputs_in_the_repository_are_few() -> None:
    files = [path for path in report.CORPUS.rglob("*") if path.is_file()]
    assert {path.parent.name for path in files} <= set(NAMES)
    assert sum(path.stat().st_size for path in files) <= MOST_BYTES


@each_harness
def test_invariant_holds_for_the_kept_inputs(name: str) -> None:
    found = harness(name)
    seeds = list(found.seeds())
    for data in seeds:
        run_within(found.run, data, WARM)
    for data in report.inputs(name):
        run_within(found.run, data, found.bounds)


@each_harness
def test_invariant_holds_for_changed_inputs(name: str) -> None:
    found = harness(name)
    inputs = [*found.seeds(), *report.inputs(name)]
    run_within(found.run, inputs[0], WARM)

    @mutations.examples(60)
    @given(data=st.sampled_from(inputs), chance=st.randoms(use_true_random=False))
    def holds(data: bytes, chance: random.Random) -> None:
        run_within(found.run, found.mutate(data, chance), found.bounds)

    holds()


def test_changes_behind_a_signature_leave_it_good() -> None:
    """Otherwise nothing behind the signature is ever met."""
    found = harness("reply")
    (data, *_) = found.seeds()
    chance = random.Random(1)
    good = 0
    for _ in range(60):
        try:
            message = cms.read_signed(found.mutate(data, chance))
            cms.verify(message, [exchange.seen(exchange.CA)])
        except Exception:  # noqa: S112 - whatever is wrong, it is not good
            continue
        good += 1
    assert good >= 20


def test_grammar_keeps_the_lengths_right() -> None:
    data = exchange.ISSUED.der
    chance = random.Random(2)
    whole = sum(
        sum(one.end - one.start for one in mutations.elements(changed) if not one.around)
        == len(changed)
        for changed in (grammar.mutate(data, chance) for _ in range(100))
    )
    assert whole >= 50


# ------------------------------------------------------------------ the bounds


def _holding(size: int) -> Harness:
    def run(data: bytes) -> None:
        assert b"x" * size

    return Harness("test", "", run, list, grammar.mutate, (), Bounds(60_000, 32))


def test_input_that_takes_too_long_is_a_finding() -> None:
    def run(data: bytes) -> None:
        sum(range(400_000))

    with pytest.raises(TooExpensiveError, match=r"5 bytes cost \d+ ms .* at most 1 ms"):
        run_within(run, b"12345", Bounds(milliseconds=1))


@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="the peak of memory is only told by Linux"
)
def test_input_that_needs_too_much_memory_is_a_finding() -> None:
    small, large = _holding(1024 * 1024), _holding(80 * 1024 * 1024)
    run_within(small.run, b"", small.bounds)
    with pytest.raises(TooExpensiveError, match="at most 60000 ms and 32 MB"):
        run_within(large.run, b"", large.bounds)


def test_only_an_error_of_scepkit_is_a_refusal() -> None:
    def refuse(data: bytes) -> None:
        raise DecodeError("no")

    def fail(data: bytes) -> None:
        raise IndexError("no")

    assert not run_within(refuse, b"", WARM).accepted
    with pytest.raises(IndexError):
        run_within(fail, b"", WARM)
