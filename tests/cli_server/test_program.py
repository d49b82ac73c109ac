"""What the commands for who runs a CA have in common with all others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from scepkit.cli.command import SectionOption, environment_variable
from scepkit.cli.program import COMMANDS, SERVER_COMMANDS, SHARED, program
from tests.cli.test_startup import loaded_by
from tests.cli.transcript import run_scepkit

TRANSCRIPTS = Path(__file__).parent / "transcripts"
_CODE = re.compile(r"^exit (\d+)$")


def below(command: click.Command, words: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The words of all commands that do something."""
    if isinstance(command, click.Group):
        for name, one in command.commands.items():
            yield from below(one, (*words, name))
    else:
        yield words


def found(words: tuple[str, ...]) -> click.Command:
    context = click.Context(program)
    rest = list(words)
    command: click.Command = program
    while rest:
        assert isinstance(command, click.Group)
        _, one, rest = command.resolve_command(context, rest)
        assert one is not None
        command = one
    return command


def entry(name: str) -> click.Command:
    word = SHARED.get(name, ("",))[0]
    if not word:
        return found((name,))
    _, command, _ = program.resolve_command(click.Context(program), [name, word])
    assert command is not None
    return command


LEAVES = [words for name in SERVER_COMMANDS for words in below(entry(name), (name,))]
by_leaf = pytest.mark.parametrize("words", LEAVES, ids=" ".join)


def test_every_group_is_walked() -> None:
    assert ("challenge", "new") in LEAVES
    assert ("ca", "rollover", "activate") in LEAVES
    assert ("crl", "make") in LEAVES
    assert ("serve",) in LEAVES


@pytest.mark.parametrize("name", SERVER_COMMANDS)
def test_the_summary_is_the_first_line_of_the_help(name: str) -> None:
    command = entry(name)
    assert SERVER_COMMANDS[name][1] == (command.help or "").split("\n", 1)[0]
    assert command.name == name


@by_leaf
def test_the_help_ends_with_an_example(
    words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = run_scepkit([*words, "--help"], monkeypatch).stdout.decode()
    example = text[text.index("\nExample:\n") :]
    assert f"  scepkit {' '.join(words)}" in example
    assert all(len(line) <= 100 for line in text.splitlines())


@by_leaf
def test_every_option_has_a_section_a_help_and_its_variable(words: tuple[str, ...]) -> None:
    for option in found(words).params:
        if isinstance(option, click.Option):
            assert isinstance(option, SectionOption), option.name
            assert option.section
            assert option.help
            assert option.help.endswith(".")
            assert option.envvar == environment_variable(option.opts)


def test_a_variable_means_one_option_in_all_commands() -> None:
    meaning: dict[str, str] = {}
    for words in [*LEAVES, *((name,) for name in COMMANDS)]:
        for option in found(words).params:
            if isinstance(option, click.Option) and option.envvar is not None:
                long = next(name for name in option.opts if name.startswith("--"))
                assert meaning.setdefault(str(option.envvar), long) == long
                # Two underscores make a setting of the configuration.
                assert "__" not in str(option.envvar)


@by_leaf
def test_the_help_loads_no_server(words: tuple[str, ...]) -> None:
    modules = loaded_by(*words, "--help")
    assert not {name for name in modules if name.split(".")[0] in {"cryptography", "uvicorn"}}
    assert not {name for name in modules if name.startswith(("scepkit.server", "scepkit.store"))}


@pytest.mark.parametrize("name", COMMANDS)
def test_a_client_command_loads_nothing_of_the_server(name: str) -> None:
    modules = loaded_by(name, "--help")
    assert not {one for one in modules if one.startswith(("scepkit.cli.server", "scepkit.server"))}


def test_the_next_word_decides_whose_command_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, words in SHARED.items():
        client = run_scepkit([name, "--help"], monkeypatch).stdout.decode()
        assert f"Usage: scepkit {name} [OPTIONS] URL" in client
        # The client's help leads to the server's.
        assert f"`scepkit {name} {words[0]}" in client
        for word in words:
            server = run_scepkit([name, word, "--help"], monkeypatch).stdout.decode()
            assert f"Usage: scepkit {name} {word}" in server


@by_leaf
def test_every_command_is_shown_to_work_and_to_fail(words: tuple[str, ...]) -> None:
    kinds = {kind for path in TRANSCRIPTS.glob("*.txt") for kind in uses(path, words)}
    # `serve` ends when it is stopped: test_serving.py runs it.
    wanted = {"fails"} if words == ("serve",) else {"works", "works in JSON", "fails"}
    assert wanted <= kinds


def uses(path: Path, words: tuple[str, ...]) -> Iterator[str]:
    """How a transcript uses a command."""
    lines = path.read_text().splitlines()
    pattern = re.compile(rf"^\$ (?:[A-Z_]+=\S+ )*scepkit {' '.join(words)}( .*)?$")
    for line, following in zip(lines, [*lines[1:], ""], strict=True):
        if pattern.match(line):
            code = _CODE.match(following)
            if code is not None and code[1] != "0":
                yield "fails"
            else:
                yield "works in JSON" if " --json" in line else "works"


def test_no_module_is_too_long() -> None:
    from scepkit.cli import server

    for path in Path(next(iter(server.__path__))).glob("*.py"):
        assert len(path.read_text().splitlines()) <= 400
