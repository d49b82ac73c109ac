"""GetCert, GetCRL and GetNextCACert, driven without a socket."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import cms, flows, http
from scepkit.core.algorithms import Digest
from scepkit.core.enrolment import (
    Requester,
)
from scepkit.core.flows import Flow
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import (
    Failure,
    GetCert,
    GetCrl,
    StillPending,
    Success,
)
from scepkit.core.trust import CaOffer
from scepkit.errors import (
    DecodeError,
    FailInfo,
    HttpStatusError,
    InputError,
    NotSupportedError,
    ReplyMismatchError,
    RequestRejectedError,
    SignatureError,
    TrustError,
)
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests import pki
from tests.core.exchange import CA, EC_CA, ISSUED, crl_of, signer
from tests.core.talk import (
    ENDPOINT,
    KEY,
    MODERN,
    OWNER,
    SECRET,
    Server,
    T,
    Talk,
    certified,
    response,
)
from tests.pki import NOW, Identity

# ------------------------------------------------------------------ GetCert and GetCRL


def query(talk: Talk, flow: Callable[..., Flow[T]], serial: int = 77, **options: Any) -> T:
    return talk.run(flow(talk.learn(), serial, OWNER, NOW, **options))


def found_certificate(serial: int = 77, issuer: Identity = CA) -> bytes:
    certificate = certified(pki.name("router1"), KEY.public_key(), issuer, serial)
    return certificate.public_bytes(Encoding.DER)


def test_certificate_is_looked_up() -> None:
    server = Server(answer=lambda *_: Success((CA.der, found_certificate())))
    certificate, chain = query(Talk(server), flows.get_certificate)
    assert certificate.serial_number == 77
    assert chain == (CA.certificate,)
    assert server.asked[0].data == GetCert(CA.name.public_bytes(), 77)


@pytest.mark.parametrize(
    "certificates", [(), (found_certificate(78),), (CA.der, found_certificate(78))]
)
def test_another_certificate_than_was_asked_for_is_refused(
    certificates: tuple[bytes, ...],
) -> None:
    server = Server(answer=lambda *_: Success(certificates))
    with pytest.raises(ReplyMismatchError, match="no certificate with serial number 4d") as caught:
        query(Talk(server), flows.get_certificate)
    assert caught.value.expected == "4d"
    assert (caught.value.found or "").endswith("4e" if certificates else "")


def test_certificate_of_another_issuer_is_refused() -> None:
    server = Server(answer=lambda *_: Success((found_certificate(issuer=EC_CA),)))
    with pytest.raises(ReplyMismatchError):
        query(Talk(server), flows.get_certificate)
    with pytest.raises(TrustError):
        query(Talk(server), flows.get_certificate, issuer=EC_CA.name.public_bytes())


def test_unreadable_certificate_beside_the_one_asked_for_is_left_out() -> None:
    unreadable = odd.der_with_part(ISSUED, odd.SERIAL, w.octets(b"5"))
    server = Server(answer=lambda *_: Success((unreadable, found_certificate())))
    assert query(Talk(server), flows.get_certificate)[0].serial_number == 77


def test_issuer_is_named_as_its_certificate_has_it() -> None:
    name = w.seq(
        w.tlv(0x31, w.seq(w.oid("2.5.4.10"), w.printable("Acme"))),
        w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.printable("Test Root CA"))),
    )
    assert name != CA.name.public_bytes()
    server = Server(answer=lambda *_: Success((found_certificate(),), (crl_of(CA),)))
    query(Talk(server), flows.get_certificate, issuer=name)
    query(Talk(server), flows.get_crl, issuer=name)
    assert {asked.data.issuer for asked in server.asked} == {CA.name.public_bytes()}  # type: ignore[union-attr]


def test_crl_is_looked_up() -> None:
    server = Server(answer=lambda *_: Success((), (crl_of(CA, revoked=[5]),)))
    talk = Talk(server)
    assert [entry.serial_number for entry in query(talk, flows.get_crl, 5)] == [5]
    assert server.asked[0].data == GetCrl(CA.name.public_bytes(), 5)
    request = talk.steps[-1]
    assert isinstance(request, HttpRequest)
    assert request.max_response == http.MAX_CRL_RESPONSE


def test_crl_that_somebody_else_signed_is_refused() -> None:
    server = Server(answer=lambda *_: Success((), (crl_of(EC_CA),)))
    with pytest.raises(SignatureError):
        query(Talk(server), flows.get_crl)
    with pytest.raises(SignatureError):
        query(Talk(server), flows.get_crl, issuer=EC_CA.name.public_bytes())


@pytest.mark.parametrize(
    ("flow", "operation"), [(flows.get_certificate, "GetCert"), (flows.get_crl, "GetCRL")]
)
def test_query_that_is_refused_is_an_error(flow: Any, operation: str) -> None:
    server = Server(answer=lambda *_: Failure(12, "who\nare you"))
    with pytest.raises(
        RequestRejectedError, match=f"the CA refused {operation}: failInfo 12: who are you"
    ) as caught:
        query(Talk(server), flow)
    assert caught.value.fail_info == 12
    assert caught.value.fail_info_text == "who\nare you"
    assert caught.value.transaction_id == server.requests[0].transaction_id
    assert caught.value.hint == ""


def test_query_about_an_unknown_certificate_says_which_number_was_asked_for() -> None:
    server = Server(answer=lambda *_: Failure(FailInfo.BAD_CERT_ID, ""))
    with pytest.raises(RequestRejectedError) as caught:
        query(Talk(server), flows.get_certificate)
    assert "serial number 4d (hexadecimal)" in caught.value.hint


@pytest.mark.parametrize(
    ("flow", "operation"), [(flows.get_certificate, "GetCert"), (flows.get_crl, "GetCRL")]
)
def test_query_that_is_pending_is_an_error(flow: Any, operation: str) -> None:
    server = Server(answer=lambda *_: StillPending())
    with pytest.raises(DecodeError, match=f"answered {operation} with PENDING"):
        query(Talk(server), flow)


def test_query_with_an_ec_key_needs_the_challenge() -> None:
    server = Server(answer=lambda *_: Success((found_certificate(),)))
    owner = pki.device(CA, "ec", "ec256-b")
    talk = Talk(server)
    known, requester = talk.learn(), Requester(owner.certificate, owner.key)
    with pytest.raises(InputError):
        talk.run(flows.get_certificate(known, 77, requester, NOW))
    found, _ = talk.run(flows.get_certificate(known, 77, requester, NOW, challenge=SECRET))
    assert found.serial_number == 77


# ------------------------------------------------------------------ GetNextCACert

NEXT = pki.root("rsa2048-b", "Next CA", not_before=NOW + timedelta(days=10))


def signed_next(by: Identity = CA) -> HttpResponse:
    content = cms.certs_only([NEXT.der])
    return response(cms.sign(content, [], signer(by), Digest.SHA256))


def test_next_ca_that_the_present_one_signed_is_believed() -> None:
    talk = Talk(Server(next_ca=signed_next()))
    assert talk.run(flows.get_next_ca(talk.learn(), NOW)) == (NEXT.certificate,)


def test_next_ca_that_somebody_else_signed_is_refused() -> None:
    talk = Talk(Server(next_ca=signed_next(ISSUED)))
    with pytest.raises(SignatureError):
        talk.run(flows.get_next_ca(talk.learn(), NOW))


def test_next_ca_in_jsceps_form_is_for_a_verifier_to_believe() -> None:
    info = w.signer_info(CA, w.cms_attributes(None).values())
    talk = Talk(Server(next_ca=response(w.signed_data(None, [info], [NEXT.der]))))
    known = talk.learn()
    with pytest.raises(TrustError):
        talk.run(flows.get_next_ca(known, NOW))
    asked: list[CaOffer] = []

    def verifier(offer: CaOffer) -> x509.Certificate:
        asked.append(offer)
        return NEXT.certificate

    found = talk.run(flows.get_next_ca(known, NOW, verifier=verifier))
    assert found == (NEXT.certificate,)
    assert asked == [CaOffer(str(ENDPOINT), None, (NEXT.certificate,))]


def test_next_ca_that_is_not_announced_is_not_asked_for() -> None:
    server = Server(caps=response(b"AES\n"))
    talk = Talk(server)
    known = talk.learn()
    with pytest.raises(NotSupportedError) as caught:
        talk.run(flows.get_next_ca(known, NOW))
    assert caught.value.operation == "GetNextCACert"
    assert [operation for _, operation in server.seen] == ["GetCACert", "GetCACaps", "GetCACaps"]


def test_next_ca_is_asked_for_when_it_is_announced_by_now() -> None:
    server = Server(caps=response(b"AES\n"), next_ca=signed_next())
    talk = Talk(server)
    known = talk.learn()
    server.caps = response(MODERN)
    assert talk.run(flows.get_next_ca(known, NOW)) == (NEXT.certificate,)


def test_next_ca_that_is_announced_and_not_there_is_no_wrong_path() -> None:
    talk = Talk(Server())
    with pytest.raises(NotSupportedError, match=r"announces GetNextCACert, and .* status 404"):
        talk.run(flows.get_next_ca(talk.learn(), NOW))


def test_next_ca_that_is_announced_and_refused_is_an_http_error() -> None:
    talk = Talk(Server(next_ca=response(b"", status=500)))
    with pytest.raises(HttpStatusError, match="answered GetNextCACert with HTTP status 500"):
        talk.run(flows.get_next_ca(talk.learn(), NOW))
