"""`scepkit backup` and `scepkit restore`."""

from __future__ import annotations

import click

from scepkit.cli.command import command
from scepkit.cli.output import STDIO, Output
from scepkit.cli.server.options import office_options


@command("backup", example="scepkit backup /var/backups/scepkit-2026-06-01.db")
@click.argument("file")
@office_options
def backup(out: Output, /, file: str, config: str, actor: str | None) -> None:
    """Copy the database of a server into a file.

    The server may run meanwhile: the copy is of one moment. FILE is new; it is an SQLite database,
    whichever kind the server has, and can be restored into either. The configuration and the keys
    are files of their own and are not in it: without them it is of little use.
    """
    from pathlib import Path

    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    if file == STDIO:
        raise click.UsageError("a backup goes into a file: name one")
    with open_office(out, config, actor) as office:
        counts = registry.back_up(
            office.store, Path(file).absolute(), actor=office.actor, now=office.now
        )
        keys = office.settings.directory
    out.note(f"the configuration and the keys are in {keys}, and need a copy of their own")
    _show(out, file, counts)


@command("restore", example="scepkit restore /var/backups/scepkit-2026-06-01.db")
@click.argument("file")
@office_options
def restore(out: Output, /, file: str, config: str, actor: str | None) -> None:
    """Fill an empty database from a backup.

    The configuration names the database. What has happened after the backup is forgotten:
    certificates that were issued after it are not known, and challenges that were used after it
    can be used again.
    """
    from datetime import UTC, datetime
    from pathlib import Path

    from scepkit.cli.server.office import actor_name, open_database, read_settings
    from scepkit.server import registry

    name = actor_name(actor)
    settings = read_settings(out, config)
    now = datetime.now(UTC)
    with open_database(settings) as store:
        counts = registry.bring_back(store, Path(file).absolute(), actor=name, now=now)
        usable = registry.usable_challenges(store, now)
    if usable:
        what = "1 challenge" if usable == 1 else f"{usable} challenges"
        out.warn(
            f"{what} may have been used after the backup, and can be used again; scepkit challenge "
            "list --usable shows them, scepkit challenge revoke ends them"
        )
    _show(out, file, counts)


def _show(out: Output, file: str, counts: dict[str, int]) -> None:
    from scepkit.cli.output import fields

    out.result(
        {"file": file, "rows": counts},
        lambda: fields([(name, str(count)) for name, count in counts.items()]),
    )
