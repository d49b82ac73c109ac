"""A SCEP server in a few lines, and a driver of flows, without a socket."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core import cms, flows, http, messages
from scepkit.core.csr import ParsedCsr, read_csr
from scepkit.core.csr_builder import build_csr
from scepkit.core.enrolment import (
    Requester,
    self_signed_requester,
)
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.flows import Flow, KnownCa, Preferences, Step, VerifyCa, Wait
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.messages import (
    CertRep,
    DecryptedRequest,
    PkcsReq,
    RenewalReq,
    Request,
    Success,
)
from scepkit.errors import (
    TransportError,
)
from tests import cms_writer as w
from tests import pki
from tests.core.exchange import CA, ISSUED, key_of, signer
from tests.pki import NOW, Identity

T = TypeVar("T")
ENDPOINT = http.parse_endpoint("http://ca.test/scep")
MODERN = b"AES\nPOSTPKIOperation\nSHA-256\nRenewal\nGetNextCACert\n"
SECRET = "a challenge"
KEY = pki.key("rsa2048-c")
EC_KEY = pki.key("ec256-b")
HTML = b"<html><head><title>Please log in</title></head></html>"


def response(body: bytes, status: int = 200, **changes: Any) -> HttpResponse:
    return HttpResponse(status, body, NOW, **changes)


Answer = Callable[[Request, DecryptedRequest], CertRep]


def issue(request: Request, asked: DecryptedRequest) -> CertRep:
    """Give the key in a PKCS#10 a certificate of CA."""
    assert isinstance(asked.data, PkcsReq | RenewalReq)
    csr = read_csr(asked.data.csr)
    assert csr.subject is not None
    return Success((certified(csr.subject, csr.public_key).public_bytes(Encoding.DER),))


def certified(
    subject: x509.Name, key: Any, issuer: Identity = CA, serial: int = 77
) -> x509.Certificate:
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.name)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(NOW - timedelta(days=1))
        .not_valid_after(NOW + timedelta(days=1))
    )
    return builder.sign(issuer.key, hashes.SHA256())


@dataclass
class Server:
    """A SCEP server in a few lines: what it answers is up to the test."""

    ca: Identity = CA
    offered: tuple[Identity, ...] = (CA,)
    caps: HttpResponse = field(default_factory=lambda: response(MODERN))
    answer: Answer = issue
    secret: Password | None = None
    signer: Identity | None = None
    #: Called with each sealed reply.
    post: Callable[[bytes], HttpResponse] = response
    #: What PKIOperation is answered before anything is looked at, one by one.
    instead: list[HttpResponse | TransportError | None] = field(default_factory=list)
    next_ca: HttpResponse = field(default_factory=lambda: response(b"", 404))
    seen: list[tuple[str, str]] = field(default_factory=list)
    asked: list[DecryptedRequest] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    def __call__(self, request: HttpRequest) -> HttpResponse | TransportError:
        query = http.parse_query(request.url.partition("?")[2])
        operation = query["operation"]
        self.seen.append((request.method, operation))
        match operation:
            case "GetCACert":
                return response(cms.certs_only([one.der for one in self.offered]))
            case "GetCACaps":
                return self.caps
            case "GetNextCACert":
                return self.next_ca
        if self.instead and (instead := self.instead.pop(0)) is not None:
            return instead
        body = request.body or http.decode_get_message(query["message"])
        return self.post(self.pki_operation(body))

    def pki_operation(self, body: bytes) -> bytes:
        request = messages.read_request(body)
        ours: DecryptionKey | Password = self.secret or key_of(self.ca)
        asked = messages.decrypt_request(request, ours)
        self.requests.append(request)
        self.asked.append(asked)
        by_password = isinstance(request.signer.public_key(), ec.EllipticCurvePublicKey)
        return messages.seal_reply(
            self.answer(request, asked),
            request,
            signer=signer(self.signer or self.ca),
            protection=asked.protection,
            signing_time=NOW,
            recipient=Password(SECRET.encode()) if by_password else None,
        )


class Talk:
    """Drives flows against a server, and keeps the steps they took."""

    def __init__(self, server: Callable[[HttpRequest], HttpResponse | TransportError]) -> None:
        self.server = server
        self.steps: list[Step] = []
        self.now = NOW
        #: What the verifier vouches for, or a verifier.
        self.anchor: Any = CA.certificate

    def run(self, flow: Flow[T]) -> T:
        answer: Any = None
        failure: TransportError | None = None
        while True:
            try:
                step = flow.throw(failure) if failure else flow.send(answer)
            except StopIteration as stop:
                result: T = stop.value
                return result
            self.steps.append(step)
            answer = failure = None
            match step:
                case HttpRequest():
                    answer = self.server(step)
                    if isinstance(answer, TransportError):
                        answer, failure = None, answer
                case Wait(seconds):
                    self.now += timedelta(seconds=seconds)
                    answer = self.now
                case VerifyCa(offer):
                    answer = self.anchor(offer) if callable(self.anchor) else self.anchor

    def kinds(self) -> list[str]:
        return [type(step).__name__ for step in self.steps]

    def learn(self, **preferences: Any) -> KnownCa:
        return self.run(flows.learn_ca(ENDPOINT, None, Preferences(**preferences), NOW))


def csr(
    key: Any = KEY, subject: str = "CN=router1,O=Acme", challenge: str | None = SECRET
) -> ParsedCsr:
    return read_csr(build_csr(key, subject, challenge=challenge).public_bytes(Encoding.DER))


def beginner(parsed: ParsedCsr, key: Any = KEY) -> Requester:
    return self_signed_requester(x509.load_der_x509_csr(parsed.der), key, now=NOW)


def enrol(talk: Talk, ca: KnownCa | None = None, key: Any = KEY, **options: Any) -> Any:
    known = ca or talk.learn()
    parsed = options.pop("csr", None) or csr(key)
    requester = options.pop("requester", None) or beginner(parsed, key)
    return talk.run(flows.enrol(known, parsed, requester, NOW, **options))


def resigned(to_be_signed: bytes, by: Identity) -> bytes:
    """A certificate, CRL or PKCS#10 request around anything, rightly signed with an EC key."""
    assert isinstance(by.key, ec.EllipticCurvePrivateKey)
    signature = by.key.sign(to_be_signed, ec.ECDSA(hashes.SHA256()))
    algorithm = w.algorithm(w.SIGNATURES["ecdsa-sha256"])
    return w.seq(to_be_signed, algorithm, w.tlv(3, b"\0", signature))


OWNER = Requester(ISSUED.certificate, ISSUED.key)
