"""What all tests of one run share: the server, its certificates, keys, challenges, the operator.

The rule of this file: nothing is asked twice that does not change, and nothing secret is sent to a
CA that was not authenticated.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.conformance.challenges import ChallengeSource
from scepkit.conformance.keypool import KeyPool
from scepkit.core.ca_certificates import CaCertificates, authenticate
from scepkit.core.ca_replies import read_ca_certificates
from scepkit.core.capabilities import Capabilities, Capability, parse_capabilities
from scepkit.core.http import ca_cert_request, caps_request
from scepkit.core.trust import CaOffer, CaVerifier
from scepkit.core.url import Endpoint
from scepkit.errors import ScepError
from scepkit.values import field, frozen

if TYPE_CHECKING:
    from scepkit.transport import HttpOptions, Transport

#: What `Settings.subject` stands for without being given.
SUBJECT = "CN=scepkit-check-{run}-{n}"
#: Answers that a timing test takes of each cause.
SAMPLES = 200


@frozen(kw_only=True)
class Settings:
    """What the person who runs the tests allows and knows.

    Attributes:
        allow_issue: certificates may be issued.
        intrusive: load, and messages that may hurt a server, may be sent.
        subject: of requests; ``{run}`` and ``{n}`` make it unique.
        key_type: of requesters' keys, as `keys.parse_key_spec` has it; RSA.
        challenges: where challenges come from; None for none.
        open_enrolment: the server asks for no challenge, on purpose.
        bound_challenges: challenges are for the subject that they were asked for.
        expired_challenge: one that is known to have expired.
        approve: approves the request with this transactionID; None when nobody can.
        deny: refuses it.
        revoke: revokes the certificate with this serial number in hex.
        samples: answers that a timing test takes of each cause.
        waived: numbers of tests whose failure is accepted.
    """

    allow_issue: bool = False
    intrusive: bool = False
    subject: str = SUBJECT
    key_type: str = "rsa:2048"
    challenges: ChallengeSource | None = field(default=None, repr=False)
    open_enrolment: bool = False
    bound_challenges: bool = False
    expired_challenge: str | None = field(default=None, repr=False)
    approve: Callable[[str], object] | None = None
    deny: Callable[[str], object] | None = None
    revoke: Callable[[str], object] | None = None
    samples: int = SAMPLES
    waived: frozenset[str] = frozenset()


class Session:
    """One run against one server.

    Attributes:
        run_id: in the names of everything that is asked for.
        capabilities: what GetCACaps says; None when it says nothing that can be read.
        ca: the authenticated certificates; None when there are none, and `ca_fault` says why.
        issued: serial numbers of all certificates that came.
        has_had_challenges: the source of challenges has given one.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        *,
        profile: str | None,
        transport: Transport,
        http_options: HttpOptions,
        trust: CaVerifier,
        settings: Settings,
        keys: KeyPool | None = None,
        ra_certificates: tuple[x509.Certificate, ...] | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.profile = profile
        self.transport = transport
        self.http_options = http_options
        self.settings = settings
        self.keys = keys or KeyPool()
        self.keys.usual = settings.key_type
        self.run_id = secrets.token_hex(3)
        self.issued: list[int] = []
        self.has_had_challenges = False
        self.offered: tuple[x509.Certificate, ...] = ()
        self.ca: CaCertificates | None = None
        self.ca_fault = "GetCACert was not asked yet"
        self.caps: Capabilities = parse_capabilities(b"")
        self.shared: dict[str, object] = {}
        self._trust = trust
        self._ra_certificates = ra_certificates
        self._lock = threading.Lock()
        self._count = 0

    def discover(self) -> None:
        """Ask for capabilities and certificates, and authenticate these.

        :raises TransportError: the server cannot be reached at all.
        """
        found = self.transport.exchange(caps_request(self.endpoint, self.profile))
        if found.status == 200:
            self.caps = parse_capabilities(found.body)
        response = self.transport.exchange(ca_cert_request(self.endpoint, self.profile))
        if response.status != 200:
            self.ca_fault = f"GetCACert answered HTTP {response.status}"
            return
        try:
            self.offered = read_ca_certificates(response.body, response.content_type)
            offer = CaOffer(self.endpoint.url, self.profile, self.offered)
        except ScepError as error:
            self.ca_fault = str(error)
            return
        # Who is not trusted ends the run: the person has to say who the CA is.
        anchor = self._trust(offer)
        try:
            self.ca = authenticate(
                offer, anchor, datetime.now(UTC), ra_certificates=self._ra_certificates
            )
            self.ca_fault = ""
        except ScepError as error:
            self.ca_fault = str(error)

    def announces(self, capability: Capability) -> bool:
        """Whether GetCACaps lists a word, or SCEPStandard that implies it."""
        return self.caps.supports(capability)

    @property
    def recipient_is_rsa(self) -> bool:
        """Whether requests can be encrypted to a key."""
        return self.ca is not None and isinstance(self.ca.recipient.public_key(), rsa.RSAPublicKey)

    def next_subject(self) -> str:
        """A subject that nobody has asked for yet."""
        with self._lock:
            self._count += 1
            count = self._count
        return self.settings.subject.format(run=self.run_id, n=count)
