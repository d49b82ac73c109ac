"""Servers whose answers tell whether an encrypted content could be read (attack A2).

`Discreet` tells nothing by its words; each fault lets it tell under one messageType.
"""

from __future__ import annotations

from dataclasses import replace

from scepkit.core.messages import (
    Failure,
    MessageType,
    Protection,
    Request,
    StillPending,
)
from scepkit.errors import FailInfo, ProtocolError
from scepkit.testing import Policy
from scepkit.testing.desk import Desk
from scepkit.testing.state import Outcome
from tests.conformance.broken import ca_with
from tests.conformance.fault import Fault

UNREADABLE = Failure(FailInfo.BAD_MESSAGE_CHECK, "")
UNKNOWN = Failure(FailInfo.BAD_CERT_ID, "")


class Discreet(Desk):
    """Answers all contents under a messageType alike, unless they name something."""

    def handle(self, request: Request) -> Outcome:
        if request.message_type is MessageType.CERT_POLL:
            outcome = Outcome(StillPending(), Protection(digest=request.digest))
            outcome.reply = self._poll(request, outcome)
            return outcome
        outcome = super().handle(request)
        if isinstance(outcome.reply, Failure):
            queries = (MessageType.GET_CERT, MessageType.GET_CRL)
            outcome.reply = UNKNOWN if request.message_type in queries else UNREADABLE
        return outcome

    def reads_as(self, kind: MessageType, request: Request) -> bool:
        """Whether the content is data of a messageType."""
        ignored = Outcome(StillPending(), Protection(digest=request.digest))
        try:
            self._open(replace(request, message_type=kind), ignored)
        except ProtocolError:
            return False
        return True


def telling(kind: MessageType, reply: Failure = UNREADABLE) -> type[Desk]:
    """A desk that says under one messageType what it could not read."""

    class Telling(Discreet):
        def handle(self, request: Request) -> Outcome:
            outcome = super().handle(request)
            if request.message_type is kind and not self.reads_as(kind, request):
                outcome.reply = reply
            return outcome

    return Telling


class TellsWhoAsked(Discreet):
    """Reads the polls of whoever has a transaction, and those only."""

    def handle(self, request: Request) -> Outcome:
        outcome = super().handle(request)
        poll = MessageType.CERT_POLL
        asked = request.message_type is poll and not isinstance(outcome.reply, Failure)
        if asked and not self.reads_as(poll, request):
            outcome.reply = UNREADABLE
        return outcome


def naming_misfits(kind: MessageType) -> type[Desk]:
    """A desk that says of an enrolment that in it is something else that it can read."""

    class Naming(Discreet):
        def handle(self, request: Request) -> Outcome:
            outcome = super().handle(request)
            if request.message_type is kind and self.reads_as(MessageType.CERT_POLL, request):
                outcome.reply = Failure(FailInfo.BAD_REQUEST, "content of another messageType")
            return outcome

    return Naming


#: A text that differs is as good as a failInfo.
_SAYS_SO = Failure(FailInfo.BAD_CERT_ID, "this cannot be read")

TELLING = [
    Fault("T72", "polls that cannot be read are refused in other words",
          lambda: ca_with(desk=telling(MessageType.CERT_POLL))),
    Fault("T72", "a poll for what was issued has to be one that can be read",
          lambda: ca_with(desk=TellsWhoAsked)),
    Fault("T72", "a poll for what waits has to be one that can be read",
          lambda: ca_with(desk=TellsWhoAsked, policy=Policy(manual=True))),
    Fault("T72", "a GetCert that cannot be read is refused in other words",
          lambda: ca_with(desk=telling(MessageType.GET_CERT))),
    Fault("T72", "a GetCRL that cannot be read is refused with a text",
          lambda: ca_with(desk=telling(MessageType.GET_CRL, _SAYS_SO))),
    Fault("T72", "a PKCSReq with other data is badRequest",
          lambda: ca_with(desk=naming_misfits(MessageType.PKCS_REQ))),
    Fault("T72", "a RenewalReq with other data is badRequest",
          lambda: ca_with(desk=naming_misfits(MessageType.RENEWAL_REQ))),
]  # fmt: skip
