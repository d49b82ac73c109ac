"""`scepkit mock`: a server that is wrong on purpose, to try a client on."""

from __future__ import annotations

import errno
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, option
from scepkit.cli.output import Output, fields, printable
from scepkit.errors import InputError

if TYPE_CHECKING:
    import ssl
    import threading

    from scepkit.testing import Fault, HttpExchange, ReceivedMessage, TestCa

_SERVER, _CA = "Server", "CA"
#: The challengePassword of every mock; it protects nothing.
CHALLENGE = "secret"
_DEFAULT_BIND = "127.0.0.1:8099"
#: How often what came is told, in seconds.
_LOOKING = 0.2

_EXAMPLE = """
scepkit mock --list
scepkit mock --fault signer-is-end-entity --write-ca ca.pem
"""


@command("mock", example=_EXAMPLE)
@option(
    "--fault",
    "faults",
    metavar="NAME",
    multiple=True,
    section=_SERVER,
    help="Be wrong in this way; several can be given. Without one, the server is right.",
)
@option(
    "--list",
    "listed",
    is_flag=True,
    section=_SERVER,
    help="List the faults, and what a right client does; serve nothing.",
)
@option(
    "--bind",
    metavar="ADDRESS",
    default=_DEFAULT_BIND,
    show_default=True,
    section=_SERVER,
    help="Listen here; port 0 takes a free one.",
)
@option(
    "--tls-cert",
    metavar="FILE",
    section=_SERVER,
    help="Serve HTTPS with this certificate and the key in --tls-key, both in PEM.",
)
@option("--tls-key", metavar="FILE", section=_SERVER, help="The key of --tls-cert.")
@option(
    "--key-type",
    type=click.Choice(["rsa:2048", "ec:p256", "ed25519"]),
    default="rsa:2048",
    show_default=True,
    section=_CA,
    help="The kind of the CA's key.",
)
@option(
    "--ra",
    type=click.Choice(["none", "rsa", "ec", "split"]),
    default="none",
    show_default=True,
    section=_CA,
    help="Who answers for the CA: itself, one RA, or one that signs and one that decrypts.",
)
@option("--intermediate", is_flag=True, section=_CA, help="Put a root above the CA.")
@option(
    "--pending",
    "polls",
    type=click.IntRange(0),
    metavar="NUMBER",
    default=0,
    section=_CA,
    help="Answer PENDING until a request was polled so many times.",
)
@option("--next-ca", is_flag=True, section=_CA, help="Have a next CA certificate to fetch.")
@option(
    "--no-challenge",
    is_flag=True,
    section=_CA,
    help=f"Let anybody enrol; otherwise the challengePassword is {CHALLENGE!r}.",
)
@option("--write-ca", metavar="FILE", section=_CA, help="Write the certificate to trust to FILE.")
def mock(out: Output, /, listed: bool, faults: tuple[str, ...], **options: Any) -> None:
    """Be a SCEP server that is wrong on purpose.

    It is for trying clients: each fault is one that servers or attackers really have, and the
    command says what a right client does about it. Keys are made when it starts and kept nowhere.
    What comes is told on stderr. SIGINT and SIGTERM end it. Not for production.
    """
    from scepkit.testing import Fault

    if listed:
        out.result({"faults": [_as_json(one) for one in Fault]}, _listing)
        return
    chosen = [Fault.named(name) for name in faults]
    ca = _made(chosen, options)
    host, port = _address(options["bind"])
    context = _tls(options)
    stop = _stopped_by_signals()
    with ExitStack() as stack:
        url = _listening(ca, host, port, context, options["bind"], stack)
        # Not before: the file may be that of the mock which listens there.
        if options["write_ca"] is not None:
            _write_ca(ca, options["write_ca"])
            out.note(f"wrote {options['write_ca']}")
        out.result(
            _started_json(ca, url, chosen, options), lambda: _started(ca, url, chosen, options)
        )
        _tell(out, ca, stop)


def _listening(
    ca: TestCa,
    host: str,
    port: int,
    context: ssl.SSLContext | None,
    bind: str,
    stack: ExitStack,
) -> str:
    """The URL of a CA that serves until `stack` is closed."""
    try:
        return stack.enter_context(ca.serve(host, port, ssl_context=context))
    except OSError as error:
        raise InputError(
            f"cannot listen on {bind}: {error.strerror}",
            hint="another program, or a mock that still runs, listens there: stop it, or choose "
            "another address with --bind (port 0 takes a free one)"
            if error.errno == errno.EADDRINUSE
            else "",
        ) from None


def _made(faults: list[Fault], options: dict[str, Any]) -> TestCa:
    from scepkit.testing import TestCa

    ca = TestCa(
        key=options["key_type"],
        ra=options["ra"],
        intermediate=options["intermediate"] or any(one.needs_intermediate for one in faults),
        challenge=None if options["no_challenge"] else CHALLENGE,
        pending_polls=options["polls"],
        faults=faults,
    )
    if options["next_ca"] or any(one.operation == "next-ca" for one in faults):
        ca.stage_next_ca(options["key_type"])
    return ca


def _address(text: str) -> tuple[str, int]:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise click.UsageError(f"--bind must be ADDRESS:PORT, found {text!r}")
    return host.removeprefix("[").removesuffix("]") or "127.0.0.1", int(port)


def _tls(options: dict[str, Any]) -> ssl.SSLContext | None:
    cert, key = options["tls_cert"], options["tls_key"]
    if cert is None and key is None:
        return None
    if cert is None or key is None:
        raise click.UsageError("--tls-cert and --tls-key belong together")
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key)
    except (OSError, ssl.SSLError) as error:
        raise click.UsageError(f"{cert} and {key} cannot be used for TLS: {error}") from None
    return context


def _write_ca(ca: TestCa, path: str) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding

    from scepkit.keys import write_file

    write_file(path, ca.root.public_bytes(Encoding.PEM), force=True)


def _stopped_by_signals() -> threading.Event:
    import signal
    import threading

    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop


# ------------------------------------------------------------------ what is said


def _as_json(fault: Fault) -> dict[str, Any]:
    return {
        "name": fault.plain_name,
        "does": fault.does,
        "rightClient": fault.right,
        "operation": fault.operation,
        "ends": fault.ends,
    }


def _listing() -> str:
    from scepkit.testing import Fault

    width = max(len(one.plain_name) for one in Fault)
    lines = []
    for one in Fault:
        lines.append(f"{one.plain_name:<{width}}  {one.does}")
        lines.append(f"{'':<{width}}  -> {one.ends}: {one.right}")
    return "\n".join(lines) + "\n"


def _started_json(
    ca: TestCa, url: str, faults: list[Fault], options: dict[str, Any]
) -> dict[str, Any]:
    return {
        "url": url,
        "subject": ca.root.subject.rfc4514_string(),
        "sha256": ca.fingerprint,
        "challenge": None if options["no_challenge"] else CHALLENGE,
        "faults": [_as_json(one) for one in faults],
    }


def _started(ca: TestCa, url: str, faults: list[Fault], options: dict[str, Any]) -> str:
    pairs = [
        ("URL", url),
        ("CA", ca.root.subject.rfc4514_string()),
        ("SHA-256", ca.fingerprint),
        ("challenge", "none is needed" if options["no_challenge"] else CHALLENGE),
    ]
    for one in faults:
        pairs += [
            ("fault", f"{one.plain_name}: {one.does}"),
            ("a right client", f"{one.right} ({one.operation}: {one.ends})"),
        ]
    return fields(pairs or [("fault", "none")])


def _tell(out: Output, ca: TestCa, stop: threading.Event) -> None:
    """Say on stderr what comes, until it is time to stop."""
    exchanges = messages = 0
    while True:
        ended = stop.wait(_LOOKING)
        for one in ca.messages[messages:]:
            out.note(_message_text(one))
        for each in ca.exchanges[exchanges:]:
            out.note(_exchange_text(each))
        messages, exchanges = len(ca.messages), len(ca.exchanges)
        if ended:
            break
    out.note(f"requests: {exchanges}; certificates issued: {len(ca.issued)}")


def _exchange_text(exchange: HttpExchange) -> str:
    return f"{exchange.method} {exchange.operation}: {exchange.status}"


def _message_text(message: ReceivedMessage) -> str:
    kind = message.message_type.rfc_name if message.message_type else "unknown message"
    text = f"{kind} {printable(message.transaction_id)}: {message.status.name}"
    if message.fail_info_text:
        text += f" ({printable(message.fail_info_text)})"
    return text
