"""Servers that are killed at every step, and clients that retry in every shape (promises P1 to P6).

Every request and every job runs in a process of its own, which may be told to kill itself (SIGKILL)
at a step of `scepkit.server.checkpoints`, inside transactions and out, or after some milliseconds,
wherever it is by then.  Clients go on until they have an answer: with the same bytes, the same
transactionID, a new transactionID or a request built anew, sometimes two at once; thieves try the
challenges that were used.  In the end the database is asked whether the promises were kept.

Only for a program (`crash_run`), because it forks: nothing else may have threads in its process.
"""

from __future__ import annotations

import json
import os
import random
import signal
from base64 import b64decode
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

from scepkit.ca import CertificateProfile
from scepkit.core.envelope import Password
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import CertRep, Failure, StillPending, Success
from scepkit.errors import InputError
from scepkit.server import admin, checkpoints, jobs
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.gate import Authorisers
from scepkit.server.service import ScepService
from scepkit.server.webhook import Webhook
from scepkit.store import Store, open_store
from tests.server.service.world import DAY, NOW, Device, Message, World
from tests.server.verdict import Ledger

LEASE = timedelta(milliseconds=200)
KEYS = ("rsa2048-c", "rsa3072", "ec256-b")

_CLAIM = (
    "opened", "authorised", "claim.begin", "claim.accepted", "claim.end", "claimed",
)  # fmt: skip
_ISSUE = (
    "sign.begin", "sign.end", "publish.begin", "publish.published", "publish.end", "published",
    "sealed",
)  # fmt: skip
#: The steps of each kind of work that a first try passes.
STEPS = {
    "enrol": (*_CLAIM, *_ISSUE),
    "renew": (*_CLAIM, *_ISSUE),
    "hold": ("opened", "authorised", "claim.begin", "claim.accepted", "claim.end", "claimed"),
    "decide": ("decide.begin", "decide.end", "decided"),
    "pick up": ("taken-over", "reserve.begin", "reserve.end", "reserved", *_ISSUE[:-1]),
    "crl": (
        "crl.numbered",
        "crl.read",
        "crl.signed",
        "crl.piece",
        "crl.stored",
        "crl.put",
        "crl.end",
        "crl.published",
    ),
    "outbox": ("outbox.taken", "outbox.sent", "outbox.done"),
    "deny": ("opened", "authorised", "deny.end", "sealed"),
}
#: Not at a step: after up to so many milliseconds, which is about how long a process lives.
ANYWHERE, _MILLISECONDS = "anywhere", 40
SHAPES = ("same bytes", "same transaction", "new transaction", "rebuilt")


@dataclass(frozen=True)
class Notices:
    """A `Transport` for notices: a line in a file for each, written at once."""

    path: Path

    def exchange(self, request: HttpRequest) -> HttpResponse:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, request.body + b"\n")
        os.close(descriptor)
        return HttpResponse(200, b"", datetime.now(UTC))

    def close(self) -> None:
        """Do nothing."""

    def heard(self) -> set[bytes]:
        """The certificates that were told of."""
        if not self.path.exists():
            return set()
        notices = [json.loads(line) for line in self.path.read_bytes().splitlines()]
        told = [one["x509Certificate"]["raw"] for one in notices if "x509Certificate" in one]
        return {b64decode(one) for one in told}


class Crash:
    """One run."""

    def __init__(self, url: str, seed: int, folder: Path) -> None:
        self.url = url
        self.random = random.Random(seed)
        self.notices = Notices(folder / "told")
        self.ledger = Ledger()
        self.now = NOW
        self.number = 0
        self.answered = ""
        self.kills: Counter[tuple[str, str]] = Counter()
        self.shapes: Counter[str] = Counter()
        self.faults: list[str] = []
        notify = Webhook("http://told.example/", self.notices)
        auth = Authorisers(
            challenge=ChallengePolicy(), renewal=RenewalPolicy(window=3650 * DAY), manual=True
        )
        rules = CertificateProfile()
        with self.opened() as store:
            store.migrate()
            self.world = World.made(store, auth, rules=rules, lease=LEASE, notify=notify)

    def opened(self) -> Store:
        return open_store(self.url, node="crash", connections=2)

    # -------------------------------------------------------------- processes

    def run(
        self, kind: str, work: Sequence[Callable[[ScepService], bytes]], kills: Sequence[str | None]
    ) -> list[bytes | None]:
        """Do several things at once, each in a process; None for those that died."""
        children = [self._fork(one, kill) for one, kill in zip(work, kills, strict=True)]
        results: list[bytes | None] = []
        for pid, reading in children:
            with os.fdopen(reading, "rb") as pipe:
                said = pipe.read()
            _, status = os.waitpid(pid, 0)
            killed = os.WIFSIGNALED(status)
            if killed:
                step = said[1:].decode() if said[:1] == b"K" else ANYWHERE
                self.kills[kind, step] += 1
            elif said[:1] != b"R":
                self.faults.append(f"{kind}: {said[1:].decode()}")
            results.append(said[1:] if said[:1] == b"R" and not killed else None)
        return results

    def _fork(self, work: Callable[[ScepService], bytes], kill: str | None) -> tuple[int, int]:
        reading, writing = os.pipe()
        pid = os.fork()
        if pid:
            os.close(writing)
            return pid, reading
        try:
            os.close(reading)
            said = self._child(work, kill, writing)
        except BaseException as problem:
            said = b"E" + f"{type(problem).__name__}: {problem}".encode()
        os.write(writing, said)
        os._exit(0)

    def _child(self, work: Callable[[ScepService], bytes], kill: str | None, pipe: int) -> bytes:
        def hook(step: str) -> None:
            if step == kill:
                os.write(pipe, b"K" + step.encode())
                os.kill(os.getpid(), signal.SIGKILL)

        if kill == ANYWHERE:  # nothing of ours runs any more when it comes, as with SIGKILL
            signal.signal(signal.SIGALRM, signal.SIG_DFL)
            random.seed()
            signal.setitimer(signal.ITIMER_REAL, random.uniform(0.5, _MILLISECONDS) / 1000)
        store = self.opened()
        deployment = self.world.service.deployment
        service = ScepService(
            store, deployment, lease=LEASE, wait=timedelta(), failure_grid=timedelta()
        )
        checkpoints.hook = hook
        return b"R" + work(service)

    def later(self, span: timedelta = timedelta(seconds=1)) -> None:
        self.now += span
        self.world.now = self.now

    # -------------------------------------------------------------- clients

    def device(self, kind: str) -> Device:
        self.number += 1
        rebuilds = self.random.random() < 0.15
        key = KEYS[2] if rebuilds else KEYS[self.number % 2]
        return replace(
            self.world.device(f"{kind}{self.number}", key), transaction_id=f"{kind}-{self.number}"
        )

    def minted(self) -> str:
        """A challenge, which will be used."""
        self.ledger.challenges += 1
        with self.opened() as store:
            return replace(self.world, store=store).mint(ttl=3650 * DAY)

    def until_answered(
        self,
        kind: str,
        who: str,
        first: Message,
        make: Callable[[str, int], Message],
        plan: Iterable[str | None],
        *,
        waiting: bool = False,
    ) -> CertRep:
        """Send, and send again, until there is an answer that is final (or PENDING, if waited for).

        :param who: who gets the certificates of all answers.
        :param make: a message of a shape, for the try of that number.
        :param plan: where the server is killed, try by try.
        """
        planned = iter(plan)
        for attempt in range(60):
            self.later()
            count = 2 if attempt and self.random.random() < 0.2 else 1
            shapes = [self.random.choice(SHAPES) for _ in range(count)]
            messages = [first if not attempt else make(shape, attempt) for shape in shapes]
            if attempt:
                self.shapes.update(shapes)
            kills = [next(planned, None) for _ in messages]
            replies = self.run(kind, [self._asks(one) for one in messages], kills)
            final = None
            for message, reply in zip(messages, replies, strict=True):
                if reply is None:
                    continue
                answer = message.open(reply, self.world.signers)
                self.answered = message.transaction_id
                if isinstance(answer, Success):
                    self.note(who, answer)
                if waiting or not isinstance(answer, StillPending):
                    final = answer
            if final is not None:
                return final
        raise AssertionError(f"{who}: no answer in 60 tries")

    def _asks(self, message: Message) -> Callable[[ScepService], bytes]:
        world = self.world

        def ask(service: ScepService) -> bytes:
            reply = replace(world, service=service, store=service.store).post(message.body)
            if reply.status != 200:
                raise AssertionError(f"{reply.status} {reply.body!r}")
            return reply.body

        return ask

    def note(self, who: str, answer: CertRep) -> None:
        self.ledger.asked.add(who)
        if isinstance(answer, Success):
            self.ledger.give(who, answer.certificates[0])
        else:
            self.faults.append(f"{who}: {answer}")

    def _maker(
        self, device: Device, first: Message, build: Callable[[str], Message]
    ) -> Callable[[str, int], Message]:
        def make(shape: str, attempt: int) -> Message:
            match shape:
                case "same bytes":
                    return first
                case "same transaction":
                    return build(device.transaction_id)
                case _:
                    return build(f"{device.transaction_id}-{attempt}-{self.random.random()}")

        return make

    # -------------------------------------------------------------- kinds of work

    def enrol(self, plan: Sequence[str | None]) -> Device:
        device, secret = self.device("enrol"), self.minted()
        opens = Password(secret.encode()) if device.key_name.startswith("ec") else None
        kept = device.csr(secret)

        def build(transaction_id: str) -> Message:
            csr = device.csr(secret) if self.random.random() < 0.5 else kept
            return device.enrol(csr=csr, transaction_id=transaction_id, decrypt_with=opens)

        first = build(device.transaction_id)
        make = self._maker(device, first, build)
        who = f"enrol {self.number}"
        answer = self.until_answered("enrol", who, first, make, plan)
        self.note(who, answer)
        self.note(who, self.until_answered("enrol", who, make("new transaction", 99), make, ()))
        if self.random.random() < 0.1:
            self.steal(secret, [self._anywhere()])
        return device.issued(answer) if isinstance(answer, Success) else device

    def steal(self, secret: str, plan: Sequence[str | None]) -> None:
        """Another device tries a challenge that was used; it is refused, whoever dies."""
        self.number += 1
        thief = replace(
            self.world.device(f"thief{self.number}", "rsa2048-b"),
            transaction_id=f"thief-{self.number}",
        )
        csr = thief.csr(secret)

        def build(transaction_id: str) -> Message:
            return thief.enrol(csr=csr, transaction_id=transaction_id)

        first = build(thief.transaction_id)
        make = self._maker(thief, first, build)
        answer = self.until_answered("deny", f"thief {self.number}", first, make, plan)
        self.ledger.thefts += 1
        if not isinstance(answer, Failure):
            self.faults.append(f"thief {self.number}: {answer}")

    def _anywhere(self) -> str | None:
        return ANYWHERE if self.random.random() < 0.3 else None

    def renew(self, plan: Sequence[str | None]) -> None:
        device = self.enrol(())
        while device.key_name.startswith("ec"):
            device = self.enrol(())
        if device.certificate is None:
            return  # a fault that is noted
        number = self.number
        new = "rsa4096" if self.random.random() < 0.2 else "rsa3072"
        csr = replace(device, key_name=new).csr()

        def build(transaction_id: str) -> Message:
            return device.renew(new, csr=csr, transaction_id=transaction_id)

        first = build(f"renew-{number}")
        renewing = replace(device, transaction_id=f"renew-{number}")
        make = self._maker(renewing, first, build)
        who = f"renew {number}"
        self.note(who, self.until_answered("renew", who, first, make, plan))
        self.note(who, self.until_answered("renew", who, make("new transaction", 99), make, ()))

    def approve(
        self,
        holds: Sequence[str | None],
        decides: Sequence[str | None],
        picks: Sequence[str | None],
    ) -> None:
        device = self.device("approve")
        while device.key_name.startswith("ec"):
            device = self.device("approve")
        csr = device.csr()

        def build(transaction_id: str) -> Message:
            return device.enrol(csr=csr, transaction_id=transaction_id)

        first = build(device.transaction_id)
        make = self._maker(device, first, build)
        who = f"approve {self.number}"
        answer = self.until_answered("hold", who, first, make, holds, waiting=True)
        polling = self.answered
        if not isinstance(answer, StillPending):
            self.faults.append(f"{who}: {answer} before approval")
        with self.opened() as store:
            (waiting,) = admin.list_requests(store, text=device.name.rfc4514_string())
        planned = iter(decides)
        for _ in range(20):
            self.later()
            decide = partial(_approve, number=waiting.id, now=self.now)
            done = self.run("decide", [decide], [next(planned, None)])
            if done[0] is not None:
                break

        def poll_or_again(shape: str, attempt: int) -> Message:
            if self.random.random() < 0.5:
                return device.poll(transaction_id=polling)
            return make(shape, attempt)

        planned = iter(picks)
        for kill in planned:
            self.later()
            by_sweep = self.random.random() < 0.5
            message = device.poll(transaction_id=polling)
            sweep = partial(_job, jobs.sweep, now=self.now)
            self.run("pick up", [sweep if by_sweep else self._asks(message)], [kill])
        last = device.poll(transaction_id=polling)
        self.note(who, self.until_answered("pick up", who, last, poll_or_again, ()))

    def revoke_and_publish(self, plan: Sequence[str | None]) -> None:
        device = self.enrol(())
        if device.certificate is None:
            return
        serial = f"{device.certificate.serial_number:x}"
        with self.opened() as store:
            admin.revoke_certificate(store, None, serial, actor="alice", now=self.now)
        planned = iter(plan)
        for _ in range(20):
            self.later(timedelta(seconds=61))
            make_crls = partial(_job, jobs.make_due_crls, now=self.now)
            done = self.run("crl", [make_crls], [next(planned, None)])
            if done[0] is not None:
                return

    def tell(self, plan: Sequence[str | None]) -> None:
        self.enrol(())
        planned = iter(plan)
        for _ in range(40):
            self.later(timedelta(minutes=6))
            deliver = partial(_job, jobs.deliver_outbox, now=self.now)
            done = self.run("outbox", [deliver], [next(planned, None)])
            if done[0] == b"0":
                return

    def seal(self, plan: Sequence[str | None]) -> None:
        """The audit trail is chained."""
        for kill in plan:
            self.enrol(())
            self.later(timedelta(seconds=61))
            self.run("seal", [partial(_seal, now=self.now)], [kill])

    def be_robbed(self, plan: Sequence[str | None]) -> None:
        """Somebody uses a challenge, then somebody else tries it."""
        secret = self.minted()
        self.number += 1
        device = self.world.device(f"robbed{self.number}")
        who = f"robbed {self.number}"
        first = device.enrol(secret, transaction_id=f"robbed-{self.number}")
        make = self._maker(device, first, lambda _: first)
        self.note(who, self.until_answered("enrol", who, first, make, ()))
        self.steal(secret, plan)


def _job(
    job: Callable[[ScepService, datetime], object], service: ScepService, *, now: datetime
) -> bytes:
    return str(job(service, now)).encode()


def _approve(service: ScepService, *, number: int, now: datetime) -> bytes:
    """Approve; whoever retries after a kill may find it done."""
    try:
        admin.approve_request(service.store, number, actor="alice", now=now)
    except InputError as error:
        if "approved by alice" not in str(error) and "issued by alice" not in str(error):
            raise
    return b"approved"


def _seal(service: ScepService, *, now: datetime) -> bytes:
    return str(jobs.seal_audit(service.store, now)).encode()
