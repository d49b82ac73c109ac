"""Which proxy a connection goes through: the caller's, the environment's, or none.

The rule of this file: a proxy's password leaves it only as the header that is sent.
"""

from __future__ import annotations

import os
import re
from base64 import b64encode
from collections.abc import Mapping
from urllib.parse import unquote

from scepkit.core.url import Target, bracketed, split_url
from scepkit.errors import InputError
from scepkit.values import frozen

#: The value of the option `proxy` that means: none, whatever the environment says.
DIRECT = "direct"


@frozen
class Proxy:
    """A forward proxy: its address and its Proxy-Authorization header, or ""."""

    host: str
    port: int
    authorization: str

    def __str__(self) -> str:
        return f"{bracketed(self.host)}:{self.port}"

    def __repr__(self) -> str:
        return f"<Proxy {self}>"


def parse_proxy(text: str, source: str) -> Proxy:
    """Read ``[http://][user:password@]host[:port]``; `source` is where it stood, for the error.

    :raises InputError: it is of another kind (https, SOCKS), or not understood.
    """
    # No piece is repeated in an error: what looks like a port may be half of a password.
    scheme = re.match(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://", text)
    if scheme is not None and scheme[1].lower() != "http":
        raise InputError(
            f"{source} names a proxy of the kind {scheme[1]!r}; expected http://host:port",
            hint="an http proxy carries https too; SOCKS proxies are not supported",
        )
    rest = text[scheme.end() :] if scheme else text
    credentials, _, authority = rest.strip().rstrip("/").rpartition("@")
    try:
        target = split_url(f"http://{authority}")
    except InputError:
        target = None
    if target is None or target.path != "/":
        raise InputError(
            f"{source} is not the address of a proxy; expected http://[user:password@]host:port"
        )
    authorization = ""
    if credentials:
        user, _, password = credentials.partition(":")
        authorization = basic_credentials(unquote(user), unquote(password))
    return Proxy(target.host, target.port, authorization)


def basic_credentials(user: str, password: str) -> str:
    """The value of an Authorization header for basic authentication (RFC 7617, UTF-8)."""
    return "Basic " + b64encode(f"{user}:{password}".encode()).decode("ascii")


class ProxyChoice:
    """Chooses the proxy for each connection; the environment is read once, when this is made."""

    def __init__(self, option: str | None) -> None:
        self._fixed = None if option in {None, DIRECT} else parse_proxy(str(option), "proxy")
        self._environment = {} if option is not None else _environment()

    def for_target(self, target: Target) -> Proxy | None:
        """The proxy for a connection to `target`, or None.

        :raises InputError: the environment names one that cannot be used.
        """
        if self._fixed is not None or not self._environment:
            return self._fixed
        from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]

        for name in (target.scheme, "all"):
            text = self._environment.get(name)
            if text:
                where = f"{bracketed(target.host)}:{target.port}"
                if proxy_bypass_environment(where, self._environment):
                    return None
                return parse_proxy(text, f"the environment variable {name}_proxy")
        return None


def _environment() -> Mapping[str, str]:
    # urllib.request costs several milliseconds of start-up, and mostly there is no proxy.
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return {}
    from urllib.request import getproxies_environment

    return getproxies_environment()
