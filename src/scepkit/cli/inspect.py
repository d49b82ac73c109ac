"""`scepkit inspect`: what is in a message, and what is odd in it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from scepkit.cli.command import command, option
from scepkit.cli.failures import Unfit
from scepkit.cli.options import challenge_options, key_password_option
from scepkit.cli.output import Output
from scepkit.cli.passwords import Challenge, only_one_from_stdin, read_input
from scepkit.errors import DecodeError

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.core.certificates import PrivateKey
    from scepkit.core.inspect import Inspection

_LARGEST = 64 * 1024 * 1024
_EXPLANATION = "Explanation"

_EXAMPLE = """
scepkit inspect request.der --key ca.key --cert ca.pem
scepkit inspect reply.http --request request.http --ca-cert ca.pem --explain
curl -s 'http://scep.example.com/scep?operation=GetCACert' | scepkit inspect - --json
"""


@command("inspect", example=_EXAMPLE)
@click.argument("message", metavar="MESSAGE")
@option(
    "--key",
    metavar="FILE",
    section="Key",
    help="Decrypt with this private key: the CA's or RA's for a request, the requester's for "
    "a reply.",
)
@option(
    "--cert",
    metavar="FILE",
    section="Key",
    help="The certificate of --key, by which a message names its recipient.",
)
@key_password_option
@challenge_options
@option(
    "--explain",
    is_flag=True,
    section=_EXPLANATION,
    help="Say which check fails at a strict server or client, why, and what to change.",
)
@option(
    "--request",
    metavar="FILE",
    section=_EXPLANATION,
    help="The request that MESSAGE answers; whether it does is then checked too.",
)
@option(
    "--ca-cert",
    metavar="FILE",
    section=_EXPLANATION,
    help="The certificates of the CA and its RAs; one of them must have signed a reply.",
)
@option("--out", metavar="FILE", section="Files", help="Write the decrypted messageData to FILE.")
def inspect(
    out: Output, /, message: str, key: str | None, cert: str | None, **options: Any
) -> None:
    """Decode a SCEP message, and say why it is refused.

    MESSAGE is a file, or `-` for stdin: a pkiMessage, any CMS layer of one, a certificate request,
    a certificate or a CRL, in DER or BER, PEM or base64, the URL of a GET, or HTTP as it was
    captured, with its heads and chunks. Nothing is trusted and nothing is refused: legacy
    algorithms are read, and what is wrong is listed. With the key of the recipient, or the
    challenge where a message is encrypted with it, the content is shown too; the challengePassword
    in a request is not.
    """
    only_one_from_stdin({**options, "key": key, "cert": cert}, message=message)
    from scepkit.core.inspect import inspect_message, render_text, to_json

    data = read_input(message, limit=_LARGEST)
    private, certificate = _identity(out, key, cert, options["key_password_file"])
    authorities = _authorities(out, options["ca_cert"])
    secret = Challenge(out, options).get()
    try:
        found = inspect_message(
            data,
            key=private,
            certificate=certificate,
            password=None if secret is None else secret.encode(),
            signers=authorities,
        )
    except DecodeError as error:
        # Here the file is what is wrong, not a peer.
        raise Unfit(f"{message}: {error}", hint=error.hint, path=message) from None
    if options["out"] is not None:
        _write_message_data(out, options["out"], found.layers)
    if not options["explain"]:
        out.result(to_json(found), lambda: render_text(found))
        return
    from scepkit.core.inspect.explain import explain
    from scepkit.core.inspect.explanation import Known, explanation_json, explanation_text

    known = Known(
        request=_request(options["request"]),
        authorities=authorities,
        key=private,
    )
    explanation = explain(found, known)
    out.result(
        {**to_json(found), "explanation": explanation_json(explanation)},
        lambda: f"{render_text(found)}\n{explanation_text(explanation)}",
    )


def _identity(
    out: Output, key: str | None, cert: str | None, password_file: str | None
) -> tuple[PrivateKey | None, x509.Certificate | None]:
    if key is None and cert is None:
        return None, None
    from scepkit.cli.identity import KeyPassword, own_certificate

    passwords = KeyPassword(out, password_file)
    private = None if key is None else passwords.read_key(key)
    if cert is None:
        return private, None
    certificates = passwords.read_certificates(cert)
    if private is None:
        return None, certificates[0]
    return private, own_certificate(certificates, private, cert)


def _request(path: str | None) -> Inspection | None:
    if path is None:
        return None
    from scepkit.core.inspect import inspect_message

    try:
        return inspect_message(read_input(path, limit=_LARGEST))
    except DecodeError as error:
        raise Unfit(f"{path}: {error}", hint=error.hint, path=path) from None


def _authorities(out: Output, path: str | None) -> tuple[x509.Certificate, ...]:
    if path is None:
        return ()
    from scepkit.cli.identity import KeyPassword

    return tuple(KeyPassword(out, None).read_certificates(path))


def _write_message_data(out: Output, path: str, layers: tuple[Inspection, ...]) -> None:
    from scepkit.keys import write_file

    for layer in layers:
        if layer.envelope is not None and layer.envelope.message_data is not None:
            # It may hold a challengePassword.
            write_file(path, layer.envelope.message_data, 0o600, force=True)
            out.note(f"wrote {path}")
            return
    raise Unfit(
        "there is no decrypted messageData to write",
        hint="give the recipient's key with --key, and --cert",
    )
