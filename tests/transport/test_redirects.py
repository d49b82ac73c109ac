"""transport: what is followed, and what is not."""

from __future__ import annotations

import pytest

from scepkit.core.http import (
    parse_endpoint,
    pki_operation_request,
)
from scepkit.errors import TransportError
from scepkit.transport import HttpOptions, HttpTransport
from tests.servers import Handler, Peer, always, answer, serve
from tests.transport.asking import failure, query


def redirect(location: str, status: str = "302 Found") -> bytes:
    return answer(b"", status, f"Location: {location}")


def by_path(**answers: bytes) -> Handler:
    """A server with a fixed answer for each path."""

    def handle(peer: Peer) -> None:
        while request := peer.read():
            path = request.target.partition("?")[0].strip("/")
            peer.send(answers.get(path, answer(b"found " + path.encode())))

    return handle


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_query_follows_a_redirect_on_the_same_host(transport: HttpTransport, status: int) -> None:
    with serve(by_path(scep=redirect("/new?operation=GetCACaps", f"{status} x"))) as server:
        assert transport.exchange(query(server.url("/scep"))).body == b"found new"
    assert [request.target for request in server.requests] == [
        "/scep?operation=GetCACaps",
        "/new?operation=GetCACaps",
    ]
    assert server.connections == 1


def test_a_redirect_may_be_relative_and_have_a_fragment(transport: HttpTransport) -> None:
    with serve(by_path(**{"a/b": redirect("../c#top")})) as server:
        assert transport.exchange(query(server.url("/a/b"))).body == b"found c"


def test_a_redirect_in_utf8_is_escaped(transport: HttpTransport) -> None:
    with serve(by_path(scep=redirect("/é x".encode().decode("latin-1")))) as server:
        assert transport.exchange(query(server.url())).body == b"found %C3%A9%20x"


def test_a_redirect_without_a_location_is_an_answer(transport: HttpTransport) -> None:
    with serve(always(answer(b"choose", "302 Found"))) as server:
        assert transport.exchange(query(server.url())).status == 302


def test_a_location_without_a_redirect_is_an_answer(transport: HttpTransport) -> None:
    with serve(always(answer(b"made", "201 Created", "Location: /x"))) as server:
        assert transport.exchange(query(server.url())).status == 201


@pytest.mark.parametrize("by_post", [True, False])
def test_a_message_is_not_redirected_and_the_target_is_named(by_post: bool) -> None:
    target = "http://new.test/scep?operation=PKIOperation&message=c2VjcmV0"
    with serve(always(redirect(target))) as server:
        endpoint = parse_endpoint(server.url())
        error = failure(pki_operation_request(endpoint, b"secret", post=by_post))
    assert error.kind == "redirect"
    assert "redirects to http://new.test/scep?operation=PKIOperation&message=..." in str(error)
    assert "c2VjcmV0" not in str(error) + error.url + error.hint
    assert "use it as the URL" in error.hint
    assert len(server.requests) == 1


def test_three_redirects_are_followed_and_four_are_not(transport: HttpTransport) -> None:
    hops = {f"hop{number}": redirect(f"/hop{number - 1}") for number in range(1, 5)}
    with serve(by_path(**hops)) as server:
        assert transport.exchange(query(server.url("/hop3"))).body == b"found hop0"
        with pytest.raises(TransportError, match="more than 3 times") as caught:
            transport.exchange(query(server.url("/hop4")))
    assert caught.value.kind == "redirect"
    assert len(server.requests) == 8


@pytest.mark.parametrize(
    "location",
    ["ftp://other.test/", "http://[bad/", "http://u:hunter2@other.test/", "mailto:x"],
)
def test_a_redirect_to_nonsense_is_refused(location: str) -> None:
    with serve(always(redirect(location))) as server:
        error = failure(query(server.url()))
    assert error.kind == "redirect"
    assert "no http or https URL" in str(error)
    assert "hunter2" not in str(error)


def test_another_host_is_followed_without_credentials_only(transport: HttpTransport) -> None:
    with (
        serve(always(answer(b"other"))) as other,
        serve(always(redirect(other.url("/x", host="localhost")))) as server,
    ):
        assert transport.exchange(query(server.url())).body == b"other"
        for options in (
            HttpOptions(basic_auth=("jo", "hunter2")),
            HttpOptions(headers={"X-Token": "hunter2"}),
        ):
            error = failure(query(server.url()), options)
            assert error.kind == "redirect"
            assert "localhost" in str(error)
            assert "hunter2" not in str(error) + error.hint
    assert len(other.requests) == 1


def test_another_port_is_another_host() -> None:
    with serve(always(answer())) as other, serve(always(redirect(other.url()))) as server:
        error = failure(query(server.url()), HttpOptions(basic_auth=("jo", "x")))
    assert error.kind == "redirect"
    assert other.requests == []


def test_credentials_go_along_on_the_same_host() -> None:
    with (
        serve(by_path(scep=redirect("/new"))) as server,
        HttpTransport(HttpOptions(basic_auth=("jo", "x"))) as transport,
    ):
        assert transport.exchange(query(server.url())).body == b"found new"
    assert all("authorization" in request.headers for request in server.requests)
