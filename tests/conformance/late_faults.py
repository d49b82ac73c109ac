"""More faults that the tester has to see: after the certificate was issued, and under strain."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from scepkit.conformance.verdicts import Kind
from scepkit.core.certificates import load_certificate
from scepkit.core.csr import ParsedCsr
from scepkit.core.messages import (
    CertPoll,
    CertRep,
    Failure,
    MessageType,
    Protection,
    Request,
    StillPending,
    Success,
)
from scepkit.errors import FailInfo, ProtocolError
from scepkit.testing import Policy, TestCa
from scepkit.testing.answers import Answer, text
from scepkit.testing.credentials import der
from scepkit.testing.desk import Desk
from scepkit.testing.front import Front
from scepkit.testing.state import Outcome, Transaction
from tests.conformance.broken import answering, ca_with, crashing_on, refusing, without
from tests.conformance.fault import Fault, known

# ------------------------------------------------------------------ renewal


def old_certificate_again(
    self: Desk, request: Request, der_: bytes, outcome: Outcome, issuer: Any, *, renewing: bool
) -> CertRep:
    """Answers a renewal with the certificate that is renewed."""
    if renewing:
        outcome.certificate = load_certificate(request.signer.der)
        return Success((request.signer.der,))
    return Desk._enrol(self, request, der_, outcome, issuer, renewing=renewing)


def by_name(self: Desk, signer: Any) -> x509.Certificate | None:
    """Takes whoever names the CA as issuer."""
    if signer.issuer != self.credentials.issuer.certificate.subject.public_bytes():
        return None
    certificate = load_certificate(signer.der)
    self.issued.setdefault(certificate.serial_number, certificate)
    return certificate


def by_number(self: Desk, signer: Any) -> x509.Certificate | None:
    """Looks the certificate up by its serial number alone."""
    if signer.issuer == signer.subject:
        return None
    return self.issued.get(signer.serial_number)


def any_name(self: Desk, existing: x509.Certificate, csr: ParsedCsr) -> None:
    """Does not compare names."""


def revoked_too(self: Desk, existing: x509.Certificate, csr: ParsedCsr) -> None:
    if csr.subject != existing.subject:
        raise ProtocolError("a renewal has the subject of the certificate it renews")


def to_new_key(self: Desk, request: Request, outcome: Outcome) -> Any:
    """Encrypts a renewal's reply to the key that is asked for."""
    assert outcome.csr is not None
    own = request.signer
    return replace(own, spki=outcome.csr.spki_der)


RENEWAL = [
    Fault("T79", "Renewal is announced and refused",
          lambda: ca_with(
              desk=refusing(lambda one: one.message_type is MessageType.RENEWAL_REQ,
                            FailInfo.BAD_MESSAGE_CHECK))),
    Fault("T79", "a renewal is encrypted to the new key",
          lambda: ca_with(desk=without(recipient_for=to_new_key))),
    Fault("T80", "a renewal with the same key gives the old certificate",
          lambda: ca_with(desk=without(_enrol=old_certificate_again))),
    Fault("T82", "whoever names the CA as issuer may renew",
          lambda: ca_with(desk=without(_own_certificate=by_name))),
    Fault("T82", "revoked certificates may be renewed",
          lambda: ca_with(desk=without(_check_renewal=revoked_too)),
          settings={"revoke": "the CA's"}),
    Fault("T83", "names may change in a renewal",
          lambda: ca_with(desk=without(_check_renewal=any_name))),
    Fault("T84", "the signer is looked up by its number",
          lambda: ca_with(desk=without(_own_certificate=by_number))),
    Fault("T85", "it is too early, and nobody says so",
          lambda: ca_with(desk=refusing(lambda one: one.message_type is MessageType.RENEWAL_REQ,
                                        FailInfo.BAD_REQUEST)), Kind.WARN),
]  # fmt: skip

# ------------------------------------------------------------------ polling, queries


def pending_for_all(self: Desk, request: Request, outcome: Outcome) -> CertRep:
    """Says PENDING to polls of which it knows nothing."""
    if request.transaction_id not in self.transactions:
        return StillPending()
    return Desk._poll(self, request, outcome)


def to_anybody(self: Desk, request: Request, outcome: Outcome) -> CertRep:
    """Does not look who polls."""
    found = self.transactions[request.transaction_id]
    return self._result(found, outcome, polled=True)


def by_subject(self: Desk, request: Request, outcome: Outcome) -> CertRep:
    """Wants the poll to name the right subject."""
    found = self.transactions.get(request.transaction_id)
    asked = outcome.data
    if found is not None and isinstance(asked, CertPoll) and asked.subject != found.csr.subject_der:
        return Failure(FailInfo.BAD_CERT_ID, "another subject")
    return Desk._poll(self, request, outcome)


def forgetful(self: Desk, request: Request, outcome: Outcome) -> CertRep:
    """Forgets a transaction when it is over."""
    found = self.transactions.get(request.transaction_id)
    if found is not None and found.certificate is not None:
        return Failure(FailInfo.BAD_CERT_ID, "there is no such transaction")
    return Desk._poll(self, request, outcome)


def never_done(self: Desk, request: Request, outcome: Outcome) -> CertRep:
    """Answers PENDING to every poll, whatever was decided."""
    return StillPending()


def known_to_nobody(self: Desk, request: Request, csr: ParsedCsr) -> Transaction | None:
    """Refuses what comes again."""
    if request.transaction_id in self.transactions:
        raise ProtocolError("the transactionID was used before")
    return None


def any_certificate(self: Desk, name: bytes, serial: int, outcome: Outcome) -> CertRep:
    """Gives some certificate, whichever is asked for."""
    return Success((der(next(iter(self.issued.values()))),))


def with_certificate(self: Desk, name: bytes, outcome: Outcome) -> CertRep:
    """Sends a certificate beside the CRL."""
    found = Desk._get_crl(self, name, outcome)
    assert isinstance(found, Success)
    return replace(found, certificates=(der(self.credentials.issuer.certificate),))


def present_ca(self: Desk, request: Request, outcome: Outcome) -> Any:
    """Issues everything with the present CA."""
    Desk._open(self, request, outcome)
    return self.credentials.issuer


def staged() -> TestCa:
    ca = ca_with(desk=without(_open=present_ca))
    ca.stage_next_ca()
    return ca


WAITING = [
    Fault("T86", "what is approved stays PENDING",
          lambda: ca_with(desk=without(_poll=never_done), policy=Policy(manual=True)),
          settings={"approve": "the CA's"}),
    Fault("T87", "polls for what does not exist are PENDING",
          lambda: ca_with(desk=without(_poll=pending_for_all))),
    Fault("T88", "the subject of a poll has to be right",
          lambda: ca_with(desk=without(_poll=by_subject)), Kind.WARN),
    Fault("T89", "anybody may poll", lambda: ca_with(desk=without(_poll=to_anybody))),
    Fault("T90", "a transaction is forgotten when it is over",
          lambda: ca_with(desk=without(_poll=forgetful)), Kind.WARN),
    Fault("T91", "what comes again is refused",
          lambda: ca_with(desk=without(_known=known_to_nobody), policy=Policy(manual=True))),
    Fault("T92", "GetCert gives somebody's certificate",
          lambda: ca_with(desk=without(_get_certificate=any_certificate))),
    Fault("T93", "the CRL is another CA's", known("crl-by-other-ca")),
    Fault("T93", "there is a certificate beside the CRL",
          lambda: ca_with(desk=without(_get_crl=with_certificate))),
    Fault("T93", "GetCRL is PENDING", known("query-pending")),
    Fault("T94", "the present CA issues what is for the next", staged),
]  # fmt: skip

# ------------------------------------------------------------------ strain


class Echo(Front):
    """Shows the transactionID in a web page."""

    def _pki_operation(self, raw: bytes, method: str) -> Answer:
        start = raw.find(b"<script>")
        if start >= 0:
            page = b"<html><body>bad transactionID " + raw[start : start + 60] + b"</body></html>"
            return Answer(page, "text/html", 400)
        return super()._pki_operation(raw, method)


class Numbered(Desk):
    """Counts its certificates, and forgets now and then how far it was."""

    def issue(self, transaction: Transaction) -> x509.Certificate:
        made = transaction.issuer.issue(transaction.template, 7, self.clock())
        transaction.certificate = self.issued[len(self.issued)] = made
        return made


def huge_is_slow(method: str, target: str, body: bytes, right: Answer) -> Answer:
    if len(body) > 200_000 and body[1] != 0x80 and b"\x04\x00" * 100 in body:
        time.sleep(5.2)
    return right


def trace(method: str, target: str, body: bytes, right: Answer) -> Answer:
    if right.status == 400:
        return text(400, 'Traceback (most recent call last): File "/usr/lib/scep/app.py"')
    return right


class Impatient(Front):
    """Refuses for good what comes too fast, in a CertRep."""

    last = 0.0

    def _pki_operation(self, raw: bytes, method: str) -> Answer:
        now = time.monotonic()
        hasty, self.last = now - self.last < 0.01, now
        if hasty:
            self.desk.policy.reject = Failure(FailInfo.BAD_REQUEST, "too much to do")
        try:
            return super()._pki_operation(raw, method)
        finally:
            self.desk.policy.reject = None


class NoTag(Desk):
    """Takes AES-GCM and does not look at its tag."""

    def handle(self, request: Request) -> Outcome:
        from scepkit.core import asn1

        content = asn1.only(request.content or b"\x05\x00")
        if content[:1] != b"0" or _AUTH_ENVELOPED_DATA not in content[:20]:
            return super().handle(request)
        inner = asn1.within(asn1.fields(content, asn1.CONTENT_INFO)[1], asn1.SEQUENCE)
        _, recipients, encrypted, _ = asn1.split(inner)
        (info,) = asn1.split(recipients)
        wrapped = asn1.content_of(asn1.fields(info, asn1.KEY_TRANS_RECIPIENT_INFO)[3])
        (opener, *_) = self.credentials.decrypters
        assert isinstance(opener.key, rsa.RSAPrivateKey)
        key = opener.key.decrypt(wrapped, padding.PKCS1v15())
        _, algorithm, ciphertext = asn1.split(encrypted)
        nonce = asn1.content_of(asn1.split(asn1.split(algorithm)[1])[0])
        counter = modes.CTR(nonce + b"\0\0\0\2")  # what GCM is, without its tag
        stream = Cipher(algorithms.AES(key), counter).decryptor()
        csr = stream.update(asn1.content_of(ciphertext))
        outcome = Outcome(StillPending(), Protection(digest=request.digest))
        outcome.reply = self._enrol(request, csr, outcome, self.credentials.issuer, renewing=False)
        return outcome


_AUTH_ENVELOPED_DATA = bytes.fromhex("060b2a864886f70d0109100117")


class TellsOfKeys(Desk):
    """Says when the content key has the wrong length."""

    def handle(self, request: Request) -> Outcome:
        outcome = super().handle(request)
        (opener, *_) = self.credentials.decrypters
        from scepkit.core import asn1
        from scepkit.core.envelope import read_envelope

        try:
            (info,) = read_envelope(request.content or b"").recipients
            encrypted = asn1.content_of(asn1.fields(info, asn1.KEY_TRANS_RECIPIENT_INFO)[3])
        except (ProtocolError, ValueError, asn1.NotDerError):
            return outcome
        assert isinstance(opener.key, rsa.RSAPrivateKey)
        numbers = opener.key.private_numbers()
        block = pow(int.from_bytes(encrypted, "big"), numbers.d, numbers.public_numbers.n)
        if block.to_bytes(256, "big")[:2] != b"\0\2":
            outcome.reply = Failure(FailInfo.BAD_MESSAGE_CHECK, "wrong padding of the key")
        elif isinstance(outcome.reply, Failure):
            outcome.reply = Failure(FailInfo.BAD_MESSAGE_CHECK, "")
        return outcome


class PlainForEc(Front):
    """Sends a reply in the clear to who cannot decrypt."""

    def _seal(self, request: Request, outcome: Outcome) -> bytes:
        if isinstance(outcome.reply, Success) and not isinstance(
            request.signer.public_key(), rsa.RSAPublicKey
        ):
            from scepkit.core import asn1, cms, messages

            attributes = [
                (messages.ID_MESSAGE_TYPE, asn1.element(0x13, b"3")),
                (messages.ID_PKI_STATUS, asn1.element(0x13, b"0")),
                (messages.ID_TRANSACTION_ID,
                 asn1.element(0x13, request.transaction_id.encode())),
                (messages.ID_RECIPIENT_NONCE, asn1.element(0x04, request.sender_nonce)),
            ]  # fmt: skip
            bundle = cms.certs_only(outcome.reply.certificates)
            signer = self.desk.credentials.signer
            return cms.sign(bundle, attributes, signer, outcome.protection.digest)
        return super()._seal(request, outcome)


def is_rubbish(method: str, target: str, body: bytes) -> bool:
    return method == "POST" and len(body) < 40


def is_damaged(method: str, target: str, body: bytes) -> bool:
    """Crashes over a length that is longer than the body."""
    return (
        method == "POST"
        and body[:2] == b"\x30\x82"
        and (int.from_bytes(body[2:4], "big") + 4 > len(body))
    )


def wrong_kind(method: str, target: str, body: bytes) -> bool:
    """Crashes over a messageType that is a BOOLEAN."""
    return bytes.fromhex("060a6086480186f84501090231030101ff") in body


STRAIN = [
    Fault("T49", "an EC requester gets its certificate in the clear",
          lambda: ca_with(front=PlainForEc)),
    Fault("T76", "the tag of AES-GCM is not looked at", lambda: ca_with(desk=NoTag)),
    Fault("T96", "rubbish crashes it", lambda: ca_with(front=crashing_on(is_rubbish))),
    Fault("T97", "a message that is cut off crashes it",
          lambda: ca_with(front=crashing_on(is_damaged))),
    Fault("T98", "large messages take long", lambda: ca_with(front=answering(huge_is_slow))),
    Fault("T100", "a transactionID with markup stands in a page", lambda: ca_with(front=Echo)),
    Fault("T101", "a wrong ASN.1 type crashes it", lambda: ca_with(front=crashing_on(wrong_kind)),
          Kind.WARN),
    Fault("T102", "refusals have a stack trace", lambda: ca_with(front=answering(trace)),
          Kind.WARN),
    Fault("T103", "serial numbers come twice", lambda: ca_with(desk=Numbered), Kind.WARN),
    Fault("T104", "who comes too fast is refused for good", lambda: ca_with(front=Impatient),
          Kind.WARN),
    Fault("T72", "refusals say what was wrong inside", known()),
    Fault("T73", "refusals say what was wrong with the key", lambda: ca_with(desk=TellsOfKeys),
          settings={"samples": 30}),
]  # fmt: skip

LATE = [*RENEWAL, *WAITING, *STRAIN]


# ------------------------------------------------------------------ one connection at a time


class OneAtATime(TestCa):
    """Reads the whole of one request before it looks at another connection."""

    @contextmanager
    def serve(  # type: ignore[override]
        self, host: str = "127.0.0.1", port: int = 0, *, ssl_context: None = None
    ) -> Iterator[str]:
        ca = self

        class Handler(BaseHTTPRequestHandler):
            timeout = 30

            def do_GET(self) -> None:
                answer = ca.answer("GET", self.path)
                self.send_response(answer.status)
                self.send_header("Content-Type", answer.content_type)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", "0"))
                self.rfile.read(min(length, 1_000_000))
                self.send_error(400)

            def log_message(self, format: str, *args: object) -> None: ...

        with HTTPServer((host, port), Handler) as server:
            thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
            thread.start()
            try:
                yield f"http://{host}:{server.server_port}/scep"
            finally:
                server.shutdown()
                thread.join()


LATE.append(Fault("T99", "a slow request keeps all others waiting", OneAtATime))
