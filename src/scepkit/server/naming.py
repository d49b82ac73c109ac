"""Who a certificate is for: names as text, the profile's patterns, a challenge's binding.

The rule of this file: it looks at the names that will be in the certificate (the template's), not
at what else a request says.  No refusal repeats a name: it may be somebody else's guess.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from scepkit.ca.altnames import UPN, kind_of
from scepkit.ca.template import CertificateTemplate
from scepkit.core.csr import ParsedCsr
from scepkit.core.names import parse_san, parse_subject
from scepkit.core.sentnames import plain_name
from scepkit.errors import InputError

_SAN = x509.SubjectAlternativeName.oid


def alternative_names(template: CertificateTemplate) -> tuple[x509.GeneralName, ...]:
    """The subject alternative names of a template."""
    for extension in template.extensions:
        if extension.oid == _SAN:
            assert isinstance(extension.value, x509.SubjectAlternativeName)  # noqa: S101
            return tuple(extension.value)
    return ()


@dataclass(frozen=True, slots=True)
class Names:
    """The names of a certificate as the database and the audit have them.

    Attributes:
        subject: as people write it.
        sans: the alternative names, one a line.
    """

    subject: str
    sans: str


def names_of(template: CertificateTemplate) -> Names:
    """The names in a template."""
    sans = "\n".join(map(san_text, alternative_names(template)))
    return Names(subject_text(template.subject_der), sans)


def subject_text(name: bytes) -> str:
    """A subject (DER) as people write it (RFC 4514), in one line without control characters."""
    plain = plain_name(name)
    if plain is None or any(_ESCAPED.search(value) for _, value in plain):
        return _one_line(x509.Name.from_bytes(name).rfc4514_string())
    return _one_line(",".join([f"{_label(oid)}={value}" for oid, value in reversed(plain)]))


#: What RFC 4514 section 2.4 has escaped, perhaps at other places only.
_ESCAPED = re.compile('["+,;<>\\\\\0]|^[# ]| $')


@cache
def _label(oid: str) -> str:
    return x509.NameAttribute(x509.ObjectIdentifier(oid), "xx").rfc4514_attribute_name


def san_text(name: x509.GeneralName) -> str:
    """An alternative name as people write it, such as ``dns:router1.example``."""
    kind = kind_of(name)
    match name:
        case x509.OtherName() if name.type_id == UPN:
            value = name.value[2:].decode("utf-8", "replace")
        case x509.OtherName():
            value = f"{name.type_id.dotted_string};DER:{name.value.hex()}"
        case x509.DirectoryName():
            value = name.value.rfc4514_string()
        case x509.RegisteredID():
            value = name.value.dotted_string
        case _:
            value = str(name.value)
    return _one_line(f"{kind}:{value}")


def _one_line(text: str) -> str:
    # Databases refuse NUL, and a line is a line.
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else "?" for char in text)


# ------------------------------------------------------------------ the profile's patterns


@dataclass(frozen=True, slots=True)
class NamePatterns:
    """What the values of names must look like.

    Attributes:
        subject: for an attribute, what each of its values must match as a whole; at least one value
            must be there.
        san: for a kind of alternative name, what each of them must match as a whole.
    """

    subject: Mapping[x509.ObjectIdentifier, re.Pattern[str]] = field(default_factory=dict)
    san: Mapping[str, re.Pattern[str]] = field(default_factory=dict)

    def fault(self, template: CertificateTemplate) -> str | None:
        """What is wrong with the template's names, without repeating them, or None."""
        for oid, pattern in self.subject.items():
            values = [str(a.value) for a in template.subject.get_attributes_for_oid(oid)]
            what = oid._name if oid._name != "Unknown OID" else oid.dotted_string
            if not values:
                return f"the subject has no {what}, which is required here"
            if not all(pattern.fullmatch(value) for value in values):
                return f"the subject's {what} is not of the form that is required here"
        for name in alternative_names(template):
            kind = kind_of(name)
            wanted = self.san.get(kind)
            if wanted is not None and not wanted.fullmatch(san_text(name).partition(":")[2]):
                return f"an alternative name of kind {kind} is not of the form required here"
        return None


# ------------------------------------------------------------------ a challenge's binding


@dataclass(frozen=True, slots=True)
class Binding:
    """Whom a challenge is for (VU#971035: a challenge for one name must not buy another).

    Attributes:
        subject: the exact subject, in any order of its parts; None binds no subject.
        san: all the alternative names a certificate may have, as texts of `names.parse_san`; None
            binds none.  With a subject bound and None here, a DNS name is allowed that equals the
            subject's common name.
        nonce: what the challenge is derived from, when it must be got back (`pepper`).
    """

    subject: str | None = None
    san: tuple[str, ...] | None = None
    nonce: bytes | None = None

    def to_json(self) -> str:
        """The binding for the database."""
        values: dict[str, object] = {}
        if self.subject is not None:
            values["subject"] = self.subject
        if self.san is not None:
            values["san"] = list(self.san)
        if self.nonce is not None:
            values["nonce"] = self.nonce.hex()
        return json.dumps(values, ensure_ascii=True, sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Binding:
        """A binding from the database, which only `to_json` writes."""
        values = json.loads(text)
        san = values.get("san")
        nonce = values.get("nonce")
        return Binding(
            subject=values.get("subject"),
            san=None if san is None else tuple(san),
            nonce=None if nonce is None else bytes.fromhex(nonce),
        )

    @staticmethod
    def of(subject: str = "", san: Sequence[str] = (), *, nonce: bytes | None = None) -> Binding:
        """A binding as a person writes it; "" and () bind nothing.

        :raises InputError: a name cannot be read.
        """
        if subject:
            parse_subject(subject)
        for one in san:
            parse_san(one)
        return Binding(subject or None, tuple(san) or None, nonce)

    def fault(self, csr: ParsedCsr, template: CertificateTemplate) -> str | None:
        """What a certificate would have that the challenge is not for, or None."""
        if self.subject is not None:
            wanted = parts_of(parse_subject(self.subject))
            asked = None if csr.subject is None else parts_of(csr.subject)
            # The profile may add to the subject: the challenge may name it with or without that.
            if wanted not in (asked, parts_of(template.subject)):
                return "the challenge is for another subject"
        if self.subject is None and self.san is None:
            return None
        allowed = {_comparable(parse_san(one)) for one in self.san or ()}
        if self.san is None:
            common = template.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
            allowed = {("dns", str(a.value).lower()) for a in common}
        if not {_comparable(name) for name in alternative_names(template)} <= allowed:
            return "the challenge is for other alternative names"
        return None

    def is_for(self, subject: x509.Name | None) -> bool:
        """Whether a subject is bound and this is it."""
        if self.subject is None or subject is None:
            return False
        return parts_of(parse_subject(self.subject)) == parts_of(subject)


def parts_of(name: x509.Name) -> Counter[frozenset[tuple[str, str | bytes]]]:
    """The parts of a name, whatever their order and string types."""
    return Counter(frozenset((a.oid.dotted_string, a.value) for a in rdn) for rdn in name.rdns)


def _comparable(name: x509.GeneralName) -> tuple[str, object]:
    match name:
        case x509.DNSName():
            return "dns", name.value.lower()
        case x509.OtherName():
            return name.type_id.dotted_string, name.value
        case x509.DirectoryName():
            return "dirname", frozenset(parts_of(name.value).items())
        case _:
            return kind_of(name), str(name.value)


def new_names(template: CertificateTemplate, existing: x509.Certificate) -> bool:
    """Whether the template has an alternative name that the certificate has not.

    :raises InputError: the certificate's extensions cannot be read.
    """
    try:
        had = {
            _comparable(name)
            for extension in existing.extensions
            if extension.oid == _SAN and isinstance(extension.value, x509.SubjectAlternativeName)
            for name in extension.value
        }
    except (ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType) as exc:
        raise InputError(f"the certificate's extensions cannot be read: {exc}") from exc
    return not {_comparable(name) for name in alternative_names(template)} <= had
