from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Callable
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import quote

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import cms, envelope
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.certificates import view_of
from scepkit.core.envelope import Password
from scepkit.core.inspect import Inspection, inspect_message, render_text, to_json
from scepkit.core.pem import write_pem
from scepkit.errors import DecodeError, ScepError
from tests import mutations, pki, vectors
from tests import odd_certificates as odd
from tests.vectors import Conversation, Step

EXCHANGES = [
    pytest.param(conversation, step, id=f"{conversation}/{step.number:02}")
    for conversation in vectors.conversations()
    for step in conversation.pki_operations
]
each_exchange = pytest.mark.parametrize(("conversation", "step"), EXCHANGES)
EVERY_FILE = sorted(vectors.FOLDER.rglob("*.der"))

REQUEST_TYPES = {
    "enrol": ("PKCSReq", 19, "CertificationRequest"),
    "renew": ("PKCSReq", 19, "CertificationRequest"),  # jscep knows no RenewalReq
    "getcert": ("GetCert", 21, "IssuerAndSerialNumber"),
    "getcrl": ("GetCRL", 22, "IssuerAndSerialNumber"),
}


def opened_request(conversation: Conversation, step: Step) -> Inspection:
    assert step.request is not None
    server = conversation.server
    return inspect_message(
        step.request.wire, key=server.recipient_key, certificate=server.recipient_certificate
    )


def opened_reply(conversation: Conversation, step: Step) -> Inspection:
    return inspect_message(
        step.response.wire,
        key=conversation.requester_key,
        certificate=conversation.requester_certificate,
    )


def codes(inspection: Inspection) -> list[str]:
    return [oddity.code for oddity in inspection.oddities]


# ------------------------------------------------------------------ recorded messages


@each_exchange
def test_a_recorded_request_is_shown_whole(conversation: Conversation, step: Step) -> None:
    assert step.request is not None
    shown = to_json(opened_request(conversation, step))
    kind = conversation.name.split("-", 1)[0]
    name, number, content = REQUEST_TYPES[kind]
    if kind == "enrol" and step is not conversation.pki_operations[0]:
        name, number, content = "CertPoll", 20, "IssuerAndSubject"

    assert shown["kind"] == "pkiMessage"
    assert (shown["messageType"], shown["messageTypeNumber"]) == (name, number)
    assert shown["content"]["kind"] == content
    assert base64.b64decode(shown["messageData"]) == step.request.plain
    assert shown["signature"]["state"] == "valid"
    requester = view_of(conversation.requester_certificate)
    assert shown["signer"]["certificate"]["serialNumber"] == f"{requester.serial_number:x}"
    assert len(bytes.fromhex(shown["senderNonce"])) == 16
    assert shown["pkiStatus"] is None
    assert shown["recipientNonce"] is None
    assert (shown["csr"] is not None) == (content == "CertificationRequest")
    assert "Q40" not in codes(opened_request(conversation, step))


@each_exchange
def test_a_recorded_reply_is_shown_whole(conversation: Conversation, step: Step) -> None:
    assert step.request is not None
    asked = to_json(inspect_message(step.request.wire))
    shown = to_json(opened_reply(conversation, step))

    assert (shown["messageType"], shown["messageTypeNumber"]) == ("CertRep", 3)
    assert shown["transactionID"] == asked["transactionID"]
    assert shown["recipientNonce"] == asked["senderNonce"]
    assert shown["signature"]["state"] == "valid"
    if step.response.plain is None:
        assert shown["pkiStatus"] in {"FAILURE", "PENDING"}
        assert (shown["failInfo"] is None) == (shown["pkiStatus"] == "PENDING")
        assert shown["messageData"] is None
        assert shown["decryption"] is None
    else:
        assert shown["pkiStatus"] == "SUCCESS"
        assert base64.b64decode(shown["messageData"]) == step.response.plain
        assert shown["content"]["kind"] == "certs-only SignedData"
        assert bool(shown["content"]["crls"]) == (conversation.name == "getcrl")
        assert bool(shown["content"]["certificates"]) == (conversation.name != "getcrl")


def test_a_legacy_request_is_shown_with_all_its_age() -> None:
    conversation = vectors.conversation("des-md5-get/enrol-success")
    found = opened_request(conversation, conversation.pki_operations[0])
    shown = to_json(found)
    assert shown["algorithms"] == {
        "digest": "md5",
        "signature": "rsaEncryption",
        "cipher": "des-cbc",
        "keyTransport": "rsa",
    }
    texts = [oddity.text for oddity in found.oddities if oddity.code == "RFC 8894 2.9"]
    assert texts == [
        "the message is signed with MD5, which is forbidden",
        "the content is encrypted with single DES (Q37, Q38)",
    ]


def test_the_request_of_the_rfc_is_shown_without_a_key() -> None:
    shown = to_json(inspect_message(vectors.rfc8894("scep_req2.der")))
    assert shown["messageType"] == "PKCSReq"
    assert shown["transactionID"] == "7XXEY-ERLPU-2JDR9"
    assert shown["signature"]["state"] == "valid"
    assert shown["algorithms"]["cipher"] == "aes128-cbc"
    assert shown["decryption"] == "not tried"
    assert shown["messageData"] is None
    assert shown["otherAttributes"] == ["1.2.840.113549.1.9.25.3"]


def test_the_reply_of_the_rfc_lacks_a_sender_nonce() -> None:
    found = inspect_message(vectors.rfc8894("scep_resp2.der"))
    texts = [oddity.text for oddity in found.oddities if oddity.code == "RFC 8894 3.2.1"]
    assert texts == ["there is no senderNonce among the signed attributes"]
    assert found.signature is not None
    assert found.signature.state == "valid"


def test_the_csr_of_the_rfc_is_shown_without_its_challenge() -> None:
    found = inspect_message(vectors.rfc8894("scep_req0.der"))
    assert found.kind == "CertificationRequest"
    assert found.csr is not None
    assert found.csr.challenge_password == "present"
    assert found.csr.signature == "valid"
    everything = json.dumps(to_json(found)) + render_text(found) + repr(found)
    assert "NQ3C6" not in everything


def test_a_decrypted_challenge_is_in_the_message_data_only() -> None:
    conversation = vectors.conversation("ca/enrol-success")
    found = opened_request(conversation, conversation.pki_operations[0])
    shown = to_json(found)
    assert b"password" in base64.b64decode(shown.pop("messageData"))
    assert vectors.CHALLENGE not in json.dumps(shown).replace("challengePassword", "")
    assert vectors.CHALLENGE not in render_text(found).replace("challengePassword", "")
    assert vectors.CHALLENGE not in repr(found).replace("challenge_password", "")


@pytest.mark.parametrize("server", ["ca", "ra"])
def test_a_rollover_reply_is_signed_data_with_certificates(server: str) -> None:
    conversation = vectors.conversation(f"{server}/getnextca")
    (step,) = (step for step in conversation.steps if step.operation == "GetNextCACert")
    found = inspect_message(
        step.response.wire, certificate=conversation.server.recipient_certificate
    )
    assert found.kind == "SignedData"
    assert found.attributes is None
    assert found.signature is not None
    assert found.signature.state == "valid"
    assert len(found.certificates) == 1


def test_a_rollover_reply_as_the_rfc_has_it_shows_what_is_within() -> None:
    ca, new = pki.root(), pki.root("rsa2048-b", "Next CA")
    signer = cms.Signer(view_of(ca.certificate), ca.key)
    found = inspect_message(cms.sign(cms.certs_only([new.der]), [], signer, Digest.SHA256))
    assert [layer.kind for layer in found.layers] == ["SignedData", "certs-only SignedData"]
    assert found.layers[-1].certificates[0].subject == "CN=Next CA,O=Acme"
    assert found.oddities == ()


@pytest.mark.parametrize("path", EVERY_FILE, ids=lambda path: str(path.relative_to(vectors.FOLDER)))
def test_every_recorded_file_is_shown(path: Path) -> None:
    found = inspect_message(path.read_bytes())
    assert found.size == path.stat().st_size
    assert json.loads(json.dumps(to_json(found)))["kind"] == found.kind
    assert render_text(found).startswith(found.kind)


# ------------------------------------------------------------------ forms of input


def rfc_request() -> bytes:
    return vectors.rfc8894("scep_req2.der")


def wrapped_base64(data: bytes) -> bytes:
    return base64.encodebytes(data)


def get_url(data: bytes) -> bytes:
    text = quote(base64.b64encode(data), safe="")
    return f"http://ca.test/scep?operation=PKIOperation&message={text}\n".encode()


@pytest.mark.parametrize(
    ("wrap", "encoding"),
    [
        (bytes, ("DER",)),
        (base64.b64encode, ("base64", "DER")),
        (wrapped_base64, ("base64", "DER")),
        (base64.urlsafe_b64encode, ("base64", "DER")),
        (get_url, ("base64", "DER")),
        (lambda data: write_pem("PKCS7", data), ("PEM", "DER")),
        (lambda data: b"comment\n" + write_pem("CMS", data), ("PEM", "DER")),
    ],
)
def test_the_same_message_is_found_in_every_wrapping(
    wrap: Callable[[bytes], bytes], encoding: tuple[str, ...]
) -> None:
    plain = inspect_message(rfc_request())
    found = inspect_message(wrap(rfc_request()))
    assert found.encoding == encoding
    assert dataclasses.replace(found, encoding=plain.encoding) == plain


def test_a_pem_file_of_certificates_is_a_list_of_them() -> None:
    ca = pki.root()
    device = pki.device(ca)
    pem = b"".join(one.certificate.public_bytes(Encoding.PEM) for one in (device, ca))
    found = inspect_message(pem)
    assert found.kind == "certificates"
    assert [one.subject for one in found.certificates] == [
        "CN=device1,O=Acme",
        "CN=Test Root CA,O=Acme",
    ]
    assert "certificate 2" in render_text(found)


def test_of_other_pem_blocks_the_first_message_is_shown_and_the_rest_counted() -> None:
    ca = pki.root()
    pem = pki.key_pem("rsa2048-a") + write_pem("CMS", rfc_request())
    assert inspect_message(pem).kind == "pkiMessage"
    found = inspect_message(pem + ca.certificate.public_bytes(Encoding.PEM))
    assert found.kind == "pkiMessage"
    assert found.oddities[0].code == "RFC 7468 2"


def test_a_key_is_not_a_message() -> None:
    with pytest.raises(DecodeError, match="holds no message, but: PRIVATE KEY"):
        inspect_message(pki.key_pem("rsa2048-a"))


def test_a_web_page_is_refused_with_its_title() -> None:
    with pytest.raises(DecodeError, match="web page titled 'NDES'") as caught:
        inspect_message(b"\r\n<html><head><title>NDES</title></head></html>")
    assert caught.value.title == "NDES"
    with pytest.raises(DecodeError, match="web page, not a message"):
        inspect_message(b"<html>")


@pytest.mark.parametrize("data", [b"", b" \r\n"])
def test_nothing_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="the input is empty"):
        inspect_message(data)


@pytest.mark.parametrize("data", [b"hello world!", b"AAAA", b"\x04\x01a", b"\x00\x01\x02"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(DecodeError, match="this is no SCEP message"):
        inspect_message(data)


@pytest.mark.parametrize(
    "data", ["3000", "3003020105", "30050201050500", "3006020105020105", "30020400", "30020500"]
)
def test_asn1_that_is_no_layer_is_refused(data: str) -> None:
    with pytest.raises(DecodeError, match="no layer of a SCEP message"):
        inspect_message(bytes.fromhex(data))


# ------------------------------------------------------------------ layers alone


def test_a_certificate_is_shown() -> None:
    names = [
        x509.DNSName("router.acme.test"),
        x509.RFC822Name("a@acme.test"),
        x509.UniformResourceIdentifier("https://acme.test/"),
        x509.DirectoryName(pki.name("alias")),
        x509.RegisteredID(x509.ObjectIdentifier("1.2.3")),
        x509.IPAddress(IPv4Address("192.0.2.1")),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x0c\x03u@a"),
        x509.OtherName(x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3"), b"\x05\x00"),
        x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x05\x00"),
    ]
    device = pki.device(pki.root(), san=names)
    found = inspect_message(device.der)
    assert found.kind == "Certificate"
    (one,) = found.certificates
    assert one.subject == "CN=device1,O=Acme"
    assert one.key == "RSA 2048"
    assert one.key_usage == ("digitalSignature", "keyEncipherment")
    assert one.extended_key_usage == ("clientAuth",)
    assert one.alternative_names == (
        "dns:router.acme.test",
        "email:a@acme.test",
        "uri:https://acme.test/",
        "dirname:CN=alias,O=Acme",
        "rid:1.2.3",
        "ip:192.0.2.1",
        "upn:u@a",
        "othername:1.3.6.1.4.1.311.20.2.3;DER:0500",
        "othername:1.2.3;DER:0500",
    )
    assert one.not_after == device.certificate.not_valid_after_utc
    assert found.oddities == ()
    assert render_text(found).endswith("Nothing odd.\n")


def test_a_crl_is_shown() -> None:
    conversation = vectors.conversation("ca/getcrl")
    (step,) = conversation.pki_operations
    reply = opened_reply(conversation, step)
    (listed,) = reply.layers[-1].crls
    found = inspect_message(listed.der)
    assert found.kind == "CertificateList"
    assert found.crls == (listed,)
    assert ": 1 entry, " in render_text(found)


def test_bare_layers_without_a_content_info_are_shown() -> None:
    signed = rfc_request()
    content_info = inspect_message(signed)
    # ContentInfo is SEQUENCE { OID, [0] { SignedData } }; the headers are 4 bytes each.
    bare = inspect_message(signed[4 + 11 + 4 :])
    assert bare.kind == "pkiMessage"
    assert codes(bare) == ["RFC 5652 3", *codes(content_info)]
    enveloped = vectors.rfc8894("scep_req1.der")
    bare = inspect_message(enveloped[4 + 11 + 4 :])
    assert bare.kind == "EnvelopedData"
    assert codes(bare)[0] == "RFC 5652 3"


def test_another_content_type_of_cms_is_named() -> None:
    data = cms.certs_only([]).replace(
        b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02", b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x05"
    )
    found = inspect_message(data)
    assert found.kind == "DigestedData"
    assert codes(found) == ["RFC 8894 3"]


# ------------------------------------------------------------------ decrypting


def test_a_password_opens_what_is_encrypted_with_it() -> None:
    data = envelope.encrypt(
        cms.certs_only([pki.root().der]), Password(b"secret"), Cipher.AES128_CBC
    )
    found = inspect_message(data, password=b"secret")
    assert found.envelope is not None
    assert found.envelope.decryption == "done"
    assert found.envelope.recipients[0].kind == "password"
    assert found.envelope.recipients[0].algorithm == "pwri-kek"
    assert found.content is not None
    assert len(found.content.certificates) == 1
    assert found.oddities == ()


@pytest.mark.parametrize("transport", KeyTransport)
def test_a_key_opens_what_is_encrypted_for_it(transport: KeyTransport) -> None:
    ca = pki.root()
    data = envelope.encrypt(pki.root().der, view_of(ca.certificate), Cipher.AES256_CBC, transport)
    found = inspect_message(data, key=ca.key, certificate=ca.certificate)
    assert found.envelope is not None
    assert found.envelope.recipients[0].algorithm == transport.value
    assert found.envelope.message_data == ca.der
    assert ("Q26" in codes(found)) == (transport is not KeyTransport.RSA_PKCS1V15)


def test_a_key_alone_is_enough() -> None:
    ca = pki.root()
    data = envelope.encrypt(ca.der, view_of(ca.certificate), Cipher.AES128_CBC)
    assert inspect_message(data, key=ca.key, password=b"x").content is not None


def test_the_wrong_key_is_an_oddity_and_not_an_error() -> None:
    ca = pki.root()
    data = envelope.encrypt(b"not ASN.1", view_of(ca.certificate), Cipher.AES128_CBC)
    other = pki.root("rsa2048-b")
    found = inspect_message(data, key=other.key, certificate=other.certificate)
    assert found.content is None
    # One wrong key in 256 gives what looks like content.
    assert codes(found)[:2] in (["Q40", "RFC 5652 6.3"], ["Q40", "RFC 8894 3.2.2"])


def test_the_wrong_password_is_an_oddity_and_not_an_error() -> None:
    data = envelope.encrypt(b"not ASN.1", Password(b"secret"), Cipher.AES128_CBC)
    found = inspect_message(data, password=b"guess", key=pki.key("ec256-a"))
    assert found.content is None
    assert codes(found)[0] in {"RFC 5652 6.3", "RFC 8894 3.2.2"}


def test_content_that_is_not_asn1_is_shown_as_bytes() -> None:
    ca = pki.root()
    data = envelope.encrypt(b"hello", view_of(ca.certificate), Cipher.AES128_CBC)
    found = inspect_message(data, key=ca.key)
    assert found.envelope is not None
    assert found.envelope.message_data == b"hello"
    assert codes(found) == ["RFC 8894 3.2.2"]


# ------------------------------------------------------------------ any input

SAMPLES = [path for path in EVERY_FILE if "06-PKI" in path.name or "rfc8894" in str(path)]


@given(st.binary(max_size=300))
def test_any_bytes_are_shown_or_refused(data: bytes) -> None:
    check_any(data)


@mutations.examples(200)
@given(st.sampled_from(SAMPLES).flatmap(lambda path: mutations.of(path.read_bytes())))
def test_any_mutation_of_a_message_is_shown_or_refused(data: bytes) -> None:
    check_any(data)


def check_any(data: bytes) -> None:
    """Nothing but a ScepError comes out, with the keys of one recorded server and its client."""
    conversation = vectors.conversation("ca/enrol-success")
    for key, certificate in (
        (conversation.server.recipient_key, conversation.server.recipient_certificate),
        (conversation.requester_key, conversation.requester_certificate),
    ):
        try:
            found = inspect_message(data, key=key, certificate=certificate, password=b"password")
        except ScepError:
            continue
        json.dumps(to_json(found))
        assert "\x00" not in render_text(found)


@pytest.mark.parametrize(
    ("common_name", "shown"),
    [(b"x" * 70, f"CN={'x' * 70}"), (b"", "CN="), (b"\xff", "#300c310a300806035504030c01ff")],
)
def test_a_name_is_text_also_when_nobody_should_issue_it(common_name: bytes, shown: str) -> None:
    attribute = odd.element(0x30, bytes.fromhex("0603550403"), odd.element(0x0C, common_name))
    name = odd.element(0x30, odd.element(0x31, attribute))
    certificate = odd.der_with_part(pki.root(), odd.SUBJECT, name)
    assert f" {shown} (RSA 2048)" in render_text(inspect_message(certificate))
