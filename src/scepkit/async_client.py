"""`AsyncClient`: the same conversations as `Client`, driven by asyncio.

Rule of this file: no protocol logic, and nothing that blocks the event loop: cryptography and
verifiers run in worker threads (RSA in `cryptography` releases the interpreter lock, so they use
all cores), HTTP in the transport.  Where that has threads itself, they do it all: an enrolment is
one way to a thread and back.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from cryptography import x509

from scepkit.core import flows
from scepkit.core.ca_certificates import CaCertificates
from scepkit.core.capabilities import Capabilities
from scepkit.core.certificates import PrivateKey
from scepkit.core.enrolment import EnrolmentResult, Pending, PollPolicy, Requester
from scepkit.core.flows import Flow, KnownCa, Preferences, Started, Step, VerifyCa, Wait
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
from scepkit.transport import (
    AsyncTransport,
    HttpOptions,
    HttpTransport,
    ThreadedTransport,
    Transport,
)

T = TypeVar("T")


class AsyncClient(Service):
    """`Client` for asyncio: the same arguments, methods, results and errors, awaited.

    One object serves any number of tasks of one event loop.  Use it as an async context manager,
    or `aclose` it.

    :param trust: as for `Client`; called in a worker thread, because it may ask a person.
    :param transport: an `AsyncTransport` instead of the built-in one.
    """

    def __init__(
        self,
        url: str,
        *,
        trust: CaVerifier,
        http: HttpOptions | None = None,
        transport: AsyncTransport | None = None,
        preferences: Preferences | None = None,
    ) -> None:
        super().__init__(url, trust, preferences)
        if http is not None and transport is not None:
            raise InputError("give http options or a transport, not both")
        self._transport = transport or ThreadedTransport(HttpTransport(http or HttpOptions()))
        self._lock = asyncio.Lock()
        self._workers = ThreadPoolExecutor(thread_name_prefix="scepkit")

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections and end the worker threads."""
        await self._transport.aclose()
        self._workers.shutdown(wait=False)

    async def get_ca_certificates(self, profile: str | None = None) -> CaCertificates:
        """See `Client.get_ca_certificates`."""
        return (await self._ca(profile)).certificates

    async def get_capabilities(self, profile: str | None = None) -> Capabilities:
        """See `Client.get_capabilities`."""
        return await self._run(flows.get_capabilities(self._endpoint, profile))

    async def fetch_ca_offer(self, profile: str | None = None) -> CaOffer:
        """See `Client.fetch_ca_offer`."""
        return await self._run(flows.fetch_offer(self._endpoint, profile))

    async def get_next_ca_certificates(
        self, profile: str | None = None, *, verifier: CaVerifier | None = None
    ) -> tuple[x509.Certificate, ...]:
        """See `Client.get_next_ca_certificates`; the verifier is called in a worker thread."""
        ca = await self._ca(profile)
        return await self._run(flows.get_next_ca(ca, utc_now(), verifier=verifier))

    async def refresh(self, profile: str | None = None) -> None:
        """See `Client.refresh`."""
        async with self._lock:
            self._known_now(profile, await self._run(self._learn(profile)))

    async def enrol(
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
        """See `Client.enrol`."""
        ca = await self._ca(profile)

        def conversation() -> Flow[EnrolmentResult]:
            parsed = request_for(csr, key)
            asking = requester or default_requester(parsed, key)
            return (
                yield from flows.enrol(
                    ca,
                    parsed,
                    asking,
                    utc_now(),
                    challenge=challenge,
                    renewal=renewal,
                    transaction_id=transaction_id,
                )
            )

        return await self._run(conversation(), on_started=on_started)

    async def poll(
        self, pending: Pending, key: PrivateKey, *, challenge: str | None = None
    ) -> EnrolmentResult:
        """See `Client.poll`."""
        requester = self._resume(pending, key)
        ca = await self._ca(pending.profile)
        return await self._run(flows.poll(ca, pending, requester, utc_now(), challenge=challenge))

    async def wait(
        self,
        pending: Pending,
        key: PrivateKey,
        policy: PollPolicy | None = None,
        *,
        challenge: str | None = None,
        on_wait: OnWait | None = None,
    ) -> EnrolmentResult:
        """See `Client.wait`."""
        requester = self._resume(pending, key)
        flow = flows.poll_until_done(
            await self._ca(pending.profile),
            pending,
            requester,
            utc_now(),
            policy or PollPolicy(),
            challenge=challenge,
        )
        return await self._run(flow, on_wait=on_wait)

    async def renew(
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
        """See `Client.renew`."""
        ca = await self._ca(profile)

        def conversation() -> Flow[EnrolmentResult]:
            parsed = renewal_request(requester, new_key, csr, challenge)
            return (
                yield from flows.enrol(
                    ca, parsed, requester, utc_now(), challenge=challenge, renewal=renewal
                )
            )

        return await self._run(conversation(), on_started=on_started)

    async def get_certificate(
        self,
        serial_number: int,
        requester: Requester,
        *,
        issuer: x509.Name | None = None,
        profile: str | None = None,
        challenge: str | None = None,
    ) -> tuple[x509.Certificate, tuple[x509.Certificate, ...]]:
        """See `Client.get_certificate`."""
        flow = flows.get_certificate(
            await self._ca(profile),
            serial_number,
            requester,
            utc_now(),
            issuer=name_der(issuer),
            challenge=challenge,
        )
        return await self._run(flow)

    async def get_crl(
        self,
        serial_number: int,
        requester: Requester,
        *,
        issuer: x509.Name | None = None,
        profile: str | None = None,
        challenge: str | None = None,
    ) -> x509.CertificateRevocationList:
        """See `Client.get_crl`."""
        flow = flows.get_crl(
            await self._ca(profile),
            serial_number,
            requester,
            utc_now(),
            issuer=name_der(issuer),
            challenge=challenge,
        )
        return noted(await self._run(flow))

    # -------------------------------------------------------------- driving

    async def _ca(self, profile: str | None) -> KnownCa:
        known = self._known.get(profile)
        if known is None:
            async with self._lock:
                known = self._known.get(profile)
                if known is None:
                    known = self._known_now(profile, await self._run(self._learn(profile)))
        return known

    async def _run(
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
            step = await self._go_on(flow, answer, failure, silently=on_started is None)
            answer = failure = None
            match step:
                case Done(result):
                    return result
                case HttpRequest():
                    try:
                        answer = await self._transport.exchange(step)
                    except TransportError as error:
                        failure = error
                case VerifyCa():
                    # Not in a thread of the transport, which waits for those when it is closed.
                    vouch = partial(self._vouched, step)
                    answer = await asyncio.get_running_loop().run_in_executor(self._workers, vouch)
                case Wait(seconds, poll):
                    if on_wait is not None:
                        on_wait(seconds, poll)
                    await asyncio.sleep(seconds)
                    answer = utc_now()
                case Started(pending):
                    if on_started is not None:
                        on_started(pending)

    async def _go_on(
        self,
        flow: Flow[T],
        answer: flows.Answer,
        failure: TransportError | None,
        *,
        silently: bool,
    ) -> Step | Done[T]:
        """The next step that a worker thread cannot do: each way there and back costs 0.1 ms."""
        given_up = False

        def work(transport: Transport | None) -> Step | Done[T]:
            said, lost = answer, failure
            while True:
                step = advance(flow, said, lost)
                said = lost = None
                match step:
                    case Started() if silently:
                        pass
                    case HttpRequest() if transport is not None and not given_up:
                        try:
                            said = transport.exchange(step)
                        except TransportError as error:
                            lost = error
                    case _:
                        return step

        try:
            if (
                isinstance(self._transport, ThreadedTransport)
                # Never past somebody's own `exchange`.
                and type(self._transport).exchange is ThreadedTransport.exchange
            ):
                return await self._transport.run(work)
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._workers, work, None)
        except asyncio.CancelledError:
            given_up = True  # what has not been sent yet stays here
            raise
