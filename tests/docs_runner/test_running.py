"""A page that says something wrong fails."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs_runner.pages import parse_page
from tests.docs_runner.running import PageError, Runner, matches, run_page

Run = Callable[[str], Runner]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Run:
    def run_text(text: str) -> Runner:
        return run_page(parse_page(Path("page.md"), text), tmp_path, monkeypatch)

    return run_text


def python(*lines: str) -> str:
    return "\n".join(["```python", *lines, "```", ""])


def shows(*lines: str) -> str:
    return "\n".join(["", "```text", *lines, "```", ""])


def console(*lines: str) -> str:
    return "\n".join(["```console", *lines, "```", ""])


def test_blocks_share_a_namespace(run: Run) -> None:
    run(python("a = 1") + "prose\n" + python("print(a + 1)") + shows("2"))


def test_an_error_is_told_with_the_line_of_the_page(run: Run) -> None:
    with pytest.raises(PageError, match=r"page\.md:4: ZeroDivisionError"):
        run("prose\n" + python("a = 0", "1 / a"))


def test_a_syntax_error_is_told_with_the_line_of_the_page(run: Run) -> None:
    with pytest.raises(PageError, match=r"page\.md:3: SyntaxError"):
        run("prose\n" + python("a ="))


def test_other_output_than_shown_is_told(run: Run) -> None:
    with pytest.raises(PageError, match=r"page\.md:6: expected:\nnine\n"):
        run(python("print('ten')") + shows("nine"))


def test_output_that_is_not_shown_is_told(run: Run) -> None:
    with pytest.raises(PageError, match="does not show what was printed"):
        run(python("print('ten')") + "prose\n" + shows("ten"))


def test_output_that_is_shown_and_does_not_come_is_told(run: Run) -> None:
    with pytest.raises(PageError, match="expected"):
        run(python("pass") + shows("ten"))


def test_output_at_the_end_must_be_shown_too(run: Run) -> None:
    with pytest.raises(PageError, match="does not show"):
        run(python("print('ten')"))


def test_a_block_that_is_a_file_becomes_one(run: Run) -> None:
    run(python("# test_it.py", "def test_it(): assert True") + console("$ pytest -q test_it.py"))


def test_what_such_a_file_does_wrong_is_told(run: Run) -> None:
    with pytest.raises(PageError, match="exit code 1"):
        run(python("# test_it.py", "def test_it(): assert 0") + console("$ pytest -q test_it.py"))


def test_an_option_that_does_not_exist_is_told(run: Run) -> None:
    with pytest.raises(PageError, match=r"page\.md:2: exit code 2:\n.*--frobnicate"):
        run(console("$ scepkit caps http://ca.example.test/scep --frobnicate"))


def test_a_command_may_fail_where_the_page_looks_at_its_exit_code(run: Run) -> None:
    run(console("$ scepkit frobnicate", "...", "$ echo $?", "2"))


def test_another_exit_code_than_shown_is_told(run: Run) -> None:
    with pytest.raises(PageError, match="expected"):
        run(console("$ scepkit frobnicate", "...", "$ echo $?", "3"))


def test_other_output_of_a_command_is_told(run: Run) -> None:
    with pytest.raises(PageError, match=r"page\.md:3: expected:\ncipher  des-cbc\n"):
        run(console("$ scepkit caps http://ca.example.test/scep", "cipher  des-cbc"))


def test_a_command_goes_over_several_lines(run: Run) -> None:
    run(console("$ echo one \\", "    two", "one two"))


def test_commands_and_code_share_a_directory(run: Run) -> None:
    run(
        console("$ printf ten > file")
        + python("from pathlib import Path", "print(Path('file').read_text())")
        + shows("ten")
    )


def test_other_programs_are_not_run(run: Run) -> None:
    with pytest.raises(PageError, match="rm is not one of the commands"):
        run(console("$ echo x | rm file"))


def test_a_fingerprint_that_is_not_the_cas_is_refused(run: Run) -> None:
    wrong = "00" * 32
    with pytest.raises(PageError, match="exit code 6"):
        run(console(f"$ scepkit ca http://ca.example.test/scep --ca-fingerprint {wrong}"))


def test_a_host_outside_the_example_does_not_exist(run: Run) -> None:
    with pytest.raises(PageError, match="502"):
        run(console("$ scepkit ca http://ca.example.com/scep"))


def test_an_event_that_does_not_exist_is_told(run: Run) -> None:
    with pytest.raises(PageError, match=r"page\.md:1: no such event"):
        run("<!-- meanwhile: pigs fly -->\n" + python("pass"))


def test_a_comment_that_is_nearly_a_note_is_told() -> None:
    with pytest.raises(ValueError, match=r"page\.md:1"):
        parse_page(Path("page.md"), "<!-- meanwile: the operator approves -->")


def test_a_language_that_is_not_run_is_told(run: Run) -> None:
    with pytest.raises(PageError, match="a block of java is not run"):
        run("```java\n```\n")


@pytest.mark.parametrize(
    ("language", "good", "bad"), [("toml", "a = 1", "a ="), ("json", "1", "{")]
)
def test_a_block_of_data_must_be_well_formed(run: Run, language: str, good: str, bad: str) -> None:
    with pytest.raises(PageError, match=rf"page\.md:5: this is no {language}"):
        run(f"```{language}\n{good}\n```\n```{language}\n{bad}\n```\n")


def test_a_block_is_left_out_with_a_reason(run: Run) -> None:
    done = run("<!-- not run: because -->\n" + python("1 / 0") + python("pass"))
    assert done.not_run == ["because"]


def test_a_block_that_is_never_closed_is_told() -> None:
    with pytest.raises(ValueError, match=r"page\.md:1: this block is never closed"):
        parse_page(Path("page.md"), "```python\npass\n")


def test_requests_go_through_the_network_of_the_page(run: Run) -> None:
    source = """
import scepkit
client = scepkit.Client("http://ca.example.test/scep", trust=scepkit.InsecureTrustOnFirstUse())
client.get_capabilities()
client.close()
"""
    world = run(python(source)).world
    assert world.network is not None
    assert world.network.hosts == ["ca.example.test"]


@pytest.mark.parametrize(
    ("expected", "found"),
    [
        ("a ... c\n", "a b b c\n"),
        ("a\n...\nc\n", "a\nc\n"),
        ("a\n...\nc\n", "a\nb\nb\nc\n"),
        ("a\n", "a  \n\n"),
        ("", ""),
    ],
)
def test_dots_stand_for_anything(expected: str, found: str) -> None:
    assert matches(expected, found)


@pytest.mark.parametrize(
    ("expected", "found"),
    [("a ... c\n", "a b\nc\n"), ("a\n", "a\nb\n"), ("a.c\n", "abc\n"), ("a\n...\n", "b\na\n")],
)
def test_dots_stand_for_nothing_else(expected: str, found: str) -> None:
    assert not matches(expected, found)


def test_headings_have_the_anchors_that_links_use() -> None:
    text = "# What `inspect` calls odd\n\n## A.B, C?\n\n## Again\n\n## Again\n"
    page = parse_page(Path("page.md"), text)
    assert page.anchors == {"what-inspect-calls-odd", "ab-c", "again", "again-1"}


def test_links_are_found_outside_of_code() -> None:
    page = parse_page(Path("page.md"), "[a](b.md#c) and `[d](e.md)`\n```text\n[f](g.md)\n```\n")
    assert page.links == [(1, "b.md#c")]
