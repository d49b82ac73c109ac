"""`scepkit audit`: who decided what."""

from __future__ import annotations

import os
from typing import Any

import click

from scepkit.cli.command import command, group, option
from scepkit.cli.output import Output
from scepkit.cli.server.options import limit_option, office_options

audit = group(
    "audit",
    help="Read, verify and prune the audit trail.\n\nEvery decision of the server and of these "
    "commands leaves a row. The rows are chained by their hashes, so that changing or removing one "
    "shows.",
    example="""
scepkit audit list --action certificate.revoke
scepkit audit verify
""",
)


@command("list", within=audit, example="scepkit audit list --action certificate. --limit 20")
@option("--action", metavar="TEXT", section="List",
        help="Show those whose action begins with TEXT.")  # fmt: skip
@option("--by", metavar="NAME", section="List", help="Show what this actor did.")
@option("--object", "of", metavar="OBJECT", section="List",
        help="Show what was done to this, such as challenge:17 or ca:main/2.")  # fmt: skip
@limit_option
@option("--before", type=click.IntRange(min=1), metavar="ID", section="List",
        help="Show those before this one: the next page.")  # fmt: skip
@office_options
def list_audit(out: Output, /, config: str, actor: str | None, **options: Any) -> None:
    """List rows, newest first."""
    from scepkit.cli.server.listing import audit_detail, audit_values, more, table, when
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    limit = options["limit"]
    with open_office(out, config, actor) as office:
        rows = registry.list_audit(
            office.store,
            actor=options["by"],
            action=options["action"],
            object=options["of"],
            before=options["before"],
            limit=limit,
        )
    following = rows[-1].seq if len(rows) == limit else None

    def text() -> str:
        return table(
            ("id", "time", "actor", "action", "object", "detail"),
            [
                (str(row.seq), when(row.at), row.actor, row.action, row.object, audit_detail(row))
                for row in rows
            ],
        )

    out.result({"audit": [audit_values(row) for row in rows], "before": following}, text)
    more(out, following)


@command("verify", within=audit, example="scepkit audit verify --json | jq -r .head.hash")
@office_options
def verify(out: Output, /, config: str, actor: str | None) -> int:
    """Check that no row was changed or removed since it was chained.

    Exit code 6 when the chain is broken. Whoever can write the whole database can also make a
    whole new chain: keep the hash that this prints somewhere else, and compare.
    """
    from scepkit.cli.failures import ExitCode
    from scepkit.cli.output import fields
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    with open_office(out, config, actor) as office:
        found = registry.verify_audit(office.store)
    head = found.head
    gone = found.pruned
    values = {
        "intact": not found.faults,
        "rows": found.sealed,
        "unsealed": found.unsealed,
        "pruned": None if gone is None else {"position": gone.position, "hash": gone.hash.hex()},
        "head": None if head is None else {"position": head.position, "hash": head.hash.hex()},
        "faults": [
            {"position": one.position, "seq": one.seq, "problem": one.problem}
            for one in found.faults
        ],
    }

    def text() -> str:
        lines = [("chain", "broken" if found.faults else "intact"), ("rows", str(found.sealed))]
        if gone is not None:
            lines += [("pruned up to", str(gone.position)), ("its hash", gone.hash.hex())]
        if found.unsealed:
            lines.append(("not chained yet", str(found.unsealed)))
        if head is not None:
            lines += [("last position", str(head.position)), ("last hash", head.hash.hex())]
        return fields(lines)

    out.result(values, text)
    for fault in found.faults:
        out.warn(f"the row at position {fault.position} {fault.problem}")
    return ExitCode.UNTRUSTED if found.faults else ExitCode.DONE


@command("export", within=audit, example="scepkit audit export --out audit.jsonl")
@option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="jsonl",
        show_default=True, section="Files",
        help="A table with a heading, or one JSON object a line.")  # fmt: skip
@option("--out", metavar="FILE", section="Files",
        help="Write to FILE; `-` is stdout, and the default.")  # fmt: skip
@office_options
def export(out: Output, /, config: str, actor: str | None, form: str, **options: Any) -> None:
    """Write out the whole trail, oldest first."""
    from scepkit.cli.server.exporting import exported
    from scepkit.cli.server.listing import audit_values
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    with open_office(out, config, actor) as office, exported(out, options["out"], form) as sink:
        registry.export_audit(
            office.store,
            lambda row: sink.add(audit_values(row)),
            actor=office.actor,
            now=office.now,
        )


@command("prune", within=audit, example="""
scepkit audit prune --before 2026-01-01 --out /var/backups/scepkit-audit-2025.jsonl
""")  # fmt: skip
@option("--before", type=click.DateTime(["%Y-%m-%d"]), required=True, metavar="DATE",
        section="Prune",
        help="Remove what is older than this day (UTC), such as 2026-01-01.")  # fmt: skip
@option("--out", metavar="FILE", required=True, section="Prune",
        help="Write what is removed to FILE, which must not be there yet.")  # fmt: skip
@office_options
def prune(out: Output, /, config: str, actor: str | None, **options: Any) -> None:
    """Remove the oldest rows of the trail, after writing them to a file.

    The chain stays whole: the database keeps the hash of the last row that was removed, the trail
    says who removed them, and the file has the same rows as `scepkit audit export` writes, with
    their hashes. Keep it: there is no other copy. A chain that is broken is not pruned.
    """
    from datetime import UTC

    from scepkit.cli.failures import Unfit
    from scepkit.cli.output import STDIO
    from scepkit.cli.server.exporting import exported
    from scepkit.cli.server.listing import audit_values
    from scepkit.cli.server.office import open_office
    from scepkit.core.wording import counted
    from scepkit.server import pruning

    path = options["out"]
    if path == STDIO:
        raise click.UsageError("--out needs a file: what is removed is nowhere else")
    if os.path.lexists(path):
        raise Unfit(f"{path} exists and is not overwritten", hint="name another file", path=path)
    with open_office(out, config, actor) as office:
        last = pruning.last_before(office.store, options["before"].replace(tzinfo=UTC))
        if last is None:
            out.note("there is nothing so old in the audit trail")
            out.result({"file": None, "rows": 0}, str)
            return
        with exported(out, path, "jsonl") as sink:
            rows = pruning.write_out(office.store, last, lambda row: sink.add(audit_values(row)))
        pruning.remove(
            office.store,
            last,
            rows=rows,
            file=os.path.abspath(path),
            actor=office.actor,
            now=office.now,
        )
        out.note(f"removed {counted(rows, 'row')}, up to position {last.position}")
