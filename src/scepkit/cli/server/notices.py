"""`scepkit notices`: what the web service of ``auth.notify`` was told, and was not."""

from __future__ import annotations

from functools import partial
from typing import Any

import click

from scepkit.cli.command import command, group, option
from scepkit.cli.output import Output
from scepkit.cli.server.options import ROW, office_options, page_options

notices = group(
    "notices",
    help="Look at notices, and have them given again.\n\nA notice tells the web service of "
    "auth.notify of a certificate or a refusal. It is given again for a day until the service "
    "takes it; then it is given up, and kept.",
    example="""
scepkit notices list --state given-up
scepkit notices retry --given-up
""",
)


@command("list", within=notices, example="scepkit notices list --state given-up")
@option("--state", type=click.Choice(["waiting", "given-up", "told"]), section="List",
        help="Show those in this state.")  # fmt: skip
@page_options
@office_options
def list_notices(out: Output, /, config: str, actor: str | None, **options: Any) -> None:
    """List notices, newest first; those that were given are kept for a week."""
    from scepkit.cli.server.listing import (
        last_of,
        more,
        notice_about,
        notice_state,
        notice_values,
        table,
        when,
    )
    from scepkit.cli.server.office import open_office
    from scepkit.server import notices as office_notices

    with open_office(out, config, actor) as office:
        rows = office_notices.list_notices(office.store, **options)
    following = last_of(rows, options["limit"])

    def text() -> str:
        return table(
            ("id", "state", "created", "tries", "about", "error"),
            [
                (str(row.id), notice_state(row), when(row.created_at), str(row.attempts),
                 notice_about(row), "" if row.done_at else row.last_error)
                for row in rows
            ],
        )  # fmt: skip

    out.result({"notices": [notice_values(row) for row in rows], "before": following}, text)
    more(out, following)


@command("retry", within=notices, example="scepkit notices retry --given-up")
@click.argument("numbers", metavar="[ID...]", type=ROW, nargs=-1)
@option("--given-up", is_flag=True, section="Retry", help="All that were given up.")
@office_options
def retry(
    out: Output, /, config: str, actor: str | None, numbers: tuple[int, ...], given_up: bool
) -> None:
    """Have notices given now, and not at their next time or never.

    The running server gives them within some seconds. What is older than a day and fails is given
    up again.
    """
    from scepkit.cli.server.office import each, open_office
    from scepkit.server import notices as office_notices

    if bool(numbers) is given_up:
        raise click.UsageError("name notices by their ID, or all of them by --given-up")
    with open_office(out, config, actor) as office:
        store, who, now = office.store, office.actor, office.now
        if given_up:
            count = office_notices.retry_given_up(store, actor=who, now=now)
        else:
            act = partial(office_notices.retry_notice, store, actor=who, now=now)
            count = len(each(out, numbers, act, done="to be given now:"))
    out.result({"retried": count}, lambda: f"to be given now: {count}\n")
