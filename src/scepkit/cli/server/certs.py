"""`scepkit certs`: the certificates that the server issued."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import AnyCase, Decorator, command, group, option
from scepkit.cli.output import STDIO, Output
from scepkit.cli.server.options import (
    in_profile_option,
    limit_option,
    office_options,
    page_options,
    search_option,
)

if TYPE_CHECKING:
    from scepkit.cli.server.office import Office
    from scepkit.store.rows import Certificate

certs = group(
    "certs",
    help="Find, revoke and export certificates.",
    example="""
scepkit certs list --search router1
scepkit certs revoke 3f09c1... --reason keyCompromise
scepkit certs export --format csv --out certificates.csv
""",
)

STATES = ["reserved", "issued", "revoked"]
# RFC 5280 5.3.1, without the reasons that no complete CRL of end entities has.
REVOCATION_REASONS = [
    "unspecified",
    "keyCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "privilegeWithdrawn",
]

_state_option = option(
    "--state", type=click.Choice(STATES), section="List",
    help="Show those in this state; `reserved` is a serial number that nothing was signed with "
    "yet, as far as is known.",
)  # fmt: skip

_in_ca_option = option("--ca", metavar="NAME", section="List", help="Show those of this CA.")


def _serial_argument() -> Decorator:
    return click.argument("serial", metavar="SERIAL")


_of_ca_option = option(
    "--ca", metavar="NAME", section="Which",
    help="The CA that issued it, such as main, or main~2 after a rollover. Only needed when the "
    "serial number is not enough.",
)  # fmt: skip


@command("list", within=certs, example="scepkit certs list --search router1 --state issued")
@search_option
@_state_option
@_in_ca_option
@in_profile_option
@page_options
@office_options
def list_certs(
    out: Output, /, config: str, actor: str | None, profile: str | None, **options: Any
) -> None:
    """List certificates, newest first."""
    from scepkit.cli.server.listing import last_of, search_floor
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    with open_office(out, config, actor) as office:
        after = search_floor(office.store, "certificate", options["search"], options["before"])
        rows = registry.list_certificates(
            office.store,
            state=options["state"],
            ca=options["ca"],
            profile=profile,
            text=options["search"],
            before=options["before"],
            after=after,
            limit=options["limit"],
        )
        names = _ca_names(office)
    _show_list(out, rows, names, last_of(rows, options["limit"], after))


@command("expiring", within=certs, example="scepkit certs expiring --within 14d --json")
@option("--within", metavar="DURATION", default="30d", show_default=True, section="List",
        help="Show those that end in this time from now.")  # fmt: skip
@limit_option
@office_options
def expiring(out: Output, /, config: str, actor: str | None, within: str, limit: int) -> None:
    """List the certificates that end soon, the first to end first."""
    from scepkit.cli.server.office import open_office
    from scepkit.config import parse_duration
    from scepkit.server import registry

    span = parse_duration(within)
    with open_office(out, config, actor) as office:
        rows = registry.expiring_certificates(
            office.store, since=office.now, before=office.now + span, limit=limit
        )
        names = _ca_names(office)
    _show_list(out, rows, names, None)
    if len(rows) == limit:
        out.note(f"only the first {limit} are shown; --limit shows more")


def _show_list(
    out: Output, rows: list[Certificate], names: dict[int, str], following: int | None
) -> None:
    from scepkit.cli.server.listing import more, stored_values, table, when

    def text() -> str:
        return table(
            ("id", "state", "ca", "profile", "serial number", "valid until", "subject"),
            [
                (str(row.id), row.state, names[row.ca_id], row.profile, row.serial,
                 when(row.not_after), row.subject or "(empty)")
                for row in rows
            ],
        )  # fmt: skip

    values = [stored_values(row, names[row.ca_id]) for row in rows]
    out.result({"certificates": values, "before": following}, text)
    more(out, following)


@command("show", within=certs, example="scepkit certs show 3f09c1... --out router1.pem")
@_serial_argument()
@_of_ca_option
@option("--out", metavar="FILE", section="Files",
        help="Also write the certificate to FILE in PEM; `-` is stdout, and then nothing else is "
        "shown.")  # fmt: skip
@office_options
def show(
    out: Output, /, config: str, actor: str | None, serial: str, ca: str | None,
    **options: Any,
) -> None:  # fmt: skip
    """Show a certificate, and what became of it.

    SERIAL is hexadecimal, with or without colons; a decimal one is written dec:1234.
    """
    from scepkit.cli.failures import Unfit
    from scepkit.cli.output import write_text
    from scepkit.cli.server.office import open_office
    from scepkit.core.certificates import load_certificate
    from scepkit.server import registry

    number = _serial_text(serial)
    if out.as_json and options["out"] == STDIO:
        raise click.UsageError("--json and --out - both want stdout")
    with open_office(out, config, actor) as office:
        row = registry.find_certificate(office.store, ca, number)
        names = _ca_names(office)
    path = options["out"]
    if path is not None:
        if row.der is None:
            raise Unfit(f"the certificate {number} was never signed, as far as is known")
        pem = _pem(row)
        if path == STDIO:
            write_text(pem)
            return
        from scepkit.keys import write_file

        write_file(path, pem.encode(), force=True)
        out.note(f"wrote {path}")
    certificate = None if row.der is None else load_certificate(row.der)
    _show_one(out, row, names[row.ca_id], certificate)


def _show_one(out: Output, row: Certificate, ca: str, certificate: Any) -> None:
    from scepkit.cli.describe import certificate_lines, certificate_values
    from scepkit.cli.output import fields
    from scepkit.cli.server.listing import REASONS, stored_values, when

    values = stored_values(row, ca)
    if certificate is not None:
        values |= certificate_values(certificate)

    def text() -> str:
        lines: list[tuple[str, str]] = [("state", row.state)]
        if row.revoked_at is not None:
            reason = REASONS.get(row.revocation_reason or 0, "")
            lines.append(("revoked", f"{when(row.revoked_at)} ({reason})"))
        lines += [("ca", ca), ("profile", row.profile or "(none)")]
        if row.operation_id is not None:
            lines.append(("request", str(row.operation_id)))
        if certificate is not None:
            lines += certificate_lines(values)
        else:
            lines += [("subject", row.subject), ("serial number", row.serial)]
        return fields(lines)

    out.result({"certificate": values}, text)


@command("revoke", within=certs,
         example="scepkit certs revoke 3f09c1... --reason keyCompromise")  # fmt: skip
@click.argument("serials", metavar="SERIAL...", nargs=-1, required=True)
@_of_ca_option
@option("--reason", type=AnyCase(REVOCATION_REASONS),
        default="unspecified", show_default=True, metavar="REASON", section="Decision",
        help=f"Why, for the CRL: {', '.join(REVOCATION_REASONS[1:])}, or unspecified.")  # fmt: skip
@office_options
def revoke(
    out: Output, /, config: str, actor: str | None, serials: tuple[str, ...], ca: str | None,
    reason: str,
) -> None:  # fmt: skip
    """Revoke certificates.

    The running server publishes a new CRL within a few seconds. This cannot be undone.
    """
    from scepkit.cli.server.listing import stored_values
    from scepkit.cli.server.office import each, open_office
    from scepkit.server import admin

    numbers = [_serial_text(serial) for serial in serials]
    with open_office(out, config, actor) as office:
        rows = each(
            out,
            numbers,
            lambda number: admin.revoke_certificate(
                office.store,
                ca,
                number,
                reason=reason,
                actor=office.actor,
                now=office.now,
            ),
            done="revoked",
        )
        names = _ca_names(office)
    out.result(
        {"certificates": [stored_values(row, names[row.ca_id]) for row in rows]},
        lambda: "".join(f"revoked {row.serial}  {row.subject}\n" for row in rows),
    )


@command("export", within=certs, example="""
scepkit certs export --format csv --out certificates.csv
scepkit certs export --format jsonl | jq -r .subject
""")  # fmt: skip
@option("--format", "form", type=click.Choice(["pem", "csv", "jsonl"]), default="pem",
        show_default=True, section="Files",
        help="Certificates one after the other, a table with a heading, or one JSON object a "
        "line.")  # fmt: skip
@option("--out", metavar="FILE", section="Files",
        help="Write to FILE; `-` is stdout, and the default.")  # fmt: skip
@_state_option
@_in_ca_option
@in_profile_option
@office_options
def export(out: Output, /, config: str, actor: str | None, form: str, **options: Any) -> None:
    """Write out all certificates as they are at one moment.

    However many they are, they are not held in memory.
    """
    from scepkit.cli.server.exporting import exported
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    with open_office(out, config, actor) as office:
        names = _ca_names(office)
        chosen = _chooser(names, options)

        def write(row: Certificate) -> Any:
            from scepkit.cli.server.listing import stored_values

            if not chosen(row) or (form == "pem" and row.der is None):
                return None
            if form == "pem":
                return _pem(row)
            values = stored_values(row, names[row.ca_id])
            return {**values, "pem": _pem(row) if row.der else None} if form == "jsonl" else values

        with exported(out, options["out"], form) as sink:
            registry.export_certificates(
                office.store, lambda row: sink.add(write(row)), actor=office.actor, now=office.now
            )


def _chooser(names: dict[int, str], options: dict[str, Any]) -> Callable[[Certificate], bool]:
    from scepkit.server import registry

    ids = None if options["ca"] is None else registry.with_name(names, options["ca"])
    state, profile = options["state"], options["profile"]
    return lambda row: (
        (ids is None or row.ca_id in ids)
        and (state is None or row.state == state)
        and (profile is None or row.profile == profile)
    )


def _pem(row: Certificate) -> str:
    import ssl

    assert row.der is not None
    return ssl.DER_cert_to_PEM_cert(row.der)


def _serial_text(text: str) -> str:
    from scepkit.cli.lookup import read_serial

    return f"{read_serial(text):x}"


def _ca_names(office: Office) -> dict[int, str]:
    from scepkit.server import registry

    return registry.ca_labels(office.store)
