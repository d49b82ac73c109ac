"""The conversations of a requester, without I/O (RFC 8894 sections 2.2 to 2.6 and 4).

Each operation is a generator.  It yields what it needs done, one step at a time, and is sent the
answer:

    HttpRequest   -> HttpResponse              send this
    Wait          -> datetime (the time after) let so many seconds pass
    VerifyCa      -> x509.Certificate          ask the caller's verifier which CA it vouches for
    Started       -> None                      tell the caller how to resume if the answer is lost

A driver may throw a `TransportError` into it instead of an answer.  The drivers in `scepkit.client`
are a loop each, one synchronous, one asynchronous; tests drive the same generators with no socket.

    steps        what is yielded, and what is known of a CA
    operation    one exchange, one PKIOperation
    discovery    `learn_ca`, `fetch_offer`, `get_capabilities`
    enrolling    `enrol`, `poll`, `poll_until_done`
    queries      `get_certificate`, `get_crl`, `get_next_ca`

Rules of this package: nothing secret is yielded before the CA certificate is authenticated; every
reply goes through `messages.open_reply`; an issued certificate is the one for the requested key
and chains to the authenticated CA.
"""

from scepkit.core.flows.discovery import fetch_offer, get_capabilities, learn_ca
from scepkit.core.flows.enrolling import enrol, poll, poll_until_done
from scepkit.core.flows.queries import get_certificate, get_crl, get_next_ca
from scepkit.core.flows.steps import (
    Answer,
    Flow,
    KnownCa,
    Preferences,
    Started,
    Step,
    VerifyCa,
    Wait,
)

__all__ = [
    "Answer",
    "Flow",
    "KnownCa",
    "Preferences",
    "Started",
    "Step",
    "VerifyCa",
    "Wait",
    "enrol",
    "fetch_offer",
    "get_capabilities",
    "get_certificate",
    "get_crl",
    "get_next_ca",
    "learn_ca",
    "poll",
    "poll_until_done",
]
