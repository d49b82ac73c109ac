"""`scepkit requests`: what was asked of the server, and what a person decides about it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, group, option
from scepkit.cli.output import Output
from scepkit.cli.server.options import (
    ROW,
    in_profile_option,
    office_options,
    page_options,
    search_option,
)

if TYPE_CHECKING:
    from scepkit.server.admin import RequestView
    from scepkit.store.rows import Operation

requests = group(
    "requests",
    help="Find, approve and reject requests.\n\nA request is one enrolment or renewal, however "
    "often it was sent. Those that are `pending` wait for a person.",
    example="""
scepkit requests list --state pending
scepkit requests approve 17 --reason 'serial number checked'
""",
)

STATES = ["pending", "approved", "issued", "rejected", "failed", "expired"]

_reason_option = option(
    "--reason", metavar="TEXT", default="", section="Decision",
    help="Why, for the audit trail.",
)  # fmt: skip


@command("list", within=requests, example="scepkit requests list --state pending --search router")
@option("--state", type=click.Choice(STATES), section="List", help="Show those in this state.")
@search_option
@in_profile_option
@page_options
@office_options
def list_requests(
    out: Output, /, config: str, actor: str | None, profile: str | None, **options: Any
) -> None:
    """List requests, newest first.

    Those that were refused at once are not among them: `scepkit audit list --action request.deny`
    shows these, with the reason.
    """
    from scepkit.cli.server.listing import (
        last_of,
        more,
        request_values,
        search_floor,
        table,
        when,
    )
    from scepkit.cli.server.office import open_office
    from scepkit.server import admin

    with open_office(out, config, actor) as office:
        after = search_floor(office.store, "operation", options["search"], options["before"])
        rows = admin.list_requests(
            office.store,
            state=options["state"],
            profile=profile,
            text=options["search"],
            before=options["before"],
            after=after,
            limit=options["limit"],
        )
    following = last_of(rows, options["limit"], after)

    def text() -> str:
        return table(
            ("id", "state", "kind", "profile", "created", "subject", "reason"),
            [
                (str(row.id), row.state, row.kind, row.profile, when(row.created_at),
                 row.subject or "(empty)", row.reason)
                for row in rows
            ],
        )  # fmt: skip

    out.result({"requests": [request_values(row) for row in rows], "before": following}, text)
    more(out, following)


@command("show", within=requests, example="scepkit requests show 17")
@click.argument("number", metavar="ID", type=ROW)
@office_options
def show(out: Output, /, config: str, actor: str | None, number: int) -> None:
    """Show a request, what is in its CSR, and what the profile would say to it."""
    from scepkit.cli.output import fields
    from scepkit.cli.server.listing import when
    from scepkit.cli.server.office import open_office
    from scepkit.server import admin

    with open_office(out, config, actor) as office:
        view = admin.show_request(office.store, office.settings, number)
    row = view.operation
    out.result(
        {"request": _values(view)},
        lambda: fields(
            [
                ("id", str(row.id)),
                ("state", row.state),
                ("kind", row.kind),
                ("profile", row.profile),
                ("subject", row.subject or "(empty)"),
                *(("", name) for name in row.sans.splitlines()),
                ("key", _key(view)),
                ("transactionID", row.transaction_id),
                ("created", when(row.created_at)),
                *([("waits until", when(row.pending_until))] if row.pending_until else []),
                *([("decided", f"{when(row.decided_at)} by {row.decided_by}")]
                  if row.decided_at else []),
                *([("reason", row.reason)] if row.reason else []),
                *([("challenge", str(row.challenge_id))] if row.challenge_id else []),
                *([("renews", row.renews_serial)] if row.renews_serial else []),
                *([("serial number", view.certificate.serial)] if view.certificate else []),
                *([("problem", view.problem)] if view.problem else []),
            ]
        ),
    )  # fmt: skip


def _key(view: RequestView) -> str:
    from scepkit.cli.describe import public_key_text

    return "(unreadable)" if view.csr is None else public_key_text(view.csr.public_key)


def _values(view: RequestView) -> dict[str, Any]:
    import base64

    from scepkit.cli.server.listing import request_values

    row = view.operation
    encoded = base64.encodebytes(row.csr).decode("ascii")
    return {
        **request_values(row),
        "key": _key(view),
        "challenge": row.challenge_id,
        "renews": row.renews_serial,
        "serialNumber": view.certificate.serial if view.certificate else None,
        "problem": view.problem or None,
        "attempts": row.attempts,
        "csr": f"-----BEGIN CERTIFICATE REQUEST-----\n{encoded}-----END CERTIFICATE REQUEST-----\n",
    }


@command("approve", within=requests, example="scepkit requests approve 17 --reason 'ticket 4711'")
@click.argument("numbers", metavar="ID...", type=ROW, nargs=-1, required=True)
@_reason_option
@office_options
def approve(out: Output, /, config: str, actor: str | None, **options: Any) -> None:
    """Let requests that wait be issued.

    The running server issues within a second, or when the requester polls.
    """
    _decide(out, config, actor, "approve", "approved", **options)


@command("reject", within=requests, example="scepkit requests reject 17 --reason 'unknown device'")
@click.argument("numbers", metavar="ID...", type=ROW, nargs=-1, required=True)
@_reason_option
@office_options
def reject(out: Output, /, config: str, actor: str | None, **options: Any) -> None:
    """Refuse requests that wait.

    The requester is told so at the next poll; the reason stays here.
    """
    _decide(out, config, actor, "reject", "rejected", **options)


def _decide(
    out: Output,
    config: str,
    actor: str | None,
    what: str,
    done: str,
    *,
    numbers: tuple[int, ...],
    reason: str,
) -> None:
    from scepkit.cli.server.listing import request_values
    from scepkit.cli.server.office import each, open_office
    from scepkit.server import admin

    with open_office(out, config, actor) as office:
        store, settings, who = office.store, office.settings, office.actor

        def decide(number: int) -> Operation:
            if what == "approve":
                return admin.approve_request(
                    store, number, actor=who, reason=reason, now=office.now
                )
            return admin.reject_request(
                store, settings, number, actor=who, reason=reason, now=office.now
            )

        rows = each(out, numbers, decide, done=done)
    out.result(
        {"requests": [request_values(row) for row in rows]},
        lambda: "".join(f"{done} {row.id}\n" for row in rows),
    )


@command("export", within=requests, example="scepkit requests export --out requests.csv")
@option("--format", "form", type=click.Choice(["csv", "jsonl"]), default="csv",
        show_default=True, section="Files",
        help="A table with a heading, or one JSON object a line.")  # fmt: skip
@option("--out", metavar="FILE", section="Files",
        help="Write to FILE; `-` is stdout, and the default.")  # fmt: skip
@office_options
def export(out: Output, /, config: str, actor: str | None, form: str, **options: Any) -> None:
    """Write out all requests, newest first."""
    from scepkit.cli.server.exporting import exported
    from scepkit.cli.server.listing import request_values
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    with open_office(out, config, actor) as office, exported(out, options["out"], form) as sink:
        registry.export_requests(
            office.store,
            lambda row: sink.add(request_values(row)),
            actor=office.actor,
            now=office.now,
        )
