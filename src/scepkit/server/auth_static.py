"""One challenge for everybody.

The rule of this file: it is compared as a MAC, in constant time.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field

from scepkit.server.pepper import Pepper


@dataclass(frozen=True, slots=True)
class StaticSecret:
    """The secret of a profile.

    Attributes:
        mac: of the secret.
        secret: itself, where requests may be encrypted with it; else None.
    """

    mac: bytes = field(repr=False)
    secret: str | None = field(default=None, repr=False)

    def knows(self, mac: bytes) -> bool:
        """Whether this is the MAC of the secret."""
        return hmac.compare_digest(self.mac, mac)


def static_secret(pepper: Pepper, secret: str, *, recoverable: bool) -> StaticSecret:
    """The secret as the gate uses it."""
    return StaticSecret(pepper.mac(secret), secret if recoverable else None)
