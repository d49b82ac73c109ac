"""The CA of a transcript: a `scepkit.testing.TestCa` over real HTTP, steered by words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.core.messages import Failure
from scepkit.errors import FailInfo
from scepkit.keys import private_key_pem
from scepkit.testing import TestCa
from scepkit.testing.credentials import kept_key

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

    def start(self, words: dict[str, str]) -> dict[str, str]:
        """Start a CA; write its root to ca.pem, and its key (of RSA) to ca.key."""
        options = {name.replace("-", "_"): CA_WORDS[name](value) for name, value in words.items()}
        self.ca = TestCa(**options)
        url = self._stack.enter_context(self.ca.serve())
        (self._directory / "ca.key").write_bytes(private_key_pem(kept_key("rsa:2048", "ca")))
        (self._directory / "ca.pem").write_bytes(self.ca.root.public_bytes(Encoding.PEM))
        return {"URL": url, "FINGERPRINT": f"sha256:{self.ca.fingerprint}"}

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
