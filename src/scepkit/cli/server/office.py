"""What every command of a server needs: the configuration, its database, and who asks.

The rule of this file: a command that only looks writes nothing, and every change has an actor.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import click

from scepkit.cli.failures import Unfit
from scepkit.cli.output import Output
from scepkit.errors import ScepError

if TYPE_CHECKING:
    from scepkit.server.deployment import Deployment
    from scepkit.server.settings import Settings
    from scepkit.store import Store

T = TypeVar("T")
Done = TypeVar("Done")

_LONGEST_ACTOR = 200


class Office(NamedTuple):
    """An open server's database.

    Attributes:
        settings: the configuration.
        store: the database, of this version's schema.
        actor: who asks.
        now: since when (UTC).
    """

    settings: Settings
    store: Store
    actor: str
    now: datetime


@contextmanager
def open_office(
    out: Output, config: str, actor: str | None, *, keys: bool = False
) -> Iterator[Office]:
    """Read the configuration and open its database.

    Args:
        out: the command's output.
        config: the configuration's path.
        actor: who asks; None for the login name.
        keys: the private keys are needed: ask for their passphrase if nothing gives it.

    Raises:
        ConfigErrors: the configuration is wrong.
        StoreError: the database is not there, or not of this version.
    """
    from scepkit.server.registry import database_file

    name = actor_name(actor)
    settings = read_settings(out, config, keys=keys)
    file = database_file(settings)
    if file is not None and not file.exists():
        raise Unfit(
            f"there is no database {file}",
            hint="scepkit restore makes it from a backup, scepkit serve an empty one",
            path=str(file),
        )
    with open_database(settings) as store:
        store.check_schema()
        out.step(f"{name} works on {settings.database.url}")
        yield Office(settings, store, name, datetime.now(UTC))


@contextmanager
def open_database(settings: Settings) -> Iterator[Store]:
    """The database of a configuration, whatever is in it."""
    import socket

    from scepkit.store import open_store

    password = settings.database.password
    with open_store(
        settings.database.url,
        node=settings.server.node or socket.gethostname(),
        relative_to=settings.directory,
        password=password.text() if password else None,
        connections=1,
    ) as store:
        yield store


def read_settings(out: Output, config: str, *, keys: bool = False) -> Settings:
    """Read the configuration.

    Args:
        out: the command's output.
        config: its path.
        keys: the private keys are needed: ask for their passphrase if nothing gives it.
    """
    from scepkit.server.settings import load_settings

    environ: Mapping[str, str] = os.environ
    return load_settings(config, server_environment(out, config, environ) if keys else environ)


def server_environment(out: Output, config: str, environ: Mapping[str, str]) -> Mapping[str, str]:
    """`environ`, with the passphrase of the private keys if it is needed and somebody knows it."""
    from scepkit.server.settings import load_settings

    settings = load_settings(config, environ)
    if settings.passphrase is not None or not _encrypted(settings):
        return environ
    from scepkit.cli.terminal import ask_secret, has_terminal

    if not has_terminal(out):
        return environ
    return {**environ, "SCEPKIT_PASSPHRASE": ask_secret("passphrase of the CA's keys")}


def deployment_of(office: Office) -> Deployment:
    """Everything the server would work with, its keys too.

    Raises:
        ConfigErrors: it cannot work.
    """
    from scepkit.server.assembly import assemble

    return assemble(office.settings, office.store, office.now, late=office.settings.ca)


def _encrypted(settings: Settings) -> bool:
    """Whether a CA's private key file needs a passphrase."""
    for ca in settings.ca.values():
        try:
            if b"ENCRYPTED" in ca.key.read_bytes():
                return True
        except OSError:
            continue  # whoever needs it says what is wrong with it
    return False


def actor_name(given: str | None) -> str:
    """Who asks: what was given, or the login name.

    Raises:
        click.UsageError: the name is empty, too long, or has control characters.
    """
    name = _login_name() if given is None else given
    if not 0 < len(name) <= _LONGEST_ACTOR or not name.isprintable():
        raise click.UsageError(f"an actor has 1 to {_LONGEST_ACTOR} printable characters")
    return name


def _login_name() -> str:
    """The user's name; behind sudo, that of who called it."""
    try:
        import pwd

        name = pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # Windows, or a container's user without a name
        return os.environ.get("USERNAME") or f"uid {getattr(os, 'getuid', int)()}"
    # Only root is told by sudo whom it works for; whoever can become root can say anything.
    behind = os.environ.get("SUDO_USER") if os.getuid() == 0 else None
    return f"{behind} as {name}" if behind else name


def profile_name(settings: Settings, given: str | None) -> str:
    """The profile that was named, or the one at ``/scep``.

    Raises:
        click.UsageError: there is none of that name, or one has to be named.
    """
    known = ", ".join(settings.profile)
    if given is None:
        if settings.default_profile is None:
            raise click.UsageError(f"--profile is needed: there are {known}")
        return settings.default_profile
    if given not in settings.profile:
        raise click.UsageError(f"there is no profile {given!r}; the configuration has {known}")
    return given


def ca_name(settings: Settings, given: str | None) -> str:
    """The CA that was named, or the only one.

    Raises:
        click.UsageError: there is none of that name, or one has to be named.
    """
    known = ", ".join(settings.ca)
    if given is None:
        if len(settings.ca) != 1:
            raise click.UsageError(f"name a CA: there are {known}")
        return next(iter(settings.ca))
    if given not in settings.ca:
        raise click.UsageError(f"there is no CA {given!r}; the configuration has {known}")
    return given


def ra_name(settings: Settings, given: str | None) -> str:
    """The RA that was named, or the only one.

    Raises:
        click.UsageError: there is none of that name, or one has to be named.
    """
    known = ", ".join(settings.ra) or "none"
    if given is None:
        if len(settings.ra) != 1:
            raise click.UsageError(f"name an RA: there are {known}")
        return next(iter(settings.ra))
    if given not in settings.ra:
        raise click.UsageError(f"there is no RA {given!r}; the configuration has {known}")
    return given


def each(out: Output, items: Iterable[T], act: Callable[[T], Done], *, done: str) -> list[Done]:
    """Do something to each of several things; says what was done when one fails."""
    results: list[Done] = []
    finished: list[str] = []
    for item in items:
        try:
            results.append(act(item))
        except ScepError:
            if finished:
                out.note(f"{done} {', '.join(finished)} before this")
            raise
        finished.append(str(item))
    return results


def server_url(settings: Settings, profile: str) -> str:
    """Where a profile is reached."""
    path = "/scep" if profile == settings.default_profile else f"/scep/{profile}"
    return f"{settings.server.public_url or local_url(settings)}{path}"


def local_url(settings: Settings) -> str:
    """Where the server listens, as a URL that works on this machine."""
    bind = settings.server.bind
    if bind.path:
        return "http://localhost"
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(bind.host, bind.host)  # noqa: S104
    return f"http://[{host}]:{bind.port}" if ":" in host else f"http://{host}:{bind.port}"
