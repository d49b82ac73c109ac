"""Messages in BER, and messages that were changed on the way or signed as nonsense."""

from __future__ import annotations

import random

import pytest

from scepkit.core import messages
from scepkit.core.messages import (
    CertRep,
    StillPending,
)
from scepkit.errors import (
    DecodeError,
    ScepError,
)
from tests import ber_writer, pki
from tests import cms_writer as w
from tests.core.exchange import (
    CA,
    DATA,
    EC_CA,
    EC_DEVICE,
    ID,
    NONCE,
    REPLIES,
    attributes,
    encode,
    key_of,
    open_reply,
    seal,
    written,
)
from tests.core.test_cms import changed

# ------------------------------------------------------------------ BER


def test_messages_in_ber_are_read() -> None:
    reply, asked = ber_writer.parse(seal(REPLIES[0])), ber_writer.parse(encode(DATA[2]))
    for seed in range(30):
        chance = random.Random(seed)
        assert open_reply(ber_writer.ber(reply, chance)) == REPLIES[0]
        read = messages.read_request(ber_writer.ber(asked, chance))
        assert messages.decrypt_request(read, key_of(CA)).data == DATA[2]


# ------------------------------------------------------------------ mutations


@pytest.mark.parametrize("reply", [REPLIES[0], REPLIES[4], StillPending()], ids=str)
def test_mutated_reply_is_refused_or_says_the_same(reply: CertRep) -> None:
    body = seal(reply)
    chance = random.Random(11)
    for _ in range(1500):
        try:
            found = open_reply(changed(body, chance))
        except ScepError:
            continue
        assert found == reply


def test_reply_that_is_cut_off_is_refused() -> None:
    body = seal(REPLIES[0])
    for end in range(0, len(body), 7):
        with pytest.raises(DecodeError):
            open_reply(body[:end])


@pytest.mark.parametrize("number", range(len(DATA)))
def test_mutated_request_is_refused_or_says_the_same(number: int) -> None:
    body = encode(DATA[number], requester=pki.self_signed("small", "rsa1024"))
    chance = random.Random(number)
    for _ in range(800):
        try:
            read = messages.read_request(changed(body, chance))
            found = messages.decrypt_request(read, key_of(CA))
        except ScepError:
            continue
        assert found.data == DATA[number]


def test_any_signed_attribute_is_read_or_refused() -> None:
    # Correctly signed nonsense, as a hostile CA or client may send it.
    chance = random.Random(5)
    for _ in range(600):
        signed = attributes(chance.choice(["0", "2", "3"]))
        name = chance.choice(list(signed))
        signed[name] = changed(signed[name], chance)
        # An attribute that is no DER makes the message none; the writer signs it all the same.
        body = written(signed, by=EC_CA, sort=chance.random() < 0.9)
        try:
            open_reply(body, signers=[EC_CA])
        except ScepError:
            continue


def test_any_signed_attribute_of_a_request_is_read_or_refused() -> None:
    chance = random.Random(6)
    for _ in range(600):
        signed = w.request_attributes("19", ID, NONCE, content=b"x")
        name = chance.choice(list(signed))
        signed[name] = changed(signed[name], chance)
        body = w.signed_data(b"x", [w.signer_info(EC_DEVICE, signed.values())], [EC_DEVICE.der])
        try:
            read = messages.read_request(body)
        except ScepError:
            continue
        assert 1 <= len(read.transaction_id) <= 255
        assert 1 <= len(read.sender_nonce) <= 64


def test_any_decrypted_data_is_read_or_refused() -> None:
    chance = random.Random(9)
    for data in DATA[2:]:
        encoded = messages.encode_data(data)
        kind = messages.message_type_of(data)
        for _ in range(500):
            try:
                messages.decode_data(kind, changed(encoded, chance))
            except ScepError:
                continue
