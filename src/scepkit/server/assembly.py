"""From settings, files and the database's CAs to a `Deployment` that can serve.

The rule of this file: it writes nothing, and it refuses a configuration that cannot work with all
the reasons, each with the path of the setting; keys that are only needed for what is over (retired
generations) may be missing.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

from cryptography import x509

from scepkit.ca import CaIssuer, chain_above
from scepkit.core.algorithms import Cipher, Digest
from scepkit.core.certificates import PrivateKey, load_certificate, view_of
from scepkit.errors import ConfigError, ConfigErrors, InputError, KeyLoadError, ScepError
from scepkit.keys import load_certificates, pem, read_certificates_file
from scepkit.server import offers
from scepkit.server.authorising import authorisers, webhook
from scepkit.server.deployment import ALL_CIPHERS, ALL_DIGESTS, Deployment, ServedProfile
from scepkit.server.keyring import read_key
from scepkit.server.naming import NamePatterns
from scepkit.server.pepper import Pepper
from scepkit.server.profiles import certificate_profile
from scepkit.server.roles import Authority, CaRoles, Generation, KeyPair, RaKeys, make_roles
from scepkit.server.settings import CaSettings, KeyPairSettings, RaSettings, Settings
from scepkit.store import Store, cas
from scepkit.store.driver import Tx
from scepkit.store.rows import Ca, milliseconds

log = logging.getLogger("scepkit.server")

LoadKey = Callable[[Path], PrivateKey]


def assemble(
    settings: Settings, store: Store, now: datetime, *, late: Container[str] = ()
) -> Deployment:
    """Put everything together that a server works with.

    :param late: CAs whose certificate, and those of their RAs, may be out of date: what worked
        until then does not stand in the way of the rest.  Their profiles cannot issue.
    :raises ConfigErrors: it cannot work.
    :raises StoreUnavailable: the database cannot be used now.
    """
    return assembled(settings, store.read(cas.listing), now, late=late)


def assembled(
    settings: Settings, generations: Sequence[Ca], now: datetime, *, late: Container[str] = ()
) -> Deployment:
    """The same with the CAs of the database given: also with what they are going to be.

    :raises ConfigErrors: it cannot work.
    """
    load: LoadKey = partial(read_key, settings)
    pepper = Pepper(settings.secrets.challenge_key.value)
    errors: list[ConfigError] = []
    authorities: dict[str, Authority] = {}
    agents: dict[str, RaKeys] = {}
    for name, ca in settings.ca.items():
        rows = [row for row in generations if row.name == name]
        with _collecting(errors, f"ca.{name}"):
            authorities[name] = _authority(settings, name, ca, rows, load)
    for name, ra in settings.ra.items():
        with _collecting(errors, f"ra.{name}"):
            agents[name] = _ra_keys(ra, load)
    profiles: dict[str, ServedProfile] = {}
    for name, profile in settings.profile.items():
        authority = authorities.get(settings.ca_name(name))
        if authority is None or (profile.ra is not None and profile.ra not in agents):
            continue  # said already
        with _collecting(errors, f"profile.{name}"):
            agent = None if profile.ra is None else agents[profile.ra]
            profiles[name] = _profile(
                settings, name, authority, agent, pepper, now, late=authority.name in late
            )
    if errors:
        raise ConfigErrors(tuple(errors))
    return Deployment(profiles, authorities, pepper)


def register(settings: Settings, store: Store, *, actor: str, now: datetime) -> None:
    """Add the configured CAs to the database, where they are not yet there.

    :raises ConfigErrors: a certificate cannot be read.
    """
    errors: list[ConfigError] = []
    found: dict[str, tuple[CaSettings, x509.Certificate, bytes]] = {}
    for name, ca in settings.ca.items():
        with _collecting(errors, f"ca.{name}"):
            certificate = _first(ca.certificate, "certificate")
            chain = b"".join(pem(one) for one in _chain_of(ca, certificate))
            found[name] = ca, certificate, chain
    if errors:
        raise ConfigErrors(tuple(errors))

    def ensure(tx: Tx) -> None:
        for name, (ca, certificate, chain) in found.items():
            cas.ensure(
                tx,
                name=name,
                key_ref=str(ca.key),
                certificate=view_of(certificate).der,
                chain=chain,
                actor=actor,
                now=milliseconds(now),
            )

    store.write(ensure)


def outdated(deployment: Deployment, store: Store) -> bool:
    """Whether the database has other CAs, or in another state, than when it was assembled.

    :raises StoreUnavailable: the database cannot be used now.
    """
    known = {
        (one.ca_id, one.status)
        for authority in deployment.authorities.values()
        for one in authority.generations
    }
    return known != {
        (row.id, row.status)
        for row in store.read(cas.listing)
        if row.name in deployment.authorities
    }


@contextmanager
def _collecting(errors: list[ConfigError], path: str) -> Iterator[None]:
    """Turn what goes wrong within into `ConfigError`s below a path."""
    try:
        yield
    except ConfigErrors as error:
        errors.extend(error.errors)
    except ConfigError as error:
        below = f"{path}.{error.path}" if error.path else path
        whole = error.path if error.path.startswith(path) else below
        errors.append(ConfigError(error.problem, path=whole, hint=error.hint))
    except (InputError, KeyLoadError) as error:
        errors.append(ConfigError(str(error), path=path, hint=error.hint))


# ------------------------------------------------------------------ CAs


def _authority(
    settings: Settings, name: str, ca: CaSettings, rows: list[Ca], load: LoadKey
) -> Authority:
    certificate = _first(ca.certificate, "certificate")
    chain = _chain_of(ca, certificate)
    generations = []
    if not rows:
        # Not registered yet: what it will be.
        key = _key(ca.key, "key", load)
        issuer = _issuer(certificate, key, chain)
        generations.append(Generation(0, name, 1, "active", certificate, chain, issuer))
    for row in rows:
        if row.generation == 1:
            if row.certificate != view_of(certificate).der:
                raise ConfigError(
                    "is not the certificate of this CA's first generation in the database",
                    path="certificate",
                    hint="a new CA certificate is added with `scepkit ca rollover stage`",
                )
            generations.append(_generation(row, ca.key, chain, load))
        else:
            above = load_certificates(row.chain) if row.chain else ()
            generations.append(_generation(row, settings.directory / row.key_ref, above, load))
    if not any(one.status == "active" for one in generations):
        raise ConfigError("no generation of this CA is active in the database")
    return Authority(name, tuple(generations), ca.crl.lifetime, ca.crl.overlap)


def _generation(
    row: Ca, path: Path, chain: tuple[x509.Certificate, ...], load: LoadKey
) -> Generation:
    certificate = load_certificate(row.certificate)
    issuer = None
    try:
        issuer = _issuer(certificate, load(path), chain)
    except (KeyLoadError, InputError) as error:
        if row.status == "active":
            raise ConfigError(
                f"the key of generation {row.generation} cannot be used: {error}",
                path="key",
                hint=error.hint,
            ) from error
        log.warning("CA %s, generation %d: %s", row.name, row.generation, error)
    return Generation(row.id, row.name, row.generation, row.status, certificate, chain, issuer)


def _issuer(
    certificate: x509.Certificate, key: PrivateKey, chain: tuple[x509.Certificate, ...]
) -> CaIssuer:
    return CaIssuer(certificate, key, chain)


def _first(path: Path, setting: str) -> x509.Certificate:
    try:
        return read_certificates_file(path)[0]
    except KeyLoadError as error:
        raise ConfigError(str(error), path=setting, hint=error.hint) from error


def _key(path: Path, setting: str, load: LoadKey) -> PrivateKey:
    try:
        return load(path)
    except KeyLoadError as error:
        raise ConfigError(str(error), path=setting, hint=error.hint) from error


def _chain_of(ca: CaSettings, certificate: x509.Certificate) -> tuple[x509.Certificate, ...]:
    """The certificates above a CA's, nearest first, whatever their order in the file."""
    if ca.chain is None:
        return ()
    try:
        left = [one for one in read_certificates_file(ca.chain) if one != certificate]
    except KeyLoadError as error:
        raise ConfigError(str(error), path="chain", hint=error.hint) from error
    chain = chain_above(certificate, left)
    if len(chain) < len(left):
        raise ConfigError("has certificates that are not above the CA's", path="chain")
    return chain


# ------------------------------------------------------------------ RAs


def _ra_keys(ra: RaSettings, load: LoadKey) -> RaKeys:
    decrypt = tuple(_pair(one, f"decrypt.{at}", load) for at, one in enumerate(ra.decrypt))
    sign = None if ra.sign is None else _pair(ra.sign, "sign", load)
    return RaKeys(decrypt, sign)


def _pair(pair: KeyPairSettings, setting: str, load: LoadKey) -> KeyPair:
    certificate = _first(pair.certificate, f"{setting}.certificate")
    return KeyPair(certificate, _key(pair.key, f"{setting}.key", load))


# ------------------------------------------------------------------ profiles


def _profile(
    settings: Settings,
    name: str,
    authority: Authority,
    ra: RaKeys | None,
    pepper: Pepper,
    now: datetime,
    *,
    late: bool,
) -> ServedProfile:
    profile = settings.profile[name]
    auth = profile.auth
    secret = None if auth.static_secret is None else auth.static_secret.text()
    roles = make_roles(
        authority,
        ra,
        offer="ra" if profile.get_ca_cert == "ra-only" else profile.get_ca_cert,
        now=now,
        late=late,
        by_password=auth.challenge is not None or secret is not None,
    )
    if profile.get_ca_cert == "ra-only":
        roles = _without_ca(roles)
    ciphers, digests = set(ALL_CIPHERS), set(ALL_DIGESTS)
    if not profile.accept_3des:
        ciphers.discard(Cipher.DES_EDE3_CBC)
    if not profile.accept_sha1:
        digests.discard(Digest.SHA1)
    if profile.accept_single_des_requests:
        ciphers.add(Cipher.DES_CBC)
    return ServedProfile(
        name=name,
        roles=roles,
        rules={
            one.ca_id: certificate_profile(settings, name, generation=one.number)
            for one in authority.generations
        },
        auth=authorisers(auth, secret, pepper, by_password=not roles.decrypts),
        patterns=NamePatterns(profile.subject.patterns, profile.san.patterns),
        ciphers=frozenset(ciphers),
        digests=frozenset(digests),
        announce_post=profile.announce_post,
        reply_certificates=profile.reply_certificates,
        pending_for=profile.pending_for,
        max_pending=profile.max_pending,
        replay_window=settings.server.replay_window,
        notify=None if auth.notify is None else webhook(auth.notify, "auth.notify"),
        next_ca=_next_ca(roles, now),
    )


def _without_ca(roles: CaRoles) -> CaRoles:
    """Roles that announce the RA alone; whoever knows the CA already could go by them."""
    ca = roles.authority.active.certificate
    agents = tuple(one for one in roles.offered if one != ca)
    if not agents:
        raise InputError("get_ca_cert = 'ra-only' needs an RA, whose certificate it sends")
    return replace(roles, offered=agents)


def _next_ca(roles: CaRoles, now: datetime) -> bytes | None:
    active, staged = roles.authority.active, roles.authority.staged
    if staged is None or active.issuer is None:
        return None
    try:
        return offers.next_ca(active.issuer, staged.certificate, staged.chain, now)
    except ScepError:
        raise
    except Exception as error:  # a token may raise anything
        log.warning("the next CA certificate cannot be signed now: %r", error)
        return None
