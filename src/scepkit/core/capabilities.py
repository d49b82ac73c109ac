"""What a CA says it can do: GetCACaps (RFC 8894 section 3.5), read and written.

The rule of this file: nothing a server sends here is an error, and nothing it leaves out lowers
security below 3DES and SHA-1.  Single DES and MD5 are never the answer (RFC 8894 section 2.9).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from typing import Literal

from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.http import html_title, printable
from scepkit.values import frozen

#: How a `Capabilities` came about: the server listed words ("announced"), sent nothing usable
#: ("none"), a web page ("html"), an HTTP error ("http-error") or closed the connection ("closed").
Source = Literal["announced", "none", "html", "http-error", "closed"]

_LONGEST_BODY = 4096
_LONGEST_WORD = 64


class Capability(Enum):
    """A capability; the value is its keyword, in the RFC's spelling and order (section 3.5.2).

    SHA-384 is not in the RFC, but some servers announce it.
    """

    AES = "AES"
    DES3 = "DES3"
    GET_NEXT_CA_CERT = "GetNextCACert"
    POST_PKI_OPERATION = "POSTPKIOperation"
    RENEWAL = "Renewal"
    SHA1 = "SHA-1"
    SHA256 = "SHA-256"
    SHA384 = "SHA-384"
    SHA512 = "SHA-512"
    SCEP_STANDARD = "SCEPStandard"


_IMPLIED_BY_STANDARD = frozenset({Capability.AES, Capability.POST_PKI_OPERATION, Capability.SHA256})
_KNOWN = {capability.value.lower(): capability for capability in Capability}
_KNOWN["sha2"] = Capability.SHA256  # Q03: Cisco IOS certificate servers
_STRONGEST_DIGESTS = (
    (Capability.SHA512, Digest.SHA512),
    (Capability.SHA384, Digest.SHA384),
    (Capability.SHA256, Digest.SHA256),
)


@frozen
class Capabilities:
    """The capabilities of a CA.

    Attributes:
        words: what it announced, as announced: without what SCEPStandard implies.
        unknown: what else it listed, in its order, made printable.
        source: how this came about.
        title: the title of the web page that came instead, or "".
    """

    words: frozenset[Capability] = frozenset()
    unknown: tuple[str, ...] = ()
    source: Source = "none"
    title: str = ""

    def supports(self, capability: Capability) -> bool:
        """Whether `capability` was announced or is implied by SCEPStandard (section 3.5.2)."""
        return capability in self.words or (
            capability in _IMPLIED_BY_STANDARD and Capability.SCEP_STANDARD in self.words
        )

    @property
    def post(self) -> bool:
        """PKIOperation can, and so must, be sent by POST (section 4.1)."""
        return self.supports(Capability.POST_PKI_OPERATION)

    @property
    def renewal(self) -> bool:
        """RenewalReq is understood."""
        return self.supports(Capability.RENEWAL)

    @property
    def next_ca(self) -> bool:
        """GetNextCACert is offered."""
        return self.supports(Capability.GET_NEXT_CA_CERT)

    @property
    def scep_standard(self) -> bool:
        """All that RFC 8894 section 2.9 makes mandatory is there."""
        return Capability.SCEP_STANDARD in self.words

    @property
    def strongest_cipher(self) -> Cipher:
        """AES-128-CBC when AES is announced, else 3DES.

        Not AES-256: of the AES variants RFC 8894 section 3.5.2 names AES-128-CBC as the one that
        everybody has.
        """
        return Cipher.AES128_CBC if self.supports(Capability.AES) else Cipher.DES_EDE3_CBC

    @property
    def strongest_digest(self) -> Digest:
        """The longest announced of SHA-512, SHA-384 and SHA-256, else SHA-1."""
        for capability, digest in _STRONGEST_DIGESTS:
            if self.supports(capability):
                return digest
        return Digest.SHA1

    @property
    def preferred_digest(self) -> Digest:
        """SHA-256 when announced (section 3.5.2: SHOULD), else the strongest one."""
        return Digest.SHA256 if self.supports(Capability.SHA256) else self.strongest_digest

    @property
    def strongest_signature(self) -> str:
        """`strongest_digest` with RSA, in the spelling of Java, such as ``SHA512withRSA``."""
        return f"{self.strongest_digest.name}withRSA"

    def to_words(self) -> tuple[str, ...]:
        """The keywords in the RFC's spelling and order, then the unknown ones; for JSON."""
        return (*(word.value for word in Capability if word in self.words), *self.unknown)


def parse_capabilities(body: bytes) -> Capabilities:
    """Read the body of a GetCACaps answer; never fails (RFC 8894 section 3.5.2).

    One keyword a line, any line ends, any case, BOM or not; unknown words are kept apart.  A line
    of several keywords counts if all of them are known, so that the prose of an error page does
    not become a capability.  An HTML page and an empty body mean no capabilities, which means
    3DES, SHA-1 and GET (R84).  Only the first 4096 bytes are read.
    """
    text = _decode(body[:_LONGEST_BODY])
    if text.lstrip().startswith("<"):
        return Capabilities(source="html", title=html_title(body) or "")
    lines = re.split(r"[\r\n]+", text)
    if len(body) > _LONGEST_BODY:
        lines.pop()  # it may have lost its end
    words: set[Capability] = set()
    unknown: dict[str, None] = {}
    for line in lines:
        known = [_KNOWN.get(word.lower()) for word in line.split()]
        if None not in known:
            words.update(word for word in known if word is not None)
        else:
            unknown[printable(line, _LONGEST_WORD)] = None
    source: Source = "announced" if words or unknown else "none"
    return Capabilities(frozenset(words), tuple(unknown), source)


def _decode(body: bytes) -> str:
    if body.startswith((b"\xff\xfe", b"\xfe\xff")):
        text = body.decode("utf-16", errors="replace")
    else:
        # Keywords are ASCII, and Latin-1 never fails.
        text = body.removeprefix(b"\xef\xbb\xbf").decode("latin-1")
    return text.replace("\x00", "")


def format_capabilities(capabilities: Iterable[Capability]) -> bytes:
    """The body of a GetCACaps answer: exact RFC keywords, one a line, each ended by LF.

    The order is the RFC's, and each keyword stands once.  No capability gives b"" (R83).
    """
    offered = frozenset(capabilities)
    return "".join(f"{word.value}\n" for word in Capability if word in offered).encode("ascii")
