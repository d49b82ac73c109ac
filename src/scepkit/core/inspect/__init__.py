"""Decode any SCEP message, or any layer of one, and say what is odd in it.

Behind ``scepkit inspect``.  Everything else in `core` is strict, because it decides something; this
package decides nothing and is lenient: whatever can be found is shown, and what is wrong with it is
listed.  Legacy algorithms are read, and no certificate is trusted.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace

from cryptography import x509

from scepkit.core.certificates import PrivateKey
from scepkit.core.inspect.layers import Secrets, certificate_bundle, read_layer
from scepkit.core.inspect.render import render_text, to_json
from scepkit.core.inspect.values import (
    CertificateInfo,
    Code,
    CrlInfo,
    CsrInfo,
    EnvelopeInfo,
    HttpInfo,
    Inspection,
    Oddity,
    QueryInfo,
    RecipientInfo,
    ScepAttributes,
    SignatureInfo,
)
from scepkit.core.inspect.wrapping import Unwrapped, unwrap
from scepkit.errors import ProtocolError

__all__ = [
    "CertificateInfo",
    "Code",
    "CrlInfo",
    "CsrInfo",
    "EnvelopeInfo",
    "HttpInfo",
    "Inspection",
    "Oddity",
    "QueryInfo",
    "RecipientInfo",
    "ScepAttributes",
    "SignatureInfo",
    "inspect_message",
    "render_text",
    "to_json",
]


def inspect_message(
    data: bytes,
    *,
    key: PrivateKey | None = None,
    certificate: x509.Certificate | None = None,
    password: bytes | None = None,
    signers: Sequence[x509.Certificate] = (),
) -> Inspection:
    """Decode a SCEP message or a layer of one.

    :param data: a pkiMessage, an EnvelopedData, a SignedData of any kind, a messageData, a
        certificate, CRL or PKCS#10 request; in DER or BER, PEM, base64, as the URL of a
        PKIOperation by GET, or in the HTTP request or response that it was captured in.
    :param key: the recipient's private key (RSA), to decrypt with.
    :param certificate: its certificate, by which the message may name it; it also counts as one
        that may have signed the message.
    :param password: the challengePassword, for what is encrypted with it.
    :param signers: further certificates that may have signed the message, which need not hold them.
    :raises DecodeError: it is none of these; `title` is that of the web page it is instead.
    """
    found = unwrap(data)
    with warnings.catch_warnings():
        # `cryptography` warns of certificates that it will refuse one day.
        warnings.simplefilter("ignore")
        if found.certificates:
            bundle = certificate_bundle(found.certificates, len(data), found.wrapping)
            return replace(bundle, http=found.http)
        if not found.data:
            return _without_message(found, len(data))
        try:
            inspection = read_layer(
                found.data,
                Secrets(key, certificate, password, tuple(signers)),
                wrapping=found.wrapping,
            )
        except ProtocolError as exc:
            if found.http is None:
                raise
            text = f"the message in the body cannot be read: {exc}"
            return _without_message(found, len(data), Oddity("RFC 8894 4.1", text))
    return replace(inspection, oddities=found.oddities + inspection.oddities, http=found.http)


def _without_message(found: Unwrapped, size: int, *odd: Oddity) -> Inspection:
    """What is left when there is HTTP and no message in it."""
    return Inspection("HTTP", found.wrapping, size, (*found.oddities, *odd), http=found.http)
