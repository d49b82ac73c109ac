"""Requests that cannot be read, by cause; and how their answers compare (attacks A2 and A3).

An attacker who catches a request can send its envelope again with its ciphertexts changed, under
any messageType.  From the answers he must not learn whether an RSA padding, a CBC padding or what
came out was good.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from random import shuffle
from statistics import quantiles
from tempfile import TemporaryDirectory
from time import perf_counter, thread_time
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scepkit.store import open_store
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
#: What the last lines of a table are called.
SPREAD = "spread of the lower quartiles, ms"
OPERATION = "one RSA-2048 private operation, ms"


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
    """What can be decrypted and leads to the same answer all the same, as long as a request."""
    broken = bytearray(csr)
    broken[-3] ^= 1
    if kind in {"PKCSReq", "RenewalReq"}:
        return {"a request with a broken signature": bytes(broken)}
    # 3 octets of each header: these have more than 255 octets.
    long = w.seq(w.tlv(0x30, w.octets(bytes(len(csr) - 60))))
    name = pki.name("Another CA").public_bytes()
    if kind == "GetCert":
        issuer = device.world.issuer
        return {
            "a number of another CA": w.seq(name, w.integer(1 << 100)),
            "a long name of another CA": w.seq(long, w.integer(1 << 100)),
            "a number that nobody has": w.seq(issuer, w.integer(1 << 100)),
            "data of a PKCSReq": csr,
        }
    if kind == "GetCRL":
        return {
            "a number of another CA": w.seq(name, w.integer(1 << 100)),
            "a long name of another CA": w.seq(long, w.integer(1 << 100)),
            "data of a PKCSReq": csr,
        }
    return {
        "names": w.seq(name, name),
        "long names": w.seq(name, long),
        "data of a PKCSReq": csr,
    }


@dataclass(frozen=True)
class Sample:
    """Milliseconds for each cause."""

    times: Mapping[str, list[float]]

    def quartiles(self) -> dict[str, float]:
        """The lower quartile of each cause: what a busy machine moves least."""
        return {cause: sorted(found)[len(found) // 4] for cause, found in self.times.items()}

    def spread(self) -> float:
        """Between the slowest and the quickest cause, in milliseconds of the lower quartiles."""
        quartiles = self.quartiles().values()
        return max(quartiles) - min(quartiles)

    def overlap(self) -> float:
        """The least probability, over pairs of causes, to guess wrong which was slower.

        0.5 is a coin; an attacker who sees one answer of each guesses right with 1 - overlap.
        """
        worst = 0.5
        found = list(self.times.values())
        for at, one in enumerate(found):
            for other in found[at + 1 :]:
                above = sum(a > b for a, b in zip(one, other, strict=True)) / len(one)
                worst = min(worst, above, 1 - above)
        return worst


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


def main() -> None:
    """Print the table that `scripts/oracle-times` promises."""
    parser = argparse.ArgumentParser(prog="scripts/oracle-times", description=main.__doc__)
    parser.add_argument("rounds", type=int, nargs="?", default=500, help="answers of each cause")
    parser.add_argument(
        "--grid", type=float, default=5.0, help="milliseconds (default 5, as served)"
    )
    parser.add_argument(
        "--work", action="store_true", help="the processor's time, without the grid"
    )
    parser.add_argument("--key", choices=("openssl", "token"), default="openssl", help="the RA's")
    options = parser.parse_args()
    clock = thread_time if options.work else perf_counter
    with TemporaryDirectory() as folder, open_store(f"sqlite:///{folder}/a.db", node="a") as store:
        store.migrate()
        ca = pki.root()
        ra = token_ra(ca)[0] if options.key == "token" else None
        world = World.made(store, ca=ca, ra=ra, grid=timedelta(milliseconds=options.grid))
        found = sample(world, options.rounds, clock=clock)
    operation = private_operation(clock=clock)
    print(f"{options.rounds} answers of each cause; milliseconds: lower quartile, median, upper")
    for cause, times in found.times.items():
        print(f"{cause:<36}", *(f"{one:8.3f}" for one in quantiles(times, n=4)))
    print(f"{SPREAD:<36} {found.spread():8.3f}")
    print(f"{OPERATION:<36} {operation:8.3f}")
    print(f"who guesses which of two was slower is right in at most {1 - found.overlap():.1%}")


if __name__ == "__main__":
    main()
