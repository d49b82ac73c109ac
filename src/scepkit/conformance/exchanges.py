"""What was sent, what came back, and when: the record that a report shows.

The rule of this file: nothing is decoded before somebody asks, because most exchanges are looked at
by nobody; and a record never holds a challenge in the clear, because requests are encrypted when
they get here.
"""

from __future__ import annotations

import threading
from base64 import b64encode
from datetime import UTC, datetime

from cryptography import x509

from scepkit.core.certificates import PrivateKey
from scepkit.core.http import HttpResponse, body_excerpt
from scepkit.core.inspect import inspect_message, render_text
from scepkit.core.url import shown_url
from scepkit.errors import ScepError
from scepkit.values import field, frozen

#: A test's record keeps so many exchanges from its beginning,
_FIRST = 8
#: and so many in all, of which the later ones are those that went wrong.
_MOST = 24
#: Longer bodies are cut in a report, in bytes.
LONGEST_SHOWN = 16 * 1024


@frozen
class Opener:
    """The requester's key, with which the answer to a request is decrypted.

    `sent` is what the request holds encrypted: only its decoded form is ever shown, which has no
    challenge in it.
    """

    certificate: x509.Certificate
    key: PrivateKey = field(repr=False)
    sent: bytes = field(default=b"", repr=False)


@frozen(eq=False)
class Exchange:
    """One request and its answer, or why there was none.

    Attributes:
        what: what was sent, in words.
        head: the first line of the request and the headers that are of interest.
        sent: the body, or the pkiMessage of a GET.
        response: the answer; None when there was none.
        error: why there was none, or "".
        seconds: from the first byte sent until the answer was there.
        opener: what decrypts the answer, or None.
        unreached: nothing was sent, as nobody took the connection.
    """

    what: str
    head: str
    sent: bytes = field(repr=False)
    response: HttpResponse | None
    error: str
    at: datetime
    seconds: float
    opener: Opener | None = field(default=None, repr=False)
    unreached: bool = False

    @property
    def status(self) -> int:
        """The HTTP status; 0 when there was no answer."""
        return self.response.status if self.response else 0

    @property
    def body(self) -> bytes:
        """The answer's body."""
        return self.response.body if self.response else b""

    @property
    def content_type(self) -> str:
        """The answer's Content-Type, as it came."""
        return self.response.content_type if self.response else ""

    @property
    def answer_text(self) -> str:
        """The answer in a few words, such as ``HTTP 400 'what is this?'``."""
        if self.response is None:
            return self.error
        excerpt = body_excerpt(self.body)
        return f"HTTP {self.status}" + (f" {excerpt[:120]!r}" if excerpt else "")

    def request_view(self) -> str:
        """The request decoded, and what is encrypted in it."""
        inside = _view(self.opener.sent, None) if self.opener else ""
        parts = (_view(self.sent, None), f"encrypted:\n{inside}" if inside else "")
        return "\n".join(part for part in parts if part)

    def answer_view(self) -> str:
        """The answer decoded and decrypted."""
        return _view(self.body, self.opener)


def _view(data: bytes, opener: Opener | None) -> str:
    if not data or len(data) > LONGEST_SHOWN:
        return ""
    try:
        found = inspect_message(
            data,
            key=opener.key if opener else None,
            certificate=opener.certificate if opener else None,
        )
        return render_text(found)
    except (ScepError, ValueError):
        return ""


def as_base64(data: bytes) -> str:
    """Bytes as a report shows them, cut when they are long."""
    text = b64encode(data[:LONGEST_SHOWN]).decode("ascii")
    lines = [text[at : at + 76] for at in range(0, len(text), 76)]
    if len(data) > LONGEST_SHOWN:
        lines.append(f"... {len(data) - LONGEST_SHOWN} more bytes")
    return "\n".join(lines)


def shown_head(method: str, url: str, content_type: str = "") -> str:
    """The first line of a request, without what a GET carries."""
    return f"{method} {shown_url(url)}" + (
        f"\nContent-Type: {content_type}" if content_type else ""
    )


class Record:
    """The exchanges of one test; usable from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: list[Exchange] = []
        self.count = 0

    def add(self, exchange: Exchange) -> None:
        """Note an exchange; of many, the first ones and those that went wrong are kept."""
        went_wrong = exchange.response is None or exchange.status >= 500
        with self._lock:
            self.count += 1
            room = _FIRST if not went_wrong else _MOST
            if len(self._kept) < room:
                self._kept.append(exchange)

    def keep(self, exchange: Exchange) -> None:
        """Keep this one in any case: it is the evidence."""
        with self._lock:
            if exchange not in self._kept:
                self._kept.append(exchange)

    def forget(self, exchange: Exchange) -> None:
        """Show nothing of this one: it belongs to another test."""
        with self._lock:
            self._kept = [one for one in self._kept if one is not exchange]

    @property
    def kept(self) -> tuple[Exchange, ...]:
        """What a report shows."""
        with self._lock:
            return tuple(self._kept)


def now() -> datetime:
    """The time, to stamp a record with."""
    return datetime.now(UTC)
