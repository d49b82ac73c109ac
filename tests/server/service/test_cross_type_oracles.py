"""A2 across messageTypes: an answer never says whether a ciphertext could be decrypted.

Who has caught a PKCSReq keeps its encrypted key and its ciphertext, chooses the IV (and with it the
first block of the plaintext), makes the rest look like the inside of an OCTET STRING, an INTEGER or
a Name, and sends it as a message of any type, signed with a key of his own.  If the answer differed
for good and bad padding, he could decrypt the challengePassword in it byte by byte.
"""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from scepkit.core import cms
from scepkit.server.auth_challenge import ChallengePolicy
from scepkit.server.gate import Authorisers
from scepkit.store import Store
from tests import cms_writer as w
from tests import pki
from tests.server.service.odd_requests import enveloped, sent
from tests.server.service.world import Device, Message, World, is_pending, ra_keys

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
