"""`scepkit poll`: ask again for a certificate that was pending."""

from __future__ import annotations

from typing import Any

import click

from scepkit.cli.command import command, option
from scepkit.cli.options import (
    challenge_options,
    http_options,
    key_password_option,
    new_key_password_option,
    p12_password_option,
    trust_options,
    wait_options,
)
from scepkit.cli.output import Output

_EXAMPLE = """
scepkit poll /etc/router1/pending.json
scepkit poll /etc/router1/pending.json --wait 3600
"""


@command("poll", example=_EXAMPLE)
@click.argument("pending", metavar="PENDING.json")
@option(
    "--key",
    metavar="FILE",
    section="Key",
    help="The key that signed the request, if it is no longer where it was.",
)
@key_password_option
@new_key_password_option
@trust_options
@challenge_options
@p12_password_option
@wait_options
@http_options
def poll(out: Output, /, pending: str, **options: Any) -> int:  # fmt: skip
    """Ask again for a certificate that was pending.

    PENDING.json is the file that `scepkit enrol` or `scepkit renew` has left, or the directory with
    pending.json in it. It says where the key is, where the certificate goes, and which CA was
    trusted, so that nothing has to be said again; it is removed when the CA has decided. A
    challenge is needed only where the key is not RSA, and then the same one as before.

    A trust option is needed only where the CA has a new certificate since: it replaces the CA that
    was trusted.
    """
    from scepkit.cli.polling import run

    return run(out, pending, options)
