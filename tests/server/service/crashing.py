"""Servers that are killed at every step, and clients that retry in every shape (promises P1 to P6).

    python -m tests.server.service.crashing --kills 1000 --database sqlite:///...

Every request and every job runs in a process of its own, which may be told to kill itself (SIGKILL)
at a step of `scepkit.server.checkpoints`, inside transactions and out.  Clients go on until they
have an answer: with the same bytes, the same transactionID, a new transactionID or a request built
anew, sometimes two at once.  In the end the database is asked whether the promises were kept.

This is a program, because it forks: nothing else may have threads in its process.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from cryptography import x509

from scepkit.ca import CertificateProfile
from scepkit.core.envelope import Password
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import CertRep, StillPending, Success
from scepkit.errors import InputError
from scepkit.server import admin, checkpoints, jobs
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.auth_renewal import RenewalPolicy
from scepkit.server.gate import Authorisers
from scepkit.server.service import ScepService
from scepkit.server.webhook import Webhook
from scepkit.store import Store, audit, certificates, crls, open_store
from scepkit.store.rows import milliseconds
from tests.server.service.world import DAY, NOW, Device, Message, World

LEASE = timedelta(milliseconds=200)
KEYS = ("rsa2048-c", "rsa3072", "ec256-b")

_CLAIM = (
    "opened", "authorised", "claim.begin", "claim.claimed", "claim.spent", "claim.reserved",
    "claim.end", "claimed",
)  # fmt: skip
_ISSUE = (
    "sign.begin", "sign.end", "publish.begin", "publish.published", "publish.end", "published",
    "sealed",
)  # fmt: skip
#: The steps of each kind of work that a first try passes.
STEPS = {
    "enrol": (*_CLAIM, *_ISSUE),
    "renew": (*(step for step in _CLAIM if step != "claim.spent"), *_ISSUE),
    "hold": ("opened", "authorised", "claim.begin", "claim.claimed", "claim.end", "claimed"),
    "decide": ("decide.begin", "decide.end", "decided"),
    "pick up": ("taken-over", "reserve.begin", "reserve.end", "reserved", *_ISSUE[:-1]),
    "crl": ("crl.numbered", "crl.read", "crl.signed", "crl.put", "crl.end"),
    "outbox": ("outbox.taken", "outbox.sent", "outbox.done"),
}
SHAPES = ("same bytes", "same transaction", "new transaction", "rebuilt")


@dataclass(frozen=True)
class Ledger:
    """A `Transport` for notices: a line in a file for each, written at once."""

    path: Path

    def exchange(self, request: HttpRequest) -> HttpResponse:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.write(descriptor, request.body + b"\n")
        os.close(descriptor)
        return HttpResponse(200, b"", datetime.now(UTC))

    def close(self) -> None:
        """Do nothing."""


class Crash:
    """One run."""

    def __init__(self, url: str, seed: int, folder: Path) -> None:
        self.url = url
        self.random = random.Random(seed)
        self.ledger = Ledger(folder / "told")
        self.now = NOW
        self.number = 0
        self.answered = ""
        self.kills: Counter[tuple[str, str]] = Counter()
        self.shapes: Counter[str] = Counter()
        self.faults: list[str] = []
        self.given: dict[str, set[bytes]] = {}
        notify = Webhook("http://told.example/", self.ledger)
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
            os.waitpid(pid, 0)
            if said[:1] == b"R":
                results.append(said[1:])
                continue
            if said[:1] == b"K":
                self.kills[kind, said[1:].decode()] += 1
            else:
                self.faults.append(f"{kind}: {said[1:].decode()}")
            results.append(None)
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
        with self.opened() as store:
            return replace(self.world, store=store).mint(ttl=3650 * DAY)

    def until_answered(
        self,
        kind: str,
        first: Message,
        make: Callable[[str, int], Message],
        plan: Iterable[str | None],
        *,
        waiting: bool = False,
    ) -> CertRep:
        """Send, and send again, until there is an answer that is final (or PENDING, if waited for).

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
            for message, reply in zip(messages, replies, strict=True):
                if reply is None:
                    continue
                answer = message.open(reply, self.world.signers)
                self.answered = message.transaction_id
                if waiting or not isinstance(answer, StillPending):
                    return answer
        raise AssertionError(f"{kind}: no answer in 60 tries")

    def _asks(self, message: Message) -> Callable[[ScepService], bytes]:
        world = self.world

        def ask(service: ScepService) -> bytes:
            reply = replace(world, service=service, store=service.store).post(message.body)
            if reply.status != 200:
                raise AssertionError(f"{reply.status} {reply.body!r}")
            return reply.body

        return ask

    def note(self, who: str, answer: CertRep) -> None:
        if isinstance(answer, Success):
            self.given.setdefault(who, set()).add(answer.certificates[0])
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
        answer = self.until_answered("enrol", first, make, plan)
        self.note(who, answer)
        self.note(who, self.until_answered("enrol", make("new transaction", 99), make, ()))
        return device.issued(answer) if isinstance(answer, Success) else device

    def renew(self, plan: Sequence[str | None]) -> None:
        device = self.enrol(())
        while device.key_name.startswith("ec") or device.certificate is None:
            device = self.enrol(())
        number = self.number
        new = "rsa4096" if self.random.random() < 0.2 else "rsa3072"
        csr = replace(device, key_name=new).csr()

        def build(transaction_id: str) -> Message:
            return device.renew(new, csr=csr, transaction_id=transaction_id)

        first = build(f"renew-{number}")
        renewing = replace(device, transaction_id=f"renew-{number}")
        make = self._maker(renewing, first, build)
        who = f"renew {number}"
        self.note(who, self.until_answered("renew", first, make, plan))
        self.note(who, self.until_answered("renew", make("new transaction", 99), make, ()))

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
        answer = self.until_answered("hold", first, make, holds, waiting=True)
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
        self.note(who, self.until_answered("pick up", last, poll_or_again, ()))

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

    # -------------------------------------------------------------- the run

    def each_step_once(self) -> None:
        """Kill once at every step of everything."""
        for step in STEPS["enrol"]:
            self.enrol([step])
        for step in STEPS["renew"]:
            self.renew([step])
        for step in STEPS["hold"]:
            self.approve([step], (), ())
        for step in STEPS["decide"]:
            self.approve((), [step], ())
        for step in STEPS["pick up"]:
            self.approve((), (), [step])
        for step in STEPS["crl"]:
            self.revoke_and_publish([step])
        for step in STEPS["outbox"]:
            self.tell([step])

    def at_random(self) -> None:
        """Some work, killed up to four times."""
        draw = self.random

        def plan(kind: str) -> list[str | None]:
            return [draw.choice(STEPS[kind]) for _ in range(draw.randint(1, 4))]

        match draw.choices(("enrol", "renew", "approve", "crl", "outbox"), (4, 3, 3, 1, 1))[0]:
            case "enrol":
                self.enrol(plan("enrol"))
            case "renew":
                self.renew(plan("renew"))
            case "approve":
                self.approve(plan("hold"), plan("decide"), plan("pick up"))
            case "crl":
                self.revoke_and_publish(plan("crl"))
            case _:
                self.tell(plan("outbox"))

    def verdict(self) -> dict[str, Any]:
        """Let what is left be done, then count."""
        self.later(DAY)
        with self.opened() as store:
            service = ScepService(store, self.world.service.deployment, lease=LEASE)
            swept = jobs.sweep(service, self.now)
            while jobs.deliver_outbox(service, self.now):
                self.later(timedelta(minutes=6))
            jobs.make_due_crls(service, self.now)
            jobs.seal_audit(store, self.now)
            verified = store.snapshot(audit.verify)
            return {
                "kills": sum(self.kills.values()),
                "by step": {f"{kind}: {step}": n for (kind, step), n in sorted(self.kills.items())},
                "retries": dict(self.shapes),
                "requests": len(self.given),
                "certificates": _one(store, "SELECT count(*) FROM certificate"),
                "finished by the last sweep": swept,
                "faults": self.faults,
                "requests with two certificates": sum(len(x) > 1 for x in self.given.values()),
                "requests without one": sum(not x for x in self.given.values()),
                "operations not ended": _one(
                    store, "SELECT count(*) FROM operation WHERE finished_at IS NULL"
                ),
                "certificates nobody was given": _one(store, "SELECT count(*) FROM certificate")
                - len({x for one in self.given.values() for x in one}),
                "reservations left": _one(
                    store, "SELECT count(*) FROM certificate WHERE state = 'reserved'"
                ),
                "serial numbers twice": _one(
                    store,
                    "SELECT count(*) FROM (SELECT serial FROM certificate GROUP BY ca_id, serial"
                    " HAVING count(*) > 1) x",
                ),
                "challenges not used once": _one(
                    store, "SELECT count(*) FROM challenge WHERE uses_left <> 0"
                ),
                "challenges that paid twice": _one(
                    store,
                    "SELECT count(*) FROM (SELECT challenge_id FROM operation WHERE challenge_id"
                    " IS NOT NULL GROUP BY challenge_id HAVING count(*) > 1) x",
                ),
                "notices not one for each certificate": _one(
                    store, "SELECT count(*) FROM outbox WHERE kind = 'notify.issued'"
                )
                - _one(store, "SELECT count(*) FROM certificate"),
                "notices not told": _one(
                    store, "SELECT count(*) FROM outbox WHERE done_at IS NULL"
                ),
                "certificates never told": _one(store, "SELECT count(*) FROM certificate")
                - len(self._told()),
                "audit rows not one for each certificate": _one(
                    store, "SELECT count(*) FROM audit WHERE action = 'certificate.issue'"
                )
                - _one(store, "SELECT count(*) FROM certificate"),
                "audit faults": len(verified.faults) + verified.unsealed,
                "CRL numbers twice": _one(
                    store,
                    "SELECT count(*) FROM (SELECT number FROM crl GROUP BY ca_id, number"
                    " HAVING count(*) > 1) x",
                ),
                "revocations in no CRL": self._unlisted(store),
            }

    def _told(self) -> set[str]:
        if not self.ledger.path.exists():
            return set()
        lines = self.ledger.path.read_bytes().splitlines()
        notices = [json.loads(line) for line in lines]
        return {one["x509Certificate"]["raw"] for one in notices if "x509Certificate" in one}

    def _unlisted(self, store: Store) -> int:
        ca_id = self.world.authority.active.ca_id
        newest = store.read(lambda tx: crls.newest(tx, ca_id))
        listed = set()
        if newest is not None:
            crl = x509.load_der_x509_crl(newest.der)
            listed = {f"{one.serial_number:x}" for one in crl}
        revoked = store.snapshot(
            lambda tx: [
                one.serial
                for one in certificates.revoked(tx, ca_id, not_after_from=milliseconds(NOW))
            ]
        )
        return len(set(revoked) - listed)


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


def _one(store: Store, sql: str) -> int:
    ((number,),) = store.read(lambda tx: tx.all(sql))
    return int(number)


#: What has to be 0 or empty in a verdict.
MUST_BE_NOTHING = (
    "faults", "requests with two certificates", "requests without one", "operations not ended",
    "certificates nobody was given", "reservations left", "serial numbers twice",
    "challenges not used once", "challenges that paid twice",
    "notices not one for each certificate", "notices not told", "certificates never told",
    "audit rows not one for each certificate", "audit faults", "CRL numbers twice",
    "revocations in no CRL",
)  # fmt: skip


def crash(url: str, kills: int, seed: int) -> dict[str, Any]:
    """Kill so often (and at each step at least once), then look."""
    with tempfile.TemporaryDirectory() as folder:
        run = Crash(url, seed, Path(folder))
        run.each_step_once()
        while sum(run.kills.values()) < kills:
            run.at_random()
        return run.verdict()


@contextmanager
def _database(named: str) -> Iterator[str]:
    """The URL: as it was given, or of a database of our own."""
    if named == "postgresql":
        from tests.store.postgres_server import PostgresServer

        server = PostgresServer()
        try:
            yield server.url(server.new_database())
        finally:
            server.remove()
    elif named:
        yield named
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:///{folder}/scepkit.db"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument(
        "--database",
        default="",
        help='URL, or "postgresql" for a server of its own; without it a temporary SQLite file',
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    with _database(options.database) as url:
        verdict = crash(url, options.kills, options.seed)
    if options.json:
        sys.stdout.write(json.dumps(verdict))
    else:
        for name, value in verdict.items():
            if isinstance(value, dict):
                sys.stdout.write(f"{name}\n")
                for key, number in value.items():
                    sys.stdout.write(f"  {number:6}  {key}\n")
            else:
                sys.stdout.write(f"{value!s:>8}  {name}\n")
    return 1 if any(verdict[name] for name in MUST_BE_NOTHING) else 0


if __name__ == "__main__":
    raise SystemExit(main())
