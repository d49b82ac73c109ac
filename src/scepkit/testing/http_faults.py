"""Faults of the answer on its way: HTTP, GetCACaps, GetCACert and GetNextCACert.

The rule of this file: a fault takes the right answer and gives the wrong one; it sees neither keys
nor messages.  What needs a key (another CA's certificate) is made in `bodies`.
"""

from __future__ import annotations

import secrets
from base64 import encodebytes
from collections.abc import Callable
from dataclasses import replace

from scepkit.core.capabilities import Capability, format_capabilities
from scepkit.core.http import CA_CERT_TYPE, CA_RA_CERT_TYPE
from scepkit.testing.answers import Answer, Wire, page, text
from scepkit.testing.faults import Fault

#: Seconds in the Retry-After of `Fault.BUSY` and `Fault.RETRY_AFTER`.
RETRY_SECONDS = 7
_FIFTY_MEGABYTES = 50 * 1024 * 1024
_WEAK = (Capability.DES3, Capability.SHA1)

_Change = Callable[[Answer], Answer]


def _instead(other: Answer) -> _Change:
    return lambda answer: other


def _travels(wire: Wire) -> _Change:
    return lambda answer: replace(answer, wire=wire)


def _mixed_case(answer: Answer) -> Answer:
    words = answer.body.decode("ascii").split("\n")
    odd = [word.upper() if index % 2 else word.lower() for index, word in enumerate(words)]
    return replace(answer, body="\n".join(odd).encode())


def _cr_only(answer: Answer) -> Answer:
    return replace(answer, body=answer.body.strip().replace(b"\n", b" \r") + b"  ")


def _unknown_words(answer: Answer) -> Answer:
    return replace(answer, body=b"Example.com-Foo\n" + answer.body + b"Update\nSHA3-256\n")


def _pem(answer: Answer) -> Answer:
    label = b"CERTIFICATE" if answer.content_type == CA_CERT_TYPE else b"PKCS7"
    body = b"-----BEGIN %s-----\n%s-----END %s-----\n"
    return replace(answer, body=body % (label, encodebytes(answer.body), label))


def _other_type(answer: Answer) -> Answer:
    wrong = CA_RA_CERT_TYPE if answer.content_type == CA_CERT_TYPE else CA_CERT_TYPE
    return replace(answer, content_type=wrong)


def _as_text(answer: Answer) -> Answer:
    return replace(answer, content_type="text/plain; charset=utf-8")


def _emptied(answer: Answer) -> Answer:
    return replace(answer, body=b"")


def _garbage(answer: Answer) -> Answer:
    return replace(answer, body=secrets.token_bytes(1000))


def _swollen(answer: Answer) -> Answer:
    return replace(answer, body=answer.body + bytes(_FIFTY_MEGABYTES))


_STACK_TRACE = (
    "java.lang.NullPointerException: null\n\tat com.example.scep.Servlet.doPost(Servlet.java:42)"
)
_LOGIN_PAGE = page("Please log in to the guest network")
_BUSY = Answer(b"try again later\n", "text/plain", 503, retry_after=str(RETRY_SECONDS))

#: What each fault does to the answers of one operation.
HTTP_FAULTS: dict[Fault, tuple[str, _Change]] = {
    Fault.CAPS_404: ("GetCACaps", _instead(page("404 Not Found", 404))),
    Fault.CAPS_500: ("GetCACaps", _instead(text(500, _STACK_TRACE))),
    Fault.CAPS_EMPTY: ("GetCACaps", _emptied),
    Fault.CAPS_HTML: ("GetCACaps", _instead(page("Welcome to SHA-256"))),
    Fault.CAPS_CLOSED: ("GetCACaps", _travels(Wire.CLOSED)),
    Fault.CAPS_MIXED_CASE: ("GetCACaps", _mixed_case),
    Fault.CAPS_CR_ONLY: ("GetCACaps", _cr_only),
    Fault.CAPS_UNKNOWN_WORDS: ("GetCACaps", _unknown_words),
    Fault.ONLY_3DES: (
        "GetCACaps",
        lambda answer: replace(answer, body=format_capabilities(_WEAK)),
    ),
    Fault.CA_CERT_404: ("GetCACert", _instead(page("404 Not Found", 404))),
    Fault.CA_CERT_HTML: ("GetCACert", _instead(page("Network Device Enrollment Service"))),
    Fault.CA_CERT_EMPTY: ("GetCACert", _emptied),
    Fault.CA_CERT_PEM: ("GetCACert", _pem),
    Fault.CA_CERT_WRONG_TYPE: ("GetCACert", _other_type),
    Fault.REDIRECT_TO_HTTP: (
        "GetCACert",
        _instead(Answer(b"", "", 302, location="http://{host}/scep?operation=GetCACert")),
    ),
    Fault.HTTP_404: ("PKIOperation", _instead(page("404 Not Found", 404))),
    Fault.HTTP_500: ("PKIOperation", _instead(text(500, _STACK_TRACE))),
    Fault.BUSY: ("PKIOperation", _instead(_BUSY)),
    Fault.CLOSED: ("PKIOperation", _travels(Wire.CLOSED)),
    Fault.RESET: ("PKIOperation", _travels(Wire.RESET)),
    Fault.REPLY_TRUNCATED: ("PKIOperation", _travels(Wire.TRUNCATED)),
    Fault.REPLY_SLOW: ("PKIOperation", _travels(Wire.SLOW)),
    Fault.REPLY_EMPTY: ("PKIOperation", _emptied),
    Fault.REPLY_GARBAGE: ("PKIOperation", _garbage),
    Fault.REPLY_50MB: ("PKIOperation", _swollen),
    Fault.REPLY_WRONG_TYPE: ("PKIOperation", _as_text),
    Fault.GZIP: ("PKIOperation", _travels(Wire.GZIP)),
    Fault.LOGIN_PAGE_200: ("PKIOperation", _instead(_LOGIN_PAGE)),
    Fault.REDIRECT_OTHER_HOST: (
        "PKIOperation",
        _instead(Answer(b"", "", 307, location="{scheme}://other.scep.invalid/scep")),
    ),
}

#: What `Fault.CAPS_DOWNGRADE` announces from the second time on.
DOWNGRADED = format_capabilities(_WEAK)
