"""The generations of a CA: staged, activated, called off.

The rule of this file: what is announced is in the database first, and the present generation goes
on issuing until somebody says otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from scepkit.core.certificates import load_certificate, view
from scepkit.errors import InputError
from scepkit.keys import pem
from scepkit.store import Store, cas
from scepkit.store.driver import Tx
from scepkit.store.rows import Ca, milliseconds


def stage_ca(
    store: Store,
    *,
    name: str,
    certificate: bytes,
    chain: Sequence[bytes] = (),
    key_ref: str,
    actor: str,
    now: datetime,
) -> Ca:
    """Add the next generation of a CA: announced by GetNextCACert, not issuing yet.

    :param certificate, chain: in DER; the chain nearest first.
    :param key_ref: the file of its key, relative to the configuration.
    :raises InputError: there is no CA of that name, or it has a staged generation.
    """
    view(certificate)
    encoded = b"".join(pem(load_certificate(one)) for one in chain)

    def stage(tx: Tx) -> Ca | None:
        if cas.active(tx, name) is None:
            raise InputError(f"there is no CA {name!r} to follow")
        return cas.add(
            tx,
            name=name,
            status="staged",
            key_ref=key_ref,
            certificate=certificate,
            chain=encoded,
            actor=actor,
            now=milliseconds(now),
        )

    added = store.write(stage)
    if added is None:
        raise InputError(f"the CA {name} has a staged generation already")
    return added


def activate_ca(store: Store, name: str, *, actor: str, now: datetime) -> Ca:
    """Let the staged generation of a CA issue, and retire the active one.

    :raises InputError: none is staged, or its certificate is not valid now.
    """

    def activate(tx: Tx) -> Ca | None:
        staged = _staged(tx, name)
        certificate = load_certificate(staged.certificate)
        if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
            raise InputError("the certificate of the staged generation is not valid at this time")
        return cas.activate(tx, staged.id, actor=actor, now=milliseconds(now))

    activated = store.write(activate)
    if activated is None:
        raise InputError(f"the CA {name} has no staged generation any more")
    return activated


def cancel_rollover(store: Store, name: str, *, actor: str, now: datetime) -> Ca:
    """Call a rollover off: the staged generation will not be used.

    :raises InputError: none is staged.
    """
    retired = store.write(
        lambda tx: cas.retire(tx, _staged(tx, name).id, actor=actor, now=milliseconds(now))
    )
    if retired is None:
        raise InputError(f"the CA {name} has no staged generation any more")
    return retired


def none_staged(name: str) -> InputError:
    """That there is no generation to activate or to call off, and what to do about it."""
    return InputError(
        f"the CA {name} has no staged generation",
        hint="scepkit ca rollover stage makes the next one; scepkit ca rollover status shows all",
    )


def _staged(tx: Tx, name: str) -> Ca:
    staged = cas.staged(tx, name)
    if staged is None:
        raise none_staged(name)
    return staged
