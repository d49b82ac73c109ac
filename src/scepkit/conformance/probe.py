"""What a test is given: ways to ask the server, and a record of what was asked.

    answer = probe.enrol()                     a plain enrolment, with a challenge
    draft = probe.draft(probe.requester())     a PKCSReq to be changed ...
    answer = probe.send(draft.build())         ... and sent
    exchange = probe.get("operation=GetCACaps")

The rules of this file: everything that is sent goes into the record; what a test needs and is not
there ends it (`Ended`), so that no test asks twice; and one request follows the other, unless the
test is allowed to be intrusive.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from scepkit.conformance import cmsparts, sockets
from scepkit.conformance.answers import BUSY, Answer
from scepkit.conformance.cmsparts import Identity, Sealing
from scepkit.conformance.exchanges import Exchange, Opener, Record, now, shown_head
from scepkit.conformance.messages import Draft, Message, new_nonce, new_transaction_id
from scepkit.conformance.requesters import Requester, spki_in, spki_of
from scepkit.conformance.session import Session
from scepkit.conformance.verdicts import Ended, Stopped, inconclusive, skipped
from scepkit.core import envelope as core_envelope
from scepkit.core.algorithms import Cipher
from scepkit.core.ca_certificates import CaCertificates
from scepkit.core.certificates import PrivateKey
from scepkit.core.envelope import Password
from scepkit.core.http import (
    MAX_CRL_RESPONSE,
    PKI_MESSAGE_TYPE,
    HttpRequest,
    HttpResponse,
    pki_operation_request,
    retry_after_seconds,
)
from scepkit.errors import ScepError, TransportError

#: More requests at once would be an attack.
MOST_AT_ONCE = 32
#: How often a message is sent again to a server that says it is busy,
_MOST_RETRIES = 5
#: and how long a test waits for it each time at most, in seconds.
_LONGEST_PAUSE = 10.0


def _wanted_pause(exchange: Exchange) -> float:
    """How long a busy server wants its clients to wait."""
    wanted = None
    if exchange.response is not None:
        wanted = retry_after_seconds(exchange.response.retry_after, now())
    return min(_LONGEST_PAUSE, 1.0 if wanted is None else wanted)


class Probe:
    """The server as one test sees it.

    Attributes:
        session: what all tests share.
        record: what this test asked and was answered.
    """

    def __init__(self, session: Session, *, seconds: float, intrusive: bool = False) -> None:
        self.session = session
        self.settings = session.settings
        self.record = Record()
        self.issued_here = False
        self._until = time.monotonic() + seconds
        self._seconds = seconds
        self._intrusive = intrusive

    # ------------------------------------------------------------------ what the server has

    @property
    def ca(self) -> CaCertificates:
        """The authenticated certificates."""
        if self.session.ca is None:
            raise Ended(skipped(f"there are no CA certificates to go by: {self.session.ca_fault}"))
        return self.session.ca

    @property
    def recipient_key(self) -> rsa.RSAPublicKey:
        """The RSA key that requests are encrypted to."""
        key = self.ca.recipient.public_key()
        if not isinstance(key, rsa.RSAPublicKey):
            raise Ended(skipped("the server has no RSA key to encrypt to"))
        return key

    def seconds_left(self) -> float:
        """The time this test still has; without any, it ends."""
        left = self._until - time.monotonic()
        if left <= 0:
            raise Ended(
                inconclusive(
                    f"not done after {self._seconds:g} s and {self.record.count} requests; the "
                    "server or the way to it is slow"
                )
            )
        return left

    # ------------------------------------------------------------------ HTTP

    def url(self, query: str, path_suffix: str = "") -> str:
        """The endpoint's URL with a query, and with more path if that is wanted."""
        endpoint = self.session.endpoint
        base, mark, old = endpoint.url.partition("?")
        queries = "&".join(part for part in (old, query) if part)
        return f"{base.rstrip('/') if path_suffix else base}{path_suffix}" + (
            f"?{queries}" if queries or mark else ""
        )

    def get(self, query: str, *, what: str = "", path_suffix: str = "") -> Exchange:
        """GET with a query, such as ``operation=GetCACaps``; percent-encode it yourself."""
        request = HttpRequest("GET", self.url(query, path_suffix))
        return self.exchange(request, what or query)

    def operation(self, name: str) -> Exchange:
        """GetCACaps, GetCACert or GetNextCACert, for the profile of this run."""
        profile = self.session.profile
        message = "" if profile is None else f"&message={quote(profile, safe='')}"
        return self.get(f"operation={name}{message}", what=name)

    def post(
        self,
        body: bytes,
        *,
        what: str,
        content_type: str = PKI_MESSAGE_TYPE,
        query: str = "operation=PKIOperation",
        sent: bytes | None = None,
    ) -> Exchange:
        """POST bytes."""
        request = HttpRequest("POST", self.url(query), body, content_type)
        return self.exchange(request, what)

    def exchange(
        self, request: HttpRequest, what: str, *, opener: Opener | None = None, sent: bytes = b""
    ) -> Exchange:
        """Send a request; silence is an answer too, and stands in the record.

        :param sent: what to show as sent, when it is not the body.
        """
        self.seconds_left()
        head = shown_head(request.method, request.url, request.content_type)
        response: HttpResponse | None = None
        error, at, unreached = "", now(), False
        started = time.perf_counter()
        try:
            response = self.session.transport.exchange(request)
        except TransportError as exc:
            error, unreached = f"no answer: {exc}", exc.kind in ("dns", "refused")
        seconds = time.perf_counter() - started
        found = Exchange(
            what, head, sent or request.body, response, error, at, seconds, opener, unreached
        )
        self.record.add(found)
        return found

    def raw(
        self,
        method: str,
        pieces: Sequence[sockets.Piece],
        *,
        what: str,
        seconds: float = 20.0,
    ) -> Exchange:
        """Send bytes on a connection of their own; see `request_head` for what comes first."""
        allowed = min(seconds, self.seconds_left())
        at = now()
        found = sockets.ask(
            self.session.endpoint, self.session.http_options, method, pieces, seconds=allowed
        )
        whole = b"".join(piece.data for piece in pieces[:2])
        head = whole.partition(b"\r\n\r\n")[0][:400].decode("latin-1").replace("\r\n", "\n")
        made = Exchange(what, head, b"", found.response, found.error, at, found.seconds)
        self.record.add(made)
        return made

    def request_head(
        self, method: str, query: str, *headers: str, version: str = "1.1", host: bool = True
    ) -> bytes:
        """The first line and headers of a request, up to and with the empty line."""
        endpoint = self.session.endpoint
        target = self.url(query).partition("://")[2].partition("/")[2]
        lines = [f"{method} /{target} HTTP/{version}"]
        if host:
            name = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
            lines.append(f"Host: {name}" + (f":{endpoint.port}" if endpoint.port else ""))
        options = self.session.http_options
        lines += [f"{name}: {value}" for name, value in options.headers.items()]
        if options.basic_auth is not None:
            from scepkit.transport.proxies import basic_credentials

            lines.append(f"Authorization: {basic_credentials(*options.basic_auth)}")
        return "\r\n".join([*lines, *headers, "", ""]).encode("latin-1")

    # ------------------------------------------------------------------ requests

    def challenge(self, subject: str, sans: Sequence[str] = ()) -> str | None:
        """A challenge for this name; None where the server wants none.

        A source that has never given one is a mistake of the person who runs the tests, and ends
        the run; one that has may have run dry, and ends this test.
        """
        if self.settings.challenges is None:
            return None
        try:
            found = self.settings.challenges.get(subject, sans)
        except ScepError as error:
            if not self.session.has_had_challenges:
                raise Stopped(error) from error
            raise Ended(inconclusive(f"no challenge could be had: {error}")) from None
        self.session.has_had_challenges = True
        return found

    def requester(
        self,
        key: str | PrivateKey = "",
        *,
        challenge: str | Literal["new"] | None = "new",
        subject: str = "",
        sans: Sequence[str] = (),
    ) -> Requester:
        """Somebody new, with a name that nobody has had.

        :param challenge: by default one is fetched; None for none, or this one.
        """
        name = subject or self.session.next_subject()
        secret = self.challenge(name, sans) if challenge == "new" else challenge
        private = self.session.keys.take(key) if isinstance(key, str) else key
        return Requester(private, name, secret, tuple(sans))

    def draft(
        self,
        requester: Requester,
        *,
        what: str = "PKCSReq",
        message_type: str = "19",
        data: bytes | None = None,
        content: bytes | None = None,
        sealing: Sealing | None = None,
        recipient: x509.Certificate | None = None,
        signer: Identity | None = None,
        transaction_id: str = "",
        nonce: bytes = b"",
        digest: str = "sha256",
    ) -> Draft:
        """A request, right in every way but for what is given.

        :param data: the messageData; by default the requester's certificate request.
        :param content: the whole pkcsPKIEnvelope instead.
        :param signer: by default the requester with a self-signed certificate.
        """
        by = signer or requester.identity()
        password: Password | None = None
        if requester.challenge is not None and not isinstance(by.key, rsa.RSAPrivateKey):
            password = Password(requester.challenge.encode())
        plain = b""
        if content is None:
            plain = requester.csr() if data is None else data
            content = self.sealed(plain, requester, sealing, recipient)
        return Draft(
            what,
            by,
            content,
            transaction_id or new_transaction_id(),
            nonce or new_nonce(),
            message_type=message_type,
            digest=digest,
            password=password,
            data=plain,
        )

    def sealed(
        self,
        data: bytes,
        requester: Requester,
        sealing: Sealing | None = None,
        recipient: x509.Certificate | None = None,
    ) -> bytes:
        """A pkcsPKIEnvelope for the server: by its RSA key, else by the challenge."""
        to = recipient or self.ca.recipient
        if isinstance(to.public_key(), rsa.RSAPublicKey):
            return cmsparts.envelope(data, to, sealing or self.default_sealing())
        if sealing is not None:
            raise Ended(skipped("the server has no RSA key to encrypt to"))
        if requester.challenge is None:
            raise Ended(skipped("the server's key cannot encrypt, and there is no challenge"))
        return core_envelope.encrypt(
            data, Password(requester.challenge.encode()), Cipher.AES128_CBC
        )

    def default_sealing(self) -> Sealing:
        """How requests are encrypted unless a test says otherwise: as RFC 8894 has it."""
        return Sealing()

    def send(self, message: Message | Draft, *, via: Literal["", "GET", "POST"] = "") -> Answer:
        """Send a message, by POST where the server announces it, and note what was issued.

        A server that says that it is busy is asked again: it has not looked at the message, and a
        test is not about its limits.
        """
        made = message.build() if isinstance(message, Draft) else message
        answer = self._send_once(made, via)
        for _ in range(_MOST_RETRIES):
            if answer.http_status not in BUSY:
                break
            time.sleep(min(_wanted_pause(answer.exchange), self.seconds_left()))
            answer = self._send_once(made, via)
        return answer

    def _send_once(self, made: Message, via: str = "") -> Answer:
        post = via == "POST" or (not via and self.session.caps.post)
        request = pki_operation_request(
            self.session.endpoint, made.body, post=post, max_response=MAX_CRL_RESPONSE
        )
        opener = Opener(made.signer.certificate, made.signer.key, made.data)
        exchange = self.exchange(request, made.what, opener=opener, sent=made.body)
        return self._noted(Answer(made, exchange))

    def answer_of(self, message: Message, exchange: Exchange) -> Answer:
        """The answer to a message that went some way of its own."""
        return self._noted(Answer(message, exchange))

    def _noted(self, answer: Answer) -> Answer:
        if answer.success:
            self.issued_here = True
            try:
                for certificate in answer.issued.certificates[:1]:
                    self.session.issued.append(certificate.serial_number)
            except (ScepError, ValueError):
                pass  # the test that looks for it will say so
        return answer

    def enrol(self, requester: Requester | None = None, **options: Any) -> Answer:
        """A PKCSReq; `options` are those of `draft`."""
        return self.send(self.draft(requester or self.requester(), **options))

    def at_once(self, messages: Iterable[Message]) -> list[Answer]:
        """Send messages at the same time; only for tests that are allowed to be intrusive."""
        if not self._intrusive:
            raise RuntimeError("this test does not need --intrusive")
        listed = list(messages)
        with ThreadPoolExecutor(min(MOST_AT_ONCE, len(listed))) as pool:
            return list(pool.map(self._send_once, listed))

    # ------------------------------------------------------------------ what several tests look at

    def baseline(self) -> Answer:
        """A plain enrolment by POST, AES-128 and SHA-256; made once in a run.

        One that the server refuses for its challenge, and says so, ends the run.
        """
        found = self.session.shared.get("baseline")
        if isinstance(found, Answer):
            self.record.keep(found.exchange)
            return found
        requester = self.requester()
        draft = self.draft(requester, what="PKCSReq (the plain enrolment)")
        answer = self.send(draft, via="POST")
        if requester.challenge is not None and (wrong := answer.for_its_challenge()):
            raise Stopped(wrong)
        self.session.shared["baseline"] = answer
        self.session.shared["baseline requester"] = requester
        return answer

    def baseline_requester(self) -> Requester:
        """Who made the plain enrolment."""
        self.baseline()
        found = self.session.shared["baseline requester"]
        if not isinstance(found, Requester):
            raise TypeError(found)
        return found

    def certificate_in(self, answer: Answer, key: PrivateKey) -> x509.Certificate:
        """The certificate for a key in a SUCCESS; without it, the test ends."""
        try:
            certificates = answer.issued.certificates
        except ScepError as error:
            raise Ended(inconclusive(f"the reply cannot be opened: {error}")) from None
        wanted = spki_of(key)
        for one in certificates:
            if spki_in(one) == wanted:
                return one
        raise Ended(inconclusive("the reply holds no certificate for the key in the request"))

    def alive(self) -> bool:
        """Whether the server still answers GetCACaps or GetCACert."""
        return self.operation("GetCACert").status == 200

    def shared(self, name: str, make: Callable[[], Any]) -> Any:
        """Something that is made once in a run."""
        if name not in self.session.shared:
            self.session.shared[name] = make()
        return self.session.shared[name]
