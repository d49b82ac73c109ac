"""scepkit: everything for SCEP, the Simple Certificate Enrolment Protocol (RFC 8894).

The names below are the library's public interface; the modules behind them are loaded when a name
is first used, so that ``import scepkit`` costs next to nothing.

    >>> import scepkit
    >>> key = scepkit.generate_key("ec:p256")
    >>> csr = scepkit.build_csr(key, "CN=router1,O=Acme", san=["dns:router1.acme.test"])
    >>> csr.subject.rfc4514_string()
    'CN=router1,O=Acme'
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scepkit.async_client import AsyncClient
    from scepkit.client import Client
    from scepkit.core.algorithms import Cipher, Digest, KeyTransport
    from scepkit.core.ca_certificates import CaCertificates
    from scepkit.core.capabilities import Capabilities, Capability
    from scepkit.core.csr_builder import build_csr, renewal_csr
    from scepkit.core.enrolment import (
        EnrolmentResult,
        Issued,
        Pending,
        PollPolicy,
        Rejected,
        Requester,
        self_signed_requester,
    )
    from scepkit.core.flows import Preferences
    from scepkit.core.http import HttpRequest, HttpResponse
    from scepkit.core.trust import (
        AcceptIf,
        CaOffer,
        CaVerifier,
        Fingerprint,
        InsecureTrustOnFirstUse,
        PinnedCertificate,
    )
    from scepkit.errors import (
        AlgorithmError,
        DecodeError,
        DecryptError,
        FailInfo,
        HttpStatusError,
        InputError,
        KeyLoadError,
        NotSupportedError,
        ProtocolError,
        ReplyMismatchError,
        RequestRejectedError,
        ScepError,
        SignatureError,
        TransportError,
        TrustError,
    )
    from scepkit.keys import (
        generate_key,
        load_certificates,
        load_key,
        read_key_file,
        to_pkcs12,
        write_private_key,
    )
    from scepkit.transport import AsyncTransport, HttpOptions, HttpTransport, Transport
    from scepkit.verifiers import AskOnConsole, Caching

__version__ = "0.1.0"

_HOMES = {
    "async_client": ("AsyncClient",),
    "client": ("Client",),
    "core.algorithms": ("Cipher", "Digest", "KeyTransport"),
    "core.ca_certificates": ("CaCertificates",),
    "core.capabilities": ("Capabilities", "Capability"),
    "core.csr_builder": ("build_csr", "renewal_csr"),
    "core.enrolment": (
        "EnrolmentResult",
        "Issued",
        "Pending",
        "PollPolicy",
        "Rejected",
        "Requester",
        "self_signed_requester",
    ),
    "core.flows": ("Preferences",),
    "core.http": ("HttpRequest", "HttpResponse"),
    "core.trust": (
        "AcceptIf",
        "CaOffer",
        "CaVerifier",
        "Fingerprint",
        "InsecureTrustOnFirstUse",
        "PinnedCertificate",
    ),
    "errors": (
        "AlgorithmError",
        "DecodeError",
        "DecryptError",
        "FailInfo",
        "HttpStatusError",
        "InputError",
        "KeyLoadError",
        "NotSupportedError",
        "ProtocolError",
        "ReplyMismatchError",
        "RequestRejectedError",
        "ScepError",
        "SignatureError",
        "TransportError",
        "TrustError",
    ),
    "keys": (
        "generate_key",
        "load_certificates",
        "load_key",
        "read_key_file",
        "to_pkcs12",
        "write_private_key",
    ),
    "transport": ("AsyncTransport", "HttpOptions", "HttpTransport", "Transport"),
    "verifiers": ("AskOnConsole", "Caching"),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

# Spelled out, because type checkers read it; a test compares it with the table above.
__all__ = [
    "AcceptIf",
    "AlgorithmError",
    "AskOnConsole",
    "AsyncClient",
    "AsyncTransport",
    "CaCertificates",
    "CaOffer",
    "CaVerifier",
    "Caching",
    "Capabilities",
    "Capability",
    "Cipher",
    "Client",
    "DecodeError",
    "DecryptError",
    "Digest",
    "EnrolmentResult",
    "FailInfo",
    "Fingerprint",
    "HttpOptions",
    "HttpRequest",
    "HttpResponse",
    "HttpStatusError",
    "HttpTransport",
    "InputError",
    "InsecureTrustOnFirstUse",
    "Issued",
    "KeyLoadError",
    "KeyTransport",
    "NotSupportedError",
    "Pending",
    "PinnedCertificate",
    "PollPolicy",
    "Preferences",
    "ProtocolError",
    "Rejected",
    "ReplyMismatchError",
    "RequestRejectedError",
    "Requester",
    "ScepError",
    "SignatureError",
    "Transport",
    "TransportError",
    "TrustError",
    "__version__",
    "build_csr",
    "generate_key",
    "load_certificates",
    "load_key",
    "read_key_file",
    "renewal_csr",
    "self_signed_requester",
    "to_pkcs12",
    "write_private_key",
]


def __getattr__(name: str) -> object:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module 'scepkit' has no attribute {name!r}")
    from importlib import import_module

    value: object = getattr(import_module(f"scepkit.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
