"""A further CA for a server that has one: its files, its rows, and what the configuration says.

The rule of this file: nothing is there before all that can be wrong is known, no file is
overwritten, and the configuration is for a person to write.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509

from scepkit.ca import CaIssuer
from scepkit.config import NAME
from scepkit.core.certificates import PrivateKey, view_of
from scepkit.errors import InputError
from scepkit.keys import pem, write_file, write_private_key
from scepkit.server.agents import NewPair, record_certificate, relative
from scepkit.server.founding import needs_ra, new_ra
from scepkit.server.keyring import read_key
from scepkit.server.settings import Settings
from scepkit.store import Store, cas
from scepkit.store.rows import milliseconds


@dataclass(frozen=True, slots=True)
class Added:
    """A further CA.

    Attributes:
        name: in the configuration; the RA and a profile are called the same.
        ca: its key and certificate.
        chain: the file of the certificates above it, or "".
        ra: the RA's key and certificate, where there is one.
    """

    name: str
    ca: NewPair
    chain: str
    ra: NewPair | None

    def lines(self) -> str:
        """What the configuration then has to say, with a profile to begin with."""
        chain = f"chain = {json.dumps(self.chain)}\n" if self.chain else ""
        text = f"[ca.{self.name}]\n{_pair_lines(self.ca)}{chain}\n"
        if self.ra is not None:
            text += f"[[ra.{self.name}.decrypt]]\n{_pair_lines(self.ra)}\n"
        ra = f'ra = "{self.name}"\n' if self.ra is not None else ""
        return (
            f'{text}[profile.{self.name}]\nca = "{self.name}"\n{ra}'
            "auth = { challenge = {}, renewal = {} }\n"
        )


def _pair_lines(pair: NewPair) -> str:
    # A JSON string is one of TOML.
    return f"key = {json.dumps(pair.key)}\ncertificate = {json.dumps(pair.certificate)}\n"


def check_name(settings: Settings, store: Store, name: str) -> None:
    """See that a further CA can be called so, and that its keys would be encrypted like the others.

    :raises InputError: it cannot.
    :raises KeyLoadError: the passphrase does not open the keys that are here.
    """
    if not NAME.fullmatch(name):
        raise InputError(
            f"{name!r} is no name for a CA; expected up to 64 of a-z, 0-9, '-' and '_', with a "
            "letter or digit at both ends"
        )
    taken = name in settings.ca or store.read(lambda tx: cas.listing(tx, name))
    if taken or name in settings.ra or name in settings.profile:
        what = "CA" if taken else "RA" if name in settings.ra else "profile"
        raise InputError(f"there is a {what} {name!r} already", hint="name it differently")
    for ca in settings.ca.values():
        if ca.key.exists():
            read_key(settings, ca.key)


def add_ca(
    settings: Settings,
    store: Store,
    name: str,
    ca: CaIssuer,
    *,
    with_ra: bool,
    actor: str,
    now: datetime,
) -> Added:
    """Write the files of a further CA, and let the database know it.

    :param name: as `check_name` allows it.
    :param with_ra: have an RA even if the CA's own key could do its work.
    :raises InputError: the CA's certificate is not valid now, or it cannot have an RA.
    :raises KeyLoadError: a file is there already, or cannot be written.
    """
    if not ca.certificate.not_valid_before_utc <= now < ca.certificate.not_valid_after_utc:
        raise InputError("the certificate of the CA is not valid now")
    agent = new_ra(ca, now=now) if with_ra or needs_ra(ca) else None
    home = next(iter(settings.ca.values())).key.parent
    own = _write_pair(settings, home / name, ca.key, ca.certificate)
    chain = ""
    if ca.chain:
        path = home / f"{name}.chain.pem"
        write_file(path, pem(*ca.chain))
        chain = relative(settings, path)
    ra = None if agent is None else _write_pair(settings, home / f"{name}-ra", *agent)
    row = store.write(
        lambda tx: cas.ensure(
            tx,
            name=name,
            key_ref=str(settings.directory / own.key),
            certificate=view_of(ca.certificate).der,
            chain=b"".join(pem(one) for one in ca.chain),
            actor=actor,
            now=milliseconds(now),
        )
    )
    if ra is not None:
        record_certificate(store, row.id, ra.issued, actor=actor, now=now)
    return Added(name, own, chain, ra)


def _write_pair(
    settings: Settings, stem: Path, key: PrivateKey, certificate: x509.Certificate
) -> NewPair:
    paths = stem.with_name(f"{stem.name}.key.pem"), stem.with_name(f"{stem.name}.pem")
    write_private_key(paths[0], key, settings.passphrase)
    write_file(paths[1], pem(certificate))
    return NewPair(relative(settings, paths[0]), relative(settings, paths[1]), certificate)
