"""`scepkit completion`: what a shell has to read to complete our words."""

from __future__ import annotations

import click

from scepkit.cli.command import command
from scepkit.cli.output import Output, write_text

_EXAMPLE = """
scepkit completion bash > /etc/bash_completion.d/scepkit
scepkit completion zsh > "${fpath[1]}/_scepkit"
scepkit completion fish > ~/.config/fish/completions/scepkit.fish
"""


@command("completion", example=_EXAMPLE)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(out: Output, /, shell: str) -> None:
    """Print a shell completion script.

    The script asks scepkit itself what fits, so it need not be made again when scepkit changes.
    """
    from click.shell_completion import get_completion_class

    from scepkit.cli.program import program

    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(program, {}, "scepkit", "_SCEPKIT_COMPLETE")
    # Not script.source(): for bash that also runs bash, to ask for its version.
    text = script.source_template % script.source_vars()
    if out.as_json:
        out.result({"shell": shell, "script": text}, lambda: text)
    else:
        write_text(text + "\n")
