"""`scepkit crl make` and `scepkit crl show`: the CRLs of one's own server.

`scepkit crl URL`, which asks any server for one, is in `scepkit.cli.lookup`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, group
from scepkit.cli.options import out_options
from scepkit.cli.output import Output
from scepkit.cli.server.options import config_option, office_options

if TYPE_CHECKING:
    from scepkit.store.rows import Crl

crl = group(
    "crl",
    help="Make a CRL, or look at the newest.\n\nThe running server makes them by itself: on "
    "schedule, and after a revocation. `scepkit crl URL` is the client's command.",
    example="""
scepkit crl make
scepkit crl show --out ca.crl --outform der
""",
)


@command("make", within=crl, example="scepkit crl make main")
@click.argument("ca", metavar="[CA]", required=False)
@office_options
def make(out: Output, /, ca: str | None, config: str, actor: str | None) -> None:
    """Make a new CRL now, for each generation of a CA whose key is there.

    CA is its name in the configuration; without it, all of them.
    """
    from scepkit.cli.server.listing import crl_row_values
    from scepkit.cli.server.office import ca_name, deployment_of, open_office
    from scepkit.server import admin, registry

    with open_office(out, config, actor, keys=True) as office:
        names = list(office.settings.ca) if ca is None else [ca_name(office.settings, ca)]
        deployment = deployment_of(office)
        made = [
            one
            for name in names
            for one in admin.make_crl(
                office.store, deployment, name, actor=office.actor, now=office.now
            )
        ]
        labels = registry.ca_labels(office.store)
    values = [crl_row_values(one, labels[one.ca_id]) for one in made]
    out.result({"crls": values}, lambda: _table(values))


@command("show", within=crl, example="scepkit crl show main --out ca.crl --outform der")
@click.argument("ca", metavar="[CA]", required=False)
@out_options
@config_option
def show(out: Output, /, ca: str | None, config: str, **options: Any) -> None:
    """Show the newest CRL of each CA and generation, or write one to a file.

    CA is a name such as main, or main~2 for a generation. Without --out nothing is written but
    what they are.
    """
    from scepkit.cli.server.listing import crl_row_values
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    with open_office(out, config, None) as office:
        found = registry.newest_crls(office.store, ca)
    values = [crl_row_values(one, label) for label, one in found]
    if options["out"] is None:
        out.result({"crls": values}, lambda: _table(values))
        return
    if len(found) != 1:
        labels = ", ".join(label for label, _ in found) or "none"
        raise click.UsageError(f"--out takes one CRL, and there are those of {labels}; name a CA")
    _write(out, options, found[0][1], values[0])


def _write(out: Output, options: dict[str, Any], row: Crl, values: dict[str, Any]) -> None:
    from cryptography import x509
    from cryptography.hazmat.primitives.serialization import Encoding

    from scepkit.cli.output import check_target

    binary = options["outform"] == "der"
    check_target(options["out"], binary=binary)
    data = row.der
    if not binary:
        data = x509.load_der_x509_crl(data).public_bytes(Encoding.PEM)
    out.document(data, options["out"], binary=binary, values={"crl": values})


def _table(values: list[dict[str, Any]]) -> str:
    from scepkit.cli.server.listing import table

    return table(
        ("ca", "number", "this update", "next update", "entries"),
        [
            (one["ca"], str(one["number"]), one["thisUpdate"], one["nextUpdate"],
             str(one["entries"]))
            for one in values
        ],
    )  # fmt: skip
