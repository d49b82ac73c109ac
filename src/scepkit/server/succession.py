"""The next generation of a CA: its key, its certificate, and what goes with them.

The rule of this file: a key is on the disk before anything that needs it; what an interrupted
attempt left is taken up by the next one; and nothing is activated that could not serve.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CaIssuer, make_ca
from scepkit.ca.authority import basic_constraints
from scepkit.core.certificates import PrivateKey, load_certificate
from scepkit.core.csr_builder import build_csr
from scepkit.errors import ConfigErrors, InputError
from scepkit.keys import (
    generate_key,
    load_certificates,
    parse_key_spec,
    write_private_key,
)
from scepkit.server import admin
from scepkit.server.agents import NewPair, new_agent, relative
from scepkit.server.assembly import assembled
from scepkit.server.founding import ca_request_extensions, imported_ca
from scepkit.server.keyring import read_key
from scepkit.server.roles import may_sign
from scepkit.server.rollover import none_staged
from scepkit.server.settings import Settings
from scepkit.store import Store, cas
from scepkit.store.rows import Ca

_START = "start the server once"


@dataclass(frozen=True, slots=True)
class Heir:
    """The next generation, before it is staged.

    Attributes:
        name: of its CA.
        label: what it will be called, such as ``main~2``.
        active: the present generation.
        key: the file for its key.
    """

    name: str
    label: str
    active: Ca
    key: Path

    @property
    def waits(self) -> bool:
        """Whether it has a key already."""
        return self.key.exists()


@dataclass(frozen=True, slots=True)
class Staged:
    """A generation that was staged.

    Attributes:
        ca: its row.
        agents: for each RA that speaks for the CA, its certificate by the new generation; they
            have to be in the configuration before it is activated.
    """

    ca: Ca
    agents: dict[str, NewPair]


def heir_of(settings: Settings, store: Store, name: str) -> Heir:
    """What follows the active generation of a CA.

    :raises InputError: there is no such CA in the database, or its next generation is there.
    """
    rows = store.read(lambda tx: cas.listing(tx, name))
    active = next((row for row in rows if row.status == "active"), None)
    if active is None:
        raise InputError(f"there is no CA {name!r} in the database", hint=_START)
    if any(row.status == "staged" for row in rows):
        raise InputError(
            f"the CA {name} has a staged generation already",
            hint=f"scepkit ca rollover activate {name}, or cancel",
        )
    label = f"{name}~{rows[-1].generation + 1}"
    return Heir(name, label, active, settings.ca[name].key.parent / f"{label}.key.pem")


def check_passphrase(settings: Settings, heir: Heir) -> None:
    """See that the heir's key would be encrypted as the present one is.

    A passphrase that was typed wrongly would otherwise lock the new key up for ever.

    :raises KeyLoadError: the present key is here, and the passphrase does not open it.
    """
    present = _key_file(settings, heir.active)
    if present.exists():
        read_key(settings, present)


def key_for(settings: Settings, heir: Heir, key_type: str | None) -> PrivateKey:
    """The heir's key: the one that an earlier attempt left, or a new one, on the disk.

    :param key_type: None for the type of the active generation's key.
    :raises InputError: there is a key already, and of another type.
    """
    if heir.waits:
        key = read_key(settings, heir.key)
        if key_type is not None and _type_of(key) != str(parse_key_spec(key_type)):
            raise InputError(
                f"{heir.key} has a key already, of type {_type_of(key)}",
                hint="leave the type out, or remove the file",
            )
        return key
    wanted = key_type or _type_of(load_certificate(heir.active.certificate))
    new = generate_key(wanted)
    write_private_key(heir.key, new, settings.passphrase)
    return new


def _type_of(owner: PrivateKey | x509.Certificate) -> str:
    match owner.public_key():
        case rsa.RSAPublicKey() as public:
            return f"rsa:{public.key_size}"
        case ec.EllipticCurvePublicKey() as public:
            return f"ec:{public.curve.name.removeprefix('sec').removesuffix('r1')}"
        case _:
            return "rsa:2048"


def successor(heir: Heir, key: PrivateKey, *, validity: timedelta, now: datetime) -> CaIssuer:
    """A self-signed CA with the name and the duties of the active generation.

    :raises InputError: the active one is not self-signed.
    """
    present = load_certificate(heir.active.certificate)
    if present.issuer != present.subject:
        raise InputError(
            f"the CA {heir.name} is not a root: the next certificate comes from the CA above it",
            hint="write a request for it with --csr-out",
        )
    constraints = basic_constraints(present)
    return make_ca(
        present.subject,
        key,
        now=now,
        lifetime=validity,
        backdate=timedelta(),
        path_length=constraints.path_length if constraints else None,
        serves_scep=may_sign(present),
    )


def _key_file(settings: Settings, row: Ca) -> Path:
    """Where a generation's key is."""
    return settings.ca[row.name].key if row.generation == 1 else settings.directory / row.key_ref


def _issuer(settings: Settings, row: Ca) -> CaIssuer:
    """A generation that can sign."""
    path = _key_file(settings, row)
    chain = load_certificates(row.chain) if row.chain else ()
    key = read_key(settings, path)
    return CaIssuer(load_certificate(row.certificate), key, tuple(chain))


def request_for(heir: Heir, key: PrivateKey) -> x509.CertificateSigningRequest:
    """What the CA above is asked to certify."""
    present = load_certificate(heir.active.certificate)
    usage, constraints = ca_request_extensions(key, serves=may_sign(present))
    return build_csr(key, present.subject, key_usage=usage, extensions=[constraints])


def stage(
    settings: Settings, store: Store, heir: Heir, ca: CaIssuer, *, actor: str, now: datetime
) -> Staged:
    """Stage the next generation, and certify the CA's RAs by it.

    :raises InputError: its certificate has ended, or somebody else staged one.
    """
    if ca.certificate.not_valid_after_utc <= now:
        raise InputError("the certificate of the next generation has ended")
    row = admin.stage_ca(
        store,
        name=heir.name,
        certificate=ca.certificate.public_bytes(Encoding.DER),
        chain=[one.public_bytes(Encoding.DER) for one in ca.chain],
        key_ref=relative(settings, heir.key),
        actor=actor,
        now=now,
    )
    return Staged(row, _agents(settings, store, row, ca, actor=actor, now=now))


def _agents(
    settings: Settings, store: Store, row: Ca, ca: CaIssuer, *, actor: str, now: datetime
) -> dict[str, NewPair]:
    names = {
        profile.ra
        for name, profile in settings.profile.items()
        if profile.ra is not None and settings.ca_name(name) == row.name
    }
    return {
        name: new_agent(
            settings, store, name, ca, row.id, key=_ra_key(settings, name), actor=actor, now=now
        )
        for name in sorted(names)
    }


def _ra_key(settings: Settings, name: str) -> tuple[Path, PrivateKey]:
    """The present key of an RA, and its file."""
    ra = settings.ra[name]
    pair = ra.decrypt[0] if ra.decrypt else ra.sign
    assert pair is not None  # noqa: S101 - the settings say so
    return pair.key, read_key(settings, pair.key)


def next_agent(
    settings: Settings,
    store: Store,
    ra: str,
    *,
    same_key: bool,
    use: Literal["both", "sign"] = "both",
    actor: str,
    now: datetime,
) -> NewPair:
    """A new key and certificate for an RA, from the active generation of the CA it speaks for.

    :param use: "both" to decrypt requests and to sign replies, or "sign".
    :raises InputError: it speaks for none, or for several.
    """
    names = sorted(
        {settings.ca_name(name) for name, one in settings.profile.items() if one.ra == ra}
    )
    if len(names) != 1:
        raise InputError(f"the RA {ra} speaks for {', '.join(names) or 'no CA'}, not for one CA")
    active = store.read(lambda tx: cas.active(tx, names[0]))
    if active is None:
        raise InputError(f"there is no CA {names[0]!r} in the database", hint=_START)
    issuer = _issuer(settings, active)
    key = _ra_key(settings, ra) if same_key else None
    return new_agent(settings, store, ra, issuer, active.id, key=key, use=use, actor=actor, now=now)


def existing(certificates: Sequence[x509.Certificate], key: PrivateKey, heir: Heir) -> CaIssuer:
    """A CA with a certificate from elsewhere.

    :raises InputError: it is not the key's, not a CA's, or has another name than the active one.
    """
    ca = imported_ca(certificates, key)
    present = load_certificate(heir.active.certificate)
    if ca.certificate.subject != present.subject:
        raise InputError(
            f"the next certificate is for {ca.certificate.subject.rfc4514_string()}, and the "
            f"present one for {present.subject.rfc4514_string()}: a CA keeps its name"
        )
    return ca


def check_activation(settings: Settings, store: Store, name: str, *, now: datetime) -> list[str]:
    """What the server would refuse if the staged generation were active; [] for nothing."""
    rows = store.read(cas.listing)
    if not any(row.name == name and row.status == "staged" for row in rows):
        raise none_staged(name)
    following = {"staged": "active", "active": "retired", "retired": "retired"}
    imagined = [
        replace(row, status=following[row.status]) if row.name == name else row  # type: ignore[arg-type]
        for row in rows
    ]
    try:
        assembled(settings, imagined, now, late=settings.ca.keys() - {name})
    except ConfigErrors as errors:
        return [str(one) for one in errors.errors]
    return []
