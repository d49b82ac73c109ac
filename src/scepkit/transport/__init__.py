"""HTTP for the client: one request out, one response in, within limits of time and size.

`HttpTransport` does it over sockets; `ThreadedTransport` makes any transport usable from
asyncio.  Whoever needs something else writes a class with the two methods of `Transport`.

The rules of this package: nothing waits without a deadline, nothing is read without a limit, and no
message, password or header value is shown in a log, an error or a repr.  An HTTP status is no error
here: what a 404 means, only the flow knows.
"""

from __future__ import annotations

from typing import Protocol

from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.transport.http import HttpTransport
from scepkit.transport.options import HttpOptions
from scepkit.transport.threaded import ThreadedTransport

__all__ = ["AsyncTransport", "HttpOptions", "HttpTransport", "ThreadedTransport", "Transport"]


class Transport(Protocol):
    """What the client needs; usable from several threads at once."""

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send `request` and return what the server answered, whatever its status.

        :raises TransportError: there was no complete answer within the limits.
        """
        ...

    def close(self) -> None:
        """Give back connections; the transport is not used after this."""
        ...


class AsyncTransport(Protocol):
    """`Transport` for asyncio."""

    async def exchange(self, request: HttpRequest) -> HttpResponse:
        """As `Transport.exchange`."""
        ...

    async def aclose(self) -> None:
        """As `Transport.close`."""
        ...
