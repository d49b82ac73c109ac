"""What was demonstrated with jscep's client and server, and what happens here instead.

Accepted forgeries, exceptions that are no errors of the library's, and what is forgotten.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest

from scepkit import (
    Client,
    DecodeError,
    Issued,
    Pending,
    Rejected,
    ReplyMismatchError,
    Requester,
    ScepError,
    SignatureError,
)
from scepkit.core.http import HttpResponse
from scepkit.core.messages import MessageType, RenewalReq
from scepkit.errors import FailInfo
from tests import cms_writer as w
from tests import pki
from tests.core.exchange import CA, EC_CA
from tests.core.talk import KEY, Server, Talk, csr, enrol, response
from tests.pki import Identity
from tests.testing.driving import issued, make_ca, make_client, requester


def test_a_reply_without_a_content_type_is_read() -> None:
    server = Server(post=lambda body: HttpResponse(200, body, pki.NOW, content_type=""))
    assert isinstance(enrol(Talk(server)), Issued)


def test_a_reply_that_is_played_again_is_refused_however_often() -> None:
    # jscep remembers nonces, and forgets them with a garbage collection.
    server = Server()
    talk = Talk(server)
    known = talk.learn()
    kept: list[bytes] = []

    def keep(body: bytes) -> HttpResponse:
        kept.append(body)
        return response(body)

    server.post = keep
    assert isinstance(enrol(talk, known, transaction_id="same"), Issued)
    server.post = lambda _: response(kept[0])
    for _ in range(3):
        with pytest.raises(ReplyMismatchError) as caught:
            enrol(talk, known, transaction_id="same")
        assert caught.value.field == "recipientNonce"


def reply_with(
    changes: Callable[[dict[str, bytes]], None], status: str = "3"
) -> Callable[[], object]:
    """An enrolment that is answered by the CA with these signed attributes."""
    server = Server()

    def post(_: bytes) -> HttpResponse:
        request = server.requests[-1]
        signed = w.reply_attributes(
            request.transaction_id, request.sender_nonce, status=status, content=None
        )
        changes(signed)
        return response(w.signed_data(None, [w.signer_info(CA, signed.values())], [CA.der]))

    server.post = post
    talk = Talk(server)
    return lambda: enrol(talk)


@pytest.mark.parametrize(
    ("name", "error"),
    [
        ("transactionID", ReplyMismatchError),
        ("messageType", ReplyMismatchError),
        ("recipientNonce", ReplyMismatchError),
        ("pkiStatus", DecodeError),
    ],
)
def test_no_missing_attribute_is_anything_but_a_typed_error(
    name: str, error: type[ScepError]
) -> None:
    def change(signed: dict[str, bytes]) -> None:
        del signed[name]

    with pytest.raises(error):
        reply_with(change)()


@pytest.mark.parametrize(
    ("name", "oid", "value", "error"),
    [
        ("messageType", w.MESSAGE_TYPE, "17", ReplyMismatchError),
        ("pkiStatus", w.PKI_STATUS, "x", DecodeError),
        ("pkiStatus", w.PKI_STATUS, "1", DecodeError),
    ],
)
def test_no_unknown_value_is_anything_but_a_typed_error(
    name: str, oid: str, value: str, error: type[ScepError]
) -> None:
    def change(signed: dict[str, bytes]) -> None:
        signed[name] = w.attribute(oid, w.printable(value))

    with pytest.raises(error, match=f"'{value}'"):
        reply_with(change)()


@pytest.mark.parametrize("nonce", [None, b""])
def test_the_servers_own_nonce_may_be_missing_or_empty(nonce: bytes | None) -> None:
    def change(signed: dict[str, bytes]) -> None:
        del signed["senderNonce"]
        if nonce is not None:
            signed["senderNonce"] = w.attribute(w.SENDER_NONCE, w.octets(nonce))

    assert isinstance(reply_with(change)(), Pending)


@pytest.mark.parametrize(("number", "known"), [("99", 99), ("2", FailInfo.BAD_REQUEST)])
def test_an_unknown_fail_info_stays_what_it_is(number: str, known: int) -> None:
    def change(signed: dict[str, bytes]) -> None:
        signed["failInfo"] = w.attribute(w.FAIL_INFO, w.printable(number))

    result = reply_with(change, status="2")()
    assert isinstance(result, Rejected)
    assert result.fail_info == known


def test_a_reply_without_signed_attributes_is_refused() -> None:
    server = Server(
        post=lambda _: response(w.signed_data(None, [w.signer_info(CA, None)], [CA.der]))
    )
    with pytest.raises((SignatureError, DecodeError)):
        enrol(Talk(server))


@pytest.mark.parametrize("content_type", ["text/html", "application/octet-stream", ""])
@pytest.mark.parametrize("body", [b"", bytes(range(256)), b"<html><title>Oh</title></html>"])
def test_a_body_that_is_no_reply_is_a_decode_error(body: bytes, content_type: str) -> None:
    answer = HttpResponse(200, body, pki.NOW, content_type=content_type)
    with pytest.raises(DecodeError) as caught:
        enrol(Talk(Server(instead=[answer])))
    assert caught.value.title == ("Oh" if b"<title>" in body else "")


@pytest.mark.parametrize(
    ("ask", "fault"),
    [
        *itertools.product(
            [Client.get_crl, Client.get_certificate],
            ["nonce-missing", "recipient-nonce-wrong", "transaction-id-missing",
             "transaction-id-wrong"],
        ),
        (Client.get_crl, "query-pending"),
    ],
)  # fmt: skip
def test_queries_are_checked_like_enrolments(ask: Callable[..., object], fault: str) -> None:
    ca = make_ca(faults=[fault])
    own = requester(ca)
    with make_client(ca) as client, pytest.raises((ReplyMismatchError, DecodeError)) as caught:
        ask(client, own.certificate.serial_number, own)
    if isinstance(caught.value, ReplyMismatchError):
        assert caught.value.field in {"recipientNonce", "transactionID"}


@pytest.mark.parametrize("ra", ["none", "rsa", "split"])
def test_the_next_ca_is_the_next_one_and_not_the_present_one(ra: str) -> None:
    # jscep hands out the signer's certificate, and refuses its own server with split RAs.
    ca = make_ca(ra=ra)
    following = ca.stage_next_ca("ec:p256")
    with make_client(ca) as client:
        found = client.get_next_ca_certificates()
    assert following in found
    assert ca.certificate not in found


def issued_by(issuer: Identity, key_name: str) -> Requester:
    """A device with an RSA key and a certificate of that CA."""
    device = pki.device(issuer, "router1", key_name)
    return Requester(device.certificate, device.key, (issuer.certificate,))


@pytest.mark.parametrize(
    "issuer",
    [EC_CA, pki.root("rsa3072", "Bigger CA"), pki.root("ec384", "EC-384 CA")],
    ids=["EC", "RSA-3072", "EC-384"],
)
def test_a_certificate_of_any_kind_of_ca_renews(issuer: Identity) -> None:
    # jscep fails over whether a certificate that an EC CA has issued is self-signed.
    server = Server()
    found = enrol(Talk(server), csr=csr(), requester=issued_by(issuer, "rsa2048-b"))
    assert isinstance(found, Issued)
    assert found.certificate.public_key() == KEY.public_key()
    assert isinstance(server.asked[0].data, RenewalReq)
    assert server.requests[0].certificates[1] == issuer.der


def test_the_owner_of_a_certificate_of_an_ec_ca_renews_over_the_whole_client() -> None:
    ca = make_ca(key="ec:p256", ra="rsa")
    certificate, key = ca.issue("CN=router1", key=pki.key("rsa2048-c"))
    with make_client(ca) as client:
        found = issued(client.renew(Requester(certificate, key), pki.rsa_key("rsa3072")))
    assert found.certificate.public_key() == pki.key("rsa3072").public_key()
    assert ca.messages[-1].message_type is MessageType.RENEWAL_REQ
