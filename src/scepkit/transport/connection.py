"""One HTTP/1.1 connection: a request out, its response in, over `http.client`.

The rule of this file: whatever bytes a server sends, the outcome is a response or a TransportError,
and the body is never longer than the request allows.
"""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, cast

from scepkit.core.http import HttpRequest, HttpResponse, printable
from scepkit.core.url import Target
from scepkit.errors import TransportError
from scepkit.transport.dial import CLIENT_CERTIFICATE_HINT, proxy_refuses_credentials, tls_error
from scepkit.transport.proxies import Proxy
from scepkit.transport.wire import Deadline, Wire

if TYPE_CHECKING:
    from socket import socket

#: What the head of a response and the chunk sizes may cost in bytes, besides a quarter of the body.
_OVERHEAD = 256 * 1024


#: A response, and where it redirects to, or "".
Answer = tuple[HttpResponse, str]


class Connection:
    """A connection to a server, or to the proxy before it, for one exchange after the other.

    Attributes:
        key: whose it is; an exchange with the same key can use it.
        used: an exchange was completed on it.
        idle_since: when that was, by the monotonic clock.
    """

    __slots__ = ("_http", "_proxy", "_target", "_wire", "idle_since", "key", "used")

    def __init__(self, wire: Wire, key: object, target: Target, proxy: Proxy | None) -> None:
        self.key = key
        self.used = False
        self.idle_since = 0.0
        self._wire = wire
        self._target = target
        # A tunnel is as good as a direct connection; only plain HTTP is spoken with the proxy.
        self._proxy = proxy if target.scheme == "http" else None
        self._http = http.client.HTTPConnection("unused.invalid")  # only names a Host header
        self._http.auto_open = 0
        self._http.sock = cast("socket", wire)

    def ask(
        self,
        request: HttpRequest,
        path: str,
        headers: Sequence[tuple[str, str]],
        deadline: Deadline,
    ) -> Answer | None:
        """Send `request` for `path` and read the answer.

        None means that the server had closed this connection, used before, in the meantime:
        not one byte of an answer came, so the request may be sent once more on another one.  After
        None and after any error the connection is of no more use.

        :raises TransportError: kind timeout, tls, proxy, too-large, protocol or closed.
        """
        wire = self._wire
        wire.begin(deadline, request.max_response + request.max_response // 4 + _OVERHEAD)
        try:
            self._send(request, path, headers)
            reply = self._http.getresponse()
            body = _read_body(reply, request.max_response, deadline.url)
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as error:
            if self.used and not wire.received:
                return None
            raise self._closed(error, deadline.url) from None
        except ssl.SSLError as error:
            raise tls_error(error, self._target, deadline.url) from None
        except http.client.IncompleteRead as error:
            raise self._closed(error, deadline.url) from None
        except http.client.HTTPException as error:
            raise _not_http(error, self._target, deadline.url) from None
        except OSError as error:
            raise self._closed(error, deadline.url) from None
        if reply.status == 407 and self._proxy is not None:
            raise proxy_refuses_credentials(self._proxy, deadline.url)
        self.used = True
        return (
            HttpResponse(
                reply.status,
                body,
                datetime.now(UTC),
                _header(reply, "content-type"),
                _header(reply, "retry-after"),
            ),
            _header(reply, "location"),
        )

    def _send(self, request: HttpRequest, path: str, headers: Sequence[tuple[str, str]]) -> None:
        authority = self._target.authority
        put = self._http.putheader
        if self._proxy is None:
            self._http.putrequest(request.method, path, True, True)
        else:
            self._http.putrequest(request.method, f"http://{authority}{path}", True, True)
            if self._proxy.authorization:
                put("Proxy-Authorization", self._proxy.authorization)
        put("Host", authority)
        for name, value in (*headers, *request.headers):
            put(name, value)
        if request.method == "POST":
            # Always a length, never chunks, which IIS does not take (Q33).
            put("Content-Length", str(len(request.body)))
            if request.content_type:
                put("Content-Type", request.content_type)
        self._http.endheaders(request.body or None)

    def _closed(self, error: Exception, url: str) -> TransportError:
        received = self._wire.received
        hint = ""
        if not received:
            text = "the server closed the connection without an answer"
            if self._target.scheme == "https":
                # With TLS 1.3 the reason can be lost: the alert comes after the handshake.
                hint = CLIENT_CERTIFICATE_HINT
        elif isinstance(error, http.client.IncompleteRead):
            text = f"the answer ended too early, after {received} bytes"
        else:
            text = f"the connection broke after {received} bytes of the answer"
        return TransportError(text, url=url, kind="closed", hint=hint)

    def is_usable(self) -> bool:
        """Whether this connection, idle now, can take another exchange."""
        return self._wire.is_quiet()

    def is_kept_alive(self) -> bool:
        """Whether the server left the connection open after the last response."""
        return not self._wire.ended

    def interrupt(self) -> None:
        """Make another thread's exchange on this connection fail now."""
        self._wire.interrupt()

    def close(self) -> None:
        """Close the connection."""
        self._wire.shut()
        self._http.close()


def _header(reply: http.client.HTTPResponse, name: str) -> str:
    # A folded header value still holds its line break.
    return " ".join(str(reply.headers.get(name, "")).splitlines())


def _read_body(reply: http.client.HTTPResponse, limit: int, url: str) -> bytes:
    if 100 <= reply.status < 200:
        raise TransportError(
            f"the server answered with the interim HTTP status {reply.status} and no final one",
            url=url,
        )
    if reply.length is not None and reply.length > limit:
        raise _too_large(f"announces {reply.length} bytes", limit, url)
    # With chunks, a length for read() also bounds what the announced size of a chunk allocates.
    body = reply.read(limit + 1) if reply.chunked else reply.read()
    if len(body) > limit:
        raise _too_large(f"sent more than {limit} bytes", limit, url)
    encoding = _header(reply, "content-encoding").strip().lower()
    if not body or encoding in {"", "identity"}:
        return body
    if encoding not in {"gzip", "x-gzip"}:
        raise TransportError(
            f"the answer has the content coding {printable(encoding, 40)!r}; it was asked for "
            "without any",
            url=url,
        )
    return _unzip(body, limit, url)


def _unzip(body: bytes, limit: int, url: str) -> bytes:
    import zlib

    inflate = zlib.decompressobj(wbits=31)  # 15 bits of window, + 16: a gzip header
    try:
        content = inflate.decompress(body, limit + 1)
    except zlib.error:
        content = b""
    if len(content) > limit:
        raise _too_large(f"unpacks to more than {limit} bytes", limit, url)
    if not inflate.eof:
        raise TransportError("the answer is gzip that is damaged or not complete", url=url)
    return content


def _too_large(what: str, limit: int, url: str) -> TransportError:
    return TransportError(
        f"the answer {what}; expected at most {limit}",
        url=url,
        kind="too-large",
        hint="this is probably not the answer of a SCEP server; check the URL",
    )


def _not_http(error: http.client.HTTPException, target: Target, url: str) -> TransportError:
    line = str(error)
    found = printable(line, 60)
    if isinstance(error, http.client.BadStatusLine):
        found = f"it begins with {found!r}"
    speaks_tls = target.scheme == "http" and line.startswith("\x15\x03")
    return TransportError(
        f"the answer is not HTTP: {found}",
        url=url,
        hint="the server speaks TLS there: write the URL with https://"
        if speaks_tls
        else "check host and port of the URL",
    )
