"""Rubbish, damage and monsters: the server refuses them, and goes on (G5, A15, A18, A20).

The rule of this file: nothing here can be issued, but for what T100 asks for; what may cost a
server much is for --intrusive.
"""

from __future__ import annotations

import random
import re
import secrets
import time
from collections import Counter
from collections.abc import Iterable

from scepkit.conformance import cmsparts
from scepkit.conformance.exchanges import Exchange
from scepkit.conformance.judging import client_error, must_refuse, no_server_error
from scepkit.conformance.messages import Draft, new_nonce, new_transaction_id
from scepkit.conformance.probe import Probe
from scepkit.conformance.reading import read_reply
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import Requester
from scepkit.conformance.sockets import Piece
from scepkit.conformance.verdicts import (
    Verdict,
    failed,
    passed,
    together,
    warned,
)
from scepkit.core import asn1
from scepkit.core.cms import ID_DATA, ID_SIGNED_DATA
from scepkit.core.http import PKI_MESSAGE_TYPE
from scepkit.core.pem import write_pem

#: What a refusal may take, in seconds.
_QUICK = 5.0
_TRUNCATIONS = 50
_MUTATIONS = 500


def _alive(probe: Probe) -> tuple[str, Verdict]:
    alive = probe.alive()
    return "afterwards", passed("alive") if alive else failed("the server does not answer any more")


def _message(probe: Probe) -> tuple[Requester, bytes]:
    """A whole message without a challenge, to be damaged."""
    requester = probe.requester(challenge="scepkit-check-no-challenge")
    # Cut off by a byte: a server that is open to all must not certify what was not damaged enough.
    return requester, probe.draft(requester, data=requester.csr()[:-1]).build().body


@check(
    "T96",
    Class.SECURITY,
    "what is no pkiMessage is refused with 4xx",
    section="RFC 8894 4.3; RFC 9110 15.5",
    remedy="answer HTTP 400 to a body that is not a SignedData; a 5xx says that the server is at "
    "fault, and clients come again",
)
def not_messages(probe: Probe) -> Verdict:
    """Nothing, one byte, noise, other DER, PEM."""
    requester = Requester(probe.session.keys.take(), "CN=nobody")
    csr, certificate = requester.csr(), requester.identity().der
    bodies = {
        "an empty body": b"",
        "one byte": b"0",
        "1024 bytes of noise": secrets.token_bytes(1024),
        "a certificate": certificate,
        "a CSR": csr,
        "a PKCS #12": _p12(),
        "PEM": write_pem("CERTIFICATE REQUEST", csr),
    }
    parts = [(what, _as_refusal(probe.post(body, what=what))) for what, body in bodies.items()]
    parts.append(
        ("bad base64 by GET", _as_refusal(probe.get("operation=PKIOperation&message=%21")))
    )
    return together([*parts, _alive(probe)])


def _p12() -> bytes:
    """The outside of a PKCS #12: version 3, and data."""
    data = asn1.content_info(ID_DATA, cmsparts.octets(secrets.token_bytes(64)))
    return asn1.element(asn1.SEQUENCE, asn1.integer(3), data)


def _as_refusal(exchange: Exchange) -> Verdict:
    """4xx, or a CertRep with FAILURE."""
    if exchange.status == 200:
        reply = read_reply(exchange.body)
        if reply is not None and reply.status == "2":
            return passed("FAILURE")
    return client_error(exchange)


@check(
    "T97",
    Class.SECURITY,
    "damaged messages are refused, whatever the damage",
    section="RFC 8894 4.3",
    remedy="catch every error of your ASN.1 reader and answer HTTP 400 or badMessageCheck",
    needs={Need.RSA, Need.INTRUSIVE},
    seconds=300,
)
def damage(probe: Probe) -> Verdict:
    """Cut off at 50 places; 500 bytes changed, one at a time (A15)."""
    _, body = _message(probe)
    draw = random.Random(8894)  # noqa: S311 - the same damage each time
    cuts = sorted(draw.sample(range(1, len(body)), min(_TRUNCATIONS, len(body) - 1)))
    damaged: list[tuple[str, bytes]] = [(f"cut off at byte {at}", body[:at]) for at in cuts]
    for _ in range(_MUTATIONS):
        at, bit = draw.randrange(len(body)), draw.randrange(1, 256)
        changed = body[:at] + bytes((body[at] ^ bit,)) + body[at + 1 :]
        damaged.append((f"byte {at} changed", changed))
    return together([*_all_refused(probe, damaged), _alive(probe)])


def _all_refused(probe: Probe, damaged: Iterable[tuple[str, bytes]]) -> list[tuple[str, Verdict]]:
    """One line for each way of answering, and the first of what went wrong."""
    statuses: Counter[str] = Counter()
    wrong: list[tuple[str, Verdict]] = []
    for what, body in damaged:
        exchange = probe.post(body, what=what)
        verdict = no_server_error(exchange)
        if exchange.seconds > _QUICK:
            verdict = failed(f"it took {exchange.seconds:.1f} s")
        statuses[f"HTTP {exchange.status}" if exchange.response else "no answer"] += 1
        if verdict.kind.value == "fail" and len(wrong) < 5:
            probe.record.keep(exchange)
            wrong.append((what, verdict))
    told = ", ".join(f"{count} x {status}" for status, count in statuses.most_common())
    return [*wrong, ("all together", failed(told) if wrong else passed(told))]


def _nested(depth: int, *, indefinite: bool) -> bytes:
    """SEQUENCEs in each other."""
    if indefinite:
        return b"\x30\x80" * depth + b"\0\0" * depth
    body = b""
    for _ in range(depth):
        body = asn1.element(asn1.SEQUENCE, body)
    return body


def _many_attributes(probe: Probe) -> bytes:
    requester, _ = _message(probe)
    draft = Draft("", requester.identity(), b"", new_transaction_id(), new_nonce())
    values = list(draft.attributes.values())
    extra = [cmsparts.attribute(f"1.2.3.{number}", asn1.NULL) for number in range(100_000)]
    info = asn1.element(
        asn1.SEQUENCE,
        asn1.integer(1),
        asn1.element(asn1.SEQUENCE),
        asn1.algorithm(cmsparts.DIGEST_OIDS["sha256"]),
        asn1.element(0xA0, *values, *extra),
        asn1.algorithm(cmsparts.ID_RSA, asn1.NULL),
        cmsparts.octets(bytes(256)),
    )
    return cmsparts.signed_data(b"x", [info], draft.certificates)


@check(
    "T98",
    Class.SECURITY,
    "messages that are built to be expensive are refused quickly",
    section="RFC 8894 4.3",
    remedy="limit the size of bodies (64 KiB are plenty), the depth of nesting (32) and the number "
    "of elements, before decoding",
    needs={Need.CA, Need.INTRUSIVE},
    seconds=120,
)
def bombs(probe: Probe) -> Verdict:
    """Nesting, chains without an end, monstrous lengths, myriads of elements (A15)."""
    certificate = Requester(probe.session.keys.take(), "CN=nobody").identity().der
    count = 100_000 if len(certificate) < 100 else 4_000
    bodies = {
        "10 000 nested SEQUENCEs": _nested(10_000, indefinite=False),
        "10 000 nested indefinite lengths": _nested(10_000, indefinite=True),
        "an indefinite chain without an end": b"\x30\x80" * 10_000,
        "a length of 2^63": b"\x30\x88\x80" + bytes(7) + b"\x06\x01\x2a",
        "100 000 attributes": _many_attributes(probe),
        f"{count} certificates": cmsparts.signed_data(b"x", [], [certificate] * count),
        "100 000 empty OCTET STRINGs": asn1.content_info(
            ID_SIGNED_DATA, b"\x24\x80" + b"\x04\x00" * 100_000 + b"\0\0"
        ),
    }

    def verdict(exchange: Exchange) -> Verdict:
        if exchange.seconds > _QUICK:
            return failed(f"it took {exchange.seconds:.1f} s, expected a refusal at once")
        if exchange.response is None:
            # Who closes on a body that is too long has refused it.
            return warned(f"refused without words: {exchange.error}")
        return _as_refusal(exchange)

    parts = [(what, verdict(probe.post(body, what=what))) for what, body in bodies.items()]
    return together([*parts, _alive(probe)])


@check(
    "T99",
    Class.SECURITY,
    "a huge body, a slow one and one of a wrong length do not keep others from being served",
    section="RFC 9110 15.5.14, 15.5.9; RFC 9112 6",
    remedy="refuse bodies above a limit with 413 before reading them, end slow requests with 408 "
    "after some seconds, and serve other connections meanwhile",
    needs={Need.INTRUSIVE},
    seconds=120,
)
def bodies(probe: Probe) -> Verdict:
    """10 MiB; a byte at a time; a Content-Length that is not true; chunks."""
    parts = [("10 MiB", _huge(probe)), ("a byte at a time", _slow(probe))]
    kind = f"Content-Type: {PKI_MESSAGE_TYPE}"
    query = "operation=PKIOperation"
    short = probe.request_head("POST", query, kind, "Content-Length: 5", "Connection: close")
    found = probe.raw("POST", [Piece(short + b"0123456789")], what="more than Content-Length says")
    parts.append(("more than Content-Length says", _no_crash(found)))
    chunked = probe.request_head("POST", query, kind, "Transfer-Encoding: chunked",
                                 "Connection: close")  # fmt: skip
    found = probe.raw("POST", [Piece(chunked + b"5\r\n01234\r\n0\r\n\r\n")], what="chunked")
    parts.append(("chunks", _no_crash(found)))
    both = probe.request_head("POST", query, kind, "Content-Length: 5",
                              "Transfer-Encoding: chunked", "Connection: close")  # fmt: skip
    found = probe.raw("POST", [Piece(both + b"0\r\n\r\n")], what="length and chunks")
    parts.append(("Content-Length and chunks", _no_crash(found)))
    return together([*parts, _alive(probe)])


def _no_crash(exchange: Exchange) -> Verdict:
    if exchange.response is None:
        closed = "closed" in exchange.error or "reset" in exchange.error
        return passed(exchange.error) if closed else failed(exchange.error)
    return _as_refusal(exchange)


def _huge(probe: Probe) -> Verdict:
    size = 10 * 1024 * 1024
    head = probe.request_head(
        "POST",
        "operation=PKIOperation",
        f"Content-Type: {PKI_MESSAGE_TYPE}",
        f"Content-Length: {size}",
        "Connection: close",
    )
    block = bytes(64 * 1024)
    pieces = [Piece(head), *(Piece(block, pause=0.0005) for _ in range(size // len(block)))]
    found = probe.raw("POST", pieces, what="10 MiB of zeros", seconds=30)
    return _no_crash(found)


def _slow(probe: Probe) -> Verdict:
    """While one connection dawdles, another one is to be served."""
    from threading import Thread

    head = probe.request_head(
        "POST",
        "operation=PKIOperation",
        f"Content-Type: {PKI_MESSAGE_TYPE}",
        "Content-Length: 1000",
        "Connection: close",
    )
    pieces = [Piece(head), *(Piece(b"0", pause=0.5) for _ in range(12))]
    slow = Thread(target=lambda: probe.raw("POST", pieces, what="a byte at a time", seconds=8))
    slow.start()
    time.sleep(1.0)  # the slow one is under way
    quick = probe.operation("GetCACert")
    slow.join()
    if quick.status != 200 or quick.seconds > _QUICK:
        return failed(f"another client had to wait {quick.seconds:.1f} s ({quick.status})")
    return passed(f"another client was served in {quick.seconds * 1000:.0f} ms meanwhile")


@check(
    "T100",
    Class.SECURITY,
    "a transactionID that is code for something is opaque, or refused",
    section="RFC 8894 3.2.1.1",
    remedy="never use the transactionID as a file name, in SQL, in logs or in HTML as it came; "
    "refuse what is not a PrintableString of at most 255 characters",
    needs={Need.ISSUE},
)
def evil_ids(probe: Probe) -> Verdict:
    """Paths, line breaks, NUL, markup, SQL, 64 KiB (A18)."""
    unique = secrets.token_hex(4)
    ids = {
        "a path": f"../../../tmp/{unique}",
        "CR LF": f"{unique}\r\nX-Injected: yes",
        "NUL": f"{unique}\0more",
        "markup": f"<script>alert('{unique}')</script>",
        "SQL": f"{unique}' OR 1=1 --",
        "64 KiB": unique * 8192,
    }

    def verdict(what: str, text: str) -> Verdict:
        answer = probe.enrol(transaction_id=text, what=f"transactionID with {what}")
        if answer.success or answer.pending:
            came = answer.reply.transaction_id if answer.reply else None
            if came != text:
                return failed(f"{answer.said}, and the transactionID came back changed")
            return passed(f"{answer.said}, taken as it is")
        refused = must_refuse(answer)
        if text[:200] in answer.exchange.body.decode("latin-1") and what == "markup":
            kind = answer.exchange.content_type
            if "html" in kind:
                return failed("the markup stands in an HTML answer")
        return refused

    parts = [(what, verdict(what, text)) for what, text in ids.items()]
    return together([*parts, _alive(probe)])


#: What programs say when they fall over, and what only their makers need to know.
_DISCLOSURES = {
    "a stack trace": re.compile(
        r"Traceback \(most recent|goroutine \d+ \[|^\s+at [\w.$]+\([\w.]+:\d+\)|"
        r"\b(java|javax|sun|org\.bouncycastle)\.[\w.]+Exception|System\.\w+Exception",
        re.MULTILINE,
    ),
    "a path": re.compile(
        r"(?:^|[\s'\"(:])(?:/(?:usr|home|opt|var|etc|srv|root|app|tmp)/[\w./-]+|[A-Z]:\\[\w\\.-]+)"
    ),
    "a version": re.compile(
        r"\b(?:openssl|go|python|java|tomcat|jetty|wildfly|jboss|php|apache|nginx|iis)[/ -]"
        r"v?\d+\.\d+",
        re.IGNORECASE,
    ),
    "a statement of SQL": re.compile(r"\b(SELECT|INSERT|UPDATE|DELETE)\b .+\b(FROM|INTO|SET)\b"),
    "a source file": re.compile(r"\b[\w/]+\.(?:go|py|java|rs|c|cs|php):\d+\b"),
}


@check(
    "T102",
    Class.SHOULD,
    "refusals disclose no stack traces, paths or versions",
    section="RFC 8894 3.2.1.4",
    remedy="answer with a short text of your own, and keep the details for your log",
)
def disclosures(probe: Probe) -> Verdict:
    """The texts of several refusals (A20)."""
    exchanges = [
        probe.post(b"not a message", what="rubbish"),
        probe.post(b"\x30\x03\x02\x01\x05", what="other DER"),
        probe.get("operation=GetNothing"),
        probe.get("operation=PKIOperation&message=%25%25%25"),
    ]
    texts = [(one.what, one.body.decode("utf-8", "replace")) for one in exchanges]
    if probe.session.ca is not None and probe.session.recipient_is_rsa:
        requester = probe.requester(challenge="scepkit-check-no-challenge")
        answer = probe.enrol(requester, data=b"\x30\x00", what="an empty CSR")
        texts.append((answer.message.what, answer.exchange.body.decode("utf-8", "replace")))
        if answer.reply is not None:
            texts.append(("failInfoText", answer.reply.fail_info_text))
    parts = []
    for what, text in texts:
        found = [
            f"{kind} ({match[0].strip()[:80]!r})"
            for kind, pattern in _DISCLOSURES.items()
            if (match := pattern.search(text))
        ]
        parts.append((what, failed("; ".join(found)) if found else passed("nothing")))
    return together(parts, good="nothing of that kind")
