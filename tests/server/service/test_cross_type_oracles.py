"""A2 across messageTypes: an answer never says whether a ciphertext could be decrypted.

Who has caught a PKCSReq keeps its encrypted key and its ciphertext, chooses the IV (and with it the
first block of the plaintext), makes the rest look like the inside of an OCTET STRING, an INTEGER or
a Name, and sends it as a message of any type, signed with a key of his own.  If the answer, or its
time, differed for good and bad padding, he could decrypt the challengePassword in it byte by byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta

import pytest

from scepkit.core import cms
from scepkit.core.messages import GetCert, GetCrl
from scepkit.errors import KeyUnavailable
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.gate import Authorisers
from scepkit.server.service import ScepService
from scepkit.store import Store
from tests import cms_writer as w
from tests import pki
from tests.server.service.odd_requests import DES_CBC, enveloped, sent
from tests.server.service.oracles import OWN, causes
from tests.server.service.oracles import TYPES as KINDS
from tests.server.service.test_roles import token_ra
from tests.server.service.world import (
    Device,
    Message,
    World,
    audited,
    certificate_of,
    is_pending,
    ra_keys,
    refusal_of,
)

TYPES = {"PKCSReq": "19", "RenewalReq": "17", "CertPoll": "20", "GetCert": "21", "GetCRL": "22"}
MANUAL = Authorisers(challenge=ChallengePolicy(), manual=True)


def contents(device: Device) -> dict[str, Callable[[], bytes]]:
    """Envelopes whose content is good data that name nothing, data of another type, and none."""
    names = w.seq(w.seq(), w.seq(w.octets(b"x" * 40)))
    number = w.seq(w.seq(), w.integer(1 << 100))
    long_number = w.seq(w.seq(), w.tlv(0x02, b"\x01" + os.urandom(600)))
    csr = device.csr("caught")
    key, iv = os.urandom(16), os.urandom(16)
    caught = w.aes_cbc(key, iv, csr)

    def forged(header: bytes, last: int) -> bytes:
        """The caught ciphertext under an IV that makes its first block begin with `header`."""
        first = (header + bytes(16))[:16]
        chosen = bytes(a ^ b ^ c for a, b, c in zip(iv, csr[:16], first, strict=True))
        broken = caught[:-17] + bytes((caught[-17] ^ last,)) + caught[-16:]
        return enveloped(device, csr, key=key, iv=chosen, ciphertext=broken)

    length = len(csr)
    inside = length - 8  # what the second element of the outer SEQUENCE holds
    header = b"\x30\x82" + (length - 4).to_bytes(2, "big") + b"\x30\x00"
    octets = header + b"\x04\x82" + (inside - 2).to_bytes(2, "big")
    integer = header + b"\x02\x82" + (inside - 2).to_bytes(2, "big")
    return {
        "names": lambda: enveloped(device, names),
        "a number": lambda: enveloped(device, number),
        "a long number": lambda: enveloped(device, long_number),
        "a request with a broken signature": lambda: enveloped(device, csr[:-3] + b"abc"),
        "nothing of the kind": lambda: enveloped(device, b"x" * 100),
        "bad padding": lambda: enveloped(
            device, csr, key=key, iv=iv, ciphertext=caught[:-1] + bytes((caught[-1] ^ 1,))
        ),
        "another key": lambda: enveloped(device, csr, iv=iv, ciphertext=caught),
        "forged as octets, good padding": lambda: forged(octets, 0),
        "forged as octets, bad padding": lambda: forged(octets, 0x55),
        "forged as a number, good padding": lambda: forged(integer, 0),
        "forged as a number, bad padding": lambda: forged(integer, 0x55),
    }


def answers(world: World, ask: Callable[[str, bytes], Message]) -> dict[str, object]:
    """For each content what anybody can see of the answer."""
    found: dict[str, object] = {}
    for name, make in contents(world.device("attacker", "rsa2048-a")).items():
        message = ask(name, make())
        reply = world.post(message.body)
        opened = message.open(reply.body, world.signers)
        (certificate,) = cms.read_signed(reply.body).certificates or (b"",)
        what = "PENDING" if is_pending(opened) else repr(opened)
        found[name] = (reply.status, what, certificate, len(reply.body))
    return found


@pytest.mark.parametrize("message_type", TYPES.values(), ids=TYPES)
def test_one_message_type_has_one_answer_to_all_that_names_nothing(
    lite: Store, message_type: str
) -> None:
    world = World.made(lite)
    device = world.device("attacker", "rsa2048-a")
    found = answers(world, lambda name, content: sent(device, content, message_type=message_type))
    assert len(set(found.values())) == 1, found


def test_a_poll_for_a_request_that_waits_is_answered_whatever_is_in_it(lite: Store) -> None:
    world = World.made(lite, MANUAL)
    device = world.device("attacker", "rsa2048-a")
    assert is_pending(world.ask(device.enrol(transaction_id="mine")))
    found = answers(
        world,
        lambda name, content: sent(device, content, message_type="20", transaction_id="mine"),
    )
    assert len(set(found.values())) == 1, found
    assert "PENDING" in str(next(iter(found.values())))


@pytest.mark.parametrize("message_type", TYPES.values(), ids=TYPES)
def test_the_signer_of_a_refusal_follows_from_the_name_in_the_envelope(
    lite: Store, message_type: str
) -> None:
    ca = pki.root()
    world = World.made(lite, ca=ca, ra=ra_keys(ca))
    device = world.device("attacker", "rsa2048-a")
    found = answers(world, lambda name, content: sent(device, content, message_type=message_type))
    assert len(set(found.values())) == 1, found


# ------------------------------------------------------------------ when it is answered

GRID = 0.005


@dataclass
class Clock:
    """Time that passes by the same odd bit with each look, and by what is slept."""

    now: float = 1000.0
    pauses: list[float] = field(default_factory=list)
    looks: list[float] = field(default_factory=list)

    def read(self) -> float:
        self.now += 0.00317
        self.looks.append(self.now)
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.pauses.append(seconds)

    def took(self) -> float:
        """Since the first look, in lines of the grid."""
        return (self.now - self.looks[0]) / GRID


def with_clock(world: World) -> Clock:
    """A service that goes by a clock of the test's."""
    clock = Clock()
    world.service = ScepService(
        world.store,
        world.service.deployment,
        failure_grid=timedelta(seconds=GRID),
        clock=clock.read,
        sleep=clock.sleep,
    )
    return clock


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != OWN])
def test_every_refusal_of_a_messagetype_is_decided_on_a_line_of_the_grid(
    lite: Store, kind: str
) -> None:
    world = World.made(lite)
    device = world.device()
    messages = {name: make() for name, make in causes(device, kind).items()}
    messages["no envelope"] = sent(device, None, message_type=KINDS[kind])
    messages["single DES"] = sent(
        device, enveloped(device, b"x", cipher_oid=DES_CBC), message_type=KINDS[kind]
    )
    for cause, message in messages.items():
        clock = with_clock(world)
        refusal_of(message.open(world.post(message.body).body, world.signers))
        (pause,) = clock.pauses
        assert 0 < pause <= GRID, cause
        assert clock.took() == pytest.approx(round(clock.took())), cause


def test_who_gets_what_he_asks_for_does_not_wait_for_the_grid(lite: Store) -> None:
    world = World.made(lite, MANUAL)
    clock = with_clock(world)
    device = world.device()
    certificate = certificate_of(world.ask(device.enrol(world.mint())))
    certificate_of(world.ask(device.poll()))
    number = certificate.serial_number
    certificate_of(world.ask(device.message(GetCert(world.issuer, number))))
    world.crl()
    world.ask(device.message(GetCrl(world.issuer, number)))
    waiting = world.device("router2", "rsa2048-a")
    assert is_pending(world.ask(waiting.enrol(transaction_id="waits")))
    assert is_pending(world.ask(waiting.poll(transaction_id="waits")))
    assert not clock.pauses


@pytest.mark.parametrize("kind", KINDS)
def test_every_cause_of_a_messagetype_costs_as_many_uses_of_the_key_that_decrypts(
    lite: Store, kind: str
) -> None:
    """With a token, one use more would be seen through any grid; a CertPoll costs none."""
    ca = pki.root()
    ra, token = token_ra(ca)
    world = World.made(lite, ca=ca, ra=ra)
    device = world.device()
    certificate_of(world.ask(device.enrol(world.mint(), transaction_id="own")))
    uses = set()
    for make in causes(device, kind).values():
        message, before = make(), token.decryptions
        world.post(message.body)
        uses.add(token.decryptions - before)
    assert uses == ({0} if KINDS[kind] == "20" else {2}), "the request, and is the token there"


def test_polls_are_answered_while_the_token_that_decrypts_is_away(lite: Store) -> None:
    ca = pki.root()
    ra, token = token_ra(ca)
    world = World.made(lite, ca=ca, ra=ra)
    device = world.device()
    issued = certificate_of(world.ask(device.enrol(world.mint())))
    token.allowed = {"sign"}
    assert certificate_of(world.ask(device.poll())) == issued
    seen = len(audited(lite))
    with pytest.raises(KeyUnavailable, match="decrypts"):
        world.ask(device.message(GetCert(world.issuer, issued.serial_number)))
    assert len(audited(lite)) == seen, "it is no refusal"
