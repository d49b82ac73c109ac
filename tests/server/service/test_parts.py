"""The small parts: pepper, bindings, what is kept of requests, records; many by property."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID
from hypothesis import given, settings
from hypothesis import strategies as st

from scepkit.ca import AltNameRules, CertificateProfile, CertificateTemplate, template_for
from scepkit.core.csr import ParsedCsr, read_csr
from scepkit.core.csr_builder import build_csr
from scepkit.core.names import parse_san, parse_subject
from scepkit.errors import FailInfo, InputError
from scepkit.server import keeping, naming
from scepkit.server.naming import Binding, NamePatterns
from scepkit.server.pepper import NEAR, Pepper
from scepkit.server.records import OperationRecord
from scepkit.server.replies import Context
from scepkit.store import Store, open_store
from tests import cms_writer as w
from tests import pki
from tests.server.service.odd_requests import enveloped, sent
from tests.server.service.world import NOW, PEPPER, World, count, refusal_of

TEXT = st.text(min_size=1, max_size=40)
KINDS = CertificateProfile(
    alternative_names=AltNameRules(
        kinds=frozenset({"dns", "ip", "email", "uri", "upn", "dirname", "rid"}),
        other_names=frozenset({x509.ObjectIdentifier("1.2.3.4")}),
    )
)


def csr(subject: str = "CN=router1,O=Acme", **options: Any) -> ParsedCsr:
    built = build_csr(pki.key("ec256-b"), subject, **options)
    return read_csr(built.public_bytes(Encoding.DER))


def template(asked: ParsedCsr) -> CertificateTemplate:
    found = template_for(asked, KINDS)
    assert isinstance(found, CertificateTemplate), found
    return found


# ------------------------------------------------------------------ pepper


@given(secret=TEXT)
def test_what_is_sealed_is_unsealed_by_the_same_pepper_only(secret: str) -> None:
    sealed = PEPPER.seal(secret)
    assert PEPPER.unseal(sealed) == secret
    assert Pepper(b"q" * 32).unseal(sealed) is None
    assert secret not in sealed or len(secret) < 3


@pytest.mark.parametrize("damaged", ["", "x", "AAAA", "é", "A" * 100])
def test_what_was_not_sealed_is_not_unsealed(damaged: str) -> None:
    assert PEPPER.unseal(damaged) is None


@given(one=TEXT, other=TEXT)
def test_macs_are_equal_where_the_secrets_are(one: str, other: str) -> None:
    assert (PEPPER.mac(one) == PEPPER.mac(other)) is (one == other)


def test_challenges_of_one_minute_are_stored_beside_one_another() -> None:
    def minted(at: float) -> bytes:
        now = datetime.fromtimestamp(at, UTC)
        return PEPPER.mac(PEPPER.challenge(PEPPER.new_nonce(now)))

    one, same, later = minted(600_000_000.0), minted(600_000_059.9), minted(600_000_060.0)
    assert one[:NEAR] == same[:NEAR] != later[:NEAR]
    assert one[NEAR:] != same[NEAR:]


def test_keys_of_operations_begin_alike_for_challenges_of_one_minute_only() -> None:
    def beginning(secret: str, subject: str) -> bytes:
        asked, near = csr(subject, challenge=secret), PEPPER.near(secret)
        return keeping.op_key("p", asked, PEPPER.mac(secret), None, near)[:NEAR]

    ours = PEPPER.challenge(PEPPER.new_nonce(NOW))
    assert beginning(ours, "CN=a") == beginning(ours, "CN=b") == PEPPER.mac(ours)[:NEAR]
    # Nobody is to see who has the secret of everybody.
    assert beginning("hunter2", "CN=a") != beginning("hunter2", "CN=b")


def test_no_part_of_what_is_stored_tells_a_part_of_a_secret_that_somebody_chose() -> None:
    for one, other in (("hunter2" + "x" * 20, "hunter2" + "y" * 20), ("A" * 27, "A" * 29)):
        assert PEPPER.mac(one)[:NEAR] != PEPPER.mac(other)[:NEAR]


def test_what_is_stored_does_not_show_the_minute_to_who_lacks_the_pepper() -> None:
    challenge = PEPPER.challenge(PEPPER.new_nonce(NOW))
    assert Pepper(b"q" * 32).mac(challenge)[:NEAR] != PEPPER.mac(challenge)[:NEAR]


def test_a_challenge_has_120_random_bits_and_fits_printable_string() -> None:
    found = {PEPPER.challenge(PEPPER.new_nonce(NOW)) for _ in range(200)}
    assert len(found) == 200
    assert len({one[4:] for one in found}) == 200
    assert all(re.fullmatch(r"[A-Z2-7]{28}", one) for one in found)


def test_a_short_key_is_no_pepper() -> None:
    with pytest.raises(InputError, match="16 or more"):
        Pepper(b"short")


# ------------------------------------------------------------------ names and bindings


@pytest.mark.parametrize(
    "san",
    [
        "dns:a.example",
        "ip:192.0.2.1",
        "ip:2001:db8::1",
        "email:a@b.c",
        "uri:urn:x:y",
        "upn:a@b.c",
        "dirname:CN=x,O=y",
        "rid:1.2.3",
        "othername:1.2.3.4;DER:0c0178",
    ],
)
def test_an_alternative_name_is_written_as_it_is_read(san: str) -> None:
    name = parse_san(san)
    assert naming.san_text(name) == san
    assert parse_san(naming.san_text(name)) == name
    bound = Binding.of("", [san])
    asked = csr(san=[san])
    assert bound.fault(asked, template(asked)) is None
    assert Binding.of("", ["dns:other.example"]).fault(asked, template(asked)) is not None


@given(
    st.lists(
        st.tuples(
            st.sampled_from([NameOID.COMMON_NAME, NameOID.TITLE, NameOID.USER_ID, NameOID.SURNAME]),
            st.text('a0# =,+"\\<>;\0\né', min_size=1, max_size=6),
        ),
        max_size=3,
    )
)
def test_a_subject_is_written_as_rfc_4514_has_it(
    parts: list[tuple[x509.ObjectIdentifier, str]],
) -> None:
    name = x509.Name([x509.NameAttribute(oid, value) for oid, value in parts])
    written = name.rfc4514_string().replace("\n", "?").replace("\0", "?")
    assert naming.subject_text(name.public_bytes()) == written


def test_a_name_is_one_line_whatever_is_in_it() -> None:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\x00b\nc\u202ed")])
    shown = naming.subject_text(name.public_bytes())
    assert shown.isprintable()


@given(
    subject=st.none() | st.just("CN=a,O=b"),
    san=st.none() | st.lists(st.sampled_from(["dns:a", "ip:::1"]), min_size=1).map(tuple),
    nonce=st.none() | st.binary(max_size=20),
)
def test_a_binding_survives_the_database(
    subject: str | None, san: tuple[str, ...] | None, nonce: bytes | None
) -> None:
    binding = Binding(subject, san, nonce)
    assert Binding.from_json(binding.to_json()) == binding


@pytest.mark.parametrize(
    ("bound", "asked", "good"),
    [
        ("CN=router1,O=Acme", "CN=router1,O=Acme", True),
        ("O=Acme,CN=router1", "CN=router1,O=Acme", True),
        ("CN=router1", "CN=router1,O=Acme", False),
        ("CN=router1,O=Acme", "CN=router1", False),
        ("CN=router1,O=Acme", "CN=router1+O=Acme", False),
        ("CN=router1,O=Acme", "CN=ROUTER1,O=Acme", False),
        ("CN=router1,O=Acme", "CN=router1,CN=router1,O=Acme", False),
    ],
)
def test_a_bound_subject_is_the_whole_subject(bound: str, asked: str, good: bool) -> None:
    request = csr(asked)
    assert (Binding.of(bound).fault(request, template(request)) is None) is good


def test_what_the_profile_adds_may_be_left_out_of_a_binding_or_not() -> None:
    fixed = CertificateProfile(fixed_subject=tuple(parse_subject("OU=Devices")))
    request = csr("CN=router1")
    made = template_for(request, fixed)
    assert isinstance(made, CertificateTemplate)
    for bound in ("CN=router1", "CN=router1,OU=Devices"):
        assert Binding.of(bound).fault(request, made) is None
    assert Binding.of("CN=router1,OU=Others").fault(request, made) is not None


def test_a_pattern_matches_as_a_whole_and_needs_its_attribute() -> None:
    patterns = NamePatterns({NameOID.COMMON_NAME: re.compile("router[0-9]")})
    assert patterns.fault(template(csr())) is None
    assert patterns.fault(template(csr("CN=router12,O=Acme"))) is not None
    assert patterns.fault(template(csr("O=Acme"))) is not None
    both = template(csr("CN=router1,CN=evil"))
    assert patterns.fault(both) is not None


def test_the_pattern_of_an_unnamed_attribute_is_named_by_its_oid() -> None:
    oid = x509.ObjectIdentifier("1.2.3.4.5")
    fault = NamePatterns({oid: re.compile("x")}).fault(template(csr()))
    assert fault == "the subject has no 1.2.3.4.5, which is required here"


# ------------------------------------------------------------------ what is kept


@given(challenge=st.text(min_size=1, max_size=30), sealed=st.booleans())
@settings(max_examples=40)
def test_no_challenge_is_kept_in_the_clear_and_the_rest_is(challenge: str, sealed: bool) -> None:
    asked = csr(challenge=challenge, san=["dns:a.example"])
    kept = keeping.kept_csr(asked, PEPPER.seal(challenge) if sealed else None)
    again = read_csr(kept)
    assert again.spki_der == asked.spki_der
    assert again.subject == asked.subject
    assert list(again.extensions or ()) == list(asked.extensions or ())
    assert again.challenge != challenge
    assert keeping.kept_secret(kept, PEPPER) == (challenge if sealed else None)
    if len(challenge) > 4:
        assert challenge.encode() not in kept


def test_what_is_no_request_keeps_no_secret() -> None:
    assert keeping.kept_secret(b"x", PEPPER) is None
    assert keeping.kept_secret(keeping.kept_csr(csr(), None), PEPPER) is None


def test_the_key_of_an_operation_depends_on_everything_that_matters_and_on_nothing_else() -> None:
    one, rebuilt = csr(challenge="x"), csr(challenge="x")
    assert one.der != rebuilt.der, "ECDSA"
    mac = PEPPER.mac("x")
    base = keeping.op_key("p", one, mac, None)
    assert keeping.op_key("p", rebuilt, mac, None) == base
    others = {
        keeping.op_key("q", one, mac, None),
        keeping.op_key("p", one, None, None),
        keeping.op_key("p", one, PEPPER.mac("y"), None),
        keeping.op_key("p", csr("CN=other", challenge="x"), mac, None),
    }
    assert len(others | {base}) == 5


# ------------------------------------------------------------------ records


def test_a_record_shows_what_a_client_wrote_short_and_printable() -> None:
    record = OperationRecord("default", transaction_id="x\n\x1b[31m" + "y" * 1000, reason="no")
    with record.timed("open"):
        pass
    fields = record.fields()
    shown = str(fields["transactionID"])
    assert shown.isprintable()
    assert len(shown) <= 256
    assert fields["stage"] == "open"
    assert set(fields) == {"profile", "transactionID", "stage", "reason", "ms"}


def test_a_record_says_at_which_stage_a_request_was_refused_or_held(lite: Store) -> None:
    world = World.made(lite)

    def stage_of(body: bytes) -> object:
        reply = world.post(body)
        assert reply.record is not None
        return reply.record.fields()["stage"]

    good = world.device().enrol(world.mint())
    assert stage_of(good.body[:-20]) == "read"
    assert stage_of(world.device().enrol("wrong").body) == "authorise"
    assert stage_of(good.body) == "seal"


def test_a_record_of_an_enrolment_says_all_that_is_known(lite: Store) -> None:
    world = World.made(lite)
    reply = world.post(world.device().enrol(world.mint()).body)
    assert reply.record is not None
    fields = dict(reply.record.fields())
    assert fields.pop("ms").keys() >= {"read", "open", "authorise", "claim", "sign", "seal"}  # type: ignore[attr-defined]
    assert fields.pop("serial")
    assert len(str(fields.pop("signerKey"))) == 16
    assert fields == {
        "profile": "default",
        "address": "192.0.2.7",
        "method": "POST",
        "messageType": "PKCSReq",
        "transactionID": "transaction-1",
        "cipher": "aes128-cbc",
        "keyTransport": "rsa",
        "digest": "sha256",
        "pkiStatus": "SUCCESS",
        "stage": "seal",
        "by": "challenge",
        "subject": "CN=router1,O=Acme",
        "operation": 1,
    }


# ------------------------------------------------------------------ anything at all


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Any:
    path: Path = tmp_path_factory.mktemp("any")
    with open_store(f"sqlite:///{path}/scepkit.db") as store:
        store.migrate()
        yield World.made(store)


@given(body=st.binary(max_size=300))
@settings(max_examples=200)
def test_t96_any_bytes_are_answered(world: World, body: bytes) -> None:
    reply = world.service.pki_operation("default", body, Context(NOW))
    assert reply.status == 400
    assert reply.record is not None
    assert len(reply.body) < 400


@given(place=st.integers(0, 10**6), flip=st.none() | st.integers(1, 255))
@settings(max_examples=300)
def test_t97_a_damaged_message_is_answered_and_issues_nothing(
    world: World, place: int, flip: int | None
) -> None:
    good = world.device().enrol("no challenge of ours").body
    at = place % len(good)
    body = good[:at]
    if flip is not None:
        body += bytes((good[at] ^ flip,)) + good[at + 1 :]
    reply = world.service.pki_operation("default", body, Context(NOW))
    assert reply.status in {200, 400}
    assert world.store.read(lambda tx: tx.all("SELECT count(*) FROM certificate")) == [(0,)]


@given(content=st.binary(max_size=200), number=st.sampled_from(["17", "19", "20", "21", "22"]))
@settings(max_examples=100)
def test_any_message_data_is_answered(world: World, content: bytes, number: str) -> None:
    device = world.device()
    message = sent(device, enveloped(device, content), message_type=number)
    assert world.service.pki_operation("default", message.body, Context(NOW)).status == 200


@given(text=st.sampled_from(["../../../tmp/x", "' OR 1=1 --", "<script>"]) | st.text(max_size=80))
@settings(max_examples=100)
def test_t100_any_transaction_id_is_opaque(world: World, text: str) -> None:
    def change(attributes: dict[str, bytes]) -> None:
        value = w.tlv(0x0C, text.encode("utf-8", "surrogatepass"))
        attributes["transactionID"] = w.attribute(w.TRANSACTION_ID, value)

    device = world.device()
    message = sent(device, enveloped(device, device.csr("x")), change=change)
    reply = world.service.pki_operation("default", message.body, Context(NOW))
    assert reply.status in {200, 400}
    assert reply.record is not None
    assert str(reply.record.fields()).isprintable()


@pytest.mark.parametrize("number", ["19", "20"])
def test_t100_a_transaction_id_that_no_database_keeps_is_refused(store: Store, number: str) -> None:
    world = World.made(store)
    device = world.device()
    content = enveloped(device, device.csr(world.mint()))
    odd = sent(device, content, message_type=number, transaction_id="a\0b")
    assert refusal_of(world.ask(odd))[0] is FailInfo.BAD_REQUEST
    assert count(store, "operation") == 0
