"""How an enrolment, a renewal or a poll goes on once the CA was asked: wait, put in place, tell.

The rule of this file: whatever happens after a request has left, what is needed to go on is on the
disk first.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from scepkit.cli.connect import Options
from scepkit.cli.describe import certificate_lines, certificate_values, subject_text
from scepkit.cli.destination import Destination
from scepkit.cli.failures import ExitCode, Refused, fail_info_name
from scepkit.cli.output import Output, fields
from scepkit.core.enrolment import EnrolmentResult, Issued, Pending, Rejected
from scepkit.core.trust import fingerprint
from scepkit.errors import FailInfo, ScepError, TransportError

if TYPE_CHECKING:
    from cryptography import x509

    from scepkit.client import Client
    from scepkit.core.certificates import PrivateKey
    from scepkit.service import OnStarted

_HINTS = {
    FailInfo.BAD_REQUEST: "most often a wrong or missing challenge (--challenge-file), or a name "
    "that the CA does not allow",
    FailInfo.BAD_MESSAGE_CHECK: "the CA could not verify or decrypt the request: is the profile "
    "the right one, and does the CA know the signer?",
    FailInfo.BAD_TIME: "compare this machine's clock with the CA's",
    FailInfo.BAD_ALG: "choose other algorithms with --cipher and --digest; `scepkit caps` shows "
    "what the CA announces",
    FailInfo.BAD_CERT_ID: "the CA does not know this request or this certificate",
}
LONGEST_INTERVAL = 300.0
# Failures after which nobody knows whether the CA has the request.
_LOST = frozenset({"timeout", "closed", "protocol", "too-large"})


class Errand(NamedTuple):
    """One certificate on its way.

    Attributes:
        destination: its files.
        pending_path: where a pending enrolment is kept.
        key: its private key.
        signer_key: the key that signs the request and the polls.
        signer_key_path: the file of that key.
        challenge: the challengePassword, or None.
        p12: the PKCS #12 file that is wanted too, or None; and its password.
        options: the options of the command.
    """

    destination: Destination
    pending_path: str
    key: PrivateKey
    signer_key: PrivateKey
    signer_key_path: str
    challenge: str | None
    p12: str | None
    p12_password: bytes | None
    options: Options

    def __repr__(self) -> str:
        # Not the tuple's own, which would show the challenge and the password.
        return f"<Errand {self.destination.certificate}>"


def send(
    out: Output,
    client: Client,
    errand: Errand,
    request: Callable[[OnStarted], EnrolmentResult],
) -> ExitCode:
    """Send the request; keep what a poll needs if nobody knows what became of it.

    Args:
        out: where to say it.
        client: the client to poll with.
        errand: what is asked for.
        request: asks the CA; it passes its argument on as ``on_started``.

    Raises:
        Refused: the CA refused.
        ScepError: as the client does.
    """
    started: list[Pending] = []
    try:
        result = request(started.append)
    except (TransportError, KeyboardInterrupt) as error:
        if started and (not isinstance(error, TransportError) or error.kind in _LOST):
            _save(client, errand, started[0], answered=False)
            out.note(
                "the CA may have the request; do the same again, or ask with scepkit poll "
                f"{errand.pending_path}"
            )
        raise
    return settle(out, client, errand, result)


def settle(out: Output, client: Client, errand: Errand, result: EnrolmentResult) -> ExitCode:
    """Put what the CA answered into its place, after waiting if that is wanted, and say so.

    Raises:
        Refused: the CA refused.
        ScepError: as the client does.
    """
    if isinstance(result, Pending):
        _save(client, errand, result, answered=True)
        if errand.options["wait"]:
            result = _wait(out, client, errand, result)
    match result:
        case Issued():
            _install(errand, result)
            _tell_issued(out, result, errand)
            return ExitCode.DONE
        case Pending():
            _tell_pending(out, result, errand)
            return ExitCode.PENDING
        case Rejected():
            _forget(errand)
            raise _refusal(result, errand)


def _anchors(client: Client, errand: Errand, pending: Pending) -> tuple[x509.Certificate, ...]:
    """Who is trusted now, and who was when this request was sent: either may issue for it."""
    from scepkit.cli.pending_file import read_pending

    now = client.get_ca_certificates(pending.profile).anchor
    if not os.path.exists(errand.pending_path):
        return (now,)
    with contextlib.suppress(ScepError):
        stored = read_pending(errand.pending_path)
        if stored.pending.transaction_id == pending.transaction_id:
            return tuple(dict.fromkeys((now, *stored.anchors)))
    return (now,)


def _install(errand: Errand, issued: Issued) -> None:
    """Put everything in its place.

    Raises:
        OSError: something could not be written; the certificate is in its place if it could be.
    """
    failure = None
    # In a renewal the certificate is what says "complete", so that it comes last.  In a first
    # enrolment a PKCS #12 file that is there would keep the same command from being repeated;
    # there `present` writes it if this is stopped in between.
    first = not os.path.lexists(errand.destination.certificate)
    if errand.p12 is not None and not first:
        try:
            _write_p12(errand, issued)
        except OSError as error:
            failure = error
    errand.destination.install(issued.certificate, issued.chain)
    if errand.p12 is not None and first:
        _write_p12(errand, issued)
    if failure is not None:
        raise failure  # the same command writes it: `present`
    _forget(errand)


def _save(client: Client, errand: Errand, pending: Pending, *, answered: bool) -> None:
    from scepkit.cli.connect import read_preferences
    from scepkit.cli.pending_file import PendingFile, certificate_at, write_pending

    place = errand.destination.certificate
    stored = PendingFile(
        pending=pending,
        destination=errand.destination,
        signer_key=errand.signer_key_path,
        p12=errand.p12,
        anchors=_anchors(client, errand, pending),
        ra_certificates=read_preferences(errand.options).ra_certificates,
        options=errand.options,
        answered=answered,
        replaces=fingerprint(certificate_at(place)) if os.path.exists(place) else None,
    )
    write_pending(errand.pending_path, stored)


def _forget(errand: Errand) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(errand.pending_path)


def _wait(out: Output, client: Client, errand: Errand, pending: Pending) -> EnrolmentResult:
    from scepkit.cli.terminal import Progress
    from scepkit.core.enrolment import PollPolicy

    policy = PollPolicy(
        interval=errand.options["poll_interval"],
        max_interval=max(LONGEST_INTERVAL, errand.options["poll_interval"]),
        max_seconds=errand.options["wait"],
    )
    with Progress(enabled=not out.quiet) as progress:

        def tell(seconds: float, poll: int) -> None:
            progress.show(f"pending; poll {poll} in {seconds:.0f} s; ^C leaves it to scepkit poll")
            out.step(f"waiting {seconds:.1f} s before poll {poll}")

        try:
            return client.wait(
                pending, errand.signer_key, policy, challenge=errand.challenge, on_wait=tell
            )
        except KeyboardInterrupt:
            out.note(f"scepkit poll {errand.pending_path} goes on from here")
            raise


def _write_p12(errand: Errand, issued: Issued) -> None:
    assert errand.p12 is not None
    assert errand.p12_password is not None
    write_p12(errand.p12, errand.key, issued.certificate, issued.chain, errand.p12_password)


def write_p12(
    path: str,
    key: PrivateKey,
    certificate: x509.Certificate,
    chain: Sequence[x509.Certificate],
    password: bytes,
) -> None:
    """Write a key, its certificate and chain to `path` as PKCS #12, whatever is there.

    Raises:
        OSError: it cannot be written.
    """
    from scepkit.keys import to_pkcs12, write_file

    data = to_pkcs12(subject_text(certificate), key, certificate, chain, password)
    write_file(path, data, 0o600, force=True)


# ---------------------------------------------------------------------------------- telling


def _tell_issued(out: Output, issued: Issued, errand: Errand) -> None:
    for warning in issued.warnings:
        out.warn(warning)
    where = errand.destination
    files = {
        "key": where.key,
        "certificate": where.certificate,
        "chain": where.chain if issued.chain else None,
        "p12": errand.p12,
    }
    certificate = certificate_values(issued.certificate)
    values = {
        "status": "issued",
        "transactionID": issued.transaction_id,
        "certificate": certificate,
        "chain": [certificate_values(one) for one in issued.chain],
        "files": files,
        "warnings": list(issued.warnings),
    }
    written = [("file", name) for name in files.values() if name is not None]
    out.result(values, lambda: fields([*certificate_lines(certificate), *written]))


def _refusal_hint(rejected: Rejected, errand: Errand) -> str:
    said = rejected.fail_info_text.lower()
    if said.strip():
        # The CA's own words are nearer to the truth than a guess; what follows from them is said.
        if "revoked" in said:
            return "a revoked certificate does not renew: enrol anew, with a challenge"
        if "too early" in said:
            return (
                "renew it then, which scepkit renew without --force does by itself; the CA's "
                "operator can allow it earlier (scepkit serve: the window of the profile's renewal)"
            )
        if "challenge" not in said:
            return ""
        if not errand.challenge:
            return "give the challenge with --challenge-file"
        return "ask the CA's operator for a new challenge"
    known = rejected.fail_info
    return _HINTS[known] if isinstance(known, FailInfo) else ""


def _kept_hint(errand: Errand) -> str:
    """Where a key that was made for a refused request is, and what becomes of it."""
    where = errand.destination
    own = errand.options.get("key") is not None or os.path.lexists(where.certificate)
    # A poll is not told the options of its enrolment: ours is always called so.
    beside = (os.path.dirname(where.certificate), "key.pem")
    if (own or os.path.split(where.key) != beside) and not where.staged:
        return ""
    return f"the new key is kept in {where.present_key}, and the next attempt uses it"


def _tell_pending(out: Output, pending: Pending, errand: Errand) -> None:
    path, key = errand.pending_path, errand.destination.present_key
    out.note(f"the CA has not decided yet; scepkit poll {path} asks again")
    values = {
        "status": "pending",
        "url": pending.url,
        "transactionID": pending.transaction_id,
        "retryAfter": pending.retry_after,
        "files": {"key": key, "pending": path},
    }
    lines = [
        ("status", "pending"),
        ("transactionID", pending.transaction_id),
        ("file", key),
        ("file", path),
    ]
    out.result(values, lambda: fields(lines))


def _refusal(rejected: Rejected, errand: Errand) -> Refused:
    return Refused(
        f"the CA refused the request: {rejected.reason}",
        hint="; ".join(filter(None, (_refusal_hint(rejected, errand), _kept_hint(errand)))),
        evidence={
            "failInfo": fail_info_name(rejected.fail_info),
            "failInfoText": rejected.fail_info_text,
            "transactionID": rejected.transaction_id,
            "files": {"key": errand.destination.present_key},
        },
    )
