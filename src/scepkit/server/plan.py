"""What is wanted of a new CA."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import timedelta

from scepkit.errors import InputError

#: Where a server listens when nobody said where.
BIND = "127.0.0.1:8080"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is wanted.

    Attributes:
        subject: of the CA, as RFC 4514 text.
        key_type: of the CA's key, as `scepkit.keys.parse_key_spec` reads it.
        validity: of a certificate that the CA gives itself.
        database: the URL.
        database_password_file: a path for the configuration, or "".
        preset: of the profile.
        bind: where to listen.
        public_url: where the world reaches the server, or "".
        with_ra: have an RA even if the CA's own key could do its work.
        passphrase_file: a path for the configuration, or "" when it comes in another way.
    """

    subject: str
    key_type: str = "rsa:2048"
    validity: timedelta = timedelta(days=3650)
    database: str = "sqlite:///scepkit.db"
    database_password_file: str = ""
    preset: str = "generic"
    bind: str = BIND
    public_url: str = ""
    with_ra: bool = False
    passphrase_file: str = ""

    def to_json(self) -> bytes:
        """As a text to keep while the CA waits for its certificate."""
        values = {**asdict(self), "validity": self.validity.total_seconds()}
        return json.dumps(values, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, data: bytes) -> Plan:
        """What `to_json` gave.

        :raises InputError: it is something else.
        """
        try:
            values = json.loads(data)
            return cls(**{**values, "validity": timedelta(seconds=values["validity"])})
        except (ValueError, TypeError, KeyError) as exc:
            raise InputError(f"the plan of the waiting CA cannot be read: {exc!r}") from exc
