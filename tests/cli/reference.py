"""Writes the option tables in docs/cli.md: ``python -m tests.cli.reference``."""

from __future__ import annotations

import re
from pathlib import Path

import click

from scepkit.cli.command import output_options
from scepkit.cli.program import COMMANDS, program

PAGE = Path(__file__).parent.parent.parent / "docs" / "cli.md"

_TABLE = re.compile(r"<!-- options of ([a-z -]+) -->\n.*?<!-- end -->", re.DOTALL)


@click.command("all")
@output_options
def _common() -> None:
    """Nothing but the options of all commands."""


def with_tables(page: str) -> str:
    """The page with every table as the commands have it now."""
    return _TABLE.sub(lambda match: _table(match[1]), page)


def _table(name: str) -> str:
    command = _common if name == "all" else named(name)
    common = {option.name for option in _common.params}
    rows = [
        _row(option)
        for option in command.params
        if isinstance(option, click.Option) and (name == "all" or option.name not in common)
    ]
    table = ["", "| option | |", "|---|---|", *rows, ""] if rows else []
    return "\n".join([f"<!-- options of {name} -->", *table, "<!-- end -->"])


def named(name: str) -> click.Command:
    """The command that these words call."""
    words = name.split()
    command: click.Command = program
    while words:
        assert isinstance(command, click.Group)
        _, found, words = command.resolve_command(click.Context(program), words)
        assert found is not None
        command = found
    return command


def _row(option: click.Option) -> str:
    names = ", ".join(f"`{name}`" for name in reversed(option.opts))
    if not option.is_flag and not option.count:
        metavar = option.make_metavar(click.Context(program))
        names += f" {metavar}".replace("|", "\\|")
    text = (option.help or "").replace("|", "\\|")
    if option.show_default and option.default is not None:
        text += f" Default: {option.default}."
    if option.required:
        text += " Required."
    return f"| {names} | {text} |"


if __name__ == "__main__":
    assert COMMANDS
    PAGE.write_text(with_tables(PAGE.read_text()))
