"""Devices that want a certificate each and go on until they have it, whatever servers do.

They retry as devices do: with the same bytes, the same transactionID, a new transactionID, a
request built anew or a CertPoll, at any node, sometimes twice at once.  The rule of this file: what
a device cannot get over by trying again is a failure, and so is what it must not be given.
"""

from __future__ import annotations

import http.client
import itertools
import random
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from cryptography import x509

from scepkit.core.csr_builder import build_csr, self_signed_certificate
from scepkit.core.envelope import Password
from scepkit.core.messages import Failure, StillPending, Success
from scepkit.errors import ProtocolError, StoreUnavailable
from tests import pki
from tests.server.fleet.sites import Node, Site
from tests.server.service.world import Device, Message
from tests.server.verdict import Ledger

SHAPES = ("same bytes", "same transaction", "new transaction", "rebuilt")
#: Seconds for one exchange, and until a device that has no certificate is called lost.
EXCHANGE, LOST = 20.0, 90.0
#: How long a device waits before it tries again, in seconds, whatever Retry-After says.
PAUSE = 0.15
_MINTED = 50
#: How often a device asks again though it has its certificate, tries the challenge of another one,
#: renews, or sends a retry twice at once.
_AGAIN, _THIEF, _RENEWS, _TWICE = 0.15, 0.05, 0.2, 0.15


@dataclass(frozen=True)
class Answer:
    """An HTTP response, or none: then `status` is 0."""

    status: int
    body: bytes = b""
    retry_after: str | None = None


def ask(port: int, method: str, target: str, body: bytes | None = None) -> Answer:
    """One request over a connection of its own."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=EXCHANGE)) as connection:
        try:
            connection.request(method, target, body)
            response = connection.getresponse()
            return Answer(response.status, response.read(), response.getheader("Retry-After"))
        except (OSError, http.client.HTTPException):
            return Answer(0)


def post(port: int, message: Message) -> Answer:
    """Send a pkiMessage."""
    return ask(port, "POST", "/scep?operation=PKIOperation", message.body)


@dataclass(frozen=True)
class Wanted:
    """A certificate that a device wants.

    Attributes:
        who: the same for all tries.
        key_name: of the key to be certified.
        build: a request with a transactionID; the CSR made anew, or the one of the first request.
        first: the first request.
    """

    who: str
    device: Device
    key_name: str
    build: Callable[[str, bool], Message]
    first: Message

    def again(self, shape: str, draw: random.Random) -> Message:
        """The request in one of the shapes of a retry."""
        match shape:
            case "same bytes":
                return self.first
            case "same transaction":
                return self.build(self.first.transaction_id, False)
            case "new transaction":
                return self.build(f"{self.who}-{draw.random()}", False)
            case "rebuilt":
                return self.build(f"{self.who}-{draw.random()}", True)
        raise AssertionError(shape)


def enrolment(site: Site, who: str, key_name: str, secret: str) -> Wanted:
    """A PKCSReq with a one-time challenge."""
    device = Device(site, pki.name(who), key_name)
    csr = build_csr(device.key, device.name)
    own = self_signed_certificate(csr, device.key, now=site.now)
    device = replace(device, certificate=own)
    kept = device.csr(secret)
    opens = Password(secret.encode()) if key_name.startswith("ec") else None

    def build(transaction_id: str, anew: bool) -> Message:
        csr = device.csr(secret) if anew else kept
        return device.enrol(csr=csr, transaction_id=transaction_id, decrypt_with=opens)

    return Wanted(who, device, key_name, build, build(f"{who}-first", False))


def renewal(site: Site, who: str, old: Device, key_name: str) -> Wanted:
    """A RenewalReq, signed with the certificate that the device has."""
    kept = replace(old, key_name=key_name).csr()

    def build(transaction_id: str, anew: bool) -> Message:
        csr = replace(old, key_name=key_name).csr() if anew else kept
        return old.renew(key_name, csr=csr, transaction_id=transaction_id)

    return Wanted(who, old, key_name, build, build(f"{who}-first", False))


class Fleet:
    """Devices in threads; entering begins, leaving waits until all have what they want.

    Attributes:
        counts: what happened, and how often.
        ledger: what the devices were given.
        failures: what no device can get over, and what nobody may get.
        rate: certificates a second to be asked for, all devices together; None: as many as can be.
    """

    def __init__(
        self, site: Site, nodes: Sequence[Node], *, devices: int = 6, seed: int = 1
    ) -> None:
        self.site, self.nodes = site, nodes
        self.counts: Counter[str] = Counter()
        self.ledger = Ledger()
        self.failures: list[str] = []
        self.rate: float | None = None
        self._store = site.opened()
        self._secrets: deque[str] = deque()
        self._numbers = itertools.count(1)
        self._lock, self._minting = threading.Lock(), threading.Lock()
        self._next = 0.0
        self._done = threading.Event()
        self._threads = [
            threading.Thread(target=self._live, args=(random.Random(seed * 1000 + n),))
            for n in range(devices)
        ]

    def __enter__(self) -> Fleet:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        for thread in self._threads:
            thread.join()
        self._store.close()

    @property
    def issued(self) -> int:
        """How many certificates were given so far."""
        return len(self.ledger.given)

    def until(self, more: int, seconds: float = LOST) -> None:
        """Wait until so many more have theirs."""
        goal, deadline = self.issued + more, time.monotonic() + seconds
        while self.issued < goal:
            assert time.monotonic() < deadline, (self.counts, self.failures[:5])
            time.sleep(0.02)

    # ------------------------------------------------------------------ a device's life

    def _live(self, draw: random.Random) -> None:
        while not self._done.is_set():
            try:
                self._wait_for_turn()
                self._enrol_and_renew(draw)
            except Exception as error:
                self._fail(f"{type(error).__name__}: {error}")

    def _wait_for_turn(self) -> None:
        if self.rate is None:
            return
        with self._lock:
            now = time.monotonic()
            self._next = max(self._next + 1 / self.rate, now - 1)
            wait = self._next - now
        self._done.wait(max(0.0, wait))

    def _enrol_and_renew(self, draw: random.Random) -> None:
        secret = self._secret()
        if secret is None:
            return
        number = next(self._numbers)
        key_name = draw.choices(("rsa2048-c", "rsa3072", "ec256-b"), (8, 1, 2))[0]
        wanted = enrolment(self.site, f"device{number}", key_name, secret)
        der = self._get(wanted, draw)
        with self._lock:
            self.ledger.challenges += 1
        if der is None:
            return
        if draw.random() < _THIEF:
            self._steal(secret, number, key_name, draw)
        if draw.random() < _RENEWS and not key_name.startswith("ec"):
            self._wait_for_turn()
            certificate = x509.load_der_x509_certificate(der)
            old = replace(wanted.device, certificate=certificate)
            new = draw.choice(("rsa2048-c", "rsa3072"))
            self._get(renewal(self.site, f"renewal{number}", old, new), draw)

    def _secret(self) -> str | None:
        """A challenge nobody has used; None when it is over."""
        with self._minting:
            while not self._secrets:
                if self._done.is_set():
                    return None
                try:
                    self._secrets.extend(self.site.mint(self._store, _MINTED))
                except StoreUnavailable:
                    self._count("challenges not minted")
                    time.sleep(PAUSE)
            return self._secrets.popleft()

    def _get(self, wanted: Wanted, draw: random.Random) -> bytes | None:
        """Ask until there is a certificate."""
        with self._lock:
            self.ledger.asked.add(wanted.who)
        deadline = time.monotonic() + LOST
        asked = [wanted.first]
        answered = ""
        while time.monotonic() < deadline:
            given = b""
            for message, answer in self._exchange(asked, draw):
                found = self._read(wanted, message, answer)
                if found is not None:
                    answered, given = message.transaction_id, found or given
            if given:
                if draw.random() < _AGAIN:
                    again = wanted.again(draw.choice(SHAPES), draw)
                    for message, answer in self._exchange([again], draw):
                        self._read(wanted, message, answer)
                return given
            time.sleep(draw.uniform(PAUSE / 2, 2 * PAUSE))
            asked = [self._retry(wanted, answered, draw)]
            if draw.random() < _TWICE:
                asked.append(self._retry(wanted, answered, draw))
        self._fail(f"{wanted.who}: no certificate in {LOST:g} seconds")
        return None

    def _retry(self, wanted: Wanted, answered: str, draw: random.Random) -> Message:
        if answered and draw.random() < 0.5:
            self._count("retry: poll")
            opens = wanted.first.decrypt_with
            password = opens if isinstance(opens, Password) else None
            return wanted.device.poll(transaction_id=answered, decrypt_with=password)
        shape = draw.choice(SHAPES)
        self._count(f"retry: {shape}")
        return wanted.again(shape, draw)

    def _exchange(
        self, messages: Sequence[Message], draw: random.Random
    ) -> list[tuple[Message, Answer]]:
        """Send messages, at the same time if there are several, each to any node."""
        answers: dict[int, Answer] = {}

        def send(at: int, port: int) -> None:
            answers[at] = post(port, messages[at])

        ports = [draw.choice(self.nodes).port for _ in messages]
        others = [
            threading.Thread(target=send, args=(at, ports[at])) for at in range(1, len(messages))
        ]
        for thread in others:
            thread.start()
        send(0, ports[0])
        for thread in others:
            thread.join()
        return [(message, answers[at]) for at, message in enumerate(messages)]

    def _read(self, wanted: Wanted, message: Message, answer: Answer) -> bytes | None:
        """The certificate of an answer; b"" for PENDING, None for what says nothing."""
        self._count("requests")
        match answer.status:
            case 0:
                self._count("no answer")
                return None
            case 503:
                self._count("503")
                if not answer.retry_after:
                    self._fail(f"{wanted.who}: 503 without Retry-After")
                return None
            case 200:
                pass
            case _:
                self._fail(f"{wanted.who}: {answer.status} {answer.body[:100]!r}")
                return None
        try:
            reply = message.open(answer.body, [self.site.recipient])
        except ProtocolError as error:
            self._fail(f"{wanted.who}: {error}")
            return None
        match reply:
            case Success():
                return self._take(wanted, reply.certificates[0])
            case StillPending():
                self._count("PENDING")
                return b""
            case _:
                self._fail(f"{wanted.who}: {reply}")
                return None

    def _take(self, wanted: Wanted, der: bytes) -> bytes:
        self._count("SUCCESS")
        certificate = x509.load_der_x509_certificate(der)
        certificate.verify_directly_issued_by(self.site.ca.certificate)
        if certificate.public_key() != pki.key(wanted.key_name).public_key():
            self._fail(f"{wanted.who}: the certificate is for another key")
        with self._lock:
            self.ledger.give(wanted.who, der)
        return der

    def _steal(self, secret: str, number: int, key_name: str, draw: random.Random) -> None:
        """Another device tries a challenge that was used: it must be refused."""
        own = "rsa2048-c" if key_name == "rsa3072" else "rsa3072"
        thief = enrolment(self.site, f"thief{number}", own, secret)
        deadline = time.monotonic() + LOST
        while time.monotonic() < deadline:
            ((_, answer),) = self._exchange([thief.first], draw)
            if answer.status == 200:
                reply = thief.first.open(answer.body, [self.site.recipient])
                with self._lock:
                    self.ledger.thefts += 1
                if not isinstance(reply, Failure):
                    self._fail(f"thief{number}: {reply}")
                return
            time.sleep(PAUSE)

    def _count(self, what: str) -> None:
        with self._lock:
            self.counts[what] += 1

    def _fail(self, problem: str) -> None:
        with self._lock:
            self.failures.append(problem)
