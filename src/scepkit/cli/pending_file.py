"""pending.json: all that a later `scepkit poll` needs, on top of what the library stores.

The rules of this file: no secret is in it; file names in it are relative to it where they can be,
so that the directory may be moved; and `scepkit.Pending.from_json` reads it too.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from typing import Any

from cryptography import x509

from scepkit.cli.describe import pem, pem_bundle
from scepkit.cli.destination import Destination
from scepkit.cli.failures import Unfit
from scepkit.cli.passwords import read_input
from scepkit.core.algorithms import Digest
from scepkit.core.capabilities import Capability
from scepkit.core.certificates import public_key_der, view_of
from scepkit.core.enrolment import Pending
from scepkit.core.trust import fingerprint
from scepkit.keys import write_file
from scepkit.values import frozen

_LARGEST = 1024 * 1024
_EXTRA = "cli"
#: The options that a poll has to repeat.
_REPEATED = ("cipher", "digest", "oaep", "require", "accept_legacy_replies", "force_get")


@frozen
class PendingFile:
    """An enrolment under way, as the command line keeps it.

    Attributes:
        pending: what the library needs.
        destination: where the key is and the certificate will go.
        signer_key: the file with the key that signed the request and has to sign the polls.
        p12: the PKCS #12 file that is wanted too, or None.
        anchors: the CA certificates that were trusted when the CA was asked, the last one first.
        ra_certificates: the RA certificates that were named then, perhaps none; None when nothing
            was said.
        options: protocol options of then.
        answered: the CA said PENDING; False when its answer was lost.
        replaces: SHA-256 of the certificate whose place it takes, in hex; None when there is none.
    """

    pending: Pending
    destination: Destination
    signer_key: str
    p12: str | None
    anchors: tuple[x509.Certificate, ...]
    ra_certificates: tuple[x509.Certificate, ...] | None
    options: Mapping[str, Any]
    answered: bool
    replaces: str | None


def write_pending(path: str, stored: PendingFile) -> None:
    """Write the file at `path`, whatever is there.

    Raises:
        OSError: it cannot be written.
    """
    place = os.path.dirname(os.path.abspath(path))
    where, agents = stored.destination, stored.ra_certificates
    document: dict[str, Any] = json.loads(stored.pending.to_json())
    document[_EXTRA] = {
        "answered": stored.answered,
        "key": _relative(where.key, place),
        "staged": where.staged,
        "certificate": _relative(where.certificate, place),
        "withChain": where.with_chain,
        "chain": _relative(where.chain, place),
        "signerKey": _relative(stored.signer_key, place),
        "p12": _relative(stored.p12, place),
        "replaces": stored.replaces,
        "anchor": pem_bundle(stored.anchors).decode(),
        "raCertificates": None if agents is None else [pem(agent) for agent in agents],
        "options": {name: stored.options.get(name) for name in _REPEATED},
    }
    write_file(path, (json.dumps(document, indent=2) + "\n").encode(), force=True)


def read_pending(path: str) -> PendingFile:
    """Read the file at `path`.

    Raises:
        InputError: it is not a pending enrolment.
        Unfit: it is one, but was not written by the command line.
        OSError: it cannot be read.
    """
    data = read_input(path, limit=_LARGEST)
    pending = Pending.from_json(data)
    place = os.path.dirname(os.path.abspath(path))
    try:
        extra = json.loads(data)[_EXTRA]
        agents = extra["raCertificates"]
        return PendingFile(
            pending=pending,
            destination=Destination(
                key=_absolute(extra["key"], place),
                certificate=_absolute(extra["certificate"], place),
                chain=_absolute(extra["chain"], place) if extra["chain"] else None,
                staged=extra["staged"] is True,
                with_chain=extra["withChain"] is True,
            ),
            signer_key=_absolute(extra["signerKey"], place),
            p12=_absolute(extra["p12"], place) if extra["p12"] else None,
            anchors=tuple(x509.load_pem_x509_certificates(extra["anchor"].encode())),
            ra_certificates=None if agents is None else tuple(map(_certificate, agents)),
            options=_options(extra["options"]),
            answered=extra["answered"] is True,
            replaces=extra.get("replaces"),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Unfit(
            f"{path}: this pending enrolment was not stored by the scepkit command, or was "
            f"changed ({type(error).__name__}: {error})",
            hint="poll it with the library: scepkit.Pending.from_json",
            path=path,
        ) from None


def is_done(stored: PendingFile) -> bool:
    """Whether the certificate is in its place: an earlier run was stopped before it could say so.

    Raises:
        KeyLoadError: what is in its place cannot be read.
        OSError: the same.
    """
    if not os.path.exists(stored.destination.certificate):
        return False
    found = certificate_at(stored.destination.certificate)
    seen = view_of(found)
    # The one that is replaced may have the same key.
    if seen.der == stored.pending.requester or fingerprint(found) == stored.replaces:
        return False
    return Digest.SHA256.of(public_key_der(seen.public_key())) == stored.pending.spki_sha256


def certificate_at(path: str) -> x509.Certificate:
    """The first certificate in the file at `path`."""
    from scepkit.cli.identity import read_certificates

    return read_certificates(path)[0]


def _options(stored: dict[str, Any]) -> dict[str, Any]:
    found = {name: stored.get(name) for name in _REPEATED}
    found["require"] = [Capability(word).value for word in found["require"] or ()]
    return found


def _certificate(text: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(text.encode())


def _relative(path: str | None, place: str) -> str | None:
    if path is None:
        return None
    whole = os.path.abspath(path)
    # "../../etc/ssl/router.key" would be wrong after a move, and hard to read before one.
    inside = whole.startswith(place + os.sep)
    return os.path.relpath(whole, place) if inside else whole


def _absolute(path: str, place: str) -> str:
    found = os.path.join(place, path)
    near = os.path.relpath(found)
    # As the user would write it: short when it is below the present directory.
    return found if near.startswith("..") else near
