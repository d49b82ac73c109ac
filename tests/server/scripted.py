"""A server whose use cases are a script: ``python -m tests.server.scripted scepkit.toml``.

The body of a request is what to do: ``pid``, ``sleep 0.5``, ``wait`` (until there is a file
``awake``), ``die``, ``zeros 1000``, ``echo anything``.  GetCACaps says the `log.level` of the
settings, which a reload changes.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from scepkit.errors import ConfigError, StoreUnavailable
from scepkit.server.background import Job
from scepkit.server.metrics import Gauge
from scepkit.server.replies import Context, Document, Reply
from scepkit.server.serve import serve
from scepkit.server.settings import Settings
from scepkit.store import turns


class Script:
    """The use cases."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings

    @property
    def profile_names(self) -> Sequence[str]:
        return tuple(self.settings.profile)

    def pki_operation(self, profile: str, body: bytes, context: Context) -> Reply:
        word, _, rest = body.decode().partition(" ")
        match word:
            case "pid":
                return text(str(os.getpid()))
            case "sleep":
                self._fall_asleep()
                turns.pause(float(rest))
                return text("slept")
            case "wait":
                self._fall_asleep()
                while not (self.settings.directory / "awake").exists():
                    turns.pause(0.01)
                return text("waited")
            case "zeros":
                return text("0" * int(rest))
            case "die":
                os._exit(3)
            case _:
                return text(rest)

    def _fall_asleep(self) -> None:
        with (self.settings.directory / "asleep").open("a") as file:
            file.write("z")

    def get_ca_caps(self, profile: str) -> Reply:
        return text(f"level {self.settings.log.level}")

    def get_ca_cert(self, profile: str) -> Reply:
        return text("certificate")

    def get_next_ca_cert(self, profile: str) -> Reply:
        return Reply(404, b"", "text/plain")

    def crl(self, ca: str, now: datetime, known: Document | None) -> Document | None:
        return None

    def ca_certificate(self, ca: str) -> Document | None:
        return None


class Backend:
    """What is behind HTTP."""

    def __init__(self, settings: Settings) -> None:
        check(settings)
        self.service = Script(settings)
        self.health = self
        if os.environ.get("WORKERS_DIE") and (settings.directory / "tried").exists():
            # The trial before the start went well; what is started now does not live.
            os._exit(7)
        (settings.directory / "tried").touch()
        self.directory = settings.directory
        self.jobs = (
            Job("tick", 0.05, lambda now: self.append("ticks", str(os.getpid()))),
            Job("broken", 0.05, self.fail),
        )

    def append(self, name: str, line: str) -> None:
        with (self.directory / name).open("a") as file:
            file.write(f"{line}\n")

    def fail(self, now: datetime) -> None:
        raise StoreUnavailable("no database")

    def not_ready(self, now: datetime) -> Sequence[str]:
        return ()

    def impaired(self, now: datetime) -> Sequence[str]:
        return ()

    def gauges(self, now: datetime) -> Sequence[Gauge]:
        return ()

    def cautions(self) -> Sequence[str]:
        return ("it is a script",)

    def prepare(self, settings: Settings) -> None:
        check(settings)
        if settings.server.node == f"impossible-for-{os.getpid()}":
            raise ConfigError("there is no such machine", path="server.node")
        self.coming = settings

    def commit(self) -> None:
        self.service.settings = self.coming

    def abandon(self) -> None:
        self.append("abandoned", str(os.getpid()))

    def look(self) -> None:
        pass

    def close(self) -> None:
        self.append("closed", str(os.getpid()))


def check(settings: Settings) -> None:
    if settings.server.node == "impossible":
        raise ConfigError("there is no such machine", path="server.node", hint="name another")


def text(words: str) -> Reply:
    return Reply(200, words.encode(), "text/plain")


if __name__ == "__main__":
    sys.exit(
        serve(
            Path(sys.argv[1]),
            {**os.environ},
            make_backend=Backend,
            make_ready=lambda settings: None,
        )
    )
