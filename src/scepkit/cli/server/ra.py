"""`scepkit ra`: keys that speak for a CA."""

from __future__ import annotations

import click

from scepkit.cli.command import command, group, option
from scepkit.cli.output import Output
from scepkit.cli.server.options import office_options

ra = group(
    "ra",
    help="Make an RA's next key and certificate.\n\nAn RA decrypts requests and signs replies in "
    "a CA's place.",
    example="scepkit ra new",
)


@command("new", within=ra, example="scepkit ra new main")
@click.argument("name", metavar="[RA]", required=False)
@option(
    "--same-key", is_flag=True, section="Key", help="Keep the key, and make a new certificate only."
)
@option("--sign", is_flag=True, section="Key",
        help="Make a key that signs replies and nothing else: two keys, of which one decrypts, "
             "are a split RA.")  # fmt: skip
@office_options
def new(
    out: Output, /, name: str | None, config: str, actor: str | None, same_key: bool, sign: bool
) -> None:
    """Make a new key and certificate for an RA, before the old one ends or when it is lost.

    RA is its name in the configuration; it can be left out when there is one only. The files are
    put beside the present ones. Write the lines that this shows into the configuration, before
    those of the old key, and reload the server: new requests are then encrypted to the new key, and
    those under way still find the old one. Remove that after some days. With several machines, let
    all know the new key first: write the lines behind those of the old key on each, and reload.
    """
    from scepkit.cli.server.office import open_office, ra_name
    from scepkit.cli.server.rollover import agent_values, ra_lines
    from scepkit.server import succession

    if same_key and sign:
        raise click.UsageError("--same-key is for the key that decrypts, --sign for another one")
    with open_office(out, config, actor, keys=True) as office:
        chosen = ra_name(office.settings, name)
        agent = succession.next_agent(
            office.settings,
            office.store,
            chosen,
            same_key=same_key,
            use="sign" if sign else "both",
            actor=office.actor,
            now=office.now,
        )
    out.result(
        {"ra": agent_values({chosen: agent})},
        lambda: (
            f"Add to the configuration, in place of another such table:\n\n"
            f"{ra_lines(chosen, agent, '[ra.{}.sign]')}"
            if sign
            else f"Add to the configuration, first of all [[ra.{chosen}.decrypt]]:\n\n"
            f"{ra_lines(chosen, agent)}"
        ),
    )
