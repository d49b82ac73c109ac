"""Tells systemd how the service is doing (sd_notify(3)), without a library.

The rule of this file: it never fails; without systemd it does nothing.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Mapping


def notify(environ: Mapping[str, str], *lines: str) -> None:
    """Send some ``NAME=value`` lines to the socket in NOTIFY_SOCKET."""
    address = environ.get("NOTIFY_SOCKET", "")
    if not address.startswith(("/", "@")):
        return
    if address.startswith("@"):  # an abstract name
        address = "\0" + address[1:]
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sender,
    ):
        sender.connect(address)
        sender.sendall("\n".join(lines).encode())


def reloading() -> tuple[str, str]:
    """The lines that say that a reload has begun (``Type=notify-reload``)."""
    return "RELOADING=1", f"MONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}"


def watchdog_seconds(environ: Mapping[str, str]) -> float | None:
    """How often systemd wants to hear ``WATCHDOG=1``: half of its patience, or None."""
    text = environ.get("WATCHDOG_USEC", "")
    return int(text) / 2_000_000 if text.isascii() and text.isdigit() and int(text) else None
