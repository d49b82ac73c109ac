"""The program `scepkit`: its commands, and how it ends.

The rule of this file: no command is imported before it is called.  So their one-line summaries
stand here; a test compares them with the commands' own help.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import write_example
from scepkit.cli.output import ReaderGoneError

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

# name: (module and object, summary)
COMMANDS = {
    "caps": ("scepkit.cli.caps:caps", "Show what a CA says it can do."),
    "ca": ("scepkit.cli.ca:ca", "Show a CA's certificates and their fingerprints."),
    "enrol": ("scepkit.cli.enrol:enrol", "Obtain a certificate."),
    "enrol-many": (
        "scepkit.cli.enrol_many:enrol_many",
        "Obtain a certificate for each row of a file.",
    ),
    "poll": ("scepkit.cli.poll:poll", "Ask again for a certificate that was pending."),
    "renew": ("scepkit.cli.renew:renew", "Replace a certificate before it expires."),
    "cert": ("scepkit.cli.lookup:cert", "Fetch an issued certificate by its serial number."),
    "crl": ("scepkit.cli.lookup:crl", "Fetch the CRL that covers a certificate."),
    "next-ca": ("scepkit.cli.lookup:next_ca", "Fetch the CA's next certificate before a rollover."),
    "inspect": ("scepkit.cli.inspect:inspect", "Decode a SCEP message, and say why it is refused."),
    "check": ("scepkit.cli.check:check", "Test whether a SCEP server is right."),
    "mock": ("scepkit.cli.mock:mock", "Be a SCEP server that is wrong on purpose."),
    "completion": ("scepkit.cli.completion:completion", "Print a shell completion script."),
}
# The same for those who run a CA; the modules are loaded by no command above.
SERVER_COMMANDS = {
    "init": ("scepkit.cli.server.init:init", "Make a CA: keys, configuration and database."),
    "serve": ("scepkit.cli.server.serve:serve", "Run a CA's server."),
    "check-config": (
        "scepkit.cli.server.check:check_config",
        "Say what is wrong with a configuration, and what it does.",
    ),
    "challenge": ("scepkit.cli.server.challenge:challenge", "Hand out one-time challenges."),
    "requests": ("scepkit.cli.server.requests:requests", "Find, approve and reject requests."),
    "certs": ("scepkit.cli.server.certs:certs", "Find, revoke and export certificates."),
    "crl": ("scepkit.cli.server.crl:crl", "Make a CRL, or look at the newest."),
    "ca": (
        "scepkit.cli.server.authorities:ca",
        "Add a CA, or roll one over to its successor.",
    ),
    "ra": ("scepkit.cli.server.ra:ra", "Make an RA's next key and certificate."),
    "notices": (
        "scepkit.cli.server.notices:notices",
        "Look at notices, and have them given again.",
    ),
    "audit": ("scepkit.cli.server.audit:audit", "Read, verify and prune the audit trail."),
    "backup": ("scepkit.cli.server.backup:backup", "Copy the database of a server into a file."),
    "restore": ("scepkit.cli.server.backup:restore", "Fill an empty database from a backup."),
}
ALIASES = {"enroll": "enrol", "enroll-many": "enrol-many"}
# `scepkit crl URL` asks a server, `scepkit crl make` is for who runs it: the next word decides.
SHARED = {"crl": ("make", "show"), "ca": ("rollover", "new")}

_HELP = """Obtain, poll for, renew and look up certificates over SCEP (RFC 8894); be their CA.

Results go to stdout, everything else to stderr. Exit codes: 0 done or nothing to do, 2 wrong
usage, 3 pending, 4 refused by the CA, 5 server not reached, 6 trust or signature failure, 7 key
or file problem, 1 anything else. Every option can also be set by an environment variable:
SCEPKIT_CA_FINGERPRINT for --ca-fingerprint, and so on."""

_EXAMPLE = """
scepkit ca http://scep.example.com/scep
scepkit enrol http://scep.example.com/scep --subject CN=router1,O=Acme \\
    --ca-fingerprint sha256:2C:F2:4D:...:98:24 --challenge-file challenge.txt
"""


class Program(click.Group):
    """A group of commands that are imported when they are called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of use."""
        return list({**COMMANDS, **SERVER_COMMANDS})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import the command called `cmd_name`, if there is one."""
        name = ALIASES.get(cmd_name, cmd_name)
        entry = COMMANDS.get(name) or SERVER_COMMANDS.get(name)
        return None if entry is None else _loaded(entry[0])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the words are for."""
        if len(args) > 1 and is_for_the_server(args[0], args[1]):
            return args[0], _loaded(SERVER_COMMANDS[args[0]][0]), args[1:]
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the summaries without importing the commands."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, summary) for name, (_, summary) in COMMANDS.items()])
        with formatter.section("Commands for who runs a CA"):
            formatter.write_dl(
                [
                    (f"{name} {'|'.join(SHARED.get(name, ()))}".strip(), summary)
                    for name, (_, summary) in SERVER_COMMANDS.items()
                ]
            )

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """End the help with an example."""
        write_example(formatter, _EXAMPLE)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Complete the name of a command without importing the commands."""
        from click.shell_completion import CompletionItem

        names = [
            CompletionItem(name, help=summary)
            for name, (_, summary) in {**SERVER_COMMANDS, **COMMANDS}.items()
            if name.startswith(incomplete)
        ]
        return names + click.Command.shell_complete(self, ctx, incomplete)


def is_for_the_server(name: str, word: str) -> bool:
    """Whether a command of both sides, followed by this word, is the server's."""
    return word in SHARED.get(name, ())


def _loaded(home: str) -> click.Command:
    from importlib import import_module

    module, _, name = home.partition(":")
    loaded = getattr(import_module(module), name)
    assert isinstance(loaded, click.Command)
    return loaded


def _show_version(ctx: click.Context, _option: click.Parameter, value: bool) -> None:
    if value:
        from scepkit import __version__

        sys.stdout.write(f"scepkit {__version__}\n")
        ctx.exit()


program = Program(
    name="scepkit",
    help=_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[
        click.Option(
            ["--version"],
            is_flag=True,
            expose_value=False,
            is_eager=True,
            callback=_show_version,
            help="Show the version.",
        )
    ],
)


def run(args: Sequence[str] | None = None) -> int:
    """Run the command that `args` name; return the exit code."""
    words = list(sys.argv[1:] if args is None else args)
    try:
        code: Any = program.main(words, prog_name="scepkit", standalone_mode=False)
    except ReaderGoneError:
        return _reader_gone()
    except (Exception, KeyboardInterrupt) as error:
        return _fail(error, words)
    except SystemExit as end:
        # How click ends a shell's question for completions.
        return int(end.code or 0)
    return int(code or 0)


def _fail(error: BaseException, words: list[str]) -> int:
    error = _explained(error, words)
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        click.echo(error.format_message(), err=True)
        return 2
    from scepkit.cli.failures import ExitCode, report

    try:
        code = report(error, as_json=_wants_json(words))
    except ReaderGoneError:
        return _reader_gone()
    if code is ExitCode.UNEXPECTED and _wants_traceback(words):
        import traceback

        traceback.print_exception(error)
    return int(code)


def _explained(error: BaseException, words: list[str]) -> BaseException:
    """The error, with a hint at the right place for an option that stands before the command."""
    if not isinstance(error, click.NoSuchOption) or error.ctx is None or error.ctx.parent:
        return error
    known = {*COMMANDS, *SERVER_COMMANDS, *ALIASES}
    command = next((word for word in words if word in known), "COMMAND")
    # Without the options of the program itself that look like it: none of them was meant.
    better = click.NoSuchOption(error.option_name, ctx=error.ctx)
    vars(better)["hint"] = f"options follow the command: scepkit {command} {error.option_name}"
    return better


def _reader_gone() -> int:
    # As when SIGPIPE ends a program in a pipeline: no complaint, also not at exit.
    sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115
    return 141


def _wants_json(words: list[str]) -> bool:
    # Asked of the words, because the usage may be what is wrong.
    return "--json" in words or os.environ.get("SCEPKIT_JSON", "") not in {"", "0", "false", "no"}


def _wants_traceback(words: list[str]) -> bool:
    return words.count("-v") + words.count("--verbose") > 1 or any(
        word.startswith("-vv") for word in words
    )
