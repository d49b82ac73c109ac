"""TLS: its settings, its handshake, and plain words for each way in which that fails.

The rule of this file: it is loaded only where TLS is spoken or has failed, because `ssl` takes a
fiftieth of a whole command to import.
"""

from __future__ import annotations

import socket
import ssl
from typing import TYPE_CHECKING

from scepkit.core.url import Target, bracketed
from scepkit.errors import KeyLoadError, TransportError
from scepkit.transport.options import FilePath, HttpOptions
from scepkit.transport.wire import Deadline, reason_text

if TYPE_CHECKING:
    from pathlib import Path

CLIENT_CERTIFICATE_HINT = (
    "the server may want a client certificate, or another one: client_certificate (--tls-cert, "
    "--tls-key)"
)


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
            f"{path} ({option}) cannot be read: {reason_text(error)}",
            path=str(path),
            reason="missing" if isinstance(error, FileNotFoundError) else "unusable",
        ) from None


def start_tls(
    connected: socket.socket,
    context: ssl.SSLContext,
    target: Target,
    server_name: str,
    deadline: Deadline,
) -> ssl.SSLSocket:
    """Agree on TLS over a connected socket.

    :raises TransportError: kind tls or timeout.
    """
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
            f"no TLS with {bracketed(target.host)}:{target.port}: {reason_text(error)}",
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
        f"no TLS with {where}: {_spoken(reason) or reason_text(error)}", url=url, kind="tls"
    )


def _spoken(reason: str) -> str:
    return reason.lower().replace("_", " ")
