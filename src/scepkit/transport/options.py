"""What a caller can choose about HTTP, checked when it is chosen.

The rule of this file: options that could not work, or that could smuggle a header into a request,
are refused here, so that the code that sends needs no second look.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping
from dataclasses import fields
from math import isfinite
from os import PathLike

from scepkit.core.url import is_host_name
from scepkit.errors import InputError
from scepkit.transport.proxies import DIRECT, parse_proxy
from scepkit.values import field, frozen

#: A file name, of text or as a `pathlib.Path`.
FilePath = str | PathLike[str]

_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\xa0-\xff]*")
_OURS = frozenset(
    {
        "accept-encoding",
        "connection",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "proxy-authorization",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "user-agent",
    }
)
_SECRET = frozenset({"basic_auth", "client_certificate", "headers", "proxy"})


def _own_user_agent() -> str:
    # Not an import: this layer must not depend on the package that re-exports all layers.
    return f"scepkit/{sys.modules['scepkit'].__version__}"


@frozen(kw_only=True)
class HttpOptions:
    """How to reach a server.

    Attributes:
        timeout: seconds for a whole exchange, redirects included.
        connect_timeout: seconds of these for reaching the server: TCP, proxy and TLS.
        proxy: None takes ``http_proxy``, ``https_proxy``, ``all_proxy`` and ``no_proxy`` from the
            environment; "direct" uses none; otherwise ``http://[user:password@]host:port``.
        ca_bundle: PEM file with the CAs that may sign the server's TLS certificate, in place of
            those of the system.
        client_certificate: for mutual TLS: PEM file of the certificate and its chain, PEM file of
            the key (None: in the same file), password of the key (or None).
        tls_host_name: the host name the TLS certificate must have, when it is not the URL's.
        basic_auth: user name and password for the server (RFC 7617), sent with every request.
        headers: further headers for the server.
        user_agent: the User-Agent header.
        max_connections: connections open at once; further exchanges wait, within `timeout`.

    :raises InputError: a value cannot be used.
    """

    timeout: float = 30.0
    connect_timeout: float = 10.0
    proxy: str | None = None
    ca_bundle: FilePath | None = None
    client_certificate: tuple[FilePath, FilePath | None, str | None] | None = None
    tls_host_name: str | None = None
    basic_auth: tuple[str, str] | None = None
    headers: Mapping[str, str] = field(default_factory=dict, hash=False)
    user_agent: str = field(default_factory=_own_user_agent)
    max_connections: int = 32

    def __post_init__(self) -> None:
        for name in ("timeout", "connect_timeout"):
            seconds = getattr(self, name)
            if not (isfinite(seconds) and seconds > 0):
                raise InputError(f"{name} is {seconds}; expected a number of seconds above 0")
        if self.max_connections < 1:
            raise InputError(f"max_connections is {self.max_connections}; expected 1 or more")
        if self.proxy is not None and self.proxy != DIRECT:
            parse_proxy(self.proxy, "proxy")
        if self.tls_host_name is not None and not is_host_name(self.tls_host_name):
            raise InputError(
                "tls_host_name is not a host name",
                hint="write a name that is not ASCII in its A-label form, which starts with xn--",
            )
        _check_basic_auth(self.basic_auth)
        _check_value("user_agent", self.user_agent)
        _check_headers(self.headers, self.basic_auth is not None)
        # A private copy: what was checked must not change afterwards.
        object.__setattr__(self, "headers", dict(self.headers))

    def __repr__(self) -> str:
        shown = []
        for option in fields(self):
            value = getattr(self, option.name)
            if value:
                shown.append(f"{option.name}={'...' if option.name in _SECRET else repr(value)}")
        return f"HttpOptions({', '.join(shown)})"


def _check_basic_auth(basic_auth: tuple[str, str] | None) -> None:
    if basic_auth is None:
        return
    user, password = basic_auth
    if ":" in user:
        raise InputError("the user name for basic authentication contains a colon (RFC 7617)")
    for part, text in (("user name", user), ("password", password)):
        if not text.isprintable():
            raise InputError(
                f"the {part} for basic authentication contains a control character or a line break",
                hint="a password file often ends in a line break that is not part of the password",
            )


def _check_headers(headers: Mapping[str, str], with_basic_auth: bool) -> None:
    for name, value in headers.items():
        if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+", name):
            raise InputError(f"{name!r} is not the name of an HTTP header")
        if name.lower() in _OURS:
            raise InputError(
                f"the header {name} cannot be set",
                hint="set user_agent for User-Agent; the others follow from the request",
            )
        if with_basic_auth and name.lower() == "authorization":
            raise InputError("give either basic_auth or an Authorization header, not both")
        _check_value(f"the header {name}", value)


def _check_value(what: str, value: str) -> None:
    # The value is not repeated: it may be a token.
    if not _FIELD_VALUE.fullmatch(value):
        raise InputError(
            f"{what} contains a line break, a control character or a character that HTTP headers "
            "cannot carry"
        )
