"""Messages no client of ours sends: what the test CA answers."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from scepkit import FailInfo
from scepkit.core import asn1, cms, messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import view_of
from scepkit.core.http import PKI_MESSAGE_TYPE
from scepkit.core.messages import Failure
from scepkit.errors import AlgorithmError
from scepkit.testing import Policy, TestCa
from scepkit.testing.forge import Draft
from tests.testing.driving import csr_for, make_ca, passer_by

NONCE = b"0123456789abcdef"


def asked(ca: TestCa, message_type: str, content: bytes | None) -> messages.CertRep:
    """Send signed content as it is, and open the reply."""
    asking = passer_by()
    attributes = [
        (messages.ID_MESSAGE_TYPE, asn1.element(0x13, message_type.encode())),
        (messages.ID_TRANSACTION_ID, asn1.element(0x13, b"t1")),
        (messages.ID_SENDER_NONCE, asn1.element(0x04, NONCE)),
    ]
    body = cms.sign(content, attributes, asking.signer(), Digest.SHA256)
    answer = ca.answer("POST", "/scep?operation=PKIOperation", body)
    assert answer.status == 200
    assert answer.content_type == PKI_MESSAGE_TYPE
    return messages.open_reply(
        answer.body,
        transaction_id="t1",
        sender_nonce=NONCE,
        signers=[view_of(ca.certificate)],
        decrypt_with=asking.decryption_key(),
    )


def envelope_of(ca: TestCa, data: messages.MessageData, **changes: Any) -> bytes:
    """The pkcsPKIEnvelope of a right request."""
    body = messages.encode_request(
        data,
        transaction_id="t1",
        sender_nonce=NONCE,
        signer=passer_by().signer(),
        recipient=replace(view_of(ca.certificate), **changes),
        protection=messages.Protection(),
        signing_time=datetime.now(UTC),
    )
    content = messages.read_request(body).content
    assert content is not None
    return content


@pytest.mark.parametrize("message_type", ["0", "1", "3", "16", "18", "99", "", "19 ", "019", "-1"])
def test_an_unknown_message_type_is_refused(message_type: str) -> None:
    ca = make_ca(challenge=None)
    csr, _ = csr_for(ca)
    reply = asked(ca, message_type, envelope_of(ca, messages.PkcsReq(csr)))
    assert isinstance(reply, Failure)
    assert reply.fail_info is FailInfo.BAD_REQUEST
    assert ca.issued == ()


@pytest.mark.parametrize("content", [None, b"", b"0\x00"])
def test_a_request_without_an_envelope_is_refused(content: bytes | None) -> None:
    assert isinstance(asked(make_ca(), "19", content), Failure)


def test_an_unencrypted_request_is_refused() -> None:
    ca = make_ca()
    csr, _ = csr_for(ca)
    assert isinstance(asked(ca, "19", csr), Failure)


def test_a_poll_with_a_request_in_it_is_refused() -> None:
    ca = make_ca(manual=True)
    csr, _ = csr_for(ca)
    reply = asked(ca, "20", envelope_of(ca, messages.PkcsReq(csr)))
    assert isinstance(reply, Failure)


def test_a_request_with_names_in_it_is_refused() -> None:
    ca = make_ca()
    name = ca.certificate.subject.public_bytes()
    reply = asked(ca, "19", envelope_of(ca, messages.CertPoll(name, name)))
    assert isinstance(reply, Failure)


def test_a_request_for_another_recipient_is_tried_all_the_same() -> None:
    ca = make_ca()
    csr, _ = csr_for(ca)
    reply = asked(ca, "19", envelope_of(ca, messages.PkcsReq(csr), serial_number=42))
    assert isinstance(reply, messages.Success)


@pytest.mark.parametrize("allowed", [False, True])
def test_single_des_is_read_when_the_policy_says_so(allowed: bool) -> None:
    ca = make_ca(policy=Policy(ciphers=frozenset(Cipher))) if allowed else make_ca()
    csr, _ = csr_for(ca)
    old = Draft(
        signed=[],
        recipient=view_of(ca.certificate),
        signer=None,
        digest=Digest.SHA256,
        cipher=Cipher.DES_CBC,
        key_transport=KeyTransport.RSA_PKCS1V15,
        sent_certificates=[],
    )
    envelope_ = old.encrypted(csr)
    if allowed:
        with pytest.raises(AlgorithmError):
            asked(ca, "19", envelope_)
        assert len(ca.issued) == 1
    else:
        reply = asked(ca, "19", envelope_)
        assert isinstance(reply, Failure)
        assert reply.fail_info is FailInfo.BAD_ALG


def test_a_request_nobody_here_can_open_is_refused() -> None:
    ca, other = make_ca(), make_ca(key="ec:p256", ra="rsa")
    csr, _ = csr_for(ca)
    content = envelope_of(ca, messages.PkcsReq(csr))
    asking = passer_by()
    body = cms.sign(
        content,
        [
            (messages.ID_MESSAGE_TYPE, asn1.element(0x13, b"19")),
            (messages.ID_TRANSACTION_ID, asn1.element(0x13, b"t1")),
            (messages.ID_SENDER_NONCE, asn1.element(0x04, NONCE)),
        ],
        asking.signer(),
        Digest.SHA256,
    )
    other.answer("POST", "/scep?operation=PKIOperation", body)
    assert other.messages[-1].fail_info is not None
    assert other.messages[-1].protection is None


def test_a_broken_signature_gets_no_signed_answer() -> None:
    ca = make_ca()
    csr, _ = csr_for(ca)
    content = envelope_of(ca, messages.PkcsReq(csr))
    body = cms.sign(content, [], passer_by().signer(), Digest.SHA256)
    for wrong in (body, body[:-1] + bytes((body[-1] ^ 1,)), body[:100], b""):
        assert ca.answer("POST", "/scep?operation=PKIOperation", wrong).status == 400
    assert ca.messages == []
