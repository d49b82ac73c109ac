"""Reaching a server: name, TCP, proxy, TLS, and plain words for each way in which that fails.

The rule of this file: every failure says which peer it was (the server or the proxy), what was
found, and what to do next; and a socket that does not become a `Wire` is closed.
"""

from __future__ import annotations

import socket
import ssl
import threading
from typing import TYPE_CHECKING, Any

from scepkit.core.http import printable
from scepkit.core.url import Target, bracketed
from scepkit.errors import KeyLoadError, TransportError
from scepkit.transport.options import FilePath, HttpOptions
from scepkit.transport.proxies import Proxy
from scepkit.transport.wire import Deadline, Wire

CLIENT_CERTIFICATE_HINT = (
    "the server may want a client certificate, or another one: client_certificate (--tls-cert, "
    "--tls-key)"
)
if TYPE_CHECKING:
    from pathlib import Path

_LONGEST_PROXY_ANSWER = 64 * 1024


def dial(
    target: Target,
    proxy: Proxy | None,
    context: ssl.SSLContext | None,
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
            connected = _start_tls(connected, context, target, server_name, deadline)
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
            f"{_reason(error)}",
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
        text = f"{where} cannot be reached: {_reason(failure)}"
        hint = "check the network of this machine"
    return TransportError(text, url=deadline.url, kind="proxy" if proxy else "refused", hint=hint)


def _reason(error: BaseException | None) -> str:
    """The operating system's words, without the number."""
    return str(getattr(error, "strerror", None) or error).lower()


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
        raise _proxy_error(f"closed the connection: {_reason(error)}", proxy, deadline) from None
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


# ------------------------------------------------------------------------------------------ TLS


def tls_context(options: HttpOptions) -> ssl.SSLContext:
    """The TLS settings that `options` ask for.

    :raises KeyLoadError: a file is missing, or is not what it should be.
    """
    if options.ca_bundle is None:
        context = ssl.create_default_context()
    else:
        bundle = _existing(options.ca_bundle, "ca_bundle")
        try:
            context = ssl.create_default_context(cafile=bundle)
        except ssl.SSLError:
            raise KeyLoadError(f"{bundle} holds no certificates in PEM", path=str(bundle)) from None
    context.set_alpn_protocols(["http/1.1"])
    if options.client_certificate is not None:
        _load_client_certificate(context, options.client_certificate)
        # IIS asks for the certificate after the handshake.
        context.post_handshake_auth = True
    return context


def _load_client_certificate(
    context: ssl.SSLContext, files: tuple[FilePath, FilePath | None, str | None]
) -> None:
    certificate = _existing(files[0], "client_certificate")
    key = certificate if files[1] is None else _existing(files[1], "client_certificate")
    asked = False

    def password() -> str:
        # Given even when there is none: without it OpenSSL asks on the terminal.
        nonlocal asked
        asked = True
        return files[2] or ""

    try:
        context.load_cert_chain(certificate, key, password)
    except ssl.SSLError as error:
        if asked:
            raise _locked(key, given=bool(files[2])) from None
        found = {
            "KEY_VALUES_MISMATCH": "the key is not the certificate's",
        }.get(error.reason or "", "expected a certificate and a key in PEM")
        raise KeyLoadError(
            f"{certificate} and {key} cannot be used for TLS: {found}", path=str(key)
        ) from None


def _locked(key: Path, *, given: bool) -> KeyLoadError:
    found = "the password is wrong" if given else "it is encrypted and there is no password"
    return KeyLoadError(
        f"the key in {key} cannot be read: {found}",
        path=str(key),
        reason="password-wrong" if given else "password-needed",
        hint=""
        if given
        else "give the password as the third part of client_certificate (--tls-key-password-file)",
    )


def _existing(path: FilePath, option: str) -> Path:
    from pathlib import Path

    try:
        with Path(path).open("rb"):
            return Path(path)
    except OSError as error:
        raise KeyLoadError(
            f"{path} ({option}) cannot be read: {_reason(error)}",
            path=str(path),
            reason="missing" if isinstance(error, FileNotFoundError) else "unusable",
        ) from None


def _start_tls(
    connected: socket.socket,
    context: ssl.SSLContext,
    target: Target,
    server_name: str,
    deadline: Deadline,
) -> ssl.SSLSocket:
    doing = f"agreeing on TLS with {bracketed(target.host)}:{target.port}"
    connected.settimeout(deadline.left(doing))
    # Certificates name neither the zone of an address nor the root of the DNS.
    name = server_name.partition("%")[0].removesuffix(".")
    try:
        return context.wrap_socket(connected, server_hostname=name)
    except TimeoutError:
        raise deadline.passed(doing) from None
    except ssl.SSLCertVerificationError as error:
        raise _not_trusted(error, target, server_name, deadline.url) from None
    except ssl.SSLError as error:
        raise tls_error(error, target, deadline.url) from None
    except OSError as error:
        raise TransportError(
            f"no TLS with {bracketed(target.host)}:{target.port}: {_reason(error)}",
            url=deadline.url,
            kind="tls",
        ) from None


def _not_trusted(
    error: ssl.SSLCertVerificationError, target: Target, server_name: str, url: str
) -> TransportError:
    found, hint = _UNTRUSTED.get(error.verify_code, (f"is refused: {error.verify_message}", ""))
    return TransportError(
        f"the TLS certificate of {bracketed(target.host)}:{target.port} "
        f"{found.format(name=server_name)}",
        url=url,
        kind="tls",
        hint=hint,
    )


_UNKNOWN_CA_HINT = (
    "if you know this server, name the CA of its TLS certificate in a PEM file: ca_bundle "
    "(--tls-ca); this has nothing to do with the CA that SCEP enrols from"
)
_OTHER_NAME = (
    "is not for the name {name}",
    "use a name that is in it as host of the URL, or as tls_host_name (--tls-host-name)",
)
#: By OpenSSL's verify codes (X509_V_ERR_...).
_UNTRUSTED: dict[int, tuple[str, str]] = {
    9: ("is not valid yet", "check the clock of this machine"),
    10: ("has expired", "check the clock of this machine; if it is right, tell the server's owner"),
    18: ("is self-signed and not a known one", _UNKNOWN_CA_HINT),
    19: ("leads to a root that is not a known one", _UNKNOWN_CA_HINT),
    20: ("was issued by a CA that is not a known one", _UNKNOWN_CA_HINT),
    21: ("was issued by a CA that is not a known one", _UNKNOWN_CA_HINT),
    62: _OTHER_NAME,
    64: _OTHER_NAME,
}


def tls_error(error: ssl.SSLError, target: Target, url: str) -> TransportError:
    """The error for a TLS failure that is not about the server's certificate."""
    where = f"{bracketed(target.host)}:{target.port}"
    reason = error.reason or ""
    if reason in {"WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"}:
        return TransportError(
            f"{where} does not speak TLS",
            url=url,
            kind="tls",
            hint="check the port, or write the URL with http://",
        )
    if "ALERT" in reason and ("CERTIFICATE" in reason or "HANDSHAKE_FAILURE" in reason):
        return TransportError(
            f"{where} ended the TLS connection ({_spoken(reason)})",
            url=url,
            kind="tls",
            hint=CLIENT_CERTIFICATE_HINT,
        )
    return TransportError(
        f"no TLS with {where}: {_spoken(reason) or _reason(error)}", url=url, kind="tls"
    )


def _spoken(reason: str) -> str:
    return reason.lower().replace("_", " ")
