"""Messages damaged on the way, and messages rightly signed around nonsense.

What is damaged on the way is refused, or says what it said before.  Behind a good signature, or a
good encryption, a hostile peer may write anything: it is read or refused.  Refused is always with
an error of ours: anything else fails these tests by itself.
"""

from __future__ import annotations

import functools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import cms, envelope, messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.ca_certificates import authenticate
from scepkit.core.certificates import view
from scepkit.core.crl import read_crl
from scepkit.core.csr import read_csr
from scepkit.core.messages import (
    CertRep,
    Failure,
    MessageData,
    Protection,
    StillPending,
    Success,
)
from scepkit.core.trust import CaOffer
from scepkit.errors import ScepError
from tests import cms_writer as w
from tests import mutations, pki
from tests.core.exchange import (
    CA,
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
)
from tests.core.talk import csr, resigned

SMALL = pki.self_signed("small", "rsa1024")
OAEP = Protection(Cipher.DES_EDE3_CBC, Digest.SHA1, KeyTransport.RSA_OAEP_SHA256)
each_data = pytest.mark.parametrize("data", DATA, ids=lambda data: type(data).__name__)
each_reply = pytest.mark.parametrize("reply", REPLIES, ids=str)
Ours = envelope.DecryptionKey | envelope.Password


# ------------------------------------------------------------------ on the way


def decrypted(body: bytes, ours: Ours) -> MessageData:
    return messages.decrypt_request(messages.read_request(body), ours).data


@functools.cache
def request_forms(data: MessageData) -> list[tuple[bytes, Ours]]:
    """A request in different protections, and what decrypts it."""
    return [
        (encode(data, requester=SMALL), key_of(CA)),
        (encode(data, requester=EC_DEVICE, protection=OAEP), key_of(CA)),
        (encode(data, requester=EC_DEVICE, recipient=SECRET), SECRET),
    ]


@functools.cache
def reply_forms(reply: CertRep) -> list[tuple[bytes, Ours]]:
    by_password = request(requester=EC_DEVICE, recipient=SECRET)
    return [
        (seal(reply), key_of(DEVICE)),
        (seal(reply, by=EC_CA, protection=OAEP), key_of(DEVICE)),
        (seal(reply, to=by_password, by=EC_CA, recipient=SECRET), SECRET),
    ]


@each_data
@mutations.examples(120)
@given(drawn=st.data())
def test_damaged_request_is_refused_or_says_the_same(
    data: MessageData, drawn: st.DataObject
) -> None:
    body, ours = drawn.draw(st.sampled_from(request_forms(data)))
    try:
        found = decrypted(drawn.draw(mutations.of(body)), ours)
    except ScepError:
        return
    assert found == data


@each_reply
@mutations.examples(120)
@given(drawn=st.data())
def test_damaged_reply_is_refused_or_says_the_same(reply: CertRep, drawn: st.DataObject) -> None:
    body, ours = drawn.draw(st.sampled_from(reply_forms(reply)))
    try:
        found = open_reply(drawn.draw(mutations.of(body)), signers=[CA, EC_CA], decrypt_with=ours)
    except ScepError:
        return
    assert found == reply


# ------------------------------------------------------------------ behind a good signature


def joined(attributes: dict[str, bytes]) -> bytes:
    return b"".join(sorted(attributes.values()))


def signed_reply(attributes: bytes, content: bytes | None = None) -> bytes:
    """A CertRep with these signed attributes, whatever they are, signed as they are."""
    info = w.signer_info(EC_CA, [attributes], sort=False)
    return w.signed_data(content, [info], [EC_CA.der])


def signed_request(attributes: bytes, content: bytes | None = b"x") -> bytes:
    info = w.signer_info(EC_DEVICE, [attributes], sort=False)
    return w.signed_data(content, [info], [EC_DEVICE.der])


REPLY_ATTRIBUTES = [
    joined(w.reply_attributes(ID, NONCE, status="0", content=None)),
    joined(w.reply_attributes(ID, NONCE, status="3", content=None)),
    joined(
        w.reply_attributes(ID, NONCE, status="2", content=None)
        | {
            "failInfo": w.attribute(w.FAIL_INFO, w.printable("2")),
            "failInfoText": w.attribute(w.FAIL_INFO_TEXT, w.tlv(12, "grün".encode())),
        }
    ),
]


@mutations.examples(500)
@given(mutations.of_any(REPLY_ATTRIBUTES))
def test_any_attributes_of_a_reply_are_read_or_refused(attributes: bytes) -> None:
    try:
        found = open_reply(signed_reply(attributes), signers=[EC_CA])
    except ScepError:
        return
    assert isinstance(found, Failure | StillPending)


@mutations.examples(500)
@given(
    mutations.of_any(
        [
            joined(w.request_attributes(kind, ID, NONCE, content=b"x"))
            for kind in ("17", "19", "20", "21", "22")
        ]
    )
)
def test_any_attributes_of_a_request_are_read_or_refused(attributes: bytes) -> None:
    try:
        read = messages.read_request(signed_request(attributes))
    except ScepError:
        return
    assert 1 <= len(read.transaction_id) <= messages.MAX_TRANSACTION_ID
    assert 1 <= len(read.sender_nonce) <= 64


@functools.cache
def envelopes(data: MessageData) -> list[tuple[bytes, Ours]]:
    """The content of a request under every cipher and key transport, and what decrypts it."""
    content = messages.encode_data(data)
    ciphers = [one for one in Cipher if not one.legacy]
    found: list[tuple[bytes, Ours]] = [
        (envelope.encrypt(content, seen(CA), ciphers[number % len(ciphers)], way), key_of(CA))
        for number, way in enumerate(KeyTransport)
    ]
    return [*found, (envelope.encrypt(content, SECRET, Cipher.AES128_CBC), SECRET)]


@each_data
@mutations.examples(120)
@given(drawn=st.data())
def test_any_envelope_of_a_request_is_decrypted_or_refused(
    data: MessageData, drawn: st.DataObject
) -> None:
    whole, ours = drawn.draw(st.sampled_from(envelopes(data)))
    content = drawn.draw(mutations.of(whole))
    kind = str(int(messages.message_type_of(data)))
    attributes = w.request_attributes(kind, ID, NONCE, content=content)
    try:
        found = decrypted(signed_request(joined(attributes), content), ours)
    except ScepError:
        return
    assert type(found) is type(data)


ENVELOPED = envelope.encrypt(
    cms.certs_only([ISSUED.der], [crl_of(CA)]), seen(DEVICE), Cipher.AES256_CBC
)


@mutations.examples(250)
@given(mutations.of(ENVELOPED))
def test_any_envelope_of_a_reply_is_decrypted_or_refused(content: bytes) -> None:
    attributes = w.reply_attributes(ID, NONCE, status="0", content=content)
    try:
        found = open_reply(
            signed_reply(joined(attributes), content), signers=[EC_CA], allow_legacy=True
        )
    except ScepError:
        return
    assert isinstance(found, Success)


# ------------------------------------------------------------------ behind a good encryption


@mutations.examples(500)
@given(st.sampled_from(DATA[2:]), st.data())
def test_any_message_data_is_read_or_refused(data: MessageData, drawn: st.DataObject) -> None:
    content = drawn.draw(mutations.of(messages.encode_data(data)))
    try:
        found = messages.decode_data(messages.message_type_of(data), content)
    except ScepError:
        return
    assert type(found) is type(data)


EC_CSR = csr(EC_DEVICE.key)
EC_REQUEST = x509.load_der_x509_csr(EC_CSR.der)


@mutations.examples(500)
@given(
    mutations.of(EC_CSR.der)
    | mutations.of(EC_REQUEST.tbs_certrequest_bytes).map(lambda info: resigned(info, EC_DEVICE))
)
def test_any_request_for_a_certificate_is_read_or_refused(der: bytes) -> None:
    try:
        read = read_csr(der)
        read.check_signature()
    except ScepError:
        return
    assert read.der
    assert read.challenge is None or isinstance(read.challenge, str)


EC_ISSUED = pki.device(EC_CA)


@mutations.examples(500)
@given(mutations.of(EC_ISSUED.der))
def test_any_certificate_is_viewed_or_refused(der: bytes) -> None:
    try:
        found = view(der)
        key = found.public_key()
    except ScepError:
        return
    assert found.subject_key_identifier is None or isinstance(found.subject_key_identifier, bytes)
    assert key is not None


CRL = x509.load_der_x509_crl(crl_of(EC_CA, revoked=[5, 6]))
KNOWN = authenticate(
    CaOffer("", None, (EC_CA.certificate, pki.ra(EC_CA).certificate)), EC_CA.certificate, pki.NOW
)


@mutations.examples(400)
@given(mutations.of(CRL.public_bytes(Encoding.DER)))
def test_damaged_crl_is_refused_or_says_the_same(der: bytes) -> None:
    try:
        found = read_crl([der], KNOWN, issuer=EC_CA.name.public_bytes())
    except ScepError:
        return
    assert found.tbs_certlist_bytes == CRL.tbs_certlist_bytes


@mutations.examples(400)
@given(mutations.of(CRL.tbs_certlist_bytes))
def test_any_crl_with_a_good_signature_is_read_or_refused(content: bytes) -> None:
    try:
        found = read_crl([resigned(content, EC_CA)], KNOWN, issuer=EC_CA.name.public_bytes())
    except ScepError:
        return
    assert found.issuer == EC_CA.name
