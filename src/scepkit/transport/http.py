"""`HttpTransport`: a pool of keep-alive connections, and what may be followed or sent again.

The rule of this file: a request is sent a second time only when a connection that had been used
before turns out to be closed and no byte of an answer came; a message is never sent to an address
that a server named.
"""

from __future__ import annotations

import os
import threading
from functools import lru_cache
from time import monotonic
from typing import TYPE_CHECKING, Self
from urllib.parse import quote, urldefrag, urljoin

from scepkit import logs
from scepkit.core.http import HttpRequest, HttpResponse
from scepkit.core.url import Target, shown_url, split_url
from scepkit.errors import TransportError
from scepkit.transport.connection import Answer, Connection
from scepkit.transport.dial import dial
from scepkit.transport.options import HttpOptions
from scepkit.transport.proxies import ProxyChoice, basic_credentials
from scepkit.transport.wire import Deadline

if TYPE_CHECKING:
    from ssl import SSLContext

_MOST_REDIRECTS = 3
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: Seconds after which an idle connection is not trusted any more: firewalls forget it silently.
_LONGEST_IDLE = 60.0


class HttpTransport:
    """HTTP/1.1 over connections that are kept and shared by threads.

    It is also a context manager that closes itself.  The proxy variables of the environment are
    read when it is made.  After a fork, the child opens connections of its own.
    """

    def __init__(self, options: HttpOptions | None = None) -> None:
        self._options = options = options or HttpOptions()
        self._proxies = ProxyChoice(options.proxy)
        self._headers = [
            ("User-Agent", options.user_agent),
            ("Accept", "*/*"),
            ("Accept-Encoding", "identity"),
            *options.headers.items(),
        ]
        if options.basic_auth is not None:
            self._headers.append(("Authorization", basic_credentials(*options.basic_auth)))
        self._slots = threading.BoundedSemaphore(options.max_connections)
        self._lock = threading.Lock()
        self._idle: list[Connection] = []
        self._active: set[Connection] = set()
        self._context: SSLContext | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"<HttpTransport {self._options!r}>"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def exchange(self, request: HttpRequest) -> HttpResponse:
        """Send `request` and return what the server answered, whatever its status.

        :raises TransportError: there was no complete answer within the limits of `HttpOptions` and
            of the request; `kind` says why.  Kind redirect: there was one, and it is not followed.
        :raises InputError: the URL of `request`, or a proxy in the environment, cannot be used.
        :raises KeyLoadError: a file for TLS cannot be used.
        """
        started = monotonic()
        deadline = Deadline(self._options.timeout, _shown(request.url))
        try:
            response = self._follow(request, deadline)
        except TransportError as error:
            _log(request, deadline.url, f"failed ({error.kind})", 0, started)
            raise
        _log(request, deadline.url, response.status, len(response.body), started)
        return response

    def close(self) -> None:
        """Close all connections; exchanges under way in other threads fail."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            # Under the lock, so that none of them is closed, and its number used again, meanwhile.
            for connection in self._active:
                connection.interrupt()
        for connection in idle:
            connection.close()

    # ------------------------------------------------------------------------------- redirects

    def _follow(self, request: HttpRequest, deadline: Deadline) -> HttpResponse:
        url = request.url
        target = _target_of(url)
        for _ in range(_MOST_REDIRECTS + 1):
            response, location = self._once(request, target, deadline)
            if not location or response.status not in _REDIRECTS:
                return response
            url, target = self._redirected(request, url, target, location, deadline.url)
        raise TransportError(
            f"the server redirects more than {_MOST_REDIRECTS} times, now to {shown_url(url)}",
            url=deadline.url,
            kind="redirect",
        )

    def _redirected(
        self, request: HttpRequest, url: str, target: Target, location: str, shown: str
    ) -> tuple[str, Target]:
        """Where a redirect leads, if it may be followed."""
        try:
            # The header's bytes were read as Latin-1; in a URL they are UTF-8.
            quoted = quote(location.encode("latin-1", "replace"), safe="/?#[]%:@!$&'()*+,;=-._~")
            there = urldefrag(urljoin(url, quoted))[0]
            new = split_url(there)
        except ValueError:
            raise TransportError(
                "the server redirects to something that is no http or https URL",
                url=shown,
                kind="redirect",
            ) from None
        why = ""
        if not request.follow_redirects:
            why = "a PKI message is not sent elsewhere"
        elif (target.scheme, new.scheme) == ("https", "http"):
            why = "that would leave TLS"
        elif _elsewhere(target, new) and (self._options.basic_auth or self._options.headers):
            why = "the user name, password or headers for this server are not for another one"
        if why:
            raise TransportError(
                f"the server redirects to {shown_url(there)}, which is not followed: {why}",
                url=shown,
                kind="redirect",
                hint="if you trust that address, use it as the URL",
            )
        return there, new

    # ------------------------------------------------------------------------------------ pool

    def _once(self, request: HttpRequest, target: Target, deadline: Deadline) -> Answer:
        """One request and its answer; again if a kept connection had been closed meanwhile."""
        doing = "waiting for a free connection (max_connections)"
        if not self._slots.acquire(timeout=deadline.left(doing)):
            raise deadline.passed(doing)
        try:
            answer = None
            while answer is None:
                connection = self._take(target) or self._open(target, deadline)
                try:
                    answer = connection.ask(request, target.path, self._headers, deadline)
                finally:
                    self._give_back(connection, healthy=answer is not None)
            return answer
        finally:
            self._slots.release()

    def _take(self, target: Target) -> Connection | None:
        """A kept connection to `target`, or None."""
        key = _key(target)
        while True:
            with self._lock:
                for connection in reversed(self._idle):
                    if connection.key == key:
                        break
                else:
                    return None
                self._idle.remove(connection)
                self._active.add(connection)
            if monotonic() - connection.idle_since < _LONGEST_IDLE and connection.is_usable():
                return connection
            self._give_back(connection, healthy=False)

    def _open(self, target: Target, deadline: Deadline) -> Connection:
        options = self._options
        seconds = min(options.connect_timeout, options.timeout)
        connecting = Deadline(seconds, deadline.url, latest=deadline.expires)
        proxy = self._proxies.for_target(target)
        context = self._tls() if target.scheme == "https" else None
        wire = dial(target, proxy, context, connecting, options.tls_host_name or target.host)
        connection = Connection(wire, _key(target), target, proxy)
        with self._lock:
            closed = self._closed
            if not closed:
                self._active.add(connection)
        if closed:
            connection.close()
            raise TransportError("the transport is closed", url=deadline.url, kind="closed")
        return connection

    def _give_back(self, connection: Connection, *, healthy: bool) -> None:
        with self._lock:
            self._active.discard(connection)
            keep = (
                healthy
                and connection.is_kept_alive()
                and not self._closed
                and len(self._idle) < self._options.max_connections
            )
            if keep:
                connection.idle_since = monotonic()
                self._idle.append(connection)
        if not keep:
            connection.close()

    def _tls(self) -> SSLContext:
        with self._lock:
            if self._context is None:
                from scepkit.transport.tls import tls_context

                self._context = tls_context(self._options)
            return self._context


#: A client asks one URL again and again; few are kept, because that of a GET holds its message.
_target_of = lru_cache(maxsize=8)(split_url)
_shown = lru_cache(maxsize=8)(shown_url)


def _key(target: Target) -> object:
    # With the process: a connection that came along through a fork belongs to the parent.
    return os.getpid(), target.scheme, target.host, target.port


def _elsewhere(old: Target, new: Target) -> bool:
    if old.host != new.host:
        return True
    upgraded = (old.scheme, old.port, new.scheme, new.port) == ("http", 80, "https", 443)
    return old.port != new.port and not upgraded


def _log(request: HttpRequest, url: str, outcome: int | str, size: int, started: float) -> None:
    if log := logs.heard("scepkit.transport"):
        log.debug(
            "%s %s: %s, %d bytes, %.1f ms",
            request.method,
            url,
            outcome,
            size,
            (monotonic() - started) * 1000,
        )
