"""The recorded conversations as SCEP messages: what was asked, what was answered."""

from __future__ import annotations

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import view_of
from scepkit.core.envelope import DecryptionKey
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    Failure,
    GetCert,
    GetCrl,
    MessageType,
    PkcsReq,
    Protection,
    StillPending,
    Success,
)
from scepkit.errors import AlgorithmError, FailInfo, ReplyMismatchError
from tests import vectors
from tests.vectors import Conversation, Step

EXCHANGES = [
    pytest.param(conversation, step, id=f"{conversation}/{step.number:02}")
    for conversation in vectors.conversations()
    for step in conversation.pki_operations
]
MODERN = [one for one in EXCHANGES if not str(one.id).startswith("des-md5-get")]
each_exchange = pytest.mark.parametrize(("conversation", "step"), EXCHANGES)
each_modern_exchange = pytest.mark.parametrize(("conversation", "step"), MODERN)


def _open(
    conversation: Conversation, step: Step, transaction_id: str, sender_nonce: bytes
) -> CertRep:
    requester = DecryptionKey(
        view_of(conversation.requester_certificate), conversation.requester_key
    )
    return messages.open_reply(
        step.response.wire,
        transaction_id=transaction_id,
        sender_nonce=sender_nonce,
        signers=[view_of(conversation.server.recipient_certificate)],
        decrypt_with=requester,
    )


@each_modern_exchange
def test_recorded_request_is_opened(conversation: Conversation, step: Step) -> None:
    assert step.request is not None
    server = conversation.server
    request = messages.read_request(step.request.wire)
    opened = messages.decrypt_request(
        request, DecryptionKey(view_of(server.recipient_certificate), server.recipient_key)
    )

    assert request.signer == view_of(conversation.requester_certificate)
    assert len(request.sender_nonce) == 16
    assert messages.encode_data(opened.data) == step.request.plain
    assert opened.protection == Protection(
        Cipher.AES128_CBC, Digest.SHA512, KeyTransport.RSA_PKCS1V15
    )


@pytest.mark.parametrize(
    ("name", "step", "message_type", "data"),
    [
        ("enrol-success", 0, MessageType.PKCS_REQ, PkcsReq),
        ("enrol-ec-entity", 0, MessageType.PKCS_REQ, PkcsReq),
        ("enrol-pending-then-success", 0, MessageType.PKCS_REQ, PkcsReq),
        ("enrol-pending-then-success", 1, MessageType.CERT_POLL, CertPoll),
        ("enrol-pending-then-success", 2, MessageType.CERT_POLL, CertPoll),
        # jscep's client renews with a PKCSReq signed by the old certificate.
        ("renew", 0, MessageType.PKCS_REQ, PkcsReq),
        ("getcert", 0, MessageType.GET_CERT, GetCert),
        ("getcrl", 0, MessageType.GET_CRL, GetCrl),
    ],
)
@pytest.mark.parametrize("server", ["ca", "ra"])
def test_recorded_request_is_of_its_type(
    server: str, name: str, step: int, message_type: MessageType, data: type
) -> None:
    conversation = vectors.conversation(f"{server}/{name}")
    sent = conversation.pki_operations[step].request
    assert sent is not None
    assert sent.plain is not None
    request = messages.read_request(sent.wire)
    assert request.message_type is message_type
    assert isinstance(messages.decode_data(message_type, sent.plain), data)


@each_exchange
def test_recorded_answer_is_opened(conversation: Conversation, step: Step) -> None:
    reply = _open(conversation, step, *vectors.transaction(step))
    last = step is conversation.pki_operations[-1]
    match reply:
        case Success(certificates, crls):
            assert last
            if conversation.name == "getcrl":
                assert [len(certificates), len(crls)] == [0, 1]
            else:
                issued = conversation.result["certificates"][0]["pem"].encode()
                der = x509.load_pem_x509_certificate(issued).public_bytes(Encoding.DER)
                assert der in certificates
        case Failure(fail_info, text):
            assert last
            assert isinstance(fail_info, FailInfo)
            assert fail_info.rfc_name == conversation.result["failInfo"]
            assert text == ""
        case StillPending():
            assert not last


@each_exchange
def test_recorded_answer_has_the_transaction_id_of_the_result(
    conversation: Conversation, step: Step
) -> None:
    expected = conversation.result.get("transactionId")
    if expected is not None:
        assert vectors.transaction(step)[0] == expected


@each_exchange
def test_recorded_answer_to_another_nonce_is_refused(
    conversation: Conversation, step: Step
) -> None:
    transaction_id, nonce = vectors.transaction(step)
    with pytest.raises(ReplyMismatchError) as caught:
        _open(conversation, step, transaction_id, bytes(16))
    assert caught.value.field == "recipientNonce"
    assert caught.value.found == nonce.hex()


@each_exchange
def test_recorded_answer_to_another_transaction_is_refused(
    conversation: Conversation, step: Step
) -> None:
    transaction_id, nonce = vectors.transaction(step)
    with pytest.raises(ReplyMismatchError) as caught:
        _open(conversation, step, "another", nonce)
    assert caught.value.field == "transactionID"
    assert caught.value.found == transaction_id


@each_exchange
def test_recorded_request_is_not_taken_for_an_answer(
    conversation: Conversation, step: Step
) -> None:
    # Both are pkiMessages; a server that reflects requests must not be believed.
    assert step.request is not None
    transaction_id, nonce = vectors.transaction(step)
    with pytest.raises((ReplyMismatchError, AlgorithmError)):
        messages.open_reply(
            step.request.wire,
            transaction_id=transaction_id,
            sender_nonce=nonce,
            signers=[view_of(conversation.requester_certificate)],
            decrypt_with=None,
        )


def test_requests_of_a_client_with_md5_are_refused() -> None:
    for one in vectors.conversations():
        if one.server.name == "des-md5-get" and one.pki_operations:
            sent = one.pki_operations[0].request
            assert sent is not None
            with pytest.raises(AlgorithmError):
                messages.read_request(sent.wire)
