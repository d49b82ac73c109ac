"""All settings of the server, as values: what ``scepkit.toml`` may say.

`docs/configuration.md` is made from these classes.  The rule of this file: a setting is declared
once, with its type, its default and the sentence for the reference beside it, and a configuration
that contradicts itself is refused here, before anything is opened.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Literal

from scepkit.config import (
    Address,
    Network,
    Secret,
    internal,
    load,
    parse_address,
    parse_network,
    parse_size,
    setting,
)
from scepkit.errors import ConfigError, ConfigErrors
from scepkit.server.parsing import (
    parse_database_url,
    parse_function,
    parse_public_url,
    parse_url,
)
from scepkit.server.profile_settings import ProfileSettings

_SECOND = timedelta(seconds=1)
_HOUR = timedelta(hours=1)
# HMAC-SHA-256 with less would be the weakest part of a one-time challenge.
_LEAST_CHALLENGE_KEY = 16
#: Names that paths of old clients have where a profile's name may be.
RESERVED_PROFILES = frozenset({"pkiclient", "mscep", "cgi-bin"})


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSettings:
    """The HTTP server and its processes."""

    bind: Address = setting(
        "Where to listen: an address and a port, or `unix:` and an absolute path. A change needs a "
        "restart.",
        default="127.0.0.1:8080",
        parse=parse_address,
    )
    workers: int = setting(
        "How many processes answer requests. `0` starts one for each processor. A change needs a "
        "restart.",
        default=0,
        minimum=0,
        maximum=512,
    )
    threads: int = setting(
        "How many requests of one worker process may wait for others at the same time, such as a "
        "webhook, a program or a token, each in a thread. The rest take turns in one thread. A "
        "change needs a restart.",
        default=16,
        minimum=1,
        maximum=256,
    )
    waiting: int = setting(
        "At most `threads` and this many requests may be in one worker process, worked on or "
        "waiting; further ones are answered with 503 and Retry-After. A change needs a restart.",
        default=128,
        minimum=0,
        maximum=100_000,
    )
    max_body: int = setting(
        "The largest request, in bytes. A pkiMessage has 2 to 8 KiB. A URL, which holds the "
        "message of a PKIOperation by GET, has at most 65535 bytes in any case.",
        default="64KiB",
        parse=parse_size,
        minimum=8 * 1024,
        maximum=16 * 1024 * 1024,
    )
    request_timeout: timedelta = setting(
        "How long a client may take to send a whole request.",
        default="20s",
        minimum=_SECOND,
        maximum=_HOUR,
    )
    stop_timeout: timedelta = setting(
        "How long requests under way may go on when the server is stopped.",
        default="30s",
        maximum=_HOUR,
    )
    public_url: str | None = setting(
        "Where the world reaches this server, without a path. Certificates then say that their CRL "
        "is at `/crl/NAME.crl` and their CA's certificate at `/ca/NAME.cer` there, and commands "
        "print addresses with it. Use http: who fetches a CRL cannot check the certificate of an "
        "https server first.",
        default=None,
        parse=parse_public_url,
        example='"http://ca.example"',
    )
    trusted_proxies: tuple[Network, ...] = setting(
        "The reverse proxies whose X-Forwarded-For header is believed, as addresses or networks. "
        "With `bind` at a Unix socket, whoever connects to it is believed.",
        default=(),
        parse=parse_network,
        example='["127.0.0.1", "10.0.0.0/8"]',
    )
    metrics_from: tuple[Network, ...] = setting(
        "Who may read `/metrics`, and the reasons in `/readyz`.",
        default=("127.0.0.0/8", "::1"),
        parse=parse_network,
    )
    replay_window: timedelta = setting(
        "How long a request that is sent again gets the certificate that it got before. For a "
        "one-time challenge this is for ever.",
        default="7d",
        minimum=timedelta(minutes=10),
    )
    lease: timedelta = setting(
        "How long a process keeps a request to itself while it signs. When it dies, clients hear "
        "PENDING for so long, and then another process finishes the request. It has to be longer "
        "than a signature takes, with a token too. A change needs a restart.",
        default="30s",
        minimum=_SECOND,
        maximum=_HOUR,
    )
    node: str | None = setting(
        "The name of this machine in the audit trail. Without it: the host's name.",
        default=None,
        example='"ca-1"',
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LogSettings:
    """What is written to standard error."""

    format: Literal["text", "json"] = setting("One line of text or of JSON each.", default="text")
    level: Literal["debug", "info", "warning", "error"] = setting(
        "The least important lines that are written. Requests are `info`.", default="info"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class DatabaseSettings:
    """Where everything is kept that must outlive the process."""

    url: str = setting(
        "`sqlite:///FILE`, relative to the configuration file (`sqlite:////FILE` is absolute), or "
        "`postgresql://USER@HOST/DATABASE`.",
        default="sqlite:///scepkit.db",
        parse=parse_database_url,
    )
    password: Secret | None = setting(
        "The password for PostgreSQL.", default=None, credential="database-password"
    )
    connections: int = setting(
        "Most connections to PostgreSQL, in each process.", default=10, minimum=1, maximum=1000
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretSettings:
    """What nobody else may know."""

    challenge_key: Secret = setting(
        "The key that one-time challenges are stored under (HMAC-SHA-256), at least 16 bytes. With "
        "another key, challenges that were given out are not known any more.",
        credential="challenge-key",
    )
    passphrase: Secret | None = setting(
        "What the private keys on disk are encrypted with. `scepkit serve` asks for it when it is "
        "needed, not given, and there is a terminal.",
        default=None,
        credential="passphrase",
        variable="SCEPKIT_PASSPHRASE",
    )

    key_loader: str | None = setting(
        "A function of yours that loads private keys which are in no file, such as keys in tokens. "
        "It is called with the path that the configuration names and the passphrase (bytes, or "
        "None), and returns a private key as `cryptography` has them, or None for a file.",
        default=None,
        parse=parse_function,
        example='"acme_tokens:load_key"',
    )

    def __post_init__(self) -> None:
        if len(self.challenge_key.value) < _LEAST_CHALLENGE_KEY:
            raise ConfigError(
                f"expected at least {_LEAST_CHALLENGE_KEY} bytes, "
                f"found {len(self.challenge_key.value)}",
                path="challenge_key",
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class CrlSettings:
    """The CRL of a CA."""

    lifetime: timedelta = setting(
        "From thisUpdate to nextUpdate.", default="7d", minimum=timedelta(minutes=10)
    )
    overlap: timedelta = setting(
        "How long before nextUpdate the next one is made; one is also made after a revocation.",
        default="2d",
        minimum=timedelta(minutes=1),
    )
    urls: tuple[str, ...] | None = setting(
        "Where certificates say that the CRL is; `{generation}` stands for nothing, and after a "
        "rollover for `~2` and so on. Without it: under `server.public_url`; `[]` leaves the "
        "extension out.",
        default=None,
        parse=parse_url,
    )

    def __post_init__(self) -> None:
        if self.overlap >= self.lifetime:
            raise ConfigError("expected less than lifetime", path="overlap")


@dataclass(frozen=True, slots=True, kw_only=True)
class CaSettings:
    """A CA: the key that signs certificates and CRLs.

    This is its first generation; `scepkit ca rollover` adds others, which are in the database.
    """

    key: Path = setting("The private key.", example='"keys/main.key.pem"')
    certificate: Path = setting("The certificate of the CA.", example='"keys/main.pem"')
    chain: Path | None = setting(
        "The certificates above it, if it is an intermediate CA: PEM, in any order.", default=None
    )
    crl: CrlSettings = setting("The CRL of this CA.", default={})
    issuer_urls: tuple[str, ...] | None = setting(
        "Where certificates say that this CA's certificate is; `{generation}` as in `crl.urls`. "
        "Without it: under `server.public_url`; `[]` leaves it out.",
        default=None,
        parse=parse_url,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyPairSettings:
    """A private key and its certificate."""

    key: Path = setting("The private key.", example='"keys/ra.key.pem"')
    certificate: Path = setting("Its certificate, issued by the CA.", example='"keys/ra.pem"')


@dataclass(frozen=True, slots=True, kw_only=True)
class RaSettings:
    """Keys that speak for a CA: they decrypt requests and sign replies, and issue nothing.

    An EC CA needs one, because requests cannot be encrypted to an EC key.
    """

    decrypt: tuple[KeyPairSettings, ...] = setting(
        "RSA keys that decrypt requests. The first is announced; keep old ones after it while "
        "requests made with them may come.",
        default=(),
    )
    sign: KeyPairSettings | None = setting(
        "The key that signs replies. Without it: the first of `decrypt`.", default=None
    )

    def __post_init__(self) -> None:
        if not self.decrypt and self.sign is None:
            raise ConfigError("expected decrypt, sign or both: this RA has no key")


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything in ``scepkit.toml``."""

    server: ServerSettings = setting("The HTTP server and its processes.", default={})
    log: LogSettings = setting("What is written to standard error.", default={})
    database: DatabaseSettings = setting("Where everything is kept.", default={})
    secrets: SecretSettings = setting("What nobody else may know.", default={})
    ca: dict[str, CaSettings] = setting("The CAs, by name.")
    ra: dict[str, RaSettings] = setting("The RAs, by name.", default={})
    profile: dict[str, ProfileSettings] = setting("The profiles, by name.")
    #: The directory that relative paths, also those in the database, are relative to.
    directory: Path = internal(Path())

    def __post_init__(self) -> None:
        errors = list(self._faults())
        if errors:
            raise ConfigErrors(tuple(errors))

    def _faults(self) -> list[ConfigError]:
        errors = [
            ConfigError("expected at least one", path=path)
            for path, tables in (("ca", self.ca), ("profile", self.profile))
            if not tables
        ]
        for name, profile in self.profile.items():
            path = f"profile.{name}"
            if name in RESERVED_PROFILES:
                errors.append(ConfigError("this name is part of old clients' URLs", path=path))
            if profile.ca is None and len(self.ca) > 1:
                errors.append(
                    ConfigError(
                        f"is missing; expected one of {_listed(self.ca)}", path=f"{path}.ca"
                    )
                )
            renewal = profile.auth.renewal
            for key, asked, known in (
                ("ca", [profile.ca], self.ca),
                ("ra", [profile.ra], self.ra),
                ("auth.renewal.allowed", renewal.allowed if renewal else (), self.ca),
            ):
                for wanted in asked:
                    if wanted is not None and wanted not in known:
                        problem = f"there is no {wanted!r}; expected one of {_listed(known)}"
                        errors.append(ConfigError(problem, path=f"{path}.{key}"))
        return errors

    def ca_name(self, profile: str) -> str:
        """The name of the CA of a profile."""
        return self.profile[profile].ca or next(iter(self.ca))

    @property
    def default_profile(self) -> str | None:
        """The profile at ``/scep``: "default", or the only one, or None."""
        if "default" in self.profile:
            return "default"
        return next(iter(self.profile)) if len(self.profile) == 1 else None

    @property
    def passphrase(self) -> bytes | None:
        """What private keys on disk are encrypted with, as far as it is configured."""
        return self.secrets.passphrase.value if self.secrets.passphrase else None


def load_settings(
    path: str | os.PathLike[str], environ: Mapping[str, str] | None = None
) -> Settings:
    """Read ``scepkit.toml``, with the environment's variables above it.

    :param environ: None for the process's own.
    :raises ConfigErrors: all that is wrong with it.
    """
    settings = load(path, Settings, os.environ if environ is None else environ)
    return replace(settings, directory=Path(path).absolute().parent)


def _listed(names: Mapping[str, object]) -> str:
    return ", ".join(names) or "nothing: none is configured"
