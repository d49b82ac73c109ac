"""Every fault, against a client that does it right: our own."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest

from scepkit import HttpOptions, Issued, Pending, Rejected, ScepError
from scepkit.errors import InputError
from scepkit.testing import Fault, TestCa
from scepkit.testing.front import _UNSEEN
from scepkit.testing.http_faults import HTTP_FAULTS
from scepkit.testing.reply_faults import REPLY_FAULTS
from tests.testing.driving import (
    QUICKLY,
    csr_for,
    enrol,
    issued,
    make_ca,
    make_client,
    passer_by,
    requester,
)


def ending(fault: Fault, ca: TestCa, url: str = "") -> str:
    """Perform the operation that shows the fault, and say how it ended."""
    # Only one of them is to be waited for; the others end by themselves, on a busy machine too.
    http = HttpOptions(timeout=3 if fault is Fault.REPLY_SLOW else 40)
    client = make_client(ca, url, **({"http": http} if url else {}))
    try:
        match fault.operation:
            case "enrol":
                result: object = enrol(ca, client)
            case "wait":
                csr, key = csr_for(ca)
                result = client.enrol(csr, key)
                assert isinstance(result, Pending)
                result = client.wait(result, key, QUICKLY)
            case "refresh":
                enrol(ca, client)
                client.refresh()
                result = None
            case "certificate":
                own = requester(ca)
                result = client.get_certificate(own.certificate.serial_number, own)
            case "crl":
                result = client.get_crl(1, passer_by())
            case "next-ca":
                ca.stage_next_ca("ec:p256")
                result = client.get_next_ca_certificates()
    except ScepError:
        return "refused"
    finally:
        client.close()
    if isinstance(result, Rejected):
        return "rejected"
    return "pending" if isinstance(result, Pending) else "works"


def ca_with(fault: Fault, **options: Any) -> TestCa:
    return make_ca(faults=[fault], intermediate=fault.needs_intermediate, **options)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.plain_name)
def test_our_client_ends_as_a_right_one_does(fault: Fault, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert ending(fault, ca_with(fault)) == fault.ends


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.plain_name)
def test_the_faults_are_the_same_behind_an_ra(
    fault: Fault, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    assert ending(fault, ca_with(fault, key="ec:p256", ra="rsa")) == fault.ends


@pytest.mark.parametrize(
    ("fault", "key_name"),
    [("des-reply", "ec256-a"), ("ber-reply", "ec256-a"), ("md5-reply", "rsa2048-c")],
)
def test_a_fault_that_cannot_be_made_says_what_it_needs(fault: str, key_name: str) -> None:
    ca = make_ca(key="ec:p256", faults=[fault])
    with pytest.raises(InputError, match="needs a"):
        enrol(ca, make_client(ca), key_name)


@pytest.mark.parametrize(
    "fault",
    [Fault.SIGNER_COPIES_ISSUER_AND_SERIAL, Fault.SIGNER_IS_END_ENTITY, Fault.ISSUED_FOR_OTHER_KEY],
    ids=lambda fault: fault.plain_name,
)
def test_forgeries_need_no_rsa(fault: Fault) -> None:
    ca = make_ca(key="ed25519", ra="ec", faults=[fault])
    client = make_client(ca)
    with pytest.raises(ScepError):
        enrol(ca, client, "ec256-a")
    ca.heal()
    assert isinstance(enrol(ca, client, "ec256-b"), Issued)


@pytest.mark.parametrize(
    "fault",
    [
        Fault.CAPS_CLOSED,
        Fault.CLOSED,
        Fault.RESET,
        Fault.REPLY_TRUNCATED,
        Fault.REPLY_SLOW,
        Fault.REPLY_50MB,
        Fault.GZIP,
        Fault.REDIRECT_OTHER_HOST,
        Fault.REDIRECT_TO_HTTP,
        Fault.POST_405,
        Fault.BUSY,
        Fault.LOGIN_PAGE_200,
        Fault.PENDING_THEN_RESET,
    ],
    ids=lambda fault: fault.plain_name,
)
def test_faults_of_the_way_end_the_same_over_http(fault: Fault) -> None:
    ca = ca_with(fault)
    with ca.serve() as url:
        assert ending(fault, ca, url) == fault.ends


@pytest.mark.parametrize("operation", ["certificate", "crl"])
@pytest.mark.parametrize(
    "fault",
    [
        Fault.SIGNATURE_BROKEN,
        Fault.SIGNER_IS_END_ENTITY,
        Fault.RECIPIENT_NONCE_WRONG,
        Fault.NONCE_MISSING,
        Fault.TRANSACTION_ID_WRONG,
        Fault.MESSAGE_TYPE_WRONG,
        Fault.PKI_STATUS_1,
        Fault.SUCCESS_WITHOUT_ENVELOPE,
        Fault.DES_REPLY,
        Fault.MD5_REPLY,
    ],
    ids=lambda fault: fault.plain_name,
)
def test_replies_to_queries_are_checked_as_well(fault: Fault, operation: str) -> None:
    ca = make_ca(faults=[fault])
    client = make_client(ca)
    own = requester(ca)
    with pytest.raises(ScepError):
        if operation == "crl":
            client.get_crl(own.certificate.serial_number, own)
        else:
            client.get_certificate(own.certificate.serial_number, own)


@pytest.mark.parametrize("fault", Fault, ids=lambda fault: fault.plain_name)
def test_every_fault_goes_away(fault: Fault) -> None:
    ca = ca_with(fault)
    ca.heal()
    assert ca.faults == ()
    assert isinstance(enrol(ca, make_client(ca)), Issued)


def test_every_fault_is_made_somewhere() -> None:
    sources = Path(__import__("scepkit.testing").testing.__file__).parent
    made = "".join((sources / f"{name}.py").read_text() for name in ("desk", "bodies", "front"))
    for fault in Fault:
        by_name = f"Fault.{fault.name}" in made
        assert fault in REPLY_FAULTS or fault in HTTP_FAULTS or by_name, fault


def test_names_and_descriptions_are_fit_for_a_table() -> None:
    for fault in Fault:
        assert fault.plain_name == fault.plain_name.lower()
        assert " " not in fault.plain_name
        assert len(fault.does) < 100
        assert not fault.does.endswith(".")
        assert not fault.right.endswith(".")
    assert len({fault.plain_name for fault in Fault}) == len(Fault)


def test_a_fault_has_a_plain_name() -> None:
    assert Fault.named("3des-only") is Fault.ONLY_3DES
    assert repr(Fault.ONLY_3DES) == "<Fault 3des-only>"


def test_an_unknown_fault_is_refused_with_a_suggestion() -> None:
    with pytest.raises(InputError, match="recipient-nonce-worng") as caught:
        make_ca(faults=["recipient-nonce-worng"])
    assert "recipient-nonce-wrong" in caught.value.hint
    with pytest.raises(InputError) as caught:
        Fault.named("?")
    assert caught.value.hint


def test_a_fault_of_intermediates_needs_one() -> None:
    with pytest.raises(InputError, match="intermediate=True"):
        make_ca(faults=["ca-cert-root-only"])


@pytest.mark.parametrize("fault", sorted(_UNSEEN, key=str), ids=repr)
def test_nothing_is_issued_by_who_does_not_look(fault: Fault) -> None:
    ca = ca_with(fault)
    ending(fault, ca)
    assert ca.issued == ()
    assert ca.messages == []


@pytest.mark.parametrize("fault", [Fault.CLOSED, Fault.REPLY_GARBAGE, Fault.SIGNATURE_BROKEN])
def test_a_repeated_request_gets_the_certificate_that_was_lost(fault: Fault) -> None:
    ca = ca_with(fault)
    client = make_client(ca)
    csr, key = csr_for(ca)
    with pytest.raises(ScepError):
        client.enrol(csr, key)
    ca.heal()
    assert issued(client.enrol(csr, key)).certificate == ca.issued[0]
    assert len(ca.issued) == 1


def test_two_faults_can_be_had_at_once() -> None:
    ca = make_ca(faults=["caps-cr-only", Fault.LEAF_LAST])
    ca.inject("extra-attributes")
    assert isinstance(enrol(ca, make_client(ca)), Issued)
    assert ca.faults == (Fault.CAPS_CR_ONLY, Fault.EXTRA_ATTRIBUTES, Fault.LEAF_LAST)
    assert "leaf-last" in repr(ca)


@pytest.mark.parametrize(
    "pair",
    list(
        itertools.combinations(
            [Fault.BER_REPLY, Fault.CHAIN_IN_REPLY, Fault.ATTRIBUTES_AS_UTF8, Fault.OAEP_REPLY], 2
        )
    ),
    ids=str,
)
def test_oddities_that_a_right_client_bears_combine(pair: tuple[Fault, Fault]) -> None:
    ca = make_ca(faults=pair)
    assert isinstance(enrol(ca, make_client(ca)), Issued)
