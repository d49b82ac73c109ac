"""An inspection for programs (`to_json`) and for people (`render_text`).

Rules of this file: JSON names are RFC 8894's, and none disappears when it has no value; text for
people carries no control characters, whatever the message held.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterator
from datetime import datetime
from typing import Any

from scepkit.core.inspect.values import (
    CertificateInfo,
    Code,
    CrlInfo,
    CsrInfo,
    EnvelopeInfo,
    HttpInfo,
    Inspection,
    ScepAttributes,
    SignatureInfo,
)
from scepkit.core.wording import counted

# ------------------------------------------------------------------ JSON


def to_json(inspection: Inspection) -> dict[str, Any]:
    """The inspection as one JSON object (dicts, lists, strings, numbers, None).

    ``certificates`` and ``crls`` are those of the outermost layer; what a CertRep delivers is under
    ``content``, which describes the messageData.  Nonces are hexadecimal, messageData is base64,
    times are ISO 8601 in UTC.  The challengePassword is in nothing but messageData itself.
    """
    attributes = inspection.attributes
    envelopes = [layer.envelope for layer in inspection.layers if layer.envelope is not None]
    envelope = envelopes[0] if envelopes else None
    return {
        "kind": inspection.kind,
        "encoding": list(inspection.encoding),
        "size": inspection.size,
        "http": _http(inspection.http),
        **_attributes(attributes),
        "algorithms": _algorithms(inspection.signature, envelope),
        "signature": _signature(inspection.signature),
        "signer": _signer(inspection.signature),
        "recipients": [
            {"kind": one.kind, "algorithm": one.algorithm, "recipient": one.recipient}
            for one in (envelope.recipients if envelope else ())
        ],
        "decryption": envelope.decryption if envelope else None,
        "messageData": b64encode(envelope.message_data).decode()
        if envelope and envelope.message_data is not None
        else None,
        **_contents(inspection),
        "csr": next((_csr(layer.csr) for layer in inspection.layers if layer.csr), None),
        "content": _content(inspection),
        "oddities": [{"code": one.code, "text": one.text} for one in inspection.oddities],
    }


def _http(found: HttpInfo | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "method": found.method or None,
        "target": found.target or None,
        "operation": found.operation,
        "status": found.status or None,
        "contentType": found.content_type or None,
    }


def _attributes(found: ScepAttributes | None) -> dict[str, Any]:
    def name(code: Code | None) -> str | None:
        return code.name if code else None

    def number(code: Code | None) -> int | None:
        return code.number if code else None

    def octets(value: bytes | None) -> str | None:
        return None if value is None else value.hex()

    return {
        "messageType": name(found.message_type) if found else None,
        "messageTypeNumber": number(found.message_type) if found else None,
        "transactionID": found.transaction_id if found else None,
        "senderNonce": octets(found.sender_nonce) if found else None,
        "recipientNonce": octets(found.recipient_nonce) if found else None,
        "pkiStatus": name(found.pki_status) if found else None,
        "pkiStatusNumber": number(found.pki_status) if found else None,
        "failInfo": name(found.fail_info) if found else None,
        "failInfoNumber": number(found.fail_info) if found else None,
        "failInfoText": found.fail_info_text if found else None,
        "signingTime": found.signing_time if found else None,
        "otherAttributes": list(found.others) if found else [],
    }


def _algorithms(
    signature: SignatureInfo | None, envelope: EnvelopeInfo | None
) -> dict[str, str | None]:
    recipient = envelope.recipients[0] if envelope and envelope.recipients else None
    return {
        "digest": signature.digest if signature else None,
        "signature": signature.algorithm if signature else None,
        "cipher": envelope.cipher if envelope else None,
        "keyTransport": recipient.algorithm if recipient else None,
    }


def _signature(found: SignatureInfo | None) -> dict[str, Any] | None:
    return None if found is None else {"state": found.state, "explanation": found.explanation}


def _signer(found: SignatureInfo | None) -> dict[str, Any] | None:
    if found is None:
        return None
    return {
        "identifier": found.signer_id,
        "certificate": _certificate(found.signer) if found.signer else None,
    }


def _contents(layer: Inspection) -> dict[str, Any]:
    return {
        "certificates": [_certificate(one) for one in layer.certificates],
        "crls": [_crl(one) for one in layer.crls],
    }


def _content(inspection: Inspection) -> dict[str, Any] | None:
    """The innermost layer, unless it is the only one."""
    inner = inspection.layers[-1]
    if inner is inspection or inner.kind == "EnvelopedData":
        return None
    query = inner.query
    return {
        "kind": inner.kind,
        "encoding": list(inner.encoding),
        "size": inner.size,
        **_contents(inner),
        "issuer": query.issuer if query else None,
        "subject": query.subject if query else None,
        "serialNumber": query.serial_number if query else None,
    }


def _certificate(one: CertificateInfo) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "issuer": one.issuer,
        "serialNumber": one.serial_number,
        "notBefore": _time(one.not_before),
        "notAfter": _time(one.not_after),
        "key": one.key,
        "ca": one.ca,
        "keyUsage": list(one.key_usage),
        "extendedKeyUsage": list(one.extended_key_usage),
        "subjectAltName": list(one.alternative_names),
        "signatureAlgorithm": one.signature_algorithm,
        "sha256": one.sha256,
    }


def _crl(one: CrlInfo) -> dict[str, Any]:
    return {
        "issuer": one.issuer,
        "number": one.number,
        "thisUpdate": _time(one.this_update),
        "nextUpdate": _time(one.next_update),
        "entries": one.entries,
    }


def _csr(one: CsrInfo) -> dict[str, Any]:
    return {
        "subject": one.subject,
        "key": one.key,
        "challengePassword": one.challenge_password,
        "subjectAltName": list(one.alternative_names),
        "extensions": list(one.extensions),
        "signature": one.signature,
    }


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime("%Y-%m-%dT%H:%M:%SZ")


# ------------------------------------------------------------------ text

_LONGEST_TARGET = 70


def render_text(inspection: Inspection) -> str:
    """The inspection for a terminal: one section a layer, then what is odd."""
    lines: list[str] = []
    if inspection.http is not None:
        lines += _http_lines(inspection.http)
    for layer in inspection.layers if inspection.kind != "HTTP" else ():
        size = f"{layer.size} bytes"
        lines.append(f"{layer.kind} ({', '.join((*layer.encoding, size))})")
        pairs = list(_pairs(layer))
        width = max((len(name) for name, _ in pairs), default=0)
        lines += [f"  {name:<{width}}  {shown(value)}" for name, value in pairs]
    lines.append("Nothing odd." if not inspection.oddities else "Odd:")
    width = max((len(one.code) for one in inspection.oddities), default=0)
    lines += [f"  {one.code:<{width}}  {shown(one.text)}" for one in inspection.oddities]
    return "\n".join(lines) + "\n"


def _http_lines(found: HttpInfo) -> list[str]:
    # The target of a GET holds the whole message.
    target = (
        found.target
        if len(found.target) <= _LONGEST_TARGET
        else (f"{found.target[:_LONGEST_TARGET]}...")
    )
    first = f"{found.method} {target}" if found.method else f"{found.status} {found.reason}"
    lines = [f"HTTP {shown(first.strip())}"]
    if found.content_type:
        lines.append(f"  Content-Type  {shown(found.content_type)}")
    return lines


def shown(text: str) -> str:
    """`text` with every character that would not just print as an escape."""
    return "".join(
        one if one.isprintable() else one.encode("unicode_escape").decode() for one in text
    )


def _pairs(layer: Inspection) -> Iterator[tuple[str, str]]:
    if layer.attributes is not None:
        yield from _attribute_pairs(layer.attributes)
    if layer.signature is not None:
        yield from _signature_pairs(layer.signature)
    for number, one in enumerate(layer.certificates, 1):
        yield f"certificate {number}", _certificate_line(one)
        yield "", f"sha256 {one.sha256}"
    for crl in layer.crls:
        yield "crl", _crl_line(crl)
    if layer.envelope is not None:
        yield from _envelope_pairs(layer.envelope)
    if layer.csr is not None:
        yield from _csr_pairs(layer.csr)
    if layer.query is not None:
        yield "issuer", layer.query.issuer
        if layer.query.subject is not None:
            yield "subject", layer.query.subject
        if layer.query.serial_number is not None:
            yield "serial number", layer.query.serial_number


def _attribute_pairs(found: ScepAttributes) -> Iterator[tuple[str, str]]:
    for name, code in (
        ("messageType", found.message_type),
        ("pkiStatus", found.pki_status),
        ("failInfo", found.fail_info),
    ):
        if code is not None:
            known = code.number is not None and code.name != str(code.number)
            yield name, f"{code.name} ({code.number})" if known else code.name
    for name, text in (
        ("failInfoText", found.fail_info_text),
        ("transactionID", found.transaction_id),
        ("senderNonce", found.sender_nonce.hex() if found.sender_nonce is not None else None),
        (
            "recipientNonce",
            found.recipient_nonce.hex() if found.recipient_nonce is not None else None,
        ),
        ("signingTime", found.signing_time),
        ("other attributes", ", ".join(found.others) or None),
    ):
        if text is not None:
            yield name, text


def _signature_pairs(found: SignatureInfo) -> Iterator[tuple[str, str]]:
    yield "digest", found.digest
    why = f": {found.explanation}" if found.explanation else ""
    yield "signature", f"{found.algorithm}, {found.state}{why}"
    yield "signer", _certificate_line(found.signer) if found.signer else found.signer_id


def _envelope_pairs(found: EnvelopeInfo) -> Iterator[tuple[str, str]]:
    yield "cipher", found.cipher
    for one in found.recipients:
        named = f" for {one.recipient}" if one.recipient else ""
        yield "recipient", f"{one.kind} ({one.algorithm}){named}"
    yield "ciphertext", f"{found.ciphertext_size} bytes"
    yield "decryption", found.decryption


def _certificate_line(one: CertificateInfo) -> str:
    issuer = "self-issued" if one.self_issued else f"issued by {_or_empty(one.issuer)}"
    words = [f"{_or_empty(one.subject)} ({one.key})", issuer, f"serial number {one.serial_number}"]
    if one.not_before and one.not_after:
        words.append(f"valid {one.not_before:%Y-%m-%d} to {one.not_after:%Y-%m-%d}")
    if one.ca:
        words.append("CA")
    words += [", ".join(group) for group in (one.key_usage, one.extended_key_usage) if group]
    words += one.alternative_names
    return "; ".join(words)


def _crl_line(one: CrlInfo) -> str:
    number = "" if one.number is None else f" number {one.number}"
    until = f", next update {one.next_update:%Y-%m-%d %H:%M}" if one.next_update else ""
    return f"{_or_empty(one.issuer)}{number}: {counted(one.entries, 'entry', 'entries')}{until}"


def _csr_pairs(one: CsrInfo) -> Iterator[tuple[str, str]]:
    yield "subject", _or_empty(one.subject)
    yield "key", one.key
    yield "challengePassword", one.challenge_password
    for name in one.alternative_names:
        yield "alternative name", name
    if one.extensions:
        yield "extensions", ", ".join(one.extensions)
    yield "signature", one.signature


def _or_empty(name: str) -> str:
    return name or "(empty name)"
