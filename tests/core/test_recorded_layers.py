"""Every recorded message, taken apart layer by layer with the servers' and the clients' keys."""

from __future__ import annotations

import pytest

from scepkit.core import cms, envelope
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.certificates import view, view_of
from scepkit.core.envelope import DecryptionKey
from scepkit.errors import AlgorithmError, DecryptError, SignatureError
from tests import pki, vectors
from tests.vectors import Conversation, Step

#: Cipher and digest of the requests to each server.
ALGORITHMS = {
    "ca": (Cipher.AES128_CBC, Digest.SHA512),
    "ra": (Cipher.AES128_CBC, Digest.SHA512),
    "des-md5-get": (Cipher.DES_CBC, Digest.MD5),
}

EXCHANGES = [
    pytest.param(conversation, step, id=f"{conversation}/{step.number:02}")
    for conversation in vectors.conversations()
    for step in conversation.pki_operations
]
LEGACY = [one for one in EXCHANGES if str(one.id).startswith("des-md5-get")]
each_exchange = pytest.mark.parametrize(("conversation", "step"), EXCHANGES)
each_legacy_exchange = pytest.mark.parametrize(("conversation", "step"), LEGACY)


def test_there_are_thirty_three_recorded_exchanges() -> None:
    assert len(EXCHANGES) == 33


@each_exchange
def test_request_is_signed_by_the_requester(conversation: Conversation, step: Step) -> None:
    assert step.request is not None
    message = cms.read_signed(step.request.wire)
    requester = view_of(conversation.requester_certificate)
    verified = cms.verify(message, [requester], allow_legacy=True)

    assert verified.content == step.request.enveloped
    assert verified.signer == requester
    assert verified.digest is ALGORITHMS[conversation.server.name][1]
    assert message.certificates[0] == requester.der


@each_exchange
def test_request_is_decrypted_with_the_servers_key(conversation: Conversation, step: Step) -> None:
    assert step.request is not None
    assert step.request.enveloped is not None
    server = conversation.server
    ours = DecryptionKey(view_of(server.recipient_certificate), server.recipient_key)
    opened = envelope.read_envelope(step.request.enveloped, allow_legacy=True)
    decrypted = envelope.decrypt(opened, ours)

    assert decrypted.content == step.request.plain
    assert decrypted.cipher is ALGORITHMS[server.name][0]


@each_exchange
def test_answer_is_signed_by_the_server(conversation: Conversation, step: Step) -> None:
    message = cms.read_signed(step.response.wire)
    server = view_of(conversation.server.recipient_certificate)
    verified = cms.verify(message, [server], allow_legacy=True)

    assert verified.content == step.response.enveloped
    assert verified.signer == server


@each_exchange
def test_answer_is_decrypted_with_the_requesters_key(
    conversation: Conversation, step: Step
) -> None:
    if step.response.enveloped is None:
        assert step.response.plain is None
        return
    ours = DecryptionKey(view_of(conversation.requester_certificate), conversation.requester_key)
    opened = envelope.read_envelope(step.response.enveloped, allow_legacy=True)
    assert envelope.decrypt(opened, ours).content == step.response.plain


@each_exchange
def test_answer_is_not_decrypted_with_another_key(conversation: Conversation, step: Step) -> None:
    if step.response.enveloped is None:
        return
    stranger = DecryptionKey(view_of(conversation.requester_certificate), pki.rsa_key("rsa2048-c"))
    opened = envelope.read_envelope(step.response.enveloped, allow_legacy=True)
    # One wrong key in 256 ends in padding that looks right; then the content is not the content.
    try:
        decrypted = envelope.decrypt(opened, stranger)
    except DecryptError:
        return
    assert decrypted.content != step.response.plain


@each_exchange
def test_answer_is_not_believed_from_the_requester(conversation: Conversation, step: Step) -> None:
    message = cms.read_signed(step.response.wire)
    with pytest.raises(SignatureError):
        cms.verify(message, [view_of(conversation.requester_certificate)], allow_legacy=True)


@each_exchange
def test_certificates_are_in_a_success(conversation: Conversation, step: Step) -> None:
    if step.response.plain is None:
        return
    bundle = cms.read_bundle(step.response.plain)
    if conversation.name == "getcrl":
        assert bundle.certificates == ()
        assert len(bundle.crls) == 1
    elif conversation.issued:
        issued = {view_of(certificate).der for certificate in conversation.issued}
        assert set(bundle.certificates) == issued
        assert bundle.crls == ()
    else:
        assert len(bundle.certificates) >= 1


@each_legacy_exchange
def test_md5_is_refused_without_the_legacy_switch(conversation: Conversation, step: Step) -> None:
    assert step.request is not None
    message = cms.read_signed(step.request.wire)
    with pytest.raises(AlgorithmError, match=r"MD5|md5") as caught:
        cms.verify(message, [view_of(conversation.requester_certificate)])
    assert caught.value.algorithm == "md5"
    assert caught.value.hint


@each_legacy_exchange
def test_single_des_is_refused_without_the_legacy_switch(
    conversation: Conversation, step: Step
) -> None:
    assert step.request is not None
    assert step.request.enveloped is not None
    with pytest.raises(AlgorithmError, match=r"DES|des") as caught:
        envelope.read_envelope(step.request.enveloped)
    assert caught.value.algorithm == "des-cbc"
    assert caught.value.hint


# ------------------------------------------------------------------ RFC 8894's own


@pytest.mark.parametrize("name", ["scep_req", "scep_resp"])
def test_vectors_of_the_rfc_are_read_layer_by_layer(name: str) -> None:
    message = cms.read_signed(vectors.rfc8894(f"{name}2.der"))
    assert message.content == vectors.rfc8894(f"{name}1.der")
    opened = envelope.read_envelope(vectors.rfc8894(f"{name}1.der"))
    assert opened.cipher is Cipher.AES128_CBC
    assert len(opened.recipients) == 1


@pytest.mark.parametrize("name", ["scep_req", "scep_resp"])
def test_vectors_of_the_rfc_are_signed_by_the_certificate_in_them(name: str) -> None:
    message = cms.read_signed(vectors.rfc8894(f"{name}2.der"))
    verified = cms.verify(message, [view(der) for der in message.certificates])
    assert verified.digest is Digest.SHA256
    # Both carry an attribute that no RFC gives SCEP (PKCS #9 randomNonce): unknown ones are kept.
    assert "1.2.840.113549.1.9.25.3" in verified.attributes
