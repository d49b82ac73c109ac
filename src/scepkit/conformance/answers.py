"""The answer to one pkiMessage, in the words that verdicts are made of.

The rule of this file: an answer is one of success, failure, pending, an HTTP error, something that
is no CertRep, or silence; `said` tells which, for people.
"""

from __future__ import annotations

from functools import cached_property

from scepkit.conformance.exchanges import Exchange
from scepkit.conformance.messages import Message
from scepkit.conformance.reading import FAIL_INFOS, Issued, Reply, read_issued, read_reply
from scepkit.core.certificates import view_of
from scepkit.core.envelope import DecryptionKey, Password
from scepkit.core.http import printable
from scepkit.errors import DecodeError, InputError
from scepkit.values import frozen

#: HTTP statuses that ask to come again: too many requests, and service unavailable.
BUSY = (429, 503)


@frozen(eq=False)
class Answer:
    """What came back for a message."""

    message: Message
    exchange: Exchange

    @property
    def http_status(self) -> int:
        """The HTTP status; 0 for no answer."""
        return self.exchange.status

    @cached_property
    def reply(self) -> Reply | None:
        """The CertRep, when the answer is HTTP 200 with a SignedData."""
        return read_reply(self.exchange.body) if self.http_status == 200 else None

    @property
    def success(self) -> bool:
        """SUCCESS."""
        return self.reply is not None and self.reply.status == "0"

    @property
    def failure(self) -> bool:
        """FAILURE."""
        return self.reply is not None and self.reply.status == "2"

    @property
    def pending(self) -> bool:
        """PENDING."""
        return self.reply is not None and self.reply.status == "3"

    @property
    def fail_info(self) -> int | None:
        """failInfo of a FAILURE."""
        return self.reply.fail_info if self.failure and self.reply else None

    @property
    def client_error(self) -> bool:
        """HTTP 400 to 499, which say that the request is wrong."""
        return 400 <= self.http_status < 500 and self.http_status not in BUSY

    @property
    def server_error(self) -> bool:
        """HTTP 500 to 599, but for 501 (not implemented) and 503 (busy)."""
        return 500 <= self.http_status < 600 and self.http_status not in (501, *BUSY)

    @property
    def refused(self) -> bool:
        """FAILURE, or HTTP 4xx."""
        return self.failure or self.client_error

    @property
    def silent(self) -> bool:
        """No HTTP answer at all."""
        return self.exchange.response is None

    def for_its_challenge(self) -> InputError | None:
        """The user's mistake, if failInfoText says that a request was refused for its challenge."""
        text = self.reply.fail_info_text if self.failure and self.reply else ""
        if "challenge" not in text.lower():
            return None
        return InputError(
            f"the server refuses the challenge of the plain enrolment: {self.said}",
            hint="give one that it takes now, for that subject; one that is good once does for one "
            "test only, so give a command that makes them (--challenge-command)",
        )

    @property
    def said(self) -> str:
        """The answer in a few words."""
        reply = self.reply
        if reply is None:
            return self.exchange.answer_text
        match reply.status:
            case "0":
                return "SUCCESS"
            case "3":
                return "PENDING"
            case "2":
                number = reply.fail_info
                name = FAIL_INFOS.get(-1 if number is None else number, "unknown failInfo")
                text = printable(reply.fail_info_text, 120)
                shown = "no failInfo" if number is None else f"{name} ({number})"
                return f"FAILURE {shown}" + (f" {text!r}" if text else "")
            case None:
                return "a reply without pkiStatus"
            case other:
                return f"pkiStatus {printable(other, 20)!r}"

    def opener(self) -> DecryptionKey | Password:
        """What decrypts the answer."""
        if self.message.password is not None:
            return self.message.password
        signer = self.message.signer
        return DecryptionKey(view_of(signer.certificate), signer.key)

    @cached_property
    def issued(self) -> Issued:
        """What a SUCCESS holds.

        :raises ScepError: it cannot be decrypted, or is something else.
        """
        if self.reply is None:
            raise DecodeError("there is no CertRep")
        return read_issued(self.reply.decrypted(self.opener()).content)
