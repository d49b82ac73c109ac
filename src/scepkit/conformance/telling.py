"""What the words of an answer tell of an encrypted content, under each messageType (attack A2).

`asked` also says what is to be sent where times are compared (`themes.timing`).

Whoever catches an envelope can send it again, changed, under a messageType of his choice and signed
with his own key.  So within one messageType nothing may depend on whether the content could be
decrypted, and whether it is what that messageType holds.

The rule of this file: what is compared names nothing that the server has, so that an answer has no
reason of its own to differ; and a difference counts when it shows twice.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping

from scepkit.conformance import cmsparts, crafted
from scepkit.conformance.answers import Answer
from scepkit.conformance.cmsparts import Identity, Sealing
from scepkit.conformance.messages import Draft, new_transaction_id
from scepkit.conformance.probe import Probe
from scepkit.conformance.requesters import Requester
from scepkit.conformance.verdicts import Ended, Verdict, failed
from scepkit.core import asn1
from scepkit.core.certificates import view_of
from scepkit.core.http import body_excerpt
from scepkit.core.names import parse_subject
from scepkit.values import frozen

#: Bytes by which equal answers may differ in length: ECDSA signatures do.
_CLASS = 16

_TYPES = {
    "19": "PKCSReq (19)",
    "17": "RenewalReq (17)",
    "20": "CertPoll (20)",
    "21": "GetCert (21)",
    "22": "GetCRL (22)",
}
_OWN = "CertPoll (20) for an own transaction"

#: A plaintext, and whether its padding is good.
Contents = Mapping[str, tuple[bytes, bool]]


@frozen
class Asked:
    """What a server is asked under one messageType.

    Attributes:
        what: the messageType, for people.
        message_type: its number.
        signer: who asks.
        transaction_id: a transaction of the signer's, or "" for a new one with each message.
        data: what that messageType holds, about nothing that the server has.
        contents: this and others.
    """

    what: str
    message_type: str
    signer: Identity
    transaction_id: str
    data: bytes
    contents: Contents

    def draft(self, probe: Probe, what: str, sealing: Sealing) -> Draft:
        """A message of this kind with another envelope."""
        return probe.draft(
            probe.baseline_requester(),
            what=f"{self.what}, {what}",
            message_type=self.message_type,
            data=self.data,
            sealing=sealing,
            signer=self.signer,
            transaction_id=self.transaction_id or new_transaction_id(),
        )

    def alike(self) -> Contents:
        """The data, garbage, and the data with a bad padding, all of one length."""
        tag = asn1.SEQUENCE if self.message_type == "20" else asn1.INTEGER
        garbage = next(
            made
            for filler in range(len(self.data), 0, -1)
            if len(made := _begun(tag, filler)) <= len(self.data)
        )
        return {
            "its own data": (self.data, True),
            "garbage": (garbage, True),
            "a bad padding": (self.data, False),
        }


def look(answer: Answer) -> str:
    """What anybody sees of an answer, but for its length and what is different each time."""
    reply = answer.reply
    if reply is None:
        excerpt = body_excerpt(answer.exchange.body)
        return f"HTTP {answer.http_status}, {len(answer.exchange.body)} bytes {excerpt!r}"
    inside = ", with a pkcsPKIEnvelope" if reply.message.content else ""
    return f"{answer.said}, {len(reply.message.signers)} signer{inside}"


def told_by_types(probe: Probe) -> Verdict | None:
    """A failure if a messageType is answered by what is in the content; None if none is."""
    lines: list[str] = []
    telling: list[str] = []
    for one in asked(probe):
        for _ in range(2):
            answers = {
                name: probe.send(one.draft(probe, name, sealing(*content)))
                for name, content in one.contents.items()
            }
            if alike := _alike(list(answers.values())):
                break
        if not alike:
            telling.append(one.what)
            lines += _table(one.what, answers)
    if not telling:
        return None
    return failed(
        f"{', '.join(telling)}: the answer depends on what is in the content, so that it tells "
        "whether that could be decrypted",
        *lines,
    )


def _alike(answers: list[Answer]) -> bool:
    lengths = [len(one.exchange.body) for one in answers if one.reply is not None]
    return len({look(one) for one in answers}) == 1 and (
        not lengths or max(lengths) - min(lengths) <= _CLASS
    )


def _table(what: str, answers: Mapping[str, Answer]) -> list[str]:
    """A line for each answer that there is, with the contents it was given to."""
    found: dict[str, list[str]] = {}
    for name, answer in answers.items():
        size = len(answer.exchange.body) // _CLASS * _CLASS
        length = "" if answer.reply is None else f", some {size} bytes"
        found.setdefault(f"{look(answer)}{length}", []).append(name)
    return [f"{what}: {answer}, to {'; '.join(names)}" for answer, names in found.items()]


def asked(probe: Probe) -> list[Asked]:
    """What the server is asked, under each messageType, with several contents."""
    requester = probe.requester(challenge="scepkit-check-no-challenge")
    stranger = requester.identity()
    holder = _holder(probe) or stranger
    contents = _contents(probe, requester)
    signers = {"19": stranger, "17": holder, "20": stranger, "21": holder, "22": holder}

    def under(what: str, kind: str, signer: Identity, transaction_id: str) -> Asked:
        own = "a foreign issuer" if kind in {"21", "22"} else next(iter(contents[kind]))
        data, _ = contents[kind][own]
        return Asked(what, kind, signer, transaction_id, data, contents[kind])

    # A CertPoll has a transactionID that nobody has had.
    found = [under(what, kind, signers[kind], "") for kind, what in _TYPES.items()]
    first = probe.baseline()
    if first.success or first.pending:
        message = first.message
        found.append(under(_OWN, "20", message.signer, message.transaction_id))
    return found


def _holder(probe: Probe) -> Identity | None:
    """Somebody with a certificate of this CA, as some servers answer nobody else."""
    first, requester = probe.baseline(), probe.baseline_requester()
    if not first.success:
        return None
    try:
        return Identity(probe.certificate_in(first, requester.key), requester.key)
    except Ended:
        return None  # the tests of enrolment say so


def _contents(probe: Probe, requester: Requester) -> Mapping[str, Contents]:
    """By messageType: its own data, about nothing; that of others; what nobody can read."""
    name = parse_subject(requester.subject).public_bytes()
    issuer = view_of(probe.ca.ca).subject
    poll = asn1.element(asn1.SEQUENCE, issuer, name)
    # Nobody has issued under that name; a GetCRL may be answered for any number of the CA's.
    number = asn1.issuer_and_serial(name, secrets.randbits(120) + 1)
    unknown = asn1.issuer_and_serial(issuer, secrets.randbits(120) + 1)
    broken = crafted.request_with(requester, broken=True)
    other = {"a certificate request": (requester.csr(), True)}
    names, numbers = {"data of a CertPoll": (poll, True)}, {"data of a GetCert": (number, True)}
    rest = _unreadable(poll)
    enrolling = {"a CSR that does not sign itself": (broken, True), **names, **numbers, **rest}
    query = {"a foreign issuer": (number, True), **other, **names, **rest}
    return {
        "19": enrolling,
        "17": enrolling,
        "20": {"names": (poll, True), **other, **numbers, **_unreadable(poll, asn1.SEQUENCE)},
        "21": {"an unknown number": (unknown, True), **query},
        "22": query,
    }


def _unreadable(data: bytes, tag: int = asn1.INTEGER) -> Contents:
    """Garbage, also behind a beginning that fits, and bad paddings.

    :param tag: of the element that the garbage is in, behind that beginning.
    """
    return {
        "a fitting beginning and garbage": (_begun(tag, 60), True),
        "garbage": (secrets.token_bytes(len(data)), True),
        "data with a bad padding": (data, False),
        "garbage with a bad padding": (secrets.token_bytes(len(data)), False),
    }


def _begun(tag: int, count: int) -> bytes:
    """The beginning of a structure, and that much garbage in its second element."""
    garbage = asn1.element(tag, b"\x01", secrets.token_bytes(count))
    return asn1.element(asn1.SEQUENCE, asn1.element(asn1.SEQUENCE), garbage)


def sealing(data: bytes, padded: bool) -> Sealing:
    """How to encrypt data, with a good or a bad padding."""
    key, iv = secrets.token_bytes(16), secrets.token_bytes(16)
    if padded:
        ciphertext = cmsparts.encrypt("aes128", key, iv, data)
    else:  # to the next block with zeros, which is no length of a padding
        ciphertext = cmsparts.raw_cbc("aes128", key, iv, data + bytes(16 - len(data) % 16))
    return Sealing(key=key, iv=iv, ciphertext=ciphertext)
