"""What a test CA answers over HTTP, and how the answer travels.

Values only.  `memory` and `server` bring them to a client; who makes them is `Answering` to both,
so that neither knows the CA.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Protocol


class Wire(Enum):
    """How an answer travels."""

    WHOLE = "whole"
    CLOSED = "the connection is closed before the first byte"
    RESET = "the connection is reset before the first byte"
    TRUNCATED = "the connection is closed after half of the body"
    SLOW = "a byte a second"
    GZIP = "gzipped"


@dataclass(frozen=True, slots=True)
class Answer:
    """An HTTP answer and how it travels.

    Attributes:
        location: the Location header, with ``{scheme}`` and ``{host}`` for those of the request.
        retry_after: the Retry-After header.
    """

    body: bytes
    content_type: str
    status: int = 200
    location: str = ""
    retry_after: str = ""
    wire: Wire = Wire.WHOLE


def text(status: int, line: str) -> Answer:
    """A short answer in plain text."""
    return Answer(f"{line}\n".encode(), "text/plain", status)


def page(title: str, status: int = 200) -> Answer:
    """A web page."""
    body = f"<!DOCTYPE html><html><head><title>{title}</title></head><body>{title}</body></html>"
    return Answer(body.encode(), "text/html; charset=utf-8", status)


class Answering(Protocol):
    """Who answers HTTP requests, as a `TestCa` does."""

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """The answer to one request; `target` is its path and raw query."""

    def now(self) -> datetime:
        """What time it is there (aware)."""
