"""The server's own secret, and what is made with it.

One-time challenges are in the database as MACs under this secret (RFC 8894 section 7.3), so that
who reads the database can neither use nor guess them.  Two things have to be got back in the clear
later, both only for requesters or CAs whose key cannot decrypt, where the challengePassword is the
encryption key (RFC 8894 section 3.1):

* a challenge that was minted, when a request comes that is encrypted with it.  It is then not drawn
  at random but derived from this secret and a random number, and the number is kept;
* the challenge of a request that is not answered at once.  It is kept sealed with AES-GCM.

What is stored begins with four bytes that challenges of the same minute have in common: so those
that are handed out together, and the requests that come with them, are beside one another in the
database's indexes, where MACs alone change a page of a large one each.

The rule of this file: each use has a key of its own, and nothing here has a repr with a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from base64 import b32encode, urlsafe_b64decode, urlsafe_b64encode
from datetime import datetime

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from scepkit.errors import InputError

# In characters that every device's configuration and PrintableString can hold: 20 bits of the
# minute, which come again after two years, and 120 bits that nobody can guess.
_MINUTE_CHARACTERS, _RANDOM_CHARACTERS = 4, 24
_CHALLENGE = re.compile(f"[A-Z2-7]{{{_MINUTE_CHARACTERS + _RANDOM_CHARACTERS}}}")
_MINUTE_BYTES = 3

#: How many bytes of a MAC challenges of the same minute have in common.
NEAR = 4

_NONCE_BYTES = 16
_GCM_NONCE_BYTES = 12
_LEAST_KEY_BYTES = 16


class Pepper:
    """The secret, as the three keys that are made from it.

    :param key: at least 16 random bytes, the same on every node.
    :raises InputError: it is shorter.
    """

    __slots__ = ("_derive", "_mac", "_minute", "_seal", "fingerprint")

    def __init__(self, key: bytes) -> None:
        if len(key) < _LEAST_KEY_BYTES:
            raise InputError(f"the challenge key has {len(key)} bytes; expected 16 or more")
        self._mac = hmac.digest(key, b"scepkit: mac of challenges", "sha256")
        self._minute = hmac.digest(key, b"scepkit: minutes of challenges", "sha256")
        self._derive = hmac.digest(key, b"scepkit: derived challenges", "sha256")
        self._seal = hmac.digest(key, b"scepkit: sealed challenges", "sha256")
        #: Tells this key from others, and nothing else about it.
        self.fingerprint = hmac.digest(key, b"scepkit: fingerprint", "sha256")[:8].hex()

    def __repr__(self) -> str:
        return "<Pepper>"

    def mac(self, secret: str) -> bytes:
        """What is stored in place of a challenge (32 bytes)."""
        mac = hmac.digest(self._mac, secret.encode("utf-8", "surrogatepass"), "sha256")
        near = self.near(secret)
        return near + mac[len(near) :]

    def near(self, secret: str) -> bytes:
        """What a challenge has in common with those of its minute: `NEAR` bytes.

        Empty for a secret that somebody else chose: no part of it is to be told from the rest, and
        nobody is to see who else has it.
        """
        if not _CHALLENGE.fullmatch(secret):
            return b""
        minute = secret[:_MINUTE_CHARACTERS].encode("ascii")
        return hmac.digest(self._minute, minute, "sha256")[:NEAR]

    def new_nonce(self, now: datetime) -> bytes:
        """The minute and a random number, to derive a challenge from.

        :param now: aware.
        """
        minute = int(now.timestamp() // 60) & 0xFFFFF
        return (minute << 4).to_bytes(_MINUTE_BYTES, "big") + secrets.token_bytes(_NONCE_BYTES)

    def challenge(self, nonce: bytes) -> str:
        """The challenge that belongs to a nonce: 28 letters and digits."""
        minute = b32encode(nonce[:_MINUTE_BYTES]).decode("ascii")[:_MINUTE_CHARACTERS]
        derived = hmac.digest(self._derive, nonce, hashlib.sha256)
        return minute + b32encode(derived).decode("ascii")[:_RANDOM_CHARACTERS]

    def seal(self, secret: str) -> str:
        """A challenge so that only `unseal` reads it (printable ASCII)."""
        nonce = secrets.token_bytes(_GCM_NONCE_BYTES)
        sealed = AESGCM(self._seal).encrypt(nonce, secret.encode("utf-8", "surrogatepass"), None)
        return urlsafe_b64encode(nonce + sealed).decode("ascii")

    def unseal(self, sealed: str) -> str | None:
        """The challenge again; None when it was sealed with another key."""
        try:
            data = urlsafe_b64decode(sealed.encode("ascii"))
            plain = AESGCM(self._seal).decrypt(
                data[:_GCM_NONCE_BYTES], data[_GCM_NONCE_BYTES:], None
            )
            return plain.decode("utf-8", "surrogatepass")
        except (InvalidTag, ValueError):
            return None
