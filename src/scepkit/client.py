"""`Client`: the conversations of `core.flows`, driven by whoever calls, in any number of threads.

Rule of this file: no protocol logic; what answers mean is decided in `core.flows`.
"""

from __future__ import annotations

import threading
import time
from typing import TypeVar

from cryptography import x509

from scepkit.core import flows
from scepkit.core.ca_certificates import CaCertificates
from scepkit.core.capabilities import Capabilities
from scepkit.core.certificates import PrivateKey
from scepkit.core.enrolment import EnrolmentResult, Pending, PollPolicy, Requester
from scepkit.core.flows import Flow, KnownCa, Preferences, Started, VerifyCa, Wait
from scepkit.core.http import HttpRequest
from scepkit.core.trust import CaOffer, CaVerifier
from scepkit.errors import InputError, TransportError
from scepkit.service import (
    Done,
    OnStarted,
    OnWait,
    Service,
    advance,
    default_requester,
    name_der,
    noted,
    renewal_request,
    request_for,
    utc_now,
)
from scepkit.transport import HttpOptions, HttpTransport, Transport

T = TypeVar("T")


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
        """Close the connections; nothing more can be asked through this client."""
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
        transaction_id: str | None = None,
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
        :param transaction_id: that of an attempt whose answer was lost, to send the same again; by
            default a new one (RFC 8894 section 3.2.1.1).
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
        flow = flows.enrol(
            ca,
            parsed,
            asking,
            utc_now(),
            challenge=challenge,
            renewal=renewal,
            transaction_id=transaction_id,
        )
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
