"""`scepkit enrol`: obtain a certificate (the work is in `enrolling`)."""

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
    request_options,
    signer_options,
    trust_options,
    wait_options,
)
from scepkit.cli.output import Output

_EXAMPLE = """
scepkit enrol http://scep.example.com/scep --subject CN=router1,O=Acme \\
    --san dns:router1.example.com --ca-fingerprint sha256:2C:F2:...:24 \\
    --challenge-file challenge.txt --dir /etc/router1
"""


@command("enrol", example=_EXAMPLE)
@click.argument("url")
@request_options
@trust_options
@challenge_options
@option(
    "--key",
    metavar="FILE",
    section="Key",
    help="Use this private key (PEM, DER or PKCS #12) instead of making one.",
)
@key_type_option
@key_password_option
@new_key_password_option
@signer_options
@option(
    "--dir",
    "directory",
    metavar="DIR",
    default=".",
    section="Files",
    help="Where key.pem, cert.pem, chain.pem and pending.json go. Default: the present directory.",
)
@option(
    "--force",
    is_flag=True,
    section="Files",
    help="Replace the key and certificate in DIR, as soon as the new certificate is there.",
)
@p12_options
@wait_options
@protocol_options
@message_type_option
@http_options
def enrol(out: Output, /, url: str, directory: str, **options: Any) -> int:  # fmt: skip
    """Obtain a certificate.

    Asks the CA behind the SCEP server at URL for a certificate, and writes key.pem, cert.pem and
    chain.pem (the certificates from the issuer of cert.pem up to the trusted one) to DIR.

    The key is made here unless --key gives one, and is on the disk before the request leaves. A
    key.pem in DIR without a cert.pem is from an attempt that failed: it is used again, so the same
    command can be repeated until it succeeds. Where there is a cert.pem that is what is asked for,
    there is nothing to do; any other is an error, unless --force says to replace it.

    When the CA wants to decide first, DIR gets a pending.json and the exit code is 3; `scepkit
    poll DIR/pending.json` asks again.
    """
    if options["csr"] is not None and options["key"] is None:
        raise click.UsageError("--csr needs --key, the key that the request was made with")
    if options["key"] is not None and options["key_type"] is not None:
        raise click.UsageError("--key and --key-type exclude each other")
    if options["signer_key"] is not None and options["signer_cert"] is None:
        raise click.UsageError("--signer-key needs --signer-cert")
    if options["message_type"] == "RenewalReq" and options["signer_cert"] is None:
        raise click.UsageError("--message-type RenewalReq needs --signer-cert")
    if options["p12_password_file"] is not None and options["p12"] is None:
        raise click.UsageError("--p12-password-file needs --p12")
    from scepkit.cli.enrolling import run

    return run(out, url, directory, options)
