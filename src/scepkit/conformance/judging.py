"""Verdicts that many tests come to: it has to be refused, it has to be taken.

The rule of this file: every verdict quotes what the server said.
"""

from __future__ import annotations

from collections.abc import Collection

from scepkit.conformance.answers import BUSY, Answer
from scepkit.conformance.exchanges import Exchange
from scepkit.conformance.verdicts import Verdict, failed, inconclusive, passed, warned

BAD_ALG, BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID = range(5)


def must_refuse(
    answer: Answer,
    *,
    with_: Collection[int] = (),
    pending_allowed: bool = False,
    why: str = "",
) -> Verdict:
    """FAILURE or HTTP 4xx; a SUCCESS fails.

    :param with_: the failInfos that fit; others are a warning.
    :param pending_allowed: PENDING is good too: a person will look at it.
    :param why: what a SUCCESS means, for the text.
    """
    if answer.success:
        return failed(f"the server answered SUCCESS{f': {why}' if why else ''}")
    if answer.pending:
        if pending_allowed:
            return passed("PENDING: held for a person")
        return failed("the server answered PENDING, expected a refusal")
    if answer.failure:
        return _failure(answer, with_)
    if answer.client_error:
        return passed(answer.said)
    if answer.exchange.unreached or answer.http_status in BUSY:
        return inconclusive(answer.said)
    if answer.silent:
        if answer.exchange.error.startswith("no answer: timed out"):
            return failed(f"the server hangs: {answer.said}")
        return warned(f"nothing was issued, but the refusal has no words ({answer.said})")
    if 500 <= answer.http_status < 600:
        return warned(f"refused, but as a fault of the server's own: {answer.said}")
    return failed(f"{answer.said}, expected a CertRep with FAILURE or HTTP 4xx")


def _failure(answer: Answer, with_: Collection[int]) -> Verdict:
    reply, number = answer.reply, answer.fail_info
    if reply is not None and reply.message.content:
        return failed(f"{answer.said}, but with a pkcsPKIEnvelope (RFC 8894 section 3.3.2.2)")
    if number is None or number > BAD_CERT_ID:
        return failed(f"{answer.said}, expected one of the failInfos 0 to 4")
    if with_ and number not in with_:
        wanted = " or ".join(str(one) for one in sorted(with_))
        return warned(f"{answer.said}, expected failInfo {wanted}")
    return passed(answer.said)


def must_accept(answer: Answer) -> Verdict:
    """SUCCESS, or PENDING where a person decides."""
    if answer.success:
        return passed("SUCCESS")
    if answer.pending:
        return passed("PENDING: held for a person")
    if answer.exchange.unreached or answer.http_status in BUSY:
        return inconclusive(answer.said)
    return failed(f"{answer.said}, expected SUCCESS")


def may_refuse(answer: Answer, *, with_: Collection[int] = ()) -> Verdict:
    """SUCCESS or a refusal in words, but no fault of the server's own."""
    if answer.success or answer.pending:
        return passed(answer.said)
    return must_refuse(answer, with_=with_)


def client_error(exchange: Exchange, *, also: Collection[int] = ()) -> Verdict:
    """HTTP 4xx, or one of some other statuses."""
    if 400 <= exchange.status < 500 or exchange.status in also:
        return passed(f"HTTP {exchange.status}")
    if exchange.response is None:
        return failed(f"{exchange.error}, expected HTTP 4xx")
    return failed(f"{exchange.answer_text}, expected HTTP 4xx")


def no_server_error(exchange: Exchange) -> Verdict:
    """An answer, and not HTTP 5xx (but for 501 and 505, which say what is not supported)."""
    if exchange.response is None:
        return failed(exchange.error)
    if exchange.status >= 500 and exchange.status not in (501, 505):
        return failed(f"{exchange.answer_text}, expected no HTTP 5xx")
    return passed(f"HTTP {exchange.status}")
