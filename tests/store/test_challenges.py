"""Challenges: spent a counted number of times (P2), never stored in clear."""

from __future__ import annotations

import json

import pytest

from scepkit.errors import StoreError
from scepkit.store import Store, audit, challenges
from scepkit.store.challenges import NewChallenge
from tests.store.enrolling import DAY, HOUR, NOW, a_challenge, digest


def spend(store: Store, name: str = "secret", *, profile: str = "routers", now: int = NOW) -> bool:
    return store.write(lambda tx: challenges.spend(tx, digest(name), profile, now))


def test_challenge_is_spent_once(store: Store) -> None:
    number = a_challenge(store, bind='{"subject":"CN=router1"}')
    assert spend(store)
    assert not spend(store)
    found = store.read(lambda tx: challenges.find(tx, digest("secret")))
    assert found is not None
    assert (found.id, found.uses, found.uses_left) == (number, 1, 0)


def test_challenge_is_spent_as_often_as_it_says(store: Store) -> None:
    a_challenge(store, uses=3)
    assert [spend(store) for _ in range(5)] == [True, True, True, False, False]


def test_unknown_challenge_cannot_be_spent(store: Store) -> None:
    assert not spend(store, "no such")
    assert store.read(lambda tx: challenges.find(tx, digest("no such"))) is None


def test_challenge_of_another_profile_cannot_be_spent(store: Store) -> None:
    a_challenge(store)
    assert not spend(store, profile="printers")
    assert spend(store)


def test_expired_challenge_cannot_be_spent(store: Store) -> None:
    a_challenge(store, uses=2)
    assert spend(store, now=NOW + HOUR - 1)
    assert not spend(store, now=NOW + HOUR)


def test_revoked_challenge_cannot_be_spent(store: Store) -> None:
    number = a_challenge(store)
    revoked = store.write(lambda tx: challenges.revoke(tx, number, actor="alice", now=NOW + 1))
    assert revoked is not None
    assert revoked.revoked_at == NOW + 1
    assert not spend(store, now=NOW + 2)
    assert store.read(lambda tx: challenges.by_id(tx, number)) == revoked


def test_challenge_is_revoked_once(store: Store) -> None:
    number = a_challenge(store)
    assert store.write(lambda tx: challenges.revoke(tx, number, actor="alice", now=NOW))
    assert not store.write(lambda tx: challenges.revoke(tx, number, actor="alice", now=NOW))
    assert not store.write(lambda tx: challenges.revoke(tx, 99, actor="alice", now=NOW))
    rows = store.read(lambda tx: audit.listing(tx, action="challenge.revoke"))
    assert [(row.actor, row.object) for row in rows] == [("alice", f"challenge:{number}")]


def test_use_that_came_to_nothing_is_given_back(store: Store) -> None:
    number = a_challenge(store)
    assert spend(store)
    assert store.write(lambda tx: challenges.give_back(tx, number))
    assert not store.write(lambda tx: challenges.give_back(tx, number))
    assert [spend(store), spend(store)] == [True, False]


def test_challenges_are_minted_together_and_audited(store: Store) -> None:
    new = [
        NewChallenge(profile="routers", mac=digest(f"s{n}"), expires_at=NOW + DAY, label=f"l{n}")
        for n in range(3)
    ]
    numbers = store.write(lambda tx: challenges.mint(tx, new, actor="alice", now=NOW))
    assert len(set(numbers)) == 3
    found = store.read(lambda tx: challenges.by_id(tx, numbers[1]))
    assert found is not None
    assert (found.label, found.created_by, found.created_at) == ("l1", "alice", NOW)
    rows = store.read(audit.listing)
    assert [row.object for row in rows] == [f"challenge:{number}" for number in reversed(numbers)]
    assert json.loads(rows[0].detail)["label"] == "l2"


def test_two_challenges_with_one_mac_are_refused_together(store: Store) -> None:
    a_challenge(store)
    new = [
        NewChallenge(profile="routers", mac=digest(name), expires_at=NOW + DAY)
        for name in ("another", "secret")
    ]
    with pytest.raises(StoreError, match="refuses"):
        store.write(lambda tx: challenges.mint(tx, new, actor="alice", now=NOW))
    assert store.read(lambda tx: challenges.find(tx, digest("another"))) is None


def test_mac_is_not_in_the_audit_nor_in_the_row(store: Store) -> None:
    a_challenge(store)
    (row,) = store.read(audit.listing)
    found = store.read(lambda tx: challenges.find(tx, digest("secret")))
    for text in (repr(row), repr(found)):
        assert digest("secret").hex() not in text
        assert repr(digest("secret")) not in text


def test_challenges_are_listed_newest_first_in_pages(store: Store) -> None:
    numbers = [a_challenge(store, f"s{n}") for n in range(4)]
    other = a_challenge(store, "p", profile="printers")
    page = store.read(lambda tx: challenges.listing(tx, limit=2))
    assert [one.id for one in page] == [other, numbers[3]]
    page = store.read(lambda tx: challenges.listing(tx, before=page[-1].id, profile="routers"))
    assert [one.id for one in page] == numbers[2::-1]


def test_only_usable_challenges_are_listed_when_asked(store: Store) -> None:
    usable = a_challenge(store, "usable", uses=2)
    a_challenge(store, "spent")
    a_challenge(store, "old", expires_at=NOW)
    revoked = a_challenge(store, "revoked")
    spend(store, "spent")
    spend(store, "usable")
    store.write(lambda tx: challenges.revoke(tx, revoked, actor="alice", now=NOW))
    found = store.read(lambda tx: challenges.listing(tx, usable_at=NOW))
    assert [one.id for one in found] == [usable]
