"""New certificates for RAs, and new keys: before theirs end, and for the next generation of a CA.

The rule of this file: files are on the disk before the database or a person hears of them, and none
is overwritten.  What the configuration has to say afterwards is for a person to write.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Literal

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CaIssuer, make_ra_certificate
from scepkit.core.certificates import PrivateKey, public_key_der
from scepkit.errors import InputError
from scepkit.keys import generate_key, pem, write_file, write_private_key
from scepkit.server.founding import ra_subject
from scepkit.server.naming import subject_text
from scepkit.server.settings import Settings
from scepkit.store import Store, audit, certificates
from scepkit.store.certificates import Reservation
from scepkit.store.driver import Tx
from scepkit.store.rows import milliseconds

# Every client has to encrypt to it.
_KEY_TYPE = "rsa:2048"


@dataclass(frozen=True, slots=True)
class NewPair:
    """A private key and its certificate, in files.

    Attributes:
        key, certificate: their files, relative to the configuration.
        issued: the certificate.
    """

    key: str
    certificate: str
    issued: x509.Certificate


def new_agent(
    settings: Settings,
    store: Store,
    ra: str,
    issuer: CaIssuer,
    ca_id: int,
    *,
    key: tuple[Path, PrivateKey] | None = None,
    use: Literal["both", "sign"] = "both",
    actor: str,
    now: datetime,
) -> NewPair:
    """Make a certificate for an RA, and a key if none is given.

    It is valid as long as its CA: its end would be the end of all enrolment.

    :param ra: its name in the configuration.
    :param key: the file of a key that stays, and the key.
    :param use: "both" to decrypt requests and to sign replies, or "sign".
    :raises InputError: there is no such RA.
    :raises KeyLoadError: a file cannot be written.
    """
    if ra not in settings.ra:
        known = ", ".join(settings.ra) or "none"
        raise InputError(f"there is no RA {ra!r}; the configuration has {known}")
    directory = _home(settings, ra)
    stem = _free_stem(directory, ra)
    if key is None:
        key = directory / f"{stem}.key.pem", generate_key(_KEY_TYPE)
        write_private_key(key[0], key[1], settings.passphrase)
    certificate = make_ra_certificate(
        issuer,
        ra_subject(issuer.certificate),
        key[1].public_key(),
        now=now,
        use=use,
        lifetime=issuer.certificate.not_valid_after_utc - now,
    )
    path = directory / f"{stem}.pem"
    write_file(path, pem(certificate))
    record_certificate(store, ca_id, certificate, actor=actor, now=now)
    return NewPair(relative(settings, key[0]), relative(settings, path), certificate)


def _home(settings: Settings, ra: str) -> Path:
    """Where the files of an RA are."""
    pairs = [*settings.ra[ra].decrypt, settings.ra[ra].sign]
    return next(pair.certificate.parent for pair in pairs if pair is not None)


def _free_stem(directory: Path, ra: str) -> str:
    number = 2
    while any((directory / f"ra-{ra}-{number}{end}").exists() for end in (".pem", ".key.pem")):
        number += 1
    return f"ra-{ra}-{number}"


def relative(settings: Settings, path: Path) -> str:
    """A path as the configuration would have it."""
    try:
        return path.relative_to(settings.directory).as_posix()
    except ValueError:
        return str(path)


def record_certificate(
    store: Store, ca_id: int, certificate: x509.Certificate, *, actor: str, now: datetime
) -> None:
    """Let a certificate that nobody asked for over SCEP be found, and revoked, like all others."""
    der = certificate.public_bytes(Encoding.DER)
    serial = f"{certificate.serial_number:x}"
    reservation = Reservation(
        ca_id=ca_id,
        serial=serial,
        operation_id=None,
        profile="",
        subject=subject_text(certificate.subject.public_bytes()),
        not_before=milliseconds(certificate.not_valid_before_utc),
        not_after=milliseconds(certificate.not_valid_after_utc),
        spki_sha256=hashlib.sha256(public_key_der(certificate.public_key())).digest(),
    )

    def record(tx: Tx) -> None:
        if certificates.record(tx, reservation, der, milliseconds(now)) is not None:
            audit.record(
                tx,
                now=milliseconds(now),
                actor=actor,
                action="certificate.record",
                object=f"certificate:{ca_id}/{serial}",
                detail={"subject": reservation.subject},
            )

    store.write(record)
