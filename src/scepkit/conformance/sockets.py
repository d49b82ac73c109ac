"""HTTP by hand, for what no proper client sends: other methods, HTTP/1.0, slow and wrong bodies.

The rule of this file: it goes to the server itself, never through a proxy, and nothing waits for
longer than it is told to.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from scepkit.core.http import MAX_RESPONSE, HttpResponse
from scepkit.errors import TransportError
from scepkit.values import field, frozen

if TYPE_CHECKING:
    from scepkit.core.url import Endpoint
    from scepkit.transport import HttpOptions


@frozen
class Piece:
    """Bytes to send, after a pause in seconds."""

    data: bytes = field(repr=False)
    pause: float = 0.0


@frozen
class Answered:
    """The answer to `ask`, and how long it took; `error` says why there is none."""

    response: HttpResponse | None
    error: str
    seconds: float


def ask(
    endpoint: Endpoint,
    options: HttpOptions,
    method: str,
    pieces: Iterable[Piece],
    *,
    seconds: float,
) -> Answered:
    """Send the pieces on a connection of their own, and read one response.

    What the server says before everything was sent counts too.

    :param method: of the request in the pieces: HEAD is answered without a body.
    """
    started = time.monotonic()
    try:
        with _connected(endpoint, options, seconds) as connection:
            response = _exchange(connection, method, pieces, started + seconds)
        return Answered(response, "", time.monotonic() - started)
    except TimeoutError:
        text = f"no answer within {seconds:g} s"
    except ConnectionResetError:
        text = "the server reset the connection without an answer"
    except http.client.RemoteDisconnected:
        text = "the server closed the connection without an answer"
    except (OSError, TransportError) as error:
        text = f"no answer: {error}"
    except http.client.HTTPException as error:
        text = f"the answer is not HTTP ({type(error).__name__})"
    return Answered(None, text, time.monotonic() - started)


def _connected(endpoint: Endpoint, options: HttpOptions, seconds: float) -> socket.socket:
    port = endpoint.port or (443 if endpoint.scheme == "https" else 80)
    timeout = min(seconds, options.connect_timeout)
    connection = socket.create_connection((endpoint.host, port), timeout=timeout)
    if endpoint.scheme == "http":
        return connection
    from scepkit.transport.tls import tls_context

    name = options.tls_host_name or endpoint.host
    try:
        return tls_context(options).wrap_socket(connection, server_hostname=name)
    except BaseException:
        connection.close()
        raise


def _exchange(
    connection: socket.socket, method: str, pieces: Iterable[Piece], until: float
) -> HttpResponse:
    for piece in pieces:
        if piece.pause and _speaks(connection, piece.pause):
            break  # the answer is there before the question was complete
        if time.monotonic() > until:
            raise TimeoutError
        connection.settimeout(max(0.1, until - time.monotonic()))
        try:
            connection.sendall(piece.data)
        except (BrokenPipeError, ConnectionResetError):
            break  # perhaps it has said why
        except ssl.SSLError:
            break
    connection.settimeout(max(0.1, until - time.monotonic()))
    reply = http.client.HTTPResponse(connection, method=method)
    reply.begin()
    body = reply.read(MAX_RESPONSE)
    return HttpResponse(
        reply.status,
        body,
        datetime.now(UTC),
        reply.headers.get("content-type", ""),
        reply.headers.get("retry-after", ""),
    )


def _speaks(connection: socket.socket, seconds: float) -> bool:
    """Whether something arrives within some seconds."""
    import select

    return bool(select.select([connection], [], [], seconds)[0])
