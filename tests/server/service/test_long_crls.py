"""CRLs with many entries: what they say, and what their making takes."""

from __future__ import annotations

import tracemalloc
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from scepkit.ca import CaIssuer, Revocation
from scepkit.errors import StoreUnavailable
from scepkit.server import crl_job
from scepkit.store import Store, crls
from scepkit.store.rows import Crl, milliseconds
from scepkit.store.sqlite import SqliteDriver
from tests import pki
from tests.server.service.world import DAY, NOW, World, certificate_of, count

REASON = x509.ReasonFlags

#: Enough for the CRL to outweigh all else that its making needs.
ENTRIES = 20_000

# Both databases know this.  The serial numbers are decimal digits, which are good as hex ones;
# revocations are some seconds apart, and their reasons are 0 to 5.
_FILL = """
    WITH RECURSIVE series (n) AS (
        SELECT 1 UNION ALL SELECT n + 1 FROM series WHERE n < CAST(:entries AS BIGINT)
    )
    INSERT INTO certificate (
        ca_id, serial, state, profile, subject, sans, not_before, not_after, created_at,
        revoked_at, revocation_reason, spki_sha256, frozen
    )
    SELECT :ca_id, CAST(1000000000000000000 + n AS TEXT), 'revoked', 'default', '', '',
        CAST(:now AS BIGINT), :ends, CAST(:now AS BIGINT), CAST(:now AS BIGINT) + n * 3001, n % 6,
        :spki, ''
    FROM series
"""


def filled(store: Store) -> World:
    """A CA that has revoked many certificates."""
    world = World.made(store)
    parameters: dict[str, int | bytes] = {
        "entries": ENTRIES,
        "ca_id": world.authority.active.ca_id,
        "now": milliseconds(NOW),
        "ends": milliseconds(NOW + 365 * DAY),
        "spki": bytes(32),
    }
    store.write(lambda tx: tx.run(_FILL, parameters))
    assert count(store, "certificate") == ENTRIES
    return world


def made(world: World) -> Crl:
    authority = world.authority
    crl = crl_job.make_crl(world.store, authority, authority.active, NOW, actor="test")
    assert crl is not None
    return crl


def test_it_lists_all_of_them_in_the_order_they_were_issued(store: Store) -> None:
    world = filled(store)
    crl = made(world)
    reasons = (
        None,
        REASON.key_compromise,
        REASON.ca_compromise,
        REASON.affiliation_changed,
        REASON.superseded,
        REASON.cessation_of_operation,
    )
    expected = [
        Revocation(int(str(10**18 + n), 16), NOW + timedelta(milliseconds=n * 3001), reasons[n % 6])
        for n in range(1, ENTRIES + 1)
    ]
    identity = pki.root()
    issuer = CaIssuer(identity.certificate, identity.key)
    alike = issuer.make_crl(expected, crl.number, NOW, world.authority.crl_lifetime)
    assert crl.der == alike.public_bytes(Encoding.DER)
    published = store.read(lambda tx: crls.newest(tx, crl.ca_id))
    assert published == crl


def test_its_making_takes_less_memory_than_three_copies(store: Store) -> None:
    world = filled(store)
    tracemalloc.start()
    try:
        crl = made(world)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 3 * len(crl.der)


def test_a_crl_for_which_the_disk_has_no_room_takes_none_from_others(lite: Store) -> None:
    world = filled(lite)
    device = world.device()
    driver = lite.driver
    assert isinstance(driver, SqliteDriver)
    assert driver._writer is not None
    ((pages,),) = driver._writer.all("PRAGMA page_count")
    room = 2 * crls.PIECE // 4096 + 40
    driver._writer.all(f"PRAGMA max_page_count = {pages + room}")
    for _ in range(3):
        with pytest.raises(StoreUnavailable, match="full"):
            made(world)
        assert count(lite, "crl_piece") == 0
    certificate_of(world.ask(device.enrol(world.mint())))
    driver._writer.all("PRAGMA max_page_count = 1000000")
    assert made(world).number == 4
