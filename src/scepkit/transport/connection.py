"""One HTTP/1.1 connection: a request out, its response in.

The rule of this file: whatever bytes a server sends, the outcome is a response or a TransportError,
and the body is never longer than the request allows.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from scepkit.core.http import HttpRequest, HttpResponse, printable
from scepkit.core.url import Target
from scepkit.errors import InputError, TransportError
from scepkit.transport.dial import proxy_refuses_credentials
from scepkit.transport.proxies import Proxy
from scepkit.transport.reply import (
    CutOffError,
    Head,
    NotHttpError,
    TooLargeError,
    read_body,
    read_head,
)
from scepkit.transport.wire import Deadline, Wire

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

    __slots__ = ("_head", "_proxy", "_target", "_wire", "idle_since", "key", "used")

    def __init__(self, wire: Wire, key: object, target: Target, proxy: Proxy | None) -> None:
        self.key = key
        self.used = False
        self.idle_since = 0.0
        self._wire = wire
        self._target = target
        # A tunnel is as good as a direct connection; only plain HTTP is spoken with the proxy.
        self._proxy = proxy if target.scheme == "http" else None
        # What the last request began with, and what of it decides that.
        self._head: tuple[object, bytes] = (None, b"")

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
            wire.sendall(self._message(request, path, headers))
            with wire.makefile() as stream:
                reply = read_head(stream)
                if not reply.keeps_alive:
                    wire.close()
                _refuse_interim(reply, deadline.url)
                body = read_body(stream, reply, request.max_response)
            body = _decoded(body, reply, request.max_response, deadline.url)
        except (OSError, CutOffError) as error:
            if self.used and not wire.received and _is_end(error):
                return None
            raise self._broken(error, deadline.url) from None
        except NotHttpError as error:
            raise _not_http(error, self._target, deadline.url) from None
        except TooLargeError as error:
            raise _too_large(str(error), request.max_response, deadline.url) from None
        if reply.status == 407 and self._proxy is not None:
            raise proxy_refuses_credentials(self._proxy, deadline.url)
        self.used = True
        return (
            HttpResponse(
                reply.status,
                body,
                datetime.now(UTC),
                reply.header("content-type"),
                reply.header("retry-after"),
            ),
            reply.header("location"),
        )

    def _message(
        self, request: HttpRequest, path: str, headers: Sequence[tuple[str, str]]
    ) -> bytes:
        if request.method == "GET":
            return self._head_of(request, path, headers) + b"\r\n"
        # One enrolment's request begins like the next one's.
        key = path, request.content_type, request.headers, headers
        kept, head = self._head
        if kept != key:
            head = self._head_of(request, path, headers)
            self._head = key, head
        # Always a length, never chunks, which IIS does not take (Q33).
        return b"%bContent-Length: %d\r\n\r\n%b" % (head, len(request.body), request.body)

    def _head_of(
        self, request: HttpRequest, path: str, headers: Sequence[tuple[str, str]]
    ) -> bytes:
        """The head of a request, but for its length and last line."""
        authority = self._target.authority
        given = [("Host", authority), *headers, *request.headers]
        if self._proxy is not None:
            path = f"http://{authority}{path}"
            if self._proxy.authorization:
                given.append(("Proxy-Authorization", self._proxy.authorization))
        if request.content_type:
            given.append(("Content-Type", request.content_type))
        lines = [
            f"{request.method} {path} HTTP/1.1",
            *(f"{name}: {value}" for name, value in given),
        ]
        try:
            head = "\r\n".join([*lines, ""]).encode("latin-1")
        except UnicodeEncodeError:
            head = b""
        if head.count(b"\r") != len(lines) or head.count(b"\n") != len(lines):
            raise InputError(
                "there is a line break, or a character that is not Latin-1, in the URL or a header "
                "of the HTTP request"
            )
        return head

    def _broken(self, error: OSError | CutOffError, url: str) -> TransportError:
        from ssl import SSLError

        if isinstance(error, SSLError) and not _is_end(error):
            from scepkit.transport.tls import tls_error

            return tls_error(error, self._target, url)
        received = self._wire.received
        hint = ""
        if not received:
            text = "the server closed the connection without an answer"
            if self._target.scheme == "https":
                # With TLS 1.3 the reason can be lost: the alert comes after the handshake.
                from scepkit.transport.tls import CLIENT_CERTIFICATE_HINT

                hint = CLIENT_CERTIFICATE_HINT
        elif isinstance(error, CutOffError):
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


def _is_end(error: OSError | CutOffError) -> bool:
    """Whether the server has closed the connection, properly or not."""
    from ssl import SSLEOFError, SSLZeroReturnError

    return isinstance(error, (ConnectionError, CutOffError, SSLEOFError, SSLZeroReturnError))


def _refuse_interim(reply: Head, url: str) -> None:
    if reply.status < 200:
        raise TransportError(
            f"the server answered with the interim HTTP status {reply.status} and no final one",
            url=url,
        )


def _decoded(body: bytes, reply: Head, limit: int, url: str) -> bytes:
    encoding = reply.header("content-encoding").lower()
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


def _not_http(error: NotHttpError, target: Target, url: str) -> TransportError:
    line = str(error)
    found = f"it begins with {printable(line, 60)!r}" if error.begins else line
    speaks_tls = target.scheme == "http" and line.startswith("\x15\x03")
    return TransportError(
        f"the answer is not HTTP: {found}",
        url=url,
        hint="the server speaks TLS there: write the URL with https://"
        if speaks_tls
        else "check host and port of the URL",
    )
