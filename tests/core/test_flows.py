"""Getting to know a CA, and enrolling, driven without a socket."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from scepkit.core import flows, messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.capabilities import Capabilities, Capability
from scepkit.core.csr import read_csr
from scepkit.core.enrolment import (
    Issued,
    Pending,
    Rejected,
    Requester,
)
from scepkit.core.envelope import Password
from scepkit.core.flows import Preferences, Started, VerifyCa
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import (
    CertRep,
    DecryptedRequest,
    Failure,
    PkcsReq,
    RenewalReq,
    Request,
    StillPending,
    Success,
)
from scepkit.core.trust import CaOffer
from scepkit.errors import (
    DecodeError,
    FailInfo,
    HttpStatusError,
    InputError,
    ReplyMismatchError,
    SignatureError,
    TransportError,
    TrustError,
)
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests import pki
from tests.core.exchange import CA, EC_CA, ISSUED, seen, signer
from tests.core.talk import (
    EC_KEY,
    ENDPOINT,
    HTML,
    KEY,
    MODERN,
    OWNER,
    SECRET,
    Answer,
    Server,
    Talk,
    beginner,
    certified,
    csr,
    enrol,
    issue,
    response,
)
from tests.pki import NOW, Identity

# ------------------------------------------------------------------ getting to know the CA


def test_ca_is_verified_before_anything_else_is_asked() -> None:
    talk = Talk(Server())
    known = talk.learn()
    assert talk.kinds() == ["HttpRequest", "VerifyCa", "HttpRequest"]
    assert known.certificates.ca == CA.certificate
    assert known.signers == (seen(CA),)
    assert known.recipient == seen(CA)
    assert known.capabilities.post
    assert known.issuer_name == CA.name.public_bytes()
    verify = talk.steps[1]
    assert isinstance(verify, VerifyCa)
    assert verify.offer == CaOffer(str(ENDPOINT), None, (CA.certificate,))


@pytest.mark.parametrize("anchor", [None, True, "yes", CA.der])
def test_verifier_that_vouches_for_no_certificate_is_not_believed(anchor: Any) -> None:
    talk = Talk(Server())
    talk.anchor = anchor
    with pytest.raises(TrustError, match="expected the certificate it vouches for") as caught:
        talk.learn()
    assert "AcceptIf" in caught.value.hint


def test_verifier_that_vouches_for_another_ca_is_believed_and_this_one_is_not() -> None:
    talk = Talk(Server())
    talk.anchor = EC_CA.certificate
    with pytest.raises(TrustError):
        talk.learn()
    assert talk.kinds() == ["HttpRequest", "VerifyCa"]


@pytest.mark.parametrize("status", [400, 401, 403, 404, 500, 503])
def test_ca_certificate_that_is_not_given_is_an_http_error(status: int) -> None:
    talk = Talk(lambda _: response(HTML, status, retry_after="7"))
    with pytest.raises(HttpStatusError, match=f"HTTP status {status}: 'Please log in'") as caught:
        talk.learn()
    assert caught.value.status == status
    assert caught.value.retry_after == 7
    assert caught.value.excerpt == "Please log in"
    assert caught.value.url == str(ENDPOINT)
    assert bool(caught.value.hint) == (status in {401, 403, 404, 503})


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize(
    ("asked", "hinted"), [("120", "try again in 120 s, as it asks for"), ("", "try again later")]
)
def test_busy_server_is_said_to_be_and_when_to_ask_again(
    status: int, asked: str, hinted: str
) -> None:
    talk = Talk(lambda _: response(HTML, status, retry_after=asked))
    with pytest.raises(HttpStatusError) as caught:
        talk.learn()
    assert caught.value.hint.endswith(hinted)


def test_page_instead_of_a_ca_certificate_is_named() -> None:
    with pytest.raises(DecodeError) as caught:
        Talk(lambda _: response(HTML)).learn()
    assert caught.value.title == "Please log in"


def caps(answer: HttpResponse | TransportError) -> Capabilities:
    return Talk(lambda _: answer).run(flows.get_capabilities(ENDPOINT, None))


@pytest.mark.parametrize("status", [301, 302, 400, 401, 403, 404, 405, 500, 501])
def test_server_that_has_no_capabilities_to_tell_has_none(status: int) -> None:
    found = caps(response(MODERN, status))
    assert found == Capabilities(source="http-error")
    assert found.strongest_cipher is Cipher.DES_EDE3_CBC
    assert found.preferred_digest is Digest.SHA1
    assert not found.post


@pytest.mark.parametrize("status", [408, 429, 502, 503, 504, 599])
def test_server_that_is_away_is_not_one_without_capabilities(status: int) -> None:
    with pytest.raises(HttpStatusError) as caught:
        caps(response(b"", status, retry_after="5"))
    assert caught.value.retry_after == 5


@pytest.mark.parametrize("kind", ["closed", "protocol", "too-large"])
def test_connection_closed_on_getcacaps_means_no_capabilities(kind: str) -> None:
    assert caps(TransportError("closed", kind=kind)) == Capabilities(source="closed")


@pytest.mark.parametrize("kind", ["dns", "refused", "timeout", "tls", "proxy", "redirect"])
def test_server_that_is_not_reached_is_an_error(kind: str) -> None:
    with pytest.raises(TransportError) as caught:
        caps(TransportError("gone", kind=kind))
    assert caught.value.kind == kind


def test_capabilities_that_are_required_must_be_there() -> None:
    with pytest.raises(TrustError, match="does not announce SHA-512, which was required"):
        Talk(Server()).learn(required=frozenset({Capability.SHA512, Capability.AES}))
    known = Talk(Server()).learn(required=frozenset({Capability.AES}))
    assert known.preferences.required == {Capability.AES}


@pytest.mark.parametrize(
    ("later", "missing"),
    [
        (b"DES3\nSHA-1\n", "AES, POSTPKIOperation, SHA-256"),
        (b"AES\nPOSTPKIOperation\nSHA-1\n", "SHA-256"),
        (b"", "AES, POSTPKIOperation, SHA-256"),
    ],
)
def test_capabilities_that_were_there_before_must_be_there_again(
    later: bytes, missing: str
) -> None:
    server = Server(caps=response(b"SCEPStandard\n"))
    talk = Talk(server)
    before = talk.learn()
    server.caps = response(later)
    with pytest.raises(TrustError, match=f"does not announce {missing}, which was announced"):
        talk.run(flows.learn_ca(ENDPOINT, None, Preferences(), NOW, before))
    server.caps = response(b"AES\nPOSTPKIOperation\nSHA-256\n")
    again = talk.run(flows.learn_ca(ENDPOINT, None, Preferences(), NOW, before))
    assert not again.capabilities.scep_standard


def test_rsa_key_to_encrypt_to_is_missed_after_a_refresh() -> None:
    server = Server(offered=(EC_CA, pki.ra(EC_CA)))
    talk = Talk(server)
    talk.anchor = EC_CA.certificate
    before = talk.learn()
    server.offered = (EC_CA,)
    with pytest.raises(TrustError, match="does not offer an RSA key to encrypt to any more"):
        talk.run(flows.learn_ca(ENDPOINT, None, Preferences(), NOW, before))
    server.offered = (EC_CA, pki.ra(EC_CA, "rsa1024"))
    again = talk.run(flows.learn_ca(ENDPOINT, None, Preferences(), NOW, before))
    assert again.recipient != before.recipient


def test_driver_that_answers_something_else_is_told_so() -> None:
    flow = flows.get_capabilities(ENDPOINT, None)
    flow.send(None)
    with pytest.raises(TypeError, match="no HttpResponse"):
        flow.send(None)


# ------------------------------------------------------------------ enrolling


def test_certificate_is_issued() -> None:
    server = Server()
    talk = Talk(server)
    found = enrol(talk)
    assert isinstance(found, Issued)
    assert found.certificate.public_key() == KEY.public_key()
    assert found.chain == (CA.certificate,)
    assert found.certificates == (found.certificate,)
    assert found.warnings == ()
    assert found.transaction_id == server.requests[0].transaction_id
    assert talk.kinds() == ["HttpRequest", "VerifyCa", "HttpRequest", "Started", "HttpRequest"]
    assert server.seen[-1] == ("POST", "PKIOperation")
    assert server.requests[0].signer.subject == found.certificate.subject.public_bytes()


def test_second_enrolment_needs_one_request() -> None:
    talk = Talk(Server())
    known = talk.learn()
    talk.steps.clear()
    assert isinstance(enrol(talk, known), Issued)
    assert talk.kinds() == ["Started", "HttpRequest"]


def test_what_is_needed_to_resume_is_told_just_before_the_request_leaves() -> None:
    server = Server(answer=lambda *_: StillPending(), post=lambda body: response(body))
    talk = Talk(server)
    found = enrol(talk)
    (started,) = [step for step in talk.steps if isinstance(step, Started)]
    assert started.pending == found
    assert found == Pending(
        url=str(ENDPOINT),
        profile=None,
        transaction_id=server.requests[0].transaction_id,
        subject=csr().subject_der,
        spki_sha256=Digest.SHA256.of(csr().spki_der),
        requester=server.requests[0].signer.der,
        requester_chain=(),
        ca_fingerprint=Digest.SHA256.of(CA.der),
    )


@pytest.mark.parametrize(
    ("header", "seconds"), [("", None), ("120", 120.0), ("x", None), ("0", 0.0)]
)
def test_pending_says_when_to_ask_again(header: str, seconds: float | None) -> None:
    server = Server(answer=lambda *_: StillPending())
    server.post = lambda body: response(body, retry_after=header)
    found = enrol(Talk(server))
    assert isinstance(found, Pending)
    assert found.retry_after == seconds


def test_refusal_is_a_result() -> None:
    server = Server(answer=lambda *_: Failure(FailInfo.BAD_REQUEST, "no"))
    found = enrol(Talk(server), transaction_id="mine")
    assert found == Rejected(FailInfo.BAD_REQUEST, "no", "mine")


@pytest.mark.parametrize(
    ("announced", "cipher", "digest", "method"),
    [
        (MODERN, Cipher.AES128_CBC, Digest.SHA256, "POST"),
        (b"SCEPStandard", Cipher.AES128_CBC, Digest.SHA256, "POST"),
        (b"DES3\nSHA-1\n", Cipher.DES_EDE3_CBC, Digest.SHA1, "GET"),
        (b"", Cipher.DES_EDE3_CBC, Digest.SHA1, "GET"),
        (b"AES\nSHA-512\n", Cipher.AES128_CBC, Digest.SHA512, "GET"),
    ],
)
def test_request_is_protected_and_sent_as_announced(
    announced: bytes, cipher: Cipher, digest: Digest, method: str
) -> None:
    server = Server(caps=response(announced))
    assert isinstance(enrol(Talk(server)), Issued)
    assert server.asked[0].protection == messages.Protection(cipher, digest)
    assert server.seen[-1] == (method, "PKIOperation")


def test_preferences_go_before_what_is_announced() -> None:
    server = Server()
    talk = Talk(server)
    known = talk.learn(
        cipher=Cipher.AES256_CBC,
        digest=Digest.SHA384,
        key_transport=KeyTransport.RSA_OAEP_SHA256,
        post=False,
    )
    assert isinstance(enrol(talk, known), Issued)
    assert server.asked[0].protection == messages.Protection(
        Cipher.AES256_CBC, Digest.SHA384, KeyTransport.RSA_OAEP_SHA256
    )
    assert server.seen[-1] == ("GET", "PKIOperation")


def test_certificate_is_found_wherever_it_is_in_the_reply() -> None:
    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        reply = issue(request, asked)
        assert isinstance(reply, Success)
        return Success((CA.der, ISSUED.der, *reply.certificates))

    found = enrol(Talk(Server(answer=answer)), key=pki.key("rsa2048-b"))
    assert isinstance(found, Issued)
    assert found.certificate == found.certificates[2]
    assert len(found.certificates) == 3


def test_certificate_for_another_key_is_refused() -> None:
    # jscep takes it.
    answer = lambda *_: Success((ISSUED.der, CA.der))  # noqa: E731
    with pytest.raises(ReplyMismatchError, match="none of the 2 certificates") as caught:
        enrol(Talk(Server(answer=answer)), key=pki.key("rsa2048-b"))
    assert caught.value.field == "subjectPublicKeyInfo"
    assert (
        caught.value.expected == Digest.SHA256.of(odd.spki(pki.key("rsa2048-b").public_key())).hex()
    )
    assert caught.value.found == ", ".join(
        Digest.SHA256.of(seen(one).spki).hex() for one in (ISSUED, CA)
    )


def test_success_without_a_certificate_is_refused() -> None:
    with pytest.raises(ReplyMismatchError, match="none of the 0 certificates") as caught:
        enrol(Talk(Server(answer=lambda *_: Success())))
    assert caught.value.found is None


def test_certificate_that_another_ca_issued_is_refused() -> None:
    other = pki.root("rsa2048-b", CA.name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value)  # type: ignore[arg-type]
    assert other.name == CA.name

    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        forged = certified(pki.name("router1"), KEY.public_key(), other)
        return Success((forged.public_bytes(Encoding.DER), other.der))

    with pytest.raises(TrustError):
        enrol(Talk(Server(answer=answer)))


def test_reply_signed_by_a_device_of_the_ca_is_refused() -> None:
    with pytest.raises(SignatureError):
        enrol(Talk(Server(signer=ISSUED)))


def reissued(subject: bytes) -> Answer:
    """Issues a certificate with this subject, as it is written."""

    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        assert isinstance(asked.data, PkcsReq)
        plain = Identity(certified(pki.name("x"), read_csr(asked.data.csr).public_key), KEY)
        return Success((odd.with_part(plain, odd.SUBJECT, subject, CA).der,))

    return answer


def test_another_subject_than_was_requested_is_a_warning() -> None:
    found = enrol(Talk(Server(answer=reissued(pki.name("router2").public_bytes()))))
    assert isinstance(found, Issued)
    (warning,) = found.warnings
    assert (
        warning
        == "the certificate's subject is 'CN=router2,O=Acme', which is not what was requested"
    )


def test_subject_in_other_string_types_is_the_same() -> None:
    subject = w.seq(
        w.tlv(0x31, w.seq(w.oid("2.5.4.10"), w.printable("Acme"))),
        w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.printable("router1"))),
    )
    assert subject != csr().subject_der
    found = enrol(Talk(Server(answer=reissued(subject))))
    assert isinstance(found, Issued)
    assert found.warnings == ()


def test_subject_that_cannot_be_read_is_a_warning() -> None:
    subject = w.seq(w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.tlv(0x0C, b"\xff"))))
    found = enrol(Talk(Server(answer=reissued(subject))))
    assert isinstance(found, Issued)
    (warning,) = found.warnings
    assert "(a name that cannot be read)" in warning


def test_unreadable_certificate_beside_the_issued_one_is_left_out() -> None:
    unreadable = odd.der_with_part(ISSUED, odd.SERIAL, w.octets(b"5"))

    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        reply = issue(request, asked)
        assert isinstance(reply, Success)
        return Success((unreadable, *reply.certificates))

    found = enrol(Talk(Server(answer=answer)))
    assert isinstance(found, Issued)
    assert found.certificates == (found.certificate,)
    (warning,) = found.warnings
    assert warning.startswith("a certificate that came with it was left out: ")


def test_issued_certificate_that_cannot_be_read_is_reported_as_such() -> None:
    name = w.seq(w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.printable("dev_1"))))

    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        plain = Identity(certified(pki.name("x"), KEY.public_key()), KEY)
        return Success((odd.der_with_part(plain, odd.SUBJECT, name),))

    with pytest.raises(DecodeError, match="a certificate cannot be read"):
        enrol(Talk(Server(answer=answer)))


def test_certificate_with_an_unknown_kind_of_key_beside_the_issued_one_is_passed_over() -> None:
    unknown = odd.der_with_part(ISSUED, odd.SPKI, odd.UNKNOWN_KEY)

    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        reply = issue(request, asked)
        assert isinstance(reply, Success)
        return Success((unknown, *reply.certificates))

    found = enrol(Talk(Server(answer=answer)))
    assert isinstance(found, Issued)
    assert found.certificate == found.certificates[1]


def test_key_that_the_ca_encoded_anew_is_recognised() -> None:
    key = pki.ec_key("ec256-b").public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.CompressedPoint)
    compressed = w.seq(
        w.algorithm("1.2.840.10045.2.1", w.oid("1.2.840.10045.3.1.7")), w.tlv(3, b"\0", point)
    )

    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        plain = Identity(certified(pki.name("router1"), key), EC_KEY)
        return Success((odd.with_part(plain, odd.SPKI, compressed, CA).der,))

    found = enrol(Talk(Server(answer=answer)), key=EC_KEY)
    assert isinstance(found, Issued)


def test_nothing_is_asked_of_a_ca_of_which_only_the_ra_is_trusted() -> None:
    agent = pki.ra(CA)
    talk = Talk(Server(offered=(agent,)))
    talk.anchor = agent.certificate
    known = talk.learn()
    assert known.issuer_name == CA.name.public_bytes()
    talk.steps.clear()
    with pytest.raises(TrustError, match="only an RA's certificate is trusted"):
        enrol(talk, known)
    assert talk.steps == []


def test_challenge_that_is_no_text_is_refused_and_not_shown() -> None:
    with pytest.raises(InputError, match="not valid Unicode") as caught:
        enrol(Talk(Server()), challenge="my secret \ud800")
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None


# ------------------------------------------------------------------ renewing


def test_existing_certificate_asks_by_renewal_req() -> None:
    server = Server()
    found = enrol(Talk(server), requester=OWNER)
    assert isinstance(found, Issued)
    assert isinstance(server.asked[0].data, RenewalReq)
    assert server.requests[0].signer == seen(ISSUED)


def test_existing_certificate_asks_by_pkcs_req_where_renewal_is_not_announced() -> None:
    server = Server(caps=response(b"AES\nPOSTPKIOperation\nSHA-256\n"))
    enrol(Talk(server), requester=OWNER)
    assert isinstance(server.asked[0].data, PkcsReq)
    assert server.requests[0].signer == seen(ISSUED)


@pytest.mark.parametrize("announced", [MODERN, b"AES\nPOSTPKIOperation\nSHA-256\n"])
@pytest.mark.parametrize(("renewal", "kind"), [(True, RenewalReq), (False, PkcsReq)])
def test_message_type_can_be_chosen(announced: bytes, renewal: bool, kind: type) -> None:
    server = Server(caps=response(announced))
    assert isinstance(enrol(Talk(server), requester=OWNER, renewal=renewal), Issued)
    assert type(server.asked[0].data) is kind


def test_nobody_renews_with_a_self_signed_certificate() -> None:
    talk = Talk(Server())
    known = talk.learn()
    talk.steps.clear()
    with pytest.raises(InputError, match="this one is self-signed"):
        enrol(talk, known, renewal=True)
    assert talk.steps == []
    assert isinstance(enrol(talk, known, renewal=False), Issued)


def test_chain_of_the_requester_is_sent_along() -> None:
    server = Server(answer=lambda *_: StillPending())
    found = enrol(
        Talk(server), requester=Requester(ISSUED.certificate, ISSUED.key, (CA.certificate,))
    )
    assert server.requests[0].certificates == (ISSUED.der, CA.der)
    assert isinstance(found, Pending)
    assert found.requester_chain == (CA.der,)


# ------------------------------------------------------------------ keys that are not RSA


def test_ec_requester_is_answered_under_the_challenge() -> None:
    server = Server()
    assert isinstance(enrol(Talk(server), key=EC_KEY), Issued)
    assert isinstance(
        enrol(Talk(server), key=EC_KEY, csr=csr(EC_KEY, challenge=None), challenge=SECRET), Issued
    )


@pytest.mark.parametrize("challenge", [None, ""])
def test_ec_requester_without_a_challenge_is_refused_before_anything_is_sent(
    challenge: str | None,
) -> None:
    talk = Talk(Server())
    known = talk.learn()
    talk.steps.clear()
    with pytest.raises(InputError, match="cannot decrypt replies"):
        enrol(talk, known, EC_KEY, csr=csr(EC_KEY, challenge=None), challenge=challenge)
    assert talk.steps == []


def ec_server(**changes: Any) -> tuple[Server, Talk]:
    server = Server(ca=EC_CA, offered=(EC_CA,), secret=Password(SECRET.encode()), **changes)
    talk = Talk(server)
    talk.anchor = EC_CA.certificate
    return server, talk


def test_ec_ca_is_asked_under_the_challenge() -> None:
    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        certificate = certified(pki.name("router1"), KEY.public_key(), EC_CA)
        return Success((certificate.public_bytes(Encoding.DER),))

    server, talk = ec_server(answer=answer)
    assert isinstance(enrol(talk), Issued)
    assert server.asked[0].protection.key_transport is None


def test_ec_ca_is_not_asked_without_a_challenge() -> None:
    _, talk = ec_server()
    with pytest.raises(InputError, match="the CA has no RSA key to encrypt to"):
        enrol(talk, csr=csr(challenge=None))
    assert "Started" not in talk.kinds()


# ------------------------------------------------------------------ POST and GET


@pytest.mark.parametrize("status", [405, 501])
@pytest.mark.parametrize(
    ("announced", "methods"), [(MODERN, ["POST", "GET"]), (b"", ["GET", "POST"])]
)
def test_other_method_is_tried_when_one_is_refused(
    status: int, announced: bytes, methods: list[str]
) -> None:
    server = Server(caps=response(announced), instead=[response(b"", status)])
    assert isinstance(enrol(Talk(server)), Issued)
    assert [method for method, operation in server.seen if operation == "PKIOperation"] == methods


def test_other_method_is_not_tried_when_one_is_wanted() -> None:
    server = Server(instead=[response(b"", 405)])
    talk = Talk(server)
    with pytest.raises(HttpStatusError) as caught:
        enrol(talk, talk.learn(post=True))
    assert caught.value.status == 405


@pytest.mark.parametrize("status", [301, 307, 400, 401, 403, 404, 413, 414, 500, 503])
def test_http_error_is_an_error(status: int) -> None:
    server = Server(instead=[response(b"some reason\n", status, retry_after="3")])
    with pytest.raises(
        HttpStatusError, match=f"answered PKIOperation with HTTP status {status}: 'some reason'"
    ):
        enrol(Talk(server))
    assert [operation for _, operation in server.seen].count("PKIOperation") == 1


@pytest.mark.parametrize(("renewal", "hinted"), [(True, True), (False, False)])
def test_a_server_that_fails_at_a_renewal_req_may_take_a_pkcs_req(
    renewal: bool, hinted: bool
) -> None:
    server = Server(instead=[response(b"", 500)])
    with pytest.raises(HttpStatusError) as caught:
        enrol(Talk(server), requester=OWNER, renewal=renewal)
    assert ("--message-type PKCSReq" in caught.value.hint) is hinted


@pytest.mark.parametrize(
    ("body", "text", "title"),
    [
        (b"", "the server's reply to PKIOperation is empty", ""),
        (HTML, "not a SCEP message but text: 'Please log in'", "Please log in"),
        (b"sorry\n", "not a SCEP message but text: 'sorry'", ""),
        (base64.b64encode(bytes(range(48, 90))), "not a SCEP message but text", ""),
        (b"\x00\x01\x02\xff", "this is not a CertRep|is cut off|byte", ""),
        (b"0 is a digit", "is cut off|not a CertRep|byte", ""),
        (b"\x30\x00", "this is not a CertRep", ""),
        (CA.der, "this is not a CertRep", ""),
    ],
)
def test_what_is_no_reply_is_named(body: bytes, text: str, title: str) -> None:
    with pytest.raises(DecodeError, match=text) as caught:
        enrol(Talk(Server(instead=[response(body)])))
    assert caught.value.title == title
    assert caught.value.__cause__ is not caught.value


def test_reply_to_another_request_is_refused() -> None:
    server = Server()
    talk = Talk(server)
    known = talk.learn()
    kept: list[bytes] = []
    server.post = lambda body: response(kept[0] if kept else body)
    enrol(talk, known, transaction_id="same")
    kept.append(
        server.pki_operation(
            messages.encode_request(
                PkcsReq(csr().der),
                transaction_id="same",
                sender_nonce=b"old",
                signer=signer(ISSUED),
                recipient=seen(CA),
                protection=messages.Protection(),
                signing_time=NOW,
            )
        )
    )
    with pytest.raises(ReplyMismatchError) as caught:
        enrol(talk, known, transaction_id="same")
    assert caught.value.field == "recipientNonce"


# ------------------------------------------------------------------ legacy and time


def test_single_des_and_md5_in_replies_are_for_the_switch() -> None:
    server = Server(answer=lambda *_: StillPending())
    talk = Talk(server)
    strict, lenient = talk.learn(), talk.learn(accept_legacy_replies=True)

    def in_md5(body: bytes) -> HttpResponse:
        request = server.requests[-1]
        signed = w.reply_attributes(
            request.transaction_id, request.sender_nonce, status="3", content=None, digest="md5"
        )
        return response(w.signed_data(None, [w.signer_info(CA, signed.values(), digest="md5")]))

    server.post = in_md5
    with pytest.raises(Exception, match="MD5") as caught:
        enrol(talk, strict)
    assert "accept_legacy_replies" in getattr(caught.value, "hint", "")
    assert isinstance(enrol(talk, lenient), Pending)


def test_time_of_the_reply_decides_what_is_valid() -> None:
    server = Server()
    server.post = lambda body: HttpResponse(200, body, NOW + timedelta(days=40 * 365))
    with pytest.raises(TrustError):
        enrol(Talk(server))


def test_signing_time_is_the_callers() -> None:
    server = Server(answer=lambda *_: StillPending())
    talk = Talk(server)
    known, parsed = talk.learn(), csr()
    moment = datetime.fromisoformat("2031-02-03T04:05:06+00:00")
    talk.run(flows.enrol(known, parsed, beginner(parsed), moment))
    sent = talk.steps[-1]
    assert isinstance(sent, HttpRequest)
    assert b"\x17\x0d310203040506Z" in sent.body
