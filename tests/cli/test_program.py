"""The program as a whole: what all of its commands have in common."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from scepkit.cli import failures, options, output
from scepkit.cli.command import SectionOption, environment_variable
from scepkit.cli.program import COMMANDS, program
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.capabilities import Capability
from scepkit.errors import HttpStatusError
from tests.cli.transcript import run_scepkit

CONTEXT = click.Context(program)


def commands() -> dict[str, click.Command]:
    found = {}
    for name in COMMANDS:
        command = program.get_command(CONTEXT, name)
        assert command is not None
        found[name] = command
    return found


def options_of(command: click.Command) -> list[click.Option]:
    return [one for one in command.params if isinstance(one, click.Option)]


@pytest.mark.parametrize("name", COMMANDS)
def test_the_summary_is_the_first_line_of_the_help(name: str) -> None:
    command = commands()[name]
    assert COMMANDS[name][1] == (command.help or "").split("\n", 1)[0]
    assert command.name == name


@pytest.mark.parametrize("name", COMMANDS)
def test_the_help_ends_with_an_example(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = run_scepkit([name, "--help"], monkeypatch).stdout.decode()
    example = text[text.index("\nExample:\n") :]
    assert f"  scepkit {name} " in example or f"| scepkit {name} " in example
    assert all(len(line) <= 100 for line in text.splitlines())


def test_every_option_has_a_section_a_help_and_one_variable_of_its_own() -> None:
    meaning: dict[str, str] = {}
    for command in commands().values():
        for option in options_of(command):
            assert isinstance(option, SectionOption), option.name
            assert option.section
            assert option.help
            assert option.help.endswith(".")
            long = next(name for name in option.opts if name.startswith("--"))
            if option.envvar is not None:
                assert option.envvar == environment_variable(option.opts)
                assert meaning.setdefault(str(option.envvar), long) == long


def test_only_the_challenge_on_the_command_line_has_no_variable() -> None:
    without = {
        name
        for command in commands().values()
        for option in options_of(command)
        for name in option.opts
        if option.envvar is None
    }
    # SCEPKIT_CHALLENGE is read where a file and a question do not go before it.
    assert without == {"--challenge"}


def test_the_words_that_can_be_chosen_are_those_of_the_library() -> None:
    assert [one.value for one in Capability] == options.CAPABILITIES
    assert [one.value for one in Cipher if not one.legacy] == options.CIPHERS
    assert [one.value for one in Digest if not one.legacy] == options.DIGESTS


def test_an_unexpected_error_is_told_without_a_traceback(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("spilt milk")

    monkeypatch.setattr("scepkit.client.Client.get_capabilities", fail)
    ran = run_scepkit(["caps", "http://127.0.0.1:1/scep"], monkeypatch)
    assert ran.code == 1
    assert "unexpected error: RuntimeError: spilt milk" in ran.stderr
    assert "Traceback" not in ran.stderr
    ran = run_scepkit(["caps", "http://127.0.0.1:1/scep", "-vv"], monkeypatch)
    assert "Traceback" in ran.stderr


def test_control_characters_from_the_network_do_not_reach_the_terminal() -> None:
    assert output.printable("CN=\x1b[2Jx\u202e\x9b\n") == "CN=\\x1b[2Jx\\u202e\\x9b\\n"
    assert output.printable("CN=Zoë, 東京") == "CN=Zoë, 東京"
    assert output.fields([("a", "x\ny"), ("bcd", "")]) == "a    x\\ny\nbcd  \n"


def test_what_the_encoding_of_stdout_lacks_is_escaped(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Narrow:
        encoding = "ascii"
        written = ""

        def write(self, text: str) -> None:
            self.written += text.encode("ascii").decode()

        def flush(self) -> None: ...

    narrow = Narrow()
    monkeypatch.setattr("sys.stdout", narrow)
    output.write_text("CN=Zoë\n")
    assert narrow.written == "CN=Zo\\xeb\n"


def test_every_error_has_a_kind_and_a_code() -> None:
    from scepkit import errors

    known = tuple(row[0] for row in failures._SCEP_ERRORS if row[0] is not errors.ScepError)
    for value in vars(errors).values():
        if isinstance(value, type) and issubclass(value, errors.ScepError):
            assert value is errors.ScepError or issubclass(value, known), value


def test_a_base_class_stands_below_its_children() -> None:
    rows = [row[0] for row in failures._SCEP_ERRORS]
    for number, kind in enumerate(rows):
        assert not any(issubclass(later, kind) for later in rows[number + 1 :]), kind


@pytest.mark.parametrize(
    ("status", "code"), [(404, 2), (410, 2), (400, 5), (401, 5), (403, 5), (429, 5), (500, 5)]
)
def test_only_what_the_server_does_not_have_is_wrong_usage(status: int, code: int) -> None:
    assert failures.describe(HttpStatusError("no", status=status))[0] == code


def test_no_module_of_the_command_line_is_too_long() -> None:
    for path in Path(output.__file__).parent.glob("*.py"):
        assert len(path.read_text().splitlines()) <= 400


def test_texts_have_no_capital_and_no_full_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    for words in (["nonsense"], ["caps"], ["caps", "--no"], ["crl", "x", "--serial", "?"],
                  ["enrol", "x", "--timeout", "no"]):  # fmt: skip
        for line in run_scepkit(words, monkeypatch).stderr.splitlines():
            text = line.removeprefix("scepkit: ").removeprefix("hint: ")
            assert re.match(r"[^A-Z]", text), line
            assert not text.endswith("."), line
