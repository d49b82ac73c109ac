"""The forms in which settings are written: durations, sizes, rates, addresses, secrets.

The rule of this file: each reader takes the text as a person wrote it and gives a value, or raises
an `InputError` that shows the form that was expected.  A secret's text is in no error and no repr.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from datetime import timedelta
from ipaddress import IPv4Network, IPv6Network, ip_network

from scepkit.errors import InputError

Network = IPv4Network | IPv6Network

_UNITS = {
    "ms": timedelta(milliseconds=1),
    "s": timedelta(seconds=1),
    "m": timedelta(minutes=1),
    "h": timedelta(hours=1),
    "d": timedelta(days=1),
    "w": timedelta(weeks=1),
}
_DURATION = re.compile(r"(?:[0-9]{1,9}(?:ms|[smhdw]))+")
_DURATION_PART = re.compile(r"([0-9]+)(ms|[smhdw])")
_SIZES = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_SIZE = re.compile(r"([0-9]{1,12})\s*(B|KiB|MiB|GiB)?")
_RATE = re.compile(r"([0-9]{1,9})\s*/\s*(s|m|h)")
_PERIODS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> timedelta:
    """Read a duration: whole numbers with a unit each, such as ``90s``, ``1h30m``, ``30d``.

    Units are ms, s, m, h, d (24 hours) and w.

    :raises InputError: it has another form, or is longer than some thousand years.
    """
    word = text.strip()
    if not _DURATION.fullmatch(word):
        hint = f"write the unit too: {word}s is seconds" if word.isdigit() else ""
        raise InputError(
            f"expected a duration such as 90s, 15m, 1h or 30d, found {shown(text)}", hint=hint
        )
    total = timedelta()
    try:
        for number, unit in _DURATION_PART.findall(word):
            total += int(number) * _UNITS[unit]
    except OverflowError:
        raise InputError(f"the duration {shown(text)} is too long") from None
    if total > timedelta(days=365_000):
        raise InputError(f"the duration {shown(text)} is longer than a thousand years")
    return total


def format_duration(value: timedelta) -> str:
    """The shortest text that `parse_duration` reads as `value`: ``1h30m``, ``30d``, ``0s``."""
    left = value // timedelta(milliseconds=1)
    parts = []
    for unit in ("d", "h", "m", "s", "ms"):
        count, left = divmod(left, _UNITS[unit] // timedelta(milliseconds=1))
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(text: str) -> int:
    """Read a number of bytes: ``65536``, ``64KiB``, ``1MiB``.

    :raises InputError: it has another form.
    """
    match = _SIZE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"expected a size such as 64KiB or 1MiB, found {shown(text)}")
    return int(match[1]) * _SIZES[match[2] or "B"]


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in a time.

    Attributes:
        count: how many, at least 1.
        seconds: in how many seconds.
    """

    count: int
    seconds: int

    def __str__(self) -> str:
        unit = next(unit for unit, seconds in _PERIODS.items() if seconds == self.seconds)
        return f"{self.count}/{unit}"


def parse_rate(text: str) -> Rate:
    """Read a rate: ``10/s``, ``600/m``, ``1000/h``.

    :raises InputError: it has another form, or is zero.
    """
    match = _RATE.fullmatch(text.strip())
    if match is None:
        raise InputError(f"expected a rate such as 10/s, 600/m or 1000/h, found {shown(text)}")
    if not int(match[1]):
        raise InputError("a rate of nothing would refuse everybody; expected at least 1")
    return Rate(int(match[1]), _PERIODS[match[2]])


@dataclass(frozen=True, slots=True)
class Address:
    """Where a server listens.

    Attributes:
        host: an IP address or host name; "" when `path` is set.
        port: 0 to 65535, where 0 lets the system choose; 0 when `path` is set.
        path: of a Unix socket, or "".
    """

    host: str = ""
    port: int = 0
    path: str = ""

    def __str__(self) -> str:
        if self.path:
            return f"unix:{self.path}"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Read where to listen: ``127.0.0.1:8080``, ``[::]:8080``, ``unix:/run/scepkit/http.sock``.

    :raises InputError: it has another form.
    """
    word = text.strip()
    if word.startswith("unix:"):
        # 108 bytes is what Linux has room for, with the final NUL.
        if len(word.encode()) - 5 not in range(1, 108) or "\0" in word:
            raise InputError("expected a path of up to 107 bytes after unix:")
        if word[5] != "/":
            raise InputError(
                f"expected an absolute path after unix:, found {shown(word[5:])}",
                hint="write it from the root on, such as unix:/run/scepkit/http.sock: where the "
                "server was started must not decide where it listens",
            )
        return Address(path=word[5:])
    host, colon, port = word.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    # Digits of other scripts are digits to Python, hence isascii.
    if not (colon and port.isascii() and port.isdigit() and len(port) <= 5 and int(port) < 65536):
        raise InputError(
            f"expected an address and a port, such as 127.0.0.1:8080, found {shown(text)}"
        )
    inner = host[1:-1] if bracketed else host
    if (":" in inner) != bracketed or not inner or any(c.isspace() or c in "[]" for c in inner):
        raise InputError(
            f"expected an address and a port, found {shown(text)}",
            hint="write an IPv6 address in brackets: [::1]:8080; for all addresses 0.0.0.0 or [::]",
        )
    return Address(inner, int(port))


def parse_network(text: str) -> Network:
    """Read a network, or one address: ``10.0.0.0/8``, ``127.0.0.1``, ``fd00::/8``.

    :raises InputError: it is neither.
    """
    try:
        return ip_network(text.strip())
    except ValueError as error:
        if "host bits" in str(error):
            whole = ip_network(text.strip(), strict=False)
            raise InputError(
                f"{shown(text)} has bits after its prefix; did you mean {whole}?"
            ) from None
        raise InputError(
            f"expected an IP address or network such as 10.0.0.0/8, found {shown(text)}"
        ) from None


@dataclass(frozen=True, slots=True, repr=False, eq=False)
class Secret:
    """Something that nobody is to see: its repr says only where it came from.

    Attributes:
        value: the secret itself.
        source: where it came from: a file's path, "SCEPKIT_...", "the configuration file".
    """

    value: bytes
    source: str = ""

    def text(self) -> str:
        """The secret as text.

        :raises InputError: it is not UTF-8.
        """
        try:
            return self.value.decode()
        except UnicodeDecodeError:
            raise InputError(f"the secret of {self.source} is not UTF-8 text") from None

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and hmac.compare_digest(self.value, other.value)

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"<Secret of {self.source}>"


def shown(value: object) -> str:
    """A setting as an error shows it: quoted, on one line, and not at length."""
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 80 else text[:77] + "..."
