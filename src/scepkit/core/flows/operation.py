"""One exchange with the server, and one PKIOperation (RFC 8894 sections 4.1 and 4.3).

The rule of this file: every reply goes through `messages.open_reply`.
"""

from __future__ import annotations

from datetime import datetime

from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.core import http, messages
from scepkit.core.certificates import CertificateView
from scepkit.core.enrolment import Pending, Requester
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.flows.steps import Flow, KnownCa, Started
from scepkit.core.http import Endpoint, HttpRequest, HttpResponse
from scepkit.core.messages import CertRep, MessageData
from scepkit.errors import DecodeError, HttpStatusError, InputError


def as_password(challenge: str | None) -> Password | None:
    """The challengePassword as a key for contents; None when there is none, or an empty one.

    :raises InputError: it is not valid Unicode.
    """
    try:
        return Password(challenge.encode("utf-8")) if challenge else None
    except UnicodeEncodeError:
        # Not chained: that exception holds the password.
        raise InputError("the challenge password is not valid Unicode") from None


def ask(
    ca: KnownCa,
    data: MessageData,
    requester: Requester,
    secret: Password | None,
    transaction_id: str,
    now: datetime,
    *,
    max_response: int = http.MAX_RESPONSE,
    starting: Pending | None = None,
) -> Flow[tuple[CertRep, HttpResponse]]:
    """Send one message and open the reply to it.

    :param starting: announced when the message is ready to leave.
    """

    nonce = messages.new_nonce()
    can_decrypt = isinstance(requester.key, rsa.RSAPrivateKey)
    if not can_decrypt and secret is None:
        raise InputError(
            "a key that is not RSA cannot decrypt replies; RFC 8894 section 3.1 uses the "
            "challengePassword instead, and none was given",
            hint="give the challenge, or use an RSA key",
        )
    body = messages.encode_request(
        data,
        transaction_id=transaction_id,
        sender_nonce=nonce,
        signer=requester.signer(),
        recipient=_recipient(ca, secret),
        protection=ca.protection,
        signing_time=now,
    )
    if starting is not None:
        yield Started(starting)
    hint = _OLD_RENEWAL if isinstance(data, messages.RenewalReq) else ""
    response = yield from _pki_operation(ca, body, max_response, hint)
    decrypt_with: DecryptionKey | Password | None = (
        requester.decryption_key() if can_decrypt else secret
    )
    try:
        reply = messages.open_reply(
            response.body,
            transaction_id=transaction_id,
            sender_nonce=nonce,
            signers=ca.signers,
            decrypt_with=decrypt_with,
            allow_legacy=ca.preferences.accept_legacy_replies,
        )
    except DecodeError as error:
        instead = _text_instead(response)
        if instead is None:
            raise
        raise instead from error
    return reply, response


def _recipient(ca: KnownCa, secret: Password | None) -> CertificateView | Password:

    if isinstance(ca.recipient.public_key(), rsa.RSAPublicKey):
        return ca.recipient
    if secret is None:
        raise InputError(
            "the CA has no RSA key to encrypt to; RFC 8894 section 3.1 uses the challengePassword "
            "instead, and none was given",
            hint="give the challenge, or ask for an RSA RA certificate in front of the CA",
        )
    return secret


def _pki_operation(ca: KnownCa, body: bytes, max_response: int, hint: str) -> Flow[HttpResponse]:
    post = ca.capabilities.post if ca.preferences.post is None else ca.preferences.post
    request = http.pki_operation_request(ca.endpoint, body, post=post, max_response=max_response)
    response = yield from exchange(request)
    if response.status in {405, 501} and ca.preferences.post is None:
        # The method is refused before anything was looked at, so the other one may be tried (Q41).
        other = http.pki_operation_request(
            ca.endpoint, body, post=not post, max_response=max_response
        )
        response = yield from exchange(other)
    if response.status != 200:
        raise status_error(response, ca.endpoint, "PKIOperation", hint)
    return response


def exchange(request: HttpRequest) -> Flow[HttpResponse]:
    """Have one HTTP request sent."""
    answer = yield request
    if not isinstance(answer, HttpResponse):
        raise TypeError("the driver sent no HttpResponse for an HttpRequest")
    return answer


def expect_ok(response: HttpResponse, endpoint: Endpoint, operation: str) -> None:
    """Return if the server answered with the status 200.

    :raises HttpStatusError: it did not.
    """
    if response.status != 200:
        raise status_error(response, endpoint, operation)


#: Before RFC 8894 "Renewal" stood for a PKCSReq signed with the old certificate; jscep, which means
#: that, answers a RenewalReq with 500.
_OLD_RENEWAL = (
    "if the server knows drafts of RFC 8894 only, it may take a PKCSReq for a renewal: "
    "renewal=False (--message-type PKCSReq)"
)
_BUSY = frozenset({429, 503})
_STATUS_HINTS = {
    401: "the server wants a user name and password: basic_auth (--basic-auth-file)",
    403: "the server forbids it; is the path right, and may this address ask?",
    404: "check the path of the URL and the profile",
    407: "the proxy wants a user name and password",
    413: "the message is too large for the server; use POST",
    414: "the query is too long for the server (IIS: maxQueryString); use POST",
}


def status_error(
    response: HttpResponse, endpoint: Endpoint, operation: str, fault_hint: str = ""
) -> HttpStatusError:
    """The error for an HTTP status, with what the server said and what may help.

    :param fault_hint: what may help when the server itself has failed (500).
    """
    excerpt = http.body_excerpt(response.body)
    said = f": {excerpt!r}" if excerpt else ""
    retry_after = http.retry_after_seconds(response.retry_after, response.received_at)
    hint = fault_hint if response.status == 500 else _STATUS_HINTS.get(response.status, "")
    if response.status in _BUSY:
        when = "later" if retry_after is None else f"in {retry_after:.0f} s, as it asks for"
        hint = f"the server is busy, or limits how often it is asked; try again {when}"
    return HttpStatusError(
        f"the server answered {operation} with HTTP status {response.status}{said}",
        status=response.status,
        url=str(endpoint),
        excerpt=excerpt,
        retry_after=retry_after,
        hint=hint,
    )


def _text_instead(response: HttpResponse) -> DecodeError | None:
    """What came instead of a CertRep, when it is nothing or text."""
    if not response.body:
        return DecodeError("the server's reply to PKIOperation is empty")
    excerpt = http.body_excerpt(response.body)
    if response.body[:1] == b"0" or not excerpt:
        return None
    return DecodeError(
        f"the server's reply to PKIOperation is not a SCEP message but text: {excerpt!r}",
        title=http.html_title(response.body) or "",
        hint="this is often a log-in page, a proxy, or a wrong path",
    )
