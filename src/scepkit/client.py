"""The client: `Client`, and what it shares with `AsyncClient`.

Rule of this file: no protocol logic.  A driver performs the steps of a conversation in `core.flows`
(send, wait, ask the verifier) and hands the answers back; what they mean is decided there.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Generic, TypeVar

from cryptography import x509

from scepkit import logs
from scepkit.core import flows
from scepkit.core.ca_certificates import CaCertificates
from scepkit.core.capabilities import Capabilities
from scepkit.core.certificates import PrivateKey, public_key_der, view_of
from scepkit.core.chains import title
from scepkit.core.crl import crl_notes
from scepkit.core.csr import ParsedCsr, read_csr, renewal_csr
from scepkit.core.enrolment import (
    EnrolmentResult,
    Issued,
    Pending,
    PollPolicy,
    Rejected,
    Requester,
    self_signed_requester,
)
from scepkit.core.flows import Flow, KnownCa, Preferences, Started, Step, VerifyCa, Wait
from scepkit.core.http import HttpRequest, parse_endpoint, shown_url
from scepkit.core.trust import CaOffer, CaVerifier
from scepkit.errors import InputError, TransportError
from scepkit.transport import HttpOptions, HttpTransport, Transport
from scepkit.values import frozen

_LOGGER = __name__

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
            self._endpoint, profile, self._preferences, utc_now(), self._known.get(profile)
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
    """
    if isinstance(csr, bytes):
        return read_csr(csr)
    from cryptography.hazmat.primitives.serialization import Encoding

    return read_csr(csr.public_bytes(Encoding.DER))


def request_for(csr: x509.CertificateSigningRequest | bytes, key: PrivateKey) -> ParsedCsr:
    """`parsed_csr`, if the key is the request's own: the certificate would be of no use without.

    :raises InputError: it is another key.
    """
    parsed = parsed_csr(csr)
    if public_key_der(parsed.public_key) != public_key_der(key.public_key()):
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


class Client(Service):
    """A SCEP client for one service; safe to share between threads.

    Certificates and capabilities of the CA are fetched and verified once per profile and kept;
    `refresh` forgets them.  So a first enrolment takes three HTTP requests, each further one takes
    one.  Use it as a context manager, or `close` it, to close its connections.

    :param url: http or https URL of the SCEP service; without a path, ``/cgi-bin/pkiclient.exe``
        (RFC 8894 section 4.1).
    :param trust: decides which CA certificate is believed; asked before anything secret is sent.
    :param http: timeouts, proxy, TLS and authentication of the built-in transport.
    :param transport: another way to move HTTP messages, instead of `http`.
    :param preferences: algorithms and leniencies other than "as the CA announces".
    :raises InputError: the URL is not one.
    """

    def __init__(
        self,
        url: str,
        *,
        trust: CaVerifier,
        http: HttpOptions | None = None,
        transport: Transport | None = None,
        preferences: Preferences | None = None,
    ) -> None:
        super().__init__(url, trust, preferences)
        if http is not None and transport is not None:
            raise InputError("give http options or a transport, not both")
        self._transport = transport or HttpTransport(http or HttpOptions())
        self._lock = threading.Lock()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections; a later call opens new ones."""
        self._transport.close()

    # -------------------------------------------------------------- about the CA

    def get_ca_certificates(self, profile: str | None = None) -> CaCertificates:
        """The CA's authenticated certificates and their roles (GetCACert, RFC 8894 section 4.2).

        :raises TrustError: the verifier vouches for none of them, or they do not hang together.
        :raises TransportError: the server was not reached.
        :raises DecodeError: it sent something that holds no certificate.
        """
        return self._ca(profile).certificates

    def get_capabilities(self, profile: str | None = None) -> Capabilities:
        """What the CA announces (GetCACaps, RFC 8894 section 3.5); asked anew, needs no trust.

        :raises TransportError: the server was not reached.
        """
        return self._run(flows.get_capabilities(self._endpoint, profile))

    def fetch_ca_offer(self, profile: str | None = None) -> CaOffer:
        """The certificates the server offers, *not* authenticated: for showing, not for using.

        :raises TransportError: the server was not reached.
        :raises DecodeError: it sent something that holds no certificate.
        """
        return self._run(flows.fetch_offer(self._endpoint, profile))

    def get_next_ca_certificates(
        self, profile: str | None = None, *, verifier: CaVerifier | None = None
    ) -> tuple[x509.Certificate, ...]:
        """The CA's next certificates, vouched for by the present ones (RFC 8894 section 4.7).

        The CA's capabilities are asked for anew: they tell whether there are any.

        :param verifier: asked about certificates that the answer's signature does not cover, as
            jscep sends them; without one, those must have been issued below the present anchor.
        :raises NotSupportedError: the CA does not announce GetNextCACert.
        :raises SignatureError: they are not signed by the present CA.
        :raises TrustError: nobody vouches for them.
        """
        return self._run(flows.get_next_ca(self._ca(profile), utc_now(), verifier=verifier))

    def refresh(self, profile: str | None = None) -> None:
        """Fetch and verify the CA's certificates and capabilities again.

        :raises TrustError: the verifier no longer vouches, or the CA announces less than before.
        """
        with self._lock:
            self._known_now(profile, self._run(self._learn(profile)))

    # -------------------------------------------------------------- certificates

    def enrol(
        self,
        csr: x509.CertificateSigningRequest | bytes,
        key: PrivateKey,
        *,
        requester: Requester | None = None,
        profile: str | None = None,
        challenge: str | None = None,
        renewal: bool | None = None,
        on_started: OnStarted | None = None,
    ) -> EnrolmentResult:
        """Ask for a certificate (PKCSReq or RenewalReq, RFC 8894 section 4.3).

        :param csr: the certificate request; bytes are PKCS#10 in DER or PEM.
        :param key: the private key of the CSR.
        :param requester: an existing certificate and key to ask with; by default a self-signed
            certificate with the CSR's subject and key is made (RFC 8894 section 2.3).
        :param renewal: with an existing certificate, be it this CA's or another's, True sends
            RenewalReq and False PKCSReq; by default RenewalReq where the CA announces Renewal.
        :param challenge: the shared secret that protects messages where a key is not RSA; by
            default the challengePassword of the CSR.
        :param on_started: called with a `Pending` just before the request leaves; store it, and an
            enrolment whose answer was lost can be resumed with `poll` (RFC 8894 section 5.2
            prefers a new enrolment, which needs no stored state).
        :returns: `Issued`, `Pending` or `Rejected`.
        :raises InputError: the key is not the CSR's, or what is asked for is impossible.
        :raises TrustError, TransportError, ProtocolError: see `scepkit.errors`.
        """
        parsed = request_for(csr, key)
        asking = requester or default_requester(parsed, key)
        ca = self._ca(profile)
        flow = flows.enrol(ca, parsed, asking, utc_now(), challenge=challenge, renewal=renewal)
        return self._run(flow, on_started=on_started)

    def poll(
        self, pending: Pending, key: PrivateKey, *, challenge: str | None = None
    ) -> EnrolmentResult:
        """Ask once how a pending enrolment stands (CertPoll, RFC 8894 section 4.4).

        :param key: the private key that signed the request: for a first enrolment the CSR's, for a
            renewal the *old* one.
        :param challenge: the challengePassword, where that key is not RSA.
        :raises InputError: `pending` belongs to another URL, or `key` to another request.
        """
        requester = self._resume(pending, key)
        flow = flows.poll(
            self._ca(pending.profile), pending, requester, utc_now(), challenge=challenge
        )
        return self._run(flow)

    def wait(
        self,
        pending: Pending,
        key: PrivateKey,
        policy: PollPolicy | None = None,
        *,
        challenge: str | None = None,
        on_wait: OnWait | None = None,
    ) -> EnrolmentResult:
        """Poll until the CA decides, or until the policy's limits: then the last `Pending`.

        :param on_wait: called before each wait with its seconds and the number of the coming poll.
        """
        requester = self._resume(pending, key)
        flow = flows.poll_until_done(
            self._ca(pending.profile),
            pending,
            requester,
            utc_now(),
            policy or PollPolicy(),
            challenge=challenge,
        )
        return self._run(flow, on_wait=on_wait)

    def renew(
        self,
        requester: Requester,
        new_key: PrivateKey,
        *,
        csr: x509.CertificateSigningRequest | bytes | None = None,
        profile: str | None = None,
        challenge: str | None = None,
        renewal: bool | None = None,
        on_started: OnStarted | None = None,
    ) -> EnrolmentResult:
        """Renew a certificate: RenewalReq if the CA announces Renewal, else PKCSReq signed by it.

        :param requester: the certificate to renew and its key.
        :param new_key: the key of the new certificate; the old key again is allowed (RFC 8894
            section 2.5 prefers a new one).
        :param csr: a request for `new_key`; by default one with the old subject, SANs and extended
            key usage is made.
        :param challenge: sent as challengePassword in the CSR made here; most CAs want none in a
            renewal (RFC 8894 section 2.4), NDES and step-ca do.
        :param renewal: True or False for RenewalReq or PKCSReq whatever the CA announces.
        """
        parsed = renewal_request(requester, new_key, csr, challenge)
        ca = self._ca(profile)
        flow = flows.enrol(ca, parsed, requester, utc_now(), challenge=challenge, renewal=renewal)
        return self._run(flow, on_started=on_started)

    def get_certificate(
        self,
        serial_number: int,
        requester: Requester,
        *,
        issuer: x509.Name | None = None,
        profile: str | None = None,
        challenge: str | None = None,
    ) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
        """Look up an issued certificate and its chain (GetCert, RFC 8894 section 4.5).

        :param issuer: the issuer's name; by default this CA's.
        :raises RequestRejectedError: the CA refused, or knows no such certificate.
        """
        flow = flows.get_certificate(
            self._ca(profile),
            serial_number,
            requester,
            utc_now(),
            issuer=name_der(issuer),
            challenge=challenge,
        )
        return self._run(flow)

    def get_crl(
        self,
        serial_number: int,
        requester: Requester,
        *,
        issuer: x509.Name | None = None,
        profile: str | None = None,
        challenge: str | None = None,
    ) -> x509.CertificateRevocationList:
        """Get the newest CRL that covers a certificate (GetCRL, RFC 8894 section 4.6).

        A CRL distribution point in the certificate, when there is one, is the better way (RFC 8894
        section 2.7).

        :param serial_number: of the certificate whose revocation status is wanted.
        :param issuer: that certificate's issuer; by default this CA's name.
        A warning is logged where the CRL is out of date, or covers only a part of what the CA has
        issued (RFC 5280 section 5.2.5).

        :raises RequestRejectedError: the CA refused.
        :raises DecodeError: it is no complete CRL, such as a delta CRL.
        :raises SignatureError: the CA has not signed it, or may not sign CRLs.
        """
        flow = flows.get_crl(
            self._ca(profile),
            serial_number,
            requester,
            utc_now(),
            issuer=name_der(issuer),
            challenge=challenge,
        )
        return noted(self._run(flow))

    # -------------------------------------------------------------- driving

    def _ca(self, profile: str | None) -> KnownCa:
        known = self._known.get(profile)
        if known is None:
            with self._lock:
                known = self._known.get(profile)
                if known is None:
                    known = self._known_now(profile, self._run(self._learn(profile)))
        return known

    def _run(
        self,
        flow: Flow[T],
        *,
        on_started: OnStarted | None = None,
        on_wait: OnWait | None = None,
    ) -> T:
        """Perform the steps of a flow until it returns."""
        answer: flows.Answer = None
        failure: TransportError | None = None
        while True:
            step = advance(flow, answer, failure)
            answer = failure = None
            match step:
                case Done(result):
                    return result
                case HttpRequest():
                    try:
                        answer = self._transport.exchange(step)
                    except TransportError as error:
                        failure = error
                case VerifyCa():
                    answer = self._vouched(step)
                case Wait(seconds, poll):
                    if on_wait is not None:
                        on_wait(seconds, poll)
                    time.sleep(seconds)
                    answer = utc_now()
                case Started(pending):
                    if on_started is not None:
                        on_started(pending)
