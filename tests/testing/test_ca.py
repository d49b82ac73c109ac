"""The test CA when nothing is wrong: every operation, every kind of CA and requester."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

import scepkit
from scepkit import (
    Cipher,
    Digest,
    FailInfo,
    KeyTransport,
    Pending,
    Preferences,
    Rejected,
    Requester,
    RequestRejectedError,
)
from scepkit.core import http, messages
from scepkit.core.capabilities import Capability
from scepkit.core.http import CA_CERT_TYPE, CA_RA_CERT_TYPE, parse_endpoint
from scepkit.core.messages import MessageType, PkiStatus
from scepkit.errors import InputError, NotSupportedError, TrustError
from scepkit.service import default_requester, parsed_csr
from scepkit.testing import Policy, TestCa
from tests import pki
from tests.testing.driving import (
    QUICKLY,
    RSA,
    URL,
    csr_for,
    enrol,
    issued,
    make_ca,
    make_client,
    passer_by,
    pending,
    requester,
)

KINDS: dict[str, dict[str, Any]] = {
    "rsa": {},
    "rsa with rsa ra": {"ra": "rsa"},
    "rsa with split ra": {"ra": "split"},
    "rsa below a root": {"intermediate": True},
    "rsa below a root with rsa ra": {"intermediate": True, "ra": "rsa"},
    "rsa alone below a root": {"intermediate": True, "single_certificate": True},
    "ec": {"key": "ec:p256"},
    "ec with rsa ra": {"key": "ec:p256", "ra": "rsa"},
    "ec with split ra": {"key": "ec:p384", "ra": "split"},
    "ec with ec ra": {"key": "ec:p256", "ra": "ec"},
    "ed25519 with rsa ra": {"key": "ed25519", "ra": "rsa"},
}


def client_of(ca: TestCa, **options: Any) -> scepkit.Client:
    """A client that trusts the root, or the CA where no root is offered."""
    trust = scepkit.PinnedCertificate(ca.offered[-1])
    return scepkit.Client(URL, trust=trust, transport=ca.transport(), **options)


# ------------------------------------------------------------------ enrolling


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key_name", [RSA, "ec256-a"])
def test_every_kind_of_ca_enrols_every_kind_of_requester(kind: str, key_name: str) -> None:
    ca = make_ca(**KINDS[kind])
    result = issued(enrol(ca, client_of(ca), key_name))
    assert result.certificate == ca.issued[0]
    result.certificate.verify_directly_issued_by(ca.certificate)
    assert result.certificate.public_key() == pki.key(key_name).public_key()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("key_name", [RSA, "ec256-a"])
def test_every_kind_of_ca_lets_poll_and_renew_and_look_up(kind: str, key_name: str) -> None:
    ca = make_ca(**KINDS[kind], pending_polls=1)
    client = client_of(ca)
    csr, key = csr_for(ca, key_name)
    waiting = pending(client.enrol(csr, key))
    certificate = issued(client.poll(waiting, key, challenge="secret")).certificate
    owner = Requester(certificate, key)
    found, chain = client.get_certificate(certificate.serial_number, owner, challenge="secret")
    assert found == certificate
    assert chain[0] == ca.certificate
    crl = client.get_crl(certificate.serial_number, owner, challenge="secret")
    assert list(crl) == []
    ca.policy.pending_polls = 0
    renewed = issued(client.renew(owner, pki.key("rsa2048-a"), challenge="secret"))
    assert renewed.certificate.subject == certificate.subject
    assert [one.message_type for one in ca.messages] == [
        MessageType.PKCS_REQ,
        MessageType.CERT_POLL,
        MessageType.GET_CERT,
        MessageType.GET_CRL,
        MessageType.RENEWAL_REQ,
    ]


def test_a_first_enrolment_takes_three_requests_and_the_next_takes_one() -> None:
    ca = make_ca()
    client = make_client(ca)
    enrol(ca, client)
    assert ca.requests == {"GetCACert": 1, "GetCACaps": 1, "PKIOperation": 1}
    enrol(ca, client, "rsa3072")
    assert ca.requests["PKIOperation"] == 2
    assert ca.requests.total() == 4


def test_what_was_sent_is_remembered() -> None:
    ca = make_ca()
    enrol(ca, make_client(ca))
    (message,) = ca.messages
    assert message.message_type is MessageType.PKCS_REQ
    assert message.method == "POST"
    assert message.csr is not None
    assert message.csr.subject == x509.Name.from_rfc4514_string("CN=router1")
    assert message.challenge == "secret"
    assert message.challenge_matched
    assert message.status is PkiStatus.SUCCESS
    assert message.certificate == ca.issued[0]
    assert message.fail_info is None
    assert message.protection is not None
    assert message.protection.cipher is Cipher.AES128_CBC
    assert messages.read_request(message.request).transaction_id == message.transaction_id
    assert "secret" not in repr(message)


@pytest.mark.parametrize("cipher", [Cipher.AES256_CBC, Cipher.DES_EDE3_CBC])
@pytest.mark.parametrize("digest", [Digest.SHA1, Digest.SHA512])
@pytest.mark.parametrize("transport", [KeyTransport.RSA_PKCS1V15, KeyTransport.RSA_OAEP_SHA1])
def test_the_reply_uses_the_algorithms_of_the_request(
    cipher: Cipher, digest: Digest, transport: KeyTransport
) -> None:
    ca = make_ca()
    wanted = Preferences(cipher=cipher, digest=digest, key_transport=transport)
    issued(enrol(ca, make_client(ca, preferences=wanted)))
    protection = ca.messages[-1].protection
    assert protection is not None
    assert (protection.cipher, protection.digest) == (cipher, digest)
    assert protection.key_transport is transport


def test_get_is_answered_like_post() -> None:
    ca = make_ca()
    issued(enrol(ca, make_client(ca, preferences=Preferences(post=False))))
    assert ca.messages[-1].method == "GET"


def test_profiles_are_remembered_and_change_nothing() -> None:
    ca = make_ca()
    make_client(ca).get_ca_certificates("branch offices")
    assert [exchange.profile for exchange in ca.exchanges] == ["branch offices"] * 2


# ------------------------------------------------------------------ who may enrol


@pytest.mark.parametrize("challenge", [None, "wrong", "secret ", "secre"])
def test_a_wrong_challenge_is_refused(challenge: str | None) -> None:
    ca = make_ca()
    result = enrol(ca, make_client(ca), challenge=challenge)
    assert isinstance(result, Rejected)
    assert result.fail_info is FailInfo.BAD_REQUEST
    assert ca.messages[-1].challenge_matched is False
    assert ca.issued == ()


def test_without_a_challenge_anybody_may_enrol() -> None:
    ca = make_ca(challenge=None)
    issued(enrol(ca, make_client(ca), challenge=None))
    assert ca.messages[-1].challenge_matched is None


def test_a_one_time_challenge_is_good_for_one_enrolment() -> None:
    ca = make_ca(challenge=None)
    client = make_client(ca)
    challenge = ca.new_challenge()
    issued(enrol(ca, client, challenge=challenge))
    assert isinstance(enrol(ca, client, "rsa3072", challenge=challenge), Rejected)


def test_an_ec_ca_opens_a_request_by_a_one_time_challenge() -> None:
    ca = make_ca(key="ec:p256")
    issued(enrol(ca, make_client(ca), challenge=ca.new_challenge()))


def test_a_caught_envelope_signed_by_another_key_is_refused_and_costs_nothing() -> None:
    ca = make_ca(challenge=None)
    challenge = ca.new_challenge()
    csr, key = csr_for(ca, challenge=challenge)
    thief = passer_by("rsa2048-b")
    client = make_client(ca)
    result = client.enrol(csr, key, requester=thief)
    assert isinstance(result, Rejected)
    issued(client.enrol(csr, key))


def test_a_request_whose_own_signature_is_broken_is_refused() -> None:
    ca = make_ca()
    csr, key = csr_for(ca)
    asking = default_requester(parsed_csr(csr), key)
    broken = csr[:-1] + bytes((csr[-1] ^ 1,))
    result = make_client(ca).enrol(broken, key, requester=asking)
    assert isinstance(result, Rejected)
    assert result.fail_info is FailInfo.BAD_MESSAGE_CHECK


def test_a_request_the_profile_refuses_is_refused() -> None:
    ca = make_ca()
    csr, key = csr_for(ca, "rsa1024")
    result = make_client(ca).enrol(csr, key)
    assert isinstance(result, Rejected)
    assert "1024 bits" in result.fail_info_text


def test_it_can_be_told_to_refuse() -> None:
    policy = Policy(reject=messages.Failure(FailInfo.BAD_TIME, "we are closed"))
    ca = make_ca(policy=policy)
    result = enrol(ca, make_client(ca))
    assert isinstance(result, Rejected)
    assert (result.fail_info, result.fail_info_text) == (FailInfo.BAD_TIME, "we are closed")
    assert ca.messages[-1].fail_info is FailInfo.BAD_TIME


def test_algorithms_can_be_ruled_out() -> None:
    policy = Policy(ciphers=frozenset({Cipher.DES_EDE3_CBC}), digests=frozenset({Digest.SHA1}))
    ca = make_ca(policy=policy)
    issued(enrol(ca, make_client(ca)))
    result = enrol(ca, make_client(ca, preferences=Preferences(cipher=Cipher.AES128_CBC)))
    assert isinstance(result, Rejected)
    assert result.fail_info is FailInfo.BAD_ALG


# ------------------------------------------------------------------ waiting


def test_a_request_is_pending_until_it_was_polled_often_enough() -> None:
    ca = make_ca(pending_polls=3)
    client = make_client(ca)
    csr, key = csr_for(ca)
    waiting = pending(client.enrol(csr, key))
    assert isinstance(client.poll(waiting, key), Pending)
    assert isinstance(client.poll(waiting, key), Pending)
    issued(client.poll(waiting, key))
    assert [one.status for one in ca.messages] == [PkiStatus.PENDING] * 3 + [PkiStatus.SUCCESS]


def test_a_person_approves() -> None:
    ca = make_ca(manual=True)
    client = make_client(ca)
    csr, key = csr_for(ca)
    waiting = pending(client.enrol(csr, key))
    assert isinstance(client.poll(waiting, key), Pending)
    assert ca.transactions[0].pending
    certificate = ca.approve()
    assert issued(client.poll(waiting, key)).certificate == certificate
    assert ca.approve(waiting.transaction_id) == certificate


def test_a_person_denies() -> None:
    ca = make_ca(manual=True)
    client = make_client(ca)
    csr, key = csr_for(ca)
    waiting = pending(client.enrol(csr, key))
    ca.deny(waiting.transaction_id, FailInfo.BAD_CERT_ID, "who are you?")
    result = client.wait(waiting, key, QUICKLY)
    assert isinstance(result, Rejected)
    assert result.reason == "badCertId (4): who are you?"


def test_which_request_is_meant_must_be_clear() -> None:
    ca = make_ca(manual=True)
    with pytest.raises(InputError, match="0 transactions"):
        ca.approve()
    with pytest.raises(InputError, match="no transaction"):
        ca.deny("nothing")


def test_the_same_request_again_is_the_same_transaction() -> None:
    ca = make_ca(manual=True)
    client = make_client(ca)
    csr, key = csr_for(ca)
    first = pending(client.enrol(csr, key))
    again = pending(client.enrol(csr, key))
    assert first.transaction_id != again.transaction_id
    assert len(ca.transactions) == 1
    ca.approve()
    assert (
        issued(client.poll(first, key)).certificate == issued(client.poll(again, key)).certificate
    )


def test_the_same_request_after_the_certificate_gets_the_same_certificate() -> None:
    ca = make_ca(challenge=None)
    client = make_client(ca)
    csr, key = csr_for(ca, challenge=ca.new_challenge())
    assert issued(client.enrol(csr, key)).certificate == issued(client.enrol(csr, key)).certificate
    assert len(ca.issued) == 1


def test_a_poll_by_somebody_else_is_refused() -> None:
    ca = make_ca(manual=True)
    client = make_client(ca)
    csr, key = csr_for(ca)
    client.enrol(csr, key)
    reply = ask(ca, messages.CertPoll(name(ca), name(ca)), ca.messages[-1].transaction_id)
    assert isinstance(reply, messages.Failure)
    assert reply.fail_info is FailInfo.BAD_MESSAGE_CHECK


def test_a_poll_for_nothing_is_refused() -> None:
    ca = make_ca()
    reply = ask(ca, messages.CertPoll(name(ca), name(ca)), "never heard of")
    assert isinstance(reply, messages.Failure)
    assert reply.fail_info is FailInfo.BAD_CERT_ID


def test_a_transaction_id_cannot_be_used_for_another_request() -> None:
    ca = make_ca()
    enrol(ca, make_client(ca), "rsa3072")
    csr, _ = csr_for(ca, "rsa2048-b")
    reply = ask(ca, messages.PkcsReq(csr), ca.messages[-1].transaction_id)
    assert isinstance(reply, messages.Failure)
    assert "belongs to another request" in reply.fail_info_text


def name(ca: TestCa) -> bytes:
    return ca.certificate.subject.public_bytes()


def ask(ca: TestCa, data: messages.MessageData, transaction_id: str) -> messages.CertRep:
    """One message from a passer-by with an RSA key, without a client around it."""
    from scepkit.core.certificates import view_of

    asking = passer_by("rsa2048-b")
    nonce = messages.new_nonce()
    body = messages.encode_request(
        data,
        transaction_id=transaction_id,
        sender_nonce=nonce,
        signer=asking.signer(),
        recipient=view_of(ca.certificate),
        protection=messages.Protection(),
        signing_time=datetime.now(UTC),
    )
    request = http.pki_operation_request(parse_endpoint(URL), body, post=True)
    return messages.open_reply(
        ca.handle(request).body,
        transaction_id=transaction_id,
        sender_nonce=nonce,
        signers=[view_of(ca.certificate)],
        decrypt_with=asking.decryption_key(),
    )


# ------------------------------------------------------------------ renewing


def test_a_renewal_needs_no_challenge_and_may_keep_its_key() -> None:
    ca = make_ca()
    owner = requester(ca)
    renewed = issued(make_client(ca).renew(owner, pki.key(RSA))).certificate
    assert renewed.public_key() == owner.certificate.public_key()
    assert renewed.serial_number != owner.certificate.serial_number
    assert ca.messages[-1].message_type is MessageType.RENEWAL_REQ


def test_a_renewal_by_pkcsreq_is_one_too() -> None:
    ca = make_ca(capabilities=[Capability.AES, "SHA-256", "POSTPKIOperation"])
    issued(make_client(ca).renew(requester(ca), pki.key("rsa3072")))
    assert ca.messages[-1].message_type is MessageType.PKCS_REQ


def test_a_revoked_certificate_does_not_renew() -> None:
    ca = make_ca()
    owner = requester(ca)
    ca.revoke(owner.certificate, x509.ReasonFlags.superseded)
    result = make_client(ca).renew(owner, pki.key("rsa3072"))
    assert isinstance(result, Rejected)
    assert "revoked" in result.fail_info_text


def test_an_expired_certificate_does_not_renew() -> None:
    clock = Clock()
    ca = make_ca(clock=clock)
    owner = requester(ca)
    clock.moment += timedelta(days=91)
    result = make_client(ca).renew(owner, pki.key("rsa3072"))
    assert isinstance(result, Rejected)
    assert "out of date" in result.fail_info_text


class Clock:
    """A clock that can be set."""

    def __init__(self) -> None:
        self.moment = datetime.now(UTC)

    def __call__(self) -> datetime:
        return self.moment


def test_a_certificate_of_another_ca_does_not_renew() -> None:
    ca = make_ca()
    other = requester(make_ca(key=pki.key("rsa2048-b")))
    result = make_client(ca).renew(other, pki.key("rsa3072"))
    assert isinstance(result, Rejected)
    assert result.fail_info is FailInfo.BAD_MESSAGE_CHECK


def test_a_self_signed_certificate_does_not_renew() -> None:
    ca = make_ca()
    csr, _ = csr_for(ca, "rsa2048-b")
    reply = ask(ca, messages.RenewalReq(csr), "renewal of nothing")
    assert isinstance(reply, messages.Failure)
    assert "certificate of this CA" in reply.fail_info_text


def test_a_renewal_keeps_its_subject() -> None:
    ca = make_ca()
    owner = requester(ca)
    csr, key = csr_for(ca, "rsa3072", "CN=another")
    result = make_client(ca).renew(owner, key, csr=csr)
    assert isinstance(result, Rejected)
    assert "subject" in result.fail_info_text


def test_renewal_can_be_ruled_out() -> None:
    ca = make_ca(policy=Policy(renewal=False))
    assert not make_client(ca).get_capabilities().renewal
    result = make_client(ca).renew(requester(ca), pki.key("rsa3072"))
    assert isinstance(result, Rejected)


# ------------------------------------------------------------------ queries


def test_a_crl_has_what_was_revoked() -> None:
    ca = make_ca()
    owner = requester(ca)
    ca.revoke(owner.certificate, x509.ReasonFlags.key_compromise)
    crl = make_client(ca).get_crl(owner.certificate.serial_number, passer_by())
    assert [entry.serial_number for entry in crl] == [owner.certificate.serial_number]
    again = make_client(ca).get_crl(owner.certificate.serial_number, passer_by())
    assert crl_number(again) == crl_number(crl) + 1


def crl_number(crl: x509.CertificateRevocationList) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def test_what_was_not_issued_is_not_found() -> None:
    ca = make_ca()
    with pytest.raises(RequestRejectedError) as caught:
        make_client(ca).get_certificate(42, passer_by())
    assert caught.value.fail_info is FailInfo.BAD_CERT_ID


def test_another_issuer_has_nothing_here() -> None:
    ca = make_ca()
    own = requester(ca)
    for ask_for in (make_client(ca).get_crl, make_client(ca).get_certificate):
        with pytest.raises(RequestRejectedError):
            ask_for(own.certificate.serial_number, own, issuer=pki.name("Another"))


# ------------------------------------------------------------------ what it says of itself


def test_one_certificate_comes_as_it_is_and_several_as_a_bundle() -> None:
    assert ca_cert_type(make_ca()) == CA_CERT_TYPE
    assert ca_cert_type(make_ca(intermediate=True, single_certificate=True)) == CA_CERT_TYPE
    assert ca_cert_type(make_ca(intermediate=True)) == CA_RA_CERT_TYPE
    assert ca_cert_type(make_ca(ra="rsa")) == CA_RA_CERT_TYPE


def ca_cert_type(ca: TestCa) -> str:
    return ca.handle(http.ca_cert_request(parse_endpoint(URL))).content_type


def test_a_split_ra_stands_before_its_ca_signing_half_first() -> None:
    ca = make_ca(ra="split")
    usages = [one.extensions.get_extension_for_class(x509.KeyUsage).value for one in ca.offered]
    assert usages[0] == pki.usage("digital_signature")
    assert usages[1] == pki.usage("key_encipherment")
    assert ca.offered[2] == ca.certificate


def test_it_announces_what_it_can() -> None:
    ca = make_ca()
    announced = make_client(ca).get_capabilities()
    assert announced.words == set(Capability) - {Capability.GET_NEXT_CA_CERT}
    assert announced.scep_standard
    ca.policy.digests = frozenset({Digest.SHA512})
    assert Capability.SCEP_STANDARD not in make_client(ca).get_capabilities().words


def test_capabilities_can_be_dictated() -> None:
    ca = make_ca(capabilities=b"AES\r\nFoo\r\n")
    announced = make_client(ca).get_capabilities()
    assert announced.words == {Capability.AES}
    assert announced.unknown == ("Foo",)


def test_the_fingerprint_is_that_of_the_root() -> None:
    ca = make_ca(intermediate=True)
    trust = scepkit.Fingerprint(ca.fingerprint)
    client = scepkit.Client(URL, trust=trust, transport=ca.transport())
    assert client.get_ca_certificates().ca == ca.certificate


def test_another_fingerprint_stops_the_client() -> None:
    ca = make_ca()
    trust = scepkit.Fingerprint(make_ca(key="ec:p256").fingerprint)
    client = scepkit.Client(URL, trust=trust, transport=ca.transport())
    with pytest.raises(TrustError):
        enrol(ca, client)
    assert ca.messages == []


# ------------------------------------------------------------------ rollover


@pytest.mark.parametrize("options", [{}, {"intermediate": True}, {"ra": "rsa"}])
def test_the_next_ca_is_introduced_by_the_present_one(options: dict[str, Any]) -> None:
    ca = make_ca(**options)
    following = ca.stage_next_ca(pki.key("rsa3072"))
    assert ca.next_certificate == following
    assert following in make_client(ca).get_next_ca_certificates()


def test_without_a_next_ca_there_is_nothing_to_get() -> None:
    ca = make_ca()
    with pytest.raises(NotSupportedError):
        make_client(ca).get_next_ca_certificates()
    assert ca.handle(http.next_ca_request(parse_endpoint(URL))).status == 404
    with pytest.raises(InputError, match="stage_next_ca"):
        ca.activate_next_ca()


def test_the_next_ca_takes_over_and_renews_what_the_old_one_issued() -> None:
    ca = make_ca()
    owner = requester(ca)
    following = ca.stage_next_ca(pki.key("rsa3072"))
    ca.activate_next_ca()
    assert ca.certificate == following
    renewed = issued(make_client(ca).renew(owner, pki.key("rsa2048-b"))).certificate
    renewed.verify_directly_issued_by(following)


def test_what_is_encrypted_to_the_next_ca_is_issued_by_it() -> None:
    ca = make_ca()
    following = ca.stage_next_ca(pki.key("rsa3072"))
    early = scepkit.Client(
        URL, trust=scepkit.PinnedCertificate(following), transport=Offering(ca, following)
    )
    csr, key = csr_for(ca)
    # Its reply is signed by the present CA, whom this client does not know.
    with pytest.raises(scepkit.SignatureError):
        early.enrol(csr, key)
    ca.issued[0].verify_directly_issued_by(following)


class Offering:
    """A way to the CA on which GetCACert has another answer."""

    def __init__(self, ca: TestCa, certificate: x509.Certificate) -> None:
        self._inner = ca.transport()
        self._certificate = certificate

    def exchange(self, request: http.HttpRequest) -> http.HttpResponse:
        response = self._inner.exchange(request)
        if "GetCACert" in request.url:
            from cryptography.hazmat.primitives.serialization import Encoding

            body = self._certificate.public_bytes(Encoding.DER)
            return http.HttpResponse(200, body, response.received_at, CA_CERT_TYPE)
        return response

    def close(self) -> None:
        self._inner.close()


# ------------------------------------------------------------------ HTTP and misuse


@pytest.mark.parametrize(
    ("method", "target", "status"),
    [
        ("GET", "/scep?operation=GetCACaps", 200),
        ("GET", "/anything/pkiclient.exe?operation=getcacaps&message=x", 200),
        ("GET", "/scep?operation=GetCACert&message=", 200),
        ("GET", "/scep?operation=Nonsense", 400),
        ("GET", "/scep", 400),
        ("GET", "/scep/printers?operation=GetCACaps", 200),
        ("GET", "/certsrv/mscep/mscep.dll?operation=GetCACaps", 200),
        ("GET", "http://ca.test/scep?operation=GetCACaps", 200),
        ("GET", "http://ca.test?operation=GetCACaps", 404),
        ("GET", "//[", 404),
        ("GET", "/?operation=GetCACaps", 404),
        ("GET", "/scepter?operation=GetCACaps", 404),
        ("POST", "/enrol?operation=PKIOperation", 404),
        ("GET", "/scep?operation=PKIOperation", 400),
        ("GET", "/scep?operation=PKIOperation&message=%%%", 400),
        ("GET", "/scep?operation=PKIOperation&message=MAA=", 400),
        ("GET", "/scep?operation=GetCACert&message=%FF", 400),
        ("GET", "/scep?operation=GetCACaps&operation=GetCACert", 400),
        ("POST", "/scep?operation=GetCACaps", 405),
        ("POST", "/scep", 400),
        ("DELETE", "/scep?operation=GetCACaps", 405),
    ],
)
def test_http_is_answered_with_a_fitting_status(method: str, target: str, status: int) -> None:
    ca = make_ca()
    assert ca.answer(method, target).status == status
    assert ca.exchanges[-1].status == status


def test_a_post_without_an_operation_is_a_pki_operation() -> None:
    ca = make_ca()
    enrol(ca, make_client(ca))
    answer = ca.answer("POST", "/scep", ca.messages[-1].request)
    assert answer.content_type == http.PKI_MESSAGE_TYPE
    assert len(ca.issued) == 1


def test_an_unknown_kind_of_key_is_refused() -> None:
    for key in ("dsa", "rsa:512", "ec:p192"):
        with pytest.raises(InputError, match=key):
            TestCa(key=key)


def test_an_unknown_kind_of_ra_is_refused() -> None:
    with pytest.raises(InputError, match="two keys"):
        make_ca(ra="split", ra_keys=(pki.key(),))
    with pytest.raises(InputError, match="no RA mode"):
        make_ca(ra="both")


def test_what_is_in_the_policy_is_not_said_again() -> None:
    with pytest.raises(InputError, match="in the policy"):
        make_ca(policy=Policy(), manual=True)


def test_making_a_certificate_obeys_the_profile() -> None:
    with pytest.raises(InputError, match="1024 bits"):
        make_ca().issue(key=pki.key("rsa1024"))


def test_a_requester_whose_key_cannot_decrypt_needs_a_secret() -> None:
    ca = make_ca(challenge=None)
    asking = passer_by("ec256-a")
    assert isinstance(asking.key, ec.EllipticCurvePrivateKey)
    client = make_client(ca)
    with pytest.raises(InputError, match="challengePassword"):
        enrol(ca, client, "ec256-a", challenge=None)
    # The client has a secret, and the CA knows none.
    with pytest.raises(RequestRejectedError) as caught:
        client.get_crl(1, asking, challenge="made up")
    assert caught.value.fail_info is FailInfo.BAD_ALG


def test_pytest_does_not_take_it_for_a_test() -> None:
    assert TestCa.__test__ is False
