"""Transports that ask a test CA without a socket.

The rule of this file: whatever a real transport makes of a bad answer on the wire, these make of it
too, with the same `TransportError.kind`, so that a client's tests may choose either.
"""

from __future__ import annotations

from datetime import datetime
from urllib.parse import urlsplit

from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.url import shown_url
from scepkit.errors import TransportError
from scepkit.testing.answers import Answer, Answering, Wire

_LOST = {
    Wire.CLOSED: ("closed", "the server closed the connection without an answer"),
    Wire.RESET: ("closed", "the server reset the connection"),
    Wire.TRUNCATED: ("closed", "the answer ended too early"),
    Wire.SLOW: ("timeout", "timed out while reading the answer"),
}


class MemoryTransport:
    """A `scepkit.transport.Transport` to a test CA, whatever host and path the URL has."""

    def __init__(self, ca: Answering) -> None:
        self._ca = ca

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Ask the CA.

        :raises TransportError: a fault says that no complete answer arrives, the answer is longer
            than the request allows, or it is a redirect (none is followed here).
        """
        parts = urlsplit(request.url)
        target = f"{parts.path}?{parts.query}"
        answer = self._ca.answer(request.method, target, request.body)
        return _delivered(answer, request, self._ca.now())

    def close(self) -> None:
        """Do nothing: there are no connections."""


class AsyncMemoryTransport:
    """The same for asyncio; it never waits."""

    def __init__(self, ca: Answering) -> None:
        self._sync = MemoryTransport(ca)

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """As `MemoryTransport.exchange`."""
        return self._sync.exchange(request)

    async def aclose(self) -> None:
        """Do nothing: there are no connections."""


def _delivered(answer: Answer, request: HttpRequest, now: datetime) -> HttpResponse:
    shown = shown_url(request.url)
    if answer.wire in _LOST:
        kind, said = _LOST[answer.wire]
        raise TransportError(said, url=shown, kind=kind)
    if answer.location:
        raise TransportError("a redirect is not followed", url=shown, kind="redirect")
    if len(answer.body) > request.max_response:
        raise TransportError(
            f"the answer has {len(answer.body)} bytes; expected at most {request.max_response}",
            url=shown,
            kind="too-large",
        )
    return HttpResponse(answer.status, answer.body, now, answer.content_type, answer.retry_after)
