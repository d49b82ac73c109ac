"""Which challenges a request may be encrypted with (RFC 8894 section 3.1).

A requester or a CA whose key cannot decrypt uses the challengePassword as the encryption key, and
the server has to know it before it can read whose it is (G12).  It looks in this order: the request
that the transactionID and the signer's key lead to; the static secret; challenges bound to the
subject of the signer's certificate; other challenges, the newest first.

The rule of this file: challenges can be got back only where the profile says so, and the list is
short, because each try costs a key derivation.
"""

from __future__ import annotations

from collections.abc import Iterable

from scepkit.core.sentnames import read_name
from scepkit.server import keeping
from scepkit.server.case import Case
from scepkit.server.naming import Binding
from scepkit.store import challenges, operations
from scepkit.store.driver import Tx
from scepkit.store.rows import Challenge

#: How many of the newest challenges are looked at for those that are bound to the subject.
_LOOKED_AT = 500


def candidates(case: Case) -> list[str]:
    """The passwords to try, the likeliest first."""
    name, pepper = case.profile.name, case.desk.deployment.pepper
    auth = case.profile.auth
    found = case.store.read(lambda tx: _kept(tx, case))
    first = None if found is None else keeping.kept_secret(found, pepper)
    secrets = [] if first is None else [first]
    if auth.static is not None and auth.static.secret is not None:
        secrets.append(auth.static.secret)
    if auth.challenge is not None and auth.challenge.recoverable:
        rows = case.store.read(lambda tx: challenges.listing(tx, profile=name, limit=_LOOKED_AT))
        secrets.extend(pepper.challenge(nonce) for nonce in _nonces(case, rows))
    return secrets


def _kept(tx: Tx, case: Case) -> bytes | None:
    operation = operations.by_alias(
        tx, case.profile.name, case.request.transaction_id, case.signer_spki
    )
    return None if operation is None else operation.csr


def _nonces(case: Case, rows: Iterable[Challenge]) -> list[bytes]:
    """Of recoverable challenges: those for this subject, used or not, then what can be used."""
    subject = read_name(case.request.signer.subject)
    bound, usable = [], []
    for row in rows:
        binding = Binding.from_json(row.bind)
        if binding.nonce is None or row.revoked_at is not None:
            continue
        if binding.is_for(subject):
            bound.append(binding.nonce)
        elif row.uses_left > 0 and row.expires_at > case.now_ms:
            usable.append(binding.nonce)
    return bound + usable
