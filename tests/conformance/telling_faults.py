"""Servers whose answers tell whether an encrypted content could be read (attack A2).

`Discreet` tells nothing by its words; each fault lets it tell under one messageType.
"""

from __future__ import annotations

import time
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scepkit.core import envelope, key_transport
from scepkit.core.messages import (
    Failure,
    MessageType,
    Protection,
    Request,
    StillPending,
)
from scepkit.errors import DecryptError, FailInfo, ProtocolError
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


#: Seconds that each answer of a punctual server takes, as what it does takes less; and by how much
#: a slow one is late: far more than what load does to all of them.
_USUAL, _SLOW = 0.01, 0.05


class Punctual(Discreet):
    """Tells nothing by its times either, unless it is slow on purpose."""

    def handle(self, request: Request) -> Outcome:
        began = time.perf_counter()
        outcome = super().handle(request)
        late = _SLOW if self.is_slow(request) else 0.0
        time.sleep(max(0.0, _USUAL + late - (time.perf_counter() - began)))
        return outcome

    def is_slow(self, request: Request) -> bool:
        """Whether to be late."""
        return False


def slow(kind: MessageType, *, faulty: bool) -> type[Desk]:
    """A desk that takes longer under one messageType.

    :param faulty: over contents that cannot be read; else over those that can.
    """

    class Slow(Punctual):
        def is_slow(self, request: Request) -> bool:
            return request.message_type is kind and self.reads_as(kind, request) is not faulty

    return Slow


class SlowOverPaddings(Punctual):
    """Takes longer over a PKCSReq with a good padding."""

    def is_slow(self, request: Request) -> bool:
        if request.message_type is not MessageType.PKCS_REQ or not request.content:
            return False
        (opener, *_) = self.credentials.decrypters
        try:
            envelope.decrypt(envelope.read_envelope(request.content), opener)
        except DecryptError:
            return False
        return True


class SlowOverKeys(Punctual):
    """Takes longer over a GetCert where what was unwrapped has no key's length."""

    def is_slow(self, request: Request) -> bool:
        if request.message_type is not MessageType.GET_CERT or not request.content:
            return False
        (opener, *_) = self.credentials.decrypters
        assert isinstance(opener.key, rsa.RSAPrivateKey)
        sealed = envelope.read_envelope(request.content)
        _, _, encrypted = key_transport.read_recipient(sealed.recipients[0])
        return len(opener.key.decrypt(encrypted, padding.PKCS1v15())) != 16


#: So few answers of each kind are enough where a difference is that plain.
_FEW = {"samples": 20}

#: A text that differs is as good as a failInfo.
_SAYS_SO = Failure(FailInfo.BAD_CERT_ID, "this cannot be read")

TELLING = [
    Fault(
        "T72",
        "polls that cannot be read are refused in other words",
        lambda: ca_with(desk=telling(MessageType.CERT_POLL)),
    ),
    Fault(
        "T72",
        "a poll for what was issued has to be one that can be read",
        lambda: ca_with(desk=TellsWhoAsked),
    ),
    Fault(
        "T72",
        "a poll for what waits has to be one that can be read",
        lambda: ca_with(desk=TellsWhoAsked, policy=Policy(manual=True)),
    ),
    Fault(
        "T72",
        "a GetCert that cannot be read is refused in other words",
        lambda: ca_with(desk=telling(MessageType.GET_CERT)),
    ),
    Fault(
        "T72",
        "a GetCRL that cannot be read is refused with a text",
        lambda: ca_with(desk=telling(MessageType.GET_CRL, _SAYS_SO)),
    ),
    Fault(
        "T72",
        "a PKCSReq with other data is badRequest",
        lambda: ca_with(desk=naming_misfits(MessageType.PKCS_REQ)),
    ),
    Fault(
        "T72",
        "a RenewalReq with other data is badRequest",
        lambda: ca_with(desk=naming_misfits(MessageType.RENEWAL_REQ)),
    ),
]

LATER = [
    Fault("T72", "a PKCSReq with a good padding takes longer",
          lambda: ca_with(desk=SlowOverPaddings), settings=_FEW, says="PKCSReq (19): "),
    Fault("T72", "a CertPoll that can be read takes longer",
          lambda: ca_with(desk=slow(MessageType.CERT_POLL, faulty=False)), settings=_FEW,
          says="CertPoll (20): its own data takes longer than "),
    Fault("T72", "a GetCert that cannot be read takes longer",
          lambda: ca_with(desk=slow(MessageType.GET_CERT, faulty=True)), settings=_FEW,
          says="GetCert (21): "),
    Fault("T73", "a GetCert with a key of another length takes longer",
          lambda: ca_with(desk=SlowOverKeys), settings=_FEW, says="GetCert (21): "),
]  # fmt: skip

#: What is late under one messageType, whose times are measured alone.
ONE_LATE = {
    "RenewalReq (17)": slow(MessageType.RENEWAL_REQ, faulty=True),
    "CertPoll (20) for an own transaction": slow(MessageType.CERT_POLL, faulty=True),
    "GetCRL (22)": slow(MessageType.GET_CRL, faulty=True),
}
