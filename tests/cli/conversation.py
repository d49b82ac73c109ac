"""The CA of a transcript: a `scepkit.testing.TestCa` over real HTTP, steered by words."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core.csr_builder import build_csr
from scepkit.core.messages import Failure
from scepkit.errors import FailInfo
from scepkit.keys import private_key_pem
from scepkit.testing import TestCa
from scepkit.testing.credentials import Credentials, kept_key
from tests import pki
from tests.servers import tls_server

_LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
_PAST = datetime(2021, 1, 1, tzinfo=UTC)
_FAR_AWAY = datetime(2049, 1, 1, tzinfo=UTC)

#: What can stand in a ``ca`` line; all optional.
CA_WORDS: dict[str, Callable[[str], Any]] = {
    "challenge": lambda value: value or None,
    "pending-polls": int,
    "manual": lambda value: value == "yes",
    "ra": str,
    "intermediate": lambda value: value == "yes",
    "key": str,
    "faults": lambda value: value.split(","),
    "capabilities": lambda value: value.split(","),
}


class Conversation:
    """The CAs of one transcript; the last one started is the one that is steered."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self._directory = directory
        self._stack = stack
        self.ca: TestCa | None = None
        self._former: Credentials | None = None

    def start(self, words: dict[str, str]) -> dict[str, str]:
        """Start a CA; write its root to ca.pem, and its key (of RSA) to ca.key."""
        context = self._tls() if words.pop("tls", None) else None
        options = {name.replace("-", "_"): CA_WORDS[name](value) for name, value in words.items()}
        self.ca = TestCa(**options)
        url = self._stack.enter_context(self.ca.serve(ssl_context=context))
        (self._directory / "ca.key").write_bytes(private_key_pem(kept_key("rsa:2048", "ca")))
        (self._directory / "ca.pem").write_bytes(self.ca.root.public_bytes(Encoding.PEM))
        return {"URL": url, "FINGERPRINT": f"sha256:{self.ca.fingerprint}"}

    def _make_by_hand(self, what: str, name: Path) -> None:
        """A certificate under the CA's name that it would not issue, and its key beside it."""
        assert self.ca is not None
        key_name = "rsa1024" if what == "make-small" else "rsa2048-c"
        end = _FAR_AWAY if what == "make-small" else _PAST
        made = pki.certificate(
            pki.name("old"), pki.key(key_name),
            issuer=pki.Identity(self.ca.certificate, pki.key("rsa2048-a")),
            not_before=_LONG_AGO, not_after=end,
        )  # fmt: skip
        pem = made.certificate.public_bytes(Encoding.PEM)
        (self._directory / name).write_bytes(pem)
        (self._directory / name.with_suffix(".key")).write_bytes(pki.key_pem(key_name))

    def _tls(self) -> ssl.SSLContext:
        """HTTPS by a server called pinned.test; its CA is in tls-ca.pem."""
        root = pki.root("ec256-a", "TLS Root", not_before=_LONG_AGO, not_after=_FAR_AWAY)
        server = pki.certificate(
            pki.name("tls.test"), pki.key("ec256-b"), issuer=root, ca=False,
            key_usage=pki.usage("digital_signature"), eku=(pki.SERVER_AUTH,),
            san=[x509.DNSName("pinned.test")], not_before=_LONG_AGO, not_after=_FAR_AWAY,
        )  # fmt: skip
        for name, identity in (("tls-ca.pem", root), ("tls.pem", server)):
            pem = identity.certificate.public_bytes(Encoding.PEM)
            (self._directory / name).write_bytes(pem)
        (self._directory / "tls.key").write_bytes(pki.key_pem("ec256-b"))
        return tls_server(self._directory / "tls.pem", self._directory / "tls.key")

    def change(self, words: dict[str, str]) -> None:
        """Change the CA that runs."""
        ca = self.ca
        assert ca is not None, "there is no CA"
        for name, value in words.items():
            match name:
                case "approve":
                    ca.approve()
                case "deny":
                    ca.deny(fail_info=FailInfo.BAD_REQUEST, text=value)
                case "inject":
                    ca.inject(*value.split(","))
                case "heal":
                    ca.heal()
                case "challenge":
                    ca.policy.challenge = value or None
                case "reject":
                    failure = Failure(FailInfo.BAD_REQUEST, value)
                    ca.policy.reject = failure if value else None
                case "manual":
                    ca.policy.manual = value == "yes"
                case "stage-next":
                    ca.stage_next_ca()
                case "activate-next":
                    self._former = ca._desk.credentials
                    ca.activate_next_ca()
                    (self._directory / value).write_bytes(ca.root.public_bytes(Encoding.PEM))
                case "former-ca-answers":
                    assert self._former is not None
                    ca._desk.credentials = self._former
                case "make-csr":
                    key = pki.key("rsa2048-b")
                    csr = build_csr(key, "CN=ready-made", challenge="secret")
                    (self._directory / value).write_bytes(csr.public_bytes(Encoding.PEM))
                    (self._directory / "csr.key").write_bytes(pki.key_pem("rsa2048-b"))
                case "small-key":
                    (self._directory / value).write_bytes(pki.key_pem("rsa1024"))
                case "make-small" | "make-expired":
                    self._make_by_hand(name, Path(value))
                case "revoke-last":
                    ca.revoke(ca.issued[-1])
                case "save-request":
                    (self._directory / value).write_bytes(ca.messages[-1].request)
                case "save-reply":
                    (self._directory / value).write_bytes(ca.messages[-1].reply)
                case "issued":
                    assert len(ca.issued) == int(value), f"{len(ca.issued)} were issued"
                case _:
                    raise AssertionError(f"no such switch: {name}")
