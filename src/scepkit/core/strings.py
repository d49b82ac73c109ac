"""ASN.1 character strings: written as the RFC says, read in every type that peers send (Q19)."""

from __future__ import annotations

from scepkit.core import asn1
from scepkit.errors import DecodeError

_UTF8 = 0x0C
_PRINTABLE = 0x13

#: Identifier octet -> Python codec.  "latin-1" is for what is not UTF-8: encoders put both into all
#: 8-bit types, and Latin-1 text is hardly ever valid UTF-8.
_CODECS = {
    _UTF8: "utf-8",
    _PRINTABLE: "latin-1",  # devices put `_` and `@` into PrintableStrings
    0x12: "ascii",  # NumericString
    0x14: "latin-1",  # T61String
    0x16: "latin-1",  # IA5String
    0x1A: "latin-1",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}

_PRINTABLE_CHARACTERS = frozenset(
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 '()+,-./:=?"
)


def is_printable(text: str) -> bool:
    """Whether `text` may be a PrintableString (X.680): no ``_ @ * & !``."""
    return _PRINTABLE_CHARACTERS.issuperset(text)


def printable_or_utf8(text: str) -> bytes:
    """A PrintableString where its alphabet allows, else a UTF8String (DER)."""
    tag = _PRINTABLE if is_printable(text) else _UTF8
    return asn1.element(tag, text.encode("utf-8"))


def text_value(encoded: bytes, name: str) -> str:
    """The text in an encoded string element of any type.

    :raises DecodeError: it is not a string, or not in the encoding its type says; `name` is what
        the message calls it.
    """
    codec = _CODECS.get(encoded[0])
    if codec is None:
        raise DecodeError(f"the {name} is not a character string (its tag is 0x{encoded[0]:02x})")
    content = asn1.content_of(encoded)
    if codec == "latin-1":
        try:
            return content.decode()
        except UnicodeDecodeError:
            pass
    try:
        return content.decode(codec)
    except UnicodeDecodeError as exc:
        raise DecodeError(f"the {name} is not valid {codec}") from exc
