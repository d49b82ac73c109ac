"""What `Client` and `AsyncClient` share: which service it is, and how a conversation is driven.

Rule of this file: nothing in it waits.  A driver performs the steps of a conversation in
`core.flows` (send, wait, ask the verifier) and hands the answers back with `advance`.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from cryptography import x509

from scepkit import logs
from scepkit.core import flows
from scepkit.core.certificates import PrivateKey, public_key_der, view_of
from scepkit.core.crl import crl_notes
from scepkit.core.csr import ParsedCsr, read_csr
from scepkit.core.csr_builder import renewal_csr
from scepkit.core.enrolment import (
    Issued,
    Pending,
    Rejected,
    Requester,
    self_signed_requester,
)
from scepkit.core.flows import Flow, KnownCa, Preferences, Started, Step, VerifyCa, Wait
from scepkit.core.http import parse_endpoint, shown_url
from scepkit.core.shown import title
from scepkit.core.trust import CaVerifier, pinned_by
from scepkit.errors import InputError, TransportError
from scepkit.values import frozen

#: The name that users know; both clients log under it.
_LOGGER = "scepkit.client"

T = TypeVar("T")
#: Called just before an enrolment request leaves, with what is needed to resume it.
OnStarted = Callable[[Pending], None]
#: Called before each wait of a poll loop, with the seconds and the number of the coming poll.
OnWait = Callable[[float, int], None]


def utc_now() -> datetime:
    """The time, aware; the only clock of the clients."""
    return datetime.now(UTC)


class Service:
    """What both clients share: which service, whom to trust, what is known of its CAs."""

    def __init__(self, url: str, trust: CaVerifier, preferences: Preferences | None) -> None:
        self._endpoint = parse_endpoint(url)
        if not callable(trust):
            raise InputError(
                f"trust is of type {type(trust).__name__}, expected a verifier",
                hint='for a fingerprint write scepkit.Fingerprint("sha256:..."), for a certificate '
                "scepkit.PinnedCertificate(certificate)",
            )
        self._trust = trust
        self._preferences = preferences or Preferences()
        self._known: dict[str | None, KnownCa] = {}

    @property
    def url(self) -> str:
        """The normalised URL of the SCEP service."""
        return self._endpoint.url

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self._endpoint}>"

    def _learn(self, profile: str | None) -> Flow[KnownCa]:
        return flows.learn_ca(
            self._endpoint,
            profile,
            self._preferences,
            utc_now(),
            self._known.get(profile),
            others=pinned_by(self._trust),  # one is the anchor; what others have issued is good too
        )

    def _known_now(self, profile: str | None, ca: KnownCa) -> KnownCa:
        self._known[profile] = ca
        for note in ca.certificates.notes:
            logs.warning(
                _LOGGER, "CA certificates url=%s profile=%r: %s", self._endpoint, profile, note
            )
        if ca.capabilities.source != "announced":
            logs.warning(
                _LOGGER,
                "CA announces nothing url=%s profile=%r source=%s cipher=%s digest=%s",
                self._endpoint,
                profile,
                ca.capabilities.source,
                ca.protection.cipher.value,
                ca.protection.digest.value,
            )
        return ca

    def _vouched(self, step: VerifyCa) -> x509.Certificate:
        anchor = self._trust(step.offer)
        if log := logs.heard(_LOGGER):
            log.info(
                "CA verified url=%s profile=%r subject=%r",
                self._endpoint,
                step.offer.profile,
                title(step.offer.ca),
            )
        return anchor

    def _resume(self, pending: Pending, key: PrivateKey) -> Requester:
        if pending.url != self._endpoint.url:
            raise InputError(
                f"this enrolment was sent to {pending.url}, and this client talks to "
                f"{self._endpoint.url}",
                hint="make the client with the URL of the enrolment",
            )
        return pending.requester_with(key)


def noted(crl: x509.CertificateRevocationList) -> x509.CertificateRevocationList:
    """Log what a CRL that was fetched leaves open; gives the CRL."""
    for note in crl_notes(crl, utc_now()):
        logs.warning(_LOGGER, "%s", note)
    return crl


@frozen
class Done(Generic[T]):
    """A conversation has ended with this result."""

    result: T


def advance(flow: Flow[T], answer: flows.Answer, failure: TransportError | None) -> Step | Done[T]:
    """Give a flow the answer to its last step (or the failure), and get the next one."""
    step: Step | Done[T]
    try:
        step = flow.throw(failure) if failure is not None else flow.send(answer)
    except StopIteration as stop:
        step = Done(stop.value)
    _log(step)
    return step


def _log(step: Step | Done[T]) -> None:
    """One line for each step that a person wants to find again; HTTP is logged by the transport."""
    log = logs.heard(_LOGGER)
    if log is None:
        return
    match step:
        case Started(pending):
            log.info(
                "request leaves transaction_id=%s url=%s profile=%r",
                pending.transaction_id,
                shown_url(pending.url),
                pending.profile,
            )
        case Wait(seconds, poll):
            log.info("waiting seconds=%.0f poll=%d", seconds, poll)
        case Done(Issued(certificate, transaction_id=transaction_id)):
            log.info(
                "certificate issued transaction_id=%s serial=%x",
                transaction_id,
                view_of(certificate).serial_number,
            )
        case Done(Pending(transaction_id=transaction_id)):
            log.info("request is pending transaction_id=%s", transaction_id)
        case Done(Rejected() as rejected):
            # No warning: the caller is told, and where logging is not set up Python prints those.
            log.info(
                "request was rejected transaction_id=%s reason=%r",
                rejected.transaction_id,
                rejected.reason,
            )


def parsed_csr(csr: x509.CertificateSigningRequest | bytes) -> ParsedCsr:
    """The CSR as the flows want it.

    :raises DecodeError: the bytes are not a PKCS#10 request in DER or PEM.
    :raises InputError: it is something else, as text.
    """
    if isinstance(csr, bytes):
        return read_csr(csr)
    if not isinstance(csr, x509.CertificateSigningRequest):
        raise InputError(
            "a certification request is bytes or an x509.CertificateSigningRequest, "
            f"not {type(csr).__name__}",
            hint="read the file as bytes, as Path(...).read_bytes() does",
        )
    from cryptography.hazmat.primitives.serialization import Encoding

    return read_csr(csr.public_bytes(Encoding.DER))


def request_for(csr: x509.CertificateSigningRequest | bytes, key: PrivateKey) -> ParsedCsr:
    """`parsed_csr`, if the key is the request's own: the certificate would be of no use without.

    :raises InputError: it is another key.
    """
    parsed = parsed_csr(csr)
    own = public_key_der(key.public_key())
    if own != parsed.spki_der and own != public_key_der(parsed.public_key):
        raise InputError(
            "the private key does not belong to the certification request",
            hint="give the key the request was signed with",
        )
    return parsed


def default_requester(csr: ParsedCsr, key: PrivateKey) -> Requester:
    """The self-signed requester of a first enrolment (RFC 8894 section 2.3).

    :raises InputError: the key is not the CSR's, or the CSR has a subject that no certificate made
        here can have.
    """
    try:
        loaded = x509.load_der_x509_csr(csr.der)
    except ValueError as exc:
        raise InputError(
            f"a self-signed certificate cannot be made for this request: {exc}",
            hint="give an existing certificate and key as the requester, or make the request anew",
        ) from exc
    return self_signed_requester(loaded, key, now=utc_now())


def renewal_request(
    requester: Requester,
    new_key: PrivateKey,
    csr: x509.CertificateSigningRequest | bytes | None,
    challenge: str | None,
) -> ParsedCsr:
    """The CSR of a renewal: the given one, or one with the old certificate's names."""
    if csr is None:
        csr = renewal_csr(requester.certificate, new_key, challenge=challenge)
    return request_for(csr, new_key)


def name_der(name: x509.Name | None) -> bytes | None:
    """A Name as DER, or None for "this CA's"."""
    return None if name is None else name.public_bytes()
