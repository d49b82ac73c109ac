"""Who has probably written a message: by what only some clients and servers do.

The rule of this file: a habit is not a fault, and nothing is decided by it; it tells a person whose
manual to open.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from scepkit.core.algorithms import Digest
from scepkit.core.inspect.values import CertificateInfo, Inspection, Oddity

_AGENTS = (
    ("cisco pki", Oddity("Q02", "the User-Agent is Cisco IOS")),
    ("go-http-client", Oddity("Q36", "the User-Agent is Go, as of micromdm's scepclient")),
    ("java/", Oddity("Q14", "the User-Agent is Java, as of jscep")),
    ("sscep", Oddity("Q11", "the User-Agent is sscep")),
)
_IIS = Oddity("Q34", "the server is IIS, as Microsoft's NDES needs it")
_WINDOWS = Oddity("Q30", "the signer is called SCEP Protocol Certificate, as Windows does")
_SHA1_IN_BASE64 = re.compile(r"[A-Za-z0-9+/]{27}=")
_MICROMDM = Oddity("Q36", "the transactionID is a SHA-1 in base64, as of micromdm's scepclient")
_STRONGSWAN = Oddity("Q13", "the transactionID is the key's SHA-1 in hex, as of strongSwan")
_SSCEP = Oddity("Q11", "the transactionID is the key's MD5 in hex, as of sscep and FortiGate")


def of(found: Inspection) -> tuple[Oddity, ...]:
    """The habits that show, each with the number of the quirk that has more of it."""
    headers = dict(found.http.headers) if found.http else {}
    agent = headers.get("user-agent", "").lower()
    habits = [habit for word, habit in _AGENTS if word in agent]
    if "iis" in headers.get("server", "").lower():
        habits.append(_IIS)
    signer = found.signature.signer if found.signature else None
    if signer is not None:
        identifier = found.attributes.transaction_id if found.attributes else None
        habits += _of_signer(signer, identifier or "")
    return tuple(habits)


def _of_signer(signer: CertificateInfo, identifier: str) -> Iterator[Oddity]:
    if "SCEP Protocol Certificate" in signer.subject:
        yield _WINDOWS
    sha1 = Digest.SHA1.of(signer.spki)
    if _SHA1_IN_BASE64.fullmatch(identifier):
        yield _MICROMDM
    if identifier.lower() == sha1.hex():
        yield _STRONGSWAN
    if identifier.lower() == Digest.MD5.of(signer.spki).hex():
        yield _SSCEP
