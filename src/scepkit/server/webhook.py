"""Web services that are asked or told, in the form of step-ca's webhooks.

The body is JSON, signed with HMAC-SHA-256 in ``X-Smallstep-Signature``, so that receivers made for
step-ca (bridges to Intune and Jamf) work here.  The rules of this file: one deadline for all of an
exchange, one more try after a 5xx, and an answer counts as yes when it says ``"allow": true`` and
nothing else does.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import monotonic
from typing import Protocol

from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.errors import TransportError
from scepkit.server.describing import described_request
from scepkit.server.verdicts import Answer, EnrolRequest, No, NoAnswer, Yes
from scepkit.store import turns

_LONGEST_ANSWER = 64 * 1024


class Exchange(Protocol):
    """A `scepkit.transport.Transport` with the deadline in it."""

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send a request and return the answer."""
        ...

    def close(self) -> None:
        """Give back connections."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Webhook:
    """A web service.

    Attributes:
        url: where requests are posted to.
        transport: carries them; it knows the deadline, the TLS certificates and the token.
        key: of the HMAC; None signs nothing.
        id: what is sent as X-Smallstep-Webhook-ID.
        timeout: seconds for one exchange; there is no second one when half of it is gone.
    """

    url: str
    transport: Exchange = field(repr=False)
    key: bytes | None = field(default=None, repr=False)
    id: str = ""
    timeout: float = 10.0

    def ask(self, request: EnrolRequest, challenge: str) -> Answer:
        """Whether a request with this challengePassword may have its certificate."""
        body = {
            "timestamp": _timestamp(request.now),
            "provisionerName": request.profile,
            "scepChallenge": challenge,
            "scepTransactionID": request.transaction_id,
            "x509CertificateRequest": described_request(request.csr),
        }
        try:
            answer = self.post(body)
        except TransportError as error:
            return NoAnswer(f"the webhook does not answer: {error}")
        if not 200 <= answer.status < 300:
            return NoAnswer(f"the webhook answers with HTTP status {answer.status}")
        try:
            said = json.loads(answer.body)
        except (ValueError, RecursionError):
            return NoAnswer("the webhook's answer is not JSON")
        if not isinstance(said, dict) or not isinstance(said.get("allow"), bool):
            return NoAnswer('the webhook\'s answer has no "allow" that is true or false')
        return Yes() if said["allow"] is True else No(f"the webhook says no{_why(said, challenge)}")

    def tell(self, body: Mapping[str, object]) -> str | None:
        """Post a notice; returns what went wrong, or None."""
        try:
            answer = self.post(body)
        except TransportError as error:
            return str(error)
        if 200 <= answer.status < 300:
            return None
        return f"the webhook answers with HTTP status {answer.status}"

    def close(self) -> None:
        """Give back connections; it is not used after this."""
        self.transport.close()

    def post(self, body: Mapping[str, object]) -> HttpResponse:
        """Sign and send.

        :raises TransportError: there is no answer.
        """
        encoded = json.dumps(body).encode()
        headers = []
        if self.id:
            headers.append(("X-Smallstep-Webhook-ID", self.id))
        if self.key is not None:
            signature = hmac.new(self.key, encoded, hashlib.sha256).hexdigest()
            headers.append(("X-Smallstep-Signature", signature))
        request = HttpRequest(
            "POST",
            self.url,
            encoded,
            "application/json",
            max_response=_LONGEST_ANSWER,
            headers=tuple(headers),
        )
        return turns.elsewhere(lambda: self._exchange(request))

    def _exchange(self, request: HttpRequest) -> HttpResponse:
        began = monotonic()
        answer = self.transport.exchange(request)
        if answer.status >= 500 and monotonic() - began < self.timeout / 2:
            answer = self.transport.exchange(request)
        return answer


def _why(said: Mapping[str, object], challenge: str) -> str:
    error = said.get("error")
    message = error.get("message") if isinstance(error, dict) else None
    # A receiver may quote what it was asked; a challenge belongs into no log.
    if not isinstance(message, str) or not message or (challenge and challenge in message):
        return ""
    shown = "".join(char if char.isprintable() else "?" for char in message[:200])
    return f": {shown}"


def _timestamp(now: datetime) -> str:
    return now.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
