"""Servers that are broken on purpose, each in one way: a test CA with one part replaced.

`ca_with` makes a test CA with another `Desk` (what it decides), another `Front` (what it reads and
how it answers), or faults of its own list.  Everything that is not replaced is right.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from scepkit.ca import CertificateProfile
from scepkit.core import asn1, cms, messages
from scepkit.core.certificates import view
from scepkit.core.http import PKI_MESSAGE_TYPE
from scepkit.core.messages import Failure, Request, Success
from scepkit.errors import DecodeError, FailInfo, ProtocolError, SignatureError
from scepkit.testing import Policy, TestCa
from scepkit.testing.answers import Answer, text
from scepkit.testing.desk import Desk
from scepkit.testing.front import Front
from scepkit.testing.state import Outcome


def ca_with(
    *faults: str, desk: type[Desk] = Desk, front: type[Front] = Front, **options: Any
) -> TestCa:
    """A test CA with a strict profile, and these parts instead of its own."""
    policy = options.pop("policy", None) or Policy(profile=CertificateProfile())
    ca = TestCa(policy=policy, faults=faults, **options)
    ca._desk.__class__ = desk
    ca._front.__class__ = front
    return ca


# ------------------------------------------------------------------ what answers over HTTP

Http = Callable[[str, str, bytes, Answer], Answer]


def answering(change: Http) -> type[Front]:
    """A front whose answers go through a function: (method, target, body, right answer)."""

    class Changed(Front):
        def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
            return change(method, target, body, super().answer(method, target, body))

    return Changed


def crashing_on(condition: Callable[[str, str, bytes], bool], status: int = 500) -> type[Front]:
    """A front that answers some requests with an error of its own."""

    def change(method: str, target: str, body: bytes, right: Answer) -> Answer:
        return text(status, "internal error") if condition(method, target, body) else right

    return answering(change)


# ------------------------------------------------------------------ what reads messages


def reading(read: Callable[[bytes], Request]) -> type[Front]:
    """A front that reads messages with a function."""

    class Reading(Front):
        def _pki_operation(self, raw: bytes, method: str) -> Answer:
            try:
                request = read(raw)
            except ProtocolError as error:
                return text(400, str(error))
            outcome = self.desk.handle(request)
            try:
                reply = self._seal(request, outcome)
            except ProtocolError as error:
                outcome.reply = Failure(error.fail_info, str(error))
                reply = self._seal(request, outcome)
            return Answer(reply, PKI_MESSAGE_TYPE)

    return Reading


def unverified(
    raw: bytes,
    *,
    any_signer: bool = False,
    first_of_many: bool = False,
    unsigned_too: bool = False,
    last_value: bool = False,
) -> Request:
    """A request whose signature nobody looks at.

    :param any_signer: take the first certificate when none is named.
    :param first_of_many: read the first of several signers.
    :param unsigned_too: take attributes that are not signed.
    :param last_value: of several values or attributes take the last.
    """
    message = cms.read_signed(raw)
    if len(message.signers) != 1 and not first_of_many:
        raise SignatureError("expected one signature")
    info = message.signers[0]
    listed = list(info.attributes)
    if unsigned_too and info.unsigned_attrs:
        listed += asn1.attributes(info.unsigned_attrs)
    attributes: dict[str, list[bytes]] = {}
    for oid, values in listed:
        if oid in attributes and not last_value:
            raise DecodeError("an attribute is there twice")
        attributes[oid] = values[-1:] if last_value else values
    certificates = [view(der) for der in message.certificates]
    named = [one for one in certificates if one.is_named_by(info.sid)]
    if not named and not any_signer:
        raise SignatureError("the signer is not there")
    if not (named or certificates):
        raise SignatureError("there is no certificate")
    return request_of(message, attributes, (named or certificates)[0])


def request_of(message: Any, attributes: dict[str, list[bytes]], signer: Any) -> Request:
    """A request of these attributes."""
    from scepkit.core.algorithms import digest_for_oid
    from scepkit.core.asn1 import content_of, split_algorithm
    from scepkit.core.strings import text_value

    def value(oid: str, name: str) -> bytes:
        values = attributes.get(oid)
        if not values:
            raise DecodeError(f"no {name}")
        return values[0]

    kind = text_value(value(messages.ID_MESSAGE_TYPE, "messageType"), "messageType")
    identifier = text_value(value(messages.ID_TRANSACTION_ID, "transactionID"), "transactionID")
    nonce = content_of(value(messages.ID_SENDER_NONCE, "senderNonce"))
    oid, _ = split_algorithm(message.signers[0].digest_algorithm, "digest")
    known = {str(int(one)): one for one in messages.MessageType}
    return Request(
        message_type=known.get(kind),
        message_type_text=kind,
        transaction_id=identifier,
        sender_nonce=nonce,
        signer=signer,
        certificates=message.certificates,
        digest=digest_for_oid(oid),
        content=message.content,
    )


def retyped(change: Callable[[Request], Request]) -> type[Front]:
    """A front that reads as it should, and then takes the request for another one."""
    return reading(lambda raw: change(messages.read_request(raw)))


# ------------------------------------------------------------------ what decides


def refusing(condition: Callable[[Request], bool], fail_info: FailInfo) -> type[Desk]:
    """A desk that refuses what it should take."""

    class Refusing(Desk):
        def handle(self, request: Request) -> Outcome:
            if condition(request):
                return Outcome(Failure(fail_info, ""), messages.Protection(digest=request.digest))
            return super().handle(request)

    return Refusing


def without(**methods: Callable[..., Any]) -> type[Desk]:
    """A desk some of whose methods are others."""
    return type("Broken", (Desk,), methods)


__all__ = [
    "Answer",
    "Success",
    "answering",
    "ca_with",
    "crashing_on",
    "reading",
    "refusing",
    "retyped",
    "unverified",
    "without",
]
