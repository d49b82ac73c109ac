"""Putting a new CA where it is to be: files, database, and a first challenge.

The rule of this file: the configuration is loaded and the keys are tried before anything has its
name, so that what `scepkit init` leaves can be started.
"""

from __future__ import annotations

import shutil
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from scepkit.errors import InputError, StoreError, StoreUnavailable
from scepkit.keys import read_certificates_file
from scepkit.server import admin
from scepkit.server.agents import record_certificate
from scepkit.server.assembly import assemble, register
from scepkit.server.cautions import weak_keys
from scepkit.server.founding import CA_NAME, PASSPHRASE, PROFILE, RA_NAME, WAITING, Files
from scepkit.server.founding_text import CONFIGURATION
from scepkit.server.placing import new_directory, write_all
from scepkit.server.plan import Plan
from scepkit.server.settings import Settings, load_settings
from scepkit.store import Store, cas, open_store


@dataclass(frozen=True, slots=True)
class Established:
    """A CA that is ready to be started.

    Attributes:
        settings: its configuration.
        certificate: the CA's.
        challenge: the first one, for one enrolment.
        passphrase_file: where the passphrase lies beside the keys, relative to the directory, or
            "" when it is elsewhere.
        notes: sentences about what works but may surprise.
    """

    settings: Settings
    certificate: x509.Certificate
    challenge: admin.Minted
    passphrase_file: str = ""
    notes: tuple[str, ...] = ()


def establish(
    target: Path,
    files: Files,
    plan: Plan,
    passphrase: bytes,
    *,
    actor: str,
    now: datetime,
    environ: Mapping[str, str],
) -> Established:
    """Put a new CA into `target`, which is new or empty, or has a CA that waits for this.

    :param files: as `founding.files_of` makes them.
    :param environ: the process's, for what the configuration takes from there.
    :raises KeyLoadError: `target` is not empty, or cannot be written.
    :raises InputError: the database belongs to another CA.
    :raises ConfigErrors: what was planned cannot work; there are no files then.
    :raises StoreError: the database cannot be used.
    """
    known = {**environ, "SCEPKIT_PASSPHRASE": passphrase.decode()}
    with new_directory(target, last=CONFIGURATION, beside=(WAITING,)) as directory:
        write_all(directory, files)
        settings = load_settings(directory / CONFIGURATION, known)
        with _opened(settings) as store:
            _refuse_another(store)
            store.migrate()
            deployment = assemble(settings, store, now)
    # From here on there is a CA; should this process end now, `scepkit serve` does the same.
    if (target / WAITING).exists():
        shutil.rmtree(target / WAITING)
    settings = load_settings(target / CONFIGURATION, known)
    try:
        with _opened(settings) as store:
            register(settings, store, actor=actor, now=now)
            _record_ra(settings, store, actor=actor, now=now)
            minted = admin.mint_challenges(
                store, settings, PROFILE, label="the first, of scepkit init", actor=actor, now=now
            )
    except StoreError as error:
        error.hint = f"the CA in {target} is complete; scepkit challenge new makes a challenge"
        raise
    return Established(
        settings,
        deployment.authorities[CA_NAME].active.certificate,
        minted[0],
        passphrase_file=PASSPHRASE if plan.passphrase_file == PASSPHRASE else "",
        notes=(*deployment.profiles[PROFILE].roles.notes, *weak_keys(deployment)),
    )


def _opened(settings: Settings) -> Store:
    password = settings.database.password
    return open_store(
        settings.database.url,
        node=settings.server.node or socket.gethostname(),
        relative_to=settings.directory,
        password=password.text() if password else None,
        connections=1,
    )


def _refuse_another(store: Store) -> None:
    try:
        found = store.read(cas.listing)
    except StoreUnavailable:
        raise
    except StoreError:
        return  # it has no tables yet
    if found:
        raise InputError(
            f"the database belongs to the CA {found[0].name!r} of another configuration",
            hint="name an empty database; a second machine takes a copy of the first one's files",
        )


def _record_ra(settings: Settings, store: Store, *, actor: str, now: datetime) -> None:
    """Let the RA's certificate be found, and revoked, like all others."""
    if RA_NAME not in settings.ra:
        return
    certificate = read_certificates_file(settings.ra[RA_NAME].decrypt[0].certificate)[0]
    active = store.read(lambda tx: cas.active(tx, CA_NAME))
    if active is not None:
        record_certificate(store, active.id, certificate, actor=actor, now=now)
