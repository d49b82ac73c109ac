"""The ways by which a message reaches the server: GET in its spellings, POST in its own.

The rule of this file: the message is right each time, only its way is odd.
"""

from __future__ import annotations

from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable

from scepkit.conformance.answers import Answer
from scepkit.conformance.exchanges import Opener
from scepkit.conformance.judging import may_refuse, must_accept
from scepkit.conformance.messages import Message
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.sockets import Piece
from scepkit.conformance.verdicts import Verdict, together
from scepkit.core.http import PKI_MESSAGE_TYPE, HttpRequest

ISSUE = {Need.ISSUE}


def _message(probe: Probe, what: str) -> Message:
    return probe.draft(probe.requester(), what=what).build()


def _by_get(probe: Probe, what: str, spelling: Callable[[bytes], str]) -> Answer:
    """Send a message by GET, spelt as the function says."""
    message = _message(probe, f"PKCSReq by GET, {what}")
    url = probe.url(f"operation=PKIOperation&message={spelling(message.body)}")
    opener = Opener(message.signer.certificate, message.signer.key)
    exchange = probe.exchange(
        HttpRequest("GET", url), message.what, opener=opener, sent=message.body
    )
    return probe.answer_of(message, exchange)


def _plain(body: bytes) -> str:
    return b64encode(body).decode("ascii")


def _escaped(text: str) -> str:
    return text.replace("+", "%2B").replace("/", "%2F").replace("=", "%3D")


@check(
    "T31",
    Class.OPTIONAL,
    "PKIOperation by GET works, or is refused with 4xx",
    section="RFC 8894 4.1",
    remedy="decode the percent-escapes and then the base64 of `message=`, or answer HTTP 405",
    needs=ISSUE,
)
def by_get(probe: Probe) -> Verdict:
    """Standard base64, wholly escaped."""
    return may_refuse(_by_get(probe, "escaped", lambda body: _escaped(_plain(body))))


@check(
    "T32",
    Class.QUIRK,
    "GET with unescaped + and / works, as Apple's clients send it",
    section="RFC 8894 4.1",
    remedy="read `message=` from the raw query, and take + and blanks in it for +",
    disputed="RFC 8894 4.1 requires clients to escape; a server that announces POST sees no GET",
    needs=ISSUE,
)
def raw_plus(probe: Probe) -> Verdict:
    """Only the padding is escaped (Q08, Q09)."""
    return must_accept(
        _by_get(probe, "with raw + and /", lambda body: _plain(body).replace("=", "%3D"))
    )


@check(
    "T33",
    Class.QUIRK,
    "GET with line breaks in the base64 works, as Cisco IOS and sscep send it",
    section="RFC 8894 4.1",
    remedy="drop CR and LF from the decoded `message=` before decoding its base64",
    disputed="RFC 8894 4.1 has no line breaks; a server that announces POST sees no GET",
    needs=ISSUE,
)
def line_breaks(probe: Probe) -> Verdict:
    """A line break after every 64 characters (Q02, Q11)."""

    def spelling(body: bytes) -> str:
        text = _plain(body)
        return "".join(_escaped(text[at : at + 64]) + "%0A" for at in range(0, len(text), 64))

    return must_accept(_by_get(probe, "with line breaks", spelling))


@check(
    "T34",
    Class.QUIRK,
    "GET in base64url works, or is refused with 4xx",
    section="RFC 8894 4.1",
    remedy="take - and _ for + and /, or answer HTTP 400",
    needs=ISSUE,
)
def base64url(probe: Probe) -> Verdict:
    """The wrong alphabet (Q10)."""
    return may_refuse(
        _by_get(
            probe,
            "in base64url",
            lambda body: urlsafe_b64encode(body).decode("ascii").replace("=", "%3D"),
        )
    )


def _by_post(
    probe: Probe, what: str, *, query: str = "operation=PKIOperation", content_type: str
) -> Answer:
    message = _message(probe, f"PKCSReq by POST {what}")
    request = HttpRequest("POST", probe.url(query), message.body, content_type)
    opener = Opener(message.signer.certificate, message.signer.key)
    exchange = probe.exchange(request, message.what, opener=opener)
    return probe.answer_of(message, exchange)


@check(
    "T35",
    Class.QUIRK,
    "POST without an operation works, or is refused with 4xx",
    section="RFC 8894 4.3",
    remedy="take a POST without `operation` for PKIOperation, or answer HTTP 400",
    needs=ISSUE,
)
def without_operation(probe: Probe) -> Verdict:
    """There is but one operation by POST."""
    answer = _by_post(probe, "without an operation", query="", content_type=PKI_MESSAGE_TYPE)
    return may_refuse(answer)


@check(
    "T36",
    Class.QUIRK,
    "POST works whatever the Content-Type of the request",
    section="RFC 8894 4.3",
    remedy="do not look at the Content-Type of requests",
    disputed="RFC 8894 4.3 requires clients to send application/x-pki-message",
    needs=ISSUE,
)
def content_types(probe: Probe) -> Verdict:
    """As sscep, jscep and careful clients send it (Q11, Q14)."""
    types = {
        "application/octet-stream": "application/octet-stream",
        "none": "",
        "with a charset": f"{PKI_MESSAGE_TYPE}; charset=utf-8",
    }
    return together(
        (what, must_accept(_by_post(probe, f"({what})", content_type=kind)))
        for what, kind in types.items()
    )


@check(
    "T37",
    Class.QUIRK,
    "HTTP/1.0 without Host works, and so does Connection: close",
    section="RFC 9112 3.2",
    remedy="answer HTTP/1.0, which Cisco IOS speaks",
    needs=ISSUE,
)
def old_http(probe: Probe) -> Verdict:
    """Two old habits (Q02)."""

    def verdict(what: str, version: str, *, host: bool, headers: tuple[str, ...]) -> Verdict:
        message = _message(probe, f"PKCSReq, {what}")
        length = f"Content-Length: {len(message.body)}"
        kind = f"Content-Type: {PKI_MESSAGE_TYPE}"
        head = probe.request_head(
            "POST", "operation=PKIOperation", length, kind, *headers, version=version, host=host
        )
        exchange = probe.raw("POST", [Piece(head), Piece(message.body)], what=message.what)
        return must_accept(probe.answer_of(message, exchange))

    return together(
        [
            ("HTTP/1.0 without Host", verdict("HTTP/1.0", "1.0", host=False, headers=())),
            (
                "Connection: close",
                verdict("Connection: close", "1.1", host=True, headers=("Connection: close",)),
            ),
        ]
    )
