"""What a strict client checks of a CertRep, in its order (RFC 8894 sections 2.3, 3 and 4).

The rule of this file: as in `explain_request`; what a client compares with its request is unseen
without that.
"""

from __future__ import annotations

from collections.abc import Iterator

from scepkit.core.certificates import load_readable, public_key_der, view_of
from scepkit.core.chains import Facts, issue_fault
from scepkit.core.http import PKI_MESSAGE_TYPE
from scepkit.core.inspect.explain_layers import (
    attributes_right,
    cipher,
    encoding,
    signed_right,
)
from scepkit.core.inspect.explanation import Check, Known, noted, odd
from scepkit.core.inspect.values import (
    CertificateInfo,
    EnvelopeInfo,
    HttpInfo,
    Inspection,
    ScepAttributes,
)
from scepkit.core.messages import MessageType, PkiStatus
from scepkit.errors import FailInfo

_REFUSES = "an error; nothing is installed"
_REPORTS = "it reports the refusal"
_NEEDS_REQUEST = "give the request with --request"

# Of a reply's certificates, so many are tried as the issuer's: each with each costs a signature.
_MOST_IN_A_CHAIN = 10
#: What a status means, and what to do.
_STATUSES = {
    301: ("the server has moved", "configure the address that it names"),
    302: ("the server has moved, or a portal wants a login", "configure the address it names"),
    307: ("the server has moved", "configure the address that it names"),
    400: ("the server cannot read the request at all", "inspect the request with --explain"),
    401: ("the web server wants a password", "give the client one, or open the path"),
    403: ("the web server forbids it", "open the path for clients without a login"),
    404: ("there is nothing at this address", "correct the path; try /cgi-bin/pkiclient.exe"),
    405: ("the server takes no POST", "use GET: it does not announce POSTPKIOperation"),
    411: ("the server wants a Content-Length", "do not send chunks"),
    413: ("the request is too large for the server", "raise its limit"),
    414: ("the URL is too long", "use POST, or raise the limit of the web server"),
    415: ("the server wants another Content-Type", f"send {PKI_MESSAGE_TYPE}"),
    429: ("the server has too much to do", "wait as long as Retry-After says"),
    500: ("the server has failed", "look into its log; some answer any bad request like this"),
    503: ("the server has too much to do", "wait as long as Retry-After says"),
}
#: What a failInfo means in practice, and what to do.
_FAILURES = {
    FailInfo.BAD_ALG: (
        "an algorithm or key is not accepted",
        "compare cipher, digest and key with what GetCACaps announces and the CA allows",
    ),
    FailInfo.BAD_MESSAGE_CHECK: (
        "the server could not decrypt or verify the message",
        "fetch the CA's certificates again: it may have others by now",
    ),
    FailInfo.BAD_REQUEST: (
        "the server does not allow this request",
        "look at the challenge first (used, expired, for another name), then at the names",
    ),
    FailInfo.BAD_TIME: (
        "the message's time is too far from the server's",
        "set the device's clock",
    ),
    FailInfo.BAD_CERT_ID: (
        "there is no such certificate or transaction",
        "compare issuer, serial number and transactionID",
    ),
}


def checks(found: Inspection, known: Known) -> Iterator[Check]:
    """The checks of a reply."""
    if found.http is not None:
        yield from way(found, found.http, PKI_MESSAGE_TYPE)
    if found.kind == "HTTP":
        return
    yield from encoding(found)
    if found.attributes is None:
        text = f"it is a {found.kind}, expected a pkiMessage"
        remedy = "ask for PKIOperation at the SCEP address"
        yield Check("what it is", "fails", text, _REFUSES, remedy, "RFC 8894 3")
        return
    yield from signed_right(found, _REFUSES, _REFUSES)
    yield _signer(found, known)
    # RFC 8894's own example has no senderNonce, and a refusal is one without a reason.
    yield from attributes_right(found, "senderNonce", "failInfo")
    yield from _belongs(found.attributes, known)
    yield from _status(found, found.attributes, known)


def way(found: Inspection, http: HttpInfo, expected: str) -> Iterator[Check]:
    """The HTTP around what a server sends."""
    if http.status != 200:
        what, remedy = _STATUSES.get(http.status, ("the server refuses", "ask its operator"))
        text = f"{http.status} {http.reason}".strip() + f": {what}"
        yield Check("HTTP status", "fails", text, "it reports it", remedy, "RFC 8894 4.1")
    else:
        yield Check("HTTP status", "ok", "200")
        if found.kind == "HTTP":
            remedy = "this is not the SCEP server: a login page, a proxy, or another path"
            text = odd(found, "RFC 8894 4.1")
            yield Check("message", "fails", text, _REFUSES, remedy, "RFC 8894 4.1")
    if found.kind != "HTTP" and http.content_type != expected:
        text = f"it is {http.content_type or 'missing'}, expected {expected}"
        answer = "some clients read nothing else"
        yield Check("Content-Type", "risk", text, answer, f"let the server send {expected}", "Q14")


# ------------------------------------------------------------------ whose reply it is


def _signer(found: Inspection, known: Known) -> Check:
    step = "signer"
    signer = found.signature.signer if found.signature else None
    if not known.authorities:
        remedy = "give the certificates that `scepkit ca` fetches with --ca-cert"
        return Check(step, "unseen", "whether it is the CA, or an RA of it", remedy=remedy)
    keys = {view_of(one).spki for one in known.authorities}
    if signer is not None and signer.spki in keys:
        return Check(step, "ok", "it is one of the CA's certificates")
    remedy = "let GetCACert offer the certificate that signs; another one is a forgery"
    text = "it is none of the CA's certificates"
    return Check(step, "fails", text, _REFUSES, remedy, "RFC 8894 2.3")


def _belongs(attributes: ScepAttributes, known: Known) -> Iterator[Check]:
    kind = attributes.message_type
    if kind is not None and kind.number != MessageType.CERT_REP:
        text = f"it is {kind.name}, expected CertRep"
        remedy = "let the server send 3 in replies"
        yield Check("messageType", "fails", text, _REFUSES, remedy, "RFC 8894 3.2.1.2")
    asked = known.request.attributes if known.request else None
    if asked is None:
        text = "whether transactionID and nonce are the request's"
        yield Check("whose answer", "unseen", text, remedy=_NEEDS_REQUEST)
        return
    for name, mine, sent in (
        ("transactionID", asked.transaction_id, attributes.transaction_id),
        ("recipientNonce", asked.sender_nonce, attributes.recipient_nonce),
    ):
        if mine == sent:
            yield Check(name, "ok", "it is the request's")
        else:
            remedy = "this answers another request: look for a cache, or a mixed-up capture"
            text = "it is not the request's"
            yield Check(name, "fails", text, _REFUSES, remedy, "RFC 8894 3.2.1")


# ------------------------------------------------------------------ what it says


def _status(found: Inspection, attributes: ScepAttributes, known: Known) -> Iterator[Check]:
    status = attributes.pki_status.number if attributes.pki_status else None
    match status:
        case PkiStatus.FAILURE:
            yield _failure(attributes)
        case PkiStatus.PENDING:
            remedy = "approve it at the CA; the client must poll with the same key"
            yield Check("pkiStatus", "ok", "PENDING: somebody has to approve it", remedy=remedy)
        case PkiStatus.SUCCESS:
            yield Check("pkiStatus", "ok", "SUCCESS")
            yield from _success(found, known)
        case _:
            text = odd(found, "RFC 8894 3.2.1.3") or "there is none"
            remedy = "let the server send 0, 2 or 3"
            yield Check("pkiStatus", "fails", text, _REFUSES, remedy, "RFC 8894 3.2.1.3")


def _failure(attributes: ScepAttributes) -> Check:
    code = attributes.fail_info
    text = f" ({attributes.fail_info_text})" if attributes.fail_info_text else ""
    for one, (what, remedy) in _FAILURES.items():
        if code is not None and code.number == one:
            said = f"FAILURE {code.name} ({one:d}): {what}{text}"
            return Check("pkiStatus", "fails", said, _REPORTS, remedy, "RFC 8894 3.2.1.4")
    said = f"FAILURE with {f'failInfo {code.name}' if code else 'no failInfo'}{text}"
    remedy = "ask the CA's operator: the server's log knows"
    return Check("pkiStatus", "fails", said, _REPORTS, remedy, "Q41")


def _success(found: Inspection, known: Known) -> Iterator[Check]:
    inner = found.content
    if inner is None or inner.envelope is None:
        text = odd(found, "RFC 8894 3.3.2.1", "RFC 8894 3.2.2", "RFC 8894 3.1")
        remedy = "let the server encrypt the certificate to the request's signer"
        yield Check("envelope", "fails", text, _REFUSES, remedy, "RFC 8894 3.3.2.1")
        return
    yield from cipher(found, inner.envelope, _REFUSES)
    yield _recipient(inner.envelope, known)
    decryption = inner.envelope.decryption
    if decryption == "done":
        yield from _certificates(found, known)
    elif decryption == "not tried":
        remedy = "give the key that signed the request with --key"
        text = "nothing was given to decrypt with"
        yield Check("decryption", "unseen", text, remedy=remedy)
    else:
        remedy = "encrypt to the certificate that signed the request, not to the issued one"
        yield Check("decryption", "fails", decryption, _REFUSES, remedy, "RFC 8894 3.1")


def _recipient(info: EnvelopeInfo, known: Known) -> Check:
    step, shown = "recipient", "; ".join(one.recipient or one.kind for one in info.recipients)
    asked = known.request.signature if known.request else None
    if asked is None:
        if info.decryption == "done":
            return Check(step, "ok", shown)
        return Check(step, "unseen", shown, remedy=_NEEDS_REQUEST)
    if any(one.recipient in ("", asked.signer_id) for one in info.recipients):
        return Check(step, "ok", "it is who signed the request")
    text = f"it is {shown}; the request was signed by {asked.signer_id}"
    remedy = "encrypt to the certificate that signed the request"
    return Check(step, "risk", text, "some clients find no recipient", remedy, "RFC 8894 3.1")


def _certificates(found: Inspection, known: Known) -> Iterator[Check]:
    inside = found.layers[-1]
    if not inside.certificates:
        if not inside.crls:
            text = odd(found, "RFC 8894 3.2.2") or "there is no certificate in it"
            remedy = "let the server put the certificate in"
            yield Check("content", "fails", text, _REFUSES, remedy, "RFC 8894 3.4")
        return
    remedy = "send the issued certificate first"
    yield from noted(found, "order", "risk", ("Q57",), "some clients install the first", remedy)
    wanted = _wanted_keys(known)
    mine = next((one for one in inside.certificates if one.spki in wanted), None)
    if mine is not None:
        yield Check("certificate", "ok", f"it is for the requested key: {mine.subject}")
        yield from _issuer(mine, inside, known)
        yield from _validity(found, mine)
    elif not wanted:
        text = "whether it is for the requested key"
        yield Check("certificate", "unseen", text, remedy=_NEEDS_REQUEST)
    else:
        text = "none is for the requested key"
        remedy = "let the server answer each transaction with its own certificate"
        yield Check("certificate", "fails", text, _REFUSES, remedy, "RFC 8894 3.3.2.1")


def _issuer(mine: CertificateInfo, inside: Inspection, known: Known) -> Iterator[Check]:
    """Whether the certificate hangs below the CA, perhaps by way of others in the reply."""
    encoded = [mine.der, *(one.der for one in inside.certificates[:_MOST_IN_A_CHAIN])]
    facts = {one: Facts(one) for one in load_readable(encoded)[0]}
    leaf = next((fact for one, fact in facts.items() if view_of(one).der == mine.der), None)
    if leaf is None or not known.authorities:
        return
    above = [Facts(one) for one in known.authorities]
    for _ in facts:
        above += [
            one
            for one in facts.values()
            if one.is_ca and one not in above and any(not issue_fault(one, up) for up in above)
        ]
    if any(not issue_fault(leaf, up) for up in above):
        yield Check("issuer", "ok", mine.issuer)
    else:
        text = f"it is {mine.issuer}, which is none of the CA's certificates"
        remedy = "let GetCACert offer the certificate of the CA that issues"
        yield Check("issuer", "fails", text, _REFUSES, remedy, "RFC 8894 3.3.2.1")


def _wanted_keys(known: Known) -> set[bytes]:
    """The key of the PKCS#10 request if that can be read, else those of who asked."""
    layers = known.request.layers if known.request else ()
    csrs = {layer.csr.spki for layer in layers if layer.csr}
    signers = {
        layer.signature.signer.spki
        for layer in layers
        if layer.signature and layer.signature.signer
    }
    own = {public_key_der(known.key.public_key())} if known.key else set()
    return csrs or signers | own


def _validity(found: Inspection, mine: CertificateInfo) -> Iterator[Check]:
    sent = found.attributes.signing_time if found.attributes else None
    begins = mine.not_before
    if sent and begins is not None and f"{begins:%Y-%m-%dT%H:%M:%SZ}" >= sent:
        text = "the certificate begins when it was sent, or later"
        answer = "a device whose clock is slow calls it not yet valid"
        remedy = "let the CA backdate certificates by an hour or more"
        yield Check("validity", "risk", text, answer, remedy, "Q31")
