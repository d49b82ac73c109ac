"""HTTP around SCEP: methods, paths, and queries that make no sense (RFC 8894 section 4.1).

The rule of this file: nothing here needs a certificate, and nothing is issued.
"""

from __future__ import annotations

from scepkit.conformance.judging import client_error, no_server_error
from scepkit.conformance.probe import Probe
from scepkit.conformance.registry import Class, check
from scepkit.conformance.sockets import Piece
from scepkit.conformance.verdicts import Verdict, failed, passed, together, warned


@check(
    "T07",
    Class.QUIRK,
    "an operation in other letters of case is answered, or refused with 4xx",
    section="RFC 8894 4.1",
    remedy="compare the operation without regard to case, or answer HTTP 400",
)
def operation_case(probe: Probe) -> Verdict:
    """GetCACaps in small letters (Q44)."""
    return no_server_error(probe.get("operation=getcacaps"))


@check(
    "T17",
    Class.SHOULD,
    "an unknown operation, no operation and no query are refused with 4xx",
    section="RFC 8894 4.1",
    remedy="answer HTTP 400 (or 404) to requests that name no operation you know",
)
def unknown_operation(probe: Probe) -> Verdict:
    """Three requests without an operation that exists."""
    queries = {
        "an unknown operation": "operation=GetNothing",
        "an empty operation": "operation=",
        "no operation": "message=x",
        "no query": "",
    }
    return together(
        (what, client_error(probe.get(query, what=what))) for what, query in queries.items()
    )


@check(
    "T18",
    Class.SHOULD,
    "what devices append to the path leads to the same service, or to 404",
    section="RFC 8894 4.1",
    remedy="serve the path with /pkiclient.exe and /cgi-bin/pkiclient.exe appended too",
)
def path_suffix(probe: Probe) -> Verdict:
    """GetCACaps under longer paths (Q02, Q06)."""
    plain = probe.operation("GetCACaps")

    def verdict(suffix: str) -> Verdict:
        found = probe.get("operation=GetCACaps", path_suffix=suffix, what=f"GetCACaps at {suffix}")
        if found.status == 200 and found.body == plain.body:
            return passed("the same service")
        if found.status == 404:
            return passed("HTTP 404")
        if found.status == 200:
            return failed(f"another answer than without it: {found.answer_text}")
        return failed(f"{found.answer_text or found.error}, expected the service or HTTP 404")

    return together(
        (suffix, verdict(suffix)) for suffix in ("/pkiclient.exe", "/cgi-bin/pkiclient.exe")
    )


@check(
    "T19",
    Class.SHOULD,
    "HEAD, PUT, DELETE and OPTIONS do no harm and give no 5xx",
    section="RFC 9110 9",
    remedy="answer methods other than GET and POST with HTTP 405 and Allow: GET, POST",
)
def other_methods(probe: Probe) -> Verdict:
    """Methods that SCEP has no use for."""

    def verdict(method: str) -> Verdict:
        length = ("Content-Length: 0",) if method == "PUT" else ()
        head = probe.request_head(method, "operation=GetCACaps", *length, "Connection: close")
        found = probe.raw(method, [Piece(head)], what=method)
        if found.response is None:
            return failed(found.error)
        if found.status in (405, 501) or 400 <= found.status < 500:
            return passed(f"HTTP {found.status}")
        if found.status < 400 and method in ("HEAD", "OPTIONS"):
            return passed(f"HTTP {found.status}")
        if found.status < 400:
            return warned(f"HTTP {found.status}, expected 405: it is taken for another method")
        return failed(f"{found.answer_text}, expected HTTP 405")

    return together((method, verdict(method)) for method in ("HEAD", "PUT", "DELETE", "OPTIONS"))
