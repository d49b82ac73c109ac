"""The work of `scepkit renew`.

The rules of this file: whether there is anything to do is decided before anything is asked; the
new key waits in KEY.new until its certificate is there; what an earlier run has left is taken up.
"""

from __future__ import annotations

import contextlib
import os
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.cli import swap
from scepkit.cli.connect import Options, has_trust, open_client, read_message_type
from scepkit.cli.describe import certificate_values, key_type, rfc3339
from scepkit.cli.destination import Destination, alone_in
from scepkit.cli.enrolling import refuse_other_type
from scepkit.cli.failures import ExitCode, Unfit
from scepkit.cli.identity import (
    KeyPassword,
    chain_beside,
    own_certificate,
    read_certificates,
    read_p12_password,
    trust_of_chain,
)
from scepkit.cli.outcome import Errand, send
from scepkit.cli.output import STDIO, Output, fields
from scepkit.cli.passwords import Challenge, only_one_from_stdin, read_input
from scepkit.core.certificates import PrivateKey
from scepkit.core.enrolment import Requester
from scepkit.core.pem import is_pem
from scepkit.core.trust import CaVerifier
from scepkit.errors import InputError, ScepError
from scepkit.keys import generate_key, load_certificates, parse_key_spec, write_private_key
from scepkit.keys.loading import MAX_FILE

_DAYS = 30.0
#: Longer than any certificate, and short enough for a date.
_MOST_DAYS = 36500.0
_PART_OF_LIFETIME = 3


def run(out: Output, url: str, options: Options) -> ExitCode:
    """Renew a certificate in its place, if it is due."""
    only_one_from_stdin(options)
    for name in ("cert", "key"):
        if options[name] == STDIO:
            raise Unfit(f"--{name} - cannot be renewed: its successor takes its place")
    if options["key_type"] is not None:
        parse_key_spec(options["key_type"])
    _refuse_one_file(options)
    with alone_in(os.path.dirname(os.path.realpath(options["cert"]))):
        return _renew(out, url, options)


def _refuse_one_file(options: Options) -> None:
    # Their successors would be one file too, in which one overwrites the other.
    names = [name for name in ("cert", "key", "chain") if options[name] is not None]
    files = {os.path.realpath(options[name]) for name in names}
    if len(files) < len(names):
        raise Unfit(
            f"--{', --'.join(names)} must be different files",
            hint="take key and certificate apart first",
            path=options["cert"],
        )


def _renew(out: Output, url: str, options: Options) -> ExitCode:
    passwords = KeyPassword(out, options["key_password_file"], options["new_key_password_file"])
    if swap.finish(options["cert"]) or _take_up(options, passwords):
        out.note("completed a renewal that had been interrupted")
    pending_path = os.path.join(os.path.dirname(options["cert"]), "pending.json")
    _drop_done(pending_path, options["cert"])
    old = _Old(passwords, options)
    start = _renewal_start(old.certificate, options)
    if datetime.now(UTC) < start:
        if options["p12"] is not None:
            from scepkit.cli.present import complete_p12

            chain = _chain_path(options)
            complete_p12(out, options["p12"], old.key, old.certificate, chain, options)
        _tell_not_due(out, old.certificate, start)
        return ExitCode.DONE
    if _is_pending(pending_path, options["cert"]):
        from scepkit.cli.pending_file import read_pending
        from scepkit.cli.polling import resume

        out.note(f"this renewal is pending ({pending_path})")
        return resume(out, read_pending(pending_path), pending_path, options)
    return _send(out, url, old, pending_path, passwords, options)


class _Old:
    """The certificate that is renewed, as its files have it."""

    def __init__(self, passwords: KeyPassword, options: Options) -> None:
        self.key_path: str = options["key"]
        self.path: str = options["cert"]
        data = read_input(self.path, limit=MAX_FILE)
        key_data = read_input(self.key_path, limit=MAX_FILE)
        for path, content in ((self.path, data), (self.key_path, key_data)):
            if not is_pem(content):
                raise Unfit(
                    f"{path} is not PEM, and a renewal writes PEM in its place",
                    hint="convert it with openssl, or enrol into another directory with "
                    "--signer-cert and --signer-key",
                    path=path,
                )
        certificates = load_certificates(data, path=self.path)
        self.key = passwords.read_key(self.key_path)
        self.certificate = own_certificate(certificates, self.key, self.path)
        #: What else is in the certificate's file.
        self.others = tuple(one for one in certificates if one != self.certificate)

    def destination(self, options: Options) -> Destination:
        """Where its successor goes."""
        return Destination(
            key=self.key_path,
            certificate=self.path,
            chain=_chain_path(options),
            staged=not options["same_key"],
            with_chain=bool(self.others),
        )


def _chain_path(options: Options) -> str | None:
    if options["chain"] is not None:
        path: str = options["chain"]
        return path
    return chain_beside(options["cert"])


# ------------------------------------------------------------------------- whether to do it


def _renewal_start(certificate: x509.Certificate, options: Options) -> datetime:
    """From when on the certificate is to be renewed."""
    if options["force"]:
        return datetime.min.replace(tzinfo=UTC)
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    if options["days"] is not None:
        return end - timedelta(days=min(options["days"], _MOST_DAYS))
    return end - min(timedelta(days=_DAYS), (end - begin) / _PART_OF_LIFETIME)


def _tell_not_due(out: Output, certificate: x509.Certificate, start: datetime) -> None:
    values = {
        "status": "not-due",
        "certificate": certificate_values(certificate),
        "renewAfter": rfc3339(start),
    }
    lines = [
        ("status", "nothing to do"),
        ("valid until", rfc3339(certificate.not_valid_after_utc)),
        ("renewed after", rfc3339(start)),
    ]
    out.result(values, lambda: fields(lines))


def _take_up(options: Options, passwords: KeyPassword) -> bool:
    """Put a certificate in place that had arrived before an earlier run was interrupted."""
    key, certificate, chain = options["key"], options["cert"], _chain_path(options)
    arrived = swap.successor(certificate)
    if not os.path.exists(arrived):
        return False
    staged = os.path.exists(swap.successor(key))
    if staged:
        private = passwords.read_key(swap.successor(key), first=passwords.for_new())
    else:
        private = passwords.read_key(key)
    if read_certificates(arrived)[0].public_key() != private.public_key():
        return False
    paths = [key] if staged else []
    paths += [chain] if chain is not None and os.path.exists(swap.successor(chain)) else []
    swap.replace_together([*paths, certificate])
    return True


def _drop_done(path: str, certificate: str) -> None:
    """Remove what an earlier run has left that was stopped when its certificate was in place."""
    if not os.path.exists(path):
        return
    from scepkit.cli.pending_file import is_done, read_pending

    # What is wrong with it is said when the certificate is due.
    with contextlib.suppress(ScepError):
        stored = read_pending(path)
        theirs = os.path.realpath(stored.destination.certificate)
        if theirs == os.path.realpath(certificate) and is_done(stored):
            os.unlink(path)


def _is_pending(path: str, certificate: str) -> bool:
    if not os.path.exists(path):
        return False
    from scepkit.cli.pending_file import read_pending

    stored = read_pending(path)
    theirs = os.path.realpath(stored.destination.certificate)
    if theirs != os.path.realpath(certificate):
        raise Unfit(
            f"{path} is about another certificate, {stored.destination.certificate}",
            hint=f"scepkit poll {path} first",
            path=path,
        )
    return stored.answered


# ----------------------------------------------------------------------------------- doing it


def _send(
    out: Output,
    url: str,
    old: _Old,
    pending_path: str,
    passwords: KeyPassword,
    options: Options,
) -> ExitCode:
    if datetime.now(UTC) > old.certificate.not_valid_after_utc:
        out.warn(f"{old.path} has expired; many CAs then want a new enrolment")
    secret = Challenge(out, options)
    destination = old.destination(options)
    p12_password = read_p12_password(out, options["p12_password_file"]) if options["p12"] else None
    key, is_new = _new_key(out, old, destination, passwords, options)
    profile = options["profile"]
    with open_client(out, url, options, trust=_trust(out, old, destination, options)) as client:
        client.get_ca_certificates(profile)
        challenge = secret.get()
        _refuse_unreadable_reply(old.key, challenge)
        if is_new:
            write_private_key(destination.present_key, key, passwords.for_new(old.key_path))
            out.step(f"wrote {destination.present_key}")
        errand = Errand(
            destination=destination,
            pending_path=pending_path,
            key=key,
            signer_key=old.key,
            signer_key_path=old.key_path,
            challenge=challenge,
            p12=options["p12"],
            p12_password=p12_password,
            options=options,
        )
        requester = Requester(old.certificate, old.key, old.others)
        return send(
            out,
            client,
            errand,
            lambda on_started: client.renew(
                requester,
                key,
                profile=profile,
                challenge=challenge,
                renewal=read_message_type(options),
                on_started=on_started,
            ),
        )


def _refuse_unreadable_reply(key: PrivateKey, challenge: str | None) -> None:
    # Before a new key is written: its file would have to be told from that of a lost renewal.
    if not challenge and not isinstance(key, rsa.RSAPrivateKey):
        raise InputError(
            "the key of this certificate is not RSA and cannot decrypt the reply; RFC 8894 "
            "section 3.1 uses a challenge instead, and none was given",
            hint="ask the CA's operator for a challenge and give it with --challenge-file, or "
            "enrol with an RSA key",
        )


def _new_key(
    out: Output, old: _Old, destination: Destination, passwords: KeyPassword, options: Options
) -> tuple[PrivateKey, bool]:
    """The key of the new certificate, and whether it is new and has to be written."""
    if options["same_key"]:
        return old.key, False
    path = destination.present_key
    if os.path.lexists(path):
        key = passwords.read_key(path, first=passwords.for_new(old.key_path))
        refuse_other_type(key, path, options["key_type"])
        out.note(f"using the key of an earlier attempt, {path}")
        return key, False
    wanted = options["key_type"] or key_type(old.key)
    try:
        return generate_key(wanted), True
    except InputError:
        if options["key_type"] is not None:
            raise
        # Of a size that is not made any more, or of a kind that is not made here.
        out.note("the new key is rsa:2048; --key-type chooses another type")
        return generate_key(), True


def _trust(out: Output, old: _Old, destination: Destination, options: Options) -> CaVerifier | None:
    """The CAs above the old certificate, where the options name none."""
    if has_trust(options):
        return None
    return trust_of_chain(out, old.others, destination.chain)
