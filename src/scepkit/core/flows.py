"""The conversations of a requester, without I/O (RFC 8894 sections 2.2 to 2.6 and 4).

Each operation is a generator.  It yields what it needs done, one step at a time, and is sent the
answer:

    HttpRequest   -> HttpResponse              send this
    Wait          -> datetime (the time after) let so many seconds pass
    VerifyCa      -> x509.Certificate          ask the caller's verifier which CA it vouches for
    Started       -> None                      tell the caller how to resume if the answer is lost

A driver may throw a `TransportError` into it instead of an answer.  The drivers in `scepkit.client`
are a loop each, one synchronous, one asynchronous; tests drive the same generators with no socket.

Rules of this file: nothing secret is yielded before the CA certificate is authenticated; every
reply goes through `messages.open_reply`; an issued certificate is the one for the requested key
and chains to the authenticated CA.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import replace
from datetime import datetime
from typing import TypeAlias, TypeVar, assert_never

from cryptography import x509

from scepkit.core import http, messages
from scepkit.core.algorithms import Cipher, Digest, KeyTransport
from scepkit.core.ca_certificates import CaCertificates, authenticate, verify_issued
from scepkit.core.ca_replies import read_ca_certificates, verify_next_ca
from scepkit.core.capabilities import Capabilities, Capability, parse_capabilities
from scepkit.core.certificates import (
    CertificateView,
    load_certificate,
    public_key_der,
    view_of,
)
from scepkit.core.chains import title
from scepkit.core.crl import read_crl
from scepkit.core.csr import ParsedCsr
from scepkit.core.enrolment import (
    EnrolmentResult,
    Issued,
    Pending,
    PollPolicy,
    Rejected,
    Requester,
    describe_failure,
)
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.http import Endpoint, HttpRequest, HttpResponse
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    Failure,
    GetCert,
    GetCrl,
    MessageData,
    PkcsReq,
    Protection,
    RenewalReq,
    StillPending,
    Success,
)
from scepkit.core.sentnames import read_name
from scepkit.core.trust import CaOffer, CaVerifier, fingerprint
from scepkit.errors import (
    AlgorithmError,
    DecodeError,
    HttpStatusError,
    InputError,
    NotSupportedError,
    ReplyMismatchError,
    RequestRejectedError,
    TransportError,
    TrustError,
)
from scepkit.values import field, frozen

T = TypeVar("T")


@frozen
class Wait:
    """Let `seconds` pass; `poll` is the number of the poll that follows, from 1."""

    seconds: float
    poll: int


@frozen
class VerifyCa:
    """Ask the caller's verifier which of the offered certificates it vouches for."""

    offer: CaOffer


@frozen
class Started:
    """The request is about to leave; `pending` can resume it should the answer get lost."""

    pending: Pending


Step: TypeAlias = HttpRequest | Wait | VerifyCa | Started
Answer: TypeAlias = HttpResponse | datetime | x509.Certificate | None
Flow: TypeAlias = Generator[Step, Answer, T]


@frozen
class Preferences:
    """What the caller wants otherwise than announced; None means "as the CA announces".

    Attributes:
        cipher, digest, key_transport: how requests are protected.
        post: True or False forces POST or GET for PKIOperation.
        accept_legacy_replies: read single DES and MD5 in replies (Q37, Q38); never sent.
        required: capabilities without which nothing is sent (RFC 8894 section 7.5).
        ra_certificates: the only certificates to take as this CA's RA, whatever their extended key
            usage; () when it has no RA.  None: those that look like an RA's (`authenticate`).
    """

    cipher: Cipher | None = None
    digest: Digest | None = None
    key_transport: KeyTransport | None = None
    post: bool | None = None
    accept_legacy_replies: bool = False
    required: frozenset[Capability] = frozenset()
    ra_certificates: tuple[x509.Certificate, ...] | None = None


@frozen
class KnownCa:
    """A CA whose certificates were authenticated and whose capabilities are known."""

    endpoint: Endpoint
    profile: str | None
    certificates: CaCertificates
    capabilities: Capabilities
    preferences: Preferences
    signers: tuple[CertificateView, ...] = field(repr=False)
    recipient: CertificateView = field(repr=False)

    @property
    def issuer_name(self) -> bytes:
        """The name under which the CA issues, as it is written in its certificate (DER)."""
        lead = view_of(self.certificates.ca)
        return lead.subject if self.certificates.issues else lead.issuer

    @property
    def protection(self) -> Protection:
        """How a request to this CA is protected."""
        wanted = self.preferences
        return Protection(
            wanted.cipher or self.capabilities.strongest_cipher,
            wanted.digest or self.capabilities.preferred_digest,
            wanted.key_transport or KeyTransport.RSA_PKCS1V15,
        )


# ------------------------------------------------------------------ getting to know the CA


def get_capabilities(endpoint: Endpoint, profile: str | None) -> Flow[Capabilities]:
    """GetCACaps.  A server that cannot answer it has no capabilities (RFC 8894 section 3.5.2)."""
    try:
        response = yield from _exchange(http.caps_request(endpoint, profile))
    except TransportError as error:
        # IIS closes the connection on operations it does not know (R86).
        if error.kind not in {"closed", "protocol", "too-large"}:
            raise
        return Capabilities(source="closed")
    if response.status in {408, 429} or response.status >= 502:
        raise _status_error(response, endpoint, "GetCACaps")
    if response.status != 200:
        return Capabilities(source="http-error")
    return parse_capabilities(response.body)


def fetch_offer(endpoint: Endpoint, profile: str | None) -> Flow[CaOffer]:
    """GetCACert: what the server offers, not yet authenticated."""
    response = yield from _exchange(http.ca_cert_request(endpoint, profile))
    _expect_ok(response, endpoint, "GetCACert")
    certificates = read_ca_certificates(response.body, response.content_type)
    return CaOffer(str(endpoint), profile, certificates)


def learn_ca(
    endpoint: Endpoint,
    profile: str | None,
    preferences: Preferences,
    now: datetime,
    previous: KnownCa | None = None,
) -> Flow[KnownCa]:
    """GetCACert, the caller's verifier, GetCACaps.

    :param previous: what was known before a refresh; a CA that suddenly offers less is refused.
    """
    offer = yield from fetch_offer(endpoint, profile)
    anchor = yield VerifyCa(offer)
    if not isinstance(anchor, x509.Certificate):
        raise TrustError("the CA verifier vouched for no certificate")
    certificates = authenticate(offer, anchor, now, ra_certificates=preferences.ra_certificates)
    capabilities = yield from get_capabilities(endpoint, profile)
    _check_capabilities(capabilities, preferences, previous)
    return KnownCa(
        endpoint=endpoint,
        profile=profile,
        certificates=certificates,
        capabilities=capabilities,
        preferences=preferences,
        signers=tuple(view_of(certificate) for certificate in certificates.signers),
        recipient=view_of(certificates.recipient),
    )


_PROTECTIVE = (Capability.AES, Capability.SHA256, Capability.POST_PKI_OPERATION)


def _check_capabilities(
    found: Capabilities, preferences: Preferences, previous: KnownCa | None
) -> None:
    missing = [one.value for one in preferences.required if not found.supports(one)]
    if previous is not None:
        before = previous.capabilities
        missing += [
            one.value for one in _PROTECTIVE if before.supports(one) and not found.supports(one)
        ]
    if missing:
        raise TrustError(
            f"the server does not announce {', '.join(sorted(set(missing)))}, which was "
            f"{'announced before' if previous else 'required'}; somebody between may have removed "
            "it (RFC 8894 section 7.5)",
            hint="compare with what `scepkit caps` shows from another network",
        )


# ------------------------------------------------------------------ enrolling


def enrol(
    ca: KnownCa,
    csr: ParsedCsr,
    requester: Requester,
    now: datetime,
    *,
    challenge: str | None = None,
    renewal: bool | None = None,
    transaction_id: str | None = None,
) -> Flow[EnrolmentResult]:
    """PKCSReq, or RenewalReq when the requester has a certificate and the CA announces Renewal.

    :param challenge: the secret for an EC requester or CA; by default the CSR's challengePassword.
    :param renewal: True or False for RenewalReq or PKCSReq whatever the CA announces.
    :raises InputError: `renewal` with a self-signed certificate, which nobody can be known by
        (RFC 8894 section 2.4), or no secret where one is needed.
    """
    _expect_issuer(ca)
    if renewal and requester.self_signed:
        raise InputError(
            "a RenewalReq is signed with a certificate that a CA has issued, and this one is "
            "self-signed",
            hint="give the certificate that is to be renewed, or send a PKCSReq",
        )
    secret = _secret(csr.challenge if challenge is None else challenge)
    pending = Pending(
        url=ca.endpoint.url,
        profile=ca.profile,
        transaction_id=transaction_id or messages.new_transaction_id(),
        subject=csr.subject_der,
        spki_sha256=Digest.SHA256.of(public_key_der(csr.public_key)),
        requester=view_of(requester.certificate).der,
        requester_chain=tuple(view_of(one).der for one in requester.chain),
        ca_fingerprint=Digest.SHA256.of(view_of(ca.certificates.anchor).der),
    )
    renewing = not requester.self_signed and ca.capabilities.renewal if renewal is None else renewal
    data = RenewalReq(csr.der) if renewing else PkcsReq(csr.der)
    reply, response = yield from _ask(
        ca, data, requester, secret, pending.transaction_id, now, starting=pending
    )
    return _conclude(ca, reply, response, pending, requested=csr.subject_der)


def _expect_issuer(ca: KnownCa) -> None:
    """Refuse to ask for a certificate that could not be verified afterwards."""
    if not ca.certificates.issues:
        raise TrustError(
            "only an RA's certificate is trusted here, so that an issued certificate could not be "
            "verified",
            fingerprints=(fingerprint(ca.certificates.anchor),),
            hint="trust the CA's certificate, and name the RA's with ra_certificates if needed",
        )


def poll(
    ca: KnownCa, pending: Pending, requester: Requester, now: datetime, *, challenge: str | None
) -> Flow[EnrolmentResult]:
    """CertPoll: ask once how the request stands (RFC 8894 section 4.4)."""
    anchor = Digest.SHA256.of(view_of(ca.certificates.anchor).der)
    if anchor != pending.ca_fingerprint:
        raise TrustError(
            f"the enrolment was sent to the CA with SHA-256 {pending.ca_fingerprint.hex()}, the "
            f"CA trusted now has {anchor.hex()}",
            fingerprints=(anchor.hex(),),
            hint="poll with the same CA certificate or fingerprint as the enrolment",
        )
    data = CertPoll(ca.issuer_name, pending.subject)
    reply, response = yield from _ask(
        ca, data, requester, _secret(challenge), pending.transaction_id, now
    )
    return _conclude(ca, reply, response, pending, requested=pending.subject)


def poll_until_done(
    ca: KnownCa,
    pending: Pending,
    requester: Requester,
    now: datetime,
    policy: PollPolicy,
    *,
    challenge: str | None,
) -> Flow[EnrolmentResult]:
    """Poll until the CA decides or the policy's limits are reached; then the last `Pending`.

    A server that is away for a while is asked again like one that says PENDING; the error is
    raised only when the limits are reached.
    """
    started = now
    polls = 0
    lost: TransportError | None = None
    while True:
        asked_for = lost.retry_after if lost else pending.retry_after
        seconds = policy.next_wait(polls, asked_for, (now - started).total_seconds())
        if seconds is None:
            break
        polls += 1
        moment = yield Wait(seconds, polls)
        if isinstance(moment, datetime):
            now = moment
        try:
            result = yield from poll(ca, pending, requester, now, challenge=challenge)
        except TransportError as error:
            if not _passing(error):
                raise
            lost = error
            continue
        if not isinstance(result, Pending):
            return result
        pending, lost = result, None
    if lost is not None:
        raise lost
    return pending


def _passing(error: TransportError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, HttpStatusError):
        return error.status in {408, 429} or (error.status >= 500 and error.status != 501)
    return error.kind in {"refused", "timeout", "closed", "dns"}


def _conclude(
    ca: KnownCa, reply: CertRep, response: HttpResponse, pending: Pending, *, requested: bytes
) -> EnrolmentResult:
    match reply:
        case StillPending():
            wait = http.retry_after_seconds(response.retry_after, response.received_at)
            return replace(pending, retry_after=wait)
        case Failure(fail_info, text):
            return Rejected(fail_info, text, pending.transaction_id)
        case Success():
            return _issued(ca, reply, pending, requested, response.received_at)
        case _:
            assert_never(reply)


def _issued(
    ca: KnownCa, reply: Success, pending: Pending, requested: bytes, now: datetime
) -> Issued:
    certificates, fault = _readable(reply.certificates)
    views = [view_of(one) for one in certificates]
    mine = next((one for one in views if _has_key(one, pending.spki_sha256)), None)
    if mine is None:
        if fault is not None:
            raise fault
        keys = [Digest.SHA256.of(one.spki).hex() for one in views]
        raise ReplyMismatchError(
            "the CA says SUCCESS, but none of the "
            f"{len(keys)} certificates in its reply is for the requested key",
            field="subjectPublicKeyInfo",
            expected=pending.spki_sha256.hex(),
            found=", ".join(keys) or None,
        )
    certificate = certificates[views.index(mine)]
    checked = verify_issued(certificate, ca.certificates, now, extra=certificates)
    warnings = checked.warnings
    if not _same_name(mine.subject, requested):
        warnings += (
            f"the certificate's subject is {title(certificate)!r}, which is not what was requested",
        )
    if fault is not None:
        warnings += (f"a certificate that came with it was left out: {fault}",)
    return Issued(certificate, checked.chain, certificates, pending.transaction_id, warnings)


def _readable(
    encoded: Sequence[bytes],
) -> tuple[tuple[x509.Certificate, ...], DecodeError | None]:
    """The certificates that can be read, and what is wrong with the last one that cannot."""
    loaded = []
    fault = None
    for der in encoded:
        try:
            loaded.append(load_certificate(der))
        except DecodeError as error:
            fault = error
    return tuple(loaded), fault


def _same_name(issued: bytes, requested: bytes) -> bool:
    if issued == requested:
        return True
    # The same name in other string types is the same name: Go's servers encode it anew.
    name = read_name(issued)
    return name is not None and name == read_name(requested)


def _has_key(certificate: CertificateView, spki_sha256: bytes) -> bool:
    if Digest.SHA256.of(certificate.spki) == spki_sha256:
        return True
    try:
        key = certificate.public_key()
    except AlgorithmError:
        return False
    return Digest.SHA256.of(public_key_der(key)) == spki_sha256


# ------------------------------------------------------------------ queries


def get_certificate(
    ca: KnownCa,
    serial_number: int,
    requester: Requester,
    now: datetime,
    *,
    issuer: bytes | None = None,
    challenge: str | None = None,
) -> Flow[tuple[x509.Certificate, tuple[x509.Certificate, ...]]]:
    """GetCert (RFC 8894 section 4.5): the certificate with that serial number, and its chain."""
    name = _issuer_name(ca, issuer)
    data = GetCert(name, serial_number)
    reply = yield from _query(ca, data, requester, challenge, now, "GetCert")
    certificates, _ = _readable(reply.certificates)
    for certificate in certificates:
        seen = view_of(certificate)
        if seen.serial_number == serial_number and seen.issuer == name:
            checked = verify_issued(certificate, ca.certificates, now, extra=certificates)
            return certificate, checked.chain
    raise ReplyMismatchError(
        f"the CA says SUCCESS, but its reply has no certificate with serial number "
        f"{serial_number:x}",
        field="serialNumber",
        expected=f"{serial_number:x}",
        found=", ".join(f"{view_of(one).serial_number:x}" for one in certificates) or None,
    )


def get_crl(
    ca: KnownCa,
    serial_number: int,
    requester: Requester,
    now: datetime,
    *,
    issuer: bytes | None = None,
    challenge: str | None = None,
) -> Flow[x509.CertificateRevocationList]:
    """GetCRL (RFC 8894 section 4.6): the newest CRL that covers that certificate."""
    name = _issuer_name(ca, issuer)
    data = GetCrl(name, serial_number)
    reply = yield from _query(ca, data, requester, challenge, now, "GetCRL")
    return read_crl(reply.crls, ca.certificates, issuer=name)


def get_next_ca(
    ca: KnownCa, now: datetime, *, verifier: CaVerifier | None = None
) -> Flow[tuple[x509.Certificate, ...]]:
    """GetNextCACert (RFC 8894 section 4.7): the CA's next certificates, signed by the present CA.

    Capabilities are asked for anew: a CA announces this only while it has a next certificate, which
    may have come long after `ca` was learnt.

    :param verifier: see `ca_replies.verify_next_ca`.
    :raises NotSupportedError: the CA does not announce it.
    """
    capabilities = yield from get_capabilities(ca.endpoint, ca.profile)
    if not capabilities.next_ca:
        raise NotSupportedError(
            "the CA does not announce GetNextCACert",
            operation="GetNextCACert",
            hint="it has no rollover certificate ready, or never offers one; `scepkit caps` shows "
            "what it announces",
        )
    response = yield from _exchange(http.next_ca_request(ca.endpoint, ca.profile))
    _expect_ok(response, ca.endpoint, "GetNextCACert")
    return verify_next_ca(
        response.body,
        ca.certificates,
        now,
        verifier=verifier,
        url=str(ca.endpoint),
        profile=ca.profile,
    )


def _issuer_name(ca: KnownCa, wanted: bytes | None) -> bytes:
    """The issuer to ask for, written as its certificate has it."""
    if wanted is None:
        return ca.issuer_name
    subjects = [view_of(one).subject for one in ca.certificates.authorities]
    return next((subject for subject in subjects if _same_name(subject, wanted)), wanted)


def _query(
    ca: KnownCa,
    data: GetCert | GetCrl,
    requester: Requester,
    challenge: str | None,
    now: datetime,
    operation: str,
) -> Flow[Success]:
    transaction_id = messages.new_transaction_id()
    reply, _ = yield from _ask(
        ca,
        data,
        requester,
        _secret(challenge),
        transaction_id,
        now,
        max_response=http.MAX_CRL_RESPONSE if operation == "GetCRL" else http.MAX_RESPONSE,
    )
    match reply:
        case Success():
            return reply
        case Failure(fail_info, text):
            raise RequestRejectedError(
                f"the CA refused {operation}: {describe_failure(fail_info, text)}",
                fail_info=fail_info,
                fail_info_text=text,
                transaction_id=transaction_id,
            )
        case StillPending():
            raise DecodeError(f"the CA answered {operation} with PENDING, which it must not")
        case _:
            assert_never(reply)


# ------------------------------------------------------------------ one PKIOperation


def _secret(challenge: str | None) -> Password | None:
    try:
        return Password(challenge.encode("utf-8")) if challenge else None
    except UnicodeEncodeError:
        # Not chained: that exception holds the password.
        raise InputError("the challenge password is not valid Unicode") from None


def _ask(
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
    from cryptography.hazmat.primitives.asymmetric import rsa

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
    response = yield from _pki_operation(ca, body, max_response)
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
    from cryptography.hazmat.primitives.asymmetric import rsa

    if isinstance(ca.recipient.public_key(), rsa.RSAPublicKey):
        return ca.recipient
    if secret is None:
        raise InputError(
            "the CA has no RSA key to encrypt to; RFC 8894 section 3.1 uses the challengePassword "
            "instead, and none was given",
            hint="give the challenge, or ask for an RSA RA certificate in front of the CA",
        )
    return secret


def _pki_operation(ca: KnownCa, body: bytes, max_response: int) -> Flow[HttpResponse]:
    post = ca.capabilities.post if ca.preferences.post is None else ca.preferences.post
    request = http.pki_operation_request(ca.endpoint, body, post=post, max_response=max_response)
    response = yield from _exchange(request)
    if response.status in {405, 501} and ca.preferences.post is None:
        # The method is refused before anything was looked at, so the other one may be tried (Q41).
        other = http.pki_operation_request(
            ca.endpoint, body, post=not post, max_response=max_response
        )
        response = yield from _exchange(other)
    _expect_ok(response, ca.endpoint, "PKIOperation")
    return response


def _exchange(request: HttpRequest) -> Flow[HttpResponse]:
    answer = yield request
    if not isinstance(answer, HttpResponse):
        raise TypeError("the driver sent no HttpResponse for an HttpRequest")
    return answer


def _expect_ok(response: HttpResponse, endpoint: Endpoint, operation: str) -> None:
    if response.status != 200:
        raise _status_error(response, endpoint, operation)


_STATUS_HINTS = {
    401: "the server wants a user name and password: basic_auth (--basic-auth-file)",
    403: "the server forbids it; is the path right, and may this address ask?",
    404: "check the path of the URL and the profile",
    407: "the proxy wants a user name and password",
    413: "the message is too large for the server; use POST",
    414: "the query is too long for the server (IIS: maxQueryString); use POST",
}


def _status_error(response: HttpResponse, endpoint: Endpoint, operation: str) -> HttpStatusError:
    excerpt = http.body_excerpt(response.body)
    said = f": {excerpt!r}" if excerpt else ""
    return HttpStatusError(
        f"the server answered {operation} with HTTP status {response.status}{said}",
        status=response.status,
        url=str(endpoint),
        excerpt=excerpt,
        retry_after=http.retry_after_seconds(response.retry_after, response.received_at),
        hint=_STATUS_HINTS.get(response.status, ""),
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
