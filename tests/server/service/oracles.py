"""Requests that cannot be read, by cause; and how their answers compare (attacks A2 and A3).

An attacker who catches a request can send its envelope again with its ciphertexts changed, under
any messageType.  From the answers he must not learn whether an RSA padding, a CBC padding or what
came out was good.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from random import shuffle
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scepkit.conformance.statistics import Difference, compare, least_visible, threshold
from scepkit.store import Store, open_store
from tests import cms_writer as w
from tests import pki
from tests.server.service.odd_requests import enveloped, sent
from tests.server.service.test_roles import token_ra
from tests.server.service.world import Device, Message, World

#: What is timed: messageTypes, and a CertPoll for what the asker was issued, which is a SUCCESS.
OWN = "CertPoll of one's own"
TYPES = {
    "PKCSReq": "19",
    "RenewalReq": "17",
    "CertPoll": "20",
    OWN: "20",
    "GetCert": "21",
    "GetCRL": "22",
}
#: What the last line is called.
OPERATION = "one RSA-2048 private operation, ms"
#: Seconds for each use of a key in a smart card or a remote module.
SLOW_TOKEN = 0.02


def causes(device: Device, kind: str = "PKCSReq") -> dict[str, Callable[[], Message]]:
    """For each cause a maker of messages, which are alike but for what is inside.

    :param kind: of `TYPES`.
    """
    message_type = TYPES[kind]
    csr = device.csr("a-challenge-that-nobody-may-learn")
    transaction_id = "own" if kind == OWN else "transaction-1"
    public = device.world.recipient.public_key()
    assert isinstance(public, rsa.RSAPublicKey)
    numbers, size = public.public_numbers(), public.key_size // 8
    key, iv = os.urandom(16), os.urandom(16)
    good = w.aes_cbc(key, iv, csr)

    def message(**parts: bytes) -> Message:
        given: dict[str, Any] = {"key": key, "iv": iv, **parts}
        content = enveloped(device, csr, **given)
        return sent(device, content, message_type=message_type, transaction_id=transaction_id)

    def changed(at: int) -> bytes:
        return good[:at] + bytes((good[at] ^ (os.urandom(1)[0] | 1),)) + good[at + 1 :]

    def encrypted(plain: bytes) -> bytes:
        return public.encrypt(plain, padding.PKCS1v15())

    def raw(block: bytes) -> bytes:
        """RSA without padding: what a client that builds its own blocks can send."""
        value = pow(int.from_bytes(block, "big"), numbers.e, numbers.n)
        return value.to_bytes(size, "big")

    found = {
        "padding of the content": lambda: message(ciphertext=changed(len(good) - 17)),
        "last block": lambda: message(ciphertext=changed(len(good) - 1)),
        "block in the middle": lambda: message(ciphertext=changed(len(good) // 2)),
        "first block": lambda: message(ciphertext=changed(0)),
        "one block of chance": lambda: message(ciphertext=os.urandom(16)),
        "all of it by chance": lambda: message(ciphertext=os.urandom(len(good))),
        "IV": lambda: message(iv=os.urandom(16), ciphertext=good),
        "another key": lambda: message(encrypted_key=encrypted(os.urandom(16))),
        "a key too short": lambda: message(encrypted_key=encrypted(os.urandom(15))),
        "a key too long": lambda: message(encrypted_key=encrypted(os.urandom(32))),
        "no PKCS#1 type": lambda: message(encrypted_key=raw(b"\0\1" + b"\xff" * (size - 2))),
        "no zero in PKCS#1": lambda: message(encrypted_key=raw(b"\0\2" + b"\xff" * (size - 2))),
        "all zero": lambda: message(encrypted_key=bytes(size)),
        "a ciphertext by chance": lambda: message(encrypted_key=b"\0" + os.urandom(size - 1)),
        "content that is no request": lambda: message(
            ciphertext=w.aes_cbc(key, iv, os.urandom(len(csr)))
        ),
    }
    readable = {
        name: lambda plain=plain: message(ciphertext=w.aes_cbc(key, iv, plain))
        for name, plain in _readable(device, kind, csr).items()
    }
    return {**found, **readable}


def _readable(device: Device, kind: str, csr: bytes) -> dict[str, bytes]:
    """What can be decrypted, names nothing, and is as long as the request that was caught."""
    broken = bytearray(csr)
    broken[-3] ^= 1
    name = pki.name("Another CA").public_bytes()

    def long_name(filler: int) -> bytes:
        return w.seq(w.octets(bytes(filler)))

    if kind in {"PKCSReq", "RenewalReq"}:
        other = replace(device, key_name="rsa2048-b").csr("a-challenge-that-nobody-may-learn")
        return {
            "a request with a broken signature": bytes(broken),
            "a request for another key": other,
        }
    if kind in {"GetCert", "GetCRL"}:
        number, issuer = w.integer(1 << 100), device.world.issuer
        return {
            "a number of another CA": _filled(csr, lambda n: w.seq(long_name(n), number)),
            "a number of no certificate": _filled(
                csr, lambda n: w.seq(issuer, w.integer(1 << 8 * n))
            ),
            "data of a PKCSReq": csr,
        }
    return {
        "names": _filled(csr, lambda n: w.seq(name, long_name(n))),
        "data of a PKCSReq": csr,
    }


def _filled(like: bytes, make: Callable[[int], bytes]) -> bytes:
    """What is made, with a filler that makes it as long as `like`."""
    filler = len(like) // 2
    return make(filler + len(like) - len(make(filler)))


@dataclass(frozen=True)
class Sample:
    """Milliseconds for each cause.

    How well two of them can be told apart is the statistic of Mann and Whitney, as in
    `scepkit.conformance.statistics`: the causes are mixed, so load does not look like a difference.
    """

    times: Mapping[str, list[float]]

    def told_apart(self) -> list[Difference]:
        """Every pair of causes, those first that are told apart best."""
        return compare(
            {cause: [one / 1000 for one in found] for cause, found in self.times.items()}
        )

    def differences(self, least: float) -> set[tuple[str, str]]:
        """The slower and the quicker of each pair whose times differ, by so many milliseconds."""
        limit = threshold(len(self.times))
        return {
            (pair.slower, pair.quicker)
            for pair in self.told_apart()
            if pair.score > limit and pair.milliseconds > least
        }


def sample(
    world: World,
    rounds: int,
    *,
    kind: str = "PKCSReq",
    clock: Callable[[], float] = perf_counter,
) -> Sample:
    """Time the answers, the causes in a new order each time, as what comes last is slower.

    So whatever else the machine does hits all causes alike.

    :param clock: `perf_counter` for what an attacker sees, `thread_time` for the work alone.
    """
    device = world.device()
    if kind == OWN:
        world.ask(device.enrol(world.mint(), transaction_id="own"))
    makers = causes(device, kind)
    times: dict[str, list[float]] = {cause: [] for cause in makers}
    for make in makers.values():
        world.post(make().body)
    order = list(makers)
    for _ in range(rounds):
        shuffle(order)
        for cause in order:
            body = makers[cause]().body
            began = clock()
            world.post(body)
            times[cause].append((clock() - began) * 1000)
    return Sample(times)


def private_operation(*, clock: Callable[[], float] = perf_counter) -> float:
    """Milliseconds of one RSA-2048 signature: the lower quartile of 40."""
    key = pki.key("rsa2048-c")
    assert isinstance(key, rsa.RSAPrivateKey)
    times = []
    for _ in range(40):
        began = clock()
        key.sign(b"", padding.PKCS1v15(), hashes.SHA256())
        times.append((clock() - began) * 1000)
    return sorted(times)[10]


def _world(key: str, grid: timedelta, store: Store) -> World:
    """A CA, with an RA whose key is in a token that needs no time of its own, or much."""
    ca = pki.root()
    if key == "openssl":
        return World.made(store, ca=ca, grid=grid)
    ra, token = token_ra(ca)
    token.seconds = SLOW_TOKEN if key == "slow-token" else 0.0
    return World.made(store, ca=ca, ra=ra, grid=grid)


def _table(kind: str, found: Sample) -> None:
    width = max(len(cause) for cause in found.times)
    print(f"{kind}")
    for cause, times in found.times.items():
        print(f"  {cause:<{width}}", *(f"{one:8.3f}" for one in quantiles(times, n=4)))
    worst = found.told_apart()[0]
    visible = least_visible(len(found.times), len(found.times[worst.slower]))
    print(
        f"  {worst.slower} against {worst.quicker}: who guesses which was slower is right in "
        f"{worst.probability:.1%}; more than chance from {visible:.1%} on"
    )


def main() -> None:
    """Print the tables that `scripts/oracle-times` promises."""
    parser = argparse.ArgumentParser(prog="scripts/oracle-times", description=main.__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=500, help="answers of each cause")
    parser.add_argument(
        "--grid", type=float, default=5.0, help="milliseconds (default 5, as served)"
    )
    parser.add_argument(
        "--work", action="store_true", help="the processor's time, without the grid"
    )
    parser.add_argument(
        "--key",
        choices=("openssl", "token", "slow-token"),
        default="openssl",
        help="the RA's; a slow token needs 20 milliseconds",
    )
    parser.add_argument(
        "--type", choices=tuple(TYPES), action="append", help="instead of all; may be repeated"
    )
    parser.add_argument(
        "--judge",
        action="store_true",
        help="measure twice, and fail if two causes differ in both by half an RSA operation",
    )
    options = parser.parse_args()
    clock = thread_time if options.work else perf_counter
    grid = timedelta(milliseconds=options.grid)
    operation, faults = private_operation(clock=clock), []
    print(f"{options.rounds} answers of each cause; milliseconds: lower quartile, median, upper")
    for kind in options.type or TYPES:
        with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/a.db", node="a") as db:
            db.migrate()
            world = _world(options.key, grid, db)
            found = sample(world, options.rounds, kind=kind, clock=clock)
            _table(kind, found)
            if options.judge and (seen := found.differences(operation / 2)):
                again = sample(world, options.rounds, kind=kind, clock=clock)
                _table(kind, again)
                faults += sorted(seen & again.differences(operation / 2))
    print(f"{OPERATION} {operation:8.3f}")
    for slower, quicker in faults:
        print(f"{slower} takes longer than {quicker}")
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
