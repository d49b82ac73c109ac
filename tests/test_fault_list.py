"""What servers do wrong, line by line, and what a user of the client gets to see of it.

`tests/testing/test_faults.py` says how each fault ends.  Here is the evidence: the class of the
error, its attributes, and for what is tolerated what the client made of it.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import scepkit
from scepkit import (
    AlgorithmError,
    DecodeError,
    HttpStatusError,
    Issued,
    Pending,
    PollPolicy,
    Rejected,
    ReplyMismatchError,
    ScepError,
    SignatureError,
    TransportError,
    TrustError,
)
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.capabilities import Capability
from scepkit.core.http import HttpResponse
from scepkit.errors import FailInfo
from scepkit.testing import Fault, TestCa
from scepkit.testing.ca import utc_now
from tests import pki
from tests.core.talk import Talk
from tests.testing.driving import csr_for, issued, make_ca, make_client, passer_by, requester
from tests.testing.driving import enrol as enrol_at
from tests.testing.test_faults import ca_with


def failing(fault: str, **options: Any) -> tuple[ScepError, TestCa]:
    """The error that a fault ends in."""
    chosen = Fault.named(fault)
    ca = ca_with(chosen, **options)
    client = make_client(ca)
    with pytest.raises(ScepError) as caught:
        operate(chosen, ca, client)
    return caught.value, ca


def operate(fault: Fault, ca: TestCa, client: scepkit.Client) -> object:
    match fault.operation:
        case "refresh":
            enrol_at(ca, client)
            client.refresh()
            return None
        case "certificate":
            own = requester(ca)
            return client.get_certificate(own.certificate.serial_number, own)
        case "crl":
            return client.get_crl(1, passer_by())
        case "next-ca":
            ca.stage_next_ca("ec:p256")
            return client.get_next_ca_certificates()
    return enrol_at(ca, client)


# ------------------------------------------------------------------ who the CA is


def test_another_fingerprint_shows_what_was_offered_and_nothing_was_sent() -> None:
    ca = make_ca()
    trust = scepkit.Fingerprint("sha256:" + "00" * 32)
    with (
        scepkit.Client("http://ca.test/scep", trust=trust, transport=ca.transport()) as client,
        pytest.raises(TrustError) as caught,
    ):
        enrol_at(ca, client)
    assert caught.value.fingerprints == (ca.fingerprint,)
    assert ca.requests["PKIOperation"] == ca.requests["GetCACaps"] == 0


@pytest.mark.parametrize(
    ("fault", "kind", "evidence", "text"),
    [
        ("ca-cert-404", HttpStatusError, {"status": 404, "excerpt": "404 Not Found"}, "GetCACert"),
        (
            "ca-cert-html",
            DecodeError,
            {"title": "Network Device Enrollment Service"},
            "'Network Device Enrollment Service'",
        ),
        ("ca-cert-empty", DecodeError, {"title": ""}, "empty body"),
        ("ca-cert-other-ca", TrustError, {}, "no certificate offered is a pinned one"),
        (
            "ca-cert-expired-intermediate",
            TrustError,
            {},
            "has expired: it is valid from .* and this machine's clock says",
        ),
        ("caps-downgrade", TrustError, {}, "AES, POSTPKIOperation, SHA-256, .* announced before"),
        ("ca-cert-root-only", SignatureError, {}, "not signed by any certificate it may be"),
    ],
)
def test_a_ca_that_is_not_the_one_is_refused(
    fault: str, kind: type[ScepError], evidence: dict[str, Any], text: str
) -> None:
    error, ca = failing(fault)
    assert type(error) is kind
    assert {name: getattr(error, name) for name in evidence} == evidence
    with pytest.raises(kind, match=text):
        raise error
    assert error.hint
    if kind is TrustError and fault != "caps-downgrade":
        assert isinstance(error, TrustError)
        assert error.fingerprints
        assert not ca.messages


def test_capabilities_that_shrink_after_scep_standard_are_an_attack() -> None:
    ca = make_ca(capabilities=[Capability.SCEP_STANDARD, Capability.RENEWAL])
    with make_client(ca) as client:
        assert isinstance(enrol_at(ca, client), Issued)
        ca.inject("caps-downgrade")
        with pytest.raises(TrustError, match="somebody between may have removed it"):
            client.refresh()
        enrol_at(ca, client, "rsa2048-b")
    assert ca.messages[-1].protection is not None
    assert ca.messages[-1].protection.cipher is Cipher.AES128_CBC


@pytest.mark.parametrize("fault", ["ca-cert-stranger", "ca-cert-device"])
def test_a_certificate_that_does_not_belong_there_is_left_out_with_the_reason(fault: str) -> None:
    ca = make_ca(faults=[fault])
    with make_client(ca) as client:
        found = client.get_ca_certificates()
        assert isinstance(enrol_at(ca, client), Issued)
    (ignored,) = found.ignored
    assert ignored.reason
    assert ignored.certificate not in (*found.signers, found.recipient, *found.authorities)


@pytest.mark.parametrize("fault", ["ca-cert-pem", "ca-cert-wrong-type"])
@pytest.mark.parametrize("ra", ["none", "split"])
def test_the_form_of_the_ca_certificates_does_not_matter(fault: str, ra: str) -> None:
    ca = make_ca(faults=[fault], ra=ra)
    with make_client(ca) as client:
        assert isinstance(enrol_at(ca, client), Issued)
        assert client.get_ca_certificates().ca == ca.certificate


# ------------------------------------------------------------------ what it can do


@pytest.mark.parametrize(
    "fault", ["caps-404", "caps-500", "caps-empty", "caps-html", "caps-closed", "3des-only"]
)
def test_a_ca_that_announces_nothing_is_sent_3des_and_sha1_by_get(fault: str) -> None:
    ca = make_ca(faults=[fault])
    with make_client(ca) as client:
        assert isinstance(enrol_at(ca, client), Issued)
        source = client.get_capabilities().source
    (sent,) = ca.messages
    assert sent.protection is not None
    # Never single DES and MD5, which jscep falls back to.
    assert (sent.protection.cipher, sent.protection.digest) == (Cipher.DES_EDE3_CBC, Digest.SHA1)
    assert sent.method == "GET"
    assert source == {
        "caps-404": "http-error", "caps-500": "http-error", "caps-empty": "none",
        "caps-html": "html", "caps-closed": "closed", "3des-only": "announced",
    }[fault]  # fmt: skip


@pytest.mark.parametrize(
    "capabilities",
    [
        b"aes\npostpkioperation\nsha-256\n",
        b"AES  \r\nPOSTPKIOperation \r\nSHA-256\t\r\n",
        b"AES\rPOSTPKIOperation\rSHA-256",
        b"Frobnicate\nAES\n-\nPOSTPKIOperation\nSHA-256\nX-Y\n",
        b"scepSTANDARD",
    ],
    ids=["lower case", "trailing blanks", "CR only", "unknown words", "SCEPStandard"],
)
def test_capabilities_are_read_however_they_are_written(capabilities: bytes) -> None:
    ca = make_ca(capabilities=capabilities)
    with make_client(ca) as client:
        assert isinstance(enrol_at(ca, client), Issued)
    (sent,) = ca.messages
    assert sent.protection is not None
    assert (sent.protection.cipher, sent.protection.digest) == (Cipher.AES128_CBC, Digest.SHA256)
    assert sent.method == "POST"


# ------------------------------------------------------------------ the way


@pytest.mark.parametrize(
    ("fault", "kind", "evidence"),
    [
        ("http-404", HttpStatusError, {"status": 404, "excerpt": "404 Not Found"}),
        ("http-500", HttpStatusError, {"status": 500, "kind": "status"}),
        ("busy", HttpStatusError, {"status": 503, "retry_after": 7.0}),
        ("closed", TransportError, {"kind": "closed"}),
        ("reset", TransportError, {"kind": "closed"}),
        ("reply-truncated", TransportError, {"kind": "closed"}),
        ("reply-slow", TransportError, {"kind": "timeout"}),
        ("reply-50mb", TransportError, {"kind": "too-large"}),
        ("redirect-other-host", TransportError, {"kind": "redirect"}),
        ("redirect-to-http", TransportError, {"kind": "redirect"}),
        ("reply-empty", DecodeError, {"title": ""}),
        ("reply-garbage", DecodeError, {"title": ""}),
        ("login-page-200", DecodeError, {"title": "Please log in to the guest network"}),
    ],
)
def test_what_happens_on_the_way_is_told(
    fault: str, kind: type[ScepError], evidence: dict[str, Any]
) -> None:
    error, _ = failing(fault)
    assert type(error) is kind
    assert {name: getattr(error, name) for name in evidence} == evidence
    if isinstance(error, TransportError):
        assert error.url.startswith("http://ca.test/scep")
        assert "message=" not in error.url


@pytest.mark.parametrize(
    ("fault", "method"), [("post-405", "GET"), ("gzip", "POST"), ("reply-wrong-type", "POST")]
)
def test_what_is_odd_on_the_way_is_borne(fault: str, method: str) -> None:
    ca = make_ca(faults=[fault])
    with make_client(ca) as client:
        assert isinstance(enrol_at(ca, client), Issued)
    assert [message.method for message in ca.messages] == [method]


# ------------------------------------------------------------------ whose reply it is


@pytest.mark.parametrize(
    ("fault", "kind", "text"),
    [
        ("reply-unsigned", SignatureError, "no signatures, expected exactly one"),
        ("signature-broken", SignatureError, "the signature is broken"),
        ("signature-broken-and-no-certificates", SignatureError, "the signature is broken"),
        ("signer-unknown", SignatureError, "not signed by any certificate it may be"),
        ("signer-expired", TrustError, "Former RA,O=scepkit has expired"),
        ("signer-is-end-entity", SignatureError, "not signed by any certificate it may be"),
        ("signer-is-offered-device", SignatureError, "not signed by any certificate it may be"),
        ("signer-copies-issuer-and-serial", SignatureError, "the signature is broken"),
        ("two-signers", SignatureError, "2 signatures"),
        ("attribute-twice", DecodeError, "is there twice"),
        ("pki-status-missing", DecodeError, "no pkiStatus"),
        ("pki-status-1", DecodeError, "pkiStatus '1'"),
        ("success-without-envelope", DecodeError, "SUCCESS but holds no pkcsPKIEnvelope"),
        ("des-reply", AlgorithmError, "single DES"),
        ("md5-reply", AlgorithmError, "MD5"),
        ("gcm-reply", AlgorithmError, "AES-128-GCM"),
        ("issued-by-other-ca", TrustError, "was not issued by the CA that is trusted here"),
        ("query-pending", DecodeError, "answered GetCRL with PENDING"),
        ("crl-missing", DecodeError, "no CRL"),
        ("crl-by-other-ca", SignatureError, "not signed by the CA that was asked"),
        ("crl-delta", DecodeError, "it is a delta CRL"),
        ("next-ca-unsigned", SignatureError, "no signatures"),
        ("next-ca-signed-by-wrong-key", SignatureError, "not signed by any certificate"),
        ("next-ca-signed-by-next-ca", SignatureError, "not signed by any certificate"),
        ("next-ca-beside-the-content", TrustError, "not covered by its signature"),
    ],
)
def test_what_is_not_to_be_believed_is_refused(
    fault: str, kind: type[ScepError], text: str
) -> None:
    error, _ = failing(fault)
    assert type(error) is kind
    with pytest.raises(kind, match=text):
        raise error
    match error:
        case SignatureError():
            assert bool(error.signer) is (" signatures" not in text)
        case TrustError():
            assert error.fingerprints
        case AlgorithmError():
            assert error.algorithm in {"des-cbc", "md5", "AES-128-GCM"}
            assert error.hint


@pytest.mark.parametrize(
    ("fault", "field", "missing"),
    [
        ("recipient-nonce-wrong", "recipientNonce", False),
        ("nonce-missing", "recipientNonce", True),
        ("nonce-empty", "recipientNonce", True),
        ("transaction-id-wrong", "transactionID", False),
        ("transaction-id-missing", "transactionID", True),
        ("message-type-wrong", "messageType", False),
        ("message-type-missing", "messageType", True),
        ("attributes-only-unsigned", "messageType", True),
        ("issued-for-other-key", "subjectPublicKeyInfo", False),
        ("success-without-certificates", "subjectPublicKeyInfo", True),
        ("other-certificate", "serialNumber", False),
    ],
)
def test_what_is_not_the_answer_is_refused(fault: str, field: str, missing: bool) -> None:
    error, ca = failing(fault)
    assert isinstance(error, ReplyMismatchError)
    assert error.field == field
    assert error.expected
    assert (error.found is None) is missing
    assert error.found != error.expected
    if field == "recipientNonce":
        assert error.expected == ca.messages[-1].sender_nonce.hex()
    if field == "transactionID":
        assert error.expected == ca.messages[-1].transaction_id


@pytest.mark.parametrize(
    "fault", ["leaf-last", "chain-in-reply", "oaep-reply", "ber-reply", "no-certificates"]
)
def test_what_is_odd_in_a_reply_is_borne(fault: str) -> None:
    ca = make_ca(faults=[fault], intermediate=True)
    with make_client(ca) as client:
        found = issued(enrol_at(ca, client))
    assert found.certificate == ca.issued[0]
    assert found.certificate.public_key() == pki.key("rsa2048-c").public_key()
    assert found.chain == (ca.certificate, ca.root)
    assert not found.warnings


# ------------------------------------------------------------------ FAILURE and PENDING


@pytest.mark.parametrize(
    ("fault", "fail_info"),
    [
        ("empty-econtent-in-failure", FailInfo.BAD_REQUEST),
        ("failure-without-fail-info", None),
        ("fail-info-7", 7),
    ],
)
def test_a_failure_is_a_refusal_whatever_is_odd_about_it(
    fault: str, fail_info: FailInfo | int | None
) -> None:
    ca = make_ca(faults=[fault])
    with make_client(ca) as client:
        result = enrol_at(ca, client, challenge="wrong")
    assert isinstance(result, Rejected)
    assert result.fail_info == fail_info
    assert type(result.fail_info) is type(fail_info)
    assert result.transaction_id == ca.messages[-1].transaction_id
    assert result.reason


@pytest.mark.parametrize(
    ("fault", "ends", "waits"),
    [
        ("pending-forever", Pending, [1, 2, 3]),
        ("pending-then-failure", Rejected, [1]),
        ("pending-then-reset", Issued, [1, 2]),
    ],
)
def test_pending_ends_as_the_ca_or_the_policy_says(
    fault: str, ends: type, waits: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    ca = make_ca(faults=[fault])
    seen: list[int] = []
    with make_client(ca) as client:
        request, key = csr_for(ca)
        started = client.enrol(request, key)
        assert isinstance(started, Pending)
        policy = PollPolicy(interval=1, max_polls=3)
        result = client.wait(started, key, policy, on_wait=lambda _, poll: seen.append(poll))
    assert isinstance(result, ends)
    assert seen == waits
    assert {one.transaction_id for one in ca.messages} == {started.transaction_id}


def test_retry_after_is_told_and_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda _: None)
    ca = make_ca(faults=["retry-after"])
    seen: list[float] = []
    with make_client(ca) as client:
        request, key = csr_for(ca)
        started = client.enrol(request, key)
        assert isinstance(started, Pending)
        assert started.retry_after == 7
        client.wait(started, key, PollPolicy(interval=1), on_wait=lambda s, _: seen.append(s))
    assert seen == [7]


# ------------------------------------------------------------------ the clock


def test_a_clock_that_is_slow_is_told_when_the_ca_is_not_valid_yet() -> None:
    ca = make_ca(clock=lambda: utc_now() + timedelta(days=4000))
    with make_client(ca) as client, pytest.raises(TrustError) as caught:
        enrol_at(ca, client)
    assert "is not valid yet: it is valid from " in str(caught.value)
    assert "this machine's clock says " in str(caught.value)
    assert "set the clock if it is wrong" in caught.value.hint
    assert not ca.messages


def test_a_clock_that_is_fast_is_told_when_the_ca_has_expired() -> None:
    ca = make_ca(clock=lambda: utc_now() - timedelta(days=20 * 365))
    with make_client(ca) as client, pytest.raises(TrustError, match="has expired"):
        enrol_at(ca, client)


@pytest.mark.parametrize(
    ("fault", "text"),
    [("issued-in-the-future", "is not valid yet"), ("issued-expired", "has expired")],
)
def test_a_certificate_out_of_date_is_delivered_with_a_warning(fault: str, text: str) -> None:
    ca = make_ca(faults=[fault])
    with make_client(ca) as client:
        (warning,) = issued(enrol_at(ca, client)).warnings
    assert text in warning
    assert "this machine's clock says" in warning


def test_a_self_signed_requester_is_valid_for_a_ca_whose_clock_is_a_day_off() -> None:
    request = scepkit.build_csr(pki.key(), "CN=x")
    now = utc_now()
    made = scepkit.self_signed_requester(request, pki.key(), now=now).certificate
    day = timedelta(hours=23)
    assert made.not_valid_before_utc <= now - day
    assert made.not_valid_after_utc >= now + day


# ------------------------------------------------------------------ the whole list


def test_the_message_of_an_error_names_the_page_that_ndes_shows_to_people() -> None:
    # The address of the page with the password instead of that of the service.
    page = (
        b"<HTML><Head><Meta HTTP-Equiv='Content-Type' Content='text/html; charset=UTF-8'>"
        b"<Title>Network Device Enrollment Service</Title></Head><Body>...</Body></HTML>"
    )
    answer = HttpResponse(200, page.replace(b"\n", b""), pki.NOW, content_type="text/html")
    with pytest.raises(DecodeError, match="'Network Device Enrollment Service'") as caught:
        Talk(lambda _: answer).learn()
    assert caught.value.title == "Network Device Enrollment Service"
    assert "/certsrv/mscep/mscep.dll" in caught.value.hint


def test_every_fault_is_looked_at_here_or_ends_well() -> None:
    text = "".join(
        str(mark.args)
        for test in list(globals().values())
        for mark in getattr(test, "pytestmark", ())
        if mark.name == "parametrize"
    )
    for fault in Fault:
        if fault.ends == "refused":
            assert f"'{fault.plain_name}'" in text, fault
