"""Which check fails at a strict server or client, and what is said about it."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import cms
from scepkit.core.csr_builder import build_csr
from scepkit.core.inspect import Code, HttpInfo, Inspection, Oddity, inspect_message
from scepkit.core.inspect.explain import explain
from scepkit.core.inspect.explanation import (
    Explanation,
    Known,
    explanation_json,
    explanation_text,
)
from scepkit.core.messages import Failure, GetCert, PkcsReq, RenewalReq, StillPending, Success
from scepkit.errors import FailInfo
from tests import pki, vectors
from tests.core import exchange
from tests.core.exchange import CA, DEVICE, NONCE

CAPTURES = vectors.FOLDER / "captures"


def csr(challenge: str | None = "secret", key: str = "rsa2048-c") -> bytes:
    request = build_csr(pki.key(key), DEVICE.name, challenge=challenge)
    return request.public_bytes(Encoding.DER)


def asked(data: bytes | None = None, *, open_it: bool = True, **changes: Any) -> Inspection:
    """A request as the server sees it; by default a right one."""
    body = exchange.encode(PkcsReq(csr())) if data is None else data
    keys: dict[str, Any] = {"key": CA.key, "certificate": CA.certificate} if open_it else {}
    return replace(inspect_message(body, **keys), **changes)


ISSUED = pki.device(CA, key_name="rsa2048-c", not_before=pki.NOW - timedelta(days=1))


def told(reply: Any = None, *, open_it: bool = True, **changes: Any) -> Inspection:
    """A reply as the client sees it; by default a right one."""
    body = exchange.seal(Success((ISSUED.der, CA.der)) if reply is None else reply)
    keys: dict[str, Any] = {"key": DEVICE.key} if open_it else {}
    return replace(inspect_message(body, **keys), **changes)


REQUEST = asked(open_it=False)
UNOPENED = "FAILURE badMessageCheck (1), or FAILURE badRequest (2)"
KNOWN = Known(request=REQUEST, authorities=(CA.certificate,), key=DEVICE.key)


def with_odd(found: Inspection, code: str, text: str) -> Inspection:
    return replace(found, oddities=(*found.oddities, Oddity(code, text)))


def verdicts(explanation: Explanation) -> dict[str, str]:
    """The gravest verdict of each step."""
    order = ("ok", "unseen", "risk", "fails")
    found: dict[str, str] = {}
    for one in explanation.checks:
        found[one.step] = max(one.verdict, found.get(one.step, "ok"), key=order.index)
    return found


def stop(found: Inspection, known: Known | None = None) -> tuple[str, str]:
    """Where a strict reader stops, and what it then does."""
    one = explain(found, known).stops_at
    assert one is not None
    assert one.remedy
    return one.step, one.answer


# ------------------------------------------------------------------ requests


def test_a_right_request_passes_and_only_the_challenge_is_unseen() -> None:
    explanation = explain(asked())
    assert explanation.reader == "server"
    assert {one for one, verdict in verdicts(explanation).items() if verdict != "ok"} == {
        "challengePassword"
    }
    assert explanation.stops_at is None
    last = explanation_text(explanation).splitlines()[-1]
    assert last == "A strict server finds nothing wrong in what can be seen."


def test_without_the_servers_key_what_is_encrypted_is_unseen() -> None:
    found = verdicts(explain(asked(open_it=False)))
    assert (found["recipient"], found["decryption"]) == ("unseen", "unseen")
    assert "challengePassword" not in found


def test_a_query_passes_to_its_end() -> None:
    found = explain(asked(exchange.encode(GetCert(exchange.CA_NAME, 7))))
    assert verdicts(found)["messageData"] == "ok"
    assert explanation_text(found).splitlines()[-1] == "A strict server finds nothing wrong."


@pytest.mark.parametrize(
    ("code", "text", "step", "answer"),
    [
        ("RFC 8894 4.3", "9 bytes follow", "encoding", "HTTP 400"),
        ("RFC 9112 8", "the body has 1 bytes", "HTTP body", "HTTP 400"),
        ("A16", "there are 2 signatures", "signature", "HTTP 400"),
        ("A16", "the signed attribute x is there twice", "signed attributes", "HTTP 400"),
        ("A17", "no signed attributes", "signed attributes", "HTTP 400"),
        ("RFC 8894 3.2.1", "there is no senderNonce among them", "signed attributes", "HTTP 400"),
        ("A18", "the transactionID has 0 characters", "transactionID", "HTTP 400"),
        ("RFC 8894 2.9", "the cipher rc4 is none of SCEP's", "cipher", "FAILURE badAlg (0)"),
        ("Q40", "for another certificate", "recipient", "FAILURE badMessageCheck (1)"),
        ("RFC 8894 3.1", "has 2 recipients", "recipient", "FAILURE badMessageCheck (1)"),
        ("RFC 8894 3.2.2", "is a Certificate", "messageData", "FAILURE badMessageCheck (1)"),
        ("RFC 8894 2.3", "has another key", "who asks", "FAILURE badMessageCheck (1)"),
        ("RFC 8894 2.4", "the RenewalReq is", "who asks", "FAILURE badRequest (2)"),
        ("A24", "the key is RSA with 512 bits", "keys", "FAILURE badRequest (2)"),
    ],
)  # fmt: skip
def test_what_a_strict_server_refuses(code: str, text: str, step: str, answer: str) -> None:
    found = stop(with_odd(asked(), code, text))
    assert found[0] == step
    assert found[1].startswith(answer)


@pytest.mark.parametrize(
    ("code", "step"),
    [
        ("Q02", "base64"), ("Q08", "base64"), ("Q09", "base64"), ("Q10", "base64"),
        ("Q16", "encoding"), ("RFC 9110 8.4", "HTTP body"),
        ("Q53", "signer"), ("Q30", "signer"), ("RFC 8894 2.3", "signer"),
        ("Q19", "signed attributes"), ("Q18", "signed attributes"), ("Q23", "signed attributes"),
        ("Q17", "cipher"), ("Q26", "key transport"), ("Q27", "key transport"),
        ("Q04", "who asks"), ("A8", "wishes"),
    ],
)  # fmt: skip
def test_what_only_some_servers_refuse_is_a_risk(code: str, step: str) -> None:
    explanation = explain(with_odd(asked(), code, "no digitalSignature"))
    assert verdicts(explanation)[step] == "risk"
    assert explanation.stops_at is None


def test_digests_are_judged() -> None:
    found = asked()
    assert found.signature is not None
    for name, verdict in (("sha1", "risk"), ("md5", "fails"), ("sha3", "fails")):
        changed = replace(found, signature=replace(found.signature, digest=name))
        assert verdicts(explain(changed))["digest"] == verdict


def test_a_broken_signature_stops_a_server() -> None:
    body = bytearray(exchange.encode(PkcsReq(csr())))
    body[-1] ^= 1
    assert stop(asked(bytes(body))) == ("signature", "HTTP 400, or FAILURE badMessageCheck (1)")


@pytest.mark.parametrize("number", [18, 99])
def test_unknown_message_types_stop_a_server(number: int) -> None:
    found = asked()
    assert found.attributes is not None
    attributes = replace(found.attributes, message_type=Code(str(number), number))
    odd = with_odd(found, "RFC 8894 3.2.1.2", "the messageType is not one RFC 8894 knows")
    assert stop(replace(odd, attributes=attributes)) == ("messageType", "FAILURE badRequest (2)")


def test_a_missing_message_type_is_one_fault_and_not_two() -> None:
    found = asked()
    assert found.attributes is not None
    attributes = replace(found.attributes, message_type=None)
    assert "messageType" not in verdicts(explain(replace(found, attributes=attributes)))


def test_a_request_without_an_envelope_stops_a_server() -> None:
    odd = with_odd(asked(content=None), "RFC 8894 3.2", "the request has no pkcsPKIEnvelope")
    assert stop(odd) == ("envelope", UNOPENED)


def test_what_another_key_opens_stops_a_server() -> None:
    body = exchange.encode(PkcsReq(csr()))
    found = inspect_message(body, key=pki.key("rsa2048-b"))
    assert stop(found)[0] == "decryption"


@pytest.mark.parametrize(
    ("data", "verdict"),
    [(PkcsReq(csr(None)), "fails"), (RenewalReq(csr(None)), "ok"), (PkcsReq(csr("")), "fails")],
)
def test_a_challenge_is_needed_to_enrol_and_not_to_renew(data: Any, verdict: str) -> None:
    body = exchange.encode(data, requester=exchange.ISSUED)
    assert verdicts(explain(asked(body)))["challengePassword"] == verdict


def test_a_request_that_does_not_sign_itself_stops_a_server() -> None:
    broken = csr()[:-1] + b"\0"
    assert stop(asked(exchange.encode(PkcsReq(broken)))) == (
        "PKCS#10 request",
        UNOPENED,
    )


def test_a_layer_of_a_request_is_explained_from_there_on() -> None:
    bare = explain(inspect_message(csr(None)))
    assert bare.reader == "server"
    assert list(verdicts(bare)) == ["encoding", "PKCS#10 request", "challengePassword"]


# ------------------------------------------------------------------ HTTP around requests


def http(method: str = "POST", operation: str | None = "PKIOperation", **more: Any) -> HttpInfo:
    given = {"content_type": "application/x-pki-message", **more}
    return HttpInfo(method=method, target="/scep", operation=operation, **given)


@pytest.mark.parametrize(
    ("way", "step", "verdict"),
    [
        (http(), "HTTP request", "ok"),
        (http("PUT"), "HTTP request", "fails"),
        (http(operation=None), "HTTP request", "risk"),
        (http(operation="pkioperation"), "HTTP request", "fails"),
        (http(content_type=""), "Content-Type", "risk"),
        (http(content_type="application/octet-stream"), "Content-Type", "risk"),
    ],
)
def test_the_way_of_a_request_is_judged(way: HttpInfo, step: str, verdict: str) -> None:
    assert verdicts(explain(asked(http=way)))[step] == verdict


def test_a_get_needs_no_content_type() -> None:
    assert "Content-Type" not in verdicts(explain(asked(http=http("GET", content_type=""))))


def test_a_chunked_request_is_a_risk() -> None:
    found = with_odd(asked(http=http()), "Q33", "the request is chunked")
    assert verdicts(explain(found))["HTTP body"] == "risk"


def test_a_post_without_a_message_stops_a_server() -> None:
    found = inspect_message(b"POST /scep?operation=PKIOperation HTTP/1.1\r\n\r\n")
    assert stop(found) == ("message", "HTTP 400")


def test_a_question_without_a_message_is_fine() -> None:
    explanation = explain(inspect_message(b"GET /scep?operation=GetCACaps HTTP/1.1\r\n\r\n"))
    assert verdicts(explanation) == {"HTTP request": "ok"}


def test_something_else_than_a_message_in_a_request_stops_a_server() -> None:
    body = b"POST /scep?operation=PKIOperation HTTP/1.1\r\nContent-Length: %d\r\n\r\n" % len(CA.der)
    assert stop(inspect_message(body + CA.der))[0] == "what it is"


# ------------------------------------------------------------------ replies


def test_a_right_reply_passes_to_its_end() -> None:
    explanation = explain(told(), KNOWN)
    assert explanation.reader == "client"
    assert set(verdicts(explanation).values()) == {"ok"}
    assert explanation_text(explanation).splitlines()[-1] == "A strict client finds nothing wrong."


def test_without_request_keys_and_certificates_much_is_unseen() -> None:
    found = verdicts(explain(told(open_it=False)))
    unseen = {step for step, verdict in found.items() if verdict == "unseen"}
    assert unseen == {"signer", "whose answer", "recipient", "decryption"}
    found = verdicts(explain(told()))
    assert (found["recipient"], found["certificate"]) == ("ok", "unseen")
    assert verdicts(explain(told(), Known(key=DEVICE.key)))["certificate"] == "ok"


def test_a_reply_of_somebody_else_stops_a_client() -> None:
    stranger = replace(KNOWN, authorities=(exchange.EC_CA.certificate,))
    assert stop(told(), stranger)[0] == "signer"
    found = told()
    assert found.signature is not None
    unnamed = replace(found, signature=replace(found.signature, signer=None))
    assert stop(unnamed, KNOWN)[0] == "signer"


def test_a_reply_to_another_request_stops_a_client() -> None:
    other = inspect_message(exchange.encode(transaction_id="other"))
    assert stop(told(), replace(KNOWN, request=other))[0] == "transactionID"
    other = inspect_message(exchange.encode(sender_nonce=NONCE[::-1]))
    assert stop(told(), replace(KNOWN, request=other))[0] == "recipientNonce"


def test_a_request_that_came_back_stops_a_client() -> None:
    found = told()
    assert found.attributes is not None
    attributes = replace(found.attributes, message_type=Code("PKCSReq", 19))
    assert stop(replace(found, attributes=attributes), KNOWN)[0] == "messageType"
    nothing = replace(found.attributes, message_type=None)
    assert "messageType" not in verdicts(explain(replace(found, attributes=nothing), KNOWN))


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        *((Failure(one), f"FAILURE {one.rfc_name} ({one:d}): ") for one in FailInfo),
        (Failure(FailInfo.BAD_ALG, "no DES"), "(no DES)"),
        (Failure(9), "FAILURE with failInfo 9"),
    ],
)
def test_a_refusal_is_explained(reply: Failure, said: str) -> None:
    explanation = explain(told(reply), KNOWN)
    assert explanation.stops_at is not None
    assert explanation.stops_at.step == "pkiStatus"
    assert said in explanation.stops_at.found


def test_a_refusal_without_a_reason_is_one() -> None:
    found = told(Failure(FailInfo.BAD_ALG))
    assert found.attributes is not None
    attributes = replace(found.attributes, fail_info=None)
    one = explain(replace(found, attributes=attributes), KNOWN).stops_at
    assert one is not None
    assert one.found == "FAILURE with no failInfo"


def test_pending_is_no_fault_and_has_a_remedy() -> None:
    explanation = explain(told(StillPending()), KNOWN)
    assert explanation.stops_at is None
    assert "approve it at the CA" in explanation_text(explanation)


@pytest.mark.parametrize("status", [None, Code("1", 1)])
def test_a_status_that_does_not_exist_stops_a_client(status: Code | None) -> None:
    found = told()
    assert found.attributes is not None
    attributes = replace(found.attributes, pki_status=status)
    changed = replace(found, attributes=attributes)
    assert stop(changed, KNOWN)[0] == "pkiStatus"


def test_success_without_an_envelope_stops_a_client() -> None:
    found = with_odd(told(content=None), "RFC 8894 3.3.2.1", "there is no pkcsPKIEnvelope")
    assert stop(found, KNOWN)[0] == "envelope"


def test_a_reply_for_another_certificate_is_a_risk() -> None:
    other = pki.self_signed("other")
    request = inspect_message(exchange.encode(PkcsReq(csr()), requester=other))
    assert verdicts(explain(told(), replace(KNOWN, request=request)))["recipient"] == "risk"


def test_a_reply_that_cannot_be_decrypted_stops_a_client() -> None:
    found = inspect_message(exchange.seal(Success((ISSUED.der,))), key=pki.key("rsa2048-b"))
    assert stop(found, KNOWN)[0] == "decryption"


def test_a_certificate_for_another_key_stops_a_client() -> None:
    other = pki.device(CA, key_name="rsa2048-b")
    assert stop(told(Success((other.der,))), KNOWN)[0] == "certificate"


def test_the_key_of_a_readable_request_is_the_one_that_counts() -> None:
    body = exchange.encode(PkcsReq(csr(key="rsa2048-b")))
    read = replace(KNOWN, request=asked(body))
    assert stop(told(), read)[0] == "certificate"


def test_a_reply_without_a_certificate_stops_a_client_and_one_with_a_crl_does_not() -> None:
    assert stop(told(Success()), KNOWN)[0] == "content"
    explanation = explain(told(Success((), (exchange.crl_of(CA),))), KNOWN)
    assert explanation.stops_at is None


def test_the_issued_certificate_should_be_the_first() -> None:
    assert verdicts(explain(told(Success((CA.der, ISSUED.der))), KNOWN))["order"] == "risk"


def test_a_certificate_that_begins_now_is_a_risk() -> None:
    fresh = pki.device(CA, key_name="rsa2048-c", not_before=pki.NOW)
    assert verdicts(explain(told(Success((fresh.der,))), KNOWN))["validity"] == "risk"


def test_a_layer_of_a_reply_stops_a_client() -> None:
    body = cms.certs_only([CA.der])
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-pki-message\r\n\r\n"
    assert stop(inspect_message(head + body))[0] == "what it is"


# ------------------------------------------------------------------ HTTP around replies


def answer(status: int, kind: str = "application/x-pki-message") -> HttpInfo:
    return HttpInfo(status=status, reason="x", content_type=kind)


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (404, "try /cgi-bin/pkiclient.exe"),
        (405, "use GET"),
        (503, "wait as long as Retry-After says"),
        (499, "ask its operator"),
    ],
)
def test_a_status_is_explained(status: int, said: str) -> None:
    page = Inspection("HTTP", (), 0, (), http=answer(status, "text/html"))
    one = explain(page).stops_at
    assert one is not None
    assert (one.step, said in one.remedy) == ("HTTP status", True)


def test_a_page_in_place_of_a_reply_stops_a_client() -> None:
    page = inspect_message(b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n<html>Log in</html>")
    assert stop(page)[0] == "message"


def test_a_reply_of_another_type_is_a_risk() -> None:
    found = verdicts(explain(told(http=answer(200, "text/plain")), KNOWN))
    assert found["Content-Type"] == "risk"
    found = verdicts(explain(told(http=answer(200, "")), KNOWN))
    assert found["Content-Type"] == "risk"
    assert "Content-Type" not in verdicts(explain(told(http=answer(200)), KNOWN))


# ------------------------------------------------------------------ the CA's certificates


def offered(*certificates: bytes, kind: str = "application/x-x509-ca-ra-cert") -> Inspection:
    body = certificates[0] if len(certificates) == 1 else cms.certs_only(certificates)
    return replace(inspect_message(body), http=answer(200, kind))


def test_the_certificates_of_a_ca_are_judged_by_what_they_may_do() -> None:
    agent = pki.ra(CA)
    explanation = explain(offered(agent.der, CA.der))
    assert explanation.reader == "client"
    assert verdicts(explanation) == {
        "HTTP status": "ok", "encoding": "ok", "fingerprint": "unseen", "recipient": "ok",
        "signer": "ok",
    }  # fmt: skip


def test_a_ca_that_may_not_decrypt_is_a_risk() -> None:
    usage = pki.usage("key_cert_sign", "crl_sign")
    found = verdicts(explain(offered(pki.root(key_usage=usage).der, kind="")))
    assert (found["recipient"], found["signer"]) == ("risk", "risk")
    assert found["Content-Type"] == "risk"


def test_a_ca_without_rsa_is_a_risk() -> None:
    assert verdicts(explain(inspect_message(exchange.EC_CA.der)))["recipient"] == "risk"


def test_what_holds_no_certificate_stops_a_client() -> None:
    assert stop(inspect_message(exchange.crl_of(CA)))[0] == "what it is"


def test_a_page_in_place_of_certificates_stops_a_client() -> None:
    kind = b"application/x-x509-ca-cert"
    page = inspect_message(b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n\r\n" % kind)
    assert stop(page)[0] == "message"


# ------------------------------------------------------------------ habits, and showing


@pytest.mark.parametrize(
    ("name", "codes"),
    [("scepclient", ["Q36", "Q36"]), ("strongswan", ["Q13"]), ("scepserver", [])],
)
def test_who_wrote_a_real_capture_is_guessed(name: str, codes: list[str]) -> None:
    found = inspect_message((CAPTURES / f"{name}.request.http").read_bytes())
    assert [one.code for one in explain(found).habits] == codes


def test_habits_show_in_names_and_headers() -> None:
    body = exchange.encode(requester=pki.self_signed("SCEP Protocol Certificate"))
    spki = pki.self_signed("SCEP Protocol Certificate").certificate.public_key()
    assert spki is not None
    assert [one.code for one in explain(asked(body)).habits] == ["Q30"]
    headers = (("server", "Microsoft-IIS/10.0"),)
    assert [
        one.code for one in explain(told(http=replace(answer(200), headers=headers))).habits
    ] == ["Q34"]
    unsigned = Inspection("HTTP", (), 0, (), http=replace(answer(200), headers=headers))
    assert [one.code for one in explain(unsigned).habits] == ["Q34"]


def test_the_transaction_id_of_sscep_is_known() -> None:
    from scepkit.core.algorithms import Digest

    identifier = Digest.MD5.of(exchange.seen(DEVICE).spki).hex().upper()
    found = asked(exchange.encode(transaction_id=identifier))
    assert [one.code for one in explain(found).habits] == ["Q11"]


def test_real_captures_stop_where_they_did() -> None:
    # A strict server answered this request with badAlg, a strict client refused that reply.
    request = inspect_message((CAPTURES / "scepclient.request.http").read_bytes())
    assert stop(request) == ("cipher", "FAILURE badAlg (0)")
    reply = inspect_message((CAPTURES / "scepserver.response.http").read_bytes())
    assert stop(reply)[0] == "cipher"
    text = explanation_text(explain(request))
    assert "  FAILS   cipher             the content is encrypted with des-cbc" in text
    assert "then: FAILURE badAlg (0)\n" in text
    assert "Probably: the User-Agent is Go" in text
    assert text.endswith("A strict server stops at: cipher.\n")
    refused = inspect_message((CAPTURES / "scepclient.response.http").read_bytes())
    assert stop(refused, Known(request=request))[0] == "pkiStatus"
    wrong = inspect_message((CAPTURES / "scepserver-challenge.response.http").read_bytes())
    one = explain(wrong).stops_at
    assert one is not None
    assert "look at the challenge first" in one.remedy


def test_the_explanation_is_json_with_the_same_checks() -> None:
    explanation = explain(asked(open_it=False))
    shown = json.loads(json.dumps(explanation_json(explanation)))
    assert shown["reader"] == "server"
    assert shown["stopsAt"] is None
    assert len(shown["checks"]) == len(explanation.checks)
    assert {"step", "verdict", "found", "answer", "remedy", "code"} == set(shown["checks"][0])
    broken = explanation_json(explain(with_odd(asked(), "A18", "the transactionID has 0")))
    assert broken["stopsAt"] == "transactionID"
