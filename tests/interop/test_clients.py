"""Foreign clients against our server: each enrols, renews and polls in its own way."""

from __future__ import annotations

import pytest

from tests.interop.authority import Authority
from tests.interop.clients import CLIENTS, Enrolled, ForeignClient, Refused

pytestmark = pytest.mark.interop


@pytest.fixture(params=list(CLIENTS))
def client(request: pytest.FixtureRequest) -> ForeignClient:
    """Each of the clients that are on this machine."""
    found = CLIENTS[request.param]
    found.version()
    return found


@pytest.mark.parametrize("profile", ["default", "get"])
def test_it_enrols(client: ForeignClient, authority: Authority, profile: str) -> None:
    device = authority.device(authority.challenge(profile))
    result = client.enrol(authority.endpoint(profile), device)
    assert isinstance(result, Enrolled), result
    (asked,) = authority.log_of(device)
    able = client.abilities
    assert asked["method"] == (able.announced if profile == "default" else able.unannounced)
    assert asked["cipher"] == able.ciphers[0].value
    assert asked["digest"] == able.digests[0].value
    authority.verify(device)


def test_it_renews(client: ForeignClient, authority: Authority) -> None:
    device = authority.device(authority.challenge())
    first = client.enrol(authority.endpoint(), device)
    assert isinstance(first, Enrolled), first
    second = client.renew(authority.endpoint(), device)
    assert isinstance(second, Enrolled), second
    assert first.certificate.serial_number != second.certificate.serial_number
    (asked,) = authority.log_of(device)
    assert client.abilities.renews_with is not None
    assert asked["messageType"] == client.abilities.renews_with.rfc_name
    authority.verify(device)


def test_it_polls(client: ForeignClient, authority: Authority) -> None:
    device = authority.device()
    endpoint = authority.endpoint("reviewed")
    result = client.poll(endpoint, device, lambda: authority.decide(device))
    assert isinstance(result, Enrolled), result
    authority.verify(device)


def test_a_wrong_challenge_is_refused(client: ForeignClient, authority: Authority) -> None:
    device = authority.device("a guess")
    result = client.enrol(authority.endpoint(), device)
    assert isinstance(result, Refused)
