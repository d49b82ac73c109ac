"""Short ways to ask, for the tests of the transport."""

from __future__ import annotations

import pytest

from scepkit.core.http import HttpRequest, caps_request, parse_endpoint, pki_operation_request
from scepkit.errors import TransportError
from scepkit.transport import HttpOptions, HttpTransport
from tests.servers import Handler, serve

MIB = 1024 * 1024


def get(url: str, **changes: object) -> HttpRequest:
    return HttpRequest("GET", url, **changes)  # type: ignore[arg-type]


def post(url: str, body: bytes = b"message") -> HttpRequest:
    return pki_operation_request(parse_endpoint(url), body, post=True)


def query(url: str) -> HttpRequest:
    return caps_request(parse_endpoint(url))


def failure(request: HttpRequest, options: HttpOptions | None = None) -> TransportError:
    """The error that `request` must end in, having left no connection open."""
    with (
        HttpTransport(options or HttpOptions(timeout=10)) as transport,
        pytest.raises(TransportError) as caught,
    ):
        transport.exchange(request)
    return caught.value


def failure_of(handler: Handler, options: HttpOptions | None = None) -> TransportError:
    with serve(handler) as server:
        return failure(get(server.url()), options)
