"""What a process of the server has besides HTTP: the database, the keys, the use cases, the jobs.

The rule of this file: it only puts together.  A process opens its own connections, after it was
forked.
"""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from scepkit.server.background import Job
from scepkit.server.front import Service
from scepkit.server.logs import with_fields
from scepkit.server.monitoring import Health
from scepkit.server.settings import Settings

if TYPE_CHECKING:
    from scepkit.server.deployment import Deployment
    from scepkit.store import Store

log = logging.getLogger("scepkit.server")

#: How often a process looks whether somebody changed the CAs in the database, in seconds.
LOOK_SECONDS = 3.0
_NOTHING_KNOWN = (
    "it was not there, or had no tables: certificates, challenges and an audit trail that this CA "
    "may have had are not in it"
)
_RESTORE = "if it had some, stop the server, put this database away, and scepkit restore a backup"


class Backend(Protocol):
    """Everything behind HTTP, in one process."""

    @property
    def service(self) -> Service:
        """The use cases."""

    @property
    def health(self) -> Health:
        """What `/readyz` and `/metrics` show."""

    @property
    def jobs(self) -> Sequence[Job]:
        """What is to be done without being asked, by one process of the machine."""

    def cautions(self) -> Sequence[str]:
        """What works, but perhaps not as it was meant."""

    def prepare(self, settings: Settings) -> None:
        """Be ready for other settings, keys and certificates.

        From now on requests for the new keys can be decrypted; everything else is as before.

        :raises ScepError: they cannot work; nothing has changed.
        """

    def commit(self) -> None:
        """Take up what was prepared; requests under way keep the old."""

    def abandon(self) -> None:
        """Forget what was prepared."""

    def look(self) -> None:
        """Take up what other processes changed in the database, such as a rollover."""

    def close(self) -> None:
        """Finish what is under way in the database, and leave it."""


MakeBackend = Callable[[Settings], Backend]


@dataclass(frozen=True, slots=True)
class _Coming:
    """A reload that was prepared, and what there was before."""

    settings: Settings
    before: Deployment
    after: Deployment


class ScepBackend:
    """The real one."""

    def __init__(self, settings: Settings) -> None:
        # Not at the top: the process that only supervises the others needs none of it.
        from scepkit.server import jobs
        from scepkit.server.assembly import assemble
        from scepkit.server.health import ServiceHealth
        from scepkit.server.service import ScepService

        self._settings = settings
        self._lock = threading.Lock()
        self._coming: _Coming | None = None
        self._told: set[str] = set()
        self._started = datetime.now(UTC)
        self._store = open_database(settings)
        try:
            deployment = assemble(settings, self._store, self._started, late=settings.ca)
        except BaseException:
            self._store.close()
            raise
        self.service = ScepService(self._store, deployment, lease=settings.server.lease)
        self.health: Health = ServiceHealth(self.service)
        service, store = self.service, self._store
        self.jobs: Sequence[Job] = (
            Job("sweep", 1.0, lambda now: jobs.sweep(service, now)),
            Job("crl", 2.0, lambda now: jobs.make_due_crls(service, now)),
            Job("audit", 1.0, lambda now: jobs.seal_audit(store, now) and None),
            Job("outbox", 2.0, lambda now: jobs.deliver_outbox(service, now)),
            Job("expire", 60.0, lambda now: jobs.expire_pending(service, now)),
            Job("heartbeat", 20.0, self._beat),
        )

    def cautions(self) -> Sequence[str]:
        """What works, but perhaps not as it was meant."""
        from scepkit.server.cautions import cautions, other_challenge_keys

        deployment, name = self.service.deployment, node_name(self._settings)
        return [
            *cautions(self._settings, deployment, self._started),
            *other_challenge_keys(self._store, name, deployment.pepper, self._started),
        ]

    def prepare(self, settings: Settings) -> None:
        """Be ready for other settings, keys and certificates."""
        from scepkit.server.assembly import assemble, register
        from scepkit.server.deployment import with_openers_of
        from scepkit.server.health import late_profiles

        now = datetime.now(UTC)
        register(settings, self._store, actor="scepkit", now=now)
        # What is out of date already hinders nobody; a certificate that is new has to be right.
        late = late_profiles(self.service.deployment, now)
        cas = {settings.ca_name(name) for name in late if name in settings.profile}
        coming = assemble(settings, self._store, now, late=cas)
        with self._lock:
            before = self.service.deployment
            self._coming = _Coming(settings, before, coming)
            self.service.deployment = with_openers_of(before, coming)

    def commit(self) -> None:
        """Take up what was prepared."""
        with self._lock:
            if self._coming is not None:
                self._settings = self._coming.settings
                self.service.deployment = self._coming.after
                self._coming = None

    def abandon(self) -> None:
        """Forget what was prepared."""
        with self._lock:
            if self._coming is not None:
                self.service.deployment = self._coming.before
                self._coming = None

    def look(self) -> None:
        """Take up a rollover that was made with a command, on whichever node."""
        from scepkit.server.assembly import assemble, outdated

        if self._coming is not None or not outdated(self.service.deployment, self._store):
            return
        now = datetime.now(UTC)
        found = assemble(self._settings, self._store, now, late=self._settings.ca)
        with self._lock:
            # A reload that began meanwhile looked at the database itself.
            if self._coming is None:
                self.service.deployment = found
        log.info("took up the CAs as they are in the database now")

    def close(self) -> None:
        """Leave the database."""
        self._store.close()

    def _beat(self, now: datetime) -> None:
        from scepkit import __version__
        from scepkit.store import jobs as node_rows
        from scepkit.store.rows import milliseconds

        self._store.write(
            lambda tx: node_rows.heartbeat(
                tx,
                node_name(self._settings),
                version=__version__,
                started_at=milliseconds(self._started),
                now=milliseconds(now),
                challenge_key=self.service.deployment.pepper.fingerprint,
            )
        )
        self._look_at_others(now)

    def _look_at_others(self, now: datetime) -> None:
        """Say once that a node with another challenge key runs beside this one."""
        from scepkit.server.cautions import other_challenge_keys

        name, pepper = node_name(self._settings), self.service.deployment.pepper
        found = set(other_challenge_keys(self._store, name, pepper, now))
        for caution in sorted(found - self._told):
            log.warning("caution", extra=with_fields({"reason": caution}))
        # Should it go and come again, that is news again.
        self._told = found


def node_name(settings: Settings) -> str:
    """What this machine is called in the audit trail."""
    return settings.server.node or socket.gethostname()


def open_database(settings: Settings) -> Store:
    """The database of the settings; it is connected to when it is first used.

    :raises ScepError: it cannot be used with this Python.
    """
    from scepkit.store import open_store

    database = settings.database
    return open_store(
        database.url,
        node=node_name(settings),
        relative_to=settings.directory,
        password=database.password.text() if database.password else None,
        connections=database.connections,
    )


def prepare(settings: Settings) -> None:
    """Bring the database to this version, put the configured CAs in, and try whether all works.

    :raises ScepError: it cannot work, with all reasons.
    """
    from scepkit.server.assembly import register
    from scepkit.server.registry import schema_state

    with open_database(settings) as store:
        if schema_state(store) == "empty":
            fields = {"database": settings.database.url, "reason": _NOTHING_KNOWN, "hint": _RESTORE}
            log.warning("the database is empty", extra=with_fields(fields))
        for step in store.migrate():
            log.info("migrated the database: %s", step)
        register(settings, store, actor="scepkit", now=datetime.now(UTC))
