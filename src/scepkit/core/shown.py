"""Certificates, times and foreign errors, as texts for people.

The rule of this file: whatever a peer wrote, the text is short, in one line and safe to print.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from cryptography import x509

from scepkit.core.certificates import UNREADABLE
from scepkit.core.http import printable

# In characters: as many as a line of an error can bear.
_LONGEST = 160


def title(certificate: x509.Certificate) -> str:
    """The subject of a certificate for people: RFC 4514 text, safe to print, never empty."""
    return shown_name(certificate, "subject")


def shown_name(certificate: x509.Certificate, which: Literal["subject", "issuer"]) -> str:
    """A name of a certificate for people: RFC 4514 text, safe to print, never empty."""
    try:
        name = certificate.subject if which == "subject" else certificate.issuer
        text = name.rfc4514_string()
    except UNREADABLE:
        return "(a name that cannot be read)"
    return printable(text, _LONGEST) or "(no name)"


def shown_time(moment: datetime) -> str:
    """A time (UTC) for people, to the minute."""
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def one_line(exc: BaseException) -> str:
    """The first line of a foreign exception's text, or its type's name."""
    return printable(str(exc).partition("\n")[0], _LONGEST) or type(exc).__name__
