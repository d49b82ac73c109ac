"""Reaching a server: name, TCP, proxy, and plain words for each way in which that fails.

The rule of this file: every failure says which peer it was (the server or the proxy), what was
found, and what to do next; and a socket that does not become a `Wire` is closed.
"""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Any

from scepkit.core.http import printable
from scepkit.core.url import Target, bracketed
from scepkit.errors import TransportError
from scepkit.transport.proxies import Proxy
from scepkit.transport.wire import Deadline, Wire, reason_text

if TYPE_CHECKING:
    from ssl import SSLContext

_LONGEST_PROXY_ANSWER = 64 * 1024


def dial(
    target: Target,
    proxy: Proxy | None,
    context: SSLContext | None,
    deadline: Deadline,
    server_name: str,
) -> Wire:
    """Connect to `target`, through `proxy` if there is one, with TLS if there is a `context`.

    `server_name` is the name that the TLS certificate must have.

    :raises TransportError: kind dns, refused, timeout, tls or proxy.
    """
    connected = _connect(target, proxy, deadline)
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if context is not None:
            if proxy is not None:
                _tunnel(connected, target, proxy, deadline)
            from scepkit.transport.tls import start_tls

            connected = start_tls(connected, context, target, server_name, deadline)
    except BaseException:
        connected.close()
        raise
    return Wire(connected, deadline)


# ------------------------------------------------------------------------------------------ TCP


def _connect(target: Target, proxy: Proxy | None, deadline: Deadline) -> socket.socket:
    host, port = (proxy.host, proxy.port) if proxy else (target.host, target.port)
    where = f"the proxy {proxy}" if proxy else f"{bracketed(host)}:{port}"
    try:
        addresses = _look_up(host, port, deadline)
    except socket.gaierror as error:
        raise TransportError(
            f"the host name {host} of {'the proxy' if proxy else 'the server'} was not found: "
            f"{reason_text(error)}",
            url=deadline.url,
            kind="proxy" if proxy else "dns",
            hint="check its spelling and the name service of this machine",
        ) from None
    failure: OSError | None = None
    for tried, (family, kind, protocol, _, address) in enumerate(addresses):
        # A dead first address must leave time for the others.
        share = deadline.left(f"connecting to {where}") / (len(addresses) - tried)
        try:
            return _connect_to(family, kind, protocol, address, share)
        except OSError as error:
            failure = error
    raise _not_connected(where, proxy, failure, deadline)


def _look_up(host: str, port: int, deadline: Deadline) -> list[Any]:
    """`socket.getaddrinfo` within the deadline, of which the system's resolver knows nothing."""
    # As bytes, for text would load the tables of IDNA; a host of a URL is ASCII by now.
    name, kind = host.encode("ascii"), socket.SOCK_STREAM
    try:
        return socket.getaddrinfo(name, port, type=kind, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        pass  # a name
    answer: list[Any] = []

    def ask() -> None:
        try:
            answer.append(socket.getaddrinfo(name, port, type=kind))
        except OSError as error:
            answer.append(error)

    thread = threading.Thread(target=ask, name="scepkit-resolver", daemon=True)
    thread.start()
    thread.join(deadline.left(f"looking up {host}"))
    if not answer:
        raise deadline.passed(f"looking up {host}")
    if isinstance(answer[0], OSError):
        raise answer[0]
    found: list[Any] = answer[0]
    return found


def _connect_to(
    family: int, kind: int, protocol: int, address: Any, seconds: float
) -> socket.socket:
    connected = socket.socket(family, kind, protocol)
    try:
        connected.settimeout(seconds)
        connected.connect(address)
    except BaseException:
        connected.close()
        raise
    return connected


def _not_connected(
    where: str, proxy: Proxy | None, failure: OSError | None, deadline: Deadline
) -> TransportError:
    if isinstance(failure, TimeoutError):
        return deadline.passed(f"connecting to {where}")
    if isinstance(failure, ConnectionRefusedError):
        text, hint = f"nothing listens at {where} (connection refused)", "check host and port"
    else:
        text = f"{where} cannot be reached: {reason_text(failure)}"
        hint = "check the network of this machine"
    return TransportError(text, url=deadline.url, kind="proxy" if proxy else "refused", hint=hint)


# ---------------------------------------------------------------------------------------- proxy


def _tunnel(connected: socket.socket, target: Target, proxy: Proxy, deadline: Deadline) -> None:
    """Ask the proxy for a tunnel (RFC 9110 section 9.3.6)."""
    where = f"{bracketed(target.host)}:{target.port}"
    lines = [f"CONNECT {where} HTTP/1.1", f"Host: {where}"]
    if proxy.authorization:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    doing = f"asking the proxy {proxy} for a tunnel"
    answer = b""
    try:
        connected.settimeout(deadline.left(doing))
        connected.sendall("\r\n".join([*lines, "\r\n"]).encode("ascii"))
        # TLS clients speak first, so nothing but the proxy's answer is in these bytes.
        while b"\r\n\r\n" not in answer:
            connected.settimeout(deadline.left(doing))
            received = connected.recv(4096)
            answer += received
            if not received or len(answer) > _LONGEST_PROXY_ANSWER:
                break
    except TimeoutError:
        raise deadline.passed(doing) from None
    except OSError as error:
        raise _proxy_error(
            f"closed the connection: {reason_text(error)}", proxy, deadline
        ) from None
    version, _, rest = answer.partition(b"\r\n")[0].partition(b" ")
    status = rest[:3]
    if not version.startswith(b"HTTP/1.") or b"\r\n\r\n" not in answer or not status.isdigit():
        raise _proxy_error("did not answer in HTTP", proxy, deadline)
    if status == b"407":
        raise proxy_refuses_credentials(proxy, deadline.url)
    if not status.startswith(b"2"):
        words = printable(rest.decode("latin-1"), 80)
        raise _proxy_error(f"refuses a tunnel to {where}: {words}", proxy, deadline)


def _proxy_error(what: str, proxy: Proxy, deadline: Deadline) -> TransportError:
    return TransportError(
        f"the proxy {proxy} {what}",
        url=deadline.url,
        kind="proxy",
        hint="to go without it, set proxy to 'direct' (--proxy direct) or name the host in "
        "NO_PROXY",
    )


def proxy_refuses_credentials(proxy: Proxy, url: str) -> TransportError:
    """The error for a 407."""
    found = (
        "refuses its user name and password"
        if proxy.authorization
        else ("wants a user name and a password")
    )
    return TransportError(
        f"the proxy {proxy} {found} (HTTP 407)",
        url=url,
        kind="proxy",
        hint="give them in the proxy's address, as in http://user:password@proxy:3128",
    )
