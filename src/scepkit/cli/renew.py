"""`scepkit renew`: replace a certificate before it expires (the work is in `renewing`)."""

from __future__ import annotations

from typing import Any

import click

from scepkit.cli.command import command, option
from scepkit.cli.options import (
    challenge_options,
    http_options,
    key_password_option,
    key_type_option,
    message_type_option,
    new_key_password_option,
    p12_options,
    protocol_options,
    trust_options,
    wait_options,
)
from scepkit.cli.output import Output

_EXAMPLE = """
scepkit renew http://scep.example.com/scep --cert cert.pem --key key.pem
scepkit renew http://scep.example.com/scep --cert cert.pem --key key.pem --days 14 --wait 60
"""


@command("renew", example=_EXAMPLE)
@click.argument("url")
@option(
    "--cert",
    metavar="FILE",
    required=True,
    section="Files",
    help="The certificate to renew, in PEM; its successor takes its place.",
)
@option(
    "--key",
    metavar="FILE",
    required=True,
    section="Files",
    help="Its private key, in PEM; a new key takes its place together with the certificate.",
)
@option(
    "--chain",
    metavar="FILE",
    section="Files",
    help="Where the issuers' certificates go. Default: chain.pem beside the certificate, if "
    "there is one.",
)
@p12_options
@option(
    "--days",
    type=click.FloatRange(min=0),
    metavar="DAYS",
    section="When",
    help="Do nothing if the certificate is valid for more than so many days. Default: 30, or "
    "a third of its lifetime where that is shorter.",
)
@option(
    "--force",
    is_flag=True,
    section="When",
    help="Renew however long the certificate is still valid.",
)
@option("--same-key", is_flag=True, section="Key", help="Keep the key.")
@key_type_option
@key_password_option
@new_key_password_option
@trust_options
@challenge_options
@wait_options
@protocol_options
@message_type_option
@http_options
def renew(out: Output, /, url: str, **options: Any) -> int:  # fmt: skip
    """Replace a certificate before it expires.

    Does nothing, with exit code 0, while the certificate is valid for longer than --days: made to
    be run every day. Otherwise asks the CA behind the SCEP server at URL for a new certificate
    with the names of the old one, for a new key of the same type, signed with the old one.

    New key and new certificate take the place of the old ones at the same instant, so that a
    service that reads them finds a pair, even after a power failure. Until then the new key is in
    KEY.new, and is used again when a renewal is repeated. A renewal that is pending is polled when
    the command is run again.

    Without a trust option, the CA certificates in chain.pem, or after the certificate in its file,
    are trusted, and those in next-ca.pem beside chain.pem (`scepkit next-ca`).
    """
    if options["same_key"] and options["key_type"] is not None:
        raise click.UsageError("--same-key and --key-type exclude each other")
    if options["p12_password_file"] is not None and options["p12"] is None:
        raise click.UsageError("--p12-password-file needs --p12")
    from scepkit.cli.renewing import run

    return run(out, url, options)
