"""Claiming: every way of retrying a request ends at the row that the first one made (P1)."""

from __future__ import annotations

from typing import Any, cast

import pytest

from scepkit.errors import InputError
from scepkit.store import Rollback, Store, certificates, challenges, claims, operations
from scepkit.store.claims import Claimed, Known, Overtaken, SerialTaken, TransactionIdInUse
from scepkit.store.rows import Ca, Challenge
from tests.store.enrolling import (
    DAY,
    MINUTE,
    NOW,
    a_ca,
    a_challenge,
    a_claim,
    a_reservation,
    claim,
    claimed,
    digest,
    first_transaction,
    operation,
    pending,
)


def known(store: Store, request: claims.Claim, now: int = NOW) -> Known:
    result = claim(store, request, now)
    assert isinstance(result, Known), result
    return result


def issued(store: Store, who: str = "router1", now: int = NOW) -> int:
    """An operation that ended with a certificate."""
    number = claimed(store, a_claim(who), now)
    reservation = a_reservation(a_ca(store), digest(who).hex(), operation_id=number)
    store.write(lambda tx: certificates.reserve(tx, reservation, now))
    assert store.write(lambda tx: certificates.publish(tx, number, b"der", now))
    return number


def test_first_claim_is_the_callers_and_holds_the_lease(store: Store) -> None:
    result = claim(store, a_claim())
    assert isinstance(result, Claimed)
    assert result.epoch == 0
    found = operation(store, result.operation_id)
    assert (found.state, found.lease_until, found.attempts) == ("approved", NOW + MINUTE, 0)
    assert (found.subject, found.sans) == ("CN=router1,O=Acme", "dns:router1.acme.test")
    assert (found.csr, found.signer) == (b"csr of router1", b"signer of router1")
    assert (found.transaction_id, found.created_at) == ("tid-router1", NOW)
    assert found.finished_at is None


def test_same_request_again_is_known(store: Store) -> None:
    number = claimed(store, a_claim())
    assert known(store, a_claim()).operation == operation(store, number)


def test_same_request_with_a_new_transaction_id_is_known(store: Store) -> None:
    number = claimed(store, a_claim())
    assert known(store, a_claim(transaction_id="another")).operation.id == number
    for transaction_id in ("tid-router1", "another"):
        found = store.read(
            lambda tx, tid=transaction_id: operations.by_alias(  # type: ignore[misc]
                tx, "routers", tid, digest("key of router1")
            )
        )
        assert found is not None
        assert found.id == number


def test_other_profile_is_another_request(store: Store) -> None:
    assert claimed(store, a_claim()) != claimed(store, a_claim(profile="printers"))


def test_transaction_id_of_an_unfinished_request_cannot_be_used_for_another(store: Store) -> None:
    number = claimed(store, a_claim())
    other = a_claim(op_key=digest("other"))
    assert claim(store, other) == TransactionIdInUse(number)
    assert store.read(lambda tx: operations.by_key(tx, "routers", digest("other"))) is None
    # Another signer's transactionID is another thing.
    assert claimed(store, a_claim("router2", transaction_id="tid-router1")) != number


def test_known_request_does_not_take_another_ones_transaction_id(store: Store) -> None:
    first = claimed(store, a_claim())
    second = claimed(store, a_claim(op_key=digest("other"), transaction_id="second"))
    assert claim(store, a_claim(transaction_id="second")) == TransactionIdInUse(second)
    assert known(store, a_claim()).operation.id == first


def test_transaction_id_of_a_finished_request_can_be_used_again(store: Store) -> None:
    first = issued(store)
    second = claimed(store, a_claim(op_key=digest("renewal"), kind="renew"))
    found = store.read(
        lambda tx: operations.by_alias(tx, "routers", "tid-router1", digest("key of router1"))
    )
    assert found is not None
    assert (found.id, found.kind) == (second, "renew")
    assert operation(store, first).state == "issued"


def test_request_begins_anew_when_its_replay_window_is_over(store: Store) -> None:
    first = issued(store)
    assert known(store, a_claim(), NOW + 7 * DAY - 1).operation.id == first
    result = claim(store, a_claim(), NOW + 7 * DAY)
    assert isinstance(result, Claimed)
    assert (result.epoch, result.operation_id != first) == (1, True)
    assert known(store, a_claim(), NOW + 7 * DAY).operation.id == result.operation_id


def test_request_without_replay_window_never_begins_anew(store: Store) -> None:
    first = issued(store)
    assert known(store, a_claim(replay_window=None), NOW + 10_000 * DAY).operation.id == first


def test_unfinished_request_never_begins_anew(store: Store) -> None:
    first = claimed(store, a_claim())
    assert known(store, a_claim(), NOW + 10_000 * DAY).operation.id == first


def test_expired_request_begins_anew_at_once(store: Store) -> None:
    first = pending(store, pending_for=DAY)
    store.write(lambda tx: operations.expire_pending(tx, NOW + DAY, actor="server"))
    request = a_claim(state="pending", replay_window=None)
    result = claim(store, request, NOW + DAY)
    assert isinstance(result, Claimed)
    assert (result.epoch, result.operation_id != first) == (1, True)


def test_rejected_request_stays_rejected_within_its_window(store: Store) -> None:
    number = pending(store)
    store.write(lambda tx: operations.reject(tx, number, actor="alice", fail_info=2, now=NOW))
    assert known(store, a_claim(), NOW + DAY).operation.state == "rejected"


def test_pending_claim_has_no_lease(store: Store) -> None:
    number = pending(store, pending_for=DAY, reason="no challenge")
    found = operation(store, number)
    assert (found.state, found.lease_until, found.pending_until) == ("pending", None, NOW + DAY)
    assert found.reason == "no challenge"


def test_operation_knows_its_challenge(store: Store) -> None:
    challenge = a_challenge(store)
    number = claimed(store, a_claim(challenge_mac=digest("secret")))
    assert operation(store, number).challenge_id == challenge
    other = claimed(store, a_claim("router2", challenge_mac=digest("no such")))
    assert operation(store, other).challenge_id is None


def test_undone_claim_leaves_nothing(store: Store) -> None:
    def deny(tx: object) -> str:
        claims.claim(tx, a_claim(), NOW)  # type: ignore[arg-type]
        raise Rollback("denied")

    assert store.write(deny) == "denied"
    assert store.read(lambda tx: operations.by_key(tx, "routers", digest("op router1"))) is None
    assert (
        store.read(
            lambda tx: operations.by_alias(tx, "routers", "tid-router1", digest("key of router1"))
        )
        is None
    )


def test_undone_claim_gives_its_challenge_back(store: Store) -> None:
    a_challenge(store)

    def deny(tx: object) -> None:
        claims.claim(tx, a_claim(challenge_mac=digest("secret")), NOW)  # type: ignore[arg-type]
        assert challenges.spend(tx, digest("secret"), "routers", NOW)  # type: ignore[arg-type]
        raise Rollback(None)

    store.write(deny)
    found = store.read(lambda tx: challenges.find(tx, digest("secret")))
    assert found is not None
    assert found.uses_left == 1


@pytest.mark.parametrize("field", ["subject", "sans", "transaction_id"])
@pytest.mark.parametrize("text", ["nul \0", "half a pair \ud800"])
def test_text_that_no_database_stores_is_an_input_error(
    store: Store, field: str, text: str
) -> None:
    request = a_claim(**{field: text})
    with pytest.raises(InputError, match=r"NUL|cannot be stored"):
        claim(store, request)
    assert claimed(store, a_claim())


def test_text_in_any_script_is_stored(store: Store) -> None:
    number = claimed(store, a_claim(subject="CN=Zoë 東京 🜂'\"%s:now", transaction_id="--;'\u2028"))
    found = operation(store, number)
    assert (found.subject, found.transaction_id) == ("CN=Zoë 東京 🜂'\"%s:now", "--;'\u2028")


# ------------------------------------------------------------------------------------- accepting


Accepted = int | Overtaken | SerialTaken | TransactionIdInUse


def accept(store: Store, ca: Ca, *, serial: str = "1f", epoch: int = 0, **changes: Any) -> Accepted:
    request = a_claim(challenge_mac=digest("secret"), replay_window=None, **changes)
    reservation = a_reservation(ca, serial)
    return store.write(
        lambda tx: claims.accept(
            tx, request, NOW, epoch=epoch, spend=digest("secret"), reservation=reservation
        )
    )


def uses_left(store: Store) -> int:
    found = store.read(lambda tx: challenges.find(tx, digest("secret")))
    assert found is not None
    return found.uses_left


def test_accepted_request_has_all_that_belongs_to_it(store: Store) -> None:
    ca, challenge = a_ca(store), a_challenge(store)
    number = accept(store, ca)
    assert isinstance(number, int)
    found = operation(store, number)
    assert (found.state, found.challenge_id, found.epoch) == ("approved", challenge, 0)
    assert uses_left(store) == 0
    row = store.read(lambda tx: certificates.of_operation(tx, number))
    assert row is not None
    assert certificates.reservation_of(row) == a_reservation(ca, operation_id=number)
    alias = store.read(
        lambda tx: operations.by_alias(tx, "routers", "tid-router1", digest("key of router1"))
    )
    assert alias == found


def test_accepted_request_needs_neither_challenge_nor_certificate(store: Store) -> None:
    number = store.write(lambda tx: claims.accept(tx, a_claim(state="pending"), NOW))
    assert operation(store, number).state == "pending"


def test_request_that_was_accepted_before_uses_nothing_up(store: Store) -> None:
    ca, _ = a_ca(store), a_challenge(store, uses=2)
    number = accept(store, ca)
    assert accept(store, ca, serial="2e") == Overtaken()
    assert uses_left(store) == 1
    assert store.read(lambda tx: certificates.by_serial(tx, ca.id, "2e")) is None
    before = store.read(lambda tx: claims.before(tx, "routers", a_claim().op_key, digest("secret")))
    assert before == (operation(store, cast("int", number)), challenge_of(store))


def challenge_of(store: Store) -> Challenge | None:
    return store.read(lambda tx: challenges.find(tx, digest("secret")))


def test_request_with_a_used_challenge_is_not_accepted(store: Store) -> None:
    ca, _ = a_ca(store), a_challenge(store)
    assert isinstance(accept(store, ca), int)
    other = digest("other")
    assert accept(store, ca, serial="2e", op_key=other, transaction_id="tid") == Overtaken()
    assert store.read(lambda tx: operations.by_key(tx, "routers", other)) is None
    assert store.read(lambda tx: certificates.by_serial(tx, ca.id, "2e")) is None


def test_request_is_not_accepted_with_a_serial_number_that_is_taken(store: Store) -> None:
    ca, _ = a_ca(store), a_challenge(store, uses=2)
    assert isinstance(accept(store, ca), int)
    other = digest("other")
    assert accept(store, ca, op_key=other, transaction_id="tid") == SerialTaken()
    assert uses_left(store) == 1
    assert store.read(lambda tx: operations.by_key(tx, "routers", other)) is None


def test_request_is_not_accepted_with_the_transaction_id_of_an_unfinished_one(store: Store) -> None:
    ca, _ = a_ca(store), a_challenge(store, uses=2)
    number = accept(store, ca)
    assert accept(store, ca, serial="2e", op_key=digest("other")) == TransactionIdInUse(
        cast("int", number)
    )
    assert uses_left(store) == 1


def test_accepted_request_takes_the_transaction_id_of_a_finished_one(store: Store) -> None:
    ca, _ = a_ca(store), a_challenge(store)
    issued(store)
    number = accept(store, ca, serial="2e", op_key=digest("renewal"), kind="renew")
    found = store.read(
        lambda tx: operations.by_alias(tx, "routers", "tid-router1", digest("key of router1"))
    )
    assert found is not None
    assert found.id == number


def test_request_is_accepted_anew_after_one_that_is_over(store: Store) -> None:
    ca, _ = a_ca(store), a_challenge(store)
    first = issued(store)
    number = accept(store, ca, serial="2e", epoch=1)
    assert isinstance(number, int)
    assert (operation(store, number).epoch, number != first) == (1, True)


def test_challenge_that_is_found_spent_comes_with_its_operation(store: Store) -> None:
    ca, mac = a_ca(store), digest("secret")
    a_challenge(store, "secret")
    first_transaction(store, ca, "router1", "secret", "1f")
    found, challenge = store.read(
        lambda tx: claims.before(tx, "routers", digest("router1 secret"), mac)
    )
    assert challenge is not None
    assert found is not None
    assert (challenge.uses_left, found.challenge_id) == (0, challenge.id)
