"""What a CA makes of requests: right, odd, and forged."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import cms, messages
from scepkit.core.envelope import Password
from scepkit.core.messages import (
    GetCert,
    MessageData,
    MessageType,
)
from scepkit.errors import (
    AlgorithmError,
    DecodeError,
    DecryptError,
    FailInfo,
    ProtocolError,
    SignatureError,
)
from tests import cms_writer as w
from tests.core.exchange import (
    CA,
    CA_NAME,
    CSR,
    DATA,
    DEVICE,
    DEVICE_NAME,
    ID,
    ISSUED,
    NONCE,
    key_of,
    request,
    seen,
)

# ------------------------------------------------------------------ requests


def asking(
    changes: dict[str, bytes | None] | None = None,
    *,
    message_type: str = "19",
    content: bytes | None = b"content",
    certificates: list[bytes] | None = None,
    **more: Any,
) -> bytes:
    """A request of DEVICE with these signed attributes changed, or left out (None)."""
    signed = w.request_attributes(message_type, ID, NONCE, content=content)
    for name, value in (changes or {}).items():
        signed.pop(name, None)
        if value is not None:
            signed[name] = value
    return w.signed_data(
        content,
        [w.signer_info(DEVICE, signed.values(), **more)],
        [DEVICE.der] if certificates is None else certificates,
    )


def test_request_written_by_others_is_read() -> None:
    read = messages.read_request(asking())
    assert read.message_type is MessageType.PKCS_REQ
    assert read.content == b"content"
    assert read.certificates == (DEVICE.der,)


@pytest.mark.parametrize(
    ("changes", "missing"),
    [
        ({"messageType": None}, "messageType"),
        ({"transactionID": None}, "transactionID"),
        ({"senderNonce": None}, "senderNonce"),
        ({"transactionID": w.attribute(w.TRANSACTION_ID, w.printable(""))}, "transactionID"),
        ({"senderNonce": w.attribute(w.SENDER_NONCE, w.octets(b""))}, "senderNonce"),
        ({"messageType": None, "senderNonce": None}, "messageType and no senderNonce"),
    ],
)
def test_request_that_cannot_be_answered_is_refused(
    changes: dict[str, bytes | None], missing: str
) -> None:
    with pytest.raises(DecodeError, match=f"the pkiMessage has no {missing}"):
        messages.read_request(asking(changes))


@pytest.mark.parametrize("size", [255, 256, 10_000])
def test_long_transaction_id_is_refused(size: int) -> None:
    body = asking({"transactionID": w.attribute(w.TRANSACTION_ID, w.printable("x" * size))})
    if size <= messages.MAX_TRANSACTION_ID:
        assert messages.read_request(body).transaction_id == "x" * size
        return
    with pytest.raises(DecodeError, match=f"the transactionID has {size} characters"):
        messages.read_request(body)


@pytest.mark.parametrize(
    "text", ["0", "1", "3", "16", "18", "99", "", "19 ", "019", "-1", "x" * 1000]
)
def test_request_of_an_unknown_type_has_none(text: str) -> None:
    read = messages.read_request(asking(message_type=text))
    assert read.message_type is None
    assert read.message_type_text == text[:32]
    with pytest.raises(ProtocolError, match="is not a request RFC 8894 knows") as caught:
        messages.decrypt_request(read, key_of(CA))
    assert caught.value.fail_info is FailInfo.BAD_REQUEST


def test_request_with_content_of_another_type_is_refused() -> None:
    signed = w.request_attributes("19", ID, NONCE, content=b"x")
    signed |= w.cms_attributes(b"x", content_type=w.SIGNED_DATA)
    info = w.signer_info(DEVICE, signed.values())
    body = w.signed_data(b"x", [info], [DEVICE.der], content_type=w.SIGNED_DATA)
    with pytest.raises(DecodeError, match="type SignedData, expected data"):
        messages.read_request(body)


@pytest.mark.parametrize("certificates", [[], [CA.der], [CA.der, ISSUED.der]])
def test_request_without_the_signers_certificate_is_refused(certificates: list[bytes]) -> None:
    with pytest.raises(SignatureError, match="is not in the message"):
        messages.read_request(asking(certificates=certificates))


def test_signers_certificate_is_found_wherever_it_is() -> None:
    # jscep takes the first certificate for the signer's.
    garbage = w.seq(w.integer(5))
    read = messages.read_request(asking(certificates=[garbage, CA.der, DEVICE.der]))
    assert read.signer == seen(DEVICE)


def test_request_signed_by_another_key_than_its_certificate_has_is_refused() -> None:
    signed = w.request_attributes("19", ID, NONCE, content=b"x")
    info = w.signer_info(CA, signed.values(), sid=w.issuer_and_serial(DEVICE))
    with pytest.raises(SignatureError, match="the signature is broken"):
        messages.read_request(w.signed_data(b"x", [info], [DEVICE.der]))


def test_request_with_two_signatures_is_refused() -> None:
    signed = w.request_attributes("19", ID, NONCE, content=b"x").values()
    infos = [w.signer_info(DEVICE, signed), w.signer_info(CA, signed)]
    with pytest.raises(SignatureError, match="2 signatures"):
        messages.read_request(w.signed_data(b"x", infos, [DEVICE.der, CA.der]))


def test_request_signed_with_md5_is_refused() -> None:
    signed = w.request_attributes("19", ID, NONCE, content=b"x")
    signed |= w.cms_attributes(b"x", "md5")
    info = w.signer_info(DEVICE, signed.values(), digest="md5")
    with pytest.raises(AlgorithmError, match="MD5") as caught:
        messages.read_request(w.signed_data(b"x", [info], [DEVICE.der]))
    assert caught.value.fail_info is FailInfo.BAD_ALG


@pytest.mark.parametrize("content", [None, b""])
def test_request_without_content_is_refused(content: bytes | None) -> None:
    read = messages.read_request(asking(content=content))
    with pytest.raises(DecodeError, match="holds no pkcsPKIEnvelope"):
        messages.decrypt_request(read, key_of(CA))


def test_request_that_is_not_encrypted_is_refused() -> None:
    read = messages.read_request(asking(content=CSR))
    with pytest.raises(DecodeError):
        messages.decrypt_request(read, key_of(CA))


def test_request_in_single_des_is_refused() -> None:
    inner = w.enveloped_data(
        CSR,
        [w.rsa_recipient(CA, bytes(8))],
        bytes(16),
        cipher=w.algorithm("1.3.14.3.2.7", w.octets(bytes(8))),
    )
    read = messages.read_request(asking(content=inner))
    with pytest.raises(AlgorithmError, match="single DES") as caught:
        messages.decrypt_request(read, key_of(CA))
    assert caught.value.fail_info is FailInfo.BAD_ALG


def test_request_for_somebody_else_is_refused() -> None:
    with pytest.raises(DecryptError):
        messages.decrypt_request(request(data=DATA[3]), key_of(ISSUED))
    with pytest.raises(DecryptError, match="for an RSA key, expected a password"):
        messages.decrypt_request(request(), Password(b"x"))


POLL = w.seq(CA_NAME, DEVICE_NAME)
NUMBER = w.seq(CA_NAME, w.integer(5))


@pytest.mark.parametrize(
    ("message_type", "content"),
    [
        (MessageType.CERT_POLL, NUMBER),
        (MessageType.CERT_POLL, w.seq(CA_NAME)),
        (MessageType.CERT_POLL, w.seq(w.integer(1), DEVICE_NAME)),
        (MessageType.CERT_POLL, w.seq(CA_NAME, DEVICE_NAME, w.NULL)),
        (MessageType.CERT_POLL, b""),
        (MessageType.GET_CERT, POLL),
        (MessageType.GET_CERT, w.seq(w.integer(1), w.integer(5))),
        (MessageType.GET_CRL, w.seq(w.NULL, w.integer(5))),
        (MessageType.GET_CRL, CSR),
        (MessageType.GET_CRL, NUMBER + b"\0"),
        (MessageType.CERT_REP, cms.certs_only([])),
    ],
)
def test_data_of_another_type_is_refused(message_type: MessageType, content: bytes) -> None:
    with pytest.raises(DecodeError):
        messages.decode_data(message_type, content)


@pytest.mark.parametrize("data", DATA, ids=lambda data: type(data).__name__)
def test_data_is_written_and_read(data: MessageData) -> None:
    kind = messages.message_type_of(data)
    assert messages.decode_data(kind, messages.encode_data(data)) == data


@given(st.integers(-(2**160), 2**160))
def test_serial_number_of_any_size_is_asked_for(number: int) -> None:
    data = GetCert(CA_NAME, number)
    assert messages.encode_data(data) == w.seq(CA_NAME, w.integer(number))
    assert messages.decode_data(MessageType.GET_CERT, messages.encode_data(data)) == data
