"""The messages of SCEP, both ways: round trips, what is written, and the RFC's own vectors."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from itertools import count
from math import gcd

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given, settings
from hypothesis import strategies as st

from scepkit.core import cms, messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import view
from scepkit.core.envelope import DecryptionKey
from scepkit.core.messages import (
    CertRep,
    Failure,
    MessageData,
    MessageType,
    PkiStatus,
    Protection,
    StillPending,
)
from scepkit.errors import (
    AlgorithmError,
    DecryptError,
    FailInfo,
    InputError,
    SignatureError,
)
from tests import ber_writer, mutations, pki, tokens, vectors
from tests import cms_writer as w
from tests.core.exchange import (
    CA,
    CSR,
    DATA,
    DEVICE,
    EC_CA,
    EC_DEVICE,
    ID,
    ISSUED,
    NONCE,
    REPLIES,
    SECRET,
    crl_of,
    encode,
    key_of,
    open_reply,
    request,
    seal,
    seen,
    signer,
)
from tests.core.test_cms import ed25519_signer
from tests.pki import Identity

MODERN_CIPHERS = [one for one in Cipher if not one.legacy]
MODERN_DIGESTS = [one for one in Digest if not one.legacy]
EC384 = pki.self_signed("p384-device", "ec384")
#: Text as it may be in a transactionID; most of it may not be in a PrintableString.
IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=255)

each_data = pytest.mark.parametrize("data", DATA, ids=lambda data: type(data).__name__)


# ------------------------------------------------------------------ round trips


def test_messages_in_ber_are_read() -> None:
    reply, asked = ber_writer.parse(seal(REPLIES[0])), ber_writer.parse(encode(DATA[2]))
    for seed in range(30):
        chance = random.Random(seed)
        assert open_reply(ber_writer.ber(reply, chance)) == REPLIES[0]
        read = messages.read_request(ber_writer.ber(asked, chance))
        assert messages.decrypt_request(read, key_of(CA)).data == DATA[2]


def names() -> st.SearchStrategy[bytes]:
    return st.text("ab é", min_size=1, max_size=20).map(lambda text: pki.name(text).public_bytes())


SERIALS = st.integers(-(2**70), 2**160)
REQUESTS = st.binary(max_size=400).map(w.seq)
#: Every kind of request, with what may be in it.
DATA_OF: dict[type, st.SearchStrategy[MessageData]] = {
    messages.PkcsReq: st.builds(messages.PkcsReq, REQUESTS),
    messages.RenewalReq: st.builds(messages.RenewalReq, REQUESTS),
    messages.CertPoll: st.builds(messages.CertPoll, names(), names()),
    messages.GetCert: st.builds(messages.GetCert, names(), SERIALS),
    messages.GetCrl: st.builds(messages.GetCrl, names(), SERIALS),
}
#: Every kind of reply, with what may be in it.
REPLY_OF: dict[type, st.SearchStrategy[CertRep]] = {
    messages.Success: st.builds(
        messages.Success,
        st.lists(st.sampled_from([ISSUED.der, CA.der, EC_CA.der]), max_size=4).map(tuple),
        st.lists(st.sampled_from([crl_of(CA), crl_of(EC_CA)]), max_size=2).map(tuple),
    ),
    Failure: st.builds(
        Failure,
        st.sampled_from(FailInfo) | st.integers(5, 9999),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=60),
    ),
    StillPending: st.just(StillPending()),
}
each_kind = pytest.mark.parametrize("kind", DATA_OF, ids=lambda kind: kind.__name__)
each_reply_kind = pytest.mark.parametrize("kind", REPLY_OF, ids=lambda kind: kind.__name__)
each_protection = pytest.mark.parametrize(
    ("cipher", "transport"),
    [
        (cipher, transport)
        for cipher in MODERN_CIPHERS
        for transport in (*KeyTransport, None)  # None: by the challengePassword
    ],
    ids=lambda one: one.value if one else "password",
)


@each_kind
@each_protection
@mutations.examples(3)
@given(drawn=st.data())
def test_request_of_every_kind_is_read_back(
    kind: type, cipher: Cipher, transport: KeyTransport | None, drawn: st.DataObject
) -> None:
    data = drawn.draw(DATA_OF[kind])
    requester = drawn.draw(st.sampled_from([DEVICE, ISSUED, EC_DEVICE, EC384]))
    protection = Protection(cipher, drawn.draw(st.sampled_from(MODERN_DIGESTS)), transport)
    ours = key_of(CA) if transport else SECRET
    read = messages.read_request(
        encode(
            data,
            protection=protection,
            requester=requester,
            recipient=None if transport else SECRET,
        )
    )
    assert read.transaction_id == ID
    assert read.sender_nonce == NONCE
    assert read.signer == seen(requester)
    assert read.digest is protection.digest
    assert read.message_type is messages.message_type_of(data)
    assert read.message_type_text == str(int(read.message_type or 0))
    assert messages.decrypt_request(read, ours) == messages.DecryptedRequest(data, protection)


@each_kind
@pytest.mark.parametrize("digest", MODERN_DIGESTS)
@pytest.mark.parametrize("requester", [DEVICE, EC_DEVICE, EC384])
def test_request_signed_with_every_digest_and_key_is_read_back(
    kind: type, digest: Digest, requester: Identity
) -> None:
    (data,) = [one for one in DATA if type(one) is kind]
    read = messages.read_request(
        encode(data, protection=Protection(digest=digest), requester=requester)
    )
    assert read.digest is digest
    assert messages.decrypt_request(read, key_of(CA)).data == data


def with_exponent(exponent: int) -> Identity:
    """A device whose RSA key has this public exponent."""
    usual = pki.rsa_key("rsa2048-c").private_numbers()
    private = pow(exponent, -1, (usual.p - 1) * (usual.q - 1))
    key = rsa.RSAPrivateNumbers(
        usual.p,
        usual.q,
        private,
        rsa.rsa_crt_dmp1(private, usual.p),
        rsa.rsa_crt_dmq1(private, usual.q),
        usual.iqmp,
        rsa.RSAPublicNumbers(exponent, usual.public_numbers.n),
    ).private_key()
    return pki.certificate(pki.name("device1"), key)


def test_request_is_verified_with_any_exponent_of_32_bits() -> None:
    for exponent in (17, next_exponent(2**31)):
        read = messages.read_request(encode(requester=with_exponent(exponent)))
        assert read.transaction_id == ID


def test_request_is_not_verified_with_a_key_whose_exponent_takes_long() -> None:
    """Anybody may send one, and with as many bits as the modulus has it takes 24 ms."""
    for exponent in (next_exponent(2**33), next_exponent(2**60)):
        body = encode(requester=with_exponent(exponent))
        with pytest.raises(AlgorithmError, match="exponent of the signer's RSA key has"):
            messages.read_request(body)


def next_exponent(least: int) -> int:
    """The least public exponent above, for that key."""
    numbers = pki.rsa_key("rsa2048-c").private_numbers()
    order = (numbers.p - 1) * (numbers.q - 1)
    return next(one for one in count(least + 1, 2) if gcd(one, order) == 1)


@each_reply_kind
@each_protection
@mutations.examples(3)
@given(drawn=st.data())
def test_reply_of_every_kind_is_read_back(
    kind: type, cipher: Cipher, transport: KeyTransport | None, drawn: st.DataObject
) -> None:
    reply = drawn.draw(REPLY_OF[kind])
    by = drawn.draw(st.sampled_from([CA, EC_CA]))
    protection = Protection(cipher, drawn.draw(st.sampled_from(MODERN_DIGESTS)), transport)
    if transport:
        body = seal(reply, by=by, protection=protection)
        assert open_reply(body, signers=[by]) == reply
    else:
        body = seal(reply, by=by, protection=protection, recipient=SECRET)
        assert open_reply(body, signers=[by], decrypt_with=SECRET) == reply


@pytest.mark.parametrize("requester", [EC_DEVICE, EC384])
@pytest.mark.parametrize("digest", MODERN_DIGESTS)
def test_ec_requester_is_answered_by_password(requester: Identity, digest: Digest) -> None:
    protection = Protection(Cipher.AES256_CBC, digest, None)
    asked = request(requester=requester, protection=protection)
    assert asked.signer == seen(requester)
    reply = seal(REPLIES[0], to=asked, protection=protection, recipient=SECRET)
    assert open_reply(reply, decrypt_with=SECRET) == REPLIES[0]


@pytest.mark.parametrize("reply", REPLIES, ids=str)
@pytest.mark.parametrize("ca", [CA, EC_CA, pki.root("ec384"), pki.root("rsa3072")])
def test_reply_signed_by_any_kind_of_ca_is_read_back(reply: CertRep, ca: Identity) -> None:
    assert open_reply(seal(reply, by=ca), signers=[ca]) == reply


def test_ed25519_signs_on_both_sides() -> None:
    by, certificate = ed25519_signer()
    data = messages.encode_request(
        DATA[0],
        transaction_id=ID,
        sender_nonce=NONCE,
        signer=by,
        recipient=seen(CA),
        protection=Protection(),
        signing_time=pki.NOW,
    )
    asked = messages.read_request(data)
    assert asked.signer == certificate
    reply = messages.seal_reply(
        StillPending(), asked, signer=by, protection=Protection(), signing_time=pki.NOW
    )
    opened = messages.open_reply(
        reply, transaction_id=ID, sender_nonce=NONCE, signers=[certificate], decrypt_with=None
    )
    assert opened == StillPending()


def test_ec_signer_cannot_be_answered_without_a_password() -> None:
    with pytest.raises(InputError, match="challengePassword"):
        seal(REPLIES[0], to=request(requester=EC_DEVICE))


def test_keys_in_tokens_do_everything() -> None:
    device, ca = tokens.RsaToken(pki.rsa_key("rsa2048-c")), tokens.RsaToken(pki.rsa_key())
    data = messages.encode_request(
        DATA[0],
        transaction_id=ID,
        sender_nonce=NONCE,
        signer=cms.Signer(seen(DEVICE), device),
        recipient=seen(CA),
        protection=Protection(),
        signing_time=pki.NOW,
    )
    asked = messages.read_request(data)
    assert messages.decrypt_request(asked, DecryptionKey(seen(CA), ca)).data == DATA[0]
    reply = messages.seal_reply(
        REPLIES[0],
        asked,
        signer=cms.Signer(seen(CA), ca),
        protection=Protection(),
        signing_time=pki.NOW,
    )
    assert open_reply(reply, decrypt_with=DecryptionKey(seen(DEVICE), device)) == REPLIES[0]
    assert (device.calls, ca.calls) == (["sign", "decrypt"], ["decrypt", "sign"])


@given(st.binary(min_size=1, max_size=64))
@settings(max_examples=30)
def test_nonce_of_1_to_64_bytes_is_copied(nonce: bytes) -> None:
    # Q23: old Apple clients send 8.
    asked = request(sender_nonce=nonce, requester=EC_DEVICE)
    assert asked.sender_nonce == nonce
    assert open_reply(seal(StillPending(), to=asked), sender_nonce=nonce) == StillPending()


@given(IDS)
@settings(max_examples=50)
def test_transaction_id_of_any_text_is_copied(transaction_id: str) -> None:
    asked = request(transaction_id=transaction_id, requester=EC_DEVICE)
    assert asked.transaction_id == transaction_id
    reply = seal(StillPending(), to=asked, by=EC_CA)
    assert open_reply(reply, transaction_id=transaction_id, signers=[EC_CA]) == StillPending()


def test_new_ids_and_nonces_differ_and_are_of_the_rfcs_form() -> None:
    ids = {messages.new_transaction_id() for _ in range(50)}
    nonces = {messages.new_nonce() for _ in range(50)}
    assert len(ids) == len(nonces) == 50
    assert {len(one) for one in ids} == {32}
    assert {len(one) for one in nonces} == {16}


# ------------------------------------------------------------------ what is written


def attributes_of(message: bytes) -> dict[str, bytes]:
    """The signed attributes: OID -> the encoded value."""
    (info,) = cms.read_signed(message).signers
    return {oid: b"".join(values) for oid, values in info.attributes}


def test_request_is_written_as_the_rfc_has_it() -> None:
    message = encode()
    assert ber_writer.der(ber_writer.parse(message)) == message
    read = cms.read_signed(message)
    assert read.content_type == w.DATA
    assert read.certificates == (DEVICE.der,)
    found = attributes_of(message)
    assert found[w.MESSAGE_TYPE] == w.printable("19")
    assert found[w.TRANSACTION_ID] == w.printable(ID)
    assert found[w.SENDER_NONCE] == w.octets(NONCE)
    assert found[messages.ID_SIGNING_TIME] == b"\x17\x0d260601000000Z"
    assert set(found) == {
        w.CONTENT_TYPE,
        w.MESSAGE_DIGEST,
        w.MESSAGE_TYPE,
        w.TRANSACTION_ID,
        w.SENDER_NONCE,
        messages.ID_SIGNING_TIME,
    }


def test_success_is_written_as_the_rfc_has_it() -> None:
    message = seal(REPLIES[0])
    assert ber_writer.der(ber_writer.parse(message)) == message
    found = attributes_of(message)
    assert found[w.MESSAGE_TYPE] == w.printable("3")
    assert found[w.PKI_STATUS] == w.printable("0")
    assert found[w.RECIPIENT_NONCE] == w.octets(NONCE)
    assert len(found[w.SENDER_NONCE]) == 18
    assert found[w.SENDER_NONCE] != attributes_of(seal(REPLIES[0]))[w.SENDER_NONCE]
    assert w.FAIL_INFO not in found


@pytest.mark.parametrize(
    ("reply", "status", "fail_info", "text"),
    [
        (Failure(FailInfo.BAD_TIME), "2", "3", None),
        (Failure(None, "ä"), "2", "2", "ä"),
        (Failure(9), "2", "9", None),
        (Failure(FailInfo.BAD_ALG, "lone \ud800"), "2", "0", "lone ?"),
        (StillPending(), "3", None, None),
    ],
)
def test_reply_without_certificates_is_written_without_content(
    reply: CertRep, status: str, fail_info: str | None, text: str | None
) -> None:
    message = seal(reply)
    assert cms.read_signed(message).content is None
    found = attributes_of(message)
    assert found[w.PKI_STATUS] == w.printable(status)
    assert found.get(w.FAIL_INFO) == (None if fail_info is None else w.printable(fail_info))
    expected = None if text is None else w.tlv(0x0C, text.encode())
    assert found.get(w.FAIL_INFO_TEXT) == expected


def test_content_that_is_not_there_can_be_written_as_an_empty_one() -> None:
    # Q45: certmonger refuses a SignedData without content.
    message = seal(StillPending(), empty_content=True)
    assert cms.read_signed(message).content == b""


@pytest.mark.parametrize("size", [0, 65])
def test_nonce_that_nobody_reads_is_not_sent(size: int) -> None:
    with pytest.raises(InputError, match=f"the senderNonce has {size} bytes"):
        encode(sender_nonce=bytes(size))


@pytest.mark.parametrize("transaction_id", ["", "x" * 256])
def test_transaction_id_that_nobody_reads_is_not_sent(transaction_id: str) -> None:
    with pytest.raises(InputError, match=f"the transactionID has {len(transaction_id)} char"):
        encode(transaction_id=transaction_id)


def test_transaction_id_that_is_no_text_is_not_sent() -> None:
    with pytest.raises(InputError, match="cannot be written as UTF-8"):
        encode(transaction_id="\ud800")


def test_forbidden_algorithms_are_not_sent() -> None:
    with pytest.raises(AlgorithmError, match="single DES"):
        encode(protection=Protection(cipher=Cipher.DES_CBC))
    with pytest.raises(AlgorithmError, match="MD5"):
        encode(protection=Protection(digest=Digest.MD5))


def test_signing_time_is_written_in_utc() -> None:
    message = messages.encode_request(
        DATA[0],
        transaction_id=ID,
        sender_nonce=NONCE,
        signer=signer(DEVICE),
        recipient=seen(CA),
        protection=Protection(),
        signing_time=datetime(2051, 2, 3, tzinfo=UTC),
    )
    assert attributes_of(message)[messages.ID_SIGNING_TIME] == b"\x18\x0f20510203000000Z"


def test_secrets_are_not_shown() -> None:
    for value in (*DATA, REPLIES[0], request()):
        assert CSR.hex() not in repr(value)
        assert "csr" not in repr(value)
        assert "b'" not in repr(value)


def test_names_are_those_of_the_rfc() -> None:
    assert [one.rfc_name for one in MessageType] == [
        *("CertRep", "RenewalReq", "PKCSReq", "CertPoll", "GetCert", "GetCRL")
    ]
    assert [int(one) for one in PkiStatus] == [0, 2, 3]


# ------------------------------------------------------------------ the RFC's own vectors


def test_the_rfcs_own_request_is_read() -> None:
    read = messages.read_request(vectors.rfc8894("scep_req2.der"))
    assert read.message_type is MessageType.PKCS_REQ
    assert read.transaction_id == ID
    assert len(read.sender_nonce) == 16
    assert read.digest is Digest.SHA256
    assert read.content == vectors.rfc8894("scep_req1.der")


def test_the_rfcs_own_reply_answers_its_request() -> None:
    asked = messages.read_request(vectors.rfc8894("scep_req2.der"))
    body = vectors.rfc8894("scep_resp2.der")
    assert w.SENDER_NONCE not in attributes_of(body)
    # All is well until the key is missing, which nobody has published.
    with pytest.raises(DecryptError):
        messages.open_reply(
            body,
            transaction_id=asked.transaction_id,
            sender_nonce=asked.sender_nonce,
            signers=[view(one) for one in cms.read_signed(body).certificates],
            decrypt_with=key_of(DEVICE),
        )
    with pytest.raises(SignatureError):
        open_reply(body)
