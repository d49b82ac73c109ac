"""What `scepkit inspect --explain` says of a request is what our own strict server answers."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from scepkit.core.inspect import inspect_message
from scepkit.core.inspect.explain import explain
from scepkit.core.inspect.explanation import Check
from scepkit.core.messages import Failure, Success
from scepkit.errors import FailInfo
from scepkit.store import Store
from tests import cms_writer as w
from tests import pki
from tests.server.service import odd_requests
from tests.server.service.odd_requests import enveloped, identity_of, sent
from tests.server.service.world import Device, Message, World

Make = Callable[[World], Message]


def explained(world: World, message: Message) -> Check | None:
    """Where a strict server stops, seen with the keys of this one."""
    ca = pki.root()
    return explain(inspect_message(message.body, key=ca.key, certificate=ca.certificate)).stops_at


def answered(world: World, message: Message) -> str:
    """What the server answers, in the words of the explanation."""
    reply = world.post(message.body)
    if reply.status != 200:
        return f"HTTP {reply.status}"
    found = message.open(reply.body, world.signers)
    if isinstance(found, Success):
        return "SUCCESS"
    assert isinstance(found, Failure)
    assert found.fail_info is not None
    return f"FAILURE {FailInfo(found.fail_info).rfc_name} ({found.fail_info:d})"


def device(world: World) -> Device:
    return world.device()


def changing(change: Callable[[dict[str, bytes]], None]) -> Make:
    """A PKCSReq with other attributes."""

    def make(world: World) -> Message:
        who = device(world)
        return sent(who, enveloped(who, who.csr(world.mint())), change=change)

    return make


def single_des(world: World) -> Message:
    return odd_requests.single_des(device(world), world.mint())


def md5(world: World) -> Message:
    who = device(world)
    content = enveloped(who, who.csr(world.mint()))

    def change(attributes: dict[str, bytes]) -> None:
        attributes.update(w.cms_attributes(content, "md5"))

    return sent(who, content, change=change, digest="md5", signature="md5-rsa")


def broken(world: World) -> Message:
    message = device(world).enrol(world.mint())
    body = bytearray(message.body)
    body[-1] ^= 1
    return Message(bytes(body), message.transaction_id, message.nonce, message.decrypt_with)


def without_nonce(attributes: dict[str, bytes]) -> None:
    del attributes["senderNonce"]


def with_two_types(attributes: dict[str, bytes]) -> None:
    attributes["again"] = attributes["messageType"]


def with_type_18(attributes: dict[str, bytes]) -> None:
    attributes["messageType"] = w.attribute(w.MESSAGE_TYPE, w.printable("18"))


def without_envelope(world: World) -> Message:
    return sent(device(world), None)


def without_challenge(world: World) -> Message:
    return device(world).enrol(None)


def with_another_key(world: World) -> Message:
    who = device(world)
    csr = world.device(key="rsa2048-b").csr(world.mint())
    return who.enrol(csr=csr)


def with_a_broken_csr(world: World) -> Message:
    who = device(world)
    csr = who.csr(world.mint())
    return who.enrol(csr=csr[:-1] + bytes([csr[-1] ^ 1]))


def with_a_poll_inside(world: World) -> Message:
    who = device(world)
    poll = w.seq(world.issuer, who.name.public_bytes())
    return sent(who, enveloped(who, poll))


def for_another_ca(world: World) -> Message:
    who = device(world)
    other = pki.root("rsa2048-b", "Another CA")
    key = bytes(range(16))
    content = w.enveloped_data(who.csr(world.mint()), [w.rsa_recipient(other, key)], key)
    return sent(who, content)


def without_certificates(world: World) -> Message:
    who = device(world)
    return sent(who, enveloped(who, who.csr(world.mint())), certificates=[])


def signed_twice(world: World) -> Message:
    who = device(world)
    content = enveloped(who, who.csr(world.mint()))
    signer = identity_of(who)
    attributes = w.request_attributes("19", who.transaction_id, b"n" * 16, content=content)
    infos = [w.signer_info(signer, attributes.values()) for _ in range(2)]
    message = who.enrol()
    body = w.signed_data(content, infos, [signer.der])
    return Message(body, message.transaction_id, message.nonce, message.decrypt_with)


WRONG: dict[str, tuple[Make, str]] = {
    "single DES": (single_des, "cipher"),
    "MD5": (md5, "digest"),
    "signature": (broken, "signature"),
    "no nonce": (changing(without_nonce), "signed attributes"),
    "two messageTypes": (changing(with_two_types), "signed attributes"),
    "messageType 18": (changing(with_type_18), "messageType"),
    "no envelope": (without_envelope, "envelope"),
    "no challenge": (without_challenge, "challengePassword"),
    "another key": (with_another_key, "who asks"),
    "broken CSR": (with_a_broken_csr, "PKCS#10 request"),
    "a poll inside": (with_a_poll_inside, "messageData"),
    "another CA": (for_another_ca, "recipient"),
    "no certificate": (without_certificates, "signature"),
    "two signatures": (signed_twice, "signature"),
}


@pytest.mark.parametrize("name", WRONG)
def test_the_first_check_that_fails_is_what_the_server_answers(name: str, lite: Store) -> None:
    world = World.made(lite)
    make, step = WRONG[name]
    message = make(world)
    check = explained(world, message)
    assert check is not None
    assert check.step == step
    assert answered(world, message) in check.answer


def test_what_the_server_issues_for_fails_nowhere(lite: Store) -> None:
    world = World.made(lite)
    message = device(world).enrol(world.mint())
    assert explained(world, message) is None
    assert answered(world, message) == "SUCCESS"
