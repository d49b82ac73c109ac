"""What a strict server checks of a request, in its order (RFC 8894 sections 2 to 4).

The rule of this file: each function is one stage, and the next stage is only of use when the one
before has found what it reads.
"""

from __future__ import annotations

from collections.abc import Iterator

from scepkit.core.http import PKI_MESSAGE_TYPE
from scepkit.core.inspect.explain_layers import (
    BAD_ALG,
    BAD_CHECK,
    BAD_REQUEST,
    UNREADABLE,
    attributes_right,
    cipher,
    encoding,
    signed_right,
)
from scepkit.core.inspect.explanation import Check, Verdict, noted, odd
from scepkit.core.inspect.values import CsrInfo, EnvelopeInfo, HttpInfo, Inspection
from scepkit.core.messages import MessageType

_LAYERS = {"EnvelopedData", "CertificationRequest", "IssuerAndSubject", "IssuerAndSerialNumber"}
_OTHER_OPERATIONS = {"GetCACaps", "GetCACert", "GetNextCACert"}
# What cannot be read or verified has no transactionID that a server could believe; some try.
_OR_BAD_ALG = f"HTTP 400, or {BAD_ALG}"
_OR_BAD_CHECK = f"HTTP 400, or {BAD_CHECK}"
# A careful server answers all that it cannot open, or not believe once it is open, alike.
_UNOPENED = f"{BAD_CHECK}, or {BAD_REQUEST}"
_NUMBERS = {int(one) for one in MessageType}


def checks(found: Inspection) -> Iterator[Check]:
    """The checks of a request, of one of its layers, or of the HTTP around one."""
    if found.http is not None:
        yield from _way(found, found.http)
    if found.kind == "HTTP":
        return
    yield from encoding(found)
    if found.kind == "pkiMessage":
        yield from signed_right(found, _OR_BAD_ALG, _OR_BAD_CHECK)
        yield from _signer(found)
        yield from attributes_right(found)
        yield from _message_type(found)
        yield from _envelope(found)
    elif found.kind not in _LAYERS:
        text = f"it is a {found.kind}, expected a pkiMessage"
        remedy = "send the signed message, not a layer of it"
        yield Check("what it is", "fails", text, UNREADABLE, remedy, "RFC 8894 3")
        return
    yield from _content(found)


# ------------------------------------------------------------------ HTTP


def _way(found: Inspection, http: HttpInfo) -> Iterator[Check]:
    step = "HTTP request"
    if http.method not in ("GET", "POST"):
        remedy = "use POST, or GET where POSTPKIOperation is not announced"
        yield Check(step, "fails", f"it is {http.method}", "HTTP 405", remedy, "RFC 8894 4.1")
    if http.operation in _OTHER_OPERATIONS:
        yield Check(step, "ok", f"it asks for {http.operation}, without a message")
        return
    yield _operation(http)
    if http.method == "POST" and http.content_type != PKI_MESSAGE_TYPE:
        text = f"it is {http.content_type or 'missing'}, expected {PKI_MESSAGE_TYPE}"
        answer = "HTTP 415 from some servers and firewalls"
        yield Check("Content-Type", "risk", text, answer, f"send {PKI_MESSAGE_TYPE}", "Q14")
    answer = "HTTP 411 from some servers"
    yield from noted(found, "HTTP body", "risk", ("Q33",), answer, "send a Content-Length")
    if found.kind == "HTTP":
        text = odd(found, "RFC 8894 4.1", "RFC 9112 8")
        remedy = "the body of a POST is the bare DER, without PEM, base64 or form fields"
        yield Check("message", "fails", text, "HTTP 400", remedy, "RFC 8894 4.1")


def _operation(http: HttpInfo) -> Check:
    step, remedy = "HTTP request", "add ?operation=PKIOperation to the URL, written like this"
    if http.operation == "PKIOperation":
        return Check(step, "ok", f"{http.method} with operation=PKIOperation")
    if http.operation is None:
        text = "the URL has no operation="
        return Check(step, "risk", text, "HTTP 400 or 404", remedy, "RFC 8894 4.1")
    text = f"there is no operation {http.operation[:40]!r}"
    return Check(step, "fails", text, "HTTP 400", remedy, "RFC 8894 4.1")


# ------------------------------------------------------------------ who asks for what


def _signer(found: Inspection) -> Iterator[Check]:
    for code, remedy in (
        ("Q53", "name the certificate that is sent, its issuer byte for byte"),
        (
            "RFC 8894 2.3:digitalSignature",
            "give the certificate digitalSignature, and keyEncipherment for the reply",
        ),
        ("Q30", "make the certificate in DER, version 3, signed with SHA-256"),
    ):
        yield from noted(found, "signer", "risk", (code,), BAD_CHECK, remedy)


def _message_type(found: Inspection) -> Iterator[Check]:
    kind = found.attributes.message_type if found.attributes else None
    if kind is None:
        return
    step = "messageType"
    if kind.number in _NUMBERS:
        yield Check(step, "ok", f"{kind.name} ({kind.number})")
        return
    text = odd(found, "RFC 8894 3.2.1.2")
    remedy = "use 19 to enrol, 17 to renew, 20 to poll"
    yield Check(step, "fails", text, BAD_REQUEST, remedy, "RFC 8894 3.2.1.2")


def _envelope(found: Inspection) -> Iterator[Check]:
    inner = found.content
    if inner is None or inner.envelope is None:
        text = odd(found, "RFC 8894 3.2", "RFC 8894 3.2.2", "RFC 8894 3.1")
        remedy = "encrypt the request to the CA's or RA's certificate"
        yield Check("envelope", "fails", text, _UNOPENED, remedy, "RFC 8894 3.1")
        return
    yield from cipher(found, inner.envelope, BAD_ALG)
    yield from _recipient(found, inner.envelope)
    yield _decryption(inner.envelope)


def _recipient(found: Inspection, info: EnvelopeInfo) -> Iterator[Check]:
    faults = [
        *noted(
            found,
            "recipient",
            "fails",
            ("Q40",),
            BAD_CHECK,
            "encrypt to the certificate with keyEncipherment that GetCACert sends now; a rollover "
            "changes it",
        ),
        *noted(
            found,
            "recipient",
            "fails",
            ("RFC 8894 3.1:recipients",),
            BAD_CHECK,
            "encrypt to the CA or the RA alone",
        ),
    ]
    shown = "; ".join(one.recipient or one.kind for one in info.recipients)
    if info.decryption == "done":
        yield from faults or [Check("recipient", "ok", shown)]
    else:
        remedy = "compare with `scepkit ca`, or give the server's certificate with --cert"
        yield from faults or [Check("recipient", "unseen", shown, remedy=remedy)]


def _decryption(info: EnvelopeInfo) -> Check:
    step = "decryption"
    if info.decryption == "done":
        return Check(step, "ok", "the key opens it")
    if info.decryption == "not tried":
        text = "nothing was given to decrypt with"
        return Check(step, "unseen", text, remedy="give the server's key with --key")
    remedy = "encrypt to the certificate that the server decrypts with"
    return Check(step, "fails", info.decryption, BAD_CHECK, remedy, "RFC 5652 6.3")


# ------------------------------------------------------------------ what is asked for


def _content(found: Inspection) -> Iterator[Check]:
    inner = found.layers[-1]
    yield from noted(
        found,
        "messageData",
        "fails",
        ("RFC 8894 3.2.2", "RFC 2986 4"),
        _UNOPENED,
        "put into the message what its messageType wants",
    )
    if inner.query is not None:
        yield Check("messageData", "ok", inner.kind)
    if inner.csr is not None:
        yield from _wishes(found, inner.csr)


def _wishes(found: Inspection, csr: CsrInfo) -> Iterator[Check]:
    step = "PKCS#10 request"
    if csr.signature == "valid":
        yield Check(step, "ok", f"it is signed with its own key ({csr.key})")
    else:
        remedy = "sign the request with the key in it"
        text = f"its own signature is {csr.signature}"
        yield Check(step, "fails", text, _UNOPENED, remedy, "RFC 2986 4.2")
    for code, verdict, answer, remedy in _WHO_ASKS:
        yield from noted(found, "who asks", verdict, (code,), answer, remedy)
    remedy = "use RSA 2048 or more, or EC P-256"
    yield from noted(found, "keys", "fails", ("A24",), BAD_REQUEST, remedy)
    yield from noted(found, "wishes", "risk", ("A8",), BAD_REQUEST, "leave basicConstraints out")
    yield _challenge(found, csr.challenge_password)


_WHO_ASKS: tuple[tuple[str, Verdict, str, str], ...] = (
    (
        "RFC 8894 2.3:another key",
        "fails",
        _UNOPENED,
        "sign the message with the key of the request (A1)",
    ),
    (
        "Q04",
        "risk",
        BAD_REQUEST,
        "give both the same subject, or let the server compare keys alone",
    ),
    (
        "RFC 8894 2.4:RenewalReq",
        "fails",
        BAD_REQUEST,
        "sign a RenewalReq with the certificate that is renewed, or send a PKCSReq",
    ),
)


def _challenge(found: Inspection, state: str) -> Check:
    step = "challengePassword"
    if state == "present":
        text = "it is there; whether it is right, only the server knows"
        remedy = "ask for a new one: it may be used, expired, or for another name"
        return Check(step, "unseen", text, remedy=remedy)
    kind = found.attributes.message_type if found.attributes else None
    if kind is not None and kind.number == MessageType.RENEWAL_REQ:
        return Check(step, "ok", f"it is {state}: a renewal needs none")
    remedy = "enter the challenge on the device; what has none waits for approval, or is refused"
    return Check(step, "fails", f"it is {state}", BAD_REQUEST, remedy, "RFC 8894 2.4")
