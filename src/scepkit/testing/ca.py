"""`TestCa`: a SCEP CA in memory.

The rule of this file: it is what a test says to the CA and asks it.  HTTP is in `front`, decisions
are in `desk`.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CertificateTemplate, Revocation, template_for
from scepkit.core.capabilities import Capability
from scepkit.core.certificates import PrivateKey
from scepkit.core.csr import read_csr
from scepkit.core.csr_builder import build_csr
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import Failure
from scepkit.core.trust import fingerprint
from scepkit.errors import FailInfo, InputError
from scepkit.testing.answers import Answer
from scepkit.testing.credentials import RaMode, kept_key, key_for, make_credentials
from scepkit.testing.desk import Desk
from scepkit.testing.faults import Fault
from scepkit.testing.front import Front
from scepkit.testing.memory import AsyncMemoryTransport, MemoryTransport
from scepkit.testing.records import HttpExchange, ReceivedMessage
from scepkit.testing.state import Policy, Transaction

if TYPE_CHECKING:
    import ssl


def utc_now() -> datetime:
    """The time, aware; the default clock of a `TestCa`."""
    return datetime.now(UTC)


class TestCa:
    """A SCEP CA in memory, for tests of clients; safe to use from several threads.

    It implements every operation of RFC 8894, decides as a careful CA does, remembers what it was
    sent, and can be told to be wrong in any way listed in `Fault`.

        >>> import scepkit
        >>> from scepkit.testing import TestCa
        >>> ca = TestCa(challenge="secret")
        >>> trust = scepkit.PinnedCertificate(ca.root)
        >>> client = scepkit.Client("http://ca.test/scep", trust=trust, transport=ca.transport())
        >>> csr, key = ca.make_csr("CN=router1", challenge="secret")
        >>> client.enrol(csr, key).certificate.subject.rfc4514_string()
        'CN=router1'
        >>> ca.messages[-1].message_type.rfc_name, ca.requests["PKIOperation"]
        ('PKCSReq', 1)

    :param subject: the CA's name, as text such as ``CN=Test CA,O=Acme``.
    :param key: the CA's key, or its kind: "rsa:2048", "ec:p256", "ed25519".  Keys made here are
        made once a process.
    :param ra: who answers in the CA's place; an EC or Ed25519 CA usually has "rsa".  Without one,
        requests to an EC CA come by password (RFC 8894 section 3.1).
    :param ra_keys: the keys of the RA: one, or for "split" the signing and the decrypting one.
    :param intermediate: put a root above the CA.
    :param single_certificate: answer GetCACert with one certificate alone (Apple wants it: Q20).
    :param challenge: the challengePassword that first enrolments need; None lets anybody enrol,
        until `new_challenge` is called.
    :param pending_polls: answer PENDING until a request was polled so many times.
    :param manual: answer PENDING until `approve` or `deny`.
    :param policy: these three and everything else about decisions.
    :param capabilities: what GetCACaps says instead of the truth: words, or the body itself.
    :param faults: what to do wrong, as `Fault` or by plain name.
    :param clock: what time it is (aware).
    :raises InputError: the arguments contradict each other.
    """

    __test__ = False  # pytest would collect it for its name

    def __init__(
        self,
        *,
        subject: str = "CN=Test CA,O=scepkit",
        key: str | PrivateKey = "rsa:2048",
        ra: RaMode = "none",
        ra_keys: tuple[PrivateKey, ...] = (),
        intermediate: bool = False,
        single_certificate: bool = False,
        challenge: str | None = "secret",
        pending_polls: int = 0,
        manual: bool = False,
        policy: Policy | None = None,
        capabilities: Iterable[Capability | str] | bytes | None = None,
        faults: Iterable[Fault | str] = (),
        clock: Callable[[], datetime] = utc_now,
    ) -> None:
        if policy is not None and (challenge, pending_polls, manual) != ("secret", 0, False):
            raise InputError("say challenge, pending_polls and manual in the policy")
        self.policy = policy or Policy(
            challenge=challenge,
            open=challenge is None,
            pending_polls=pending_polls,
            manual=manual,
        )
        self._subject = subject
        self._ra: RaMode = ra
        self._intermediate = intermediate
        self._clock = clock
        self._faults: set[Fault] = set()
        self._lock = threading.RLock()
        credentials = make_credentials(
            subject=subject,
            key=key,
            ra=ra,
            ra_keys=ra_keys,
            intermediate=intermediate,
            now=clock(),
        )
        self._desk = Desk(credentials, self.policy, self._faults, clock)
        self._front = Front(self._desk)
        self._front.single_certificate = single_certificate
        self._front.capabilities = capabilities
        self.inject(*faults)

    def __repr__(self) -> str:
        faults = "".join(f" {fault.plain_name}" for fault in self.faults)
        return f"<TestCa {self._subject!r}{faults}>"

    # -------------------------------------------------------------- what it is

    @property
    def certificate(self) -> x509.Certificate:
        """The issuing CA's certificate."""
        return self._desk.credentials.issuer.certificate

    @property
    def root(self) -> x509.Certificate:
        """The certificate to trust: the root, which is the CA itself without an intermediate."""
        return self._desk.credentials.root.certificate

    @property
    def offered(self) -> tuple[x509.Certificate, ...]:
        """What GetCACert sends when nothing is wrong: RAs, the CA, those above it."""
        return self._front.offered

    @property
    def fingerprint(self) -> str:
        """SHA-256 of `root`, in lower-case hex."""
        return fingerprint(self.root)

    @property
    def next_certificate(self) -> x509.Certificate | None:
        """The CA certificate that GetNextCACert sends, or None."""
        following = self._desk.next
        return following.issuer.certificate if following else None

    @property
    def issued(self) -> tuple[x509.Certificate, ...]:
        """Every certificate issued to requesters, oldest first."""
        return tuple(self._desk.issued.values())

    @property
    def transactions(self) -> tuple[Transaction, ...]:
        """Every request for a certificate that was not refused at once, oldest first."""
        return tuple({id(one): one for one in self._desk.transactions.values()}.values())

    @property
    def exchanges(self) -> list[HttpExchange]:
        """Every HTTP request that came, oldest first."""
        return self._front.exchanges

    @property
    def messages(self) -> list[ReceivedMessage]:
        """Every pkiMessage that could be read, oldest first."""
        return self._front.messages

    @property
    def requests(self) -> Counter[str]:
        """How many HTTP requests came, by operation."""
        return self._front.requests

    def now(self) -> datetime:
        """What time the CA has."""
        return self._clock()

    # -------------------------------------------------------------- being wrong

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults it has now, in the order of `Fault`."""
        return tuple(fault for fault in Fault if fault in self._faults)

    def inject(self, *faults: Fault | str) -> None:
        """Be wrong from now on, as `Fault` or by plain name.

        :raises InputError: there is no such fault, or it needs ``intermediate=True``.
        """
        found = [fault if isinstance(fault, Fault) else Fault.named(fault) for fault in faults]
        for fault in found:
            if fault.needs_intermediate and not self._intermediate:
                raise InputError(f"{fault.plain_name} needs TestCa(intermediate=True)")
        with self._lock:
            self._faults.update(found)

    def heal(self) -> None:
        """Have no fault any more."""
        with self._lock:
            self._faults.clear()

    # -------------------------------------------------------------- deciding

    def new_challenge(self) -> str:
        """A challengePassword that is good for one enrolment; from now on one is needed."""
        challenge = secrets.token_hex(16)
        self.policy.open = False
        self.policy.one_time_challenges.add(challenge)
        return challenge

    def approve(self, transaction_id: str | None = None) -> x509.Certificate:
        """Issue what is pending; which one need not be said when there is just one.

        :raises InputError: there is no such transaction, or more than one is pending.
        """
        with self._lock:
            transaction = self._desk.find(transaction_id)
            return transaction.certificate or self._desk.issue(transaction)

    def deny(
        self,
        transaction_id: str | None = None,
        fail_info: FailInfo = FailInfo.BAD_REQUEST,
        text: str = "",
    ) -> None:
        """Refuse what is pending; see `approve`."""
        with self._lock:
            self._desk.find(transaction_id).failure = Failure(fail_info, text)

    def revoke(
        self, certificate: x509.Certificate | int, reason: x509.ReasonFlags | None = None
    ) -> None:
        """Revoke a certificate, or a serial number."""
        serial = certificate if isinstance(certificate, int) else certificate.serial_number
        with self._lock:
            self._desk.revoked[serial] = Revocation(serial, self._clock(), reason)

    def stage_next_ca(self, key: str | PrivateKey = "rsa:2048") -> x509.Certificate:
        """Make the CA that follows; GetNextCACert offers it from now on (RFC 8894 section 4.7).

        What is encrypted to it is issued by it (RFC 8894 section 5.1).
        """
        with self._lock:
            self._desk.next = make_credentials(
                subject=self._subject,
                key=key_for(key, "next ca"),
                ra="none",
                ra_keys=(),
                intermediate=self._intermediate,
                now=self._clock(),
            )
            return self._desk.next.issuer.certificate

    def activate_next_ca(self) -> None:
        """Let the staged CA take over; certificates of the old one may still be renewed.

        :raises InputError: none is staged.
        """
        with self._lock:
            if self._desk.next is None:
                raise InputError("there is no next CA; call stage_next_ca first")
            self._desk.credentials, self._desk.next = self._desk.next, None
            self._desk.generations.append(self._desk.credentials.issuer)

    # -------------------------------------------------------------- making things for tests

    def make_csr(
        self,
        subject: str = "CN=device",
        *,
        key: PrivateKey | None = None,
        challenge: str | None = "",
    ) -> tuple[x509.CertificateSigningRequest, PrivateKey]:
        """A certificate request and its key, to enrol with.

        :param key: without it, a key that is the same in the whole process.
        :param challenge: "" takes the CA's own, None leaves it out.
        """
        private_key = key or kept_key("rsa:2048", "device")
        given = self.policy.challenge if challenge == "" else challenge
        return build_csr(private_key, subject, challenge=given), private_key

    def issue(
        self, subject: str = "CN=device", *, key: PrivateKey | None = None
    ) -> tuple[x509.Certificate, PrivateKey]:
        """A certificate of this CA without SCEP, to renew or to look up."""
        csr, private_key = self.make_csr(subject, key=key, challenge=None)
        template = template_for(read_csr(csr.public_bytes(Encoding.DER)), self.policy.profile)
        if not isinstance(template, CertificateTemplate):
            raise InputError(f"the CA's profile refuses this: {template.reason}")
        with self._lock:
            certificate = self._desk.credentials.issuer.issue(
                template, x509.random_serial_number(), self._clock()
            )
            self._desk.issued[certificate.serial_number] = certificate
        return certificate, private_key

    # -------------------------------------------------------------- HTTP

    def transport(self) -> MemoryTransport:
        """A `scepkit.transport.Transport` that asks this CA, whatever the host in the URL."""
        return MemoryTransport(self)

    def async_transport(self) -> AsyncMemoryTransport:
        """The same for asyncio."""
        return AsyncMemoryTransport(self)

    def serve(
        self,
        host: str = "127.0.0.1",
        port: int = 0,
        *,
        ssl_context: ssl.SSLContext | None = None,
    ) -> AbstractContextManager[str]:
        """Real HTTP, in threads, while the context lasts; gives the URL.

            >>> from scepkit.testing import TestCa
            >>> with TestCa().serve() as url:
            ...     url.startswith("http://127.0.0.1:")
            True

        :param port: 0 takes a free one.
        :param ssl_context: serve HTTPS with it.
        """
        from scepkit.testing.server import serve

        return serve(self, host, port, ssl_context)

    def handle(self, request: HttpRequest) -> HttpResponse:
        """Answer one HTTP request.

        :raises TransportError: a fault says that no complete answer arrives.
        """
        return self.transport().exchange(request)

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Answer one HTTP request, with whatever is wrong on the way (for servers).

        :param target: the request target: path and raw query.
        """
        with self._lock:
            return self._front.answer(method, target, body)
