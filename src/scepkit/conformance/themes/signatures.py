"""The signature of a request, and what it covers (RFC 8894 section 3.2; A12, A16, A17).

The rule of this file: the content is a right and authorised request; only its wrapping is wrong.
"""

from __future__ import annotations

from collections.abc import Callable

from scepkit.conformance import cmsparts
from scepkit.conformance.cmsparts import Identity, attribute, octets, printable
from scepkit.conformance.judging import BAD_MESSAGE_CHECK, BAD_REQUEST, must_refuse
from scepkit.conformance.messages import SCEP_NAMES, Draft, new_transaction_id
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import Requester
from scepkit.conformance.verdicts import Verdict, failed, together
from scepkit.core import asn1

ISSUE = {Need.ISSUE}
_FORGED = "anybody on the way can send other requests in this one's name"


def _each(
    probe: Probe,
    variants: dict[str, Callable[[Draft], object]],
    *,
    with_: tuple[int, ...] = (),
    why: str = _FORGED,
) -> Verdict:
    """Each variant of a right request has to be refused."""
    parts = []
    for what, change in variants.items():
        draft = probe.draft(probe.requester(), what=f"PKCSReq, {what}")
        change(draft)
        parts.append((what, must_refuse(probe.send(draft), with_=with_, why=why)))
    return together(parts)


def _flip(data: bytes, at: int) -> bytes:
    return data[:at] + bytes((data[at] ^ 1,)) + data[at + 1 :]


@check(
    "T61",
    Class.SECURITY,
    "a request whose signature is broken is refused",
    section="RFC 8894 3.2; RFC 5652 5.6",
    remedy="verify the SignerInfo's signature over the signed attributes, and their messageDigest "
    "over the content; answer badMessageCheck (1) or HTTP 400",
    needs=ISSUE,
)
def broken(probe: Probe) -> Verdict:
    """One bit in the signature, in the content, in an attribute; and another right content."""
    requester = probe.requester()
    swapped = probe.draft(requester, what="PKCSReq, another right content")
    # After the digest was made.  Only who compares the digest sees it.
    swapped.content = probe.sealed(requester.csr(), requester)
    answer = probe.send(swapped)

    def in_signature(draft: Draft) -> None:
        draft.break_signature = True

    def in_content(draft: Draft) -> None:
        # After the digest was made: the content is another, and decrypts to garbage at its end.
        content = draft.content or b""
        draft.content = _flip(content, len(content) - 20)

    def in_attribute(draft: Draft) -> None:
        before = printable(draft.transaction_id)
        other = printable("f" * len(draft.transaction_id))
        draft.body_change = lambda body: body.replace(before, other)

    bits = _each(
        probe,
        {
            "a bit of the signature": in_signature,
            "a bit of the content": in_content,
            "a signed attribute": in_attribute,
        },
        with_=(BAD_MESSAGE_CHECK,),
    )
    other = must_refuse(answer, with_=(BAD_MESSAGE_CHECK,), why=_FORGED)
    return together([("bits", bits), ("another right content", other)])


@check(
    "T62",
    Class.SECURITY,
    "a request is refused whose signer's certificate is not in it",
    section="RFC 8894 2.3",
    remedy="look for the signer among the certificates of the message, and refuse when it is not "
    "there or its key does not verify the signature",
    needs=ISSUE,
)
def foreign_signer(probe: Probe) -> Verdict:
    """Another key's signature; no certificates."""

    def by_another(draft: Draft) -> None:
        other = probe.requester(challenge=None)
        draft.signer = Identity(draft.signer.certificate, other.key)

    def without(draft: Draft) -> None:
        draft.certificates = []

    def of_another(draft: Draft) -> None:
        other = Requester(probe.session.keys.take(), "CN=somebody else")
        draft.certificates = [other.identity().der]

    return _each(
        probe,
        {
            "signed with a key that is not the certificate's": by_another,
            "without certificates": without,
            "with the certificate of somebody else": of_another,
        },
    )


@check(
    "T64",
    Class.SECURITY,
    "a request is refused whose attributes can be read in two ways",
    section="RFC 8894 3.2.1; RFC 5652 5.3, 11",
    remedy="take one SignerInfo, signed attributes only, each there once and with one value",
    needs=ISSUE,
)
def ambiguous(probe: Probe) -> Verdict:
    """Two signers; unsigned attributes; attributes twice; attributes with two values."""

    def two_signers(draft: Draft) -> None:
        stranger = Requester(probe.session.keys.take(), "CN=stranger").identity()
        values = {**draft.attributes}
        values["transactionID"] = attribute(
            SCEP_NAMES["transactionID"], printable(new_transaction_id())
        )
        draft.more_signers = [cmsparts.signer_info(stranger, values.values())]
        draft.certificates = [*draft.certificates, stranger.der]

    def unsigned(draft: Draft) -> None:
        names = ("transactionID", "messageType", "senderNonce")
        draft.unsigned = [draft.attributes.pop(name) for name in names]

    def transaction_twice(draft: Draft) -> None:
        draft.attributes["again"] = attribute(
            SCEP_NAMES["transactionID"], printable(new_transaction_id())
        )

    def type_twice(draft: Draft) -> None:
        draft.attributes["again"] = attribute(SCEP_NAMES["messageType"], printable("17"))

    def two_values(draft: Draft) -> None:
        draft.put("messageType", printable("19"), printable("17"))

    return _each(
        probe,
        {
            "two SignerInfos": two_signers,
            "SCEP attributes only unsigned": unsigned,
            "transactionID twice": transaction_twice,
            "messageType twice": type_twice,
            "messageType with two values": two_values,
        },
        why="what one part of the server verifies, another may read otherwise",
    )


@check(
    "T65",
    Class.SECURITY,
    "a request without signed attributes is refused",
    section="RFC 8894 3.2; RFC 5652 5.4",
    remedy="require signed attributes, contentType and messageDigest among them",
    needs=ISSUE,
)
def no_signed_attributes(probe: Probe) -> Verdict:
    """None at all, and a content that looks like the attributes that were signed."""

    def none(draft: Draft) -> None:
        draft.signed = False
        draft.unsigned = [
            draft.attributes[name] for name in ("transactionID", "messageType", "senderNonce")
        ]

    def as_content(draft: Draft) -> None:
        draft.signed = False
        values = sorted(draft.attributes.values())
        draft.content = asn1.element(asn1.SET, *values)

    def without_digest(draft: Draft) -> None:
        del draft.attributes["messageDigest"]

    return _each(
        probe,
        {
            "no signed attributes": none,
            "the attributes as the content": as_content,
            "no messageDigest": without_digest,
        },
        why="a signature over attributes can be passed off as one over content",
    )


@check(
    "T101",
    Class.SECURITY,
    "SCEP attributes of wrong ASN.1 types are refused, and the server lives on",
    section="RFC 8894 3.2.1",
    remedy="check the tag of every attribute's value before using it",
    needs={*ISSUE, Need.INTRUSIVE},
)
def wrong_types(probe: Probe) -> Verdict:
    """BOOLEAN, NULL, SEQUENCE, OCTET STRING, nothing (Q19; CVE-2026-7668)."""
    values = {
        "BOOLEAN": b"\x01\x01\xff",
        "NULL": asn1.NULL,
        "SEQUENCE": asn1.element(asn1.SEQUENCE, asn1.integer(19)),
        "OCTET STRING of 0 bytes": octets(b""),
    }
    variants: dict[str, Callable[[Draft], object]] = {}
    for name in ("messageType", "transactionID", "senderNonce"):
        for kind, value in values.items():
            if kind.startswith("OCTET") and name != "senderNonce":
                continue
            variants[f"{name} as {kind}"] = _putting(name, value)
        variants[f"{name} without a value"] = _putting(name)
    verdict = _each(
        probe, variants, with_=(BAD_MESSAGE_CHECK, BAD_REQUEST), why="it reads what is not there"
    )
    return verdict if probe.alive() else failed("the server does not answer any more")


def _putting(name: str, *values: bytes) -> Callable[[Draft], object]:
    return lambda draft: draft.put(name, *values)
