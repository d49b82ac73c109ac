"""The CA of a transcript: a `scepkit.testing.TestCa` over real HTTP, steered by words."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.errors import FailInfo
from scepkit.testing import TestCa

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
        """Start a CA; write its root to ca.pem."""
        options = {name.replace("-", "_"): CA_WORDS[name](value) for name, value in words.items()}
        self.ca = TestCa(**options)
        url = self._stack.enter_context(self.ca.serve())
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
                case "manual":
                    ca.policy.manual = value == "yes"
                case "stage-next":
                    ca.stage_next_ca()
                case "issued":
                    assert len(ca.issued) == int(value), f"{len(ca.issued)} were issued"
                case _:
                    raise AssertionError(f"no such switch: {name}")
