"""`scepkit check-config`: what is wrong with a configuration, and what it does."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from scepkit.cli.command import command
from scepkit.cli.output import Output
from scepkit.cli.server.options import config_option

if TYPE_CHECKING:
    from scepkit.server.deployment import Deployment
    from scepkit.server.settings import Settings

_STATES = {
    "missing": "is not there; the server makes it when it starts",
    "empty": "is empty; the server makes its tables when it starts",
    "older": "is of an older version; the server brings it up to date when it starts",
    "current": "is there and up to date",
}


@command("check-config", example="""
scepkit check-config --config /etc/scepkit/scepkit.toml
scepkit check-config --json | jq -r '.warnings[]'
""")  # fmt: skip
@config_option
def check_config(out: Output, /, config: str) -> None:
    """Say what is wrong with a configuration, and what it does.

    Everything is put together as the server would do it: settings, keys, certificates, and the
    state of the database. Nothing is changed. Whatever the server would refuse is told by the path
    of its setting, with exit code 2. Warnings are about what works, but perhaps not as it was
    meant.
    """
    from datetime import UTC, datetime

    from scepkit.cli.server.office import read_settings
    from scepkit.server.cautions import cautions

    settings = read_settings(out, config, keys=True)
    now = datetime.now(UTC)
    state, deployment = _put_together(settings, now)
    found = cautions(settings, deployment, now)
    values = {
        "config": config,
        "server": {
            "bind": str(settings.server.bind),
            "publicUrl": settings.server.public_url,
            "workers": settings.server.workers,
        },
        "database": {"url": settings.database.url, "state": state},
        "cas": _ca_values(deployment),
        "profiles": _profile_values(settings, deployment),
        "warnings": found,
    }
    out.result(values, lambda: "".join(_text(values)))
    for warning in found:
        out.warn(warning)


def _put_together(settings: Settings, now: Any) -> tuple[str, Deployment]:
    """The state of the database, and what the server would make of it all."""
    from pathlib import Path
    from tempfile import TemporaryDirectory

    from scepkit.cli.server.office import open_database
    from scepkit.errors import StoreUnavailable
    from scepkit.server.assembly import assemble
    from scepkit.server.registry import database_file, schema_state
    from scepkit.store import open_store

    problem = None
    file = database_file(settings)
    state = "missing"
    if file is None or file.exists():
        with open_database(settings) as store:
            try:
                state = schema_state(store)
                if state == "newer":
                    store.check_schema()  # says so
                if state != "empty":
                    return state, assemble(settings, store, now, late=settings.ca)
            except StoreUnavailable as error:
                problem = error
    # An empty one in its place: what is wrong with the rest is wrong without it, too.
    with (
        TemporaryDirectory(prefix="scepkit-check-") as directory,
        open_store("sqlite:///empty.db", relative_to=Path(directory)) as store,
    ):
        store.migrate()
        deployment = assemble(settings, store, now, late=settings.ca)
    if problem is not None:
        raise problem
    return state, deployment


def _ca_values(deployment: Deployment) -> list[dict[str, Any]]:
    from scepkit.cli.describe import certificate_values

    return [
        {
            "name": name,
            "generations": [
                {
                    "label": one.label,
                    "generation": one.number,
                    "status": one.status,
                    "keyIsThere": one.issuer is not None,
                    "certificate": certificate_values(one.certificate),
                }
                for one in authority.generations
            ],
        }
        for name, authority in deployment.authorities.items()
    ]


def _profile_values(settings: Settings, deployment: Deployment) -> list[dict[str, Any]]:
    from scepkit.cli.describe import certificate_values
    from scepkit.cli.server.office import server_url
    from scepkit.server import examining

    return [
        {
            "name": one.name,
            "url": server_url(settings, one.name),
            "preset": settings.profile[one.name].preset,
            "ca": one.ca,
            "ra": one.ra,
            "auth": list(one.rules),
            "validity": one.validity,
            "contentType": one.content_type,
            "certificates": [certificate_values(offered) for offered in one.offered],
            "capabilities": list(one.capabilities),
        }
        for one in examining.examine(settings, deployment)
    ]


def _text(values: dict[str, Any]) -> Iterator[str]:
    from scepkit.cli.describe import colons
    from scepkit.cli.output import fields, indented

    server, database = values["server"], values["database"]
    workers = server["workers"] or "one for each processor"
    yield fields(
        [
            ("configuration", values["config"]),
            ("listens at", f"{server['bind']} (processes: {workers})"),
            ("database", f"{database['url']} {_STATES[database['state']]}"),
        ]
    )
    for ca in values["cas"]:
        for one in ca["generations"]:
            certificate = one["certificate"]
            yield f"\nCA {one['label']}\n"
            yield indented(
                fields(
                    [
                        ("subject", certificate["subject"]),
                        ("status", one["status"]),
                        ("key", f"{certificate['key']}{'' if one['keyIsThere'] else ', not here'}"),
                        ("valid", f"{certificate['notBefore']} to {certificate['notAfter']}"),
                        ("SHA-256", colons(certificate["sha256"])),
                    ]
                )
            )
    for profile in values["profiles"]:
        yield f"\nprofile {profile['name']}\n"
        behind = "" if profile["ra"] is None else f", behind the RA {profile['ra']}"
        sent = ", ".join(one["subject"] for one in profile["certificates"])
        yield indented(
            fields(
                [
                    ("URL", profile["url"]),
                    ("CA", f"{profile['ca']}{behind}"),
                    *_listed("who may enrol", profile["auth"]),
                    ("certificates", f"for {profile['validity']}, preset {profile['preset']}"),
                    ("GetCACert", f"{sent} ({profile['contentType']})"),
                    ("GetCACaps", ", ".join(profile["capabilities"])),
                ]
            )
        )


def _listed(name: str, texts: list[str]) -> Iterator[tuple[str, str]]:
    for number, text in enumerate(texts):
        yield ("" if number else name), text
