"""One HTTP request, as far as SCEP needs it: who asks, with what body.

The rule of this file: no byte is kept beyond the limits, nothing is waited for beyond them, and an
address is believed from nobody but a proxy that the configuration trusts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from scepkit.config import Network

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

IpAddress = IPv4Address | IPv6Address

#: How much of a body is thrown away, so that a client which is still sending sees why it is not
#: wanted: closing at once would reset the connection under the answer.
_THROWN_AWAY = 32 * 1024 * 1024
#: ... and for how long, in seconds.
_LINGER = 3.0


class Refusal(Exception):
    """An HTTP error to answer with.

    Attributes:
        status: the HTTP status.
        text: what to say: short, and true for everybody.
        headers: further headers.
    """

    def __init__(
        self, status: int, text: str, *, headers: tuple[tuple[str, str], ...] = ()
    ) -> None:
        super().__init__(text)
        self.status = status
        self.text = text
        self.headers = headers


class ClientGone(Exception):
    """The client closed the connection before its request was whole: nobody is there to answer."""


def header(scope: Scope, name: bytes) -> bytes | None:
    """The first header of that (lower-case) name."""
    for key, value in scope["headers"]:
        if key == name:
            found: bytes = value
            return found
    return None


def has_header(scope: Scope, names: Iterable[bytes]) -> bool:
    """Whether there is any header of these (lower-case) names."""
    wanted = frozenset(names)
    return any(key in wanted for key, _ in scope["headers"])


async def read_body(scope: Scope, receive: Receive, *, limit: int) -> bytes:
    """The whole body of a request; how long it may take is the business of the connection.

    :param limit: the longest body, in bytes.
    :raises Refusal: it is longer (413).
    :raises ClientGone: the connection was closed first.
    """
    declared = header(scope, b"content-length")
    # The HTTP parser has checked that it is a number, unless it is absurdly long.
    if declared is not None and (len(declared) > 18 or int(declared) > limit):
        raise _too_large(limit)
    message = await receive()
    if message["type"] != "http.request":
        raise ClientGone
    body: bytes = message["body"]
    if message.get("more_body", False):
        return await _rest(receive, body, limit)
    if len(body) > limit:
        raise _too_large(limit)
    return body


async def _rest(receive: Receive, first: bytes, limit: int) -> bytes:
    parts, size, more = [first], len(first), True
    while more:
        if size > limit:
            raise _too_large(limit)
        message = await receive()
        if message["type"] != "http.request":
            raise ClientGone
        parts.append(message["body"])
        size += len(parts[-1])
        more = message.get("more_body", False)
    if size > limit:
        raise _too_large(limit)
    return b"".join(parts)


def _too_large(limit: int) -> Refusal:
    return Refusal(413, f"the request is too large; at most {limit} bytes are read")


async def throw_away(receive: Receive) -> None:
    """Read what a client is still sending, within limits."""
    left = _THROWN_AWAY
    try:
        async with asyncio.timeout(_LINGER):
            while left > 0:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
                left -= len(message["body"])
    except TimeoutError:
        return


# ------------------------------------------------------------------ who asks


def client_address(scope: Scope, trusted: Sequence[Network]) -> str:
    """The address of who asks: of the nearest peer that is not a trusted proxy.

    "" when a proxy at the other end of a Unix socket does not say.
    """
    client = scope.get("client")
    if client and not trusted and ":" not in client[0]:
        # The usual case needs no parsing.
        plain: str = client[0]
        return plain
    peer = _peer(scope)
    if not _is_trusted(peer, trusted):
        return _text(peer)
    for hop in _forwarded_for(scope):
        known = _parsed(hop)
        if known is None:
            # Whoever wrote this is the last one that can be believed.
            break
        peer = known
        if not _is_trusted(peer, trusted):
            break
    return _text(peer)


def is_direct(scope: Scope, trusted: Sequence[Network]) -> bool:
    """Whether there is no proxy in between that is not configured.

    A proxy on the same machine would otherwise make everybody a local client.
    """
    peer = _peer(scope)
    return _is_trusted(peer, trusted) or not has_header(
        scope, (b"x-forwarded-for", b"forwarded", b"via", b"x-real-ip")
    )


def is_among(address: str, networks: Iterable[Network]) -> bool:
    """Whether an address is in one of the networks."""
    parsed = _parsed(address)
    return parsed is not None and any(_is_in(parsed, network) for network in networks)


def _peer(scope: Scope) -> IpAddress | None:
    client = scope.get("client")
    return _parsed(client[0]) if client else None


def _is_trusted(peer: IpAddress | None, trusted: Sequence[Network]) -> bool:
    # Without an address it came through a Unix socket, whose directory says who may connect.
    return peer is None or any(_is_in(peer, network) for network in trusted)


def _is_in(address: IpAddress, network: Network) -> bool:
    return address.version == network.version and address in network


def _forwarded_for(scope: Scope) -> list[str]:
    """The hops, from the nearest."""
    values = [value for name, value in scope["headers"] if name == b"x-forwarded-for"]
    hops = b",".join(values).decode("latin-1").split(",") if values else []
    return [hop.strip() for hop in reversed(hops)]


def _parsed(text: str) -> IpAddress | None:
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # What listens at [::] sees IPv4 clients as the first.  A scope (fe80::1%eth0) says
        # something on the machine alone that wrote it, and would make one client many.
        return address.ipv4_mapped or IPv6Address(int(address))
    return address


def _text(address: IpAddress | None) -> str:
    return "" if address is None else str(address)
