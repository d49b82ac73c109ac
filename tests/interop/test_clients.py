"""Foreign clients at our server: each enrols, renews and polls in its own way.

What a client cannot do is in its `Abilities`, and what it does instead is in `test_client_habits`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from tests.interop.authority import Authority, Mode
from tests.interop.clients import CLIENTS, Enrolled, ForeignClient, Options, Refused

pytestmark = pytest.mark.interop

#: How each says that the CA refuses, with badRequest.
REFUSED = {
    "scepclient": r"PKCSReq \(19\) request failed, failInfo: badRequest \(2\)",
    "strongswan": r"failInfo: +badRequest - transaction not permitted or supported",
    "certmonger": r"ca-error: Transaction either is not permitted or is not supported by server",
    "scepkit": r"badRequest",
}


def by_each_method(announcing: str, silent: str) -> pytest.MarkDecorator:
    """Each client with each method that it has, and the profile that makes it use that.

    Two of them send the same whatever is announced; `test_it_enrols` sees to that.

    :param announcing: a profile that announces POST.
    :param silent: one that does not.
    """
    cells = []
    for name, client in CLIENTS.items():
        able = client.abilities
        cells.append(pytest.param(name, announcing, able.announced, id=f"{name}-{able.announced}"))
        if able.unannounced != able.announced:
            method = able.unannounced
            cells.append(pytest.param(name, silent, method, id=f"{name}-{method}"))
    return pytest.mark.parametrize(("client", "profile", "method"), cells, indirect=["client"])


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
    assert asked["by"] == "challenge"
    authority.verify(device)


@by_each_method("default", "get")
def test_it_renews(client: ForeignClient, authority: Authority, profile: str, method: str) -> None:
    device = authority.device(authority.challenge(profile))
    first = client.enrol(authority.endpoint(profile), device)
    assert isinstance(first, Enrolled), first
    second = client.renew(authority.endpoint(profile), device)
    assert isinstance(second, Enrolled), second
    assert first.certificate.serial_number != second.certificate.serial_number
    assert first.certificate.subject == second.certificate.subject
    (asked,) = authority.log_of(device)
    assert client.abilities.renews_with is not None
    assert asked["messageType"] == client.abilities.renews_with.rfc_name
    assert (asked["by"], asked["method"]) == ("renewal", method)
    authority.verify(device)


@by_each_method("reviewed", "asked")
def test_it_polls(client: ForeignClient, authority: Authority, profile: str, method: str) -> None:
    device = authority.device()
    endpoint = authority.endpoint(profile)
    result = client.poll(endpoint, device, lambda: authority.decide(device))
    assert isinstance(result, Enrolled), result
    asked = authority.log_of(device)[-1]
    assert asked["messageType"] == client.abilities.polls_with.rfc_name
    assert asked["method"] == method
    authority.verify(device)


def test_it_says_that_a_wrong_challenge_is_refused(
    client: ForeignClient, authority: Authority
) -> None:
    device = authority.device("a guess")
    result = client.enrol(authority.endpoint(), device)
    assert isinstance(result, Refused), result
    assert re.search(REFUSED[client.name], result.said), result.said
    assert authority.certificates_of(device) == 0


def test_it_says_that_a_person_refused(
    client: ForeignClient, authorities: Mapping[Mode, Authority]
) -> None:
    authority = authorities["ra"]
    device = authority.device()
    endpoint = authority.endpoint("reviewed")
    result = client.poll(endpoint, device, lambda: authority.decide(device, "reject"))
    assert isinstance(result, Refused), result
    assert re.search(REFUSED[client.name], result.said), result.said
    assert authority.certificates_of(device) == 0


def choices() -> Iterator[tuple[str, Options]]:
    """Whatever a client can be told, besides its own choice."""
    for name, client in CLIENTS.items():
        for cipher in client.abilities.ciphers[1:]:
            yield name, Options(cipher=cipher)
        for digest in client.abilities.digests[1:]:
            yield name, Options(digest=digest)


@pytest.mark.parametrize(("name", "options"), list(choices()), ids=str)
def test_every_algorithm_that_it_can_be_told_is_understood(
    name: str, options: Options, authorities: Mapping[Mode, Authority]
) -> None:
    client, authority = CLIENTS[name], authorities["ec"]
    client.version()
    device = authority.device(authority.challenge())
    result = client.enrol(authority.endpoint(), device, options)
    assert isinstance(result, Enrolled), result
    (asked,) = authority.log_of(device)
    assert options.cipher is None or asked["cipher"] == options.cipher.value
    assert options.digest is None or asked["digest"] == options.digest.value
