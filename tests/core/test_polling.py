"""Polls and poll loops, driven without a socket."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import flows
from scepkit.core.enrolment import (
    Issued,
    Pending,
    PollPolicy,
    Rejected,
)
from scepkit.core.flows import KnownCa, Wait
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    DecryptedRequest,
    Failure,
    Request,
    StillPending,
    Success,
)
from scepkit.errors import (
    FailInfo,
    HttpStatusError,
    ReplyMismatchError,
    TransportError,
)
from tests import pki
from tests.core.exchange import CA
from tests.core.talk import (
    KEY,
    Server,
    Talk,
    certified,
    csr,
    enrol,
    response,
)
from tests.pki import NOW

# ------------------------------------------------------------------ polling


def pending_talk(*answers: Any, **changes: Any) -> tuple[Server, Talk, KnownCa, Pending]:
    """A server with a pending enrolment; then it answers this, one by one."""
    replies: list[CertRep] = []

    def answer(request: Request, asked: DecryptedRequest) -> CertRep:
        if not replies:
            return StillPending()
        reply = replies.pop(0)
        return issue_polled(asked) if isinstance(reply, Success) else reply

    server = Server(answer=answer, **changes)
    talk = Talk(server)
    known = talk.learn()
    pending = enrol(talk, known)
    assert isinstance(pending, Pending)
    for one in answers:
        broken = isinstance(one, HttpResponse | TransportError)
        server.instead.append(one if broken else None)
        if not broken:
            replies.append(one)
    talk.steps.clear()
    server.asked.clear()
    return server, talk, known, pending


def issue_polled(asked: DecryptedRequest) -> CertRep:
    assert isinstance(asked.data, CertPoll)
    certificate = certified(pki.name("router1"), KEY.public_key())
    return Success((certificate.public_bytes(Encoding.DER),))


def poll(talk: Talk, known: KnownCa, pending: Pending) -> Any:
    requester = pending.requester_with(KEY)
    return talk.run(flows.poll(known, pending, requester, NOW, challenge=None))


def wait(talk: Talk, known: KnownCa, pending: Pending, **policy: Any) -> Any:
    requester = pending.requester_with(KEY)
    return talk.run(
        flows.poll_until_done(
            known, pending, requester, talk.now, PollPolicy(**policy), challenge=None
        )
    )


def test_poll_asks_for_the_same_transaction() -> None:
    server, talk, known, pending = pending_talk(Success())
    found = poll(talk, known, Pending.from_json(pending.to_json()))
    assert isinstance(found, Issued)
    assert found.transaction_id == pending.transaction_id
    (asked,) = server.asked
    assert asked.data == CertPoll(CA.name.public_bytes(), csr().subject_der)
    assert server.requests[0].transaction_id == server.requests[1].transaction_id
    assert server.requests[0].sender_nonce != server.requests[1].sender_nonce
    assert talk.kinds() == ["HttpRequest"]


def test_poll_ends_in_any_of_the_three() -> None:
    _, talk, known, pending = pending_talk(StillPending(), Failure(FailInfo.BAD_CERT_ID, "gone"))
    assert poll(talk, known, pending) == pending
    assert poll(talk, known, pending) == Rejected(
        FailInfo.BAD_CERT_ID, "gone", pending.transaction_id
    )


def test_poll_of_a_request_that_another_ca_certificate_was_trusted_for_warns() -> None:
    _, talk, known, pending = pending_talk(Success())
    found = poll(talk, known, replace(pending, ca_fingerprint=bytes(32)))
    assert isinstance(found, Issued)
    (warning,) = found.warnings
    assert warning.startswith(
        f"the request was sent to the CA with SHA-256 {'0' * 64}, the one now"
    )


def test_poll_for_another_key_is_refused() -> None:
    _, talk, known, pending = pending_talk(Success())
    with pytest.raises(ReplyMismatchError):
        poll(talk, known, replace(pending, spki_sha256=bytes(32)))


def test_loop_polls_until_the_ca_decides() -> None:
    _, talk, known, pending = pending_talk(StillPending(), StillPending(), Success())
    assert isinstance(wait(talk, known, pending, interval=10, factor=2), Issued)
    waits = [step for step in talk.steps if isinstance(step, Wait)]
    assert waits == [Wait(10, 1), Wait(20, 2), Wait(40, 3)]


def test_loop_ends_with_a_refusal() -> None:
    _, talk, known, pending = pending_talk(StillPending(), Failure(FailInfo.BAD_REQUEST))
    assert isinstance(wait(talk, known, pending), Rejected)


def test_loop_ends_with_the_last_pending_at_its_limits() -> None:
    _, talk, known, pending = pending_talk()
    assert wait(talk, known, pending, max_polls=2) == pending
    assert talk.kinds() == ["Wait", "HttpRequest"] * 2
    talk.steps.clear()
    assert wait(talk, known, pending, max_polls=0) == pending
    assert talk.steps == []
    assert wait(talk, known, pending, interval=30, factor=1, max_seconds=75) == pending
    assert [step.seconds for step in talk.steps if isinstance(step, Wait)] == [30, 30, 15]


def test_loop_waits_as_long_as_the_server_asks() -> None:
    server, talk, known, pending = pending_talk()
    server.post = lambda body: response(body, retry_after="120")
    last = wait(talk, known, replace(pending, retry_after=5.0), interval=30, max_polls=3)
    assert [step.seconds for step in talk.steps if isinstance(step, Wait)] == [5, 120, 120]
    assert last.retry_after == 120
    talk.steps.clear()
    assert wait(talk, known, last, max_seconds=119) == last
    assert talk.steps == []


@pytest.mark.parametrize(
    "passing",
    [
        *(TransportError("gone", kind=kind) for kind in ("refused", "timeout", "closed", "dns")),
        *(response(b"", status) for status in (408, 429, 500, 502, 503)),
    ],
    ids=str,
)
def test_loop_outlives_a_server_that_is_away_for_a_while(
    passing: HttpResponse | TransportError,
) -> None:
    _, talk, known, pending = pending_talk(passing, passing, Success())
    assert isinstance(wait(talk, known, pending), Issued)


@pytest.mark.parametrize(
    "lasting",
    [
        *(TransportError("no", kind=kind) for kind in ("tls", "proxy", "redirect", "too-large")),
        *(response(b"", status) for status in (400, 401, 403, 404)),
    ],
    ids=str,
)
def test_loop_ends_with_an_error_that_stays(lasting: HttpResponse | TransportError) -> None:
    _, talk, known, pending = pending_talk(lasting, Success())
    with pytest.raises(TransportError):
        wait(talk, known, pending)


def test_loop_ends_where_polls_are_not_implemented() -> None:
    _, talk, known, pending = pending_talk(response(b"", 501), response(b"", 501))
    with pytest.raises(HttpStatusError) as caught:
        wait(talk, known, pending)
    assert caught.value.status == 501


def test_loop_reports_the_server_that_is_away_at_its_limits() -> None:
    away = TransportError("gone", kind="refused")
    _, talk, known, pending = pending_talk(StillPending(), away, away)
    with pytest.raises(TransportError) as caught:
        wait(talk, known, pending, max_polls=3)
    assert caught.value is away


def test_loop_waits_as_long_as_an_overloaded_server_asks() -> None:
    busy = response(b"", 503, retry_after="77")
    _, talk, known, pending = pending_talk(busy, Success())
    assert isinstance(wait(talk, known, pending, interval=5), Issued)
    assert [step.seconds for step in talk.steps if isinstance(step, Wait)] == [5, 77]


def test_loop_forgets_a_failure_that_has_passed() -> None:
    _, talk, known, pending = pending_talk(TransportError("gone", kind="timeout"), StillPending())
    assert wait(talk, known, pending, max_polls=2) == pending


def test_loop_goes_on_with_a_driver_that_does_not_tell_the_time() -> None:
    _, _, known, pending = pending_talk(Success())
    flow = flows.poll_until_done(
        known, pending, pending.requester_with(KEY), NOW, PollPolicy(), challenge=None
    )
    assert isinstance(flow.send(None), Wait)
    assert isinstance(flow.send(None), HttpRequest)
