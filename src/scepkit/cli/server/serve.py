"""`scepkit serve`: the server itself."""

from __future__ import annotations

import os

import click

from scepkit.cli.command import command, option
from scepkit.cli.output import Output
from scepkit.cli.server.options import config_option

_SERVER = "Server"


@command("serve", example="""
scepkit serve --config /etc/scepkit/scepkit.toml
scepkit serve --bind 0.0.0.0:8080 --workers 4
""")  # fmt: skip
@config_option
@option("--bind", metavar="ADDRESS", section=_SERVER,
        help="Listen here instead of where the configuration says: 127.0.0.1:8080, [::]:8080 or "
        "unix:/run/scepkit.sock.")  # fmt: skip
@option("--workers", type=click.IntRange(0, 512), metavar="NUMBER", section=_SERVER,
        help="Answer requests with so many processes; 0 for one for each processor.")  # fmt: skip
def serve(out: Output, /, config: str, bind: str | None, workers: int | None) -> int:
    """Run a CA's server.

    SIGTERM and SIGINT stop it when the requests under way are answered. SIGHUP makes it read the
    configuration, the keys and the certificates again; if they are wrong it says so and goes on
    with what it has. It logs to stderr.
    """
    from pathlib import Path

    from scepkit.cli.server.office import server_environment
    from scepkit.errors import NotSupportedError

    over = {}
    if bind is not None:
        over["SCEPKIT_SERVER__BIND"] = bind
    if workers is not None:
        over["SCEPKIT_SERVER__WORKERS"] = str(workers)
    environ = server_environment(out, config, {**os.environ, **over})
    try:
        from scepkit.server.serve import serve as run
    except ImportError as error:
        raise NotSupportedError(
            f"the server needs libraries that are not installed: {error}",
            operation="serve",
            hint="pip install 'scepkit[server]', or in a checkout pip install '.[server]'",
        ) from error
    return run(Path(config).absolute(), environ)
