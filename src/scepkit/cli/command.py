"""How a command of `scepkit` is declared: options in sections, an example at the end of its help.

The rule of this file: every option can also be set by an environment variable, SCEPKIT_ and the
name of the option, the same for all commands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import click

from scepkit.cli.loglines import LogLines
from scepkit.cli.output import Output

ENVIRONMENT = "SCEPKIT"

Decorator = Callable[[Callable[..., Any]], Callable[..., Any]]


class SectionOption(click.Option):
    """An option that says under which heading of the help it stands."""

    def __init__(self, *args: Any, section: str = "", **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.section = section


class AnyCase(click.Choice[str]):
    """One of some names, in upper or lower case; an error shows them as the standards do."""

    def __init__(self, names: Sequence[str]) -> None:
        super().__init__(names, case_sensitive=False)

    def get_invalid_choice_message(self, value: object, ctx: click.Context | None) -> str:
        """What is said of anything else."""
        return f"{value!r} is not one of {', '.join(self.choices)}"


class ScepCommand(click.Command):
    """A command whose help shows its options by section and ends with an example."""

    def __init__(self, *args: Any, example: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.example = example

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write one list of options for each section, in the order of their declaration."""
        sections: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx)
            # The arguments are in the text above; newer versions of click would list them too.
            if record is not None and isinstance(parameter, click.Option):
                heading = getattr(parameter, "section", "") or "Other options"
                sections.setdefault(heading, []).append(record)
        for heading, records in sections.items():
            with formatter.section(heading):
                formatter.write_dl(records, col_max=34)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example as it stands: its lines are to be copied."""
        write_example(formatter, self.example)


class ScepGroup(click.Group):
    """Commands under one name; its help ends with an example."""

    def __init__(self, *args: Any, example: str, **attributes: Any) -> None:
        super().__init__(*args, **attributes)
        self.example = example

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of their declaration."""
        return list(self.commands)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the example."""
        write_example(formatter, self.example)


def group(name: str, *, help: str, example: str) -> ScepGroup:
    """A name for several commands; they are added with its `add_command`."""
    return ScepGroup(
        name,
        help=help,
        example=example,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    )


def write_example(formatter: click.HelpFormatter, example: str) -> None:
    """Write the section that ends every help."""
    with formatter.section("Example"):
        for line in example.strip().splitlines():
            formatter.write(f"  {line}\n")


def option(*names: str, section: str, environment: bool = True, **attributes: Any) -> Decorator:
    """Declare an option under the heading `section`, and its environment variable."""
    if environment:
        attributes["envvar"] = environment_variable(names)
    return click.option(*names, cls=SectionOption, section=section, **attributes)


def environment_variable(names: Sequence[str]) -> str:
    """The variable for an option of these names: ``SCEPKIT_CA_CERT`` for ``--ca-cert``."""
    long = next(name for name in names if name.startswith("--"))
    return ENVIRONMENT + long.removeprefix("-").replace("-", "_").upper()


def together(*decorators: Decorator) -> Decorator:
    """Several option declarations as one, in reading order."""

    def apply(function: Callable[..., Any]) -> Callable[..., Any]:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return apply


def command(
    name: str, *, example: str, within: click.Group | None = None
) -> Callable[[Callable[..., Any]], click.Command]:
    """Declare a command, perhaps as one of a group.

    The function gets an `Output` as its first argument, then its arguments and options by name.
    What it returns is the exit code; None is 0.
    """

    def declare(function: Callable[..., Any]) -> click.Command:
        def start(
            *, as_json: bool, quiet: bool, verbose: int, no_input: bool, **values: Any
        ) -> Any:
            if quiet and verbose:
                raise click.UsageError("--quiet and --verbose contradict each other")
            out = Output(as_json=as_json, quiet=quiet, verbosity=verbose, no_input=no_input)
            with LogLines(out), _files_by_option():
                return function(out, **values)

        start.__doc__ = function.__doc__
        # Click reads this list from its end: what all commands have comes last in the help.
        decorated: Any = output_options(start)
        decorated.__click_params__ += getattr(function, "__click_params__", [])
        made = click.command(
            name,
            cls=ScepCommand,
            example=example,
            context_settings={
                "help_option_names": ["-h", "--help"],
                "max_content_width": 100,
            },
        )(decorated)
        if within is not None:
            within.add_command(made)
        return made

    return declare


@contextmanager
def _files_by_option() -> Iterator[None]:
    """Note at an error about a file which option names it."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            raise
        here = click.get_current_context()
        for parameter in here.command.params:
            value = here.params.get(parameter.name or "")
            given = value if isinstance(value, tuple) else (value,)
            if isinstance(parameter, click.Option) and error.filename in given:
                error.add_note(f"it is what {max(parameter.opts, key=len)} names")
        raise


_OUTPUT = "Output"

output_options = together(
    option("--json", "as_json", is_flag=True, section=_OUTPUT,
           help="Write one JSON object to stdout, also when the command fails."),
    option("-q", "--quiet", is_flag=True, section=_OUTPUT,
           help="Say nothing on stderr but errors."),
    option("--no-input", is_flag=True, section=_OUTPUT,
           help="Ask nothing, even if there is a terminal."),
    option("-v", "--verbose", count=True, section=_OUTPUT,
           help="Say each step on stderr; -vv adds HTTP headers and an outline of each message."),
)  # fmt: skip
