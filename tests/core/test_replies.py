"""What a requester makes of replies: right, odd, and forged."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from scepkit.core import cms, messages
from scepkit.core.messages import (
    CertRep,
    Failure,
    StillPending,
    Success,
)
from scepkit.errors import (
    AlgorithmError,
    DecodeError,
    DecryptError,
    FailInfo,
    ReplyMismatchError,
    SignatureError,
)
from tests import cms_writer as w
from tests import pki
from tests.core.exchange import (
    CA,
    CSR,
    DEVICE,
    EC_CA,
    ID,
    ISSUED,
    NONCE,
    REPLIES,
    attributes,
    encode,
    open_reply,
    seal,
    seen,
    written,
)
from tests.pki import Identity

# ------------------------------------------------------------------ replies: what they answer


def test_reply_written_by_others_is_read() -> None:
    assert open_reply(written(attributes("3"))) == StillPending()


@pytest.mark.parametrize(
    ("name", "value", "found"),
    [
        ("messageType", None, None),
        ("messageType", w.printable("19"), "19"),
        ("messageType", w.printable("03"), "03"),
        ("messageType", w.printable(""), ""),
        ("transactionID", None, None),
        ("transactionID", w.printable("7xxey-erlpu-2jdr9"), "7xxey-erlpu-2jdr9"),
        ("transactionID", w.printable(ID + " "), ID + " "),
        ("transactionID", w.printable(""), ""),
        ("recipientNonce", None, None),
        ("recipientNonce", w.octets(b""), None),
        ("recipientNonce", w.octets(NONCE[:-1]), NONCE[:-1].hex()),
        ("recipientNonce", w.octets(NONCE + b"\0"), (NONCE + b"\0").hex()),
        ("recipientNonce", w.octets(bytes(16)), bytes(16).hex()),
    ],
)
def test_reply_to_something_else_is_refused(
    name: str, value: bytes | None, found: str | None
) -> None:
    signed = attributes("0")
    oid = {
        "messageType": w.MESSAGE_TYPE,
        "transactionID": w.TRANSACTION_ID,
        "recipientNonce": w.RECIPIENT_NONCE,
    }[name]
    del signed[name]
    if value is not None:
        signed[name] = w.attribute(oid, value)
    with pytest.raises(ReplyMismatchError, match="does not belong to this request") as caught:
        open_reply(written(signed))
    expected = {"messageType": "3", "transactionID": ID, "recipientNonce": NONCE.hex()}[name]
    assert (caught.value.field, caught.value.expected, caught.value.found) == (
        *(name, expected, found),
    )


def test_senders_nonce_is_not_needed_in_a_reply() -> None:
    # The RFC's own vector has none (G2).
    signed = attributes("3")
    del signed["senderNonce"]
    assert open_reply(written(signed)) == StillPending()


@pytest.mark.parametrize("value", [w.printable("n" * 16), w.tlv(0x03, b"\0" + NONCE), w.NULL])
def test_nonce_of_another_type_is_refused(value: bytes) -> None:
    signed = attributes("3") | {"recipientNonce": w.attribute(w.RECIPIENT_NONCE, value)}
    with pytest.raises(DecodeError, match="the recipientNonce is not an OCTET STRING of at most"):
        open_reply(written(signed))


def test_nonce_that_is_too_long_is_refused() -> None:
    signed = attributes("3") | {"x": w.attribute(w.RECIPIENT_NONCE, w.octets(bytes(65)))}
    del signed["recipientNonce"]
    with pytest.raises(DecodeError, match="at most 64 bytes"):
        open_reply(written(signed))


@pytest.mark.parametrize("name", ["messageType", "transactionID", "recipientNonce", "pkiStatus"])
def test_attribute_with_two_values_is_refused(name: str) -> None:
    signed = attributes("3")
    value = w.printable("3")
    number = getattr(w, {"pkiStatus": "PKI_STATUS"}.get(name) or _constant(name))
    signed[name] = w.attribute(number, value, value)
    with pytest.raises(DecodeError, match=f"the {name} attribute has 2 values, expected one"):
        open_reply(written(signed))
    signed[name] = w.attribute(number)
    with pytest.raises(DecodeError, match=f"the {name} attribute has 0 values, expected one"):
        open_reply(written(signed))


def _constant(name: str) -> str:
    return {
        "messageType": "MESSAGE_TYPE",
        "transactionID": "TRANSACTION_ID",
        "recipientNonce": "RECIPIENT_NONCE",
    }[name]


def test_attributes_that_are_not_signed_do_not_count() -> None:
    signed = attributes("0")
    unsigned = [signed.pop("pkiStatus"), w.attribute(w.PKI_STATUS, w.printable("3"))]
    with pytest.raises(DecodeError, match="the CertRep has no pkiStatus"):
        open_reply(written(signed, unsigned=unsigned))
    signed = attributes("2")
    assert open_reply(written(signed, unsigned=unsigned)) == Failure(None)


def test_attribute_that_is_there_twice_is_refused() -> None:
    signed = attributes("2") | {"again": w.attribute(w.PKI_STATUS, w.printable("3"))}
    with pytest.raises(DecodeError, match="is there twice"):
        open_reply(written(signed))


def test_reply_with_content_of_another_type_is_refused() -> None:
    signed = attributes("3") | w.cms_attributes(None, content_type=w.ENVELOPED_DATA)
    info = w.signer_info(CA, signed.values())
    with pytest.raises(DecodeError, match="type EnvelopedData, expected data"):
        open_reply(w.signed_data(None, [info], content_type=w.ENVELOPED_DATA))


# ------------------------------------------------------------------ replies: string types (Q19)


def in_every_type(text: str) -> Iterator[bytes]:
    for tag, codec in [
        *((0x0C, "utf-8"), (0x13, "ascii"), (0x14, "ascii"), (0x16, "ascii")),
        *((0x1A, "ascii"), (0x1C, "utf-32-be"), (0x1E, "utf-16-be")),
    ]:
        yield w.tlv(tag, text.encode(codec))


def test_attributes_in_strings_of_any_type_are_read() -> None:
    for kind, id_, status in zip(
        *map(in_every_type, ("3", ID, "3")),
        strict=True,
    ):
        signed = attributes("3") | {
            "messageType": w.attribute(w.MESSAGE_TYPE, kind),
            "transactionID": w.attribute(w.TRANSACTION_ID, id_),
            "pkiStatus": w.attribute(w.PKI_STATUS, status),
        }
        assert open_reply(written(signed)) == StillPending()


def test_numbers_as_integers_are_read() -> None:
    signed = attributes("2") | {
        "messageType": w.attribute(w.MESSAGE_TYPE, w.integer(3)),
        "pkiStatus": w.attribute(w.PKI_STATUS, w.integer(2)),
        "failInfo": w.attribute(w.FAIL_INFO, w.integer(4)),
    }
    assert open_reply(written(signed)) == Failure(FailInfo.BAD_CERT_ID)


def test_transaction_id_as_an_integer_is_refused() -> None:
    signed = attributes("3") | {"transactionID": w.attribute(w.TRANSACTION_ID, w.integer(7))}
    with pytest.raises(DecodeError, match="transactionID is not a character string"):
        open_reply(written(signed))


# ------------------------------------------------------------------ replies: status


@pytest.mark.parametrize(
    ("status", "found"),
    [
        (None, "no pkiStatus"),
        (w.printable("1"), "pkiStatus '1'"),
        (w.printable("4"), "pkiStatus '4'"),
        (w.printable("x"), "pkiStatus 'x'"),
        (w.printable(""), "pkiStatus ''"),
        (w.printable("00"), "pkiStatus '00'"),
        (w.printable(" 0"), "pkiStatus ' 0'"),
        (w.printable("0" * 5000), f"pkiStatus '{'0' * 20}'"),
        (w.integer(1), "pkiStatus '1'"),
    ],
)
def test_unknown_status_is_refused(status: bytes | None, found: str) -> None:
    signed = attributes("0")
    del signed["pkiStatus"]
    if status is not None:
        signed["pkiStatus"] = w.attribute(w.PKI_STATUS, status)
    with pytest.raises(DecodeError, match=f"the CertRep has {found}, expected 0, 2 or 3"):
        open_reply(written(signed))


@pytest.mark.parametrize("status", [w.octets(b"3"), w.integer(1 << 2000), w.NULL])
def test_status_that_is_no_text_is_refused(status: bytes) -> None:
    signed = attributes("0") | {"pkiStatus": w.attribute(w.PKI_STATUS, status)}
    with pytest.raises(DecodeError, match="pkiStatus is not a character string"):
        open_reply(written(signed))


@pytest.mark.parametrize(
    ("value", "fail_info"),
    [
        (w.printable("0"), FailInfo.BAD_ALG),
        (w.printable("4"), FailInfo.BAD_CERT_ID),
        (w.printable("5"), 5),
        (w.printable("12"), 12),
        (w.printable("9999"), 9999),
        (w.printable("02"), FailInfo.BAD_REQUEST),
        (None, None),
    ],
)
def test_fail_info_is_read(value: bytes | None, fail_info: FailInfo | int | None) -> None:
    signed = attributes("2")
    if value is not None:
        signed["failInfo"] = w.attribute(w.FAIL_INFO, value)
    found = open_reply(written(signed))
    assert found == Failure(fail_info)
    assert isinstance(found, Failure)
    assert type(found.fail_info) is type(fail_info)


@pytest.mark.parametrize(
    "value",
    [
        *(w.printable(text) for text in ("", "x", "-1", "1.0", "10000", "²", "9" * 5000)),
        w.integer(-1),
        w.octets(b"2"),
        w.tlv(0x0C, "٣".encode()),
    ],
)
def test_fail_info_that_is_no_number_is_refused(value: bytes) -> None:
    signed = attributes("2") | {"failInfo": w.attribute(w.FAIL_INFO, value)}
    with pytest.raises(DecodeError, match="failInfo"):
        open_reply(written(signed))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (w.tlv(0x0C, "sorry ä".encode()), "sorry ä"),
        (w.printable("sorry"), "sorry"),
        (w.tlv(0x1E, "sorry".encode("utf-16-be")), "sorry"),
        # What cannot be read does not hide the failure: it is for people only (R55).
        (w.tlv(0x0C, b"\xff\xfe"), ""),
        (w.integer(5), ""),
    ],
)
def test_fail_info_text_is_read(value: bytes, text: str) -> None:
    signed = attributes("2") | {
        "failInfo": w.attribute(w.FAIL_INFO, w.printable("2")),
        "failInfoText": w.attribute(w.FAIL_INFO_TEXT, value),
    }
    assert open_reply(written(signed)) == Failure(FailInfo.BAD_REQUEST, text)


@pytest.mark.parametrize("content", [None, b""])
def test_absent_and_empty_content_are_the_same(content: bytes | None) -> None:
    # Q45: some send an empty one with a FAILURE.
    assert open_reply(written(attributes("2", content), content)) == Failure(None)
    with pytest.raises(DecodeError, match="says SUCCESS but holds no pkcsPKIEnvelope"):
        open_reply(written(attributes("0", content), content))


def test_success_whose_content_is_not_encrypted_is_refused() -> None:
    bundle = cms.certs_only([ISSUED.der])
    with pytest.raises(DecodeError, match="SignedData, expected EnvelopedData"):
        open_reply(written(attributes("0", bundle), bundle))


def test_success_with_something_else_in_it_is_refused() -> None:
    inner = w.enveloped_data(CSR, [w.rsa_recipient(DEVICE, bytes(16))], bytes(16))
    with pytest.raises(DecodeError, match="this is not a certificate bundle"):
        open_reply(written(attributes("0", inner), inner))


def test_success_is_not_read_without_a_key() -> None:
    with pytest.raises(DecodeError, match="no key to decrypt it with"):
        messages.open_reply(
            seal(REPLIES[0]),
            transaction_id=ID,
            sender_nonce=NONCE,
            signers=[seen(CA)],
            decrypt_with=None,
        )


def test_success_for_somebody_else_is_refused() -> None:
    reply = seal(REPLIES[0], recipient=seen(CA))
    with pytest.raises(DecryptError):
        open_reply(reply)


# ------------------------------------------------------------------ replies: who signed (A12)


@pytest.mark.parametrize(
    "stranger",
    [
        ISSUED,  # an ordinary device of the same CA
        DEVICE,  # the requester itself
        EC_CA,
        pki.certificate(CA.name, pki.key("rsa2048-b"), serial=CA.certificate.serial_number),
    ],
    ids=["device of this CA", "requester", "another CA", "copy of the CA's name and number"],
)
@pytest.mark.parametrize("reply", [REPLIES[0], StillPending()], ids=str)
def test_reply_signed_by_somebody_else_is_refused(stranger: Identity, reply: CertRep) -> None:
    body = seal(reply, by=stranger)
    assert open_reply(body, signers=[stranger]) == reply
    with pytest.raises(SignatureError):
        open_reply(body)


def test_reply_without_certificates_is_verified_all_the_same() -> None:
    info = w.signer_info(CA, attributes("3").values())
    assert open_reply(w.signed_data(None, [info])) == StillPending()
    forged = w.signer_info(ISSUED, attributes("3").values())
    with pytest.raises(SignatureError):
        open_reply(w.signed_data(None, [forged]))


def test_reply_that_is_not_signed_is_refused() -> None:
    with pytest.raises(SignatureError, match="no signatures"):
        open_reply(w.signed_data(None, [], [CA.der]))


def test_bare_envelope_is_no_reply() -> None:
    inner = w.enveloped_data(CSR, [w.rsa_recipient(DEVICE, bytes(16))], bytes(16))
    with pytest.raises(DecodeError, match="this is not a CertRep"):
        open_reply(inner)


def test_request_is_no_reply() -> None:
    with pytest.raises(ReplyMismatchError) as caught:
        open_reply(encode(requester=CA))
    assert (caught.value.field, caught.value.found) == ("messageType", "19")


# ------------------------------------------------------------------ replies: old algorithms


def test_md5_is_read_only_on_request() -> None:
    signed = w.reply_attributes(ID, NONCE, status="3", content=None, digest="md5")
    body = written(signed, digest="md5")
    with pytest.raises(AlgorithmError, match="MD5"):
        open_reply(body)
    assert open_reply(body, allow_legacy=True) == StillPending()


@pytest.mark.filterwarnings("ignore::cryptography.utils.CryptographyDeprecationWarning")
def test_single_des_is_read_only_on_request() -> None:
    from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
    from cryptography.hazmat.primitives.ciphers import Cipher as CipherContext
    from cryptography.hazmat.primitives.ciphers import modes

    key, iv, bundle = b"8 bytes!", bytes(8), cms.certs_only([ISSUED.der])
    worker = CipherContext(TripleDES(key * 3), modes.CBC(iv)).encryptor()
    count = 8 - len(bundle) % 8
    ciphertext = worker.update(bundle + bytes([count]) * count) + worker.finalize()
    inner = w.enveloped_data(
        b"",
        [w.rsa_recipient(DEVICE, key)],
        bytes(16),
        encrypted=w.tlv(0x80, ciphertext),
        cipher=w.algorithm("1.3.14.3.2.7", w.octets(iv)),
    )
    body = written(attributes("0", inner), inner)
    with pytest.raises(AlgorithmError, match="single DES") as caught:
        open_reply(body)
    assert "step-ca" in caught.value.hint
    assert open_reply(body, allow_legacy=True) == Success((ISSUED.der,))
