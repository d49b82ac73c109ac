"""`scepkit init`: a CA in one minute."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, option, together
from scepkit.cli.output import Output
from scepkit.cli.server.options import actor_option

if TYPE_CHECKING:
    from scepkit.server.establishing import Established
    from scepkit.server.settings import Settings

_CA = "CA"
_EXISTING = "CA that exists, or gets its certificate elsewhere"
_KEYS = "Keys"
_SERVER = "Server"

#: Hosts that only this machine reaches.
_HERE = ("127.0.0.1", "localhost", "::1")
PRESETS = ["generic", "apple", "windows", "cisco", "strict"]

_ca_options = together(
    option("--subject", metavar="NAME", section=_CA,
           help="The CA's name, as CN=Acme Device CA,O=Acme. Default: one with this machine's "
                "name."),
    option("--key-type", metavar="TYPE", section=_CA,
           help="The CA's key: rsa:2048, rsa:3072, rsa:4096, ec:p256, ec:p384 or ec:p521. With an "
                "EC key there is also an RA with an RSA key, because only RSA decrypts requests. "
                "Default: rsa:2048."),
    option("--validity", metavar="DURATION", section=_CA,
           help="How long the CA is valid, as 3650d. Default: 3650d."),
    option("--ra", "with_ra", is_flag=True, section=_CA,
           help="Have an RA also where the CA's own RSA key could do its work: then that key "
                "signs certificates and CRLs, and nothing else."),
    option("--preset", type=click.Choice(PRESETS), section=_CA,
           help="The kind of clients that the first profile is for. Default: generic."),
)  # fmt: skip

_existing_options = together(
    option("--ca-cert", metavar="FILE", section=_EXISTING,
           help="Take this CA certificate instead of making one. Further certificates in FILE are "
                "the ones above it."),
    option("--ca-key", metavar="FILE", section=_EXISTING,
           help="The private key of --ca-cert (PEM, DER or PKCS #12)."),
    option("--key-password-file", metavar="FILE", section=_EXISTING,
           help="The password of --ca-key; `-` is stdin. SCEPKIT_KEY_PASSWORD can hold it too."),
    option("--csr-out", metavar="FILE", section=_EXISTING,
           help="Make the key only, and write a request (PKCS #10) for the CA's certificate to "
                "FILE. `scepkit init DIR --ca-cert FILE` goes on when an external root has "
                "certified it."),
)  # fmt: skip

_server_options = together(
    option("--passphrase-file", metavar="FILE", section=_KEYS,
           help="The passphrase that the private keys are encrypted with; the configuration names "
                "FILE. `-` is stdin, and then it does not. SCEPKIT_PASSPHRASE or the systemd "
                "credential `passphrase` can hold it too. Otherwise scepkit asks for it at the "
                "terminal, or makes one."),
    option("--database", metavar="URL", section=_SERVER,
           help="sqlite:///FILE in DIR, sqlite:////PATH anywhere, or "
                "postgresql://USER@HOST/DATABASE for several machines. Default: "
                "sqlite:///scepkit.db."),
    option("--database-password-file", metavar="FILE", section=_SERVER,
           help="The password for PostgreSQL; the configuration names FILE."),
    option("--bind", metavar="ADDRESS", section=_SERVER,
           help="Where the server listens. Default: 127.0.0.1:8080."),
    option("--public-url", metavar="URL", section=_SERVER,
           help="Where the world reaches it, as http://ca.example. Certificates then say where "
                "their CRL is."),
    actor_option,
)  # fmt: skip


@command("init", example="""
scepkit init acme-ca --subject 'CN=Acme Device CA,O=Acme' --public-url http://ca.example
scepkit init acme-ca --key-type ec:p256 --passphrase-file /etc/scepkit/passphrase
""")  # fmt: skip
@click.argument("directory", metavar="[DIR]", default=".")
@_ca_options
@_existing_options
@_server_options
def init(out: Output, /, directory: str, actor: str | None, **options: Any) -> None:
    """Make a CA: keys, configuration and database.

    DIR is new or empty; without it, it is the present directory. In the end it has everything that
    `scepkit serve` needs, or after a failure nothing. Prints the address, the fingerprint for
    clients, and a first one-time challenge.
    """
    from datetime import UTC, datetime

    from scepkit.cli.server import founding
    from scepkit.cli.server.office import actor_name

    name = actor_name(actor)
    target = os.path.abspath(directory)
    now = datetime.now(UTC)
    if founding.is_waiting(target):
        established = founding.go_on(out, target, options, actor=name, now=now)
    elif options["csr_out"] is not None:
        _show_waiting(out, directory, founding.begin(out, target, options, now=now))
        return
    else:
        established = founding.found(out, target, options, actor=name, now=now)
    _show(out, directory, established)


def _starting(settings: Settings, config: str) -> list[tuple[str, str]]:
    """The command that starts it, and where it listens if others are to reach it and cannot."""
    from urllib.parse import urlsplit

    from scepkit.config import Address
    from scepkit.server.plan import BIND

    public, bind = settings.server.public_url, settings.server.bind
    command = f"scepkit serve --config {config}"
    parts = urlsplit(public or "")
    if public is None or bind.host not in _HERE:
        return [("start it with", command)]
    if parts.scheme != "http" or parts.hostname not in _HERE:
        note = f"at {bind}, for a proxy in front; --bind 0.0.0.0:80 is for everybody"
        return [("start it with", command), ("", note)]
    host = "127.0.0.1" if parts.hostname == "localhost" else parts.hostname
    there = Address(host, parts.port or 80)
    if there != bind and str(bind) == BIND:
        command = f"{command} --bind {there}"
    return [("start it with", command)]


def _show(out: Output, directory: str, made: Established) -> None:
    from scepkit.cli.describe import certificate_values, colons, rfc3339
    from scepkit.cli.output import fields
    from scepkit.cli.server.office import server_url

    settings, minted = made.settings, made.challenge
    ca = certificate_values(made.certificate)
    config = os.path.join(directory, "scepkit.toml")
    url = server_url(settings, minted.profile)
    values = {
        "url": url,
        "fingerprint": f"sha256:{ca['sha256']}",
        "challenge": {
            "id": minted.id,
            "profile": minted.profile,
            "secret": minted.secret,
            "expires": rfc3339(minted.expires_at),
        },
        "config": config,
        "ca": ca,
        "database": settings.database.url,
        "ra": bool(settings.ra),
        "passphrase": made.passphrase_file or None,
    }
    if made.passphrase_file:
        out.warn(
            f"the keys are encrypted, but their passphrase is beside them, in "
            f"{os.path.join(directory, made.passphrase_file)}; {config} says how to part them"
        )
    for note in made.notes:
        out.note(note)
    out.result(
        values,
        lambda: fields(
            [
                ("URL", url),
                ("CA", ca["subject"]),
                ("valid", f"{ca['notBefore']} to {ca['notAfter']}"),
                ("SHA-256", colons(ca["sha256"])),
                ("challenge", minted.secret),
                ("", f"for one enrolment until {rfc3339(minted.expires_at)}"),
                ("configuration", config),
                *_starting(settings, config),
            ]
        ),
    )


def _show_waiting(out: Output, directory: str, csr: str) -> None:
    from scepkit.cli.output import fields

    command = f"scepkit init {directory} --ca-cert FILE"
    out.result(
        {"status": "waiting", "csr": csr, "directory": directory},
        lambda: fields([("request", csr), ("go on with", command)]),
    )
