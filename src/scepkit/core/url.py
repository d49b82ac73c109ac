"""URLs: taken apart, checked and shown.

The rule of this file: URLs are taken apart here and nowhere else, so that what was checked is what
is used.  No error repeats a whole URL, because it may hold a password; `shown_url` is the form of
one that people may see.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote

from scepkit.errors import InputError
from scepkit.values import frozen

#: The path of a URL that has none (RFC 8894 section 4.1).
DEFAULT_PATH = "/cgi-bin/pkiclient.exe"


@frozen
class Endpoint:
    """The address of a SCEP service, checked and normalised; made by `parse_endpoint`.

    Attributes:
        scheme: "http" or "https".
        host: lower-case host name, IPv4 address, or IPv6 address without its brackets.
        port: the port named in the URL, or None for the default of the scheme.
        path: absolute path, percent-encoded.
        query: what stood after "?", percent-encoded, or "".
    """

    scheme: str
    host: str
    port: int | None
    path: str
    query: str = ""

    @property
    def url(self) -> str:
        """The normalised URL, without an operation."""
        host = f"[{self.host.replace('%', '%25')}]" if ":" in self.host else self.host
        port = "" if self.port is None else f":{self.port}"
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{host}{port}{self.path}{query}"

    def __str__(self) -> str:
        return shown_url(self.url)

    def __repr__(self) -> str:
        return f"<Endpoint {self}>"


_URL = re.compile(
    r"([A-Za-z][A-Za-z0-9+.-]*)://([^/?#]*)"  # scheme, authority
    r"([^?#]*)(?:\?([^#]*))?(#.*)?"  # path, query, fragment
)
# Underscores are not for host names, and are in use all the same.
_LABEL = r"[A-Za-z0-9_](?:[A-Za-z0-9_-]{0,61}[A-Za-z0-9_])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
# RFC 3986 pchar, "/" and "?"; "%" is kept because what is already escaped stays as it is.
_URL_SAFE = "/?%:@!$&'()*+,;=-._~"


def parse_endpoint(url: str) -> Endpoint:
    """Check and normalise the URL of a SCEP service.

    A URL without a path gets ``/cgi-bin/pkiclient.exe`` (RFC 8894 section 4.1); write a final "/"
    to mean the root itself.  A query is kept, and the operation is appended to it.  Blanks and
    non-ASCII characters of path and query are percent-encoded as UTF-8.

    :raises InputError: it is empty, not http or https, has no host, a bad port, a fragment, a
        user name or password, control characters, or a query that already has an ``operation``
        or a ``message``.
    """
    scheme, host, port, path, query = _take_apart(url)
    for pair in query.split("&"):
        name = unquote(pair.partition("=")[0]).lower()
        if name in {"operation", "message"}:
            raise InputError(
                f"the URL of the SCEP server already has {name}= in its query",
                hint="give the URL without it: the operation is added for you, and a CA "
                "identifier goes into profile (--profile)",
            )
    return Endpoint(scheme, host, port, path or DEFAULT_PATH, query)


class Target(NamedTuple):
    """Where a request goes, and how its first line names the place; made by `split_url`."""

    #: "http" or "https".
    scheme: str
    #: Lower-case host, an IPv6 address without its brackets.
    host: str
    #: The port, also when it is the scheme's default one.
    port: int
    #: Path and query, percent-encoded.
    path: str

    @property
    def authority(self) -> str:
        """The Host header: brackets round IPv6, no zone, no default port."""
        port = "" if self.port == _DEFAULT_PORTS[self.scheme] else f":{self.port}"
        return f"{bracketed(self.host)}{port}"


def split_url(url: str) -> Target:
    """Take apart the absolute URL of one request or redirect, checked as in `parse_endpoint`.

    :raises InputError: as there, but any query is allowed.
    """
    scheme, host, port, path, query = _take_apart(url)
    path = f"{path or '/'}?{query}" if query else path or "/"
    return Target(scheme, host, port or _DEFAULT_PORTS[scheme], path)


def is_host_name(text: str) -> bool:
    """Whether `text` can be a host name in ASCII (or an IPv4 address)."""
    return _HOST_NAME.fullmatch(text) is not None


def bracketed(host: str) -> str:
    """A host as the peer may see it: brackets round IPv6, without the zone, which is ours alone."""
    return f"[{host.partition('%')[0]}]" if ":" in host else host


_DEFAULT_PORTS = {"http": 80, "https": 443}
_URL_HINT = "write it like http://ca.example.test/scep"


def _take_apart(url: str) -> tuple[str, str, int | None, str, str]:
    if not url.strip():
        raise InputError("the URL is empty", hint=_URL_HINT)
    # Lone surrogates too: what is left of bytes on the command line that are not UTF-8.
    if not url.isprintable():
        raise InputError("the URL contains a control character, a line break or an odd blank")
    parts = _URL.fullmatch(url.strip(" "))
    if parts is None:
        raise InputError("the URL does not start with http:// or https://", hint=_URL_HINT)
    scheme, authority, path, query, fragment = parts.groups()
    scheme = scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise InputError(f"SCEP is spoken over http or https, not over {scheme!r}", hint=_URL_HINT)
    if "@" in authority:
        raise InputError(
            "the URL contains a user name or a password",
            hint="URLs end up in logs: leave them out of the URL and give them with basic_auth "
            "(--basic-auth-file)",
        )
    if fragment is not None:
        raise InputError("the URL has a fragment (#), which is never sent")
    host, port = _split_authority(authority)
    return scheme, host, port, quote(path, safe=_URL_SAFE), quote(query or "", safe=_URL_SAFE)


def _split_authority(authority: str) -> tuple[str, int | None]:
    if authority.startswith("["):
        host, bracket, rest = authority[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise InputError("the IPv6 address in the URL has no closing bracket before the port")
        port = rest[1:]
        host = _ipv6(host)
    else:
        host, _, port = authority.partition(":")
        if ":" in port:
            raise InputError(
                "the URL has more than one colon after its host",
                hint="an IPv6 address stands in brackets: http://[2001:db8::1]/scep",
            )
        if not host:
            raise InputError("the URL has no host", hint=_URL_HINT)
        if not host.isascii():
            raise InputError(
                f"the host name {host!r} is not ASCII",
                hint="write it in its A-label form, which starts with xn--",
            )
        if not is_host_name(host):
            raise InputError(f"{host!r} is not a host name or an IP address")
        host = host.lower()
    if not port:
        return host, None
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and 0 < int(port) < 65536):
        # Not repeated: in http://user:password/ it is a password.
        raise InputError("the port in the URL is not a number from 1 to 65535")
    return host, int(port)


def _ipv6(text: str) -> str:
    from ipaddress import IPv6Address

    # RFC 6874 writes the zone as %25eth0; people write %eth0.
    text = text.replace("%25", "%", 1)
    try:
        address = str(IPv6Address(text))
    except ValueError:
        address = ""
    if not address or not re.fullmatch(r"[A-Za-z0-9._~-]*", address.partition("%")[2]):
        raise InputError(f"{text!r} in the URL is not an IPv6 address")
    return address


def shown_url(url: str) -> str:
    """`url` for logs and errors: without user info, and of its query only the operation's value.

    The message of a GET and a token in the query are replaced by "...".
    """
    head, _, query = url.partition("?")
    scheme, separator, rest = head.partition("://")
    if separator:
        authority, slash, path = rest.partition("/")
        head = f"{scheme}://{authority.rpartition('@')[2]}{slash}{path}"
    if not query:
        return head
    shown = []
    for pair in query.split("&"):
        name, equals, _ = pair.partition("=")
        shown.append(pair if name == "operation" or not equals else f"{name}=...")
    return f"{head}?{'&'.join(shown)}"
