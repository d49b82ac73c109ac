"""Odd but honest requests, as devices in the field send them (RFC 8894 section 3.2; Q16 to Q53).

The rule of this file: every request here is authorised, and its sender is who it says.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta

from cryptography import x509

from scepkit.conformance import crafted
from scepkit.conformance.ber import indefinite
from scepkit.conformance.cmsparts import Identity, Sealing, attribute
from scepkit.conformance.judging import BAD_TIME, may_refuse, must_accept
from scepkit.conformance.messages import Draft
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, Need, check
from scepkit.conformance.requesters import Requester
from scepkit.conformance.verdicts import Verdict, failed, passed, together
from scepkit.core import asn1
from scepkit.core.certificates import view_of

ISSUE = {Need.ISSUE}
RSA = {Need.ISSUE, Need.RSA}


def _each(
    probe: Probe, variants: dict[str, Callable[[Draft], object]], **options: object
) -> Iterable[tuple[str, Verdict]]:
    """Send a request for each variant, changed as its function does."""
    for what, change in variants.items():
        draft = probe.draft(probe.requester(), what=f"PKCSReq, {what}", **options)  # type: ignore[arg-type]
        change(draft)
        yield what, must_accept(probe.send(draft))


@check(
    "T41",
    Class.QUIRK,
    "BER is read: indefinite lengths, and content in chunks",
    section="RFC 5652 4, 5.2",
    remedy="put requests through a BER-to-DER converter with limits of depth and size",
    needs=RSA,
)
def ber(probe: Probe) -> Verdict:
    """As BouncyCastle and Go write it (Q16, Q17)."""

    def chunked() -> Verdict:
        draft = probe.draft(
            probe.requester(), what="PKCSReq, [0] in chunks", sealing=Sealing(constructed=True)
        )
        return must_accept(probe.send(draft))

    def all_indefinite(draft: Draft) -> None:
        draft.content = indefinite(draft.content or b"")
        draft.digest_again()
        draft.body_change = indefinite

    parts = list(_each(probe, {"indefinite lengths": all_indefinite}))
    return together([*parts, ("encryptedContent in definite chunks", chunked())])


@check(
    "T42",
    Class.QUIRK,
    "attributes and challenge are read in other string types",
    section="RFC 8894 3.2.1",
    remedy="take any ASN.1 string type for messageType, transactionID and challengePassword",
    disputed="RFC 8894 3.2.1 requires PrintableString",
    needs=ISSUE,
)
def string_types(probe: Probe) -> Verdict:
    """UTF8String and IA5String; challenges as UTF8, T61, IA5 and BMP (Q19)."""

    def typed(tag: int) -> Callable[[Draft], None]:
        def change(draft: Draft) -> None:
            draft.put("messageType", asn1.element(tag, b"19"))
            draft.put("transactionID", asn1.element(tag, draft.transaction_id.encode()))

        return change

    parts = list(_each(probe, {"UTF8String": typed(0x0C), "IA5String": typed(0x16)}))
    if probe.settings.challenges is None:
        return together(parts)
    for name, tag, codec in (
        ("challenge as UTF8String", 0x0C, "utf-8"),
        ("challenge as TeletexString", 0x14, "latin-1"),
        ("challenge as IA5String", 0x16, "ascii"),
        ("challenge as BMPString", 0x1E, "utf-16-be"),
    ):
        requester = probe.requester()
        try:
            value = asn1.element(tag, (requester.challenge or "").encode(codec))
        except UnicodeEncodeError:
            continue
        data = crafted.request_with(requester, challenge=value)
        parts.append((name, must_accept(probe.enrol(requester, data=data, what=name))))
    return together(parts)


@check(
    "T43",
    Class.QUIRK,
    "nonces of 8 and of 32 bytes come back unchanged",
    section="RFC 8894 3.2.1.5",
    remedy="copy the senderNonce whatever its length",
    disputed="RFC 8894 3.2.1.5 requires 16 bytes",
    needs=ISSUE,
)
def nonce_lengths(probe: Probe) -> Verdict:
    """Old Apple clients send 8 (Q23)."""

    def verdict(length: int) -> Verdict:
        answer = probe.enrol(nonce=secrets.token_bytes(length), what=f"nonce of {length} bytes")
        taken = must_accept(answer)
        if answer.reply is not None and (answer.success or answer.pending):
            if answer.reply.recipient_nonce != answer.message.nonce:
                return failed("the recipientNonce is another")
            return passed("unchanged")
        return taken

    return together((f"{length} bytes", verdict(length)) for length in (8, 32))


@check(
    "T44",
    Class.QUIRK,
    "a signingTime that is absent or hours off is no fault, or badTime",
    section="RFC 8894 3.2.1.4",
    remedy="leave signingTime alone, or refuse it with failInfo badTime (3)",
    needs=ISSUE,
)
def signing_time(probe: Probe) -> Verdict:
    """Absent, nine hours early, nine hours late (G10)."""

    def verdict(offset: timedelta | None) -> Verdict:
        draft = probe.draft(probe.requester(), what=f"signingTime {offset or 'absent'}")
        if offset is not None:
            draft.put("signingTime", asn1.signing_time(datetime.now(UTC) + offset))
        answer = probe.send(draft)
        if offset is None:
            return must_accept(answer)
        return may_refuse(answer, with_=(BAD_TIME,))

    return together(
        [
            ("absent", verdict(None)),
            ("nine hours ago", verdict(timedelta(hours=-9))),
            ("in nine hours", verdict(timedelta(hours=9))),
        ]
    )


@check(
    "T45",
    Class.QUIRK,
    "the recipient may be named by key identifier, by a name in another encoding, or wrongly",
    section="RFC 5652 6.2.1",
    remedy="compare names by value and not by bytes, and try your key where there is but one "
    "recipient",
    disputed="a recipient that is named wrongly may as well be refused",
    needs=RSA,
)
def recipient_names(probe: Probe) -> Verdict:
    """SubjectKeyIdentifier, re-encoded issuer, stale serial number (Q40, Q53)."""
    ours = view_of(probe.ca.recipient)
    ski = ours.subject_key_identifier
    other_name = crafted.other_strings(ours.issuer)
    parts = []

    def ask(what: str, rid: bytes) -> None:
        sealing = Sealing(rid=rid)
        answer = probe.enrol(sealing=sealing, what=f"PKCSReq, recipient by {what}")
        verdict = may_refuse(answer)
        if not answer.success and not answer.pending and not answer.server_error:
            verdict = failed(f"{answer.said}, expected SUCCESS")
        parts.append((what, verdict))

    if ski is not None:
        ask("key identifier", asn1.element(0x80, ski))
    ask("another encoding of the name", asn1.issuer_and_serial(other_name, ours.serial_number))
    ask("a stale serial number", asn1.issuer_and_serial(ours.issuer, ours.serial_number + 1))
    return together(parts)


@check(
    "T46",
    Class.QUIRK,
    "the self-signed certificate may have another name than the request",
    section="RFC 8894 2.3",
    remedy="compare the keys of certificate and request, not their names",
    disputed="RFC 8894 2.3 says that the names SHOULD be the same",
    needs=ISSUE,
)
def other_subject(probe: Probe) -> Verdict:
    """As Cisco ASA does it (Q04)."""
    requester = probe.requester()
    named = Requester(requester.key, "CN=SCEP Protocol Certificate")
    return must_accept(probe.enrol(requester, signer=named.identity(), what="other subject"))


@check(
    "T47",
    Class.QUIRK,
    "the self-signed certificate may be as poor as devices make it",
    section="RFC 8894 2.3",
    remedy="take nothing from the self-signed certificate but its key, issuer and serial number",
    disputed="RFC 8894 2.3 requires its keyUsage, and a validity that is over is odd at least",
    needs=ISSUE,
)
def poor_certificates(probe: Probe) -> Verdict:
    """Version 1, no extensions, SHA-1, critical AKI, long number, expired (Q11, Q30)."""

    def verdict(what: str, make: Callable[[Requester], x509.Certificate]) -> Verdict:
        requester = probe.requester()
        signer = Identity(make(requester), requester.key)
        return must_accept(probe.enrol(requester, signer=signer, what=what))

    return together(
        (what, verdict(f"certificate: {what}", make))
        for what, make in crafted.POOR_CERTIFICATES.items()
    )


@check(
    "T48",
    Class.QUIRK,
    "every transactionID that is a PrintableString comes back exactly",
    section="RFC 8894 3.2.1.1",
    remedy="treat the transactionID as an opaque text of up to 255 characters",
    disputed="how long a transactionID may be is not said anywhere",
    needs=ISSUE,
)
def transaction_ids(probe: Probe) -> Verdict:
    """Short, long, base64, with blanks (Q36)."""
    unique = secrets.token_hex(4)
    variants = {
        "64 hex digits": secrets.token_hex(32),
        "base64": f"aB+/{unique}9=",
        "255 characters": unique + "x" * 247,
        "blanks": f"router {unique} of Acme",
        "1 character": secrets.choice("abcdefghijklmnopqrstuvwxyz"),
    }

    def verdict(what: str, text: str) -> Verdict:
        answer = probe.enrol(transaction_id=text, what=f"transactionID: {what}")
        taken = must_accept(answer)
        if answer.reply is not None and answer.reply.transaction_id != text:
            return failed(f"it came back as {(answer.reply.transaction_id or '')[:60]!r}")
        return taken

    return together((what, verdict(what, text)) for what, text in variants.items())


@check(
    "T50",
    Class.QUIRK,
    "unknown signed attributes are ignored",
    section="RFC 5652 11 (the RFC's own example has one)",
    remedy="skip attributes that you do not know",
    needs=ISSUE,
)
def unknown_attributes(probe: Probe) -> Verdict:
    """PKCS #9 randomNonce, as in the RFC's reference messages."""

    def change(draft: Draft) -> None:
        nonce = asn1.element(asn1.OCTET_STRING, secrets.token_bytes(16))
        draft.attributes["other"] = attribute("1.2.840.113549.1.9.25.3", nonce)

    return together(_each(probe, {"an unknown attribute": change}))
