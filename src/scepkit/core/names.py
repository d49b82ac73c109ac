"""Names and purposes as text: subjects, alternative names, extended key usages.

The rule of this file: text given by a person becomes a value that `cryptography` can encode without
complaint, or an `InputError` that names the piece that is wrong.
"""

from __future__ import annotations

import ipaddress
import re

from cryptography import x509
from cryptography.x509.oid import NameOID, ObjectIdentifier

from scepkit.core import asn1, dntext
from scepkit.core.dntext import shown
from scepkit.core.sentnames import COMMON_NAME_BYTES, COUNTRIES, encode_rdns, read_name
from scepkit.core.strings import text_value
from scepkit.errors import DecodeError, InputError

# ------------------------------------------------------------------ subjects

# The first spelling of an attribute is the one `format_subject` writes.
_ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "2.5.4.3": ("CN", "commonName"),
    "2.5.4.6": ("C", "countryName", "country"),
    "2.5.4.8": ("ST", "S", "stateOrProvinceName", "state"),
    "2.5.4.7": ("L", "localityName", "locality"),
    "2.5.4.10": ("O", "organizationName", "organization"),
    "2.5.4.11": ("OU", "organizationalUnitName", "organizationalUnit"),
    "2.5.4.9": ("street", "streetAddress"),
    "2.5.4.17": ("postalCode",),
    "0.9.2342.19200300.100.1.25": ("DC", "domainComponent"),
    "0.9.2342.19200300.100.1.1": ("UID", "userId"),
    "1.2.840.113549.1.9.1": ("emailAddress", "E", "email"),
    "1.2.840.113549.1.9.2": ("unstructuredName",),
    "1.2.840.113549.1.9.8": ("unstructuredAddress",),
    "2.5.4.5": ("serialNumber",),
    "2.5.4.4": ("SN", "surname"),
    "2.5.4.42": ("GN", "givenName"),
    "2.5.4.43": ("initials",),
    "2.5.4.12": ("title",),
    "2.5.4.13": ("description",),
    "2.5.4.41": ("name",),
    "2.5.4.44": ("generationQualifier",),
    "2.5.4.46": ("dnQualifier",),
    "2.5.4.65": ("pseudonym",),
    "2.5.4.15": ("businessCategory",),
    "2.5.4.97": ("organizationIdentifier",),
}
_OID_OF = {word.lower(): oid for oid, words in _ATTRIBUTES.items() for word in words}
_LABELS = {ObjectIdentifier(oid): words[0] for oid, words in _ATTRIBUTES.items()}

# RFC 5280 appendix A gives these one string type each; all others are DirectoryStrings.
_PRINTABLE = (*COUNTRIES, NameOID.SERIAL_NUMBER, NameOID.DN_QUALIFIER)
_IA5 = (NameOID.EMAIL_ADDRESS, NameOID.DOMAIN_COMPONENT)

_NOT_PRINTABLE = re.compile(r"[^A-Za-z0-9 '()+,\-./:=?]")
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_DOTTED = re.compile(r"\d+(\.\d+)+")

_UTF8_STRING = 0x0C


def parse_subject(text: str) -> x509.Name:
    r"""Read a distinguished name.

    Two ways of writing are told apart by the first character:

    * RFC 4514: ``CN=router1,OU=Lab+L=Paris,O=Acme``.  **The most specific part comes first**, so
      the encoded name has the parts in the opposite order (O, OU+L, CN): RFC 4514 section 2.1.
      Blanks around ``,`` ``+`` ``=`` are ignored and a value may stand in double quotes, as in
      RFC 1779.  ``\`` escapes a character or begins two hexadecimal digits of UTF-8; ``#`` begins a
      whole value in DER.
    * OpenSSL's: ``/C=US/O=Acme/CN=router1``, encoded in the order it is written.  ``\`` escapes.

    Attribute names are those of RFC 4514 and OpenSSL in any case, or dotted OIDs.  The empty text
    is the empty name.

    :raises InputError: the text is not a name; the message quotes the piece that is wrong.
    """
    if text.startswith("/"):
        rdns = dntext.split_slashes(text)
    else:
        rdns = list(reversed(dntext.split_commas(text)))
    return x509.Name([_rdn(pieces) for pieces in rdns])


def format_subject(name: x509.Name) -> str:
    """Write a name as RFC 4514 text that `parse_subject` reads back; "" for the empty name.

    Unlike ``name.rfc4514_string()`` it has names for more attributes, such as ``emailAddress``.
    """
    return name.rfc4514_string(_LABELS)


def _rdn(pieces: list[dntext.Piece]) -> x509.RelativeDistinguishedName:
    attributes = [_attribute(piece) for piece in pieces]
    if len(set(attributes)) != len(attributes):
        raise InputError(f"the subject has {shown(pieces[0].text)} twice in one multi-valued part")
    return x509.RelativeDistinguishedName(attributes)


def _attribute(piece: dntext.Piece) -> x509.NameAttribute[str | bytes]:
    oid = _attribute_oid(piece)
    if isinstance(piece.value, bytes):
        return _encoded_attribute(oid, piece.value, piece.text)
    problem = _value_problem(oid, piece.value)
    if problem:
        raise InputError(f"in the subject, {shown(piece.text)} {problem}")
    return x509.NameAttribute(oid, piece.value)


def _attribute_oid(piece: dntext.Piece) -> ObjectIdentifier:
    word = piece.type.lower().removeprefix("oid.")
    known = _OID_OF.get(word)
    if known is not None:
        return ObjectIdentifier(known)
    if _DOTTED.fullmatch(word):
        return parse_oid(word)
    raise InputError(
        f"in the subject, {shown(piece.text)} begins with {shown(piece.type)}, which is not the "
        "name of an "
        "attribute",
        hint="known names: "
        + ", ".join(words[0] for words in _ATTRIBUTES.values())
        + "; any other attribute can be given by its dotted OID",
    )


def _value_problem(oid: ObjectIdentifier, value: str) -> str:
    """What is wrong with the value of a subject attribute, as the rest of a sentence, or ""."""
    if not value:
        return "has no value"
    if found := _CONTROL.search(value):
        return f"holds the control character U+{ord(found.group()):04X}"
    try:
        size = len(value.encode())
    except UnicodeEncodeError:
        return "is not valid Unicode"
    if oid == NameOID.COMMON_NAME and size > COMMON_NAME_BYTES:
        return f"is too long: a common name has at most 64 bytes in UTF-8, this one has {size}"
    if oid in COUNTRIES and size != 2:
        return "must be a country code of two letters"
    if oid in _PRINTABLE and (wrong := _NOT_PRINTABLE.search(value)):
        return (
            f"holds {wrong.group()!r}, which this attribute does not allow (it is a "
            "PrintableString: letters, digits, blank and ' ( ) + , - . / : = ?)"
        )
    if oid in _IA5 and not value.isascii():
        return "holds a character that is not ASCII, which this attribute does not allow"
    return ""


def _encoded_attribute(
    oid: ObjectIdentifier, der: bytes, text: str
) -> x509.NameAttribute[str | bytes]:
    try:
        asn1.only(der)
        text_value(der, "value")
    except (asn1.NotDerError, DecodeError) as exc:
        raise InputError(
            f"in the subject, {shown(text)} is not the DER of a string: {exc}"
        ) from exc
    name = read_name(encode_rdns([[(asn1.oid_der(oid.dotted_string), der)]]))
    if name is None:
        raise InputError(f"in the subject, {shown(text)} is not a value this attribute can have")
    return next(iter(name))


# ------------------------------------------------------------------ alternative names

_UPN = "1.3.6.1.4.1.311.20.2.3"
_DNS_LABEL = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:.")


def parse_san(text: str) -> x509.GeneralName:
    """Read one subject alternative name.

    ``dns:router1.example.com``, ``ip:192.0.2.1``, ``ip:2001:db8::1``, ``email:a@example.com``,
    ``uri:https://example.com/x``, ``upn:user@example.com`` (otherName of Active Directory),
    ``dirname:CN=x,O=y`` (as `parse_subject` reads it), ``rid:1.2.3``,
    ``othername:1.2.3;UTF8:text`` and ``othername:1.2.3;DER:0c0474657874``.  The word before the
    colon may be in any case.

    :raises InputError: the text is none of these.
    """
    kind, colon, value = text.strip().partition(":")
    reader = _SAN_READERS.get(kind.strip().lower())
    value = value.strip()
    if not colon or reader is None:
        raise InputError(
            f"the alternative name {shown(text)} does not say what it is; expected one of "
            + ", ".join(f"{word}:" for word in _SAN_READERS),
            hint=f"for a host name write dns:{text.strip()}" if not colon else "",
        )
    if not value:
        raise InputError(f"the alternative name {shown(text)} has nothing behind its colon")
    if found := _CONTROL.search(value):
        raise InputError(
            f"the alternative name {shown(text)} holds the control character "
            f"U+{ord(found.group()):04X}"
        )
    return reader(value)


def _dns(value: str) -> x509.GeneralName:
    _require_ascii(value, "DNS name", _a_label_hint(value))
    labels = value.removeprefix("*.").split(".")
    if len(value) > 253 or not all(_DNS_LABEL.fullmatch(label) for label in labels):
        raise InputError(
            f"{shown(value)} is not a DNS name: expected labels of 1 to 63 letters, digits and "
            "hyphens "
            "with dots between them, 253 characters at most"
        )
    return x509.DNSName(value)


def _a_label_hint(value: str) -> str:
    try:
        return f"write its A-label form: dns:{value.encode('idna').decode()}"
    except UnicodeError:
        return "write its A-label form, which begins with xn--"


def _ip(value: str) -> x509.GeneralName:
    try:
        address = ipaddress.ip_address(value)
    except ValueError as exc:
        raise InputError(
            f"{shown(value)} is not an IP address; expected one like 192.0.2.1 or 2001:db8::1"
        ) from exc
    if "%" in value:
        raise InputError(f"{shown(value)} has a zone, which a certificate cannot hold")
    return x509.IPAddress(address)


def _email(value: str) -> x509.GeneralName:
    _require_ascii(value, "e-mail address")
    local, at, domain = value.rpartition("@")
    if not (local and at and domain) or " " in value or "@" in local:
        raise InputError(
            f"{shown(value)} is not an e-mail address; expected one like a@example.com"
        )
    return x509.RFC822Name(value)


def _uri(value: str) -> x509.GeneralName:
    _require_ascii(value, "URI", "percent-encode it")
    if not _SCHEME.match(value) or " " in value:
        raise InputError(
            f"{shown(value)} is not an absolute URI; expected a scheme and a colon first and no "
            "blanks"
        )
    return x509.UniformResourceIdentifier(value)


def _require_ascii(value: str, what: str, hint: str = "") -> None:
    if not value.isascii():
        raise InputError(
            f"the {what} {shown(value)} has characters that are not ASCII, which a certificate "
            "cannot "
            "hold there",
            hint=hint,
        )


def _upn(value: str) -> x509.GeneralName:
    return x509.OtherName(ObjectIdentifier(_UPN), _utf8_string(value))


def _dirname(value: str) -> x509.GeneralName:
    return x509.DirectoryName(parse_subject(value))


def _rid(value: str) -> x509.GeneralName:
    return x509.RegisteredID(parse_oid(value))


def _othername(value: str) -> x509.GeneralName:
    oid, _, rest = value.partition(";")
    form, _, content = rest.partition(":")
    match form.strip().lower():
        case "utf8":
            der = _utf8_string(content)
        case "der":
            der = _hex_der(content)
        case _:
            raise InputError(
                f"the othername {shown(value)} has no value; expected OID;UTF8:text or OID;DER:hex"
            )
    return x509.OtherName(parse_oid(oid), der)


def _utf8_string(text: str) -> bytes:
    try:
        return asn1.element(_UTF8_STRING, text.encode())
    except UnicodeEncodeError as exc:
        raise InputError(f"{shown(text)} is not valid Unicode") from exc


def _hex_der(text: str) -> bytes:
    try:
        der = bytes.fromhex(text.replace(":", ""))
        asn1.only(der)
    except ValueError as exc:
        raise InputError(
            f"{shown(text)} is not exactly one element of DER written in hexadecimal"
        ) from exc
    return der


_SAN_READERS = {
    "dns": _dns,
    "ip": _ip,
    "email": _email,
    "uri": _uri,
    "upn": _upn,
    "dirname": _dirname,
    "rid": _rid,
    "othername": _othername,
}

# ------------------------------------------------------------------ OIDs and key purposes

_PURPOSES = {
    "serverAuth": "1.3.6.1.5.5.7.3.1",
    "clientAuth": "1.3.6.1.5.5.7.3.2",
    "codeSigning": "1.3.6.1.5.5.7.3.3",
    "emailProtection": "1.3.6.1.5.5.7.3.4",
    "ipsecEndSystem": "1.3.6.1.5.5.7.3.5",
    "ipsecTunnel": "1.3.6.1.5.5.7.3.6",
    "ipsecUser": "1.3.6.1.5.5.7.3.7",
    "timeStamping": "1.3.6.1.5.5.7.3.8",
    "OCSPSigning": "1.3.6.1.5.5.7.3.9",
    "eapOverPPP": "1.3.6.1.5.5.7.3.13",
    "eapOverLAN": "1.3.6.1.5.5.7.3.14",
    "ipsecIKE": "1.3.6.1.5.5.7.3.17",
    "cmcRA": "1.3.6.1.5.5.7.3.28",
    "documentSigning": "1.3.6.1.5.5.7.3.36",
    "ipsecIntermediate": "1.3.6.1.5.5.8.2.2",
    "pkinitClientAuth": "1.3.6.1.5.2.3.4",
    "kdc": "1.3.6.1.5.2.3.5",
    "pkinitKDC": "1.3.6.1.5.2.3.5",
    "smartcardLogon": "1.3.6.1.4.1.311.20.2.2",
    "msSmartcardLogin": "1.3.6.1.4.1.311.20.2.2",
    "msRequestAgent": "1.3.6.1.4.1.311.20.2.1",
    "anyExtendedKeyUsage": "2.5.29.37.0",
}
_PURPOSE_OF = {word.lower(): oid for word, oid in _PURPOSES.items()}


def parse_eku(text: str) -> x509.ObjectIdentifier:
    """Read one extended key usage: a name such as ``clientAuth`` in any case, or a dotted OID.

    :raises InputError: it is neither.
    """
    word = text.strip()
    known = _PURPOSE_OF.get(word.lower())
    if known is not None:
        return ObjectIdentifier(known)
    if _DOTTED.fullmatch(word):
        return parse_oid(word)
    raise InputError(
        f"there is no extended key usage {shown(text)}; expected one of {', '.join(_PURPOSES)}, "
        "or a "
        "dotted OID"
    )


def parse_oid(text: str) -> x509.ObjectIdentifier:
    """Read a dotted OID.

    :raises InputError: it is not one.
    """
    try:
        return ObjectIdentifier(text.strip())
    except ValueError as exc:
        raise InputError(
            f"{shown(text)} is not an object identifier; expected numbers with dots, such as "
            "1.3.6.1"
        ) from exc
