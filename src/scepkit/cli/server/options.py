"""The options that the server's commands share.

The rule of this file: as in `scepkit.cli.options`; and nothing is loaded for it but click.
"""

from __future__ import annotations

import click

from scepkit.cli.command import option, together

_SERVER = "Server"
_LIST = "List"

#: Numbers of rows, as far as a database counts.
ROW = click.IntRange(1, 2**63 - 1)

config_option = option(
    "--config", metavar="FILE", default="scepkit.toml", show_default=True, section=_SERVER,
    help="The server's configuration.",
)  # fmt: skip

actor_option = option(
    "--actor", metavar="NAME", section=_SERVER,
    help="Who does this, for the audit trail. Default: the login name.",
)  # fmt: skip

office_options = together(config_option, actor_option)

limit_option = option(
    "--limit", type=click.IntRange(1, 10_000), default=100, show_default=True, metavar="NUMBER",
    section=_LIST, help="Show at most so many.",
)  # fmt: skip

before_option = option(
    "--before", type=ROW, metavar="ID", section=_LIST,
    help="Show those before this one: the next page.",
)  # fmt: skip

search_option = option(
    "--search", metavar="TEXT", section=_LIST,
    help="Show those with TEXT in the subject, an alternative name, the serial number or the "
    "transactionID.",
)  # fmt: skip

in_profile_option = option(
    "--profile", metavar="NAME", section=_LIST, help="Show those of this profile."
)

page_options = together(limit_option, before_option)
