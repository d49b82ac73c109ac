"""What an enrolment is made of: requesters, results, stored polls, patience."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed448, ed25519, x25519
from hypothesis import given
from hypothesis import strategies as st

from scepkit.core import cms, messages
from scepkit.core.certificates import view_of
from scepkit.core.csr_builder import build_csr
from scepkit.core.enrolment import (
    Pending,
    PollPolicy,
    Rejected,
    Requester,
    describe_failure,
    self_signed_requester,
)
from scepkit.core.messages import Protection
from scepkit.errors import AlgorithmError, DecodeError, FailInfo, InputError
from tests import cms_writer as w
from tests import odd_certificates as odd
from tests import pki, tokens
from tests.core.exchange import ASKING, CA, DEVICE, EC_DEVICE, ID, ISSUED, NONCE, seen

PENDING = Pending(
    url="https://scep.test/cgi-bin/pkiclient.exe",
    profile="router",
    transaction_id=ID,
    subject=DEVICE.name.public_bytes(),
    spki_sha256=bytes(range(32)),
    requester=DEVICE.der,
    requester_chain=(CA.der,),
    ca_fingerprint=bytes(32),
    retry_after=7.0,
)

# ------------------------------------------------------------------ requesters


def test_requester_signs_and_decrypts_with_its_key() -> None:
    requester = Requester(ISSUED.certificate, ISSUED.key, (CA.certificate,))
    signer = requester.signer()
    assert signer.certificate == seen(ISSUED)
    assert signer.key is ISSUED.key
    assert signer.chain == (CA.der,)
    assert requester.decryption_key().certificate == seen(ISSUED)
    assert requester.decryption_key().key is ISSUED.key


def test_requester_with_a_key_in_a_token_is_made() -> None:
    key = tokens.RsaToken(pki.rsa_key("rsa2048-c"))
    assert Requester(ISSUED.certificate, key).key is key
    ec_token = tokens.EcToken(pki.ec_key("ec256-b"))
    assert Requester(EC_DEVICE.certificate, ec_token).key is ec_token


@pytest.mark.parametrize("key", ["rsa2048-a", "ec256-a"])
def test_key_of_another_certificate_is_refused(key: str) -> None:
    with pytest.raises(
        InputError, match="does not belong to the requester's certificate"
    ) as caught:
        Requester(ISSUED.certificate, pki.key(key))
    assert "CN=device1,O=Acme" in str(caught.value)


def test_key_of_a_certificate_whose_name_cannot_be_read_is_refused() -> None:
    name = w.seq(w.tlv(0x31, w.seq(w.oid("2.5.4.3"), w.tlv(0x0C, b"\xff"))))
    unreadable = odd.with_part(DEVICE, odd.SUBJECT, name)
    with pytest.raises(InputError, match="a name that cannot be read"):
        Requester(unreadable.certificate, pki.key("rsa2048-a"))
    assert not Requester(unreadable.certificate, unreadable.key).self_signed


def test_certificate_with_an_unknown_kind_of_key_is_refused() -> None:
    der = odd.der_with_part(DEVICE, odd.SPKI, odd.UNKNOWN_KEY)
    with pytest.raises(AlgorithmError):
        Requester(x509.load_der_x509_certificate(der), DEVICE.key)


def test_requester_knows_whether_it_is_self_signed() -> None:
    assert Requester(DEVICE.certificate, DEVICE.key).self_signed
    assert not Requester(ISSUED.certificate, ISSUED.key).self_signed


def test_requester_shows_no_key() -> None:
    assert "key" not in repr(Requester(DEVICE.certificate, DEVICE.key)).lower()


@pytest.mark.parametrize("key", ["rsa2048-c", "ec256-b"])
def test_self_signed_requester_has_the_subject_and_key_of_the_request(key: str) -> None:
    csr = build_csr(pki.key(key), "CN=router1,O=Acme")
    requester = self_signed_requester(csr, pki.key(key), now=pki.NOW)
    assert requester.self_signed
    assert requester.certificate.subject == csr.subject
    assert requester.certificate.public_key() == csr.public_key()


def test_self_signed_requester_needs_the_key_of_the_request() -> None:
    csr = build_csr(pki.key("rsa2048-c"), "CN=router1")
    with pytest.raises(InputError, match="does not belong to the certification request"):
        self_signed_requester(csr, pki.key("rsa2048-a"), now=pki.NOW)


@pytest.mark.parametrize("make", [ed448.Ed448PrivateKey.generate, x25519.X25519PrivateKey.generate])
def test_requester_with_a_key_that_cannot_sign_scep_is_refused_when_it_signs(make: Any) -> None:
    key = make()
    der = odd.der_with_part(DEVICE, odd.SPKI, odd.spki(key.public_key()))
    requester = Requester(x509.load_der_x509_certificate(der), key)
    with pytest.raises(AlgorithmError, match="cannot sign SCEP messages"):
        messages.encode_request(
            ASKING,
            transaction_id=ID,
            sender_nonce=NONCE,
            signer=requester.signer(),
            recipient=seen(CA),
            protection=Protection(),
            signing_time=pki.NOW,
        )


def test_requester_with_an_ed25519_key_signs() -> None:
    key = ed25519.Ed25519PrivateKey.generate()
    csr = build_csr(key, "CN=router1")
    requester = self_signed_requester(csr, key, now=pki.NOW)
    assert cms.sign(b"", [], requester.signer(), Protection().digest)


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("fail_info", "text", "said"),
    [
        (FailInfo.BAD_REQUEST, "unknown challenge", "badRequest (2): unknown challenge"),
        (FailInfo.BAD_ALG, "", "badAlg (0)"),
        (FailInfo.BAD_MESSAGE_CHECK, "", "badMessageCheck (1)"),
        (FailInfo.BAD_TIME, "", "badTime (3)"),
        (FailInfo.BAD_CERT_ID, "", "badCertId (4)"),
        (12, "", "failInfo 12"),
        (None, "", "no reason given"),
        (None, "go away", "no reason given: go away"),
        (FailInfo.BAD_REQUEST, "two\r\nlines", "badRequest (2): two lines"),
        (FailInfo.BAD_REQUEST, "\x1b[31mred\x00", "badRequest (2): ?[31mred?"),
        (FailInfo.BAD_REQUEST, " \n", "badRequest (2)"),
    ],
)
def test_refusal_is_one_line_that_is_safe_to_show(
    fail_info: FailInfo | int | None, text: str, said: str
) -> None:
    assert describe_failure(fail_info, text) == said
    assert Rejected(fail_info, text, ID).reason == said


def test_long_refusal_is_cut() -> None:
    assert len(describe_failure(None, "x" * 100_000)) < 600


# ------------------------------------------------------------------ Pending


def test_pending_is_read_back() -> None:
    stored = PENDING.to_json()
    assert Pending.from_json(stored) == replace(PENDING, retry_after=None)
    assert Pending.from_json(stored.encode()) == replace(PENDING, retry_after=None)


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.one_of(st.none(), st.text()),
    st.text(min_size=1),
)
def test_pending_of_any_texts_is_read_back(url: str, profile: str | None, id_: str) -> None:
    pending = replace(
        PENDING, url=url, profile=profile, transaction_id=id_, requester_chain=(), retry_after=None
    )
    assert Pending.from_json(pending.to_json()) == pending


def test_pending_holds_no_secret() -> None:
    stored = json.loads(PENDING.to_json())
    assert set(stored) == {
        *("format", "url", "profile", "transactionID", "subject", "spkiSha256", "requester"),
        *("requesterChain", "caFingerprintSha256"),
    }
    assert "PRIVATE" not in PENDING.to_json()
    assert DEVICE.der.hex() not in repr(PENDING)


def test_pending_makes_its_requester_with_the_key() -> None:
    requester = PENDING.requester_with(DEVICE.key)
    assert requester.certificate == DEVICE.certificate
    assert requester.chain == (CA.certificate,)
    with pytest.raises(InputError, match="does not belong"):
        PENDING.requester_with(pki.key("rsa2048-a"))


def test_pending_with_a_certificate_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(DecodeError):
        replace(PENDING, requester=b"x").requester_with(DEVICE.key)
    with pytest.raises(DecodeError):
        replace(PENDING, requester_chain=(b"x",)).requester_with(DEVICE.key)


GOOD = json.loads(PENDING.to_json())


@pytest.mark.parametrize(
    "text",
    [
        *("", "x", "null", "[]", "1", "NaN", "{}", '"scepkit-pending-1"', "[" * 100_000),
        *("{" * 100_000, '{"a":' * 5000 + "1", "9" * 5000, '{"format": 1}', "\ufeff{}", "\x00"),
    ],
    ids=range(15),
)
def test_what_is_no_pending_is_refused(text: str) -> None:
    for given_ in (text, text.encode()):
        with pytest.raises(InputError, match="this is not a pending enrolment"):
            Pending.from_json(given_)


@pytest.mark.parametrize("text", [b"\xff", b"\xff\xfe\x00", None, 5])
def test_what_is_no_text_is_refused(text: Any) -> None:
    with pytest.raises(InputError, match="this is not a pending enrolment"):
        Pending.from_json(text)


@pytest.mark.parametrize("name", GOOD)
def test_pending_with_something_missing_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="this is not a pending enrolment"):
        Pending.from_json(json.dumps({key: value for key, value in GOOD.items() if key != name}))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *((name, 5) for name in GOOD),
        *((name, [5]) for name in GOOD),
        *((name, {"a": "b"}) for name in GOOD),
        *((name, None) for name in GOOD if name != "profile"),
        ("transactionID", ""),
        ("format", "scepkit-pending-2"),
        ("subject", ""),
        ("subject", "05"),
        ("subject", "3"),
        ("subject", "3000 zz"),
        ("spkiSha256", "00" * 31),
        ("caFingerprintSha256", "00" * 33),
        ("requester", "0"),
        ("requesterChain", ["0"]),
        ("requesterChain", "00"),
        ("requesterChain", [None]),
    ],
)
def test_pending_with_something_else_in_it_is_refused(name: str, value: Any) -> None:
    with pytest.raises(InputError, match="this is not a pending enrolment"):
        Pending.from_json(json.dumps(GOOD | {name: value}))


def test_pending_from_a_later_version_may_hold_more() -> None:
    assert Pending.from_json(json.dumps(GOOD | {"new": [1, {}, None]})).transaction_id == ID


def test_nonsense_from_a_pending_is_refused_when_it_is_sent() -> None:
    stored = json.dumps(GOOD | {"transactionID": "\ud800"})
    with pytest.raises(InputError, match="cannot be written as UTF-8"):
        messages.encode_request(
            ASKING,
            transaction_id=Pending.from_json(stored).transaction_id,
            sender_nonce=NONCE,
            signer=cms.Signer(view_of(DEVICE.certificate), DEVICE.key),
            recipient=seen(CA),
            protection=Protection(),
            signing_time=pki.NOW,
        )


# ------------------------------------------------------------------ PollPolicy

NAN, INFINITY = float("nan"), float("inf")


@pytest.mark.parametrize(
    "wrong",
    [
        *({"interval": value} for value in (-1, NAN, INFINITY, 1e9)),
        *({"max_interval": value} for value in (-1, NAN, INFINITY, 1e9)),
        *({"factor": value} for value in (0.5, 0, -2, NAN, INFINITY, 1001)),
        {"max_polls": -1},
        *({"max_seconds": value} for value in (-1, NAN)),
    ],
)
def test_policy_that_cannot_be_kept_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError):
        PollPolicy(**wrong)


def test_waits_grow_to_the_longest() -> None:
    policy = PollPolicy(interval=10, factor=2, max_interval=60)
    assert [policy.next_wait(polls, None, 0) for polls in range(5)] == [10, 20, 40, 60, 60]


@given(
    st.floats(0, 86400),
    st.floats(1, 1000),
    st.floats(0, 86400),
    st.integers(0, 10**9),
)
def test_wait_is_never_longer_than_the_longest(
    interval: float, factor: float, longest: float, polls: int
) -> None:
    wait = PollPolicy(interval, factor, longest).next_wait(polls, None, 0)
    assert wait is not None
    assert 0 <= wait <= longest


def test_retry_after_goes_before_the_interval() -> None:
    policy = PollPolicy(interval=10)
    assert policy.next_wait(0, 120.0, 0) == 120
    assert policy.next_wait(0, 3.0, 0) == 3


def test_retry_after_of_nothing_is_a_short_wait() -> None:
    assert PollPolicy(interval=10).next_wait(0, 0.0, 0) == 1
    assert PollPolicy(interval=0.25).next_wait(0, 0.0, 0) == 0.25


def test_number_of_polls_is_limited() -> None:
    policy = PollPolicy(interval=1, factor=1, max_polls=2)
    assert [policy.next_wait(polls, None, 0) for polls in range(4)] == [1, 1, None, None]
    assert PollPolicy(max_polls=0).next_wait(0, None, 0) is None


def test_last_poll_comes_at_the_time_limit() -> None:
    policy = PollPolicy(interval=30, max_seconds=20)
    assert policy.next_wait(0, None, 0) == 20
    assert policy.next_wait(0, None, 19.5) == 0.5
    assert policy.next_wait(1, None, 20) is None
    assert policy.next_wait(1, None, 25) is None
    assert PollPolicy(max_seconds=0).next_wait(0, None, 0) is None


def test_server_that_wants_more_time_than_is_left_is_not_asked_again() -> None:
    policy = PollPolicy(interval=30, max_seconds=100)
    assert policy.next_wait(0, 100.0, 0) == 100
    assert policy.next_wait(0, 101.0, 0) is None
