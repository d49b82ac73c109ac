"""transport: forward proxies, from the option and from the environment."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from scepkit.errors import InputError
from scepkit.transport import HttpOptions, HttpTransport
from scepkit.transport.proxies import parse_proxy
from tests.servers import ForwardProxy, Peer, always, answer, once, serve, silent
from tests.transport.asking import failure, get, post

#: Not to be reached without a proxy.
FAR = "http://ca.invalid:8080/scep?operation=GetCACaps"


def test_plain_http_goes_through_a_proxy_in_absolute_form() -> None:
    with serve(ForwardProxy()) as proxy, HttpTransport(HttpOptions(proxy=proxy.url(""))) as http:
        assert http.exchange(get(FAR)).body == b"by proxy"
        assert http.exchange(post("http://[2001:db8::1]/scep")).body == b"by proxy"
    first, second = proxy.requests
    assert first.target == FAR
    assert first.headers["host"] == "ca.invalid:8080"
    assert second.target == "http://[2001:db8::1]/scep?operation=PKIOperation"
    assert second.body == b"message"


def test_a_connection_to_a_proxy_is_kept() -> None:
    with serve(ForwardProxy()) as proxy, HttpTransport(HttpOptions(proxy=proxy.url(""))) as http:
        for _ in range(3):
            http.exchange(get(FAR))
    assert proxy.connections == 1


def test_a_proxy_may_be_named_without_a_scheme() -> None:
    with (
        serve(ForwardProxy()) as proxy,
        HttpTransport(HttpOptions(proxy=proxy.authority)) as http,
    ):
        assert http.exchange(get(FAR)).body == b"by proxy"


def test_a_proxy_gets_its_own_credentials_and_the_server_its_own() -> None:
    # "jo:p@ss wörd", written as a URL must write it
    options = "http://jo:p%40ss%20w%C3%B6rd@{}"
    credentials = "Basic am86cEBzcyB3w7ZyZA=="
    with serve(ForwardProxy(credentials)) as proxy:
        chosen = HttpOptions(proxy=options.format(proxy.authority), basic_auth=("a", "b"))
        with HttpTransport(chosen) as http:
            assert http.exchange(get(FAR)).body == b"by proxy"
    assert proxy.requests[0].headers["authorization"] == "Basic YTpi"


@pytest.mark.parametrize("url", [FAR, "https://ca.invalid/scep"])
def test_a_proxy_that_wants_a_password_says_so(url: str) -> None:
    with serve(ForwardProxy("Basic x")) as proxy:
        without = failure(get(url), HttpOptions(proxy=proxy.url("")))
        wrong = failure(get(url), HttpOptions(proxy=f"http://jo:hunter2@{proxy.authority}"))
    assert without.kind == wrong.kind == "proxy"
    assert f"the proxy {proxy.authority} wants a user name and a password" in str(without)
    assert "refuses its user name and password" in str(wrong)
    assert "hunter2" not in str(wrong) + wrong.hint + wrong.url


def test_a_407_of_the_server_itself_is_an_answer() -> None:
    with serve(always(answer(b"", "407 Odd"))) as server, HttpTransport() as http:
        assert http.exchange(get(server.url())).status == 407


@pytest.mark.parametrize("url", [FAR, "https://ca.invalid/scep"])
def test_a_proxy_that_is_not_there_is_a_proxy_error(url: str) -> None:
    with serve(silent) as proxy:
        pass
    error = failure(get(url), HttpOptions(proxy=proxy.url("")))
    assert error.kind == "proxy"
    assert f"nothing listens at the proxy {proxy.authority}" in str(error)


def test_an_unknown_proxy_is_a_proxy_error() -> None:
    error = failure(get(FAR), HttpOptions(proxy="http://no-such-proxy.invalid:3128"))
    assert error.kind == "proxy"
    assert "no-such-proxy.invalid of the proxy was not found" in str(error)


def test_a_refused_tunnel_is_a_proxy_error() -> None:
    with serve(ForwardProxy(refusal="403 Forbidden by \x1b[31mpolicy")) as proxy:
        error = failure(get("https://ca.invalid/scep"), HttpOptions(proxy=proxy.url("")))
    assert error.kind == "proxy"
    assert "refuses a tunnel to ca.invalid:443: 403 Forbidden by ?[31mpolicy" in str(error)
    assert "--proxy direct" in error.hint


@pytest.mark.parametrize(
    "response",
    [b"", b"SSH-2.0\r\n\r\n", b"HTTP/1.1 200 OK\r\nX", b"HTTP/1.1 abc\r\n\r\n", b"X" * 200_000],
)
def test_a_proxy_that_does_not_speak_http_is_a_proxy_error(response: bytes) -> None:
    with serve(once(response)) as proxy:
        error = failure(get("https://ca.invalid/scep"), HttpOptions(proxy=proxy.url("")))
    assert error.kind == "proxy"


def test_a_proxy_that_hangs_up_is_a_proxy_error() -> None:
    import struct

    def reset(peer: Peer) -> None:
        peer.read()
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        peer.socket.close()

    with serve(reset) as proxy:
        error = failure(get("https://ca.invalid/scep"), HttpOptions(proxy=proxy.url("")))
    assert error.kind == "proxy"
    assert "closed the connection" in str(error)


def test_a_silent_proxy_hits_the_timeout() -> None:
    with serve(silent) as proxy:
        options = HttpOptions(proxy=proxy.url(""), connect_timeout=1)
        error = failure(get("https://ca.invalid/scep"), options)
    assert error.kind == "timeout"
    assert f"asking the proxy {proxy.authority}" in str(error)


def test_a_proxy_shows_its_address_only() -> None:
    proxy = parse_proxy("http://jo:hunter2@[::1]:3128", "proxy")
    assert repr(proxy) == "<Proxy [::1]:3128>"


# ------------------------------------------------------------------------------- environment


@pytest.mark.parametrize("name", ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"])
def test_the_environment_names_a_proxy(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with serve(ForwardProxy()) as proxy:
        monkeypatch.setenv(name, proxy.url(""))
        with HttpTransport() as http:
            assert http.exchange(get(FAR)).body == b"by proxy"


def test_https_has_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    with serve(ForwardProxy(refusal="403 No")) as proxy, serve(silent) as unused:
        monkeypatch.setenv("https_proxy", proxy.url(""))
        monkeypatch.setenv("http_proxy", unused.url(""))
        error = failure(get("https://ca.invalid/"))
    assert "refuses a tunnel" in str(error)
    assert unused.connections == 0


@pytest.mark.parametrize("exception", ["127.0.0.1", "*", "example.test, 127.0.0.1", "127.0.0.1:{}"])
def test_no_proxy_is_obeyed(monkeypatch: pytest.MonkeyPatch, exception: str) -> None:
    with serve(always(answer(b"direct"))) as server:
        monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
        monkeypatch.setenv("no_proxy", exception.format(server.port))
        with HttpTransport() as http:
            assert http.exchange(get(server.url())).body == b"direct"


def test_no_proxy_covers_subdomains(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("NO_PROXY", ".invalid")
    assert failure(get(FAR)).kind == "dns"


def test_direct_ignores_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    with (
        serve(always(answer(b"x"))) as server,
        HttpTransport(HttpOptions(proxy="direct")) as http,
    ):
        assert http.exchange(get(server.url())).body == b"x"


def test_an_option_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("no_proxy", "*")
    with serve(ForwardProxy()) as proxy, HttpTransport(HttpOptions(proxy=proxy.url(""))) as http:
        assert http.exchange(get(FAR)).body == b"by proxy"


def test_a_variable_that_makes_no_sense_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "socks5://jo:hunter2@127.0.0.1:1")
    with HttpTransport() as http, pytest.raises(InputError) as caught:
        http.exchange(get(FAR))
    assert "the environment variable http_proxy" in str(caught.value)
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_an_empty_variable_means_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", "")
    with serve(always(answer(b"x"))) as server, HttpTransport() as http:
        assert http.exchange(get(server.url())).body == b"x"


def test_the_environment_is_read_without_urllib_request_when_it_names_no_proxy() -> None:
    program = (
        "import sys, scepkit.transport as t; t.HttpTransport();"
        "sys.exit(10 + ('urllib.request' in sys.modules))"
    )
    for variables, code in (({}, 10), ({"http_proxy": "http://127.0.0.1:1"}, 11)):
        environment = {**os.environ, **variables}
        result = subprocess.run([sys.executable, "-c", program], env=environment, check=False)
        assert result.returncode == code


def test_a_variable_for_https_does_not_count_for_http(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:1")
    with serve(always(answer(b"x"))) as server, HttpTransport() as http:
        assert http.exchange(get(server.url())).body == b"x"
