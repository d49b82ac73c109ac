"""CRLs and CA certificates over HTTP, with what caches need (RFC 9110 section 13).

The rules of this file: a copy is at most a second old while the database can be asked, and when it
cannot, the last one goes on being served until it expires; a document, which may have many
megabytes, is read once for all who ask for it meanwhile.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import format_datetime, parsedate_to_datetime

from scepkit.server.asking import Refusal, Scope, header
from scepkit.server.front import TEXT, Exchange, Front, Service, not_allowed
from scepkit.server.replies import Document, Reply

#: How old a copy may be before the database is asked again, in seconds.
_FRESH = 1.0
#: How long caches may keep a document, in seconds: a revocation is to be seen soon.
_CACHED = 300


@dataclass(slots=True)
class _Copy:
    document: Document
    taken_at: float


class Publisher:
    """Serves the documents of one kind."""

    def __init__(self, front: Front, operation: str, suffix: str) -> None:
        self._front = front
        self._operation = operation
        self._suffix = suffix
        # Only what exists is kept, so that asking for other names fills no memory.
        self._copies: dict[str, _Copy] = {}
        self._asking: dict[str, asyncio.Task[Document | None]] = {}

    async def __call__(self, exchange: Exchange) -> Reply:
        """The document that the path names."""
        exchange.operation = self._operation
        if exchange.method not in ("GET", "HEAD"):
            raise not_allowed("GET, HEAD")
        name = exchange.path.rpartition("/")[2].removesuffix(self._suffix)
        now = self._front.clock()
        document = await self._document(exchange, name, now)
        if document is None:
            raise Refusal(404, "there is no such document")
        headers = _headers(document, now)
        if _is_known(exchange.scope, document):
            return Reply(304, b"", TEXT, headers)
        return Reply(200, document.body, document.content_type, headers)

    async def _document(self, exchange: Exchange, name: str, now: datetime) -> Document | None:
        copy = self._copies.get(name)
        if copy is not None and time.monotonic() - copy.taken_at < _FRESH:
            return copy.document
        asking = self._asking.get(name)
        if asking is None:
            asking = asyncio.create_task(self._asked(exchange.site.service, name, now, copy))
            self._asking[name] = asking
            asking.add_done_callback(lambda _: self._asking.pop(name))
        # Whoever gives up does not do so for the others.
        return await asyncio.shield(asking)

    async def _asked(
        self, service: Service, name: str, now: datetime, copy: _Copy | None
    ) -> Document | None:
        def ask() -> Document | None:
            if self._operation == "crl":
                return service.crl(name, now, None if copy is None else copy.document)
            return service.ca_certificate(name)

        try:
            document = await self._front.work(ask)
        except Refusal:
            expires = None if copy is None else copy.document.expires
            if copy is None or (expires is not None and expires <= now):
                raise
            return copy.document
        if document is None:
            self._copies.pop(name, None)
        else:
            self._copies[name] = _Copy(document, time.monotonic())
        return document


def _headers(document: Document, now: datetime) -> tuple[tuple[str, str], ...]:
    seconds = float(_CACHED)
    found = [
        ("etag", document.etag),
        ("last-modified", format_datetime(document.last_modified.astimezone(UTC), usegmt=True)),
    ]
    if document.expires is not None:
        found.append(("expires", format_datetime(document.expires.astimezone(UTC), usegmt=True)))
        seconds = min(seconds, max(0.0, (document.expires - now).total_seconds()))
    found.append(("cache-control", f"public, max-age={int(seconds)}"))
    return tuple(found)


def _is_known(scope: Scope, document: Document) -> bool:
    """Whether the client has this very document (RFC 9110 section 13.2.2)."""
    known = header(scope, b"if-none-match")
    if known is not None:
        # Compared weakly (section 13.1.2): the document is the same, whatever was done to it.
        tags = [tag.strip().removeprefix("W/") for tag in known.decode("latin-1").split(",")]
        return "*" in tags or document.etag in tags
    since = header(scope, b"if-modified-since")
    if since is None or len(since) > 64:
        return False
    try:
        moment = parsedate_to_datetime(since.decode("latin-1"))
        return document.last_modified.replace(microsecond=0) <= moment
    except (ValueError, TypeError, IndexError, OverflowError):
        return False  # no date, or one without a zone
