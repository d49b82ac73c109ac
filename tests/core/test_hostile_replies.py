"""Whole conversations with a CA whose replies are damaged, or rightly signed around nonsense.

Each ends in what was asked for, and in nothing else, or in an error of ours.
"""

from __future__ import annotations

import functools

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import cms, envelope, flows, messages
from scepkit.core.algorithms import Cipher
from scepkit.core.enrolment import EnrolmentResult, Issued, Pending, Rejected
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import CertRep, Failure, StillPending, Success
from scepkit.core.trust import (
    CaVerifier,
    Fingerprint,
    InsecureTrustOnFirstUse,
    PinnedCertificate,
)
from scepkit.errors import ScepError
from tests import cms_writer as w
from tests import mutations, pki
from tests.core.exchange import EC_CA, crl_of
from tests.core.talk import (
    KEY,
    MODERN,
    OWNER,
    Server,
    Talk,
    beginner,
    certified,
    csr,
    enrol,
    resigned,
    response,
)

AGENT = pki.ra(EC_CA, "rsa1024")
REQUEST = csr()
REQUESTER = beginner(REQUEST)
assert REQUEST.subject is not None
CERTIFICATE = certified(REQUEST.subject, KEY.public_key(), EC_CA)
CRL = x509.load_der_x509_crl(crl_of(EC_CA, revoked=[5, 6]))


def talk(server: Server) -> Talk:
    found = Talk(server)
    found.anchor = EC_CA.certificate
    return found


class Hostile(Server):
    """A server whose reply says SUCCESS around any bytes, rightly signed and encrypted."""

    bundle: bytes = b""

    def pki_operation(self, body: bytes) -> bytes:
        asked = messages.read_request(body)
        content = envelope.encrypt(self.bundle, asked.signer, Cipher.AES128_CBC)
        attributes = w.reply_attributes(
            asked.transaction_id, asked.sender_nonce, status="0", content=content
        )
        return w.signed_data(content, [w.signer_info(EC_CA, attributes.values())], [EC_CA.der])


def hostile(bundle: bytes) -> Talk:
    server = Hostile(offered=(EC_CA, AGENT))
    server.bundle = bundle
    return talk(server)


@functools.cache
def known() -> flows.KnownCa:
    return hostile(b"").learn()


# ------------------------------------------------------------------ what is in the reply

#: Damaged bundles, and bundles of a damaged certificate or CRL that the CA has signed all the same.
CERTIFICATES = mutations.of(
    cms.certs_only([CERTIFICATE.public_bytes(Encoding.DER), EC_CA.der])
) | mutations.of(CERTIFICATE.tbs_certificate_bytes).map(
    lambda content: cms.certs_only([resigned(content, EC_CA)])
)
CRLS = mutations.of(cms.certs_only([], [CRL.public_bytes(Encoding.DER)])) | mutations.of(
    CRL.tbs_certlist_bytes
).map(lambda content: cms.certs_only([], [resigned(content, EC_CA)]))


@mutations.examples(300)
@given(bundle=CERTIFICATES)
def test_enrolment_ends_in_a_certificate_for_its_key_or_an_error_of_ours(bundle: bytes) -> None:
    try:
        result = enrol(hostile(bundle), known(), requester=REQUESTER, csr=REQUEST)
    except ScepError:
        return
    assert isinstance(result, Issued)
    assert result.certificate.public_key() == KEY.public_key()
    assert result.chain[-1] == EC_CA.certificate
    assert all(isinstance(one, str) for one in result.warnings)


@mutations.examples(150)
@given(bundle=CERTIFICATES)
def test_getcert_ends_in_the_certificate_asked_for_or_an_error_of_ours(bundle: bytes) -> None:
    asking = flows.get_certificate(known(), CERTIFICATE.serial_number, OWNER, pki.NOW)
    try:
        certificate, _ = hostile(bundle).run(asking)
    except ScepError:
        return
    assert certificate.serial_number == CERTIFICATE.serial_number


@mutations.examples(150)
@given(bundle=CRLS)
def test_getcrl_ends_in_a_crl_of_the_ca_or_an_error_of_ours(bundle: bytes) -> None:
    try:
        found = hostile(bundle).run(flows.get_crl(known(), 5, OWNER, pki.NOW))
    except ScepError:
        return
    assert found.issuer == EC_CA.name


# ------------------------------------------------------------------ the reply itself

ANSWERS: dict[type, CertRep] = {
    Issued: Success((CERTIFICATE.public_bytes(Encoding.DER),)),
    Rejected: Failure(2, "no"),
    Pending: StillPending(),
}


def server_that(answer: CertRep) -> Server:
    return Server(ca=AGENT, signer=EC_CA, answer=lambda _request, _data: answer)


@functools.cache
def waiting() -> Pending:
    result = enrol(talk(server_that(StillPending())), known(), requester=REQUESTER, csr=REQUEST)
    assert isinstance(result, Pending)
    return result


@pytest.mark.parametrize("kind", ANSWERS)
@mutations.examples(100)
@given(drawn=st.data())
def test_damaged_answer_to_a_poll_gives_the_same_result_or_an_error_of_ours(
    kind: type[EnrolmentResult], drawn: st.DataObject
) -> None:
    def damaged(body: bytes) -> HttpResponse:
        return response(drawn.draw(mutations.of(body)))

    server = server_that(ANSWERS[kind])
    server.post = damaged
    asking = flows.poll(known(), waiting(), REQUESTER, pki.NOW, challenge=None)
    try:
        result = talk(server).run(asking)
    except ScepError:
        return
    assert type(result) is kind


# ------------------------------------------------------------------ getting to know the CA

#: Damaged offers, and offers of a damaged RA certificate that the CA has signed all the same.
OFFER = cms.certs_only([EC_CA.der, AGENT.der])
DAMAGED_OFFERS = mutations.of_any([OFFER, EC_CA.der])
RESIGNED_OFFERS = mutations.of(AGENT.certificate.tbs_certificate_bytes).map(
    lambda content: cms.certs_only([EC_CA.der, resigned(content, EC_CA)])
)
VERIFIERS: list[CaVerifier] = [
    PinnedCertificate(EC_CA.certificate),
    Fingerprint(EC_CA.certificate.fingerprint(hashes.SHA256()).hex()),
    InsecureTrustOnFirstUse(),
]


def learnt(offer: bytes, capabilities: bytes, verifier: CaVerifier) -> flows.KnownCa:
    """What a client knows of a server that answers GetCACert and GetCACaps like this."""

    def serve(request: HttpRequest) -> HttpResponse:
        return response(offer if "GetCACert" in request.url else capabilities)

    found = Talk(serve)
    found.anchor = verifier
    return found.learn()


@mutations.examples(300)
@given(
    offer=DAMAGED_OFFERS, capabilities=mutations.of(MODERN), verifier=st.sampled_from(VERIFIERS[:2])
)
def test_damaged_offer_adds_nobody_to_those_who_are_trusted(
    offer: bytes, capabilities: bytes, verifier: CaVerifier
) -> None:
    try:
        found = learnt(offer, capabilities, verifier)
    except ScepError:
        return
    # What no signature covers may be changed; then it is the same certificate all the same.
    trusted = {one.tbs_certificate_bytes for one in found.certificates.certificates}
    assert trusted <= {one.certificate.tbs_certificate_bytes for one in (EC_CA, AGENT)}
    assert not found.protection.cipher.legacy
    assert not found.protection.digest.legacy


@mutations.examples(300)
@given(offer=RESIGNED_OFFERS | DAMAGED_OFFERS, verifier=st.sampled_from(VERIFIERS))
def test_any_offer_gives_a_known_ca_or_an_error_of_ours(offer: bytes, verifier: CaVerifier) -> None:
    try:
        found = learnt(offer, b"", verifier)
    except ScepError:
        return
    assert found.certificates.recipient in found.certificates.certificates
