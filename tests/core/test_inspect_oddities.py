"""What `inspect` calls odd, one oddity a test."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import asn1, cms, envelope, messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import view, view_of
from scepkit.core.csr_builder import build_csr
from scepkit.core.envelope import Password
from scepkit.core.inspect import Inspection, inspect_message, render_text, to_json
from scepkit.core.inspect.envelopes import identifier_text
from scepkit.core.messages import MessageType, PkiStatus
from scepkit.errors import DecodeError
from tests import ber_writer, pki
from tests.ber_writer import Node
from tests.pki import Identity

ID_SIGNED_ATTRIBUTES = 3  # where they are in a SignerInfo

Attributes = list[tuple[str, bytes]]


def printable(text: object) -> bytes:
    return asn1.element(0x13, str(text).encode())


def octets(value: bytes) -> bytes:
    return asn1.element(0x04, value)


NONCE, OTHER_NONCE = b"n" * 16, b"m" * 16
REQUEST: dict[str, bytes] = {
    messages.ID_MESSAGE_TYPE: printable(19),
    messages.ID_TRANSACTION_ID: printable("abc"),
    messages.ID_SENDER_NONCE: octets(NONCE),
}
REPLY: dict[str, bytes] = {
    messages.ID_MESSAGE_TYPE: printable(3),
    messages.ID_TRANSACTION_ID: printable("abc"),
    messages.ID_SENDER_NONCE: octets(OTHER_NONCE),
    messages.ID_RECIPIENT_NONCE: octets(NONCE),
    messages.ID_PKI_STATUS: printable(0),
}


@cache
def ca() -> Identity:
    return pki.root()


@cache
def requester() -> Identity:
    return pki.self_signed()


@cache
def request_csr(key: str = "rsa2048-c", name: str = "device1", challenge: str = "pw") -> bytes:
    built = build_csr(pki.key(key), pki.name(name), challenge=challenge)
    return built.public_bytes(Encoding.DER)


def sealed(content: bytes, cipher: Cipher = Cipher.AES128_CBC) -> bytes:
    return envelope.encrypt(content, view_of(ca().certificate), cipher)


def message(
    attributes: dict[str, bytes] | Attributes,
    content: bytes | None = None,
    *,
    signer: Identity | None = None,
    digest: Digest = Digest.SHA256,
) -> bytes:
    """A signed message with these attributes besides contentType and messageDigest."""
    by = signer or requester()
    listed = list(attributes.items()) if isinstance(attributes, dict) else attributes
    return cms.sign(content, listed, cms.Signer(view_of(by.certificate), by.key), digest)


def request(
    content: bytes | None = None, signer: Identity | None = None, **changes: bytes | None
) -> bytes:
    """A PKCSReq; `changes` replace attributes by their RFC name, None removes one."""
    content = sealed(request_csr()) if content is None else content
    return message(changed(REQUEST, changes), content, signer=signer)


def reply(content: bytes | None = None, **changes: bytes | None) -> bytes:
    """A CertRep SUCCESS; see `request`."""
    if content is None:
        content = sealed(cms.certs_only([pki.device(ca()).der]))
    return message(changed(REPLY, changes), content or None, signer=ca())


IDS = {
    "messageType": messages.ID_MESSAGE_TYPE,
    "transactionID": messages.ID_TRANSACTION_ID,
    "senderNonce": messages.ID_SENDER_NONCE,
    "recipientNonce": messages.ID_RECIPIENT_NONCE,
    "pkiStatus": messages.ID_PKI_STATUS,
    "failInfo": messages.ID_FAIL_INFO,
    "failInfoText": messages.ID_FAIL_INFO_TEXT,
    "signingTime": messages.ID_SIGNING_TIME,
}


def changed(attributes: dict[str, bytes], changes: dict[str, bytes | None]) -> dict[str, bytes]:
    new = attributes | {IDS[name]: value for name, value in changes.items() if value is not None}
    for name, value in changes.items():
        if value is None:
            del new[IDS[name]]
    return new


def opened(data: bytes) -> Inspection:
    """Inspected with the CA's key, which opens requests, and replies of `reply` too."""
    return inspect_message(data, key=ca().key, certificate=ca().certificate)


def odd(data: bytes) -> list[tuple[str, str]]:
    return [(one.code, one.text) for one in opened(data).oddities]


def signer_info(tree: Node) -> Node:
    """The SignerInfo of a signed message."""
    return tree.children[1].children[0].children[-1].children[0]


def with_signer_infos(data: bytes, *infos: Node) -> bytes:
    """The message with other SignerInfos."""
    tree = ber_writer.parse(data)
    explicit = tree.children[1]
    signed_data = explicit.children[0]
    new_set = replace(signed_data.children[-1], children=infos)
    new_data = replace(signed_data, children=(*signed_data.children[:-1], new_set))
    return ber_writer.der(
        replace(tree, children=(tree.children[0], replace(explicit, children=(new_data,))))
    )


def with_signer_part(data: bytes, position: int, part: Node | None) -> bytes:
    """The message with one part of its SignerInfo replaced, or left out."""
    parts = list(signer_info(ber_writer.parse(data)).children)
    parts[position : position + 1] = [] if part is None else [part]
    return with_signer_infos(data, Node(0x30, children=tuple(parts)))


# ------------------------------------------------------------------ nothing odd


def test_our_own_messages_are_not_odd() -> None:
    assert odd(request()) == []
    assert odd(reply()) == []
    assert odd(reply(b"", pkiStatus=printable(3))) == []
    assert odd(reply(b"", pkiStatus=printable(2), failInfo=printable(2))) == []


def test_our_own_ec_messages_are_not_odd() -> None:
    signer = pki.self_signed(key_name="ec256-a")
    found = opened(request(sealed(request_csr("ec256-a")), signer))
    assert found.oddities == ()
    assert found.signature is not None
    assert found.signature.algorithm == "ecdsa-with-sha256"


# ------------------------------------------------------------------ encoding


def test_a_ber_message_is_q16() -> None:
    data = request()
    indefinite = b"\x30\x80" + data[4:] + b"\0\0"
    assert odd(indefinite) == [
        ("Q16", "the message is BER, not DER (its outer length is indefinite)")
    ]
    assert opened(indefinite).encoding == ("BER",)
    longer = b"\x30\x84\0\0" + data[2:]
    assert odd(longer)[0][0] == "Q16"


def test_chunked_encrypted_content_is_q17() -> None:
    tree = ber_writer.parse(sealed(request_csr()))
    enveloped = tree.children[1].children[0]
    encrypted = enveloped.children[2]
    value = encrypted.children[2].value
    chunked = Node(0xA0, children=(Node(0x04, value[:100]), Node(0x04, value[100:])))
    data = ber_writer.der(_with_encrypted(tree, (*encrypted.children[:2], chunked)))
    assert odd(request(data)) == [("Q17", "the encryptedContent is constructed, in 2 chunks")]


def _with_encrypted(tree: Node, parts: Sequence[Node]) -> Node:
    enveloped = tree.children[1].children[0]
    new = replace(enveloped, children=(*enveloped.children[:2], Node(0x30, children=tuple(parts))))
    return replace(tree, children=(tree.children[0], Node(0xA0, children=(new,))))


def test_bytes_behind_a_message_are_odd() -> None:
    assert odd(request() + b"\r\n") == [
        ("RFC 8894 4.3", "2 bytes follow the message, which belong to nothing")
    ]


def test_unsorted_signed_attributes_are_q18() -> None:
    data = request()
    attributes = signer_info(ber_writer.parse(data)).children[ID_SIGNED_ATTRIBUTES]
    turned = replace(attributes, children=attributes.children[::-1])
    found = opened(with_signer_part(data, ID_SIGNED_ATTRIBUTES, turned))
    assert [one.code for one in found.oddities] == ["Q18"]
    assert found.signature is not None
    assert found.signature.state == "valid"


# ------------------------------------------------------------------ attributes


@pytest.mark.parametrize("name", ["messageType", "transactionID", "senderNonce"])
def test_a_missing_attribute_is_odd(name: str) -> None:
    assert ("RFC 8894 3.2.1", f"there is no {name} among the signed attributes") in odd(
        request(**{name: None})
    )


@pytest.mark.parametrize("name", ["pkiStatus", "recipientNonce", "senderNonce"])
def test_a_missing_attribute_of_a_reply_is_odd(name: str) -> None:
    assert odd(reply(**{name: None})) == [
        ("RFC 8894 3.2.1", f"there is no {name} among the signed attributes")
    ]


def test_a_failure_without_fail_info_is_odd() -> None:
    assert odd(reply(b"", pkiStatus=printable(2))) == [
        ("RFC 8894 3.2.1", "there is no failInfo among the signed attributes")
    ]


def test_a_fail_info_without_a_failure_is_odd() -> None:
    assert odd(reply(failInfo=printable(2))) == [
        ("RFC 8894 3.2.1.4", "there is a failInfo although the pkiStatus is not FAILURE")
    ]


def test_a_doubled_attribute_is_a16() -> None:
    twice = [*REQUEST.items(), (messages.ID_TRANSACTION_ID, printable("def"))]
    found = opened(message(twice, sealed(request_csr())))
    assert ("A16", "the signed attribute transactionID is there twice") in [
        (one.code, one.text) for one in found.oddities
    ]
    assert found.attributes is not None
    assert found.attributes.transaction_id in {"abc", "def"}


@pytest.mark.parametrize("count", [0, 2])
def test_an_attribute_without_exactly_one_value_is_a16(count: int) -> None:
    data = request()
    attributes = signer_info(ber_writer.parse(data)).children[ID_SIGNED_ATTRIBUTES]
    new = []
    for attribute in attributes.children:
        oid, values = attribute.children
        if ber_writer.der(oid) == asn1.oid_der(messages.ID_TRANSACTION_ID):
            values = replace(values, children=values.children * count)
        new.append(Node(0x30, children=(oid, values)))
    data = with_signer_part(data, ID_SIGNED_ATTRIBUTES, Node(0xA0, children=tuple(new)))
    assert ("A16", f"the transactionID has {count} values, expected one") in odd(data)


def test_scep_attributes_that_are_not_signed_are_a16() -> None:
    unsigned = ber_writer.parse(
        asn1.element(
            0xA1,
            asn1.element(
                0x30,
                asn1.oid_der(messages.ID_PKI_STATUS),
                asn1.element(0x31, printable(0)),
            ),
            asn1.element(0x30, asn1.oid_der("1.2.3"), asn1.element(0x31, printable(0))),
            asn1.element(0x30),
        )
    )
    data = request()
    parts = (*signer_info(ber_writer.parse(data)).children, unsigned)
    found = odd(with_signer_infos(data, Node(0x30, children=parts)))
    assert found == [("A16", "the pkiStatus is among the unsigned attributes")]


def test_no_signed_attributes_are_a17() -> None:
    data = request()
    unsigned = asn1.element(
        0xA1,
        asn1.element(0x30, asn1.oid_der(messages.ID_PKI_STATUS), asn1.element(0x31, printable(0))),
    )
    parts = signer_info(ber_writer.parse(data)).children
    kept = (*parts[:ID_SIGNED_ATTRIBUTES], *parts[ID_SIGNED_ATTRIBUTES + 1 :])
    bare = with_signer_infos(data, Node(0x30, children=(*kept, ber_writer.parse(unsigned))))
    found = opened(bare)
    assert found.kind == "pkiMessage"
    assert ("A17", "the signature covers no signed attributes") in odd(bare)
    assert found.signature is not None
    assert found.signature.state == "broken"


@pytest.mark.parametrize(
    ("value", "found", "text"),
    [
        (asn1.element(0x0C, b"abc"), "UTF8String", "abc"),
        (asn1.element(0x16, b"abc"), "IA5String", "abc"),
        (asn1.element(0x1E, b"\0a\0b\0c"), "BMPString", "abc"),
        (asn1.element(0x02, b"\x13"), "INTEGER", "19"),
        (asn1.element(0x04, b"abc"), "OCTET STRING", None),
        (asn1.element(0x30), "SEQUENCE", None),
        (asn1.element(0x0D, b"abc"), "of the type 0x0d", None),
    ],
)
def test_a_wrong_string_type_is_q19(value: bytes, found: str, text: str | None) -> None:
    data = request(transactionID=value)
    assert odd(data) == [("Q19", f"the transactionID is {found}, expected PrintableString")]
    attributes = opened(data).attributes
    assert attributes is not None
    assert attributes.transaction_id == text


def test_a_fail_info_text_that_is_no_utf8_string_is_q19() -> None:
    data = reply(
        b"", pkiStatus=printable(2), failInfo=printable(2), failInfoText=printable("go away")
    )
    assert odd(data) == [("Q19", "the failInfoText is PrintableString, expected UTF8String")]
    assert to_json(opened(data))["failInfoText"] == "go away"


def test_a_message_with_a_high_tag_is_refused() -> None:
    with pytest.raises(DecodeError, match="tag number above 30"):
        opened(request(transactionID=b"\x1f\x21\x00"))


@pytest.mark.parametrize("size", [0, 8, 32])
def test_a_nonce_of_another_length_is_q23(size: int) -> None:
    data = request(senderNonce=octets(b"x" * size))
    assert odd(data) == [("Q23", f"the senderNonce has {size} bytes, expected 16")]
    assert to_json(opened(data))["senderNonce"] == "78" * size


def test_a_nonce_of_another_type_is_q19() -> None:
    found = odd(request(senderNonce=printable("x" * 16)))
    assert found == [("Q19", "the senderNonce is PrintableString, expected OCTET STRING")]
    found = odd(request(senderNonce=asn1.element(0x8D, b"x" * 16)))
    assert found == [("Q19", "the senderNonce is of the type 0x8d, expected OCTET STRING")]


def test_a_nonce_sent_back_is_q39() -> None:
    assert odd(reply(senderNonce=octets(NONCE))) == [
        ("Q39", "the senderNonce is the recipientNonce sent back, not a fresh one")
    ]


@pytest.mark.parametrize("text", ["a_b", "a@b", "a*b"])
def test_a_transaction_id_outside_printable_string_is_odd(text: str) -> None:
    assert [code for code, _ in odd(request(transactionID=printable(text)))] == ["RFC 8894 3.2.1.1"]


@pytest.mark.parametrize("length", [0, 256])
def test_a_transaction_id_of_a_strange_length_is_a18(length: int) -> None:
    assert [code for code, _ in odd(request(transactionID=printable("x" * length)))] == ["A18"]


@pytest.mark.parametrize("text", ["0", "18", "99", "", "19 ", "019", "-1", "+19", "9" * 50])
def test_an_unknown_message_type_is_odd(text: str) -> None:
    data = request(messageType=printable(text))
    code, explanation = odd(data)[0]
    assert code == "RFC 8894 3.2.1.2"
    assert ("UpdateReq" in explanation) == (text == "18")
    shown = to_json(opened(data))
    assert shown["messageType"] == text
    assert shown["messageTypeNumber"] == {"0": 0, "18": 18, "99": 99, "019": 19}.get(text)
    assert text in render_text(opened(data))


@pytest.mark.parametrize("text", ["1", "4", "SUCCESS"])
def test_an_unknown_status_is_odd(text: str) -> None:
    assert odd(reply(pkiStatus=printable(text)))[0] == (
        "RFC 8894 3.2.1.3",
        f"the pkiStatus {text!r} is not one RFC 8894 knows",
    )


@pytest.mark.parametrize("number", [5, 12, 13])
def test_an_unknown_fail_info_is_odd(number: int) -> None:
    data = reply(b"", pkiStatus=printable(2), failInfo=printable(number))
    ((code, text),) = odd(data)
    assert code == "RFC 8894 3.2.1.4"
    assert ("Dogtag" in text) == (number <= 12)
    assert to_json(opened(data))["failInfoNumber"] == number


def test_a_request_with_attributes_of_a_reply_is_odd() -> None:
    assert odd(request(pkiStatus=printable(0), recipientNonce=octets(OTHER_NONCE))) == [
        ("RFC 8894 3.2.1", "a request has no pkiStatus, this one does"),
        ("RFC 8894 3.2.1", "a request has no recipientNonce, this one does"),
    ]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (asn1.element(0x17, b"260601120000Z"), "2026-06-01T12:00:00Z"),
        (asn1.element(0x18, b"20500601120000Z"), "2050-06-01T12:00:00Z"),
        (asn1.element(0x17, b"soon"), "soon"),
        (printable("noon"), "noon"),
    ],
)
def test_a_signing_time_is_shown_as_far_as_it_can_be_read(value: bytes, text: str) -> None:
    data = request(signingTime=value)
    assert to_json(opened(data))["signingTime"] == text
    assert odd(data) == []


def test_control_characters_do_not_reach_the_terminal() -> None:
    text = render_text(opened(request(transactionID=printable("a\x1b[31m\r\nb\x00"))))
    assert "a\\x1b[31m\\r\\nb\\x00" in text
    assert "\x1b" not in text


# ------------------------------------------------------------------ content


def test_an_empty_content_instead_of_none_is_q45() -> None:
    data = message(changed(REPLY, {"pkiStatus": printable(3)}), b"", signer=ca())
    assert odd(data) == [("Q45", "the content is there and empty, instead of absent")]


def test_a_success_without_an_envelope_is_odd() -> None:
    assert [code for code, _ in odd(reply(b""))] == ["RFC 8894 3.3.2.1"]


@pytest.mark.parametrize("status", [PkiStatus.FAILURE, PkiStatus.PENDING])
def test_a_failure_or_pending_with_an_envelope_is_odd(status: PkiStatus) -> None:
    fail_info = printable(2) if status is PkiStatus.FAILURE else None
    changes = {} if fail_info is None else {"failInfo": fail_info}
    assert odd(reply(pkiStatus=printable(int(status)), **changes)) == [
        ("RFC 8894 3.2", f"the pkiStatus is {status.name}, but there is a pkcsPKIEnvelope")
    ]


def test_a_request_without_an_envelope_is_odd() -> None:
    assert odd(message(REQUEST)) == [("RFC 8894 3.2", "the request has no pkcsPKIEnvelope")]


def test_an_unencrypted_content_is_odd() -> None:
    data = message(REQUEST, request_csr())
    assert odd(data) == [
        ("RFC 8894 3.1", "the content is not encrypted: it is a CertificationRequest")
    ]
    assert to_json(opened(data))["csr"] is not None


def test_a_content_that_cannot_be_read_is_odd() -> None:
    ((code, text),) = odd(message(REQUEST, b"hello"))
    assert code == "RFC 8894 3.2.2"
    assert text.startswith("the pkcsPKIEnvelope cannot be read")
    ((code, text),) = odd(request(sealed(b"\x04\x01a")))
    assert code == "RFC 8894 3.2.2"
    assert text.startswith("the messageData cannot be read")


@pytest.mark.parametrize(
    ("number", "content", "found"),
    [
        (20, request_csr(), "CertPoll is a CertificationRequest, expected IssuerAndSubject"),
        (21, request_csr(), "GetCert is a CertificationRequest, expected IssuerAndSerialNumber"),
        (19, cms.certs_only([]), "PKCSReq is a certs-only SignedData, expected CertificationRequ"),
    ],
)
def test_message_data_of_another_type_is_odd(number: int, content: bytes, found: str) -> None:
    code, text = odd(request(sealed(content), messageType=printable(number)))[0]
    assert code == "RFC 8894 3.2.2"
    assert text.startswith(f"the messageData of a {found}")


def test_queries_are_shown() -> None:
    issuer, subject = ca().name.public_bytes(), pki.name("device1").public_bytes()
    poll = messages.encode_data(messages.CertPoll(issuer, subject))
    found = opened(request(sealed(poll), messageType=printable(20)))
    assert found.oddities == ()
    assert to_json(found)["content"]["subject"] == "CN=device1,O=Acme"
    assert "CN=device1,O=Acme" in render_text(found)
    get = messages.encode_data(messages.GetCert(issuer, 0x1234))
    found = opened(request(sealed(get), messageType=printable(21)))
    assert found.oddities == ()
    assert to_json(found)["content"]["serialNumber"] == "1234"
    assert "1234" in render_text(found)


def test_another_content_type_is_odd() -> None:
    data = request()
    tree = ber_writer.parse(data)
    signed_data = tree.children[1].children[0]
    encapsulated = signed_data.children[2]
    other = ber_writer.parse(asn1.oid_der(cms.ID_ENVELOPED_DATA))
    new = replace(encapsulated, children=(other, *encapsulated.children[1:]))
    parts = (*signed_data.children[:2], new, *signed_data.children[3:])
    explicit = Node(0xA0, children=(Node(0x30, children=parts),))
    assert (
        "RFC 8894 3.2",
        "the signed content is of the type EnvelopedData, not data",
    ) in odd(ber_writer.der(replace(tree, children=(tree.children[0], explicit))))


def test_a_degenerate_signed_data_with_content_is_odd() -> None:
    data = with_signer_infos(message({}, b"content"))
    assert odd(data) == [
        ("RFC 8894 3.4", "a degenerate SignedData has a content, which it must not")
    ]


def test_an_issued_certificate_that_is_not_first_is_q57() -> None:
    bundle = cms.certs_only([ca().der, pki.device(ca()).der])
    assert odd(reply(sealed(bundle))) == [
        ("Q57", "the issued certificate is not the first one in the reply")
    ]


# ------------------------------------------------------------------ signatures


@pytest.mark.parametrize(("digest", "code"), [(Digest.SHA1, "RFC 8894 7.9"), (Digest.SHA512, None)])
def test_an_old_digest_is_odd(digest: Digest, code: str | None) -> None:
    data = message(REQUEST, sealed(request_csr()), digest=digest)
    assert [one for one, _ in odd(data)] == ([] if code is None else [code])


def test_a_signature_algorithm_with_a_digest_is_named() -> None:
    algorithm = ber_writer.parse(asn1.algorithm("1.2.840.113549.1.1.11", asn1.NULL))
    ((code, text),) = odd(with_signer_part(request(), 4, algorithm))
    assert code == "RFC 3370 3.2"
    assert "sha256WithRSAEncryption" in text


def test_malformed_algorithms_are_odd() -> None:
    found = opened(with_signer_part(request(), 4, Node(0x30)))
    assert "RFC 5652 10.1" in [one.code for one in found.oddities]
    assert found.signature is not None
    assert found.signature.algorithm == "unreadable"
    assert found.signature.state == "unverifiable"


def test_a_changed_signature_is_broken() -> None:
    found = opened(with_signer_part(request(), 5, Node(0x04, b"\0" * 256)))
    assert found.signature is not None
    assert found.signature.state == "broken"
    assert [one.code for one in found.oddities] == ["RFC 5652 5.6"]


def test_a_changed_content_is_broken() -> None:
    data = message(REQUEST, b"hello").replace(b"hello", b"jello")
    found = opened(data)
    assert found.signature is not None
    assert found.signature.state == "broken"
    assert "digest" in found.signature.explanation


def without_certificates(data: bytes) -> bytes:
    tree = ber_writer.parse(data)
    signed_data = tree.children[1].children[0]
    parts = tuple(one for one in signed_data.children if one.tag != 0xA0)
    explicit = Node(0xA0, children=(Node(0x30, children=parts),))
    return ber_writer.der(replace(tree, children=(tree.children[0], explicit)))


def test_a_signature_without_its_certificate_cannot_be_verified() -> None:
    data = without_certificates(request())
    found = opened(data)
    assert found.signature is not None
    assert found.signature.state == "unverifiable"
    assert found.signature.signer is None
    assert [one.code for one in found.oddities] == ["RFC 8894 2.3"]
    assert "CN=device1,O=Acme" in render_text(found)
    assert to_json(found)["signer"]["certificate"] is None


def test_a_given_certificate_can_verify_what_names_it() -> None:
    found = opened(without_certificates(reply()))
    assert found.signature is not None
    assert found.signature.state == "valid"
    assert found.oddities == ()


def test_a_signature_that_names_another_certificate_is_q53() -> None:
    other = Node(0x30, children=(ber_writer.parse(ca().name.public_bytes()), Node(0x02, b"\x05")))
    assert odd(with_signer_part(request(), 1, other)) == [
        ("Q53", "the signature names another certificate than the one that made it")
    ]


def test_a_signer_named_by_key_identifier_is_shown() -> None:
    identifier = view(requester().der).subject_key_identifier
    assert identifier is not None
    found = opened(with_signer_part(request(), 1, Node(0x80, identifier)))
    assert found.oddities == ()
    assert found.signature is not None
    assert found.signature.signer_id == f"key identifier {identifier.hex()}"


def test_a_serial_number_that_is_none_is_shown_as_unreadable() -> None:
    other = Node(0x30, children=(ber_writer.parse(ca().name.public_bytes()), Node(0x05)))
    found = opened(with_signer_part(request(), 1, other))
    assert found.signature is not None
    assert found.signature.signer_id == "serial number unreadable of CN=Test Root CA,O=Acme"


def test_a_second_signature_is_a16() -> None:
    data = request()
    first = signer_info(ber_writer.parse(data))
    second = replace(first, children=(*first.children[:-1], Node(0x04, b"x" * 256)))
    assert ("A16", "there are 2 signatures; only the first is shown") in odd(
        with_signer_infos(data, first, second)
    )


# ------------------------------------------------------------------ requester


def test_a_request_for_another_key_is_odd() -> None:
    ((code, text),) = odd(request(sealed(request_csr("rsa2048-b"))))
    assert code == "RFC 8894 2.3"
    assert "another key" in text


def test_a_request_for_another_subject_is_q04() -> None:
    assert [code for code, _ in odd(request(sealed(request_csr(name="device2"))))] == ["Q04"]


def test_a_renewal_with_a_self_signed_certificate_is_odd() -> None:
    assert odd(request(messageType=printable(17))) == [
        ("RFC 8894 2.4", "the RenewalReq is signed with a self-signed certificate")
    ]


def test_a_renewal_with_an_issued_certificate_is_not_odd() -> None:
    data = request(sealed(request_csr("rsa2048-b")), pki.device(ca()), messageType=printable(17))
    assert odd(data) == []


def test_a_pkcs_req_with_an_issued_certificate_is_not_odd() -> None:
    assert odd(request(sealed(request_csr("rsa2048-b")), pki.device(ca()))) == []


@pytest.mark.parametrize(("challenge", "state"), [("", "empty"), (None, "absent")])
def test_a_request_without_a_challenge_is_odd(challenge: str | None, state: str) -> None:
    built = build_csr(pki.key("rsa2048-c"), pki.name("device1"), challenge=challenge)
    data = request(sealed(built.public_bytes(Encoding.DER)))
    assert odd(data) == [("RFC 8894 2.4", f"the challengePassword is {state}")]


def test_a_signer_that_may_not_sign_is_odd() -> None:
    silent = pki.certificate(pki.name("device1"), pki.key("rsa2048-c"))
    assert odd(request(signer=silent)) == [
        ("RFC 8894 2.3", "the signer's certificate has no keyUsage digitalSignature")
    ]


# ------------------------------------------------------------------ envelopes


def test_3des_is_odd() -> None:
    ((code, text),) = odd(request(sealed(request_csr(), Cipher.DES_EDE3_CBC)))
    assert code == "RFC 8894 3.5.2"
    assert "3DES" in text


def test_an_unknown_cipher_is_named() -> None:
    tree = ber_writer.parse(sealed(request_csr()))
    encrypted = tree.children[1].children[0].children[2]
    gcm = ber_writer.parse(asn1.algorithm("2.16.840.1.101.3.4.1.6"))
    data = ber_writer.der(
        _with_encrypted(tree, (encrypted.children[0], gcm, encrypted.children[2]))
    )
    assert odd(data)[0] == ("RFC 8894 2.9", "the cipher AES-128-GCM is none of SCEP's")
    assert to_json(opened(data))["algorithms"]["cipher"] == "AES-128-GCM"


def test_another_type_of_encrypted_content_is_odd() -> None:
    tree = ber_writer.parse(sealed(request_csr()))
    encrypted = tree.children[1].children[0].children[2]
    signed = ber_writer.parse(asn1.oid_der(cms.ID_SIGNED_DATA))
    data = ber_writer.der(_with_encrypted(tree, (signed, *encrypted.children[1:])))
    assert odd(data)[0] == (
        "RFC 8894 3.2.2",
        "the encrypted content is of the type SignedData, not data",
    )


def test_an_envelope_without_content_is_odd() -> None:
    tree = ber_writer.parse(sealed(request_csr()))
    encrypted = tree.children[1].children[0].children[2]
    data = ber_writer.der(_with_encrypted(tree, encrypted.children[:2]))
    assert odd(data)[0] == ("RFC 5652 6.1", "the EnvelopedData has no encrypted content")


def with_recipients(data: bytes, *recipients: Node) -> bytes:
    tree = ber_writer.parse(data)
    enveloped = tree.children[1].children[0]
    parts = (enveloped.children[0], Node(0x31, children=recipients), *enveloped.children[2:])
    explicit = Node(0xA0, children=(Node(0x30, children=parts),))
    return ber_writer.der(replace(tree, children=(tree.children[0], explicit)))


def recipient_of(data: bytes) -> Node:
    return ber_writer.parse(data).children[1].children[0].children[1].children[0]


def test_several_recipients_are_odd_and_each_is_tried() -> None:
    data = sealed(request_csr())
    stranger = envelope.encrypt(b"x", view(requester().der), Cipher.AES128_CBC)
    both = with_recipients(data, recipient_of(stranger), recipient_of(data))
    found = inspect_message(both, key=ca().key)
    assert [(one.code, one.text) for one in found.oddities] == [
        ("RFC 8894 3.1", "the EnvelopedData has 2 recipients, not one")
    ]
    assert found.content is not None
    assert found.content.kind == "CertificationRequest"


def test_several_recipients_and_none_of_ours_is_odd() -> None:
    stranger = envelope.encrypt(b"x", view(requester().der), Cipher.AES128_CBC)
    both = with_recipients(stranger, recipient_of(stranger), recipient_of(stranger))
    assert inspect_message(both, key=ca().key).content is None


def test_no_recipient_is_odd() -> None:
    found = odd(with_recipients(sealed(request_csr())))
    assert found[0] == ("RFC 8894 3.1", "the EnvelopedData has 0 recipients, not one")
    assert to_json(inspect_message(with_recipients(sealed(b"x"))))["algorithms"] == {
        "digest": None,
        "signature": None,
        "cipher": "aes128-cbc",
        "keyTransport": None,
    }


def test_a_recipient_of_another_kind_is_odd() -> None:
    data = with_recipients(sealed(request_csr()), Node(0xA1))
    found = odd(data)
    assert (
        "RFC 8894 3.1",
        "a recipient is of the kind key agreement, which SCEP does not have",
    ) in (found)
    assert odd(with_recipients(sealed(request_csr()), Node(0x85)))[0][1].startswith(
        "a recipient is of the kind unknown (tag 0x85)"
    )


def test_a_recipient_that_cannot_be_read_is_odd() -> None:
    for broken in (Node(0x30), Node(0xA3)):
        found = odd(with_recipients(sealed(request_csr()), broken))
        assert found[0][0] == "RFC 5652 6.2"


def test_a_certificate_that_is_named_in_no_known_way_is_unreadable() -> None:
    assert identifier_text(asn1.element(0x30, asn1.NULL)) == "unreadable"


def with_key_transport(data: bytes, algorithm: bytes) -> bytes:
    recipient = recipient_of(data)
    parts = (*recipient.children[:2], ber_writer.parse(algorithm), recipient.children[3])
    return with_recipients(data, Node(0x30, children=parts))


def test_oaep_is_q26_and_without_parameters_q27() -> None:
    data = envelope.encrypt(
        request_csr(), view(ca().der), Cipher.AES128_CBC, KeyTransport.RSA_OAEP_SHA1
    )
    assert [code for code, _ in odd(data)] == ["Q26"]
    bare = with_key_transport(data, asn1.algorithm("1.2.840.113549.1.1.7"))
    assert [code for code, _ in odd(bare)] == ["Q26", "Q27"]
    assert opened(bare).content is not None


def test_an_unknown_key_transport_is_named() -> None:
    data = with_key_transport(sealed(request_csr()), asn1.algorithm("1.2.3.4"))
    found = opened(data)
    assert found.envelope is not None
    assert found.envelope.recipients[0].algorithm == "1.2.3.4"
    assert [one.code for one in found.oddities] == ["Q26", "RFC 5652 6.3"]


def test_an_unknown_password_wrap_is_named() -> None:
    data = envelope.encrypt(request_csr(), Password(b"pw"), Cipher.AES128_CBC)
    recipient = recipient_of(data)
    other = ber_writer.parse(asn1.algorithm("1.2.3.4"))
    parts = (*recipient.children[:2], other, recipient.children[3])
    found = inspect_message(with_recipients(data, Node(0xA3, children=parts)), password=b"pw")
    assert found.envelope is not None
    assert found.envelope.recipients[0].algorithm == "1.2.3.4"
    assert [one.code for one in found.oddities] == ["RFC 5652 6.3"]


def test_a_first_reply_is_not_odd_beside_the_issued_certificate() -> None:
    # It is encrypted for the self-signed certificate of the request, which nobody keeps.
    issued = pki.device(pki.root(), key_name="rsa2048-b")
    own = pki.self_signed(key_name="rsa2048-b")
    data = envelope.encrypt(cms.certs_only([issued.der]), view(own.der), Cipher.AES128_CBC)
    found = inspect_message(data, key=issued.key, certificate=issued.certificate)
    assert [one.code for one in found.oddities] == []


def test_an_envelope_for_another_certificate_is_q40() -> None:
    data = envelope.encrypt(request_csr(), view(requester().der), Cipher.AES128_CBC)
    assert odd(data)[0][0] == "Q40"


def test_a_recipient_named_by_key_identifier_is_the_certificates() -> None:
    data = sealed(request_csr())
    identifier = view(ca().der).subject_key_identifier
    assert identifier is not None
    recipient = recipient_of(data)
    parts = (recipient.children[0], Node(0x80, identifier), *recipient.children[2:])
    assert odd(with_recipients(data, Node(0x30, children=parts))) == []


def test_a_certificate_without_key_identifier_is_compared_by_issuer_and_serial() -> None:
    certificate = x509.load_der_x509_certificate(no_extensions(requester().der))
    assert view_of(certificate).subject_key_identifier is None
    data = envelope.encrypt(request_csr(), view_of(certificate), Cipher.AES128_CBC)
    found = inspect_message(data, key=requester().key, certificate=certificate)
    assert found.oddities == ()


# ------------------------------------------------------------------ certificates and requests


def edited(der: bytes, edit: dict[int, Node | None]) -> bytes:
    """A signed structure whose content has other parts; the signature is wrong then."""
    tree = ber_writer.parse(der)
    parts: list[Node] = []
    for number, part in enumerate(tree.children[0].children):
        new = edit.get(number, part)
        if new is not None:
            parts.append(new)
    content = Node(0x30, children=tuple(parts))
    return ber_writer.der(replace(tree, children=(content, *tree.children[1:])))


def no_extensions(der: bytes) -> bytes:
    return edited(der, {7: None})


@pytest.mark.parametrize(("key", "text"), [("rsa1024", "RSA with 1024 bits only")])
def test_a_weak_key_is_a24(key: str, text: str) -> None:
    weak = pki.certificate(pki.name("weak"), pki.key(key))
    assert odd(weak.der) == [("A24", f"the key of the certificate is {text}")]
    ((code, found),) = [one for one in odd(request_csr(key, "weak")) if one[0] == "A24"]
    assert (code, found) == ("A24", f"the key of the PKCS#10 request is {text}")


def test_a_key_on_a_rare_curve_is_a24() -> None:
    tree = ber_writer.parse(pki.root("ec256-a").der)
    spki = ber_writer.parse(
        bytes.fromhex(
            "3056301006072a8648ce3d020106052b8104000a034200"  # secp256k1, its generator
            "0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
            "483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8"
        )
    )
    data = edited(ber_writer.der(tree), {6: spki})
    assert odd(data) == [("A24", "the key of the certificate is on the curve secp256k1")]


def test_an_ed25519_key_is_named() -> None:
    spki = ber_writer.parse(bytes.fromhex("302a300506032b6570032100") + bytes([5] * 32))
    found = inspect_message(edited(pki.root().der, {6: spki}))
    assert found.certificates[0].key == "Ed25519"


def test_a_key_that_cannot_be_read_is_odd() -> None:
    found = inspect_message(edited(pki.root().der, {6: Node(0x30)}))
    assert [one.code for one in found.oddities] == ["Q30", "RFC 8894 3.1"]
    assert found.certificates[0].key == "unknown"


def test_an_old_certificate_signature_is_q30() -> None:
    sha1 = ber_writer.parse(asn1.algorithm("1.2.840.113549.1.1.5", asn1.NULL))
    tree = ber_writer.parse(edited(pki.root().der, {2: sha1}))
    data = ber_writer.der(replace(tree, children=(tree.children[0], sha1, tree.children[2])))
    assert odd(data) == [("Q30", "the certificate is signed with sha1")]


@pytest.mark.parametrize(
    "edit",
    [
        {0: Node(0xA0, children=(Node(0x02, b"\x07"),))},  # a version there is not
        {1: Node(0x02, b"\x00\x00\x05")},  # a serial number that is not minimal
    ],
)
def test_a_malformed_certificate_is_q30_and_shown_all_the_same(edit: dict[int, Node]) -> None:
    found = inspect_message(edited(pki.root().der, dict(edit)))
    assert [one.code for one in found.oddities] == ["Q30"]
    assert found.certificates[0].subject == "CN=Test Root CA,O=Acme"
    assert found.certificates[0].not_after is None
    assert to_json(found)["certificates"][0]["notAfter"] is None
    assert "CN=Test Root CA" in render_text(found)


def test_a_certificate_that_is_none_is_odd() -> None:
    data = cms.certs_only([asn1.element(0x30, b"\x05\x00"), ca().der])
    found = inspect_message(data)
    assert [one.code for one in found.oddities] == ["RFC 5280 4.1"]
    assert len(found.certificates) == 1


def test_a_name_that_cannot_be_read_is_shown_in_hexadecimal() -> None:
    found = inspect_message(edited(pki.root().der, {5: Node(0x30, children=(Node(0x05),))}))
    assert found.certificates[0].subject == "#30020500"


def test_an_empty_name_is_shown_as_such() -> None:
    found = inspect_message(edited(pki.root().der, {5: Node(0x30)}))
    assert "(empty name) (RSA 2048)" in render_text(found)


def test_a_crl_that_cannot_be_read_is_odd() -> None:
    data = cms.certs_only([], [asn1.element(0x30, b"\x05\x00")])
    assert [code for code, _ in odd(data)] == ["RFC 5280 5.1"]


def test_a_request_that_cannot_be_read_is_odd() -> None:
    data = edited(request_csr(), {2: Node(0x30)})
    found = inspect_message(data)
    assert found.kind == "CertificationRequest"
    assert found.csr is None
    assert [one.code for one in found.oddities] == ["RFC 2986 4"]


def test_a_request_with_a_broken_signature_is_odd() -> None:
    data = edited(request_csr(), {1: ber_writer.parse(pki.name("other").public_bytes())})
    found = inspect_message(data)
    assert found.csr is not None
    assert found.csr.signature == "broken"
    assert [one.code for one in found.oddities] == ["RFC 2986 4.2"]


def test_a_request_signed_with_md5_is_odd() -> None:
    tree = ber_writer.parse(request_csr())
    md5 = ber_writer.parse(asn1.algorithm("1.2.840.113549.1.1.4", asn1.NULL))
    found = inspect_message(
        ber_writer.der(replace(tree, children=(tree.children[0], md5, tree.children[2])))
    )
    assert found.csr is not None
    assert found.csr.signature == "unverifiable"
    assert [one.code for one in found.oddities] == ["RFC 8894 2.9"]


def test_a_challenge_of_another_string_type_is_q19() -> None:
    data = request_csr().replace(b"\x13\x02pw", b"\x1e\x02pw").replace(b"\x0c\x02pw", b"\x1e\x02pw")
    found = inspect_message(data)
    assert "Q19" in [one.code for one in found.oddities]
    assert found.csr is not None
    assert found.csr.challenge_password == "present"


def test_a_request_to_be_a_ca_is_a8() -> None:
    built = build_csr(
        pki.key("rsa2048-c"),
        "CN=x",
        challenge="pw",
        san=["dns:x.test"],
        extensions=[
            (x509.BasicConstraints(True, None), True),
            (
                x509.UnrecognizedExtension(
                    x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2"), b"\x1e\x02\0A"
                ),
                False,
            ),
            (x509.UnrecognizedExtension(x509.ObjectIdentifier("1.2.3.4"), b"\x05\x00"), False),
        ],
    )
    found = inspect_message(built.public_bytes(Encoding.DER))
    assert [(one.code, one.text) for one in found.oddities] == [
        ("A8", "the PKCS#10 request asks to be a CA")
    ]
    assert found.csr is not None
    assert found.csr.extensions == (
        "subjectAltName",
        "basicConstraints",
        "msCertificateTemplateName",
        "1.2.3.4",
    )
    assert "dns:x.test" in render_text(found)


def test_message_types_of_the_rfc_are_named() -> None:
    for kind in MessageType:
        shown = to_json(opened(request(messageType=printable(int(kind)))))
        assert shown["messageType"] == kind.rfc_name


# ------------------------------------------------------------------ the codes


def test_every_code_of_ours_is_explained() -> None:
    root = Path(__file__).parents[2]
    explained = {
        code
        for line in (root / "docs" / "oddities.md").read_text("utf-8").splitlines()
        for code in re.findall(r"[AQ]\d+", line.split("|")[1] if line.startswith("|") else "")
    }
    sources = (root / "src" / "scepkit" / "core" / "inspect").glob("*.py")
    used = {
        code
        for source in sources
        for code in re.findall(r"[(\" ]([AQ]\d+)(?=[),\"])", source.read_text("utf-8"))
    }
    assert used == explained
