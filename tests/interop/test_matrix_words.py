"""The words of the page."""

from __future__ import annotations

from tests.interop.matrix.cells import (
    KEYS,
    OK,
    REFUSED,
    SUITES,
    USUAL,
    Found,
    Kind,
    Operation,
    Suite,
    Trial,
    Verdict,
    fails,
    judged,
    not_offered,
    rounds,
    summed,
    told,
)
from tests.interop.matrix.page import overview, section

RSA = KEYS[0]


def trial(suite: Suite = USUAL) -> Trial:
    return Trial(Operation.ENROL, RSA, suite)


def found(verdict: Verdict, *, else_: Verdict | None = None, method: str = "") -> Found:
    """A verdict for every suite, or for those with a method, and another one for the rest."""
    return {
        trial(suite): verdict if else_ is None or suite.method == method else else_
        for suite in SUITES
    }


def test_a_cell_that_is_the_same_everywhere_is_a_word() -> None:
    assert told(found(OK), []) == "ok"
    assert told(found(REFUSED), []) == "refused"


def test_a_reason_is_a_note_with_a_number() -> None:
    notes = ["another one"]
    assert told(found(not_offered("it cannot")), notes) == "not offered [2]"
    assert notes == ["another one", "it cannot"]
    assert told(found(not_offered("it cannot")), notes) == "not offered [2]"


def test_what_differs_says_by_what() -> None:
    notes: list[str] = []
    mixed = found(OK, else_=not_offered("POST only"), method="POST")
    assert told(mixed, notes) == "ok with POST; otherwise not offered [1]"


def test_suites_that_no_choice_tells_apart_are_counted() -> None:
    mixed = {trial(suite): OK if number in {0, 3} else REFUSED for number, suite in
             enumerate(SUITES)}  # fmt: skip
    assert told(mixed, []) == "ok with 2 of 12 suites; otherwise refused"


def test_a_failure_stands_out_in_the_overview() -> None:
    assert summed([Kind.OK, Kind.FAILS]) == "**fails**"
    assert summed([Kind.OK, Kind.OK]) == "ok"
    assert summed([Kind.OK, Kind.NOT_OFFERED]) == "ok where offered"
    assert summed([Kind.NOT_OFFERED]) == "not offered"


def test_a_failure_that_nobody_explained_keeps_its_text() -> None:
    assert judged("it said no", {"said no": REFUSED}) is REFUSED
    assert judged("boom", {"said no": REFUSED}) == fails("nobody has explained this yet: boom")


def test_a_round_has_no_key_twice() -> None:
    trials = [Trial(Operation.POLL, key, suite) for suite in SUITES[:2] for key in KEYS[:3]]
    grouped = rounds([*trials, Trial(Operation.POLL, KEYS[0], SUITES[2])])
    assert [len(one) for one in grouped] == [3, 3, 1]
    assert all(len({each.key for each in one}) == len(one) for one in grouped)


def test_a_row_that_was_tried_once_stands_for_every_key() -> None:
    made = section("a and b", {Trial(Operation.ROLLOVER, RSA, USUAL): OK})
    assert "| rollover | ok | ok | ok | ok |" in made


def test_the_overview_has_a_word_for_each_operation() -> None:
    everything = {
        Trial(operation, RSA, USUAL): OK
        for operation in Operation
        if operation is not Operation.POLL
    }
    everything[Trial(Operation.POLL, RSA, USUAL)] = not_offered("no")
    assert overview("a and b", everything) == (
        "| a and b | ok | ok | ok where offered | ok | ok | ok |"
    )
