"""What `-vv` adds on stderr: headers and outlines of messages.

The rule of this file: no secret.  Messages are outlined without a key, so what is encrypted stays
so, and a URL is shown without the message in it.
"""

from __future__ import annotations

from scepkit.cli.output import stderr_line
from scepkit.core.http import HttpRequest, HttpResponse, media_type
from scepkit.core.url import shown_url
from scepkit.errors import DecodeError
from scepkit.transport import Transport

_MOST_TEXT = 200


class Traced:
    """A transport that says what goes through it."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send `request` through the other transport."""
        stderr_line(f"> {request.method} {shown_url(request.url)}")
        if request.body:
            stderr_line(f"> Content-Type: {request.content_type}")
            _outline(">", request.body, request.content_type)
        response = self._transport.exchange(request)
        stderr_line(f"< {response.status}")
        if response.content_type:
            stderr_line(f"< Content-Type: {response.content_type}")
        if response.retry_after:
            stderr_line(f"< Retry-After: {response.retry_after}")
        _outline("<", response.body, response.content_type)
        return response

    def close(self) -> None:
        """Close the other transport."""
        self._transport.close()


def _outline(direction: str, body: bytes, content_type: str) -> None:
    if media_type(content_type).startswith("text/") and body[:1] != b"0":
        stderr_line(f"{direction}   {body[:_MOST_TEXT].decode('utf-8', 'replace').strip()}")
        return
    from scepkit.core.inspect import inspect_message, render_text

    try:
        text = render_text(inspect_message(body))
    except DecodeError as error:
        text = f"{len(body)} bytes: {error}"
    for line in text.splitlines():
        stderr_line(f"{direction}   {line}")
