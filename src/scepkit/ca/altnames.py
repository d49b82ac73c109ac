"""Which names of a request's subjectAltName a CA may copy into a certificate.

The rule of this file: a name is copied when its kind is listed *and* it is well formed; text in it
never reaches an error message (A18), only its kind does.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

from cryptography import x509

from scepkit.errors import InputError

UPN = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
#: Windows reads the account's SID from tag:microsoft.com,2022-09-14:sid:S-1-... as it does from the
#: SID extension (A8).  Another date may come to mean the same, and nothing but that has such a tag.
SID_URI_PREFIX = "tag:microsoft.com,"

NAME_KINDS = frozenset({"dns", "ip", "email", "uri", "upn", "dirname", "rid"})

_LABEL = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?")
_EMAIL = re.compile(r"[!-?A-~]{1,64}@[A-Za-z0-9._-]{1,253}")
_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]{1,2000}")


@dataclass(frozen=True, slots=True)
class AltNameRules:
    """The subjectAltName entries a profile copies.

    Attributes:
        kinds: of "dns", "ip", "email", "uri", "upn", "dirname", "rid".
        other_names: OIDs of otherName kinds to copy besides "upn", byte for byte.
        wildcards: copy DNS names such as ``*.example.com`` (and accept such a common name).
        requested_sid: copy a Windows SID the requester put into a URI.  Whoever may name a SID
            may become that account.
        max_names: most entries in one certificate.

    :raises InputError: a kind that is not one of the seven.
    """

    kinds: frozenset[str] = frozenset({"dns", "ip", "email", "uri"})
    other_names: frozenset[x509.ObjectIdentifier] = frozenset()
    wildcards: bool = False
    requested_sid: bool = False
    max_names: int = 64

    def __post_init__(self) -> None:
        unknown = sorted(self.kinds - NAME_KINDS)
        if unknown:
            raise InputError(
                f"there is no kind of alternative name {unknown[0]!r}; expected one of "
                + ", ".join(sorted(NAME_KINDS)),
                hint="other kinds are listed by OID in other_names",
            )


def kind_of(name: x509.GeneralName) -> str:
    """What kind of name it is: one of `NAME_KINDS`, or "othername"."""
    if isinstance(name, x509.OtherName):
        return "upn" if name.type_id == UPN else "othername"
    return _KINDS.get(type(name), "othername")


_KINDS: dict[type[x509.GeneralName], str] = {
    x509.DNSName: "dns",
    x509.IPAddress: "ip",
    x509.RFC822Name: "email",
    x509.UniformResourceIdentifier: "uri",
    x509.DirectoryName: "dirname",
    x509.RegisteredID: "rid",
}


def is_listed(name: x509.GeneralName, rules: AltNameRules) -> bool:
    """Whether the rules copy names of this kind."""
    if isinstance(name, x509.OtherName) and name.type_id in rules.other_names:
        return True
    if isinstance(name, x509.UniformResourceIdentifier) and _names_a_sid(name.value):
        return rules.requested_sid and "uri" in rules.kinds
    return kind_of(name) in rules.kinds


def unlisted_kind(name: x509.GeneralName) -> str:
    """What to call a name that is not listed: a SID is refused though its kind may be listed."""
    if isinstance(name, x509.UniformResourceIdentifier) and _names_a_sid(name.value):
        return "uri that name a Windows SID"
    return kind_of(name)


def malformation(name: x509.GeneralName, rules: AltNameRules) -> str | None:
    """What is wrong with a listed name, as a few words, or None."""
    match name:
        case x509.DNSName():
            return _dns_malformation(name.value, rules)
        case x509.IPAddress():
            # Eight or thirty-two bytes: the form of a name constraint, which is a network.
            single = isinstance(name.value, ipaddress.IPv4Address | ipaddress.IPv6Address)
            return None if single else "is a network, not an address"
        case x509.RFC822Name():
            return None if _EMAIL.fullmatch(name.value) else "is not an address like a@b"
        case x509.UniformResourceIdentifier():
            return None if _URI.fullmatch(name.value) else "is not an absolute URI"
        case x509.OtherName() if name.type_id == UPN:
            return _upn_malformation(name.value)
    return None


def _dns_malformation(value: str, rules: AltNameRules) -> str | None:
    host = value
    if value.startswith("*."):
        if not rules.wildcards:
            return "is a wildcard"
        host = value[2:]
    if len(value) > 253 or not all(_LABEL.fullmatch(label) for label in host.split(".")):
        return "is not a host name"
    return None


def _upn_malformation(value: bytes) -> str | None:
    # A short UTF8String, DER: user@domain without blanks or control characters.
    if len(value) < 2 or value[0] != 0x0C or value[1] != len(value) - 2 or value[1] > 0x7F:
        return "is not a short UTF8String"
    try:
        text = value[2:].decode()
    except UnicodeDecodeError:
        return "is not UTF-8"
    user, _, domain = text.partition("@")
    if not user or not domain or "@" in domain or not text.isprintable() or " " in text:
        return "is not like user@domain"
    return None


def _names_a_sid(uri: str) -> bool:
    return uri.lower().startswith(SID_URI_PREFIX)
