"""`scepkit ca rollover`: from one generation of a CA to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, group, option, together
from scepkit.cli.output import Output
from scepkit.cli.server.options import config_option, office_options

if TYPE_CHECKING:
    from scepkit.ca import CaIssuer
    from scepkit.cli.server.office import Office
    from scepkit.server.agents import NewPair
    from scepkit.server.succession import Heir
    from scepkit.store.rows import Ca

rollover = group(
    "rollover",
    help="Roll a CA over to its successor.\n\nFirst the next generation is staged: clients can "
    "fetch its certificate (GetNextCACert), and it issues nothing. When it is activated it issues "
    "all new certificates, and the one before is retired: its certificates stay good, and its CRLs "
    "go on.",
    example="""
scepkit ca rollover stage
scepkit ca rollover activate
""",
)
_NEXT = "The next CA"

_ca_argument = click.argument("name", metavar="[CA]", required=False)

_next_options = together(
    option("--key-type", metavar="TYPE", section=_NEXT,
           help="Its key: rsa:2048, rsa:3072, rsa:4096, ec:p256, ec:p384 or ec:p521. Default: as "
                "the present one's."),
    option("--validity", metavar="DURATION", default="3650d", show_default=True, section=_NEXT,
           help="How long it is valid, from now on."),
    option("--ca-cert", metavar="FILE", section=_NEXT,
           help="Take this certificate instead of a self-signed one. Further certificates in FILE "
                "are the ones above it."),
    option("--ca-key", metavar="FILE", section=_NEXT,
           help="The private key of --ca-cert, when it was not made by --csr-out."),
    option("--key-password-file", metavar="FILE", section=_NEXT,
           help="The password of --ca-key; `-` is stdin. SCEPKIT_KEY_PASSWORD can hold it too."),
    option("--csr-out", metavar="FILE", section=_NEXT,
           help="Make the key only, and write a request (PKCS #10) for the certificate to FILE. "
                "`stage --ca-cert FILE` goes on when the CA above has certified it."),
)  # fmt: skip


@command("status", within=rollover, example="scepkit ca rollover status main")
@_ca_argument
@config_option
def status(out: Output, /, name: str | None, config: str) -> None:
    """Show the generations of each CA."""
    from scepkit.cli.server.office import open_office
    from scepkit.server import registry

    with open_office(out, config, None) as office:
        rows = registry.list_cas(office.store, name)
    _show(out, rows)


@command("stage", within=rollover, example="""
scepkit ca rollover stage main --key-type rsa:3072
scepkit ca rollover stage main --csr-out next.csr
scepkit ca rollover stage main --ca-cert next.pem
""")  # fmt: skip
@_ca_argument
@_next_options
@office_options
def stage(out: Output, /, name: str | None, config: str, actor: str | None, **options: Any) -> None:
    """Prepare the next generation of a CA.

    CA is its name in the configuration; it can be left out when there is one only. The next
    generation has the same name (subject) and a new key, in a file beside the present one. With
    several machines, copy that file to each before `activate`. If the CA is behind an RA, this also
    makes the RA's next certificate and shows the lines for the configuration.
    """
    from scepkit.cli.server.office import ca_name, open_office
    from scepkit.server import succession

    _check_options(options)
    with open_office(out, config, actor, keys=True) as office:
        heir = succession.heir_of(office.settings, office.store, ca_name(office.settings, name))
        succession.check_passphrase(office.settings, heir)
        if options["csr_out"] is not None:
            _write_request(out, office, heir, options)
            return
        following = _following(out, office, heir, options)
        staged = succession.stage(
            office.settings, office.store, heir, following, actor=office.actor, now=office.now
        )
    if office.settings.passphrase is None:
        out.warn(f"there is no passphrase: the key in {heir.key} is not encrypted")
    lines = "".join(ra_lines(ra, agent) for ra, agent in staged.agents.items())
    _show(
        out,
        [staged.ca],
        extra={"key": str(heir.key), "ra": agent_values(staged.agents)},
        text=f"\nBefore `activate`, add to the configuration, and reload the server:\n\n{lines}"
        if lines
        else "",
    )


def _check_options(options: dict[str, Any]) -> None:
    if options["ca_key"] is not None and options["ca_cert"] is None:
        raise click.UsageError("--ca-key needs --ca-cert")
    if options["csr_out"] is not None and options["ca_cert"] is not None:
        raise click.UsageError("--csr-out is for a CA that has no certificate yet")
    if options["ca_cert"] is not None and options["key_type"] is not None:
        raise click.UsageError("--key-type is not for a CA that has a certificate")


def _write_request(out: Output, office: Office, heir: Heir, options: dict[str, Any]) -> None:
    from scepkit.cli.output import fields
    from scepkit.keys import pem, write_file
    from scepkit.server import succession

    key = succession.key_for(office.settings, heir, options["key_type"])
    write_file(options["csr_out"], pem(succession.request_for(heir, key)))
    goes_on = f"scepkit ca rollover stage {heir.name} --ca-cert FILE"
    out.result(
        {"status": "waiting", "csr": options["csr_out"], "key": str(heir.key)},
        lambda: fields(
            [("request", options["csr_out"]), ("key", str(heir.key)), ("go on with", goes_on)]
        ),
    )


def _following(out: Output, office: Office, heir: Heir, options: dict[str, Any]) -> CaIssuer:
    from scepkit.cli.failures import Unfit
    from scepkit.cli.identity import KeyPassword
    from scepkit.keys import write_private_key
    from scepkit.server import succession
    from scepkit.server.keyring import read_key
    from scepkit.server.parsing import parse_lifetime

    settings = office.settings
    if options["ca_cert"] is None:
        validity = parse_lifetime(options["validity"])
        key = succession.key_for(settings, heir, options["key_type"])
        return succession.successor(heir, key, validity=validity, now=office.now)
    passwords = KeyPassword(out, options["key_password_file"])
    certificates = passwords.read_certificates(options["ca_cert"])
    if options["ca_key"] is not None:
        key = passwords.read_key(options["ca_key"])
        following = succession.existing(certificates, key, heir)
        if not heir.waits:
            write_private_key(heir.key, key, settings.passphrase)
    elif heir.waits:
        key = read_key(settings, heir.key)
        following = succession.existing(certificates, key, heir)
    else:
        raise Unfit(
            f"there is no key for it in {heir.key}",
            hint="name it with --ca-key, or let --csr-out make one",
            path=str(heir.key),
        )
    return following


@command("activate", within=rollover, example="scepkit ca rollover activate main")
@_ca_argument
@option("--force", is_flag=True, section="Decision",
        help="Also when the server would refuse the configuration then.")  # fmt: skip
@office_options
def activate(out: Output, /, name: str | None, config: str, actor: str | None, force: bool) -> None:
    """Let the staged generation issue from now on.

    The running servers take it up within seconds. This cannot be undone; the way back is a third
    generation. Refuses while the server would refuse its configuration afterwards: a key that is
    not here, or an RA certificate that is not in the configuration yet.
    """
    from scepkit.cli.failures import Unfit
    from scepkit.cli.server.office import ca_name, open_office
    from scepkit.server import admin, succession

    with open_office(out, config, actor, keys=True) as office:
        chosen = ca_name(office.settings, name)
        faults = succession.check_activation(office.settings, office.store, chosen, now=office.now)
        if faults and not force:
            raise Unfit(
                f"the server could not go on after that: {'; '.join(faults)}",
                hint="behind an RA, the configuration needs a further [[ra.NAME.decrypt]] or "
                "[ra.NAME.sign] with the RA's certificate by the next generation, which scepkit ca "
                "rollover stage has put into keys/ and shown; --force activates without",
            )
        for fault in faults:
            out.warn(fault)
        row = admin.activate_ca(office.store, chosen, actor=office.actor, now=office.now)
    _show(out, [row])


@command("cancel", within=rollover, example="scepkit ca rollover cancel main")
@_ca_argument
@office_options
def cancel(out: Output, /, name: str | None, config: str, actor: str | None) -> None:
    """Call a rollover off: the staged generation will not be used.

    Clients that have fetched its certificate keep it; that is harmless as long as nobody uses the
    key, whose file stays where it is.
    """
    from scepkit.cli.server.office import ca_name, open_office
    from scepkit.server import admin

    with open_office(out, config, actor) as office:
        chosen = ca_name(office.settings, name)
        row = admin.cancel_rollover(office.store, chosen, actor=office.actor, now=office.now)
    _show(out, [row])


# ------------------------------------------------------------------ output


def _show(
    out: Output, rows: list[Ca], *, extra: dict[str, Any] | None = None, text: str = ""
) -> None:
    from scepkit.cli.server.listing import ca_values, table

    values = [ca_values(row) for row in rows]

    def shown() -> str:
        return (
            table(
                ("ca", "status", "key", "valid from", "valid until", "SHA-256"),
                [
                    (one["label"], one["status"], one["certificate"]["key"],
                     one["certificate"]["notBefore"], one["certificate"]["notAfter"],
                     one["certificate"]["sha256"])
                    for one in values
                ],
            )
            + text
        )  # fmt: skip

    out.result({"generations": values, **(extra or {})}, shown)


def ra_lines(ra: str, agent: NewPair, table: str = "[[ra.{}.decrypt]]") -> str:
    """What the configuration has to say of an RA's new key or certificate."""
    import json

    return (
        f"{table.format(ra)}\nkey = {json.dumps(agent.key)}\n"
        f"certificate = {json.dumps(agent.certificate)}\n"
    )


def agent_values(agents: dict[str, NewPair]) -> list[dict[str, Any]]:
    """What ``--json`` says of new RA certificates."""
    from scepkit.cli.describe import certificate_values

    return [
        {
            "name": ra,
            "keyFile": agent.key,
            "certificateFile": agent.certificate,
            "certificate": certificate_values(agent.issued),
        }
        for ra, agent in agents.items()
    ]
