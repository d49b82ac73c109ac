"""`scepkit enrol-many`: as many certificates as a file has rows (the work is in `many`)."""

from __future__ import annotations

from typing import Any

import click

from scepkit.cli.command import command, option
from scepkit.cli.options import (
    http_options,
    key_password_option,
    key_type_option,
    new_key_password_option,
    protocol_options,
    trust_options,
    wait_options,
)
from scepkit.cli.output import Output

_EXAMPLE = """
scepkit enrol-many http://scep.example.com/scep routers.csv --dir /etc/routers \\
    --ca-fingerprint sha256:2C:F2:...:24 --challenge-file challenge.txt --rate 20
"""


@command("enrol-many", example=_EXAMPLE)
@click.argument("url")
@click.argument("file")
@trust_options
@option(
    "--challenge-file",
    metavar="FILE",
    section="Challenge",
    help="The challengePassword for rows that have none of their own; `-` is stdin. "
    "SCEPKIT_CHALLENGE can hold it too.",
)
@key_type_option
@key_password_option
@new_key_password_option
@option(
    "--dir",
    "directory",
    metavar="DIR",
    default=".",
    section="Files",
    help="Where each row gets a folder with key.pem, cert.pem and chain.pem, and where the "
    "journal is. Default: the present directory.",
)
@option(
    "--parallel",
    type=click.IntRange(1, 32),
    metavar="NUMBER",
    default=8,
    show_default=True,
    section="Pace",
    help="Ask for so many certificates at once, at most 32.",
)
@option(
    "--rate",
    type=click.FloatRange(min=0, min_open=True),
    metavar="NUMBER",
    section="Pace",
    help="Ask for at most so many certificates in a second, such as 0.5 or 20.",
)
@wait_options
@protocol_options
@http_options
def enrol_many(
    out: Output, /, url: str, file: str, directory: str, **options: Any
) -> int:  # fmt: skip
    """Obtain a certificate for each row of a file.

    FILE is CSV, with the columns' names in its first line, or has a JSON object on each line; `-`
    is stdin. The columns: subject; san and eku, several separated by blanks; challenge; name, the
    folder in DIR for the row's key.pem, cert.pem and chain.pem (without it, the common name of the
    subject); csr, the file of a request in place of subject, san and eku; and key, the file of a
    key that is there already.

    All rows are checked before anything is sent. The same command can be given again after it was
    killed, or after rows failed: rows that have a cert.pem are passed over, and a request that the
    CA may have got is asked for before it is sent again, so that no row gets two certificates.

    A row that fails does not keep the others from their certificates; a server that cannot be
    reached ends the command.
    """
    from scepkit.cli.many.run import run

    return run(out, url, file, directory, options)
