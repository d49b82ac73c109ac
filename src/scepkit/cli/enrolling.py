"""The work of `scepkit enrol`.

The order is the point of this file: first the options, then the key in memory, then the CA's
identity, then the challenge, then the key on the disk, then the request.  So a failure leaves
nothing behind that stands in the way of the same command again.
"""

from __future__ import annotations

import os

from scepkit.cli import swap
from scepkit.cli.connect import Options, open_client, read_message_type
from scepkit.cli.describe import key_type
from scepkit.cli.destination import Destination, alone_in
from scepkit.cli.failures import ExitCode, Unfit
from scepkit.cli.identity import KeyPassword, read_p12_password, read_requester
from scepkit.cli.outcome import Errand, send
from scepkit.cli.output import Output
from scepkit.cli.passwords import Challenge, only_one_from_stdin
from scepkit.cli.request import Wanted, read_request_options
from scepkit.client import Client
from scepkit.core.certificates import PrivateKey
from scepkit.core.enrolment import Requester
from scepkit.keys import generate_key, parse_key_spec, write_private_key


def run(out: Output, url: str, directory: str, options: Options) -> ExitCode:
    """Obtain a certificate into `directory`."""
    only_one_from_stdin(options)
    wanted = read_request_options(options)
    if options["key_type"] is not None:
        parse_key_spec(options["key_type"])
    secret = Challenge(out, options)
    with open_client(out, url, options) as client:
        os.makedirs(directory, exist_ok=True)
        with alone_in(directory):
            return _enrol(out, client, wanted, secret, directory, options)


def _enrol(
    out: Output,
    client: Client,
    wanted: Wanted,
    secret: Challenge,
    directory: str,
    options: Options,
) -> ExitCode:
    pending_path = os.path.join(directory, "pending.json")
    passwords = KeyPassword(out, options["key_password_file"], options["new_key_password_file"])
    destination = _destination(directory, options)
    if not options["force"]:
        _refuse_pending(pending_path)
        if os.path.lexists(destination.certificate):
            from scepkit.cli.present import nothing_to_do

            return nothing_to_do(out, destination, wanted, passwords, options)
        if options["p12"] is not None and os.path.lexists(options["p12"]):
            raise Unfit(
                f"{options['p12']} exists and is not overwritten",
                hint="name another file, or use --force",
                path=options["p12"],
            )
    p12_password = read_p12_password(out, options["p12_password_file"]) if options["p12"] else None
    key, is_new = _key(out, destination, passwords, options)
    requester: Requester | None = None
    if options["signer_cert"] is not None:
        requester = read_requester(passwords, options["signer_cert"], options["signer_key"])
    profile = options["profile"]
    # Before the challenge is asked for, and before anything is written.
    client.get_ca_certificates(profile)
    challenge = secret.get()
    csr = wanted.csr_for(key, challenge)
    if is_new:
        write_private_key(destination.present_key, key, passwords.for_new())
        out.step(f"wrote {destination.present_key}")
    errand = Errand(
        destination=destination,
        pending_path=pending_path,
        key=key,
        signer_key=key if requester is None else requester.key,
        signer_key_path=_signer_key_path(destination, options),
        challenge=challenge,
        p12=options["p12"],
        p12_password=p12_password,
        options=options,
    )
    return send(
        out,
        client,
        errand,
        lambda on_started: client.enrol(
            csr,
            key,
            requester=requester,
            profile=profile,
            challenge=challenge,
            renewal=read_message_type(options),
            on_started=on_started,
        ),
    )


def _destination(directory: str, options: Options) -> Destination:
    """Where everything goes."""
    own_key = os.path.join(directory, "key.pem")
    certificate = os.path.join(directory, "cert.pem")
    swap.finish(certificate)
    return Destination(
        key=options["key"] or own_key,
        certificate=certificate,
        chain=os.path.join(directory, "chain.pem"),
        # A key that is in use is replaced together with its certificate.
        staged=options["force"] and options["key"] is None and os.path.lexists(own_key),
    )


def _refuse_pending(path: str) -> None:
    if not os.path.lexists(path):
        return
    from scepkit.cli.pending_file import is_done, read_pending

    stored = read_pending(path)
    if is_done(stored):
        os.unlink(path)
    elif stored.answered:
        raise Unfit(
            f"{path} exists: a request is waiting for the CA's decision",
            hint=f"scepkit poll {path} asks for it; --force starts again",
            path=path,
        )


def _key(
    out: Output, destination: Destination, passwords: KeyPassword, options: Options
) -> tuple[PrivateKey, bool]:
    """The key, and whether it is new and has to be written."""
    path = destination.present_key
    if options["key"] is not None:
        return passwords.read_key(path), False
    if os.path.lexists(path):
        key = passwords.read_key(path, first=passwords.for_new())
        refuse_other_type(key, path, options["key_type"])
        out.note(f"using the key of an earlier attempt, {path}")
        return key, False
    return generate_key(options["key_type"] or "rsa:2048"), True


def refuse_other_type(key: PrivateKey, path: str, wanted: str | None) -> None:
    """Refuse a key that is kept from an earlier attempt and is not of the type `wanted` now."""
    found = key_type(key)
    if wanted is not None and found != str(parse_key_spec(wanted)):
        raise Unfit(
            f"{path} is the key of an earlier attempt, of the type {found}, and --key-type asks "
            f"for {wanted}",
            hint="remove it if no certificate can have been issued for it",
            path=path,
        )


def _signer_key_path(destination: Destination, options: Options) -> str:
    if options["signer_cert"] is None:
        return destination.present_key
    path: str = options["signer_key"] or options["signer_cert"]
    return path
