"""Extensions as certificates have them, and their encoding.

The rule of this file: what is the same in many certificates is encoded once, by whoever makes it,
and its bytes stay with it.
"""

from __future__ import annotations

from cryptography import x509

from scepkit.core import asn1
from scepkit.errors import InputError

AnyExtension = x509.Extension[x509.ExtensionType]


class KeptExtension(AnyExtension):
    """An extension for many certificates, with its own OID; `der` is the whole of it.

    :raises InputError: it cannot be encoded.
    """

    def __init__(self, value: x509.ExtensionType, *, critical: bool = False) -> None:
        super().__init__(value.oid, critical, value)
        self.der = _encode(self)


def encoded_extension(extension: AnyExtension) -> bytes:
    """An Extension (RFC 5280 section 4.1) in DER.

    :raises InputError: it cannot be encoded.
    """
    return extension.der if isinstance(extension, KeptExtension) else _encode(extension)


def _encode(extension: AnyExtension) -> bytes:
    oid = extension.oid.dotted_string
    try:
        content = extension.value.public_bytes()
    except (ValueError, TypeError, NotImplementedError) as exc:
        raise InputError(f"the extension {oid} cannot be encoded: {exc}") from exc
    flag = b"\x01\x01\xff" if extension.critical else b""
    return asn1.element(0x30, asn1.oid_der(oid), flag, asn1.element(0x04, content))
