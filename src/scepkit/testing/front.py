"""HTTP in, HTTP out: the outside of a test CA.

The rule of this file: it reads and writes bytes, counts and remembers.  Decisions are made in
`desk`, what is wrong with a reply in `reply_faults`, what is wrong on its way in `http_faults`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from cryptography import x509

from scepkit.core import http, messages
from scepkit.core.algorithms import KeyTransport
from scepkit.core.capabilities import Capability, format_capabilities
from scepkit.core.messages import Failure, PkiStatus, Request, StillPending, Success
from scepkit.errors import DecodeError, ProtocolError
from scepkit.testing import bodies
from scepkit.testing.answers import Answer, Wire, page, text
from scepkit.testing.desk import Desk
from scepkit.testing.faults import Fault
from scepkit.testing.http_faults import DOWNGRADED, HTTP_FAULTS, RETRY_SECONDS
from scepkit.testing.records import HttpExchange, ReceivedMessage
from scepkit.testing.reply_faults import REPLY_FAULTS, Scene, draft_of
from scepkit.testing.state import Outcome

_OPERATIONS = {
    name.lower(): name for name in ("GetCACaps", "GetCACert", "GetNextCACert", "PKIOperation")
}
#: Its path, and the ends of the paths that clients and their users know from other servers.
PATH = "/scep"
_OLD_ENDS = ("/pkiclient.exe", "/mscep.dll", "/mscep.dll/", "/mscep", "/mscep/")

# These answer before anybody looks at the message, so that nothing is issued.
_UNSEEN = {
    Fault.HTTP_404,
    Fault.HTTP_500,
    Fault.BUSY,
    Fault.LOGIN_PAGE_200,
    Fault.REDIRECT_OTHER_HOST,
}


def _is_own(path: str) -> bool:
    _, absolute, rest = path.partition("://")  # as a proxy is asked (RFC 9112 section 3.2.2)
    lowered = (f"/{rest.partition('/')[2]}" if absolute else path).lower()
    return lowered == PATH or lowered.startswith(f"{PATH}/") or lowered.endswith(_OLD_ENDS)


class Front:
    """Answers HTTP requests; not thread-safe by itself."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk
        self.faults = desk.faults
        self.single_certificate = False
        self.capabilities: Iterable[Capability | str] | bytes | None = None
        self.exchanges: list[HttpExchange] = []
        self.messages: list[ReceivedMessage] = []

    @property
    def offered(self) -> tuple[x509.Certificate, ...]:
        """What GetCACert sends when nothing is wrong."""
        ours = self.desk.credentials
        return (ours.issuer.certificate,) if self.single_certificate else ours.offered

    @property
    def requests(self) -> Counter[str]:
        """How many HTTP requests came, by operation."""
        return Counter(exchange.operation for exchange in self.exchanges)

    def _in_order(self) -> list[Fault]:
        return [fault for fault in Fault if fault in self.faults]

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Answer one HTTP request, with whatever fault of the way there is.

        :param target: the request target: path and raw query.  Outside the paths of a SCEP service
            there is nothing, as on a real server (404).
        """
        if not _is_own(target.partition("?")[0]):
            self.exchanges.append(HttpExchange("unknown", method, None, 404))
            return text(404, f"there is nothing here; the SCEP service is at {PATH}")
        profile: str | None = None
        operation = "unknown"
        try:
            parameters = http.parse_query(target.partition("?")[2])
            asked = parameters.get("operation", "PKIOperation" if method == "POST" else "")
            operation = _OPERATIONS.get(asked.lower(), "unknown")
            message = parameters.get("message")
            if message is not None and operation != "PKIOperation":
                profile = http.decode_profile(message)
            answer = self._operate(operation, method, message, body)
        except DecodeError as error:
            answer = text(400, str(error))
        for fault in self._in_order():
            where, change = HTTP_FAULTS.get(fault, ("", None))
            if where == operation and change is not None:
                answer = change(answer)
        self.exchanges.append(HttpExchange(operation, method, profile, answer.status))
        return answer

    def _operate(self, operation: str, method: str, message: str | None, body: bytes) -> Answer:
        if method not in {"GET", "POST"} or (method == "POST" and operation != "PKIOperation"):
            return text(405, f"{method} is not allowed here")
        match operation:
            case "GetCACaps":
                return self._capabilities()
            case "GetCACert":
                return bodies.ca_certificates(
                    self.offered, self.desk.credentials, self.faults, self.desk.clock()
                )
            case "GetNextCACert":
                return bodies.next_ca(
                    self.desk.credentials, self.desk.next, self.faults, self.desk.clock()
                )
            case "PKIOperation":
                if method == "POST" and self.faults & {Fault.POST_405, Fault.ONLY_3DES}:
                    return page("405 Method Not Allowed", 405)
                if self.faults & _UNSEEN:
                    return text(200, "replaced by the fault")
                raw = body if method == "POST" else http.decode_get_message(message or "")
                return self._pki_operation(raw, method)
        return text(400, "there is no such operation")

    def _capabilities(self) -> Answer:
        seen = self.requests["GetCACaps"]
        if Fault.CAPS_DOWNGRADE in self.faults and seen:
            return Answer(DOWNGRADED, "text/plain")
        given = self.capabilities
        if isinstance(given, bytes):
            return Answer(given, "text/plain")
        if given is None:
            words = bodies.capabilities(self.desk.policy, rollover=self.desk.next is not None)
            return Answer(format_capabilities(words), "text/plain")
        lines = [one.value if isinstance(one, Capability) else one for one in given]
        return Answer("".join(f"{line}\n" for line in lines).encode(), "text/plain")

    def _pki_operation(self, raw: bytes, method: str) -> Answer:
        try:
            request = messages.read_request(raw)
        except ProtocolError as error:
            # There is no transactionID or nonce to answer with (G5).
            return text(400, str(error))
        outcome = self.desk.handle(request)
        try:
            reply = self._seal(request, outcome)
        except ProtocolError as error:
            outcome.reply = Failure(error.fail_info, str(error))
            reply = self._seal(request, outcome)
        self._remember(raw, method, request, outcome, reply)
        pending = isinstance(outcome.reply, StillPending)
        asked_to_wait = pending and Fault.RETRY_AFTER in self.faults
        return Answer(
            reply,
            http.PKI_MESSAGE_TYPE,
            retry_after=str(RETRY_SECONDS) if asked_to_wait else "",
            wire=Wire.RESET if outcome.reset else Wire.WHOLE,
        )

    def _seal(self, request: Request, outcome: Outcome) -> bytes:
        now = self.desk.clock()
        recipient = (
            self.desk.recipient_for(request, outcome)
            if isinstance(outcome.reply, Success)
            else None
        )
        changes = [REPLY_FAULTS[fault] for fault in self._in_order() if fault in REPLY_FAULTS]
        if not (changes or outcome.protection.cipher.legacy):
            return messages.seal_reply(
                outcome.reply,
                request,
                signer=self.desk.credentials.signer,
                protection=outcome.protection,
                signing_time=now,
                recipient=recipient,
            )
        scene = Scene(self.desk.credentials, request, now, outcome.template)
        draft = draft_of(
            outcome.reply,
            scene,
            cipher=outcome.protection.cipher,
            digest=outcome.protection.digest,
            key_transport=outcome.protection.key_transport or KeyTransport.RSA_PKCS1V15,
            recipient=recipient,
        )
        for change in changes:
            change(draft, scene)
        return draft.build()

    def _remember(
        self, raw: bytes, method: str, request: Request, outcome: Outcome, reply: bytes
    ) -> None:
        failure = outcome.reply if isinstance(outcome.reply, Failure) else None
        status = PkiStatus.SUCCESS if isinstance(outcome.reply, Success) else PkiStatus.PENDING
        self.messages.append(
            ReceivedMessage(
                message_type=request.message_type,
                transaction_id=request.transaction_id,
                sender_nonce=request.sender_nonce,
                signer=request.signer,
                method=method,
                data=outcome.data,
                csr=outcome.csr,
                challenge=outcome.csr.challenge if outcome.csr else None,
                challenge_matched=outcome.challenge_matched,
                protection=outcome.protection if outcome.decrypted else None,
                status=PkiStatus.FAILURE if failure else status,
                fail_info=failure.fail_info if failure else None,
                fail_info_text=failure.fail_info_text if failure else "",
                certificate=outcome.certificate,
                request=raw,
                reply=reply,
            )
        )
