"""`scepkit caps`: what a CA says it can do, and what scepkit makes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command
from scepkit.cli.connect import open_client, trust_nobody
from scepkit.cli.options import http_options, profile_option
from scepkit.cli.output import Output, fields
from scepkit.cli.passwords import only_one_from_stdin
from scepkit.errors import DecodeError

if TYPE_CHECKING:
    from scepkit.core.capabilities import Capabilities

_EXAMPLE = """
scepkit caps http://scep.example.com/scep
scepkit caps http://ndes.example.com/certsrv/mscep/mscep.dll --json
"""

_NOTHING = {
    "none": "the server announced nothing",
    "http-error": "the server answered with an HTTP error, which announces nothing",
    "closed": "the server closed the connection, which announces nothing",
}


@command("caps", example=_EXAMPLE)
@click.argument("url")
@profile_option
@http_options
def caps(out: Output, /, url: str, profile: str | None, **options: Any) -> None:
    """Show what a CA says it can do.

    Asks the SCEP server at URL for its capabilities (GetCACaps) and shows the words it announces,
    words scepkit does not know, and which algorithms and which HTTP method scepkit would use with
    it. Nobody signs this answer, so it needs no trust and earns none. A web page in its place is a
    failure: most often the URL is wrong. A server that announces nothing is asked for its
    certificate (GetCACert) too: where it has none, it is no SCEP server.
    """
    only_one_from_stdin(options)
    with open_client(out, url, options, trust=trust_nobody) as client:
        found = client.get_capabilities(profile)
        if found.source in _NOTHING:
            # Any web server answers so: who has no certificate either is no SCEP server.
            client.fetch_ca_offer(profile)
        values = _values(found, client.url, force_get=options["force_get"])
    if found.source == "html":
        raise _web_page(found.title)
    if found.source in _NOTHING:
        out.note(_NOTHING[found.source])
    out.result(values, lambda: fields(_lines(values)))


def _web_page(title: str) -> DecodeError:
    return DecodeError(
        f"the server answered GetCACaps with the HTML page {title!r}, expected a list of words",
        title=title,
        hint="check the path of the URL (NDES: /certsrv/mscep/mscep.dll), and whether a proxy or a "
        "login page stands in between; where `scepkit ca` finds a CA all the same, enrol takes the "
        "least that is safe: 3DES, SHA-1 and GET",
    )


def _values(found: Capabilities, url: str, *, force_get: bool) -> dict[str, Any]:
    known = [word for word in found.to_words() if word not in found.unknown]
    return {
        "url": url,
        "capabilities": known,
        "unknown": list(found.unknown),
        "source": found.source,
        "chosen": {
            "cipher": found.strongest_cipher.value,
            "digest": found.preferred_digest.value,
            "method": "POST" if found.post and not force_get else "GET",
            "renewal": "RenewalReq" if found.renewal else "PKCSReq",
        },
        "strongest": {
            "cipher": found.strongest_cipher.value,
            "digest": found.strongest_digest.value,
            "signature": found.strongest_signature,
        },
    }


def _lines(values: dict[str, Any]) -> list[tuple[str, str]]:
    chosen = values["chosen"]
    return [
        ("announced", ", ".join(values["capabilities"]) or "nothing"),
        *([("unknown words", ", ".join(values["unknown"]))] if values["unknown"] else []),
        ("cipher", chosen["cipher"]),
        ("digest", chosen["digest"]),
        ("method", chosen["method"]),
        ("renewal by", chosen["renewal"]),
    ]
