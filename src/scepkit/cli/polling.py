"""The work of `scepkit poll`, and of a renewal that finds itself pending."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from scepkit.cli import swap
from scepkit.cli.connect import Options, has_trust, open_client, ra_certificates, read_trust
from scepkit.cli.destination import alone_in
from scepkit.cli.failures import ExitCode, Unfit
from scepkit.cli.identity import KeyPassword, next_ca_beside, read_p12_password
from scepkit.cli.outcome import Errand, settle
from scepkit.cli.output import STDIO, Output
from scepkit.cli.passwords import Challenge, only_one_from_stdin
from scepkit.cli.pending_file import PendingFile, is_done, read_pending
from scepkit.core.trust import CaOffer, PinnedCertificate
from scepkit.errors import TrustError

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.core.trust import CaVerifier


def run(out: Output, path: str, options: Options) -> ExitCode:
    """Ask for the decision on the request that the file `path` is about."""
    only_one_from_stdin(options)
    if os.path.isdir(path):
        path = os.path.join(path, "pending.json")
    if path != STDIO and not os.path.lexists(path):
        raise _nothing_waits(path)
    stored = read_pending(path)
    with alone_in(os.path.dirname(os.path.abspath(path))):
        return resume(out, stored, path, options, signer_key_path=options["key"])


def _nothing_waits(path: str) -> Unfit:
    beside = os.path.join(os.path.dirname(path), "cert.pem")
    decided = f"; {beside} is a certificate that was issued" if os.path.exists(beside) else ""
    return Unfit(
        f"{path} is not there: no request waits for a decision",
        hint=f"the file is removed when the CA has decided{decided}",
        path=path,
    )


class _AsBefore(PinnedCertificate):
    """Trust in who was trusted when the CA was asked last, and in who is to follow."""

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        try:
            return super().__call__(offer)
        except TrustError as error:
            error.hint = (
                "if the CA has a new certificate since (a rollover), compare its fingerprint with "
                "the CA's operator and poll with --ca-fingerprint or --ca-cert; if not, somebody "
                "else answers in the CA's place"
            )
            raise


class Succession(PinnedCertificate):
    """Trust in whom another verifier vouches for, to speak with; what those before issued counts.

    Those before do not answer any more: they may have been replaced because a key was lost.
    """

    def __init__(self, named: CaVerifier, *before: x509.Certificate) -> None:
        super().__init__(*before)
        self._named = named

    def __call__(self, offer: CaOffer, /) -> x509.Certificate:
        """Return what the other verifier vouches for."""
        return self._named(offer)


def _named(out: Output, stored: PendingFile, options: Options) -> CaVerifier:
    """Trust in whom the options name, else in whom the file names and in who is to follow."""
    if has_trust(options):
        return read_trust(out, options)
    return _AsBefore(stored.anchors[0], *next_ca_beside(stored.destination.chain))


def _already_done(
    out: Output, stored: PendingFile, path: str, passwords: KeyPassword, options: Options
) -> ExitCode:
    """End what was stopped when its certificate was in place."""
    from scepkit.cli.present import tell_present

    where = stored.destination
    key = passwords.read_key(where.key, first=passwords.for_new())
    code = tell_present(out, where, key, stored.p12, options)
    os.unlink(path)
    return code


def resume(
    out: Output,
    stored: PendingFile,
    path: str,
    options: Options,
    *,
    signer_key_path: str | None = None,
) -> ExitCode:
    """Poll once, then for as long as the options say.

    Args:
        out: where to say it.
        stored: what is in the file `path`.
        path: the file, which is kept up to date and removed at the end.
        options: how to wait and how to get there; how to speak is in `stored`.
        signer_key_path: where the key that signed the request is now, if it was moved.
    """
    named = ra_certificates(options)
    agents = stored.ra_certificates if named is None else named
    options = {**options, **stored.options, "ra_certificates": agents}
    passwords = KeyPassword(out, options["key_password_file"], options["new_key_password_file"])
    swap.finish(stored.destination.certificate)
    if is_done(stored):
        return _already_done(out, stored, path, passwords, options)
    secret = Challenge(out, options)
    where = signer_key_path or stored.signer_key
    signer_key = passwords.read_key(where)
    destination = stored.destination
    key = signer_key
    if stored.p12 is not None and stored.signer_key != destination.present_key:
        key = passwords.read_key(destination.present_key, first=passwords.for_new(where))
    errand = Errand(
        destination=destination,
        pending_path=path,
        key=key,
        signer_key=signer_key,
        signer_key_path=where,
        challenge=secret.get(),
        p12=stored.p12,
        p12_password=read_p12_password(out, options["p12_password_file"]) if stored.p12 else None,
        options=options,
    )
    trust = Succession(_named(out, stored, options), *stored.anchors)
    with open_client(out, stored.pending.url, options, trust=trust) as client:
        result = client.poll(stored.pending, signer_key, challenge=errand.challenge)
        code = settle(out, client, errand, result)
        if code is ExitCode.DONE and not out.as_json:
            out.note(f"the CA has issued the certificate, {destination.certificate}")
        return code
