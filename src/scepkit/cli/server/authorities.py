"""`scepkit ca new` and `scepkit ca rollover`: the CAs of a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, group, option, together
from scepkit.cli.output import Output
from scepkit.cli.server.options import office_options
from scepkit.cli.server.rollover import rollover

if TYPE_CHECKING:
    from scepkit.ca import CaIssuer
    from scepkit.server.adding import Added

ca = group(
    "ca",
    help="Add a CA, or roll one over to its successor.\n\n`scepkit ca URL` is the client's "
    "command.",
    example="""
scepkit ca new printers --subject 'CN=Acme Printer CA,O=Acme'
scepkit ca rollover status
""",
)
ca.add_command(rollover)

_NEW = "The new CA"
_EXISTING = "CA that exists"

_new_options = together(
    option("--subject", metavar="NAME", section=_NEW,
           help="The CA's name, as CN=Acme Printer CA,O=Acme. Needed for a new one."),
    option("--key-type", metavar="TYPE", section=_NEW,
           help="The CA's key: rsa:2048, rsa:3072, rsa:4096, ec:p256, ec:p384 or ec:p521. With an "
                "EC key there is also an RA with an RSA key. Default: rsa:2048."),
    option("--validity", metavar="DURATION", section=_NEW,
           help="How long the CA is valid, as 3650d. Default: 3650d."),
    option("--ra", "with_ra", is_flag=True, section=_NEW,
           help="Have an RA also where the CA's own RSA key could do its work."),
    option("--ca-cert", metavar="FILE", section=_EXISTING,
           help="Take this CA certificate instead of making one. Further certificates in FILE are "
                "the ones above it."),
    option("--ca-key", metavar="FILE", section=_EXISTING,
           help="The private key of --ca-cert (PEM, DER or PKCS #12)."),
    option("--key-password-file", metavar="FILE", section=_EXISTING,
           help="The password of --ca-key; `-` is stdin. SCEPKIT_KEY_PASSWORD can hold it too."),
)  # fmt: skip


@command("new", within=ca, example="""
scepkit ca new printers --subject 'CN=Acme Printer CA,O=Acme' --key-type ec:p256
scepkit ca new old --ca-cert old-ca.pem --ca-key old-ca.key
""")  # fmt: skip
@click.argument("name", metavar="CA")
@_new_options
@office_options
def new(out: Output, /, name: str, config: str, actor: str | None, **options: Any) -> None:
    """Make a further CA, or take over one that exists.

    CA is what the configuration will call it. The files are put beside those of the first CA, the
    private keys encrypted with the same passphrase. Write the lines that this shows into the
    configuration, see to it that each other profile says which CA it is of, and reload the server.
    With several machines, copy the files to each before.
    """
    from scepkit.cli.server.office import open_office
    from scepkit.server import adding

    _check_options(options)
    with open_office(out, config, actor, keys=True) as office:
        adding.check_name(office.settings, office.store, name)
        added = adding.add_ca(
            office.settings,
            office.store,
            name,
            _authority(out, options, office.now),
            with_ra=options["with_ra"],
            actor=office.actor,
            now=office.now,
        )
    if office.settings.passphrase is None:
        out.warn(f"there is no passphrase: the key in {added.ca.key} is not encrypted")
    silent = [one for one, profile in office.settings.profile.items() if profile.ca is None]
    _show(out, added, silent, next(iter(office.settings.ca)))


def _check_options(options: dict[str, Any]) -> None:
    if options["ca_cert"] is None:
        if options["ca_key"] is not None:
            raise click.UsageError("--ca-key needs --ca-cert")
        if options["subject"] is None:
            raise click.UsageError("--subject is needed: the name of the new CA")
        return
    for option_name in ("subject", "key_type", "validity"):
        if options[option_name] is not None:
            shown = option_name.replace("_", "-")
            raise click.UsageError(f"--{shown} is not for a CA that exists already")


def _authority(out: Output, options: dict[str, Any], now: Any) -> CaIssuer:
    from scepkit.cli.identity import KeyPassword
    from scepkit.core.names import parse_subject
    from scepkit.server import founding
    from scepkit.server.parsing import parse_lifetime
    from scepkit.server.plan import Plan

    if options["ca_cert"] is not None:
        passwords = KeyPassword(out, options["key_password_file"])
        certificates = passwords.read_certificates(options["ca_cert"])
        key = passwords.read_key(options["ca_key"] or options["ca_cert"])
        return founding.imported_ca(certificates, key)
    plan = Plan(
        subject=options["subject"],
        key_type=options["key_type"] or "rsa:2048",
        validity=parse_lifetime(options["validity"] or "3650d"),
        with_ra=options["with_ra"],
    )
    if not parse_subject(plan.subject).rdns:
        raise click.UsageError("--subject: a CA needs a name")
    return founding.new_ca(plan, now=now)


def _show(out: Output, added: Added, silent: list[str], first: str) -> None:
    from scepkit.cli.describe import certificate_values

    def pair(one: Any) -> dict[str, Any]:
        return {
            "keyFile": one.key,
            "certificateFile": one.certificate,
            "certificate": certificate_values(one.issued),
        }

    values = {
        "name": added.name,
        "ca": pair(added.ca),
        "chainFile": added.chain or None,
        "ra": None if added.ra is None else pair(added.ra),
    }
    also = "".join(f'in [profile.{one}]: ca = "{first}"\n' for one in silent)
    also += "\n" if also else ""
    out.result(
        values, lambda: f"Add to the configuration, and reload the server:\n\n{also}{added.lines()}"
    )
